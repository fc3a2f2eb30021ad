package consumers

import (
	"context"
	"fmt"
	"maps"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/oracle"
	"github.com/drawdown/drawdown/internal/storetest"
)

// requireExact waits until everything produced is done and then requires that
// every table equals the oracle: raw = Kafka, each rollup = raw, every row and
// every rejection once, the ledger whole and adding up.
func (r *rig) requireExact() {
	r.t.Helper()
	r.waitDone()
	r.requireEqual(r.oracle())
}

func (r *rig) requireEqual(want *truth) {
	r.t.Helper()
	for _, s := range oracle.Sources {
		got := steadily(r, "read "+s.Name, func() (oracle.Usage, error) { return s.Read(context.Background(), r.db) })
		for _, difference := range got.Compare(s.Of(want.usage)) {
			r.t.Errorf("%s: %s", s.Name, difference)
		}
	}
	for _, table := range []string{"events", "credit_entries", "campaigns", "workspaces"} {
		places := collect(r, `SELECT epoch, kpart, koff FROM `+table, func(rows driver.Rows) (at place, err error) {
			err = rows.Scan(&at.epoch, &at.kpart, &at.koff)
			return at, err
		})
		got := make(map[place]bool)
		for _, at := range places {
			got[at] = true
		}
		if n := len(places); n != len(got) || !maps.Equal(got, want.counted[table]) {
			r.t.Errorf("%s has %d rows of %d records, want one for each of %d; missing %v, too many %v",
				table, n, len(got), len(want.counted[table]), without(want.counted[table], got), without(got, want.counted[table]))
		}
	}
	if n := r.number(`SELECT count() FROM (SELECT workspace_id, campaign_id, max(time) AS last FROM events GROUP BY ALL) AS e
		LEFT JOIN (SELECT workspace_id, campaign_id, max(last_event_at) AS last FROM campaign_activity GROUP BY ALL) AS a USING (workspace_id, campaign_id)
		WHERE e.last != a.last`); n != 0 {
		r.t.Errorf("campaign_activity is wrong about %d campaigns", n)
	}
	r.requireRejections(want)
	r.requireLedger(want)
}

// without returns some keys of a that b lacks.
func without[K comparable, V, W any](a map[K]V, b map[K]W) (keys []K) {
	for k := range a {
		if _, ok := b[k]; !ok && len(keys) < 5 {
			keys = append(keys, k)
		}
	}
	return keys
}

func (r *rig) requireRejections(want *truth) {
	r.t.Helper()
	type row struct {
		topic, code string
		at          place
	}
	rows := collect(r, `SELECT topic, epoch, kpart, koff, code FROM rejections`, func(rows driver.Rows) (x row, err error) {
		err = rows.Scan(&x.topic, &x.at.epoch, &x.at.kpart, &x.at.koff, &x.code)
		return x, err
	})
	got := make(map[string]map[place]string)
	for _, x := range rows {
		if got[x.topic] == nil {
			got[x.topic] = make(map[place]string)
		}
		got[x.topic][x.at] = x.code
	}
	total := 0
	for topic, expected := range want.rejected {
		total += len(expected)
		if !maps.Equal(got[topic], expected) {
			r.t.Errorf("rejections of %s are %v, want %v", topic, got[topic], expected)
		}
	}
	if len(rows) != total {
		r.t.Errorf("rejections has %d rows, want %d", len(rows), total)
	}
}

// requireLedger requires contiguous ranges from 0 to the end of each log whose
// counts add up, and add up to what the oracle says.
func (r *rig) requireLedger(want *truth) {
	r.t.Helper()
	for _, topic := range r.broker.Topics.Inputs() {
		for p := range r.parts {
			ledger := steadily(r, "read the ledger", func() (oracle.Ledger, error) {
				return oracle.ReadLedger(context.Background(), r.db, topic, r.epoch, p)
			})
			_, end := r.logRange(topic, p)
			got, problems := ledger.Check(0, uint64(end))
			for _, problem := range problems {
				r.t.Errorf("ledger of %s/%d: %s", topic, p, problem)
			}
			expected := oracle.Counts{}
			if e := want.ledger[partitionID{topic, p}]; e != nil {
				expected = *e
			}
			if got != expected {
				r.t.Errorf("ledger of %s/%d adds up to %+v, want %+v", topic, p, got, expected)
			}
		}
	}
}

func (r *rig) logRange(topic string, p int) (first, end int64) {
	r.t.Helper()
	res, err := r.client.ListOffsets(context.Background(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p)},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.Topics[topic][0].FirstOffset, res.Topics[topic][0].LastOffset
}

// waitDone waits until the ledger reaches the end of every log. A second look
// finds what was rerouted into a partition after the first one at it.
func (r *rig) waitDone() {
	r.t.Helper()
	for range 2 {
		for _, topic := range r.broker.Topics.Inputs() {
			for p := range r.parts {
				r.waitDoneOf(topic, p)
			}
		}
	}
}

func (r *rig) waitDoneOf(topic string, p int) {
	r.t.Helper()
	storetest.Wait(r.t, waitAtMost, fmt.Sprintf("the ledger reaches the end of %s/%d", topic, p), func() (bool, error) {
		_, end := r.logRange(topic, p)
		return r.done(topic, p) >= end, nil
	})
}

// done is the offset after the last range in the ledger, 0 while the engine is
// away.
func (r *rig) done(topic string, p int) int64 {
	next, err := collectOnce(r, `SELECT toInt64(if(count() = 0, 0, max(last) + 1)) FROM ingest_batches WHERE topic = ? AND kpart = ? AND epoch = ?`,
		scalar[int64], topic, p, r.epoch)
	if err != nil || len(next) == 0 {
		return 0
	}
	return next[0]
}
