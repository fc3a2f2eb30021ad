// Package oracle says what tables must hold, in a few naive lines, and compares.
// Only tests import it.
package oracle

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
)

// Key is a row of a rollup. Minute is its bucket's start in minutes since 1970.
type Key struct {
	Workspace, Campaign, Action string
	Minute                      int64
}

// Sum is what a row adds up to, in micro-credits.
type Sum struct {
	Micro, Refunds big.Int
	Events         int64
}

func (s *Sum) String() string {
	if s == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d events, %s micro-credits, %s refunded", s.Events, &s.Micro, &s.Refunds)
}

func (s *Sum) add(other *Sum) {
	s.Micro.Add(&s.Micro, &other.Micro)
	s.Refunds.Add(&s.Refunds, &other.Refunds)
	s.Events += other.Events
}

func (s *Sum) equal(other *Sum) bool {
	return other != nil && s.Events == other.Events && s.Micro.Cmp(&other.Micro) == 0 && s.Refunds.Cmp(&other.Refunds) == 0
}

// Usage is what each row adds up to.
type Usage map[Key]*Sum

// Count counts one consumption.
func (u Usage) Count(ev *schemas.Event) {
	one := Sum{Events: 1}
	one.Micro.SetInt64(int64(ev.Credits))
	if ev.Credits < 0 {
		one.Refunds.Neg(&one.Micro)
	}
	u.merge(Key{string(ev.WorkspaceID), string(ev.CampaignID), string(ev.Action), int64(ev.Time) / 60_000}, &one)
}

func (u Usage) merge(key Key, sum *Sum) {
	if u[key] == nil {
		u[key] = &Sum{}
	}
	u[key].add(sum)
}

// By adds up what falls into the same bucket of so many minutes, and, of a
// total, what belongs to the same workspace.
func (u Usage) By(minutes int64, total bool) Usage {
	coarse := make(Usage)
	for key, sum := range u {
		key.Minute = key.Minute / minutes * minutes
		if total {
			key.Campaign, key.Action = "", ""
		}
		coarse.merge(key, sum)
	}
	return coarse
}

// shown bounds how many differences are named.
const shown = 5

// Compare names what differs from what is wanted, the first few keys and how
// many there are; nothing if all is equal.
func (u Usage) Compare(want Usage) (differences []string) {
	wrong := 0
	differ := func(key Key) {
		if wrong++; wrong <= shown {
			differences = append(differences, fmt.Sprintf("%+v has %s; want %s", key, u[key], want[key]))
		}
	}
	for key, sum := range u {
		if !sum.equal(want[key]) {
			differ(key)
		}
	}
	for key := range want {
		if u[key] == nil {
			differ(key)
		}
	}
	if wrong > shown {
		differences = append(differences, fmt.Sprintf("%d of %d keys are wrong", wrong, len(want)))
	}
	return differences
}

// Source is a table that holds all usage.
type Source struct {
	Name    string
	query   string
	minutes int64
	total   bool
}

// Sources are the raw events, and each rollup by the buckets that it has.
var Sources = []Source{
	{"events", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(toStartOfMinute(toDateTime(time, 'UTC'))) AS at,
		sum(toInt128(credits_micro)), sum(toInt128(if(credits_micro < 0, -credits_micro, 0))), toInt64(count()) FROM events GROUP BY ALL`, 1, false},
	{"usage_1m", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_1m GROUP BY ALL`, 1, false},
	{"usage_15m", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_15m GROUP BY ALL`, 15, false},
	{"usage_15m_total", `SELECT workspace_id, '', '', toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_15m_total GROUP BY ALL`, 15, true},
	{"usage_1d", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_1d GROUP BY ALL`, 1440, false},
}

// Of is the part of the wanted usage that the source can tell apart.
func (s Source) Of(want Usage) Usage { return want.By(s.minutes, s.total) }

// Read returns what the table holds, without rows that are zero.
func (s Source) Read(ctx context.Context, db driver.Conn) (Usage, error) {
	rows, err := db.Query(ctx, s.query)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.Name, err)
	}
	defer func() { _ = rows.Close() }()
	held := make(Usage)
	for rows.Next() {
		var key Key
		var at uint32
		sum := &Sum{}
		if err := rows.Scan(&key.Workspace, &key.Campaign, &key.Action, &at, &sum.Micro, &sum.Refunds, &sum.Events); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", s.Name, err)
		}
		key.Minute = int64(at) / 60
		if sum.Events != 0 || sum.Micro.Sign() != 0 || sum.Refunds.Sign() != 0 {
			held[key] = sum
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.Name, err)
	}
	return held, nil
}
