package consumers

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
)

// These tests say what follows a commit that is refused or not answered
// (invariant 2).

func TestConsumerInsertsNothingUnderARefusedIntent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err    *kerr.Error
		leaves bool // the generation is over; else the same commit is sent again
	}{
		{kerr.IllegalGeneration, true},
		{kerr.UnknownMemberID, true},
		{kerr.RebalanceInProgress, true},
		{kerr.FencedInstanceID, true},
		{kerr.RequestTimedOut, false},
		{kerr.CoordinatorLoadInProgress, false},
		{kerr.CoordinatorNotAvailable, false},
		{kerr.NotCoordinator, false},
	} {
		t.Run(fmt.Sprintf("%d_%s", test.err.Code, test.err.Message), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			r.consume(r.traffic(1, 300, 0.1)...)
			joins := r.requests(kmsg.JoinGroup)
			// kfake acts on a commit that it answers with RequestTimedOut, as Kafka may.
			refused := r.broker.Cluster.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: test.err, Count: -1, When: intends,
			})
			r.start()
			ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
			defer cancel()
			if err := refused.Wait(ctx, 3); err != nil {
				t.Fatal(err)
			}
			if n := r.number(`SELECT count() FROM events`); n != 0 {
				t.Errorf("%d rows are inserted under a refused intent", n)
			}
			before := joins.Load()
			refused.Remove()
			r.requireExact()
			if left := before > 1; left != test.leaves {
				t.Errorf("the member has joined with %d requests, leaves = %v is right", before, test.leaves)
			}
		})
	}
}

// intends reports whether an OffsetCommit announces a batch.
func intends(req kmsg.Request) bool {
	for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
		for _, p := range topic.Partitions {
			if p.Metadata != nil && pendingRange.MatchString(*p.Metadata) {
				return true
			}
		}
	}
	return false
}

// nth is a wire that gives the nth write that matches another fate.
func nth(n int, matches func(c *wired, said []byte) bool, f fate) *wire {
	var mu sync.Mutex
	return &wire{judge: func(c *wired, said []byte) fate {
		mu.Lock()
		defer mu.Unlock()
		if !matches(c, said) {
			return deliver
		}
		n--
		return when(n == 0, f)
	}}
}

func anIntent(_ *wired, said []byte) bool { return isIntent(said) }

// TestConsumerLeavesWhenACommitIsNotAnswered: whether or not it arrived.
func TestConsumerLeavesWhenACommitIsNotAnswered(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"CommitLost": swallow, "AnswerLost": deafen, "ConnectionCut": cut, "ConnectionTorn": tear} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			leaves := r.requests(kmsg.LeaveGroup)
			r.startWired(nth(2, anIntent, f))
			r.consume(r.traffic(1, 500, 0.1)...)
			r.waitDone()
			r.consume(r.traffic(2, 500, 0.1)...)
			r.consume(r.traffic(1, 500, 0)...)
			r.requireExact()
			if leaves.Load() == 0 {
				t.Error("the member has not left")
			}
		})
	}
}

// TestConsumerIsNotTurnedBackByALateCommit holds a commit back and delivers it
// after those that followed it.
func TestConsumerIsNotTurnedBackByALateCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	var (
		mu   sync.Mutex
		held []byte
	)
	w := &wire{judge: func(_ *wired, said []byte) fate {
		mu.Lock()
		defer mu.Unlock()
		if held == nil && isIntent(said) {
			held = slices.Clone(said)
			return swallow
		}
		return deliver
	}}
	r.consume(r.traffic(1, 500, 0.1)...)
	c := r.startWired(w)
	r.requireExact()
	offset, metadata := r.committed(topic, 1)
	mu.Lock()
	late := held
	mu.Unlock()
	if code := r.deliver(late); code != kerr.UnknownMemberID.Code && code != kerr.IllegalGeneration.Code {
		t.Errorf("the late commit is answered with %d, want 25 or 22", code)
	}
	if o, m := r.committed(topic, 1); o != offset || m != metadata {
		t.Errorf("the late commit turned %d %q into %d %q", offset, metadata, o, m)
	}
	r.consume(r.traffic(2, 500, 0.1)...)
	r.requireExact()
	c.mustStop(t)
	r.start()
	r.consume(r.traffic(3, 500, 0.1)...)
	r.requireExact()
}

// deliver sends an OffsetCommit request as it was said and returns the first
// error code of the answer.
func (r *rig) deliver(frame []byte) int16 {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.broker.Addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(frame); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		r.t.Fatal(err)
	}
	res := kmsg.NewPtrOffsetCommitResponse()
	res.SetVersion(int16(frame[6])<<8 | int16(frame[7]))
	if err := res.ReadFrom(buf[8:n]); err != nil {
		r.t.Fatal(err)
	}
	return res.Topics[0].Partitions[0].ErrorCode
}

// TestConsumerDrainsItsIntents: after a clean stop nothing is pending, so that
// a program with other rules can go on.
func TestConsumerDrainsItsIntents(t *testing.T) {
	t.Parallel()
	for name, matches := range map[string]func(c *wired, said []byte) bool{
		"WhileAnIntentIsCommitted": anIntent,
		"BeforeAnInsert":           func(_ *wired, said []byte) bool { return isQuery(said, "events") },
		"BeforeTheLedger":          func(_ *wired, said []byte) bool { return isQuery(said, "ingest_batches") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			began := make(chan struct{})
			started := make(chan context.CancelFunc, 1)
			var mu sync.Mutex
			n := 0
			w := &wire{judge: func(c *wired, said []byte) fate {
				mu.Lock()
				defer mu.Unlock()
				if matches(c, said) {
					if n++; n == 4 {
						(<-started)()
						close(began)
					}
				}
				return deliver
			}}
			// Small batches, so that there is always one on its way.
			c := r.startWired(w, func(c *Config) { c.FetchBytes, c.Linger = 4<<10, time.Millisecond })
			started <- c.cancel
			for i, stopping := 0, false; !stopping; i++ {
				r.consume(r.traffic(uint64(i), 100, 0.1)...)
				select {
				case <-began:
					stopping = true
				default:
				}
			}
			c.mustStop(t)
			for _, topic := range r.broker.Topics.Inputs() {
				for p := range r.parts {
					offset, metadata := r.committed(topic, p)
					if in, err := parseIntent(metadata, offset); err != nil || len(in.pending) > 0 {
						t.Errorf("%s/%d has %q pending after a clean stop: %v", topic, p, metadata, err)
					}
					if done := r.done(topic, p); done != max(offset, 0) {
						t.Errorf("%s/%d is committed at %d, the ledger ends before %d", topic, p, offset, done)
					}
				}
			}
			r.start()
			r.requireExact()
		})
	}
}
