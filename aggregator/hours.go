package aggregator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// sliceHours is how many hours one statement reads: eight of them make all that
// is kept. A week of a campaign is 1.3 kB, so a million campaigns of a
// workspace fit the memory of a statement, and what comes of one is small.
const sliceHours = 168

// groups are workspaces that are read together: fewer of those among which a
// reading failed.
func (p *part) groups(ids []string) (groups [][]string) {
	together := make(map[int][]string)
	for _, id := range ids {
		s := &p.workspaces[id].series
		if s.together == 0 {
			s.together = readChunk
		}
		together[s.together] = append(together[s.together], id)
	}
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(together))) {
		groups = slices.AppendSeq(groups, slices.Chunk(together[size], size))
	}
	return groups
}

const (
	// maxSplits bounds how many groups are read again in halves in one
	// projection: enough to find two among readChunk. What is not found then is
	// found in the next ones, which begin with smaller groups.
	maxSplits = 2 * 9
	// splitFor is for how long: statements that time out take half of it.
	splitFor = time.Minute
)

// splits is how often groups may still be split.
type splits struct {
	left  int
	until time.Time // zero: none failed yet
}

// halve returns the halves of a group that could not be read, if one workspace
// in it may be the reason, to be read in turn; else the error. From now on they
// are not read in groups that are larger.
func (s *splits) halve(p *part, group []string, err error) ([][]string, error) {
	var refused *clickhouse.Exception
	if !errors.As(err, &refused) && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err // nobody answers
	}
	if len(group) == 1 {
		return nil, fmt.Errorf("workspace %s: %w", group[0], err)
	}
	half := (len(group) + 1) / 2
	for _, id := range group {
		p.workspaces[id].series.together = half
	}
	if s.until.IsZero() {
		s.until = time.Now().Add(splitFor)
	}
	if s.left == 0 || time.Now().After(s.until) {
		return nil, err
	}
	s.left--
	return [][]string{group[:half], group[half:]}, nil
}

// readHours brings the series of workspaces up to the watermark.
func (w *watch) readHours(ctx context.Context, p *part, ids []string, watermark schemas.Millis) error {
	var whole, recent []string
	hour := watermark - watermark%hourMillis
	for _, id := range ids {
		s := &p.workspaces[id].series
		s.slide(watermark)
		late := s.touched != 0 && s.touched < hour-rereadHours*hourMillis
		s.touched = 0
		if s.wholeAt == 0 || late || watermark-s.wholeAt >= wholeEvery || watermark < s.wholeAt {
			whole = append(whole, id)
			s.wholeAt = watermark
		} else {
			recent = append(recent, id)
		}
	}
	err := w.readSlices(ctx, p, whole, hour-(seriesHours-1)*hourMillis, hour)
	if err == nil {
		err = w.readSlices(ctx, p, recent, hour-rereadHours*hourMillis, hour)
	}
	for _, id := range ids {
		if s := &p.workspaces[id].series; err == nil {
			s.together = min(2*s.together, readChunk)
		} else {
			s.wholeAt = 0 // what was not read, or not to its end, is read whole
		}
	}
	return err
}

// readSlices reads the hours from one to another anew, the newest first: should
// there be more campaigns than are kept apart, then those are that go on.
func (w *watch) readSlices(ctx context.Context, p *part, ids []string, first, last schemas.Millis) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		p.workspaces[id].series.forget(first)
	}
	for to := last + hourMillis; to > first; to -= sliceHours * hourMillis {
		from := max(to-sliceHours*hourMillis, first)
		bound := rollup.Parameters{}
		bound.Strings("workspaces", ids)
		bound.Integer("from", int64(from/1000))
		bound.Integer("to", int64(to/1000))
		err := w.a.query(ctx, "hours", hoursQuery, bound, func(scan func(...any) error) error {
			var id, campaignID, gross string
			if err := scan(&id, &campaignID, &gross); err != nil {
				return err
			}
			p.workspaces[id].series.add(campaignID, from, gross)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readUsed reads what campaigns of workspaces used over their lives and what
// the workspaces used in their periods.
func (w *watch) readUsed(ctx context.Context, p *part, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	// A period begins with a whole minute: its first minutes, then quarters.
	var from, quarters, partial []schemas.Millis // seconds
	for _, id := range ids {
		since := min(max(p.workspaces[id].period.From, rollup.Begin), rollup.End) / minuteMillis * 60
		quarter := (since + quarterSeconds - 1) / quarterSeconds * quarterSeconds
		from, quarters = append(from, since), append(quarters, quarter)
		if since < quarter {
			partial = append(partial, quarter-quarterSeconds)
		}
	}
	bound := rollup.Parameters{}
	bound.Strings("workspaces", ids)
	bound.Integers("from", from)
	bound.Integers("quarters", quarters)
	bound.Integers("partial", partial)
	lives, inPeriods := make(map[string]map[string]schemas.Total, len(ids)), make(map[string]schemas.Total, len(ids))
	for _, id := range ids {
		lives[id] = make(map[string]schemas.Total)
	}
	readAt := w.a.cfg.Now()
	err := w.a.query(ctx, "what was used", usedQuery, bound, func(scan func(...any) error) error {
		var (
			id, campaignID string
			period         bool
			micro          big.Int
		)
		if err := scan(&id, &campaignID, &period, &micro); err != nil {
			return err
		}
		net, err := schemas.TotalFromBig(&micro)
		if period {
			inPeriods[id] = net
		} else {
			lives[id][campaignID] = net
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		ws := p.workspaces[id]
		ws.life, ws.lifeAt, ws.inPeriod = lives[id], readAt, inPeriods[id]
	}
	return nil
}

const quarterSeconds = 15 * 60
