package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// object is a JSON object.
type object = map[string]any

// sent is one record and what has to become of it.
type sent struct {
	topic     string
	partition int
	key       string
	value     []byte
	headers   []kafka.Header
	code      string // of its rejection; "": it counts
	claim     string // what is wrong with it
}

// badRecords makes records that are refused, each in its own way.
type badRecords struct {
	t          testing.TB
	now        time.Time
	partitions int
	epoch      int
	next       int
}

// workspaceOf spreads records over eight workspaces.
func workspaceOf(i int) string { return fmt.Sprintf("ws_mixed_%d", i%8) }

// good returns an event of a type with all its fields, for the caller to spoil.
func (b *badRecords) good(kind string) (event, data object) {
	b.next++
	id := fmt.Sprintf("bad-%d", b.next)
	data = object{"workspace_id": workspaceOf(b.next), "actor": "agent:bad"}
	at := b.now.Format(time.RFC3339Nano)
	switch kind {
	case "credits.consumed":
		maps.Copy(data, object{"campaign_id": "cmp_bad", "credits": "1000", "action": "bad", "attributes": object{"a": "b"}})
	case "credits.granted":
		maps.Copy(data, object{"grant_id": id, "credits": "1000", "class": "paid", "priority": 100, "effective_at": at, "expires_at": b.now.AddDate(0, 1, 0).Format(time.RFC3339), "note": "n"})
	case "credits.adjusted":
		maps.Copy(data, object{"credits": "1000", "reason": "r"})
	case "credits.grant_voided":
		maps.Copy(data, object{"grant_id": "g", "reason": "r"})
	case "campaign.updated":
		maps.Copy(data, object{"campaign_id": "cmp_bad", "name": "n", "status": "ACTIVE", "quota": "10"})
	case "workspace.updated":
		maps.Copy(data, object{"name": "n", "time_zone": "Europe/Berlin", "week_start": "sunday"})
	}
	return object{"specversion": "1.0", "id": id, "source": "/bad", "type": kind, "time": at, "data": data}, data
}

// homeOf is the topic of a type.
func homeOf(kind string) string {
	return string(schemas.ParseEventType(kind).Topic())
}

// spoiled sends an event of a type with something wrong.
func (b *badRecords) spoiled(kind, code, claim string, spoil func(event, data object)) sent {
	event, data := b.good(kind)
	spoil(event, data)
	return b.record(homeOf(kind), code, claim, event)
}

// record sends any value as JSON to where its workspace belongs.
func (b *badRecords) record(topic, code, claim string, value any) sent {
	text, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.raw(topic, code, claim, text)
}

// raw sends bytes. Where the workspace can be read the key is that.
func (b *badRecords) raw(topic, code, claim string, value []byte) sent {
	b.next++
	key := workspaceOf(b.next)
	var event struct {
		Data struct {
			Workspace any `json:"workspace_id"`
		}
	}
	if json.Unmarshal(value, &event) == nil {
		if workspace, ok := event.Data.Workspace.(string); ok {
			key = workspace
		}
	}
	return sent{topic: topic, partition: schemas.Partition([]byte(key), b.partitions), key: key, value: value, code: code, claim: claim}
}

// text is an event as JSON, for spoiling its bytes.
func (b *badRecords) text(kind string) string {
	event, _ := b.good(kind)
	text, err := json.Marshal(event)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

const (
	consumed = "credits.consumed"
	granted  = "credits.granted"
	adjusted = "credits.adjusted"
	voided   = "credits.grant_voided"
	updated  = "campaign.updated"
	named    = "workspace.updated"
)

var kinds = []string{consumed, granted, adjusted, voided, updated, named}

// malformed are values that are no event at all.
func (b *badRecords) malformed() (all []sent) {
	for _, topic := range []string{consumption, string(schemas.LedgerTopic), string(schemas.CampaignsTopic)} {
		for claim, value := range map[string]string{
			"empty": "", "white space": " \n", "no JSON": "credits: 1", "an open object": `{"specversion":"1.0"`,
			"an array": "[]", "a string": `"event"`, "a number": "7", "null": "null", "a comma too many": `{"a":1,}`,
			"binary": "\x00\x01\x02", "a nested duplicate key": `{"data":{"x":{"y":1,"y":2}}}`,
		} {
			all = append(all, b.raw(topic, "malformed", claim, []byte(value)))
		}
	}
	spoil := func(claim string, change func(text string) string) {
		all = append(all, b.raw(consumption, "malformed", claim, []byte(change(b.text(consumed)))))
	}
	spoil("an event cut off", func(text string) string { return text[:len(text)/2] })
	spoil("two events", func(text string) string { return text + text })
	spoil("a key twice", func(text string) string { return strings.Replace(text, "{", `{"id":"other",`, 1) })
	spoil("invalid UTF-8", func(text string) string { return strings.Replace(text, "agent:bad", "agent:\xff", 1) })
	spoil("a control character", func(text string) string { return strings.Replace(text, "agent:bad", "agent:\x01", 1) })
	for _, version := range []any{"0.3", "1.1", 1.0, "", true} {
		all = append(all, b.spoiled(consumed, "malformed", fmt.Sprintf("specversion %v", version), func(event, _ object) { event["specversion"] = version }))
	}
	return all
}

// misplaced are events of unknown types or on another topic than theirs.
func (b *badRecords) misplaced() (all []sent) {
	for _, name := range []any{"credits.burned", "Credits.Consumed", "", 7, object{}} {
		all = append(all, b.spoiled(consumed, "unknown_type", fmt.Sprintf("type %v", name), func(event, _ object) { event["type"] = name }))
	}
	for _, kind := range kinds {
		for _, topic := range []string{consumption, string(schemas.LedgerTopic), string(schemas.CampaignsTopic)} {
			if topic != homeOf(kind) {
				event, _ := b.good(kind)
				all = append(all, b.record(topic, "wrong_topic", kind+" on "+topic, event))
			}
		}
	}
	return all
}

// incomplete are events of which something required is absent or null.
func (b *badRecords) incomplete() (all []sent) {
	required := map[string][]string{
		consumed: {"workspace_id", "credits"}, granted: {"workspace_id", "grant_id", "credits", "class", "effective_at"},
		adjusted: {"workspace_id", "credits"}, voided: {"workspace_id", "grant_id"},
		updated: {"workspace_id", "campaign_id", "name", "status"}, named: {"workspace_id"},
	}
	for _, kind := range kinds {
		for _, name := range []string{"specversion", "id", "type", "time", "data"} {
			all = append(all,
				b.spoiled(kind, "missing_field", kind+" without "+name, func(event, _ object) { delete(event, name) }),
				b.spoiled(kind, "missing_field", kind+" with null "+name, func(event, _ object) { event[name] = nil }))
		}
		for _, name := range required[kind] {
			all = append(all,
				b.spoiled(kind, "missing_field", kind+" without data."+name, func(_, data object) { delete(data, name) }),
				b.spoiled(kind, "missing_field", kind+" with null data."+name, func(_, data object) { data[name] = nil }))
		}
	}
	return all
}

// invalid are events with a value that breaks the rule of its field.
func (b *badRecords) invalid() (all []sent) {
	long := func(n int) string { return strings.Repeat("x", n) }
	many := object{}
	for i := range 33 {
		many[fmt.Sprint(i)] = "v"
	}
	for name, values := range map[string][]any{
		"id": {"", long(129), 7}, "source": {long(257), 7}, "data": {"text", []int{1}, 7},
		"time": {"yesterday", "2026-11-22T09:00:00", "2026-11-22", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "2026-02-30T00:00:00Z", 1700000000},
	} {
		for _, value := range values {
			for _, kind := range []string{consumed, adjusted, updated} {
				all = append(all, b.spoiled(kind, "invalid_field", fmt.Sprintf("%s with %s %.40v", kind, name, value), func(event, _ object) { event[name] = value }))
			}
		}
	}
	for kind, fields := range map[string]map[string][]any{
		consumed: {
			"workspace_id": {"", "two words", "ümlaut", long(129), 7}, "campaign_id": {"two words", long(129), 7},
			"credits": {"abc", "", "1.", ".5", "+1", "0x10", "1e", " 1", "1.0000001", "1e-7", "1000000.000001", "-1000000.000001", 1000001, 1e300, 0.0000001, true, object{}},
			"action":  {long(65), 7}, "actor": {long(129), 7},
			"attributes": {"text", many, object{"a": 1}, object{"a": object{}}, object{"a": long(4096)}, []string{"a"}},
		},
		granted: {
			"credits": {"0", "-1", "1000000000000.000001"}, "grant_id": {"", "two words"}, "class": {"gold", "", 1},
			"priority": {-1, 1001, 1.5, "high"}, "effective_at": {"soon", ""}, "expires_at": {"2001-01-01T00:00:00Z", "later"},
		},
		adjusted: {"credits": {"1000000000000.000001", "-1000000000000.000001", "many"}, "grant_id": {"two words"}, "reason": {7}},
		voided:   {"grant_id": {"", 7}},
		updated:  {"status": {"RUNNING", "active", ""}, "quota": {"-1", "lots"}, "campaign_id": {""}, "starts_at": {"soon"}, "name": {7}},
		named:    {"time_zone": {"Mars/Olympus", 7}, "week_start": {"someday", 7}},
	} {
		for name, values := range fields {
			for _, value := range values {
				all = append(all, b.spoiled(kind, "invalid_field", fmt.Sprintf("%s with data.%s %.40v", kind, name, value), func(_, data object) { data[name] = value }))
			}
		}
	}
	return all
}

// untimely are events that come too late or too early.
func (b *badRecords) untimely() (all []sent) {
	at := func(kind, code string, shift time.Duration, headers ...kafka.Header) {
		record := b.spoiled(kind, code, fmt.Sprintf("%s, %s from now", kind, shift), func(event, _ object) {
			event["time"] = b.now.Add(shift).Format(time.RFC3339)
		})
		record.headers = headers
		all = append(all, record)
	}
	const day = 24 * time.Hour
	for _, late := range []time.Duration{35*day + time.Hour, 60 * day, 3000 * day} {
		at(consumed, "too_late", -late)
	}
	at(consumed, "too_late", -420*day, kafka.Header{Key: schemas.ImportHeader, Value: []byte("e2e")})
	for _, early := range []time.Duration{15 * time.Minute, day, 9000 * day} {
		for _, kind := range kinds {
			at(kind, "in_future", early)
		}
	}
	return all
}

// lost are records that were rerouted before and are in the wrong partition
// again.
func (b *badRecords) lost() (all []sent) {
	for _, kind := range []string{consumed, granted, updated} {
		record := b.spoiled(kind, "misrouted", kind+" in the wrong partition again", func(_, _ object) {})
		record.partition = (record.partition + 1) % b.partitions
		origin := schemas.Origin{Topic: record.topic, Partition: record.partition, Offset: 0, Epoch: uint32(b.epoch), Timestamp: schemas.MillisOf(b.now)}
		record.headers = []kafka.Header{{Key: schemas.OriginHeader, Value: []byte(origin.String())}}
		all = append(all, record)
	}
	return all
}

// large are values over 1 MiB, well formed or not.
func (b *badRecords) large() []sent {
	padded := b.spoiled(consumed, "too_large", "an event with 1 MiB of padding", func(event, _ object) {
		event["padding"] = strings.Repeat("x", 1<<20)
	})
	return []sent{padded, b.raw(consumption, "too_large", "2 MiB of zeros", make([]byte, 2<<20))}
}

// conflicts are pairs of a good event and one with its id and other content.
// The good ones use no credits.
func (b *badRecords) conflicts() (all []sent) {
	for name, value := range map[string]any{"credits": "7", "campaign_id": "cmp_other", "action": "other", "actor": "agent:other"} {
		event, data := b.good(consumed)
		data["credits"] = "0"
		first := b.record(consumption, "", "the first of a conflict", event)
		data[name] = value
		all = append(all, first, b.record(consumption, "conflict", "another "+name+" under the same id", event))
	}
	event, data := b.good(consumed)
	data["credits"] = "0"
	first := b.record(consumption, "", "the first of a conflict", event)
	event["time"] = b.now.Add(-time.Second).Format(time.RFC3339Nano)
	all = append(all, first, b.record(consumption, "conflict", "another time under the same id", event))

	event, data = b.good(named)
	first = b.record(homeOf(named), "", "the first of a conflict", event)
	data["name"] = "another name"
	return append(all, first, b.record(homeOf(named), "conflict", "another name under the same id", event))
}
