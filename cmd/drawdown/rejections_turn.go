package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// identity is what makes two records one event for the consumers; the zero value
// is that of one that cannot be counted.
type identity struct {
	workspace, id string
	at            schemas.Millis
}

// isNew says that it is one that --new-id gave, which counts beside others.
func (i identity) isNew() bool { return strings.HasPrefix(i.id, replayIDPrefix) }

// former is what an earlier turn has sent for a rejection.
type former struct {
	identity
	rejected bool // as what it was sent it was rejected again
}

// turns are the decisions of all runs about what is sent for which rejection.
type turns struct {
	conn driver.Conn
	run  string
	last uint64 // known to be taken
}

func newTurns(conn driver.Conn) *turns { return &turns{conn: conn, run: uuid.NewString()} }

// see reads how many turns were taken. What is decided for the next one must be
// read after.
func (t *turns) see(ctx context.Context) error {
	var last uint64
	if err := t.conn.QueryRow(ctx, "SELECT max(turn) FROM replay_turns").Scan(&last); err != nil {
		return fmt.Errorf("cannot read which replays there were: %w", err)
	}
	t.last = max(t.last, last)
	return nil
}

// queryPrefix begins the ids of the INSERTs of turns.
const queryPrefix = "drawdown/rejections-replay/"

// take tries to make the next turn this run's. It returns 0 if another run was
// first: what it decided must be seen before anything is sent.
func (t *turns) take(ctx context.Context, now time.Time, records []replayRecord) (turn uint64, err error) {
	turn = t.last + 1
	queryID := fmt.Sprintf("%s%d/%s", queryPrefix, turn, t.run)
	inserting := clickhouse.Context(ctx, clickhouse.WithQueryID(queryID), clickhouse.WithSettings(schemas.InsertOnce(fmt.Sprintf("replay_turns/%d", turn))))
	if err := t.insert(inserting, turn, now, records); err != nil {
		return 0, err
	}
	// A server may know a token before it shows the rows; one that was killed in
	// between never shows them, and the turn is nobody's.
	for {
		taken, err := t.takenBy(ctx, turn)
		switch {
		case err != nil:
			return 0, err
		case taken == t.run:
			t.last = turn
			return turn, nil
		case taken != "":
			t.last = turn
			return 0, nil
		}
		var running uint64
		err = t.conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE startsWith(query_id, ?) AND query_id != ?", fmt.Sprintf("%s%d/", queryPrefix, turn), queryID).Scan(&running)
		if err != nil {
			return 0, fmt.Errorf("cannot read what other replays do: %w", err)
		}
		if running > 0 {
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		if taken, err = t.takenBy(ctx, turn); err != nil || taken == "" {
			t.last = turn
			return 0, err
		}
	}
}

func (t *turns) takenBy(ctx context.Context, turn uint64) (run string, err error) {
	if err := t.conn.QueryRow(ctx, "SELECT any(run) FROM replay_turns WHERE turn = ?", turn).Scan(&run); err != nil {
		return "", fmt.Errorf("cannot read whose turn it is: %w", err)
	}
	return run, nil
}

func (t *turns) insert(ctx context.Context, turn uint64, now time.Time, records []replayRecord) error {
	batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO replay_turns (turn, run, at, topic, epoch, kpart, koff, root, workspace_id, event_time, role, key, event_id, value, headers)")
	if err != nil {
		return fmt.Errorf("cannot record what is to be replayed: %w", err)
	}
	defer func() { _ = batch.Close() }()
	for i := range records {
		r := &records[i]
		headers := make([][]any, 0, len(r.headers))
		for _, header := range r.headers {
			headers = append(headers, []any{header.Key, string(header.Value)})
		}
		err := batch.Append(turn, t.run, now, r.from.topic, r.from.epoch, r.from.partition, r.from.offset, r.root, r.as.workspace, r.as.at.Time(),
			string(r.role), r.key, strings.ToValidUTF8(r.eventID, "\uFFFD"), string(r.value), headers)
		if err != nil {
			return errors.Join(fmt.Errorf("cannot record what is to be replayed: %w", err), batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("cannot record what is to be replayed: %w", err)
	}
	return nil
}

// begun returns what the last turn decided for each of the rejections, and which
// of these turns have ended.
func (t *turns) begun(ctx context.Context, chosen []rejectedRecord) (begun map[rejectionPlace]replayRecord, ended map[rejectionPlace]bool, err error) {
	rows, err := t.conn.Query(ctx, `SELECT turn, topic, epoch, kpart, koff, role, key, event_id, value, headers,
			(topic, epoch, kpart, koff, turn) IN (SELECT topic, epoch, kpart, koff, turn FROM rejection_replays WHERE state = 'sent' AND (topic, epoch, kpart, koff) IN (?))
		FROM replay_turns WHERE (topic, epoch, kpart, koff) IN (?)
		ORDER BY topic, epoch, kpart, koff, turn DESC LIMIT 1 BY topic, epoch, kpart, koff`, tuples(chosen), tuples(chosen))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read former replays: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	begun, ended = map[rejectionPlace]replayRecord{}, map[rejectionPlace]bool{}
	for rows.Next() {
		var (
			one         replayRecord
			role, value string
			headers     [][]any
			sent        uint8
		)
		if err := rows.Scan(&one.turn, &one.from.topic, &one.from.epoch, &one.from.partition, &one.from.offset, &role, &one.key, &one.eventID, &value, &headers, &sent); err != nil {
			return nil, nil, fmt.Errorf("cannot read a former replay: %w", err)
		}
		one.role, one.value, one.headers = schemas.Topic(role), []byte(value), schemaHeaders(headers)
		begun[one.from], ended[one.from] = one, sent == 1
	}
	return begun, ended, rows.Err()
}

// formers returns what earlier turns have sent for chains of rejections, by their
// root. What was sent is known to be rejected by the rejection with its value and
// its headers: with others it may have been counted.
func (t *turns) formers(ctx context.Context, roots []string) (all map[string][]former, err error) {
	var known uint64
	if err := t.conn.QueryRow(ctx, "SELECT count() FROM replay_turns WHERE root IN (?)", roots).Scan(&known); err != nil {
		return nil, fmt.Errorf("cannot read what was replayed before: %w", err)
	}
	all = map[string][]former{}
	if known == 0 {
		return all, nil // which spares looking through all rejections
	}
	rows, err := t.conn.Query(ctx, `SELECT root, workspace_id, event_id, toUnixTimestamp64Milli(event_time),
			(left(value, 65536), arraySort(headers)) IN (SELECT value, arraySort(arrayFilter(header -> header.1 != ?, headers)) FROM rejections
				PREWHERE arrayExists(header -> header.1 = ? AND header.2 IN (?), headers))
		FROM replay_turns WHERE root IN (?) AND workspace_id != ''`, schemas.OriginHeader, schemas.ReplayHeader, roots, roots)
	if err != nil {
		return nil, fmt.Errorf("cannot read what was replayed before: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			root     string
			f        former
			at       int64
			rejected uint8
		)
		if err := rows.Scan(&root, &f.workspace, &f.id, &at, &rejected); err != nil {
			return nil, fmt.Errorf("cannot read what was replayed before: %w", err)
		}
		f.at, f.rejected = schemas.Millis(at), rejected == 1
		all[root] = append(all[root], f)
	}
	return all, rows.Err()
}

// twice says which of the former ones might count beside what is to be sent now,
// so that one rejected record were counted as two events; nil: none.
func twice(before []former, now identity) *former {
	if now == (identity{}) {
		return nil
	}
	for i := range before {
		if f := &before[i]; f.identity != now && !f.rejected && f.isNew() == now.isNew() {
			return f
		}
	}
	return nil
}
