package queryapi

import (
	"context"
	"math/big"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// rawEvent is a row of events.
type rawEvent struct {
	at, arrivedAt                       schemas.Millis
	id, campaign, action, actor, source string
	credits                             schemas.Credits
	attributes                          map[string]string
}

// rawEventsQuery reads the primary key backwards and ends with the last row
// that is wanted.
const rawEventsQuery = `
SELECT toUnixTimestamp64Milli(time), event_id, campaign_id, action, actor, source, credits_micro, attributes, toUnixTimestamp64Milli(kafka_time)
FROM events
WHERE workspace_id = {workspace:String}
    AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')`

// rawEvents returns the last events in a range before the page before, newest
// first; with quarters only those of the campaign, in these.
func (s *Server) rawEvents(ctx context.Context, ask *historyAsk, r span, quarters []schemas.Millis, want int) ([]rawEvent, error) {
	statement, bound := rawEventsQuery, parameters{}
	bound.String("workspace", ask.workspace)
	bound.Integer("from", int64(r.from))
	bound.Integer("to", int64(r.to))
	bound.Integer("limit", int64(want))
	if b := ask.before; b != nil && b.isUsage() && b.At < r.to {
		statement += `
    AND (time < fromUnixTimestamp64Milli({before:Int64}, 'UTC') OR event_id < {before_id:String})`
		bound.Integer("before", int64(b.At))
		bound.String("before_id", b.ID)
	}
	if quarters != nil {
		statement += `
    AND campaign_id = {campaign:String} AND toUnixTimestamp(toStartOfFifteenMinutes(time)) IN {quarters:Array(UInt32)}`
		bound.String("campaign", *ask.campaign)
		inSeconds := make([]schemas.Millis, len(quarters))
		for i, quarter := range quarters {
			inSeconds[i] = quarter / 1000
		}
		bound.Integers("quarters", inSeconds)
	}
	statement += `
ORDER BY time DESC, event_id DESC LIMIT {limit:UInt32}`
	var events []rawEvent
	err := s.query(ctx, "history_events", statement, bound, func(scan func(...any) error) error {
		var e rawEvent
		var at, arrivedAt, micro int64
		if err := scan(&at, &e.id, &e.campaign, &e.action, &e.actor, &e.source, &micro, &e.attributes, &arrivedAt); err != nil {
			return err
		}
		e.at, e.arrivedAt, e.credits = schemas.Millis(at), schemas.Millis(arrivedAt), schemas.Credits(micro)
		events = append(events, e)
		return nil
	})
	return events, err
}

// tiesQuery adds up the events of single milliseconds in their order.
const tiesQuery = `
SELECT at, event_id, upto FROM (
    SELECT toUnixTimestamp64Milli(time) AS at, event_id,
        sum(toInt128(credits_micro)) OVER (PARTITION BY time ORDER BY event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS upto
    FROM events
    WHERE workspace_id = {workspace:String}
        AND toUnixTimestamp(toStartOfMinute(time)) IN {minutes:Array(UInt32)} AND toUnixTimestamp64Milli(time) IN {times:Array(Int64)}
) WHERE event_id IN {ids:Array(String)}`

// usedUpTo returns for each event, by its index, what the events of its
// millisecond up to and with it used. perMilli are the numbers of events of
// each; where all of one are at hand nothing is read.
func (s *Server) usedUpTo(ctx context.Context, ask *historyAsk, events []rawEvent, perMilli map[schemas.Millis]int64) ([]schemas.Total, error) {
	upTo := make([]schemas.Total, len(events))
	byPlace := make(map[place]int)
	var times, minutes []schemas.Millis
	var ids []string
	for end := len(events); end > 0; { // oldest first
		at, begin := events[end-1].at, end-1
		for begin > 0 && events[begin-1].at == at {
			begin--
		}
		sum := schemas.Total{}
		for i := end - 1; i >= begin; i-- {
			sum = sum.Add(events[i].credits.Total())
			upTo[i] = sum
			if int64(end-begin) != perMilli[at] {
				byPlace[usagePlace(at, events[i].id)] = i
				ids = append(ids, events[i].id)
			}
		}
		if int64(end-begin) != perMilli[at] {
			times, minutes = append(times, at), append(minutes, (at-at%minuteMillis)/1000)
		}
		end = begin
	}
	if len(times) == 0 {
		return upTo, nil
	}
	bound := parameters{}
	bound.String("workspace", ask.workspace)
	bound.Integers("minutes", slices.Compact(minutes))
	bound.Integers("times", times)
	bound.Strings("ids", ids)
	err := s.query(ctx, "history_ties", tiesQuery, bound, func(scan func(...any) error) error {
		var at int64
		var id string
		var used big.Int
		if err := scan(&at, &id, &used); err != nil {
			return err
		}
		i, ours := byPlace[usagePlace(schemas.Millis(at), id)]
		if !ours {
			return nil
		}
		var err error
		upTo[i], err = schemas.TotalFromBig(&used)
		return err
	})
	return upTo, err
}
