package queryapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// endedSessions are those that have signed out, for as long as their cookies
// would be good: what the audit log says, read anew every endedAge, and what
// was ended here since.
type endedSessions struct {
	mu     sync.Mutex
	at     map[string]time.Time // when each ended, by session mark
	readAt time.Time            // up to when the audit log is known
	once   singleflight.Group
}

const (
	// endedAge is how long a session that ended elsewhere may still be taken
	// here: half of the 2 s that are promised, as keyAge.
	endedAge = time.Second
	// endedOverlap is how much of what was read is read again: a row stands in
	// the log by another server's clock (clockSkew), and its INSERT took up to
	// insertTimeout.
	endedOverlap = 2 * time.Minute
)

func (e *endedSessions) end(mark string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = make(map[string]time.Time)
	}
	e.at[mark] = at
}

func (e *endedSessions) has(mark string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ended := e.at[mark]
	return ended
}

// due says from where on the audit log is to be read now, if it is.
func (e *endedSessions) due(now time.Time) (from time.Time, due bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if age := now.Sub(e.readAt); 0 <= age && age < endedAge {
		return from, false
	}
	from = now.Add(-sessionLifetime)
	if e.readAt.After(from) && e.readAt.Before(now) {
		from = e.readAt
	}
	return from.Add(-endedOverlap), true
}

// known says up to when the log is known, and drops what nobody needs.
func (e *endedSessions) known(readAt time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readAt = readAt
	for mark, at := range e.at {
		if readAt.Sub(at) > sessionLifetime+endedOverlap {
			delete(e.at, mark)
		}
	}
}

const endedQuery = `
SELECT JSONExtractString(detail, 'session'), at FROM audit_log
WHERE workspace_id = '' AND action = {action:String} AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')`

// hasEnded says whether a session has signed out, here or at another server.
func (s *Server) hasEnded(ctx context.Context, of session) (bool, error) {
	ended := &s.signIn.ended
	if _, due := ended.due(s.cfg.Now()); due {
		read := ended.once.DoChan("", func() (any, error) {
			shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
			defer cancel()
			return unlessPanic(func() (any, error) { return nil, s.readEnded(shared) })
		})
		select {
		case result := <-read:
			if result.Err != nil {
				return false, result.Err
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return ended.has(sessionMark(of.ID)), nil
}

func (s *Server) readEnded(ctx context.Context) error {
	// Before the question, so that the answer is not taken for newer than it is.
	now := s.cfg.Now()
	from, due := s.signIn.ended.due(now)
	if !due { // read since this was asked for
		return nil
	}
	bound := parameters{}
	bound.String("action", actionSignOut)
	bound.Integer("from", from.UnixMilli())
	err := s.query(ctx, "ended_sessions", endedQuery, bound, func(scan func(...any) error) error {
		var mark string
		var at time.Time
		if err := scan(&mark, &at); err != nil {
			return err
		}
		s.signIn.ended.end(mark, at)
		return nil
	})
	if err == nil {
		s.signIn.ended.known(now)
	}
	return err
}

// signOut ends the session of the browser, here at once and at every other
// server within 2 seconds. If it cannot be written down it is not ended, and
// may be tried again.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if !s.fromUs(r) {
		return problem(CodeCrossOrigin, "only a page of this site can sign out")
	}
	if err := s.endSession(r); err != nil {
		return err
	}
	s.setCookie(w, s.sessionCookie(), "", 0)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// endSession ends the session that a request comes with, if it has one.
func (s *Server) endSession(r *http.Request) error {
	found, ok := s.sessionOf(r)
	if !ok {
		return nil
	}
	ctx := context.WithValue(r.Context(), principalKey{}, Principal{Subject: found.Subject, Credential: CredentialSession})
	mark := sessionMark(found.ID)
	if err := s.audit(ctx, "", actionSignOut, map[string]any{"session": mark}); err != nil {
		return err
	}
	s.signIn.ended.end(mark, s.cfg.Now())
	return nil
}
