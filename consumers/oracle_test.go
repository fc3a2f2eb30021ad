package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drawdown/drawdown/internal/oracle"
	"github.com/drawdown/drawdown/schemas"
)

// logged is one data record of Kafka's log, as another client library reads it.
type logged struct {
	offset int64
	rec    schemas.Record
}

// place is where a row came from.
type place struct {
	epoch uint32
	kpart uint16
	koff  uint64
}

// truth is what the tables must hold.
type truth struct {
	usage    oracle.Usage
	counted  map[string]map[place]bool      // by table
	rejected map[string]map[place]string    // codes by topic
	ledger   map[partitionID]*oracle.Counts // of this epoch
	seen     map[string]*schemas.Event      // by topic, workspace, event id
	grants   map[string]schemas.GrantTerms  // by workspace, grant id
	role     map[string]schemas.Topic       // of a topic
	tables   map[schemas.EventType]string   // of a type
}

func (r *rig) newTruth() *truth {
	topics := r.broker.Topics
	return &truth{
		usage: make(oracle.Usage), counted: make(map[string]map[place]bool), rejected: make(map[string]map[place]string),
		ledger: make(map[partitionID]*oracle.Counts), seen: make(map[string]*schemas.Event), grants: make(map[string]schemas.GrantTerms),
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
	out := &oracle.Counts{}
	if epoch == r.epoch {
		if w.ledger[id] == nil {
			w.ledger[id] = &oracle.Counts{}
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
		w.usage.Count(ev)
	}
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
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
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
