package rebuilds

import (
	"fmt"

	"github.com/drawdown/drawdown/schemas"
)

// Steps of a rebuild.
const (
	Begun     = 0 // its number is taken
	Building  = 1 // the new table is fed, and filled in
	Exchanged = 2 // it has taken the place of the old one
	GivenUp   = 3
)

// Steps of a partition, which is piece 0, and of a piece.
const (
	Known  = 1 // the owner of the partition knows of the rebuild
	Left   = 2 // and has gone on after it
	ToFill = 1
	Filled = 2
)

// Rebuild is a rollup that is made anew.
type Rebuild struct {
	Number       uint32
	Rollup       string
	Step         uint8
	Run          string         // that began it
	BegunAt      schemas.Millis // when
	CopiedBefore schemas.Millis // start of the buckets that are not copied from the old table
}

// Table is the name of the new table until it takes the place of the rollup, and
// from then that of the old one.
func (r Rebuild) Table() string { return fmt.Sprintf("%s_rebuild_%d", r.Rollup, r.Number) }

// view feeds the new table.
func (r Rebuild) view() string { return r.Table() + "_view" }

// replaced is what the old table is called when it has had its time.
func (r Rebuild) replaced() string { return fmt.Sprintf("%s_replaced_%d", r.Rollup, r.Number) }

// comment marks the new table wherever it stands.
func (r Rebuild) comment() string { return fmt.Sprintf("made anew by rebuild %d, %s", r.Number, r.Run) }

// queryID begins the ids of statements that two runs must not have under way.
func (r Rebuild) queryID(id string) string {
	return fmt.Sprintf("drawdown/rebuild/%d/%s", r.Number, id)
}

// UnderWay is SQL for the rebuilds that owners take part in: number, rollup, and
// the uuid of the table that has the name of the rollup now. One is over as soon
// as its table has lost its name.
const UnderWay = `WITH tables AS (SELECT name, toString(uuid) AS uuid FROM system.tables WHERE database = currentDatabase())
SELECT r.number AS number, toString(r.rollup) AS rollup, old.uuid AS uuid
FROM (SELECT number, rollup, concat(rollup, '_rebuild_', toString(number)) AS fresh FROM rebuilds FINAL WHERE step = 1) AS r
INNER JOIN tables AS new ON new.name = r.fresh
INNER JOIN tables AS old ON old.name = r.rollup
ORDER BY number`
