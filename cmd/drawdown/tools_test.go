package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// testNow is the clock of commands under test. The broker's is the real one,
// which nothing here depends on.
var testNow = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// testEnv is an environment with a fixed clock.
func testEnv(stdout, stderr io.Writer) *env {
	return &env{Log: slog.New(slog.NewTextHandler(stderr, nil)), Stdout: stdout, Stderr: stderr, Now: func() time.Time { return testNow }}
}

// runTool parses a command line and runs its command.
func runTool(ctx context.Context, t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var (
		tools struct {
			Simulate   simulateCmd   `cmd:""`
			Import     importCmd     `cmd:""`
			Grant      grantCmd      `cmd:""`
			Campaign   campaignCmd   `cmd:""`
			Rejections rejectionsCmd `cmd:""`
			Migrate    migrateCmd    `cmd:""`
		}
		out, logged bytes.Buffer
	)
	parser, err := kong.New(&tools, kong.Name("drawdown"), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return "", "", usageError{err}
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(testEnv(&out, &logged))
	err = parsed.Run()
	return out.String(), logged.String(), err
}

// sentRecord is a record that a test reads back.
type sentRecord struct {
	partition int
	offset    int64
	schemas.Record
}

// readTopic returns all records of a topic, each partition in order. It reads
// with another client than the one that wrote.
func readTopic(t *testing.T, broker *storetest.Broker, topic string) []sentRecord {
	t.Helper()
	left := recordsOf(t, broker, topic)
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []sentRecord
	for left > 0 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			record := sentRecord{partition: int(r.Partition), offset: r.Offset}
			record.Key, record.Value, record.Timestamp = r.Key, r.Value, schemas.MillisOf(r.Timestamp)
			for _, header := range r.Headers {
				record.Headers = append(record.Headers, schemas.Header{Key: header.Key, Value: header.Value})
			}
			records = append(records, record)
		})
	}
	return records
}

// recordsOf returns how many records a topic has.
func recordsOf(t *testing.T, broker *storetest.Broker, topic string) int64 {
	t.Helper()
	client := broker.Client(t)
	metadata, err := client.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	request := map[string][]kafka.OffsetRequest{}
	for _, partition := range metadata.Topics[0].Partitions {
		request[topic] = append(request[topic], kafka.LastOffsetOf(partition.ID))
	}
	response, err := client.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: request})
	if err != nil {
		t.Fatal(err)
	}
	count := int64(0)
	for _, partition := range response.Topics[topic] {
		if partition.Error != nil {
			t.Fatal(partition.Error)
		}
		count += partition.LastOffset
	}
	return count
}

// decodeAll decodes records as the consumer does and fails on a rejection or a
// record in the wrong partition.
func decodeAll(t *testing.T, role schemas.Topic, records []sentRecord, partitions int, visit func(*sentRecord, *schemas.Event)) {
	t.Helper()
	decoder := schemas.NewDecoder(schemas.DefaultLimits())
	for i := range records {
		var ev schemas.Event
		if rejection := decoder.Decode(role, &records[i].Record, &ev); rejection != nil {
			t.Fatalf("record %d/%d: %v\n%s", records[i].partition, records[i].offset, rejection, records[i].Value)
		}
		if want := schemas.Partition(ev.WorkspaceID, partitions); records[i].partition != want {
			t.Fatalf("an event of %s is in partition %d instead of %d", ev.WorkspaceID, records[i].partition, want)
		}
		visit(&records[i], &ev)
	}
}

// recount is the oracle: ten naive lines that add up distinct events.
func recount(t *testing.T, records []sentRecord, partitions int) map[simDayTotal]simSum {
	t.Helper()
	seen := map[[2]string]bool{}
	sums := map[simDayTotal]simSum{}
	decodeAll(t, schemas.ConsumptionTopic, records, partitions, func(_ *sentRecord, ev *schemas.Event) {
		id := [2]string{string(ev.WorkspaceID), string(ev.ID)}
		if seen[id] {
			return
		}
		seen[id] = true
		key := simDayTotal{
			WorkspaceID: string(ev.WorkspaceID), CampaignID: string(ev.CampaignID), Action: string(ev.Action),
			Day: ev.Time.Time().Format(time.DateOnly),
		}
		sum := sums[key]
		sum.Events++
		sum.Credits = sum.Credits.Add(ev.Credits.Total())
		if ev.Credits < 0 {
			sum.Refunds = sum.Refunds.Sub(ev.Credits.Total())
		}
		sums[key] = sum
	})
	return sums
}

// mustContain fails unless text has every part.
func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
