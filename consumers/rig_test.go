package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// rig is a broker, a database and the consumers of one group on them.
type rig struct {
	t        testing.TB
	broker   *storetest.Broker
	client   *kafka.Client
	options  *clickhouse.Options
	db       driver.Conn
	parts    int
	produced map[string][]sent // per partition in order of offset, by topic/partition
	config   func(*Config)
}

// sent is one record as it was produced.
type sent struct {
	partition int
	key       []byte
	value     []byte
	headers   []kafka.Header
	time      time.Time
}

func newRig(t testing.TB, broker *storetest.Broker, db *storetest.Database, parts int) *rig {
	t.Helper()
	return &rig{
		t: t, broker: broker, client: broker.Client(t), options: db.Options(), db: db.Conn(t), parts: parts,
		produced: make(map[string][]sent), config: func(*Config) {},
	}
}

// consumer is one running member of the group.
type consumer struct {
	*Consumer
	stop func() error
}

// start runs a consumer until stop or the end of the test.
func (r *rig) start() *consumer {
	r.t.Helper()
	config := Config{
		Brokers: []string{r.broker.Addr}, Group: "drawdown", Topics: r.broker.Topics, Partitions: r.parts, Epoch: 1,
		ClickHouse: r.options, Limits: schemas.DefaultLimits(),
		Linger: 20 * time.Millisecond, SessionTimeout: 6 * time.Second, InsertTimeout: 20 * time.Second,
		Log: slog.New(slog.NewTextHandler(testWriter{r.t}, nil)),
	}
	r.config(&config)
	c, err := New(config)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	r.t.Cleanup(func() {
		if err := stop(); err != nil {
			r.t.Errorf("consumer stopped with %v", err)
		}
	})
	return &consumer{c, stop}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }

// send produces records of one topic, each to its partition, and remembers
// them for the oracle.
func (r *rig) send(topic string, records ...sent) {
	r.t.Helper()
	byPartition := make(map[int][]sent)
	for _, s := range records {
		byPartition[s.partition] = append(byPartition[s.partition], s)
	}
	for partition, all := range byPartition {
		for part := range slices.Chunk(all, 500) {
			batch := make([]kafka.Record, len(part))
			for i, s := range part {
				batch[i] = kafka.Record{Time: s.time, Key: kafka.NewBytes(s.key), Value: kafka.NewBytes(s.value), Headers: s.headers}
			}
			res, err := r.client.Produce(context.Background(), &kafka.ProduceRequest{
				Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...), Compression: kafka.Lz4,
			})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				r.t.Fatalf("cannot produce to %s/%d: %v", topic, partition, err)
			}
		}
		key := fmt.Sprintf("%s/%d", topic, partition)
		r.produced[key] = append(r.produced[key], all...)
	}
}

// consumed is the event of one use of credits, in the right partition.
func (r *rig) consumed(ws, id, campaign, action string, credits schemas.Credits, at time.Time) sent {
	ev := schemas.Event{
		Type: schemas.CreditsConsumed, ID: []byte(id), Source: []byte("/test"), Time: schemas.Millis(at.UnixMilli()),
		WorkspaceID: []byte(ws), CampaignID: []byte(campaign), Action: []byte(action), Actor: []byte("agent:test"), Credits: credits,
	}
	return sent{
		partition: schemas.Partition([]byte(ws), r.parts), key: []byte(ws), value: schemas.EncodeEvent(&ev), time: time.Now(),
	}
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

// oracle counts the consumption that was produced, naively: the first valid
// event with its (workspace, id) in the right partition counts.
func (r *rig) oracle() map[usageKey]*usage {
	r.t.Helper()
	out := make(map[usageKey]*usage)
	decoder := schemas.NewDecoder(schemas.DefaultLimits())
	for p := range r.parts {
		seen := make(map[string]bool)
		for _, s := range r.produced[fmt.Sprintf("%s/%d", r.broker.Topics.Consumption, p)] {
			var ev schemas.Event
			rec := schemas.Record{Key: s.key, Value: s.value, Timestamp: schemas.Millis(s.time.UnixMilli())}
			if decoder.Decode(schemas.ConsumptionTopic, &rec, &ev) != nil || schemas.DefaultLimits().Late(&rec, &ev) != nil {
				continue
			}
			id := string(ev.WorkspaceID) + "\x00" + string(ev.ID)
			if seen[id] {
				continue
			}
			seen[id] = true
			key := usageKey{string(ev.WorkspaceID), string(ev.CampaignID), string(ev.Action), int64(ev.Time) / 60_000}
			if out[key] == nil {
				out[key] = &usage{}
			}
			out[key].micro.Add(&out[key].micro, big.NewInt(int64(ev.Credits)))
			if ev.Credits < 0 {
				out[key].refunds.Sub(&out[key].refunds, big.NewInt(int64(ev.Credits)))
			}
			out[key].events++
		}
	}
	return out
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
// raw events and every rollup equal the oracle, and that the ledger is whole.
func (r *rig) requireExact() {
	r.t.Helper()
	r.waitDone()
	want := r.oracle()
	for _, s := range sources {
		expected := make(map[usageKey]*usage)
		for k, u := range want {
			k.minute = k.minute / s.minutes * s.minutes
			if expected[k] == nil {
				expected[k] = &usage{}
			}
			expected[k].micro.Add(&expected[k].micro, &u.micro)
			expected[k].refunds.Add(&expected[k].refunds, &u.refunds)
			expected[k].events += u.events
		}
		rows, err := r.db.Query(context.Background(), s.query)
		if err != nil {
			r.t.Fatal(err)
		}
		found := 0
		for rows.Next() {
			var k usageKey
			var at uint32
			var u usage
			if err := rows.Scan(&k.workspace, &k.campaign, &k.action, &at, &u.micro, &u.refunds, &u.events); err != nil {
				r.t.Fatal(err)
			}
			k.minute = int64(at) / 60
			if u.events == 0 && u.micro.Sign() == 0 && u.refunds.Sign() == 0 {
				continue
			}
			found++
			e := expected[k]
			if e == nil || e.events != u.events || e.micro.Cmp(&u.micro) != 0 || e.refunds.Cmp(&u.refunds) != 0 {
				r.t.Errorf("%s: %+v has %d events, %s micro-credits, %s refunded; want %+v", s.name, k, u.events, &u.micro, &u.refunds, e)
			}
		}
		if err := rows.Err(); err != nil {
			r.t.Fatal(err)
		}
		if found != len(expected) {
			r.t.Errorf("%s has %d keys, want %d", s.name, found, len(expected))
		}
	}
	r.requireLedger()
}

// requireLedger requires contiguous ranges from 0 to the end of each log whose
// counts add up.
func (r *rig) requireLedger() {
	r.t.Helper()
	for _, topic := range r.broker.Topics.Inputs() {
		for p := range r.parts {
			rows, err := r.db.Query(context.Background(), `SELECT first, last, records, inserted + duplicates + rejected + rerouted + skipped
				FROM ingest_batches WHERE topic = ? AND kpart = ? ORDER BY first, last`, topic, p)
			if err != nil {
				r.t.Fatal(err)
			}
			next := uint64(0)
			for rows.Next() {
				var first, last, records, parts uint64
				if err := rows.Scan(&first, &last, &records, &parts); err != nil {
					r.t.Fatal(err)
				}
				if first != next || records != last-first+1 || parts != records {
					r.t.Errorf("ledger of %s/%d: range %d-%d of %d records in parts of %d, want it to start at %d", topic, p, first, last, records, parts, next)
				}
				next = last + 1
			}
			if err := rows.Err(); err != nil {
				r.t.Fatal(err)
			}
			if _, end := r.logRange(topic, p); next != uint64(end) {
				r.t.Errorf("ledger of %s/%d ends before %d, the log at %d", topic, p, next, end)
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
	storetest.Wait(r.t, 120*time.Second, "the ledger to reach the end of the logs", func() (bool, error) {
		for _, topic := range r.broker.Topics.Inputs() {
			for p := range r.parts {
				_, end := r.logRange(topic, p)
				var done uint64
				if err := r.db.QueryRow(context.Background(), `SELECT if(count() = 0, 0, max(last) + 1) FROM ingest_batches WHERE topic = ? AND kpart = ?`, topic, p).Scan(&done); err != nil {
					return false, nil //nolint:nilerr // ClickHouse may be away in a test of faults
				}
				if int64(done) < end {
					return false, nil
				}
			}
		}
		return true, nil
	})
}

// traffic makes n events over some workspaces, campaigns, actions and the last
// day, a share of them sent twice, some refunds.
func (r *rig) traffic(seed uint64, n int, duplicates float64) []sent {
	rng := rand.New(rand.NewPCG(seed, 1))
	now := time.Now().Truncate(time.Millisecond)
	out := make([]sent, 0, n)
	for i := range n {
		ws := fmt.Sprintf("ws_%d", rng.IntN(20))
		credits := schemas.Credits(1+rng.IntN(5)) * schemas.MicrosPerCredit
		if rng.IntN(20) == 0 {
			credits = -credits / 3
		}
		campaign := ""
		if c := rng.IntN(6); c > 0 {
			campaign = fmt.Sprintf("cmp_%d", c)
		}
		at := now.Add(-time.Duration(rng.Int64N(int64(24 * time.Hour))))
		s := r.consumed(ws, fmt.Sprintf("id-%d-%d", seed, i), campaign, fmt.Sprintf("action_%d", rng.IntN(3)), credits, at)
		out = append(out, s)
		if rng.Float64() < duplicates {
			out = append(out, out[rng.IntN(len(out))])
		}
	}
	return out
}
