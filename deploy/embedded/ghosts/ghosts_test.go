package ghosts_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/drawdown/drawdown/deploy/embedded/ghosts"
	"github.com/drawdown/drawdown/internal/storetest"
)

const group = "readers"

// seat is one member of the group and what it must do to remain one.
type seat struct {
	client     *kgo.Client
	id         string
	generation int32
}

// newSeat joins as older clients do, of whom the broker names each.
func newSeat(t *testing.T, addr string) *seat {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V0_11_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &seat{client: client}
}

// join joins and, as the leader, gives everybody nothing.
func (s *seat) join(ctx context.Context) error {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.MemberID, join.ProtocolType = group, s.id, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 5_000, 60_000
	join.Protocols = append(join.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"})
	joined, err := join.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(joined.ErrorCode); err != nil {
		return fmt.Errorf("cannot join: %w", err)
	}
	s.id, s.generation = joined.MemberID, joined.Generation
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = group, s.id, s.generation
	synced, err := sync.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(synced.ErrorCode)
}

func (s *seat) beat(ctx context.Context) error {
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID, beat.Generation = group, s.id, s.generation
	answer, err := beat.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.ErrorCode)
}

func (s *seat) members(ctx context.Context) (int, error) {
	ask := kmsg.NewPtrDescribeGroupsRequest()
	ask.Groups = []string{group}
	answer, err := ask.RequestWith(ctx, s.client)
	if err != nil {
		return 0, err
	}
	return len(answer.Groups[0].Members), nil
}

// TestWhoIsSilentLeaves: of two members one loses its connection while it waits
// for the answer to its JoinGroup; the other one does all that a member must. The
// first is gone soon, the other stays.
func TestWhoIsSilentLeaves(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	addr := cluster.ListenAddrs()[0]
	ctx := t.Context()
	if err := ghosts.Evict(ctx, cluster, addr, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	stays, goes := newSeat(t, addr), newSeat(t, addr)
	if err := stays.join(ctx); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- goes.join(ctx) }()
	storetest.Wait(t, time.Minute, "the second one waits", func() (bool, error) { return stays.beat(ctx) != nil, nil })
	goes.client.Close()
	if err := <-answered; err == nil {
		t.Fatal("the join was answered before its connection was cut")
	}
	time.Sleep(100 * time.Millisecond) // for the broker to see it
	if err := stays.join(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := stays.members(ctx); err != nil || n != 2 {
		t.Fatalf("the group has %d members (%v) once one of two was cut off, want both still", n, err)
	}
	id := stays.id
	storetest.Wait(t, 2*time.Minute, "one member is left", func() (bool, error) {
		if stays.beat(ctx) != nil {
			return false, stays.join(ctx)
		}
		n, err := stays.members(ctx)
		return n == 1, err
	})
	for range 70 { // longer than a session and a look
		time.Sleep(100 * time.Millisecond)
		if err := stays.beat(ctx); err != nil {
			t.Fatalf("who was heard from all the time is refused: %v", err)
		}
	}
	if stays.id != id {
		t.Error("who was heard from all the time had to join anew")
	}
}
