package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

// insertSettings go with every INSERT (invariant 1). They pin that one batch
// is one block in the table and one block in every view, that its token
// decides alone, and that the server neither delays nor drops nor splits it.
var insertSettings = []ch.Setting{
	{Key: "async_insert", Value: "0", Important: true},
	{Key: "insert_deduplicate", Value: "1", Important: true},
	// Overrules the one before where it is known, since 26.2; not important, so
	// that an older server passes over it.
	{Key: "deduplicate_insert", Value: "enable"},
	{Key: "deduplicate_blocks_in_dependent_materialized_views", Value: "1", Important: true},
	{Key: "materialized_views_ignore_errors", Value: "0", Important: true},
	{Key: "group_by_two_level_threshold", Value: "0", Important: true},
	{Key: "group_by_two_level_threshold_bytes", Value: "0", Important: true},
	{Key: "max_block_size", Value: "1048576", Important: true},
	{Key: "max_partitions_per_insert_block", Value: "0", Important: true},
	{Key: "max_execution_time", Value: "0", Important: true},
}

// InsertSettings are the settings that go with every INSERT, by name: what a
// profile of ClickHouse must not forbid.
func InsertSettings() map[string]string {
	all := make(map[string]string, len(insertSettings))
	for _, s := range insertSettings {
		all[s.Key] = s.Value
	}
	return all
}

// store inserts blocks over a few native connections that it keeps.
type store struct {
	options ch.Options
	timeout time.Duration // of one INSERT; past it its fate is unknown
	slots   chan struct{} // bounds the INSERTs under way
	mu      sync.Mutex
	idle    []*ch.Client
	closed  bool
}

func newStore(o *clickhouse.Options, parallel int, timeout time.Duration) *store {
	options := ch.Options{
		Address: o.Addr[0], Database: o.Auth.Database, User: o.Auth.Username, Password: o.Auth.Password,
		TLS: o.TLS, Compression: compressionFor(o.Addr[0]), DialTimeout: 5 * time.Second,
		// ClickHouse may say nothing for as long as an INSERT takes.
		ReadTimeout: timeout, HandshakeTimeout: 10 * time.Second,
		ClientName: "drawdown-consumer",
	}
	if o.DialContext != nil {
		options.Dialer = dialFunc(o.DialContext)
	}
	return &store{options: options, timeout: timeout, slots: make(chan struct{}, parallel)}
}

// compressionFor leaves blocks as they are on the way to a server on this
// machine: LZ4 costs half a microsecond per row there and saves nothing. A
// network of a gigabit is slower than LZ4.
func compressionFor(addr string) ch.Compression {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return ch.CompressionDisabled
	}
	return ch.CompressionLZ4
}

// dialFunc is clickhouse.Options.DialContext as ch-go takes it.
type dialFunc func(ctx context.Context, addr string) (net.Conn, error)

// DialContext implements ch.Dialer.
func (f dialFunc) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	return f(ctx, addr)
}

// insert sends one block. It returns after the server has answered, the
// timeout has passed or the connection broke; ctx bounds only the wait for a
// slot, because an INSERT under way must not be cancelled (invariant 7).
// queryID names the batch in system.processes.
func (s *store) insert(ctx context.Context, table, queryID, token string, in proto.Input) error {
	return s.insertWhile(ctx, always, table, queryID, token, in)
}

func always() bool { return true }

// insertWhile is insert for a sender that may lose the right to send while it
// waits for a slot or a connection: it returns errOver then.
func (s *store) insertWhile(ctx context.Context, allowed func() bool, table, queryID, token string, in proto.Input) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	return s.send(ctx, allowed, table, queryID, token, in)
}

// send runs one INSERT on a connection of its own; ctx cancels it. Whether it is
// allowed is asked last: to connect may have taken longer than a lease lasts.
func (s *store) send(ctx context.Context, allowed func() bool, table, queryID, token string, in proto.Input) error {
	client, err := s.client(ctx)
	if err != nil {
		return fmt.Errorf("cannot connect to ClickHouse at %s: %w", s.options.Address, err)
	}
	if !allowed() {
		s.keep(client)
		return errOver
	}
	settings := append([]ch.Setting{{Key: "insert_deduplication_token", Value: token, Important: true}}, insertSettings...)
	err = client.Do(ctx, ch.Query{
		Body:    in.Into(table),
		QueryID: queryID + "/" + uuid.NewString(),
		Input:   in, Settings: settings,
	})
	if err != nil {
		_ = client.Close()
		return fmt.Errorf("cannot insert %d rows into %s under token %s: %w", in[0].Data.Rows(), table, token, err)
	}
	s.keep(client)
	return nil
}

// keep leaves a connection to the next INSERT.
func (s *store) keep(client *ch.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // while an orphan still ran
		_ = client.Close()
		return
	}
	s.idle = append(s.idle, client)
}

// client returns an idle connection, or a new one. Nobody waits for another's.
func (s *store) client(ctx context.Context) (*ch.Client, error) {
	s.mu.Lock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		client := s.idle[n-1]
		s.idle = s.idle[:n-1]
		if !client.IsClosed() {
			s.mu.Unlock()
			return client, nil
		}
	}
	s.mu.Unlock()
	return ch.Dial(ctx, s.options)
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, client := range s.idle {
		_ = client.Close()
	}
	s.idle, s.closed = nil, true
}

// transientCodes are the exceptions that time heals: overload, limits on
// memory, parts and disk, a table read-only for the moment, a server that
// starts or stops. Anything else is taken for lasting.
var transientCodes = map[int]bool{
	3: true, 74: true, 75: true, 76: true, 88: true, 159: true, 160: true, 202: true, 203: true, 209: true, 210: true,
	236: true, 241: true, 242: true, 243: true, 252: true, 253: true, 285: true,
	286: true, 289: true, 319: true, 394: true, 439: true, 473: true, 517: true,
	529: true, 999: true, 1000: true, 1001: true,
}

// lastingCode returns the code of an exception that repeating will not heal,
// or 0.
func lastingCode(err error) int {
	var native *ch.Exception
	var driver *clickhouse.Exception
	code := 0
	switch {
	case errors.As(err, &native):
		code = int(native.Code)
	case errors.As(err, &driver):
		code = int(driver.Code)
	}
	if transientCodes[code] {
		return 0
	}
	return code
}

// lastingLimit is how often the same lasting exception is met before the
// partition parks (invariant 8).
const lastingLimit = 20

// backoff waits between attempts: 100 ms doubled up to 5 s, with jitter so
// that partitions do not come back in step.
type backoff struct {
	wait time.Duration
	most time.Duration // 0: 5 s
}

func (b *backoff) sleep(ctx context.Context) error {
	b.wait = min(max(2*b.wait, 100*time.Millisecond), cmp.Or(b.most, 5*time.Second))
	timer := time.NewTimer(b.wait/2 + rand.N(b.wait/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
