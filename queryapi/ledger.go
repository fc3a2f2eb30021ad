package queryapi

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/http"
	"sync"

	"github.com/drawdown/drawdown/schemas"
)

// How an entry is written once, and never in conflict with another.
//
// The id of its event is made of the Idempotency-Key, and the consumers count
// an id once. But they count a retry as a conflict if it says anything else
// than the first, and what it says has a time. So a request whose key or grant
// may have been there before is looked up first, in three places that together
// hold everything that Kafka has acknowledged: what this server remembers, the
// table of entries, and the part of the log behind what the consumers say they
// have counted. Found, it is answered from there and nothing is produced.
//
// Requests for one workspace take turns here, so that two of them cannot both
// find nothing. Between two servers nobody takes turns: the same key on both
// at the same time, with a minute's end between them, counts once, answers
// twice alike, and leaves a rejection (conflict) of the second record.

// enter writes a ledger entry and answers once Kafka has it.
func (s *Server) enter(ctx context.Context, r entryRequest, body *Upload) (*EntryOutput, error) {
	text, err := body.read(s.cfg.Timeouts.Body)
	if err != nil {
		return nil, err
	}
	// A form of another site cannot send this type by itself.
	if body.media() != mediaJSON && len(text) > 0 {
		return nil, body.unsupported(mediaJSON)
	}
	if err := r.fill(text); err != nil {
		return nil, err
	}
	decoder, done := s.decoder()
	defer done()
	now := s.now()
	c := circumstances{at: now, effective: now, actor: clipActor(principalFrom(ctx).Subject)}
	var ev schemas.Event
	if err := r.decode(decoder, c, &ev); err != nil {
		return nil, err
	}
	leave, err := s.ledger.turn(ctx, r.workspaceID)
	if err != nil {
		return nil, err
	}
	defer leave()
	value, entry := schemas.EncodeEvent(&ev), entryOf(&ev)
	_, namesGrant := r.members["grant_id"]
	if remembered, ok := s.ledger.remembered(r.workspaceID, entry.eventID); ok {
		if !r.same(decoder, remembered.entry) {
			return nil, idempotencyConflict(r.key)
		}
		if remembered.acceptedAt != 0 {
			return remembered.entry.answer(remembered.acceptedAt), nil
		}
		// Nobody knows whether it arrived: if it is to be sent, then as it was.
		value, entry = remembered.value, remembered.entry
	}
	if r.key != "" || r.kind == schemas.CreditsGranted && namesGrant {
		found, at, err := s.settled(ctx, &r, decoder, &entry)
		if err != nil {
			return nil, err
		}
		if found != nil {
			s.auditOnce(ctx, &r, decoder, found)
			return found.answer(at), nil
		}
	}
	return s.write(ctx, &r, entry, value)
}

// write produces an entry and remembers its key, whatever becomes of it.
func (s *Server) write(ctx context.Context, r *entryRequest, entry ledgerEntry, value []byte) (*EntryOutput, error) {
	sent := remembered{entry: entry, value: value}
	if r.key != "" {
		s.ledger.remember(r.workspaceID, sent)
	}
	errs := s.produce(ctx, schemas.LedgerTopic, r.workspaceID, s.now(), []schemas.Record{{Value: value}})
	if failures(errs) > 0 {
		// Already in the log, with what Kafka said.
		return nil, writesUnavailable(nil, "Kafka did not acknowledge it; send it again with the same Idempotency-Key, if it has one")
	}
	sent.acceptedAt = s.acceptedAt()
	s.auditEntry(ctx, r.workspaceID, &entry, value)
	if r.key != "" {
		s.ledger.remember(r.workspaceID, sent)
	}
	return entry.answer(sent.acceptedAt), nil
}

// auditEntry writes an entry into the audit log. It is done and cannot be taken
// back: whoever asked must not take it for failed, so that the log of the
// server is what is left.
func (s *Server) auditEntry(ctx context.Context, workspaceID string, entry *ledgerEntry, value []byte) {
	if err := s.audit(ctx, workspaceID, ledgerActions[entry.kind], map[string]any{
		"event_id": entry.eventID, "grant_id": entry.grantID, "event": json.RawMessage(value),
	}); err != nil {
		s.cfg.Log.ErrorContext(ctx, "ledger entry is not in the audit log",
			"request_id", requestIDFrom(ctx), "workspace_id", workspaceID, "event_id", entry.eventID, "subject", principalFrom(ctx).Subject, "error", err)
	}
}

var ledgerActions = map[schemas.EventType]string{
	schemas.CreditsGranted: actionGrant, schemas.CreditsAdjusted: actionAdjust, schemas.GrantVoided: actionVoid,
}

const auditedQuery = `
SELECT 1 FROM audit_log
WHERE workspace_id = {workspace:String} AND action = {action:String} AND JSONExtractString(detail, 'event_id') = {event:String} LIMIT 1`

// auditOnce audits the entry that a retry was answered from if whoever sent it
// to Kafka did not live to do so, or never heard that it had arrived. An entry
// that did not come by HTTP is none of the audit log's.
func (s *Server) auditOnce(ctx context.Context, r *entryRequest, d *schemas.Decoder, entry *ledgerEntry) {
	if entry.eventID != r.eventID {
		return
	}
	audited, bound := false, parameters{}
	bound.String("workspace", r.workspaceID)
	bound.String("action", ledgerActions[entry.kind])
	bound.String("event", entry.eventID)
	err := s.query(ctx, "audited", auditedQuery, bound, func(scan func(...any) error) error {
		audited = true
		var one uint8
		return scan(&one)
	})
	if err != nil {
		s.cfg.Log.ErrorContext(ctx, "cannot tell whether a ledger entry is in the audit log",
			"request_id", requestIDFrom(ctx), "workspace_id", r.workspaceID, "event_id", entry.eventID, "error", err)
		return
	}
	var ev schemas.Event
	if !audited && r.decode(d, entry.circumstances(), &ev) == nil {
		s.auditEntry(ctx, r.workspaceID, entry, schemas.EncodeEvent(&ev))
	}
}

// acceptedAt is an instant such that whoever has counted everything that
// arrived before it has counted what was acknowledged before the call. A
// watermark is cut to the millisecond and may be the timestamp of a record
// that waits, which is no later than its acknowledgement: hence the next
// millisecond. It holds as far as the clocks of server and consumers agree.
func (s *Server) acceptedAt() schemas.Millis { return s.now() + 1 }

// settled answers a request from what Kafka has already; found is nil if it
// has nothing.
func (s *Server) settled(ctx context.Context, r *entryRequest, d *schemas.Decoder, asked *ledgerEntry) (found *ledgerEntry, at schemas.Millis, err error) {
	byEvent, byGrant, err := s.find(ctx, r.workspaceID, asked)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case byEvent != nil && !r.same(d, *byEvent):
		return nil, 0, idempotencyConflict(r.key)
	case byEvent != nil:
		return byEvent, byEvent.seenAt, nil
	case byGrant == nil:
		return nil, 0, nil
	}
	// Another event has this grant already: as good as this one if its terms
	// are equal.
	var ev schemas.Event
	if err := r.decode(d, byGrant.circumstances(), &ev); err != nil || ev.GrantTerms() != byGrant.terms {
		return nil, 0, problem(CodeGrantConflict, "grant %s was granted before with other terms; void it, or grant under a new id", byGrant.grantID)
	}
	return byGrant, byGrant.seenAt, nil
}

func idempotencyConflict(key string) error {
	return problem(CodeIdempotencyConflict, "Idempotency-Key %q was sent before with another body; send what is new under a new key", key)
}

// same says whether the request would have become that entry, had it been
// sent when that was. Who sends it does not matter.
func (r *entryRequest) same(d *schemas.Decoder, entry ledgerEntry) bool {
	var ev schemas.Event
	return r.kind == entry.kind && r.decode(d, entry.circumstances(), &ev) == nil && ev.ContentHash == entry.content
}

// ledgerEntry is what must be known of an entry to recognise it.
type ledgerEntry struct {
	kind    schemas.EventType
	eventID string
	grantID string
	at      schemas.Millis
	actor   string
	content uint32
	terms   schemas.GrantTerms // grants only
	seenAt  schemas.Millis     // accepted_at to tell; 0: none yet
}

func entryOf(ev *schemas.Event) ledgerEntry {
	entry := ledgerEntry{
		kind: ev.Type, eventID: string(ev.ID), grantID: string(ev.GrantID), at: ev.Time,
		actor: string(ev.Actor), content: ev.ContentHash,
	}
	if ev.Type == schemas.CreditsGranted {
		entry.terms = ev.GrantTerms()
	}
	return entry
}

func (e *ledgerEntry) circumstances() circumstances {
	return circumstances{at: e.at, effective: e.terms.EffectiveAt, actor: e.actor}
}

// entryPrefixes name the types of entries in the history.
var entryPrefixes = map[schemas.EventType]string{
	schemas.CreditsGranted:  "grant:",
	schemas.CreditsAdjusted: "adjustment:",
	schemas.GrantVoided:     "void:",
}

func (e *ledgerEntry) answer(acceptedAt schemas.Millis) *EntryOutput {
	return &EntryOutput{Status: http.StatusAccepted, Body: Entry{
		EntryID: entryPrefixes[e.kind] + e.eventID, EventID: e.eventID, GrantID: e.grantID, AcceptedAt: instant(acceptedAt),
	}}
}

// ledgerWrites is what this server has under way and remembers of entries.
type ledgerWrites struct {
	seed  maphash.Seed
	turns [64]chan struct{} // one of them per workspace; as many as may write at once

	mu     sync.Mutex
	recent map[entryKey]remembered
	order  []entryKey // of recent, a ring
	next   int        // the oldest of order
}

type entryKey struct{ workspaceID, eventID string }

// remembered is an entry that was sent to Kafka.
type remembered struct {
	entry      ledgerEntry
	value      []byte
	acceptedAt schemas.Millis // 0: not acknowledged, which does not mean that it is not there
}

// maxRemembered entries of about 1 kB, at the most 10 with a long note. Older
// ones are found in the table.
const maxRemembered = 4096

func newLedgerWrites() *ledgerWrites {
	w := &ledgerWrites{seed: maphash.MakeSeed(), recent: make(map[entryKey]remembered)}
	for i := range w.turns {
		w.turns[i] = make(chan struct{}, 1)
	}
	return w
}

var errTurn = errors.New("no turn came")

// turn waits until no other entry of the workspace is being written.
func (w *ledgerWrites) turn(ctx context.Context, workspaceID string) (leave func(), err error) {
	turn := w.turns[maphash.String(w.seed, workspaceID)%uint64(len(w.turns))]
	ctx, cancel := context.WithTimeout(ctx, admitWithin)
	defer cancel()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, writesUnavailable(errTurn, "entries before this one take too long; try again")
	}
}

func (w *ledgerWrites) remembered(workspaceID, eventID string) (remembered, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found, ok := w.recent[entryKey{workspaceID, eventID}]
	return found, ok
}

func (w *ledgerWrites) remember(workspaceID string, r remembered) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := entryKey{workspaceID, r.entry.eventID}
	if _, ok := w.recent[key]; !ok {
		if len(w.order) < maxRemembered {
			w.order = append(w.order, key)
		} else {
			delete(w.recent, w.order[w.next])
			w.order[w.next] = key
			w.next = (w.next + 1) % maxRemembered
		}
	}
	w.recent[key] = r
}
