package consumers

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestInsertsDoNotWaitForEachOthersConnection: one that ClickHouse does not
// answer must not hold up the others, nor the end.
func TestInsertsDoNotWaitForEachOthersConnection(t *testing.T) {
	t.Parallel()
	options := storetest.ClickHouse(t).Options()
	var dials atomic.Int64
	hung, release := make(chan struct{}), make(chan struct{})
	options.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			close(hung)
			<-release
			return nil, errors.New("no answer")
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	s := newStore(options, 2, time.Minute)
	defer s.close()
	insert := func(token string) error {
		r := &rejections{}
		r.append("t", &record{}, origin{}, nil, &schemas.Rejection{Code: schemas.Malformed})
		return s.insert(context.Background(), "rejections", "test", token, r.input())
	}
	first := make(chan error, 1)
	go func() { first <- insert("first") }()
	<-hung
	if err := insert("second"); err != nil {
		t.Errorf("the second INSERT fails with %v", err)
	}
	close(release)
	if err := <-first; err == nil {
		t.Error("the first INSERT succeeds without a connection")
	}
}

// TestInsertIsNotSentOnceTheLeaseRanOutWhileItConnected: a new owner has looked by
// then for INSERTs under way, and this one was none yet.
func TestInsertIsNotSentOnceTheLeaseRanOutWhileItConnected(t *testing.T) {
	t.Parallel()
	db := storetest.ClickHouse(t)
	options := db.Options()
	var dialled atomic.Bool
	options.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
		dialled.Store(true)
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	s := newStore(options, 2, time.Minute)
	defer s.close()
	r := &rejections{}
	r.append("t", &record{}, origin{}, nil, &schemas.Rejection{Code: schemas.Malformed})
	err := s.insertWhile(context.Background(), func() bool { return !dialled.Load() }, "rejections", "test", "late", r.input())
	if !errors.Is(err, errOver) {
		t.Errorf("it returns %v", err)
	}
	var n uint64
	if err := db.Conn(t).QueryRow(context.Background(), "SELECT count() FROM rejections").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows are in, error %v", n, err)
	}
}
