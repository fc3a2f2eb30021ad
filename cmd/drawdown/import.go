package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// importCmd is `drawdown import`: rows of files as consumption events.
type importCmd struct {
	Kafka kafkaFlags `embed:""`
	dataFlags

	Files      []string          `arg:"" name:"file" type:"existingfile" help:"CSV with a header row, or NDJSON; either may be compressed with gzip."`
	Mapping    string            `required:"" type:"existingfile" placeholder:"FILE.json" help:"How a row becomes an event; see docs/mappings."`
	ShiftToNow bool              `name:"shift-to-now" xor:"shift" help:"Move all times by as many whole days as bring the last one nearest to now. The same import id always gets the same shift."`
	ShiftDays  *int64            `name:"shift-days" xor:"shift" placeholder:"N" help:"Move all times by N days."`
	ImportID   string            `name:"import-id" placeholder:"ID" help:"Names the import; by default a hash of the files, so that the same files are the same import."`
	EventsTTL  schemas.EventsTTL `name:"events-ttl" env:"DRAWDOWN_EVENTS_TTL" default:"13mo" help:"How long raw events are kept; rows that are older are refused. 0: for ever."`
	Restart    bool              `help:"Send all rows again, also those a former run has sent. What was counted is not counted again."`
	DryRun     bool              `name:"dry-run" help:"Check the files and show what would be sent; send nothing."`
}

// Validate is called by kong; what it refuses is a usage error.
func (c *importCmd) Validate() error {
	if c.ImportID != "" && !importIDs.MatchString(c.ImportID) {
		return errors.New("--import-id must be 1 to 100 of letters, digits, '.', '_' and '-', and not begin with '.'")
	}
	return nil
}

// Run checks all rows, then sends them. Where a former run under the same
// import id was interrupted, it goes on.
func (c *importCmd) Run(ctx context.Context, env *env) error {
	m, err := readMapping(c.Mapping)
	if err != nil {
		return err
	}
	check, err := c.check(ctx, env, m)
	if err != nil {
		return err
	}
	state, err := c.state(env, check)
	if err != nil {
		return err
	}
	shift := time.Duration(state.ShiftDays) * 24 * time.Hour
	if err := check.datesFit(shift, env.Now(), c.EventsTTL); err != nil {
		return err
	}
	if c.DryRun {
		check.print(env.Stdout, "would be sent", state)
		return nil
	}
	started := time.Now()
	resumed := state.AckedRows
	if err := c.send(ctx, env, m, shift, &state); err != nil {
		return err
	}
	check.print(env.Stdout, "sent", state)
	took := time.Since(started)
	if resumed > 0 {
		fmt.Fprintf(env.Stdout, "  %s rows had been sent by a former run\n", grouped(resumed))
	}
	fmt.Fprintf(env.Stdout, "  %s rows in %s, %s/s\n", grouped(state.Rows-resumed), took.Round(10*time.Millisecond),
		grouped(int64(float64(state.Rows-resumed)/took.Seconds())))
	return nil
}

// source is the CloudEvents source where the mapping has none.
func (c *importCmd) source() string { return "/import" }

// state returns how far this import is: what a former run left, else a new one.
func (c *importCmd) state(env *env, check *importCheck) (importState, error) {
	id := c.ImportID
	if id == "" {
		id = "file-" + check.content[:16]
	}
	fresh := importState{
		ImportID: id, Content: check.content, Mapping: check.mapping, Rows: check.rows,
		Topic: c.Kafka.topics().Consumption, StartedAt: env.Now().UTC(),
	}
	switch {
	case c.ShiftDays != nil:
		fresh.ShiftDays = *c.ShiftDays
	case c.ShiftToNow:
		fresh.ShiftDays = int64(floorDiv(env.Now().Sub(check.last.Time()), 24*time.Hour))
	}
	state, known, err := readImportState(importStatePath(c.Data, id))
	if err != nil || !known {
		return fresh, err
	}
	switch {
	case state.Content != check.content:
		return state, fmt.Errorf("import %s was made from other files; choose another --import-id", id)
	case state.Mapping != check.mapping:
		return state, fmt.Errorf("import %s was made with another mapping, so its rows would not be the same events; choose another --import-id, or use the former mapping", id)
	case !c.ShiftToNow && state.ShiftDays != fresh.ShiftDays:
		return state, fmt.Errorf("import %s was made with a shift of %d days, and with %d days its rows would be counted as new events; use --shift-days %d, or choose another --import-id",
			id, state.ShiftDays, fresh.ShiftDays, state.ShiftDays)
	}
	// A finished import that is asked for again is sent again: its events are
	// told by their ids, and a topic that was emptied gets them back.
	if c.Restart || state.AckedRows >= state.Rows || state.Topic != fresh.Topic {
		state.AckedRows = 0
	}
	state.Topic = fresh.Topic
	return state, nil
}

func floorDiv(d, by time.Duration) time.Duration {
	quotient := d / by
	if d%by < 0 {
		quotient--
	}
	return quotient
}

// importHeaders mark the records of an import.
func importHeaders(id string) []schemas.Header {
	return []schemas.Header{{Key: schemas.ImportHeader, Value: []byte(id)}}
}

// stateEvery is how often the progress of an import is kept: what a kill
// repeats at most.
const stateEvery = time.Second

// send sends the rows that are not acknowledged yet.
func (c *importCmd) send(ctx context.Context, env *env, m *mapping, shift time.Duration, state *importState) (err error) {
	p, err := newProducer(ctx, c.Kafka, env.Log)
	if err != nil {
		return err
	}
	if state.ClusterID != "" && state.ClusterID != p.clusterID {
		state.AckedRows = 0 // another Kafka has none of them
	}
	state.ClusterID = p.clusterID
	path := importStatePath(c.Data, state.ImportID)
	first := state.AckedRows
	keep := func() error {
		state.AckedRows = first + p.AckedPrefix()
		state.UpdatedAt = env.Now().UTC()
		return writeJSON(path, state)
	}
	bar := startProgress(env.Stderr, "import", state.Rows, func() int64 { return first + p.Acked() })
	// The shift is kept before the first event is sent with it.
	err = keep()
	if err == nil {
		err = c.sendRows(ctx, m, shift, state, p, keep)
	}
	err = errors.Join(p.Close(ctx), err)
	bar.Stop()
	if err := errors.Join(err, keep()); err != nil {
		return fmt.Errorf("import %s stopped after %s of %s rows; the same command goes on from there: %w",
			state.ImportID, grouped(state.AckedRows), grouped(state.Rows), err)
	}
	return nil
}

func (c *importCmd) sendRows(ctx context.Context, m *mapping, shift time.Duration, state *importState, p *producer, keep func() error) error {
	mapper := newRowMapper(m, c.source())
	mapper.shift = shift
	headers := importHeaders(state.ImportID)
	var (
		value []byte
		row   int64
		skip  = state.AckedRows
		kept  = time.Now()
	)
	err := c.eachRow(ctx, m, nil, func(at rowPosition, values []string) error {
		row++
		if row <= skip {
			return nil
		}
		ev, err := mapper.eventOf(values)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err) // the file has changed since it was checked
		}
		value = schemas.AppendEvent(value[:0], ev)
		if err := p.Send(ctx, schemas.ConsumptionTopic, ev.WorkspaceID, value, headers...); err != nil {
			return err
		}
		if row%1024 == 0 && time.Since(kept) >= stateEvery {
			kept = time.Now()
			return keep()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if row != state.Rows {
		return fmt.Errorf("the files have %d rows now and had %d when they were checked; do not change them during an import", row, state.Rows)
	}
	return p.Flush(ctx)
}

// rowPosition says where a row is, for messages.
type rowPosition struct {
	file string
	line int
}

func (p rowPosition) String() string { return fmt.Sprintf("%s line %d", filepath.Base(p.file), p.line) }

// eachRow calls visit with every row of every file. The content of all files
// goes into sum unless it is nil.
func (c *importCmd) eachRow(ctx context.Context, m *mapping, sum io.Writer, visit func(rowPosition, []string) error) error {
	for _, path := range c.Files {
		if err := eachRowOf(ctx, path, m, sum, visit); err != nil {
			return err
		}
	}
	return nil
}

func eachRowOf(ctx context.Context, path string, m *mapping, sum io.Writer, visit func(rowPosition, []string) error) (err error) {
	in, err := openInput(path, m, sum)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for rows := 0; ; rows++ {
		if rows%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		values, err := in.Next()
		if errors.Is(err, io.EOF) {
			return in.Drain()
		}
		at := rowPosition{file: path, line: in.Line()}
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if err := visit(at, values); err != nil {
			return err
		}
	}
}

// hashFile returns the SHA-256 of a file in hexadecimal digits.
func hashFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
