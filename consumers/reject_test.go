package consumers

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestConsumerKeepsEveryRejectionBesideGoodRecords: each code of DESIGN
// section 3, with a good record after each.
func TestConsumerKeepsEveryRejectionBesideGoodRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	ws := r.workspaceIn(0)
	now := time.Now()
	at := func(when time.Time) []byte {
		return r.consumed(ws, "timed-"+fmt.Sprint(when.Unix()), "", "a", 1, when).value
	}
	good := string(r.one(ws, "good").value)
	replaced := func(old, new string) []byte {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in %s", old, good)
		}
		return []byte(strings.Replace(good, old, new, 1))
	}
	bad := []struct {
		code  schemas.RejectionCode
		value []byte
		moved bool // claims to have been rerouted here
	}{
		{"too_large", bytes.Repeat([]byte("x"), 10<<20), false},
		{"too_large", []byte(good + strings.Repeat(" ", 1<<20)), false},
		{"malformed", nil, false}, // a tombstone
		{"malformed", []byte{}, false},
		{"malformed", []byte("{"), false},
		{"malformed", []byte(good + good), false},
		{"malformed", replaced(`"id":"good"`, `"id":"good","id":"good"`), false},
		{"malformed", replaced(`"id":"good"`, "\"id\":\"go\xffd\""), false},
		{"malformed", replaced(`"specversion":"1.0"`, `"specversion":"0.3"`), false},
		{"unknown_type", replaced(`credits.consumed`, `credits.eaten`), false},
		{"wrong_topic", replaced(`credits.consumed`, `credits.granted`), false},
		{"missing_field", replaced(`"credits"`, `"debits"`), false},
		{"missing_field", replaced(`"id":"good"`, `"id":null`), false},
		{"invalid_field", replaced(`"id":"good"`, `"id":""`), false},
		{"invalid_field", replaced(`"action":"action_1"`, `"action":7`), false},
		{"invalid_field", at(time.Date(1965, 1, 1, 0, 0, 0, 0, time.UTC)), false},
		{"invalid_field", at(time.Date(2110, 1, 1, 0, 0, 0, 0, time.UTC)), false},
		{"misrouted", r.one(r.workspaceIn(1), "elsewhere").value, true},
		{"too_late", at(now.Add(-36 * 24 * time.Hour)), false},
		{"in_future", at(now.Add(6 * time.Minute)), false},
		{"conflict", r.consumed(ws, "first", "", "a", 2, now).value, false},
	}
	r.consume(r.one(ws, "first"))
	for i, b := range bad {
		s := sent{partition: 0, key: []byte(ws), value: b.value, time: now}
		if b.moved {
			from := schemas.Origin{Topic: r.broker.Topics.Consumption, Partition: 2, Offset: 1, Epoch: 1, Timestamp: schemas.MillisOf(now)}
			s.headers = []kafka.Header{{Key: schemas.OriginHeader, Value: []byte(from.String())}}
		}
		r.consume(s, r.one(ws, fmt.Sprintf("good-%d", i)))
	}
	r.start()
	r.requireExact()

	type rejection struct {
		code, workspace, value string
		bytes                  uint64
	}
	got := collect(r, `SELECT code, workspace_id, value, value_bytes FROM rejections ORDER BY koff`, func(rows driver.Rows) (x rejection, err error) {
		err = rows.Scan(&x.code, &x.workspace, &x.value, &x.bytes)
		return x, err
	})
	if len(got) != len(bad) {
		t.Fatalf("%d rejections, want %d", len(got), len(bad))
	}
	for i, b := range bad {
		if got[i].code != string(b.code) {
			t.Errorf("rejection %d is %s, want %s: %.100s", i, got[i].code, b.code, b.value)
		}
		if kept := string(b.value[:min(len(b.value), keptValueBytes)]); got[i].value != kept || got[i].bytes != uint64(len(b.value)) {
			t.Errorf("rejection %d (%s) keeps %d bytes and says %d of %d", i, b.code, len(got[i].value), got[i].bytes, len(b.value))
		}
		// What could not be read must not carry the workspace of the record before.
		if unread := i < 6; unread && got[i].workspace != "" {
			t.Errorf("rejection %d (%s) names workspace %q", i, b.code, got[i].workspace)
		}
	}
	if n := r.number(`SELECT count() FROM events`); n != uint64(len(bad))+1 {
		t.Errorf("%d events are counted, want %d", n, len(bad)+1)
	}
}

// TestConsumerTakesAnyTimestampOfARecord: a producer may write what it likes.
func TestConsumerTakesAnyTimestampOfARecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	for i, at := range []time.Time{
		time.UnixMilli(0), time.UnixMilli(1), time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC),
		time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(1 << 60), time.Now(),
	} {
		s := r.one("ws_1", fmt.Sprint(i))
		s.time = at
		bad := sent{partition: s.partition, key: s.key, value: []byte("bad"), time: at}
		stray := r.one("ws_2", fmt.Sprintf("stray-%d", i))
		stray.time = at
		r.consume(s, bad)
		r.consume(r.astray(stray)...)
	}
	r.start()
	r.requireExact()
}

// TestConsumerCountsTheCorrectionOfARejectedEvent under the same id.
func TestConsumerCountsTheCorrectionOfARejectedEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	var wrong, right []sent
	for i := range 20 {
		s := r.one("ws_1", fmt.Sprint(i))
		right = append(right, s)
		s.value = bytes.Replace(s.value, []byte(`"credits"`), []byte(`"debits"`), 1)
		wrong = append(wrong, s)
	}
	late := r.consumed("ws_1", "late", "", "a", 1, time.Now().Add(-40*24*time.Hour))
	wrong = append(wrong, late)
	late.headers = []kafka.Header{{Key: schemas.ImportHeader, Value: []byte("import-1")}}
	right = append(right, late)
	r.consume(wrong...)
	r.start()
	r.requireExact()
	r.consume(right...)
	r.consume(right...)
	r.requireExact()
	if n := r.number(`SELECT count() FROM events`); n != 21 {
		t.Errorf("%d events are counted, want 21", n)
	}
}

// TestConsumerCountsABatchOver101Months: imports reach as far back as they may.
func TestConsumerCountsABatchOver101Months(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.limits.ImportLateness = 0 // no limit
	from := time.Now().AddDate(0, -101, 0)
	var all []sent
	for i := range 102 {
		s := r.consumed("ws_1", fmt.Sprint(i), "", "a", schemas.Credits(i), from.AddDate(0, i, 0))
		s.headers = []kafka.Header{{Key: schemas.ImportHeader, Value: []byte("import-1")}}
		all = append(all, s)
	}
	all = slices.Concat(all, all)
	r.consume(all...)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM ingest_batches WHERE inserted > 100`); n != 1 {
		t.Errorf("%d batches have more than 100 rows, want one", n)
	}
	if n := r.number(`SELECT uniqExact(toYYYYMM(time)) FROM events`); n < 101 {
		t.Errorf("the events fall into %d months, want at least 101", n)
	}
}
