// Package audits is what the auditor, who finds, and the consumers, who repair,
// tell each other in table audits (invariant 10 of the design), and what others
// read of it.
package audits

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// State is what became of a finding.
type State string

// States of a finding.
const (
	Drift      State = "drift"      // it is wrong
	Fine       State = "ok"         // it was not wrong any more when looked at again
	Repaired   State = "repaired"   // it was wrong
	Unprovable State = "unprovable" // what is right cannot be known any more: it is left as it is
)

// Steps of a finding.
const (
	Seen      = 1 // once
	Confirmed = 2 // seen twice, the same both times: to be repaired
	Settled   = 3
	Mended    = 4 // settled by a repair, which nothing said later hides
)

// Tables that a range of offsets may be wrong in, beside the rollups, which an
// hour may be wrong in.
const (
	Events     = "events"
	Entries    = "credit_entries"
	States     = "states" // campaigns and workspaces together
	Rejections = "rejections"
	Batches    = "ingest_batches"
)

// Place is what a finding is about: of a range of offsets First and Last, of an
// hour the workspace.
type Place struct {
	Topic       string
	Epoch       uint32
	Partition   int
	What        string // table
	First, Last int64
	WorkspaceID string
	Hour        schemas.Millis // start; of usage_1d that of the day; of a range the end of the hours that it may have counted into
}

// Range says that it is about offsets.
func (p *Place) Range() bool { return p.WorkspaceID == "" }

// String names the place for people.
func (p Place) String() string {
	if p.Range() {
		return fmt.Sprintf("%s of %s/%d offsets %d-%d", p.What, p.Topic, p.Partition, p.First, p.Last)
	}
	return fmt.Sprintf("%s of workspace %s at %s", p.What, p.WorkspaceID, p.Hour.Time().Format(time.RFC3339))
}

// Disorder is how much earlier, in milliseconds, a record's timestamp may be than
// those before it in its partition, which producers may set.
const Disorder schemas.Millis = 24 * 60 * 60_000

// CountedBefore is the end of the last hour that records may have counted into
// of which the last has a timestamp: no event is ahead of its arrival by more
// than five minutes, and timestamps are in order but for Disorder.
func CountedBefore(last schemas.Millis) schemas.Millis {
	const minute, hour schemas.Millis = 60_000, 60 * 60_000
	at := last + 5*minute + Disorder
	return min(max(at-at%hour+hour, 0), rollup.End)
}

// Difference is what is there and what should be: rows and net micro-credits of
// a range, events and net micro-credits of the differing keys of an hour.
type Difference struct {
	Expected, Found           int64
	ExpectedMicro, FoundMicro schemas.Total
	Keys                      uint64
	Fingerprint               uint64 // hash of the whole difference
}

// Finding is a row of table audits.
type Finding struct {
	Place
	Difference
	FirstSeenAt schemas.Millis
	State       State
	Step        uint8
	ConfirmedAt schemas.Millis // NoInstant: not
	SettledAt   schemas.Millis // NoInstant: not
	Token       string
	Note        string
}

const columns = `topic, epoch, kpart, what, first, last, workspace_id, hour, first_seen_at, state, step, expected, found,
    expected_micro, found_micro, keys, fingerprint, confirmed_at, settled_at, token, note`

// Query reads findings as they stand; conditions may follow with AND. Its rows
// are read by Scan.
const Query = "SELECT " + columns + "\nFROM audits FINAL WHERE epoch = {epoch:UInt32}"

// Scan reads a row of Query.
func (f *Finding) Scan(scan func(...any) error) error {
	var (
		partition          uint16
		first, last        uint64
		hour, seen         time.Time
		expected, found    big.Int
		confirmed, settled *time.Time
		state              string
	)
	err := scan(&f.Topic, &f.Epoch, &partition, &f.What, &first, &last, &f.WorkspaceID, &hour, &seen, &state, &f.Step, &f.Expected, &f.Found,
		&expected, &found, &f.Keys, &f.Fingerprint, &confirmed, &settled, &f.Token, &f.Note)
	if err != nil {
		return err
	}
	f.Partition, f.First, f.Last, f.State = int(partition), int64(first), int64(last), State(state)
	f.Hour, f.FirstSeenAt = schemas.MillisOf(hour), schemas.MillisOf(seen)
	f.ConfirmedAt, f.SettledAt = orNone(confirmed), orNone(settled)
	if f.ExpectedMicro, err = schemas.TotalFromBig(&expected); err != nil {
		return err
	}
	f.FoundMicro, err = schemas.TotalFromBig(&found)
	return err
}

func orNone(at *time.Time) schemas.Millis {
	if at == nil {
		return schemas.NoInstant
	}
	return schemas.MillisOf(*at)
}

func orNull(at schemas.Millis) *time.Time {
	if at == schemas.NoInstant {
		return nil
	}
	t := at.Time()
	return &t
}

// Write records findings as they stand now. Repeating it does no harm.
func Write(ctx context.Context, conn driver.Conn, findings ...Finding) error {
	if len(findings) == 0 {
		return nil
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO audits ("+columns+")")
	if err != nil {
		return fmt.Errorf("cannot record %d findings of the audit: %w", len(findings), err)
	}
	defer func() { _ = batch.Close() }()
	for i := range findings {
		f := &findings[i]
		err := batch.Append(f.Topic, f.Epoch, uint16(f.Partition), f.What, uint64(f.First), uint64(f.Last), f.WorkspaceID, f.Hour.Time(),
			f.FirstSeenAt.Time(), string(f.State), f.Step, f.Expected, f.Found, f.ExpectedMicro.Big(), f.FoundMicro.Big(), f.Keys, f.Fingerprint,
			orNull(f.ConfirmedAt), orNull(f.SettledAt), f.Token, f.Note)
		if err != nil {
			return fmt.Errorf("cannot record a finding of the audit: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("cannot record %d findings of the audit: %w", len(findings), err)
	}
	return nil
}

// MarkHours says of hours of event time whether they were dirty at an instant:
// counted into since they were audited. The newest word holds.
func MarkHours(ctx context.Context, conn driver.Conn, epoch uint32, hours []schemas.Millis, dirty bool, at time.Time) error {
	if len(hours) == 0 {
		return nil
	}
	batch, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0})), "INSERT INTO audit_hours (epoch, hour, dirty, at)")
	if err != nil {
		return fmt.Errorf("cannot record %d hours: %w", len(hours), err)
	}
	defer func() { _ = batch.Close() }()
	word := uint8(0)
	if dirty {
		word = 1
	}
	for _, hour := range hours {
		if err := batch.Append(epoch, hour.Time(), word, at.UTC()); err != nil {
			return fmt.Errorf("cannot record an hour: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("cannot record %d hours: %w", len(hours), err)
	}
	return nil
}
