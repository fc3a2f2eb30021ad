package queryapi

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// answerCache keeps answers for as long as they hold. What an answer is made
// of changes only with the revision of the workspace's partition, because
// every counted record, grant and state raises it, and with the minute of the
// clock and of the watermark, at which ranges and `complete` look; all three
// are part of the key, so nothing has to be thrown away to stay exact.
//
// It has two generations: what is asked for moves into the young one, and when
// that holds half of the bytes the old one goes.
type answerCache struct {
	limit int // bytes of both generations; 0: nothing is kept
	once  singleflight.Group

	mu         sync.Mutex
	young, old map[string]cached
	bytes      int // of young
}

// cached is an answer without freshness and its ETag.
type cached struct {
	body    any // *B of some Answer[B], or what held keeps; never changed
	tag     string
	encoded *encodedBody // the body but for its freshness
	bytes   int
}

// get returns the answer of a question, made by compute if it is not at hand;
// callers that ask the same at the same time share one.
func (c *answerCache) get(ctx context.Context, key string, compute func(context.Context) (cached, error)) (cached, error) {
	if c.limit == 0 || key == "" {
		return compute(ctx)
	}
	if found, ok := c.lookUp(key); ok {
		return found, nil
	}
	// Whoever began must be able to go away without the others' losing it.
	done := c.once.DoChan(key, func() (any, error) {
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		made, err := unlessPanic(func() (cached, error) { return compute(shared) })
		if err == nil {
			c.put(key, made)
		}
		return made, err
	})
	select {
	case result := <-done:
		made, ok := result.Val.(cached)
		if !ok && result.Err == nil {
			return cached{}, errors.New("an answer was not made")
		}
		return made, result.Err
	case <-ctx.Done():
		return cached{}, ctx.Err()
	}
}

// unlessPanic makes an error of a panic: in the goroutine of a singleflight
// nobody else could, and the process would end.
func unlessPanic[T any](f func() (T, error)) (made T, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return f()
}

func (c *answerCache) lookUp(key string) (cached, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.young[key]; ok {
		return found, true
	}
	found, ok := c.old[key]
	if ok {
		c.keep(key, found)
	}
	return found, ok
}

func (c *answerCache) put(key string, made cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, made)
}

// keep puts an answer into the young generation; mu is held.
func (c *answerCache) keep(key string, made cached) {
	if c.bytes+made.bytes > c.limit/2 || c.young == nil {
		c.old, c.young, c.bytes = c.young, make(map[string]cached), 0
	}
	c.young[key] = made
	c.bytes += made.bytes + len(key)
}

// settleMillis is how long after it was first read what is held is read once
// more, and how far behind a replica may be that is asked while another is not
// (querySettings): many times what a healthy one is.
const settleMillis = 10_000

// heldSince is what is held and when it was read.
type heldSince[T any] struct {
	made T
	at   schemas.Millis
}

// held keeps what is read of a workspace's ledger or states for as long as end
// stands, the next offset of the topic that it comes from; nobody may change
// it. read says how many bytes it takes.
//
// In a cluster the replica that said end need not be the one that is read, and
// even on one replica the table that says it may be ahead of the others, whose
// parts come each in its own time. So no comparison of offsets before and after
// proves that a row is there; reading what a quorum has
// (select_sequential_consistency) would, but fails wherever a replica lags and
// knows no parallel inserts. What lags is known to be bounded instead: what was
// read first under an end is believed for settleMillis, then it is read once
// more, and that stands.
func held[T any](ctx context.Context, s *Server, what, workspaceID string, end uint64, read func(context.Context) (T, int, error)) (T, error) {
	dated := func(ctx context.Context) (heldSince[T], int, error) {
		at := s.now()
		made, size, err := read(ctx)
		return heldSince[T]{made, at}, size, err
	}
	first, err := heldAs(ctx, s, what, workspaceID, end, dated)
	if err != nil || s.now()-first.at < settleMillis {
		return first.made, err
	}
	settled, err := heldAs(ctx, s, what+" settled", workspaceID, end, dated)
	return settled.made, err
}

// heldAs keeps what is read of a workspace for as long as end stands, whatever
// that counts.
func heldAs[T any](ctx context.Context, s *Server, what, workspaceID string, end uint64, read func(context.Context) (T, int, error)) (T, error) {
	// Answers have keys that begin with a slash.
	key := fmt.Sprint(what, " ", workspaceID, " ", end)
	kept, err := s.answers.get(ctx, key, func(ctx context.Context) (cached, error) {
		made, size, err := read(ctx)
		return cached{body: made, bytes: size}, err
	})
	if err != nil {
		var none T
		return none, err
	}
	found, ok := kept.body.(T)
	if !ok {
		return found, fmt.Errorf("what is kept of %s is a %T", what, kept.body)
	}
	return found, nil
}

// progressCache keeps what was read of the partitions' progress for
// Config.ProgressAge, so that many readers ask ClickHouse once.
type progressCache struct {
	once singleflight.Group

	mu     sync.Mutex
	readAt time.Time
	last   rollup.Progresses // by partition; never changed
}

// get returns what was read at most age ago, or reads.
func (c *progressCache) get(ctx context.Context, now func() time.Time, age time.Duration, read func(context.Context) (rollup.Progresses, error)) (rollup.Progresses, error) {
	begin := now()
	c.mu.Lock()
	known, elapsed := c.last, begin.Sub(c.readAt)
	c.mu.Unlock()
	// A clock that was set back says nothing about an age.
	if known != nil && elapsed >= 0 && elapsed < age {
		return known, nil
	}
	done := c.once.DoChan("", func() (any, error) {
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		made, err := unlessPanic(func() (rollup.Progresses, error) { return read(shared) })
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			// Taken before the question, so that the answer does not pass for
			// newer than it is.
			c.last, c.readAt = made, begin
		}
		return made, err
	})
	select {
	case result := <-done:
		made, _ := result.Val.(rollup.Progresses)
		return made, result.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
