package audit

import (
	"context"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Scope is what a check is about.
type Scope struct {
	// From and To bound the hours of event time; NoInstant: from the first that
	// can be proven, to the last of which something is known.
	From, To schemas.Millis
	// WorkspaceID restricts hours to a workspace, and ranges to its partition;
	// empty: all.
	WorkspaceID string
	// IDs asks for ids that came again as well, which reads all ids at once.
	IDs bool
}

// Report is what a check has found.
type Report struct {
	From         schemas.Millis   `json:"from"`
	To           schemas.Millis   `json:"to"`
	Batches      int              `json:"batches"` // compared with what the tables hold
	Hours        int              `json:"hours"`   // compared in every rollup
	Drift        []audits.Finding `json:"-"`
	Unsettled    []audits.Finding `json:"-"` // differences that INSERTs changed all the time
	UnknownVoids []UnknownVoid    `json:"unknown_voids"`
	ReusedIDs    []ReusedID       `json:"reused_ids"`
}

// UnknownVoid is a void or an adjustment of a grant that nobody has granted.
type UnknownVoid struct {
	WorkspaceID string    `json:"workspace_id"`
	EventID     string    `json:"event_id"`
	GrantID     string    `json:"grant_id"`
	At          time.Time `json:"at"`
}

// ReusedID is an id of a workspace that was counted more than once.
type ReusedID struct {
	WorkspaceID string    `json:"workspace_id"`
	EventID     string    `json:"event_id"`
	Events      uint64    `json:"events"` // counted under the id
	Times       uint64    `json:"times"`  // different ones among them; fewer than events: one of them is counted twice
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
}

// Check compares everything in a scope once and records nothing: what differs
// was looked at by itself (rule 1), or is unsettled.
func (a *Auditor) Check(ctx context.Context, scope Scope) (*Report, error) {
	c := &cycles{a: a, place: places{provableFrom: schemas.NoInstant}}
	report := &Report{UnknownVoids: []UnknownVoid{}, ReusedIDs: []ReusedID{}}
	var workspaces []string
	if scope.WorkspaceID != "" {
		workspaces = []string{scope.WorkspaceID}
	}
	floor, end, err := c.bounds(ctx)
	if err != nil {
		return nil, err
	}
	from, to := max(scope.From, floor), end
	if scope.To != schemas.NoInstant {
		to = min(scope.To, end)
	}
	from -= from % hourMillis
	to = (to + hourMillis - 1) / hourMillis * hourMillis
	report.From, report.To = from, max(from, to)
	for _, p := range a.partitions() {
		if scope.WorkspaceID != "" && p.id != schemas.Partition([]byte(scope.WorkspaceID), a.cfg.Partitions) {
			continue
		}
		if err := a.checkRanges(ctx, p, from, report); err != nil {
			return nil, err
		}
	}
	for at := from; at < to; {
		s, err := a.worth(ctx, at, to)
		if err != nil {
			return nil, err
		}
		for i := range rollup.Levels {
			wrong, err := a.compareHours(ctx, &rollup.Levels[i], s, workspaces, maxFindings*int(s.days()))
			if err != nil {
				return nil, err
			}
			if err := a.reportClean(ctx, wrong, report); err != nil {
				return nil, err
			}
		}
		report.Hours += int((s.to - s.from) / hourMillis)
		at = s.to
	}
	return report, a.list(ctx, scope, report)
}

func (a *Auditor) reportClean(ctx context.Context, wrong []audits.Finding, report *Report) error {
	if len(wrong) == 0 {
		return nil
	}
	seen, looked, err := a.cleanly(ctx, wrong, make(map[partition]bool))
	add := func(to *[]audits.Finding, f audits.Finding) {
		// A day is compared with each of its spans.
		if !slices.ContainsFunc(*to, func(other audits.Finding) bool { return other.Place == f.Place }) {
			*to = append(*to, f)
		}
	}
	for _, f := range seen {
		add(&report.Drift, f)
	}
	for _, f := range wrong {
		if !looked[f.Place] {
			add(&report.Unsettled, f)
		}
	}
	return err
}

// bounds returns the first hour that can be proven and the end of the last of
// which something is known.
func (c *cycles) bounds(ctx context.Context) (first, end schemas.Millis, err error) {
	const query = `
SELECT toInt64(toUnixTimestamp(min(time))) * 1000, toInt64(toUnixTimestamp(max(time))) * 1000, count() FROM events
UNION ALL
SELECT toInt64(toUnixTimestamp(min(bucket))) * 1000, (toInt64(toUnixTimestamp(max(bucket))) + 86399) * 1000, count() FROM usage_1d`
	first, end = schemas.NoInstant, schemas.NoInstant
	err = c.a.query(ctx, "the first and the last event", query, c.a.bound(), func(scan func(...any) error) error {
		var least, most int64
		var n uint64
		err := scan(&least, &most, &n)
		if n > 0 {
			if first == schemas.NoInstant || schemas.Millis(least) < first {
				first = schemas.Millis(least)
			}
			end = max(end, schemas.Millis(most)+1)
		}
		return err
	})
	if first == schemas.NoInstant {
		return 0, 0, err
	}
	if raw := c.a.rawFrom(); raw != schemas.NoInstant {
		first = max(first, (raw+hourMillis-1)/hourMillis*hourMillis)
	}
	return first - first%hourMillis, end, err
}

// checkRanges compares the ranges of a partition that may have brought events of
// an instant on.
func (a *Auditor) checkRanges(ctx context.Context, p partition, from schemas.Millis, report *Report) error {
	const firstOf = "SELECT min(first), count() FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND last_time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"
	bound := a.bound()
	bound.String("topic", p.topic)
	bound.Integer("kpart", int64(p.id))
	if p.topic != a.cfg.Topics.Consumption {
		from = 0 // what is granted holds for long
	}
	bound.Integer("from", int64(max(from-audits.Disorder, 0)))
	if lost, err := a.beforeLedger(ctx, p); err != nil {
		return err
	} else if err := a.reportClean(ctx, lost, report); err != nil {
		return err
	}
	var next, n uint64
	if err := a.query(ctx, "the ledger of "+p.String(), firstOf, bound, func(scan func(...any) error) error { return scan(&next, &n) }); err != nil || n == 0 {
		return err
	}
	var before []batch
	for {
		bound := rollup.Parameters{}
		bound.Integer("next", int64(next))
		batches, err := a.readLedger(ctx, p, "first >= {next:UInt64}", bound, "ASC")
		if err != nil {
			return err
		}
		if len(batches) == 0 {
			return a.checkEnd(ctx, p, before, report)
		}
		report.Batches += len(batches)
		wrong, _, err := a.compareRanges(ctx, p, append(before, batches...), "")
		if err != nil {
			return err
		}
		if err := a.reportClean(ctx, wrong, report); err != nil {
			return err
		}
		// Once more with those that follow, so that a gap between shows.
		before = batches[len(batches)-1:]
		next = uint64(before[0].last) + 1
	}
}

// checkEnd compares the last range of a ledger with how far its partition is.
func (a *Auditor) checkEnd(ctx context.Context, p partition, last []batch, report *Report) error {
	at, err := a.quiet(ctx, p)
	if err != nil || len(last) == 0 || at.end <= last[0].last {
		return err
	}
	wrong, _, err := a.compareRanges(ctx, p, append(last, a.endAt(at.end+1)), audits.Batches)
	if err != nil {
		return err
	}
	return a.reportClean(ctx, wrong, report)
}

// list adds what is no drift but ought to be known.
func (a *Auditor) list(ctx context.Context, scope Scope, report *Report) error {
	bound := a.bound()
	bound.String("workspace", scope.WorkspaceID)
	bound.Integer("limit", audits.Listed)
	err := a.query(ctx, "voids of unknown grants", audits.UnknownGrantsQuery, bound, func(scan func(...any) error) error {
		var v UnknownVoid
		err := scan(&v.WorkspaceID, &v.EventID, &v.GrantID, &v.At)
		report.UnknownVoids = append(report.UnknownVoids, v)
		return err
	})
	if err != nil || !scope.IDs {
		return err
	}
	bound.Integer("from", int64(report.From))
	bound.Integer("to", int64(report.To))
	return a.query(ctx, "ids that came again", audits.ReusedIDsQuery, bound, func(scan func(...any) error) error {
		var r ReusedID
		err := scan(&r.WorkspaceID, &r.EventID, &r.Events, &r.Times, &r.First, &r.Last)
		report.ReusedIDs = append(report.ReusedIDs, r)
		return err
	})
}
