package queryapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// writer is a harness whose server writes to a Kafka of its own.
type writer struct {
	*harness
	broker   *storetest.Broker
	producer *testProducer
	refusing atomic.Bool // the broker refuses every record
}

func newWriter(t *testing.T) *writer {
	t.Helper()
	w := &writer{harness: newHarness(t, time.Now().UTC().Truncate(time.Millisecond)), broker: storetest.Kafka(t, storetest.KafkaOptions{})}
	w.producer = &testProducer{client: w.broker.Client(t), topics: w.broker.Topics}
	w.broker.Cluster.ControlKey(int16(kmsg.Produce), w.refuse)
	w.restart()
	return w
}

// restart makes a server that remembers nothing.
func (w *writer) restart() {
	w.server = w.serverWith(func(c *queryapi.Config) {
		c.Producer, c.WebhookSecret, c.Registerer = w.producer, testMaster, prometheus.NewRegistry()
	})
}

// refuse answers for the broker while it refuses.
func (w *writer) refuse(request kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake's order
	w.broker.Cluster.KeepControl()
	if !w.refusing.Load() {
		return nil, nil, false
	}
	asked, ok := request.(*kmsg.ProduceRequest)
	if !ok {
		return nil, errors.New("not a produce request"), true
	}
	answer, ok := asked.ResponseKind().(*kmsg.ProduceResponse)
	if !ok {
		return nil, errors.New("no produce response"), true
	}
	for _, topic := range asked.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic = topic.Topic
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, kerr.NotEnoughReplicas.Code
			t.Partitions = append(t.Partitions, p)
		}
		answer.Topics = append(answer.Topics, t)
	}
	return answer, nil, true
}

// post sends a body with the token.
func (w *writer) post(path, media, body string, headers ...string) response {
	w.t.Helper()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+testToken)
	request.Header.Set("Content-Type", media)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(recorder, request)
	r := response{recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
	w.hold(http.MethodPost, path, r)
	return r
}

// decoded is the body of an answer with that status.
func decoded[T any](w *writer, r response, status int) T {
	w.t.Helper()
	var body T
	if err := json.Unmarshal(r.body, &body); err != nil || r.status != status {
		w.t.Fatalf("%d %s (%v), want %d\nlog: %s", r.status, r.body, err, status, w.log)
	}
	return body
}

// log returns what stands in the partition of a workspace.
func (w *writer) records(role schemas.Topic, workspaceID string) []schemas.Record {
	w.t.Helper()
	var all []schemas.Record
	err := w.producer.Tail(w.t.Context(), role, workspaceID, 0, func(rec *schemas.Record) { all = append(all, *rec) })
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// count does what the consumers do with the ledger of a workspace's partition.
func (w *writer) count(workspaceID string) {
	w.t.Helper()
	d := schemas.NewDecoder(schemas.DefaultLimits())
	var ev schemas.Event
	for i, rec := range w.records(schemas.LedgerTopic, workspaceID) {
		if rejection := d.Decode(schemas.LedgerTopic, &rec, &ev); rejection != nil {
			w.t.Fatalf("%s: %v", rec.Value, rejection)
		}
		var effectiveAt, expiresAt *time.Time
		class := ""
		if ev.Type == schemas.CreditsGranted {
			class = ev.Class.String()
			at := ev.EffectiveAt.Time()
			effectiveAt = &at
			if ev.ExpiresAt != schemas.NoInstant {
				at := ev.ExpiresAt.Time()
				expiresAt = &at
			}
		}
		w.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, note, actor, content_hash, kafka_time, epoch, kpart, koff)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			string(ev.WorkspaceID), ev.Time.Time(), string(ev.ID), ev.Type.String(), string(ev.GrantID), int64(ev.Credits), class, ev.Priority,
			effectiveAt, expiresAt, string(ev.Note), string(ev.Actor), ev.ContentHash, rec.Timestamp.Time(), uint32(testEpoch),
			uint16(schemas.Partition(ev.WorkspaceID, testPartitions)), uint64(i))
	}
	w.exec(`INSERT INTO ingest_progress (topic, epoch, kpart, next_offset) VALUES (?, ?, ?, ?)`,
		w.broker.Topics.Ledger, uint32(testEpoch), uint16(schemas.Partition([]byte(workspaceID), testPartitions)),
		uint64(len(w.records(schemas.LedgerTopic, workspaceID))))
}

// testProducer is a Producer on kafka-go's own client, one attempt each.
type testProducer struct {
	client *kafka.Client
	topics schemas.Topics
}

func (p *testProducer) Produce(ctx context.Context, role schemas.Topic, records []schemas.Record) []error {
	errs := make([]error, len(records))
	batch := make([]kafka.Record, len(records))
	for i, rec := range records {
		batch[i] = kafka.Record{Key: kafka.NewBytes(rec.Key), Value: kafka.NewBytes(rec.Value), Time: rec.Timestamp.Time()}
		for _, h := range rec.Headers {
			batch[i].Headers = append(batch[i].Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	response, err := p.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: p.topics.Name(role), Partition: schemas.Partition(records[0].Key, testPartitions),
		RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...),
	})
	if err == nil {
		err = response.Error
	}
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (p *testProducer) Tail(ctx context.Context, role schemas.Topic, workspaceID string, from int64, visit func(*schemas.Record)) error {
	topic, partition := p.topics.Name(role), schemas.Partition([]byte(workspaceID), testPartitions)
	listed, err := p.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(partition)}}})
	if err != nil {
		return err
	}
	for from < listed.Topics[topic][0].LastOffset {
		response, err := p.client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: 16 << 20, MaxWait: time.Second})
		if err != nil {
			return err
		}
		for {
			record, err := response.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if record.Offset < from {
				continue
			}
			rec := schemas.Record{Timestamp: schemas.MillisOf(record.Time)}
			if rec.Key, err = kafka.ReadAll(record.Key); err != nil {
				return err
			}
			if rec.Value, err = kafka.ReadAll(record.Value); err != nil {
				return err
			}
			for _, h := range record.Headers {
				rec.Headers = append(rec.Headers, schemas.Header{Key: h.Key, Value: h.Value})
			}
			visit(&rec)
			from = record.Offset + 1
		}
	}
	return nil
}

// consumed is a valid event in structured mode.
func (w *writer) consumed(workspaceID, id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":"credits.consumed","time":%q,"data":{"workspace_id":%q,"credits":"1"}}`,
		id, w.now.Format(time.RFC3339Nano), workspaceID)
}
