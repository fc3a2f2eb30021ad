package queryapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// usagePlan says which consumption a page has to tell apart. It is made of
// statements of its own: it only decides what is looked at; the figures come
// from one (invariant 3).
type usagePlan struct {
	events    []rawEvent // newest first
	intervals []span     // ascending, disjoint, no ledger instant inside: shown by campaign
	floor     place      // every row from it on is known
	whole     bool       // all rows are
}

// planUsage looks backwards for consumption that makes so many rows, or a few
// less: then whole is false and more may be asked for.
func (s *Server) planUsage(ctx context.Context, ask *historyAsk, cuts []schemas.Millis, want int) (usagePlan, error) {
	plan := usagePlan{whole: true}
	if !ask.shows(typeConsumption) {
		return plan, nil
	}
	end := ask.asked.to
	if b := ask.before; b != nil {
		end = min(end, b.At)
		if b.isUsage() { // rows at the same instant, or in the same interval, may be left
			end = min(ask.asked.to, b.At+1)
		}
	}
	if one := (span{max(ask.asked.from, ask.border), end}); one.from < one.to {
		if err := s.planEvents(ctx, ask, one, want, &plan); err != nil || !plan.whole {
			return plan, err
		}
	}
	if b := ask.before; b != nil && b.isUsage() && b.At < ask.border {
		next, err := nextDay(ask.zone, b.At)
		if err != nil {
			return plan, err
		}
		end = min(ask.asked.to, next)
	}
	if grouped := (span{ask.asked.from, min(end, ask.border)}); grouped.from < grouped.to {
		return plan, s.planDays(ctx, ask, grouped, cuts, max(want-len(plan.events), 1), &plan)
	}
	return plan, nil
}

// planEvents looks for events. Days with usage, and for one campaign quarters
// of hours, say where: whatever lies between is not read.
func (s *Server) planEvents(ctx context.Context, ask *historyAsk, r span, want int, plan *usagePlan) error {
	days, all, err := s.usageDays(ctx, ask, r, want, func(d usageDay) int64 { return d.events })
	if err != nil {
		return err
	}
	plan.whole = all
	if len(days) == 0 {
		return nil
	}
	r.from = max(r.from, days[len(days)-1].at)
	if ask.campaign == nil {
		plan.events, err = s.rawEvents(ctx, ask, r, nil, want)
	} else {
		var quarters []schemas.Millis
		if quarters, err = s.usageQuarters(ctx, ask, r, days); err == nil {
			plan.events, err = s.rawEvents(ctx, ask, r, quarters, want)
		}
	}
	plan.floor = usagePlace(r.from, "")
	if len(plan.events) == want {
		last := plan.events[want-1]
		plan.whole, plan.floor = false, usagePlace(last.at, last.id)
	}
	return err
}

// planDays looks for local days with usage.
func (s *Server) planDays(ctx context.Context, ask *historyAsk, r span, cuts []schemas.Millis, want int, plan *usagePlan) error {
	days, all, err := s.usageDays(ctx, ask, r, want, func(d usageDay) int64 { return int64(d.campaigns) })
	if err != nil {
		return err
	}
	plan.whole = all
	whole, err := localDays(ask.zone, days)
	if err != nil {
		return err
	}
	for _, day := range whole {
		day.from, day.to = max(day.from, r.from), min(day.to, r.to)
		i, _ := slices.BinarySearch(cuts, day.from+1)
		for ; i < len(cuts) && cuts[i] < day.to; i++ {
			plan.intervals = append(plan.intervals, span{day.from, cuts[i]})
			day.from = cuts[i]
		}
		if day.from < day.to {
			plan.intervals = append(plan.intervals, day)
		}
	}
	if len(plan.intervals) > 0 {
		plan.floor = usagePlace(plan.intervals[0].from, "")
	}
	return nil
}

// usageDay is a UTC day with usage.
type usageDay struct {
	at        schemas.Millis
	campaigns uint64 // about so many
	events    int64
}

const usageDaysQuery = `
SELECT toInt64(toUnixTimestamp(bucket)) * 1000 AS day, uniq(campaign_id) AS campaigns, sum(usage_1d.events) AS events
FROM usage_1d
WHERE workspace_id = {workspace:String} AND bucket >= {from:UInt32} AND bucket < {to:UInt32}%s
GROUP BY bucket ORDER BY bucket DESC`

// usageDays returns the last days in a range with usage that count makes at
// least so much of, newest first, and whether these are all. It reads
// backwards in ever larger steps: most pages end within the first. Of a day
// that the range cuts nothing is counted on, for it may all lie beyond.
func (s *Server) usageDays(ctx context.Context, ask *historyAsk, r span, want int, count func(usageDay) int64) ([]usageDay, bool, error) {
	var days []usageDay
	begin, end := r.from-r.from%dayMillis, ceil(r.to, dayMillis)
	missing := int64(want)
	from := min(end, ceil(ask.now, dayMillis)) // nearly nothing is ahead of the clock
	for step := schemas.Millis(7 * dayMillis); ; step *= 8 {
		from = max(from-step, begin)
		bound, filter := parameters{}, ""
		bound.String("workspace", ask.workspace)
		bound.Integer("from", int64(from/1000))
		bound.Integer("to", int64(end/1000))
		if ask.campaign != nil {
			bound.String("campaign", *ask.campaign)
			filter = " AND campaign_id = {campaign:String}"
		}
		err := s.query(ctx, "history_days", fmt.Sprintf(usageDaysQuery, filter), bound, func(scan func(...any) error) error {
			var day usageDay
			var at int64
			if err := scan(&at, &day.campaigns, &day.events); err != nil {
				return err
			}
			if missing <= 0 {
				return nil
			}
			day.at = schemas.Millis(at)
			days = append(days, day)
			if day.at+dayMillis <= r.to {
				missing -= count(day)
			}
			return nil
		})
		switch {
		case err != nil:
			return nil, false, err
		case missing <= 0:
			return days, days[len(days)-1].at <= begin, nil
		case from <= begin:
			return days, true, nil
		}
		end = from
	}
}

const usageQuartersQuery = `
SELECT toInt64(toUnixTimestamp(bucket)) * 1000 AS quarter FROM usage_15m
WHERE workspace_id = {workspace:String} AND bucket >= {from:UInt32} AND bucket < {to:UInt32} AND campaign_id = {campaign:String}
    AND toUnixTimestamp(toStartOfDay(bucket)) IN {days:Array(UInt32)}
GROUP BY bucket`

// usageQuarters returns the quarters of hours of some days in which a campaign
// has usage.
func (s *Server) usageQuarters(ctx context.Context, ask *historyAsk, r span, days []usageDay) ([]schemas.Millis, error) {
	in := make([]schemas.Millis, len(days))
	for i, day := range days {
		in[i] = day.at / 1000
	}
	bound := parameters{}
	bound.String("workspace", ask.workspace)
	bound.String("campaign", *ask.campaign)
	bound.Integer("from", int64((r.from-r.from%quarterMillis)/1000))
	bound.Integer("to", int64(ceil(r.to, quarterMillis)/1000))
	bound.Integers("days", in)
	quarters := []schemas.Millis{}
	err := s.query(ctx, "history_quarters", usageQuartersQuery, bound, func(scan func(...any) error) error {
		var quarter int64
		err := scan(&quarter)
		quarters = append(quarters, schemas.Millis(quarter))
		return err
	})
	return quarters, err
}

// localDays returns the local days that touch some UTC days, which are newest
// first, in order.
func localDays(zone *time.Location, days []usageDay) ([]span, error) {
	// A run of days is cut at once, within what Edges gives.
	const atOnce = 1000
	// More than a local day lasts, so that what the margins clip touches none.
	const margin = 3 * dayMillis
	var found []span
	for end := len(days); end > 0; {
		begin := end - 1
		for begin > 0 && end-begin < atOnce && days[begin-1].at == days[begin].at+dayMillis {
			begin--
		}
		run := span{days[end-1].at, days[begin].at + dayMillis}
		edges, err := dayEdges(zone, run.from-margin, run.to+margin)
		if err != nil {
			return nil, err
		}
		for i := 1; i < len(edges); i++ {
			day := span{edges[i-1], edges[i]}
			known := len(found) > 0 && day.from <= found[len(found)-1].from
			if !known && day.to > run.from && day.from < run.to {
				found = append(found, day)
			}
		}
		end = begin
	}
	return found, nil
}

// nextDay returns the first start of a local day after an instant.
func nextDay(zone *time.Location, at schemas.Millis) (schemas.Millis, error) {
	edges, err := dayEdges(zone, at, at+3*dayMillis)
	if err != nil {
		return 0, err
	}
	return edges[1], nil
}

func dayEdges(zone *time.Location, from, to schemas.Millis) ([]schemas.Millis, error) {
	c := cutting{zone: zone, bucket: schemas.Day}
	return c.edgesOf(from, to)
}

const quarterMillis = 15 * minuteMillis

// ceil returns the smallest multiple of width that is not below at.
func ceil(at, width schemas.Millis) schemas.Millis { return (at + width - 1) / width * width }
