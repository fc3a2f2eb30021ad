package queryapi

import (
	"context"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"
)

// shares bounds what one principal may hold at a time of what there is for
// all: whoever sends or reads slowly, by mistake or not, leaves the rest to
// others.
type shares struct {
	most int64 // of one principal

	mu   sync.Mutex
	held map[string]*share // of those who hold or want some
}

// ownRequestsAtOnce bounds what the answers of one principal take that nobody
// reads, beside the number of them a minute: the largest has some 12 MB. It is
// far above what a page or a busy program has under way.
const ownRequestsAtOnce = 64

// requestShares are the shares in requests under way. Streams and exports last,
// and are bounded by themselves.
type requestShares struct{ *shares }

// take takes one request, as shares.take does.
func (s requestShares) take(ctx huma.Context, wait time.Duration) (release func(), ok bool) {
	if id := ctx.Operation().OperationID; id == operationLive || id == operationExport {
		return func() {}, true
	}
	return s.shares.take(ctx.Context(), 1, wait)
}

type share struct {
	free  *semaphore.Weighted
	users int
}

func newShares(most int64) *shares { return &shares{most: most, held: make(map[string]*share)} }

// take takes n of the principal's share and returns how to give it back; false
// if it is not to be had within wait, or ctx ends. As with the rate limit, the
// installation's own token has no share.
func (s *shares) take(ctx context.Context, n int64, wait time.Duration) (release func(), ok bool) {
	p := principalFrom(ctx)
	if p.Credential == CredentialToken {
		return func() {}, true
	}
	who := p.Subject
	s.mu.Lock()
	own := s.held[who]
	if own == nil {
		own = &share{free: semaphore.NewWeighted(s.most)}
		s.held[who] = own
	}
	own.users++
	s.mu.Unlock()
	if ok = own.free.TryAcquire(n); !ok && wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, wait)
		ok = own.free.Acquire(waiting, n) == nil
		cancel()
	}
	if !ok {
		n = 0
	}
	release = func() {
		own.free.Release(n)
		s.mu.Lock()
		defer s.mu.Unlock()
		if own.users--; own.users == 0 {
			delete(s.held, who)
		}
	}
	if !ok {
		release()
	}
	return release, ok
}
