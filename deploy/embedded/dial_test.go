package embedded_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/internal/storetest"
)

// TestStatementsThatAreGivenUpLeaveTheEngineAlive: reads and inserts, at any
// point of their life. Over connections of the net package alone the engine
// ends within some hundred of them.
func TestStatementsThatAreGivenUpLeaveTheEngineAlive(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	db := engine.Database(t)
	options := db.Options()
	options.DialContext = embedded.Dialer()
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	read := func(ctx context.Context, n int) error {
		var sum uint64
		return conn.QueryRow(ctx, "SELECT sum(number % ?) FROM numbers(1000000)", n+1).Scan(&sum)
	}
	insert := func(ctx context.Context, _ int) error {
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO rejections (topic, value)")
		if err != nil {
			return err
		}
		defer func() { _ = batch.Close() }()
		for _, send := range []func() error{batch.Flush, batch.Send} {
			for range 1000 {
				if err := batch.Append("t", "some bytes of a value"); err != nil {
					return err
				}
			}
			if err := send(); err != nil {
				return err
			}
		}
		return nil
	}
	before, began := engine.PID(), time.Now()
	var mu sync.Mutex
	done, given := 0, 0
	var group sync.WaitGroup
	for worker := range 4 {
		statement := []func(context.Context, int) error{read, insert}[worker%2]
		group.Go(func() {
			step, answered := time.Millisecond, 0
			for n := range 150 {
				if n%30 == 0 && n > 0 { // a busy machine takes longer
					if answered < 5 {
						step *= 4
					}
					answered = 0
				}
				// From before it is sent to after it is answered.
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%30)*step)
				err := statement(ctx, n)
				cancel()
				mu.Lock()
				if err == nil {
					answered++
					done++
				} else {
					given++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("%d statements were answered and %d given up in %v", done, given, time.Since(began).Round(time.Millisecond))
	if done < 10 || given < 100 {
		t.Errorf("%d statements were answered and %d given up: the test does not say much here", done, given)
	}
	if err := errors.Join(conn.Ping(t.Context()), conn.Close()); err != nil {
		t.Error(err)
	}
	if after := engine.PID(); after != before {
		t.Errorf("the engine ended: its process is %d, was %d", after, before)
	}
}

// TestPoolOfAHostThatHangsClosesSoon: it waits for one connection, not for
// each.
func TestPoolOfAHostThatHangsClosesSoon(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	proxy := storetest.NewProxy(t, engine.Addr())
	dial := embedded.Dialer()
	proxy.Stall(true)
	began := time.Now()
	for range 20 {
		conn, err := dial(t.Context(), proxy.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("20 connections took %v", took)
	}
}
