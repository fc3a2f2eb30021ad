package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
)

// The states of a row of rejection_replays.
const (
	replaySending = "sending" // written before Kafka gets the record
	replaySent    = "sent"    // Kafka has acknowledged it
)

// rejectionPlace is where a rejected record stands.
type rejectionPlace struct {
	topic     string
	epoch     uint32
	partition uint16
	offset    uint64
}

func (r *rejectedRecord) place() rejectionPlace {
	return rejectionPlace{topic: r.Topic, epoch: r.Epoch, partition: r.Partition, offset: r.Offset}
}

// String is the value of the replay header.
func (p rejectionPlace) String() string {
	return fmt.Sprintf("%s/%d/%d/%d", p.topic, p.epoch, p.partition, p.offset)
}

// replayRecord is what is produced for a rejection.
type replayRecord struct {
	from    rejectionPlace
	turn    uint64   // by which it is sent; 0: not decided yet
	root    string   // place of the first rejection of its chain
	as      identity // of the event that it is
	role    schemas.Topic
	key     string
	eventID string
	value   []byte
	headers []schemas.Header
	doubt   string // why it will be rejected again, as far as can be said
}

// tuples is a list of places for IN, as the driver binds it.
func tuples(of []rejectedRecord) []clickhouse.GroupSet {
	list := make([]clickhouse.GroupSet, len(of))
	for i := range of {
		list[i] = clickhouse.GroupSet{Value: []any{of[i].Topic, of[i].Epoch, of[i].Partition, of[i].Offset}}
	}
	return list
}

// readValues returns the records with their values, in the same order.
func readValues(ctx context.Context, conn driver.Conn, chosen []rejectedRecord) (whole []rejectedRecord, err error) {
	workspaces := make([]string, len(chosen)) // for the primary key
	for i := range chosen {
		workspaces[i] = chosen[i].WorkspaceID
	}
	rows, err := conn.Query(ctx, `SELECT topic, epoch, kpart, koff, value FROM rejections
		WHERE workspace_id IN (?) AND (topic, epoch, kpart, koff) IN (?)`, workspaces, tuples(chosen))
	if err != nil {
		return nil, fmt.Errorf("cannot read the values of rejections: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := map[rejectionPlace]string{}
	for rows.Next() {
		var (
			at    rejectionPlace
			value string
		)
		if err := rows.Scan(&at.topic, &at.epoch, &at.partition, &at.offset, &value); err != nil {
			return nil, fmt.Errorf("cannot read the value of a rejection: %w", err)
		}
		values[at] = value
	}
	for i := range chosen {
		one := chosen[i]
		if value, ok := values[one.place()]; ok { // else it has aged out meanwhile
			one.Value = value
			whole = append(whole, one)
		}
	}
	return whole, rows.Err()
}

func schemaHeaders(pairs [][]any) (headers []schemas.Header) {
	for _, header := range headersOf(pairs) {
		headers = append(headers, schemas.Header{Key: header.Key, Value: []byte(header.Value)})
	}
	return headers
}

// readBegun returns what a former run was sending when it was interrupted, if
// that was before there were turns.
func readBegun(ctx context.Context, conn driver.Conn, chosen []rejectedRecord) (begun map[rejectionPlace]replayRecord, err error) {
	rows, err := conn.Query(ctx, `SELECT topic, epoch, kpart, koff, role, key, event_id, value, headers FROM rejection_replays
		WHERE (topic, epoch, kpart, koff) IN (?) AND turn = 0
		ORDER BY topic, epoch, kpart, koff, at DESC, state DESC
		LIMIT 1 BY topic, epoch, kpart, koff`, tuples(chosen))
	if err != nil {
		return nil, fmt.Errorf("cannot read former replays: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	begun = map[rejectionPlace]replayRecord{}
	for rows.Next() {
		var (
			one         replayRecord
			role, value string
			headers     [][]any
		)
		if err := rows.Scan(&one.from.topic, &one.from.epoch, &one.from.partition, &one.from.offset, &role, &one.key, &one.eventID, &value, &headers); err != nil {
			return nil, fmt.Errorf("cannot read a former replay: %w", err)
		}
		if value == "" && len(headers) == 0 { // sent
			continue
		}
		one.role, one.value, one.headers = schemas.Topic(role), []byte(value), schemaHeaders(headers)
		begun[one.from] = one
	}
	return begun, rows.Err()
}

// writeReplays says of records that they are being sent, or are sent.
func writeReplays(ctx context.Context, conn driver.Conn, state string, now time.Time, records []replayRecord) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO rejection_replays (topic, epoch, kpart, koff, at, state, role, key, event_id, value, headers, turn)")
	if err != nil {
		return fmt.Errorf("cannot record what is replayed: %w", err)
	}
	for i := range records {
		r := &records[i]
		value, headers := string(r.value), make([][]any, 0, len(r.headers))
		if state == replaySent {
			value = ""
		} else {
			for _, header := range r.headers {
				headers = append(headers, []any{header.Key, string(header.Value)})
			}
		}
		err := batch.Append(r.from.topic, r.from.epoch, r.from.partition, r.from.offset, now, state, string(r.role), r.key,
			strings.ToValidUTF8(r.eventID, "\uFFFD"), value, headers, r.turn)
		if err != nil {
			return errors.Join(fmt.Errorf("cannot record what is replayed: %w", err), batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("cannot record what is replayed: %w", err)
	}
	return nil
}
