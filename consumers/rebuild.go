package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rebuilds"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// anew is a rollup that is being made anew, as package rebuilds has it.
type anew struct {
	rebuilds.Rebuild
	uuid string // of the table that had the name of the rollup when it was looked at last
}

// errAnewOver says that a table in which a rollup was made anew has lost its name.
var errAnewOver = errors.New("the rebuild of a rollup is over")

// errNotFilled says that a piece still lacks something after it was filled in.
var errNotFilled = errors.New("the new table still differs from its source: somebody else writes into it")

const unknownTable = 60 // ClickHouse's UNKNOWN_TABLE

// isGone says that an error, of which text names the table, is about one in which
// a rollup was made anew.
func (p *partition) isGone(text string, err error) bool {
	if lastingCode(err) != unknownTable {
		return false
	}
	for i := range p.anew {
		if strings.Contains(text, p.anew[i].Table()) {
			return true
		}
	}
	return false
}

// lookForRebuilds has the partitions look whether a rollup is made anew, if one
// is or was, and reports that: then it is worth while to look again soon.
func (c *Consumer) lookForRebuilds(ctx context.Context) (open bool) {
	const query = `SELECT (SELECT count() FROM rebuilds FINAL WHERE step = 1) + (SELECT count() FROM rebuild_pieces FINAL WHERE epoch = {epoch:UInt32} AND piece = 0 AND step = 1)`
	var n uint64
	began := c.now()
	err := c.db.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"epoch": fmt.Sprint(c.Epoch)})), query).Scan(&n)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		c.readErrors.note("cannot read which rollups are made anew, trying again", err)
		return false
	}
	c.readErrors.clearSince("reads are answered again", began)
	if n == 0 {
		return false
	}
	for _, p := range c.partitions() {
		p.lookSoon()
	}
	return true
}

// lookSoon has the inserter look between two batches.
func (p *partition) lookSoon() {
	if p.role != schemas.ConsumptionTopic {
		return
	}
	p.mu.Lock()
	p.look = true
	p.mu.Unlock()
	wake(p.intended)
}

func (p *partition) takeLook() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	look := p.look
	p.look = false
	return look
}

// lookForRebuilds learns which rollups are made anew: before the first INSERT of
// an owner, and then between two batches.
func (p *partition) lookForRebuilds(ctx context.Context) error {
	if p.role != schemas.ConsumptionTopic {
		return nil
	}
	under, err := retryRead(ctx, p, p.c.readErrors, func(ctx context.Context) (under []anew, err error) {
		err = p.query(ctx, rebuilds.UnderWay, nil, func(rows driver.Rows) error {
			var a anew
			err := rows.Scan(&a.Number, &a.Rollup, &a.uuid)
			under = append(under, a)
			return err
		})
		if lastingCode(err) == unknownTable && strings.Contains(err.Error(), "rebuilds") {
			return nil, nil // a database of an earlier release: nothing is made anew in it
		}
		return under, err
	})
	if err == nil {
		p.anew = under
	}
	return err
}

// exchanged returns the first level that was given its new table since this was
// looked at last, or how many levels there are: what was inserted meanwhile may
// be in either table, or in both.
func (p *partition) exchanged(ctx context.Context) (level int, err error) {
	level = len(rollup.Levels)
	if len(p.anew) == 0 {
		return level, nil
	}
	was := p.anew
	if err := p.lookForRebuilds(ctx); err != nil {
		return level, err
	}
	uuids := make(map[uint32]string, len(p.anew))
	for i := range p.anew {
		uuids[p.anew[i].Number] = p.anew[i].uuid
	}
	for i := range was {
		if uuids[was[i].Number] != was[i].uuid {
			level = min(level, slices.IndexFunc(rollup.Levels, func(l rollup.Level) bool { return l.Table == was[i].Rollup }))
		}
	}
	return level, nil
}

// mendAnew mends what a batch touched from the level on that was given its new
// table while it was inserted.
func (p *partition) mendAnew(ctx context.Context, b *batch, level int) error {
	if b.tables[0].len() == 0 {
		return nil
	}
	p.c.log.Info("a rollup was given its new table while a batch was inserted: both are compared", "partition", p.String(), "offsets", b.String())
	return p.mendFrom(ctx, b, level)
}

// withAnew puts before each level the table in which it is made anew.
func (p *partition) withAnew(levels []rollup.Level) []rollup.Level {
	if len(p.anew) == 0 {
		return levels
	}
	var all []rollup.Level
	for _, l := range levels {
		for i := range p.anew {
			if p.anew[i].Rollup == l.Table {
				all = append(all, l.AnewIn(p.anew[i].Table()))
			}
		}
		all = append(all, l)
	}
	return all
}

// makeAnew does this partition's part of making rollups anew, at most one piece
// of it: batches go on in between.
func (p *partition) makeAnew(ctx context.Context) error {
	was := p.anew
	if err := p.lookForRebuilds(ctx); err != nil {
		return err
	}
	said, err := p.readSaid(ctx)
	if err != nil {
		return err
	}
	under := make(map[uint32]bool, len(p.anew))
	for i := range p.anew {
		a := &p.anew[i]
		under[a.Number] = true
		if said[a.Number] == 0 {
			if err := p.waitForEpochs(ctx); err != nil {
				return err
			}
			p.c.log.Info("a rollup is made anew", "partition", p.String(), "table", a.Rollup, "number", a.Number)
			if err := p.sayPiece(ctx, a.Number, 0, rebuilds.Known); err != nil {
				return err
			}
		}
	}
	for i := range was { // also what was over before anybody said so in this epoch
		if number := was[i].Number; !under[number] && said[number] == 0 {
			said[number] = rebuilds.Known
		}
	}
	for number, step := range said {
		if step == rebuilds.Known && !under[number] {
			if err := p.countRepair(ctx); err != nil {
				return err
			}
			if err := p.sayPiece(ctx, number, 0, rebuilds.Left); err != nil {
				return err
			}
		}
	}
	if len(p.anew) == 0 {
		return nil
	}
	switch err := p.fillNext(ctx); {
	case errors.Is(err, errAnewOver):
		p.lookSoon()
	case errors.Is(err, errNotFilled):
		p.c.log.Error("a rollup cannot be made anew, trying again", "partition", p.String(), "error", err)
	default:
		return err
	}
	return nil
}

// waitForEpochs waits until no INSERT of another epoch runs on the server: it may
// be between its table and the views.
func (p *partition) waitForEpochs(ctx context.Context) error {
	return p.waitForRunning(ctx, "startsWith(query_id, {prefix:String}) AND NOT startsWith(query_id, {mine:String})",
		clickhouse.Parameters{"prefix": "drawdown/" + p.topic + "/", "mine": fmt.Sprintf("drawdown/%s/%d/", p.topic, p.c.Epoch)})
}

// readSaid returns what the owners of this partition have said of each rebuild.
func (p *partition) readSaid(ctx context.Context) (map[uint32]uint8, error) {
	said := make(map[uint32]uint8)
	const query = `SELECT number, step FROM rebuild_pieces FINAL WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND piece = 0`
	return said, p.read(ctx, query, nil, func(rows driver.Rows) error {
		var number uint32
		var step uint8
		err := rows.Scan(&number, &step)
		said[number] = step
		return err
	})
}

// sayPiece records the step of a piece, or of the partition, which is piece 0.
func (p *partition) sayPiece(ctx context.Context, number, id uint32, step uint8) error {
	var at timeColumn
	at.Append(p.c.now().UnixMilli())
	// Saying it again does no harm, and a token that was burnt would hide it.
	token := fmt.Sprintf("rebuild_pieces/%d/%d/%d/%d/%d/%d", number, p.c.Epoch, p.id, id, step, p.c.now().UnixNano())
	_, err := p.insert(ctx, "rebuild_pieces", token, proto.Input{
		{Name: "number", Data: proto.ColUInt32{number}}, {Name: "epoch", Data: proto.ColUInt32{p.c.Epoch}}, {Name: "kpart", Data: proto.ColUInt16{uint16(p.id)}},
		{Name: "piece", Data: proto.ColUInt32{id}}, {Name: "step", Data: proto.ColUInt8{step}}, {Name: "partitions", Data: proto.ColUInt16{uint16(p.c.Partitions)}},
		{Name: "at", Data: &at},
	})
	return err
}

// unfilled is a piece that its table lacks.
type unfilled struct {
	number, id uint32
	copied     bool
	workspaces []string
	from, to   time.Time
}

// fillNext fills in the next piece, if there is one.
func (p *partition) fillNext(ctx context.Context) error {
	const query = `SELECT number, piece, copied = 1, workspaces, from, to FROM rebuild_pieces FINAL
		WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND piece > 0 AND step = 1 AND number IN {numbers:Array(UInt32)} ORDER BY number, piece LIMIT 1`
	numbers := make([]string, len(p.anew))
	for i := range p.anew {
		numbers[i] = fmt.Sprint(p.anew[i].Number)
	}
	next, err := readAll(ctx, p, query, clickhouse.Parameters{"numbers": "[" + strings.Join(numbers, ",") + "]"}, func(rows driver.Rows) (u unfilled, err error) {
		return u, rows.Scan(&u.number, &u.id, &u.copied, &u.workspaces, &u.from, &u.to)
	})
	if err != nil || len(next) == 0 {
		return err
	}
	u := &next[0]
	for i := range p.anew {
		if p.anew[i].Number == u.number {
			err = p.fill(ctx, &p.anew[i], u)
		}
	}
	if err != nil {
		return err
	}
	if err := p.sayPiece(ctx, u.number, u.id, rebuilds.Filled); err != nil {
		return err
	}
	p.lookSoon()
	return nil
}

// fill puts into the new table what it lacks of a piece.
func (p *partition) fill(ctx context.Context, a *anew, u *unfilled) error {
	began := p.c.now()
	if err := p.waitForInserts(ctx); err != nil {
		return err
	}
	level, err := levelOf(a, u.copied)
	if err != nil {
		return err
	}
	token := fmt.Sprintf("rebuild/%d/%d/%d/%d", a.Number, p.c.Epoch, p.id, u.id)
	keys := 0
	for attempt := 1; ; attempt++ {
		diffs, err := p.lacking(ctx, &level, u)
		if err != nil {
			return err
		}
		if len(diffs) == 0 {
			break
		}
		if attempt > repairAttempts {
			return fmt.Errorf("%w: %d keys of %s after %d times under %s", errNotFilled, len(diffs), level.Table, repairAttempts, token)
		}
		keys += len(diffs)
		if _, err := p.addDifferences(ctx, &level, token, attempt, diffs); err != nil {
			return err
		}
	}
	p.c.log.Info("a piece of a rollup is made anew", "partition", p.String(), "table", a.Rollup, "number", a.Number, "piece", u.id, "keys", keys, "after", p.c.now().Sub(began).Round(time.Millisecond))
	return nil
}

// levelOf is the new table as a level of its own.
func levelOf(a *anew, copied bool) (rollup.Level, error) {
	for _, l := range rollup.Levels {
		switch {
		case l.Table != a.Rollup:
		case copied:
			return l.CopiedTo(a.Table()), nil
		default:
			return l.AnewIn(a.Table()), nil
		}
	}
	return rollup.Level{}, fmt.Errorf("there is no rollup %s", a.Rollup)
}

// lacking returns source minus new table for a piece.
func (p *partition) lacking(ctx context.Context, l *rollup.Level, u *unfilled) ([]difference, error) {
	touched, err := ext.NewTable("touched", ext.Column("workspace_id", "String"))
	if err != nil {
		return nil, fmt.Errorf("cannot make the table of workspaces: %w", err)
	}
	for _, workspace := range u.workspaces {
		if err := touched.Append(workspace); err != nil {
			return nil, fmt.Errorf("cannot list a workspace: %w", err)
		}
	}
	return p.differencesIn(ctx, "s.workspace_id IN (SELECT workspace_id FROM touched)", touched, u.from.UnixMilli(), u.to.UnixMilli(), l)
}
