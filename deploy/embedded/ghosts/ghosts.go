// Package ghosts ends the memberships that kfake forgets to end.
//
// A member of a group is gone when nothing was heard from it for its session
// timeout. kfake starts that clock only when an answer could be written: of a
// member whose connection broke while it waited for the answer to its JoinGroup
// it never hears again and never lets go, and nobody counts the partitions that
// the group's leader then gives to such a ghost. Apache Kafka has none of it.
package ghosts

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// lookEvery is how often the groups are looked at. Sessions are at least some
// seconds long in use.
const lookEvery = time.Second

// watch knows when each member of a group was last heard from.
type watch struct {
	client *kgo.Client
	log    *slog.Logger

	mu      sync.Mutex
	session map[string]time.Duration // of a group: the longest that a member asked for
	heard   map[member]time.Time
}

type member struct{ group, id string }

// Evict removes the members of a cluster's groups that are silent for longer
// than the longest session timeout in their group, until ctx is done. listen is
// where the cluster listens, whatever clients are told. It returns at once.
func Evict(ctx context.Context, cluster *kfake.Cluster, listen string, log *slog.Logger) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(listen),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, listen)
		}),
	)
	if err != nil {
		return err
	}
	w := &watch{client: client, log: log, session: make(map[string]time.Duration), heard: make(map[member]time.Time)}
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat} {
		cluster.ControlKey(key.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			w.note(request)
			return nil, nil, false
		})
	}
	go w.run(ctx)
	return nil
}

func (w *watch) note(request kmsg.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch r := request.(type) {
	case *kmsg.JoinGroupRequest: // the member's id may be the broker's to give
		w.session[r.Group] = max(w.session[r.Group], time.Duration(r.SessionTimeoutMillis)*time.Millisecond)
	case *kmsg.SyncGroupRequest:
		w.heard[member{r.Group, r.MemberID}] = time.Now()
	case *kmsg.HeartbeatRequest:
		w.heard[member{r.Group, r.MemberID}] = time.Now()
	}
}

func (w *watch) run(ctx context.Context) {
	defer w.client.Close()
	for tick := time.NewTicker(lookEvery); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			if err := w.look(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("cannot look for members that are gone, trying again", "error", err)
			}
		}
	}
}

// look asks for the members of every group and removes who is silent for too
// long.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*lookEvery)
	defer cancel()
	groups := w.groups()
	if len(groups) == 0 {
		return nil
	}
	ask := kmsg.NewPtrDescribeGroupsRequest()
	ask.Groups = groups
	described, err := ask.RequestWith(ctx, w.client)
	if err != nil {
		return err
	}
	for _, g := range described.Groups {
		for _, id := range w.gone(&g) {
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group = g.Group
			leave.Members = append(leave.Members, kmsg.LeaveGroupRequestMember{MemberID: id})
			if _, err := leave.RequestWith(ctx, w.client); err != nil {
				return err
			}
			w.log.Warn("a member of a group that was not heard from any more is removed", "group", g.Group, "member", id)
		}
	}
	return nil
}

// groups are those that a member has joined since the broker started: of no
// other is anyone a member.
func (w *watch) groups() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for group := range w.session {
		names = append(names, group)
	}
	return names
}

// gone returns the members of a group to remove. Who waits in a rebalance is
// silent rightly, for which kfake has a limit of its own: silence counts from
// the last look at which the group was not stable, or the member not known.
func (w *watch) gone(g *kmsg.DescribeGroupsResponseGroup) (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	here := make(map[string]bool, len(g.Members))
	for _, m := range g.Members {
		here[m.MemberID] = true
		at, known := w.heard[member{g.Group, m.MemberID}]
		switch {
		case g.State != "Stable" || !known:
			w.heard[member{g.Group, m.MemberID}] = now
		case now.Sub(at) > w.session[g.Group]+lookEvery:
			ids = append(ids, m.MemberID)
		}
	}
	for m := range w.heard {
		if m.group == g.Group && !here[m.id] {
			delete(w.heard, m)
		}
	}
	return ids
}
