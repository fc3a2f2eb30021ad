package queryapi

import (
	"context"
	"math/big"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// The range in which events are accepted (DESIGN section 3); sums read
// nothing outside it.
const (
	timeBegin = rollup.Begin
	timeEnd   = rollup.End
)

// sumRow is a sum of one interval and key. Intervals without events have none.
type sumRow struct {
	interval int // between edges[interval] and edges[interval+1]
	key      string
	other    bool // all keys that are not told apart
	usage
}

// usage is what a bucket holds.
type usage struct {
	net     schemas.Total // may be negative
	refunds schemas.Total // positive
	events  int64
}

func (u usage) add(v usage) usage {
	return usage{net: u.net.Add(v.net), refunds: u.refunds.Add(v.refunds), events: u.events + v.events}
}

// gross is what was used before refunds.
func (u usage) gross() schemas.Total { return u.net.Add(u.refunds) }

// span is [from, to).
type span struct{ from, to schemas.Millis }

// sums is the one mechanism (invariant 1); name labels the query in metrics.
func (s *Server) sums(ctx context.Context, name string, q rollup.Query) ([]sumRow, error) {
	statement, bound := q.Statement()
	if statement == "" {
		return nil, nil
	}
	var rows []sumRow
	err := s.query(ctx, name, statement, bound, func(scan func(...any) error) error {
		var (
			edge         int64
			other        uint8
			net, refunds big.Int
			row          sumRow
		)
		if err := scan(&edge, &row.key, &other, &net, &refunds, &row.events); err != nil {
			return err
		}
		var err error
		if row.net, err = schemas.TotalFromBig(&net); err != nil {
			return err
		}
		if row.refunds, err = schemas.TotalFromBig(&refunds); err != nil {
			return err
		}
		row.interval = q.Interval(schemas.Millis(edge))
		row.other = other == 1
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

const dayMillis = 24 * 60 * 60 * 1000

// parameters are what values travel in (invariant 5).
type parameters = rollup.Parameters
