package consumers

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// logged is one data record of Kafka's log, as another client library reads it.
type logged struct {
	offset int64
	rec    schemas.Record
}

// usageKey is a row of the finest rollup.
type usageKey struct {
	workspace, campaign, action string
	minute                      int64
}

type usage struct {
	micro, refunds big.Int
	events         int64
}

// place is where a row came from.
type place struct {
	epoch uint32
	kpart uint16
	koff  uint64
}

// sums are the columns of the ledger that add up.
type sums struct{ Inserted, Duplicates, Rejected, Rerouted uint64 }

// truth is what the tables must hold.
type truth struct {
	usage    map[usageKey]*usage
	counted  map[string]map[place]bool     // by table
	rejected map[string]map[place]string   // codes by topic
	ledger   map[partitionID]*sums         // of this epoch
	seen     map[string]*schemas.Event     // by topic, workspace, event id
	grants   map[string]schemas.GrantTerms // by workspace, grant id
	role     map[string]schemas.Topic      // of a topic
	tables   map[schemas.EventType]string  // of a type
}

func (r *rig) newTruth() *truth {
	topics := r.broker.Topics
	return &truth{
		usage: make(map[usageKey]*usage), counted: make(map[string]map[place]bool), rejected: make(map[string]map[place]string),
		ledger: make(map[partitionID]*sums), seen: make(map[string]*schemas.Event), grants: make(map[string]schemas.GrantTerms),
		role: map[string]schemas.Topic{
			topics.Consumption: schemas.ConsumptionTopic, topics.Ledger: schemas.LedgerTopic, topics.Campaigns: schemas.CampaignsTopic,
		},
		tables: map[schemas.EventType]string{
			schemas.CreditsConsumed: "events", schemas.CreditsGranted: "credit_entries", schemas.CreditsAdjusted: "credit_entries",
			schemas.GrantVoided: "credit_entries", schemas.CampaignUpdated: "campaigns", schemas.WorkspaceUpdated: "workspaces",
		},
	}
}

// oracle counts what Kafka holds, naively and from the start: per partition in
// order, the first valid event with its (workspace, id) in the right partition
// counts. Tests keep ids that come again with another time within the window.
func (r *rig) oracle() *truth {
	r.t.Helper()
	want := r.newTruth()
	logs := append(append([]map[partitionID][]logged(nil), r.past...), r.readLog())
	for i, log := range logs {
		epoch := r.epoch - uint32(len(logs)-1-i)
		for id, records := range log {
			for _, l := range records {
				want.take(r, epoch, id, l)
			}
		}
	}
	return want
}

func (w *truth) take(r *rig, epoch uint32, id partitionID, l logged) {
	at := place{epoch, uint16(id.id), uint64(l.offset)}
	out := &sums{}
	if epoch == r.epoch {
		if w.ledger[id] == nil {
			w.ledger[id] = &sums{}
		}
		out = w.ledger[id]
	}
	reject := func(code schemas.RejectionCode) {
		if w.rejected[id.topic] == nil {
			w.rejected[id.topic] = make(map[place]string)
		}
		w.rejected[id.topic][at] = string(code)
		out.Rejected++
	}
	ev := &schemas.Event{}
	if rejection := schemas.NewDecoder(r.limits).Decode(w.role[id.topic], &l.rec, ev); rejection != nil {
		reject(rejection.Code)
		return
	}
	if schemas.Partition(ev.WorkspaceID, r.parts) != id.id {
		if from, moved := schemas.OriginOf(&l.rec); moved && from.Epoch == epoch {
			reject(schemas.Misrouted)
			return
		}
		out.Rerouted++
		return
	}
	if rejection := r.limits.Late(&l.rec, ev); rejection != nil {
		reject(rejection.Code)
		return
	}
	key := fmt.Sprintf("%s %s %s", id.topic, ev.WorkspaceID, ev.ID)
	if first := w.seen[key]; first != nil {
		if first.ContentHash == ev.ContentHash {
			out.Duplicates++
		} else {
			reject(schemas.Conflict)
		}
		return
	}
	if ev.Type == schemas.CreditsGranted {
		grant := fmt.Sprintf("%s %s", ev.WorkspaceID, ev.GrantID)
		if terms, known := w.grants[grant]; known {
			if terms == ev.GrantTerms() {
				out.Duplicates++
			} else {
				reject(schemas.Conflict)
			}
			return
		}
		w.grants[grant] = ev.GrantTerms()
	}
	w.seen[key] = ev
	out.Inserted++
	table := w.tables[ev.Type]
	if w.counted[table] == nil {
		w.counted[table] = make(map[place]bool)
	}
	w.counted[table][at] = true
	if ev.Type == schemas.CreditsConsumed {
		w.use(ev)
	}
}

func (w *truth) use(ev *schemas.Event) {
	key := usageKey{string(ev.WorkspaceID), string(ev.CampaignID), string(ev.Action), int64(ev.Time) / 60_000}
	if w.usage[key] == nil {
		w.usage[key] = &usage{}
	}
	u := w.usage[key]
	u.micro.Add(&u.micro, big.NewInt(int64(ev.Credits)))
	if ev.Credits < 0 {
		u.refunds.Sub(&u.refunds, big.NewInt(int64(ev.Credits)))
	}
	u.events++
}

// readLog reads what is new in Kafka's log with franz-go, committed records
// only, and returns all of it.
func (r *rig) readLog() map[partitionID][]logged {
	r.t.Helper()
	if r.log == nil {
		start := make(map[string]map[int32]kgo.Offset)
		for _, topic := range r.broker.Topics.Inputs() {
			start[topic] = make(map[int32]kgo.Offset)
			for p := range r.parts {
				start[topic][int32(p)] = kgo.NewOffset().AtStart()
			}
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addr), kgo.ConsumePartitions(start),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(client.Close)
		r.log, r.read = client, make(map[partitionID][]logged)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !r.readToEnd() {
		fetches := r.log.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			r.t.Fatalf("the oracle cannot read the log: %v", err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			l := logged{k.Offset, schemas.Record{Key: k.Key, Value: k.Value, Timestamp: schemas.MillisOf(k.Timestamp)}}
			if k.Attrs.IsControl() {
				l.rec.Timestamp = schemas.NoInstant
			}
			for _, h := range k.Headers {
				l.rec.Headers = append(l.rec.Headers, schemas.Header{Key: h.Key, Value: h.Value})
			}
			id := partitionID{k.Topic, int(k.Partition)}
			r.read[id] = append(r.read[id], l)
		})
	}
	data := make(map[partitionID][]logged)
	for id, records := range r.read {
		for _, l := range records {
			if l.rec.Timestamp != schemas.NoInstant {
				data[id] = append(data[id], l)
			}
		}
	}
	return data
}

func (r *rig) readToEnd() bool {
	for _, topic := range r.broker.Topics.Inputs() {
		for p := range r.parts {
			first, end := r.logRange(topic, p)
			records := r.read[partitionID{topic, p}]
			if end > first && (len(records) == 0 || records[len(records)-1].offset < end-1) {
				return false
			}
		}
	}
	return true
}

// sources are raw events and each rollup, grouped by minute, quarter and day.
var sources = []struct {
	name, query string
	minutes     int64
}{
	{"events", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(toStartOfMinute(toDateTime(time, 'UTC'))) AS at,
		sum(toInt128(credits_micro)), sum(toInt128(if(credits_micro < 0, -credits_micro, 0))), toInt64(count()) FROM events GROUP BY ALL`, 1},
	{"usage_1m", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_1m GROUP BY ALL`, 1},
	{"usage_15m", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_15m GROUP BY ALL`, 15},
	{"usage_1d", `SELECT workspace_id, campaign_id, action, toUnixTimestamp(bucket) AS at, sum(credits_micro), sum(refunds_micro), sum(events) FROM usage_1d GROUP BY ALL`, 1440},
}

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
	for _, s := range sources {
		r.requireUsage(want, s.name, s.query, s.minutes)
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

func (r *rig) requireUsage(want *truth, name, query string, minutes int64) {
	r.t.Helper()
	expected := make(map[usageKey]*usage)
	for k, u := range want.usage {
		k.minute = floor(k.minute, minutes)
		if expected[k] == nil {
			expected[k] = &usage{}
		}
		expected[k].micro.Add(&expected[k].micro, &u.micro)
		expected[k].refunds.Add(&expected[k].refunds, &u.refunds)
		expected[k].events += u.events
	}
	type row struct {
		usageKey
		at uint32
		usage
	}
	rows := collect(r, query, func(rows driver.Rows) (u row, err error) {
		err = rows.Scan(&u.workspace, &u.campaign, &u.action, &u.at, &u.micro, &u.refunds, &u.events)
		return u, err
	})
	got := make(map[usageKey]*usage)
	for _, u := range rows {
		u.minute = int64(u.at) / 60
		if u.events != 0 || u.micro.Sign() != 0 || u.refunds.Sign() != 0 {
			got[u.usageKey] = &u.usage
		}
	}
	wrong := 0
	for k, u := range got {
		if e := expected[k]; e == nil || e.events != u.events || e.micro.Cmp(&u.micro) != 0 || e.refunds.Cmp(&u.refunds) != 0 {
			if wrong++; wrong <= 5 {
				r.t.Errorf("%s: %+v has %d events, %s micro-credits, %s refunded; want %+v", name, k, u.events, &u.micro, &u.refunds, e)
			}
		}
	}
	if wrong > 0 || len(got) != len(expected) {
		r.t.Errorf("%s has %d keys, want %d; %d are wrong, missing %+v", name, len(got), len(expected), wrong, without(expected, got))
	}
}

func floor(v, by int64) int64 { return v / by * by }

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

// ledgered is a row of the ledger.
type ledgered struct {
	first, last, records, skipped uint64
	sums
}

// requireLedger requires contiguous ranges from 0 to the end of each log whose
// counts add up, and add up to what the oracle says.
func (r *rig) requireLedger(want *truth) {
	r.t.Helper()
	for _, topic := range r.broker.Topics.Inputs() {
		for p := range r.parts {
			id := partitionID{topic, p}
			rows := collect(r, `SELECT first, last, records, skipped, inserted, duplicates, rejected, rerouted
				FROM ingest_batches WHERE topic = ? AND kpart = ? AND epoch = ? ORDER BY first, last`, func(rows driver.Rows) (l ledgered, err error) {
				err = rows.Scan(&l.first, &l.last, &l.records, &l.skipped, &l.Inserted, &l.Duplicates, &l.Rejected, &l.Rerouted)
				return l, err
			}, topic, p, r.epoch)
			next, got := uint64(0), sums{}
			for _, l := range rows {
				if l.first != next || l.records != l.last-l.first+1 || l.Inserted+l.Duplicates+l.Rejected+l.Rerouted+l.skipped != l.records {
					r.t.Errorf("ledger of %s/%d has %+v; want it to start at %d and to add up", topic, p, l, next)
				}
				next = l.last + 1
				got = sums{got.Inserted + l.Inserted, got.Duplicates + l.Duplicates, got.Rejected + l.Rejected, got.Rerouted + l.Rerouted}
			}
			if _, end := r.logRange(topic, p); next != uint64(end) {
				r.t.Errorf("ledger of %s/%d ends before %d, the log at %d", topic, p, next, end)
			}
			expected := sums{}
			if e := want.ledger[id]; e != nil {
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

// waitDone waits until the ledger reaches the end of every log.
func (r *rig) waitDone() {
	r.t.Helper()
	for _, topic := range r.broker.Topics.Inputs() {
		for p := range r.parts {
			r.waitDoneOf(topic, p)
		}
	}
}

func (r *rig) waitDoneOf(topic string, p int) {
	r.t.Helper()
	storetest.Wait(r.t, 120*time.Second, fmt.Sprintf("the ledger reaches the end of %s/%d", topic, p), func() (bool, error) {
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
