package rebuilds

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

const (
	// pieceRows bounds how long a partition's batches wait for a piece: its
	// source is read twice.
	pieceRows = 200_000
	// pieceWorkspaces bounds how many small workspaces are one piece.
	pieceWorkspaces = 1000
	// endOfTime is behind every bucket and within what a DateTime can hold.
	endOfTime schemas.Millis = 4_102_444_800_000 // 2100-01-01
)

// piece is what an owner fills in at once.
type piece struct {
	copied     bool
	workspaces []string
	from, to   schemas.Millis
	rows       uint64
}

// partitions are those whose owners know of a rebuild, of the newest epoch.
type partitions struct {
	epoch uint32
	count int
	steps map[int]uint8
}

func (c *run) partitions(ctx context.Context, r Rebuild) (known partitions, err error) {
	known.steps = make(map[int]uint8)
	statement := fmt.Sprintf(`SELECT epoch, kpart, partitions, step FROM rebuild_pieces FINAL WHERE number = %d AND piece = 0 ORDER BY epoch`, r.Number)
	err = schemas.EachRow(ctx, c.Conn, statement, func(scan func(...any) error) error {
		var epoch uint32
		var id, count uint16
		var step uint8
		if err := scan(&epoch, &id, &count, &step); err != nil {
			return err
		}
		if epoch != known.epoch {
			known = partitions{epoch: epoch, count: int(count), steps: make(map[int]uint8)}
		}
		known.steps[int(id)] = step
		return nil
	})
	if err != nil {
		return known, fmt.Errorf("cannot read which consumers know of the rebuild: %w", err)
	}
	return known, nil
}

// missing are the partitions whose owner has not said that it knows.
func (k *partitions) missing() (ids []int) {
	for id := range k.count {
		if _, ok := k.steps[id]; !ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// filled returns when the owners have filled in all that the new table lacks.
func (c *run) filled(ctx context.Context, r Rebuild) error {
	var (
		listed int64 = -1 // rows of the last list
		epoch  uint32
	)
	for attempt := 1; ; {
		if err := errors.Join(c.requireOpen(ctx, r), c.requireFed(ctx, r)); err != nil {
			return err
		}
		known, err := c.partitions(ctx, r)
		if err != nil {
			return err
		}
		switch waiting := known.missing(); {
		case known.count == 0:
			c.progress("waits for a consumer: start one if none runs")
		case len(waiting) > 0:
			c.progress(fmt.Sprintf("waits for the consumers of partitions %s of %d: start them if they do not run, see drawdown doctor if they are parked", list(waiting), known.count))
		default:
			all, open, err := c.counts(ctx, r, known.epoch)
			if err != nil {
				return err
			}
			if all == 0 && (listed != 0 || epoch != known.epoch) {
				// Anew where a server that was killed knows the token and has lost
				// the rows.
				if epoch != known.epoch {
					attempt, epoch = 1, known.epoch
				}
				if listed, err = c.divide(ctx, r, &known, attempt); err != nil {
					return err
				}
				attempt++
				continue
			}
			c.progress(fmt.Sprintf("%d of %d pieces are filled in", all-open, all))
			if open == 0 {
				return nil
			}
		}
		if err := c.pause(ctx); err != nil {
			return err
		}
	}
}

// counts returns how many pieces there are, and how many are still to be filled.
func (c *run) counts(ctx context.Context, r Rebuild, epoch uint32) (all, open uint64, err error) {
	err = c.Conn.QueryRow(ctx, "SELECT count(), countIf(step = 1) FROM rebuild_pieces FINAL WHERE number = ? AND epoch = ? AND piece > 0", r.Number, epoch).Scan(&all, &open)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read how far the rebuild is: %w", err)
	}
	return all, open, nil
}

// divide lists the pieces, all in one INSERT: either all of them are known, or
// none. Of two runs that do one's list stands. It returns how many there are.
func (c *run) divide(ctx context.Context, r Rebuild, known *partitions, attempt int) (rows int64, err error) {
	c.progress("counts the rows of the source")
	byPartition := make([][]piece, known.count)
	parts := []division{{level: c.level, from: r.CopiedBefore, to: endOfTime}}
	if r.CopiedBefore > 0 {
		parts = append(parts, division{level: c.level.CopiedTo(r.Table()), to: r.CopiedBefore, copied: true})
	}
	for _, d := range parts {
		if err := c.each(ctx, d, func(workspace string, days []day) {
			id := schemas.Partition([]byte(workspace), known.count)
			byPartition[id] = d.add(byPartition[id], workspace, days)
		}); err != nil {
			return 0, err
		}
	}
	token := fmt.Sprintf("rebuild_pieces/%d/%d/%d", r.Number, known.epoch, attempt)
	inserting := clickhouse.Context(ctx, clickhouse.WithQueryID(r.queryID(uuid.NewString())), clickhouse.WithSettings(schemas.InsertOnce(token)))
	batch, err := c.Conn.PrepareBatch(inserting, "INSERT INTO rebuild_pieces (number, epoch, kpart, piece, step, partitions, copied, workspaces, `from`, `to`, source_rows, at)")
	if err != nil {
		return 0, fmt.Errorf("cannot list the pieces: %w", err)
	}
	defer func() { _ = batch.Close() }()
	for id, pieces := range byPartition {
		for i, p := range pieces {
			copied := uint8(0)
			if p.copied {
				copied = 1
			}
			err := batch.Append(r.Number, known.epoch, uint16(id), uint32(i+1), uint8(ToFill), uint16(known.count), copied, p.workspaces, p.from.Time(), p.to.Time(), p.rows, c.Now())
			if err != nil {
				return 0, fmt.Errorf("cannot list a piece: %w", err)
			}
		}
	}
	rows = int64(batch.Rows())
	if rows == 0 {
		return 0, nil
	}
	if err := batch.Send(); err != nil {
		return 0, fmt.Errorf("cannot list the pieces: %w", err)
	}
	// One under the same token may not be seen yet.
	return rows, c.quiet(ctx, r)
}

// day is how many rows of the source a workspace has on a day.
type day struct {
	from schemas.Millis
	rows uint64
}

// division is a stretch of time that is divided into pieces.
type division struct {
	level    rollup.Level
	from, to schemas.Millis
	copied   bool
}

// each calls do with the days of each workspace, in order.
func (c *run) each(ctx context.Context, d division, do func(workspace string, days []day)) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": fmt.Sprint(int64(d.from)), "to": fmt.Sprint(int64(d.to))}),
		clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 0}))
	var workspace string
	var days []day
	err := schemas.EachRow(ctx, c.Conn, d.level.SourceRows("1"), func(scan func(...any) error) error {
		var name string
		var at time.Time
		var rows uint64
		if err := scan(&name, &at, &rows); err != nil {
			return err
		}
		if name != workspace && len(days) > 0 {
			do(workspace, days)
			days = days[:0]
		}
		workspace, days = name, append(days, day{schemas.MillisOf(at), rows})
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot count the rows that %s is made from: %w", d.level.Table, err)
	}
	if len(days) > 0 {
		do(workspace, days)
	}
	return nil
}

// add appends the pieces of a workspace; a small one joins others.
func (d division) add(pieces []piece, workspace string, days []day) []piece {
	var rows uint64
	for _, day := range days {
		rows += day.rows
	}
	if rows <= pieceRows {
		if n := len(pieces); n > 0 {
			last := &pieces[n-1]
			if last.copied == d.copied && last.from == d.from && last.to == d.to && last.rows+rows <= pieceRows && len(last.workspaces) < pieceWorkspaces {
				last.workspaces = append(last.workspaces, workspace)
				last.rows += rows
				return pieces
			}
		}
		return append(pieces, piece{d.copied, []string{workspace}, d.from, d.to, rows})
	}
	// Pieces of a large one follow each other without a gap.
	const hour schemas.Millis = 3_600_000
	own := piece{copied: d.copied, workspaces: []string{workspace}, from: d.from}
	end := func(at schemas.Millis) {
		own.to = at
		pieces = append(pieces, own)
		own.from, own.rows = at, 0
	}
	for _, day := range days {
		if own.rows > 0 && own.rows+day.rows > pieceRows {
			end(day.from)
		}
		// A day that is more than a piece: so many hours at a time.
		parts := schemas.Millis(min((day.rows+pieceRows-1)/pieceRows, 24))
		if d.level.Bucket > time.Hour {
			parts = 1
		}
		for i := schemas.Millis(1); i < parts; i++ {
			own.rows += day.rows / uint64(parts)
			if at := day.from + i*24/parts*hour; at > own.from && at < d.to {
				end(at)
			}
		}
		own.rows += day.rows / uint64(parts)
	}
	end(d.to)
	return pieces
}
