package schemas

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata/events/valid.golden")

// eventFile is one file of testdata/events: lines "key: value" - the topic,
// the record's headers and timestamp, the expected code and a part of the
// message -, an empty line, and the record's value to the end of the file.
type eventFile struct {
	name  string
	topic Topic
	rec   Record
	code  RejectionCode
	says  string
}

func readEventFiles(t testing.TB, kind string) []eventFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "events", kind, "*.event"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s events: %v", kind, err)
	}
	files := make([]eventFile, 0, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, body, ok := bytes.Cut(text, []byte("\n\n"))
		if !ok {
			t.Fatalf("%s has no empty line", path)
		}
		file := eventFile{name: strings.TrimSuffix(filepath.Base(path), ".event")}
		file.rec.Value = body
		for line := range strings.SplitSeq(string(head), "\n") {
			key, text, _ := strings.Cut(line, ": ")
			switch key {
			case "topic":
				file.topic = Topic(text)
			case "code":
				file.code = RejectionCode(text)
			case "says":
				file.says = text
			case "timestamp":
				file.rec.Timestamp = MillisOf(instantAt(t, text))
			case "header":
				name, value, _ := strings.Cut(text, "=")
				file.rec.Headers = append(file.rec.Headers, Header{Key: name, Value: []byte(value)})
			default:
				t.Fatalf("%s has an unknown line %q", path, line)
			}
		}
		files = append(files, file)
	}
	return files
}

// judge decodes and, where the file has a timestamp, tests lateness.
func (f *eventFile) judge(d *Decoder, ev *Event) *Rejection {
	if rejected := d.Decode(f.topic, &f.rec, ev); rejected != nil || f.rec.Timestamp == 0 {
		return rejected
	}
	return DefaultLimits().Late(&f.rec, ev)
}

func TestInvalidEventsAreRejectedWithTheirCode(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	for _, file := range readEventFiles(t, "invalid") {
		t.Run(file.name, func(t *testing.T) {
			var ev Event
			rejected := file.judge(d, &ev)
			if rejected == nil {
				t.Fatalf("accepted, want %s", file.code)
			}
			if rejected.Code != file.code || !strings.Contains(rejected.Message, file.says) {
				t.Fatalf("%v, want %s about %q", rejected, file.code, file.says)
			}
			isField := file.code == MissingField || file.code == InvalidField
			if field := rejected.Field(); isField != fieldName.MatchString(field) || !isField && field != "" {
				t.Errorf("the field of %v is %q", rejected, field)
			}
			if !strings.HasPrefix(file.name, string(file.code)+"-") {
				t.Fatalf("the file is not named after its code %s", file.code)
			}
			if want := "ws_acme"; len(ev.WorkspaceID) > 0 && string(ev.WorkspaceID) != want {
				t.Fatalf("workspace %q, want %q or none", ev.WorkspaceID, want)
			}
		})
	}
}

// fieldName is an attribute of the envelope, or a field of data.
var fieldName = regexp.MustCompile(`^(specversion|id|source|type|time|data|data\.[a-z_]+)$`)

// describe writes every field of an event on one line.
func describe(ev *Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s id=%q source=%q time=%s workspace=%q campaign=%q action=%q actor=%q credits=%s", ev.Type, ev.ID, ev.Source, ev.Time, ev.WorkspaceID, ev.CampaignID, ev.Action, ev.Actor, ev.Credits)
	for _, a := range ev.Attributes {
		fmt.Fprintf(&b, " attribute=%q:%q", a.Key, a.Value)
	}
	fmt.Fprintf(&b, " grant=%q class=%s priority=%d effective=%s expires=%s note=%q", ev.GrantID, ev.Class, ev.Priority, ev.EffectiveAt, ev.ExpiresAt, ev.Note)
	fmt.Fprintf(&b, " name=%q status=%q quota=%s/%t starts=%s ends=%s zone=%q week=%q hash=%08x", ev.Name, ev.Status, ev.Quota, ev.HasQuota, ev.StartsAt, ev.EndsAt, ev.TimeZone, ev.WeekStart, ev.ContentHash)
	return b.String()
}

// TestValidEventsDecodeAsPinned pins every field and every content hash: the
// hashes are stored with the events and must never change.
func TestValidEventsDecodeAsPinned(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	var got strings.Builder
	for _, file := range readEventFiles(t, "valid") {
		var ev Event
		if rejected := file.judge(d, &ev); rejected != nil {
			t.Errorf("%s: %v", file.name, rejected)
			continue
		}
		fmt.Fprintf(&got, "%s: %s\n", file.name, describe(&ev))
	}
	golden := filepath.Join("testdata", "events", "valid.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(got.String(), "\n") {
		if !strings.Contains(string(want), line) {
			t.Errorf("not as pinned: %s", line)
		}
	}
	if len(want) != got.Len() {
		t.Error("events are missing or new; look at the difference before running with -update")
	}
}

func TestScannerReadsTheUsualShapes(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	// What the scanner leaves to the reference, and why.
	slow := map[string]string{
		"consumed-escapes":              "escapes",
		"consumed-extra-fields":         "unknown keys",
		"consumed-most-attributes":      "more than 8 attributes",
		"consumed-null-optional-fields": "null attributes and subject",
		"binary-mode":                   "headers",
	}
	for _, file := range readEventFiles(t, "valid") {
		if file.topic != ConsumptionTopic {
			continue
		}
		var ev Event
		if _, isSlow := slow[file.name]; d.scan(file.rec.Value, &ev) == isSlow {
			t.Errorf("%s: scanned %t", file.name, !isSlow)
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	rec := &Record{Value: []byte(typical)}
	var ev Event
	if rejection := d.Decode(ConsumptionTopic, rec, &ev); rejection != nil {
		t.Fatal(rejection)
	}
	if n := testing.AllocsPerRun(100, func() { _ = d.Decode(ConsumptionTopic, rec, &ev) }); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
}

func TestTooLargeComesBeforeEverything(t *testing.T) {
	limits := DefaultLimits()
	d := NewDecoder(limits)
	value := append([]byte(typical), bytes.Repeat([]byte(" "), limits.MaxValueBytes-len(typical))...)
	var ev Event
	if rejected := d.Decode(ConsumptionTopic, &Record{Value: value}, &ev); rejected != nil {
		t.Errorf("%d bytes: %v", len(value), rejected)
	}
	value = append(value, '{')
	if rejected := d.Decode(AlertsTopic, &Record{Value: value}, &ev); rejected == nil || rejected.Code != TooLarge {
		t.Errorf("%d bytes: %v", len(value), rejected)
	}
}

func TestTombstoneIsMalformed(t *testing.T) {
	var ev Event
	if rejected := NewDecoder(DefaultLimits()).Decode(LedgerTopic, &Record{}, &ev); rejected == nil || rejected.Code != Malformed {
		t.Error(rejected)
	}
}

func TestDeepNestingIsMalformedAndReturns(t *testing.T) {
	value := typical[:len(typical)-1] + `,"extra":` + strings.Repeat("[", 500_000)
	var ev Event
	if rejected := NewDecoder(DefaultLimits()).Decode(ConsumptionTopic, &Record{Value: []byte(value)}, &ev); rejected == nil || rejected.Code != Malformed {
		t.Error(rejected)
	}
}

func TestRejectedRecordOffersItsWorkspace(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	for value, want := range map[string]string{
		`{"specversion":"1.0","id":"e","type":"credits.consumed","time":"2026-11-22T09:00:07Z","data":{"workspace_id":"ws_acme"}}`:                         "ws_acme",
		`{"specversion":"1.0","id":"e","type":"credits.consumed","time":"2026-11-22T09:00:07Z","data":{"workspace_id":"ws acme","credits":1}}`:             "",
		`{"specversion":"1.0","id":"","type":"credits.consumed","time":"2026-11-22T09:00:07Z","data":{"workspace_id":"ws_\u0061cme","credits":1}}`:         "ws_acme",
		`{"specversion":"1.0","id":"e","type":"nope","time":"2026-11-22T09:00:07Z","data":{"workspace_id":"ws_acme","credits":1}}`:                         "ws_acme",
		`{"specversion":"2.0","data":{"workspace_id":"ws_acme","credits":1}}`:                                                                              "ws_acme",
		`{"specversion":"1.0","id":"e","type":"credits.granted","data":{"workspace_id":"ws_acme"}}`:                                                        "ws_acme",
		`{"specversion":"1.0","id":"e","type":"credits.consumed","time":"2026-11-22T09:00:07Z","data":{"workspace_id":"ws_acme","credits":1,"credits":1}}`: "",
	} {
		ev := Event{WorkspaceID: []byte("left over"), Credits: 5}
		if rejected := d.Decode(ConsumptionTopic, &Record{Value: []byte(value)}, &ev); rejected == nil || string(ev.WorkspaceID) != want {
			t.Errorf("%s: %v, workspace %q, want %q", value, rejected, ev.WorkspaceID, want)
		}
		if ev.Credits != 0 || ev.ID != nil {
			t.Errorf("%s: left %s", value, describe(&ev))
		}
	}
}

// checkDecode asserts what holds for any record on any topic.
func checkDecode(t failer, value []byte) {
	t.Helper()
	original := slices.Clone(value)
	d := NewDecoder(DefaultLimits())
	reference := NewDecoder(DefaultLimits())
	rec := &Record{Value: value}
	var fast, slow Event
	scanned := d.scan(value, &fast)
	rejected := reference.reference(ConsumptionTopic, rec, false, &slow)
	if scanned {
		if rejected != nil {
			t.Fatalf("scanned, but the reference says %v", rejected)
		}
		if got, want := describe(&fast), describe(&slow); got != want {
			t.Fatalf("scanned\n%s\nreference\n%s", got, want)
		}
	}
	for _, topic := range []Topic{ConsumptionTopic, LedgerTopic, CampaignsTopic, AlertsTopic} {
		var ev Event
		rejected := d.Decode(topic, rec, &ev)
		if rejected != nil {
			if len(rejected.Message) == 0 || len(rejected.Message) > maxMessage || !utf8.ValidString(rejected.Message) {
				t.Fatalf("message %q", rejected.Message)
			}
			if len(ev.WorkspaceID) > 0 && !isName(ev.WorkspaceID) {
				t.Fatalf("workspace %q", ev.WorkspaceID)
			}
			continue
		}
		// What was accepted can be written and read again.
		var again Event
		written := EncodeEvent(&ev)
		if rejected := reference.Decode(topic, &Record{Value: written}, &again); rejected != nil {
			t.Fatalf("%s became %s: %v", value, written, rejected)
		}
		if got, want := describe(&again), describe(&ev); got != want {
			t.Fatalf("%s became %s:\n%s\n%s", value, written, want, got)
		}
	}
	if !bytes.Equal(value, original) {
		t.Fatalf("the value was written to: %s", original)
	}
}

// FuzzDecode is the proof that the scanner equals the reference, among other
// things.
func FuzzDecode(f *testing.F) {
	for _, kind := range []string{"valid", "invalid"} {
		for _, file := range readEventFiles(f, kind) {
			f.Add(file.rec.Value)
		}
	}
	f.Fuzz(func(t *testing.T, value []byte) { checkDecode(t, value) })
}

// TestScannerEqualsReferenceOnAlmostUsualEvents puts events together from
// usual and odd pieces, which a fuzzer of bytes hardly finds.
func TestScannerEqualsReferenceOnAlmostUsualEvents(t *testing.T) {
	texts := []string{`""`, `"a"`, `"ws_acme"`, `"cmp 7"`, `"\u0061"`, `"é"`, "\"\xff\"", "\"\x01\"", `"a\"b"`, `null`, `1`, `{}`, `"` + strings.Repeat("x", 64) + `"`, `"` + strings.Repeat("x", 65) + `"`, `"` + strings.Repeat("x", 129) + `"`, `"` + strings.Repeat("é", 129) + `"`}
	amounts := []string{`"1"`, `1`, `-1.5`, `1e2`, `"1e-6"`, `01`, `"01"`, `-01`, `1.`, `"1`, `"0.0000001"`, `1000001`, `null`, `-0`, `"-0.0"`, `1 `, `"1" `, `true`, `"\u0031"`}
	attributes := []string{`{}`, `{ }`, `{"a":"b"}`, `{"a":"b","a":"c"}`, `{ "a" : "b" , "c" : "d" }`, `{"a":1}`, `{"a":null}`, `null`, `[]`, `{"a":"b",}`, `{"a":{"b":"c"}}`, `{"a\n":"b"}`, `{"1":"","2":"","3":"","4":"","5":"","6":"","7":"","8":"","9":""}`}
	instants := []string{`"2026-11-22T09:00:07.123Z"`, `"2026-11-22t09:00:07+05:45"`, `"1999-12-31T23:59:59Z"`, `"2026-11-22T09:00:60Z"`, `"2026-11-22"`, `1`, `null`}
	data := map[string][]string{"workspace_id": {`"ws_acme"`, `"ws_acme"`, `""`, `"a b"`, `null`}, "credits": amounts, "campaign_id": texts, "action": texts, "actor": texts, "attributes": attributes, "extra": {`1`, `{"a":[]}`}}
	envelope := map[string][]string{"specversion": {`"1.0"`, `"1.0"`, `"1.0"`, `"1.1"`, `1.0`}, "id": texts, "source": texts, "type": {`"credits.consumed"`, `"credits.consumed"`, `"credits.granted"`, `"credits.consumed "`, `null`}, "subject": texts, "time": instants, "datacontenttype": {`"application/json"`, `1`}, "extra": {`"x"`, `[1,{"a":1,"a":2}]`}}
	space := rapid.SampledFrom([]string{"", "", "", "", "", "", " ", "\n", "\t \r", "\v"})
	object := func(t *rapid.T, label string, members map[string][]string, required []string) string {
		keys := slices.Clone(required)
		for _, key := range slices.Sorted(maps.Keys(members)) {
			if !slices.Contains(required, key) && rapid.Bool().Draw(t, "with "+key) {
				keys = append(keys, key)
			}
		}
		keys = rapid.Permutation(keys).Draw(t, "order of "+label)
		switch rapid.IntRange(0, 20).Draw(t, "mistake in "+label) {
		case 0:
			keys = append(keys, keys[0])
		case 1:
			keys = keys[1:]
		}
		var b strings.Builder
		b.WriteString(space.Draw(t, "space") + "{")
		for i, key := range keys {
			if i > 0 {
				b.WriteString(",")
			}
			// Mostly the first, which is valid, so that some events are.
			at := max(0, rapid.IntRange(-3*len(members[key]), len(members[key])-1).Draw(t, key))
			b.WriteString(space.Draw(t, "space") + `"` + key + `"` + space.Draw(t, "space") + ":" + space.Draw(t, "space") + members[key][at] + space.Draw(t, "space"))
		}
		b.WriteString("}" + space.Draw(t, "space"))
		return b.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		envelope := maps.Clone(envelope)
		envelope["id"] = append([]string{`"e1"`}, texts...)
		envelope["data"] = []string{object(t, "data", data, []string{"workspace_id", "credits"}), `null`, `[]`}
		value := object(t, "event", envelope, []string{"specversion", "id", "type", "time", "data"})
		switch rapid.IntRange(0, 30).Draw(t, "end") {
		case 0:
			value += "x"
		case 1:
			value = value[:rapid.IntRange(0, len(value)).Draw(t, "cut")]
		}
		checkDecode(t, []byte(value))
	})
}

// TestBinaryModeFollowsTheSameRules sends every event of the corpus whose
// attributes are strings in binary mode as well.
func TestBinaryModeFollowsTheSameRules(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	sent := 0
	for _, file := range slices.Concat(readEventFiles(t, "valid"), readEventFiles(t, "invalid")) {
		var members map[string]jsontext.Value
		if json.Unmarshal(file.rec.Value, &members) != nil || len(file.rec.Headers) > 0 || firstByte(members["data"]) != '{' {
			continue
		}
		rec := Record{Value: members["data"], Timestamp: file.rec.Timestamp}
		binary := true
		for name, raw := range members {
			var text string
			switch {
			case name == "data" || string(raw) == "null":
			case json.Unmarshal(raw, &text) != nil:
				binary = false
			default:
				rec.Headers = append(rec.Headers, Header{Key: "ce_" + name, Value: []byte(text)})
			}
		}
		if _, ok := header(&rec, "ce_specversion"); !ok || !binary {
			continue
		}
		sent++
		var structuredEvent, binaryEvent Event
		want := d.Decode(file.topic, &file.rec, &structuredEvent)
		wantText := describe(&structuredEvent) // before the next Decode reuses its bytes
		got := d.Decode(file.topic, &rec, &binaryEvent)
		if (got == nil) != (want == nil) || got != nil && got.Code != want.Code || describe(&binaryEvent) != wantText {
			t.Errorf("%s in binary mode: %v, in structured mode: %v", file.name, got, want)
		}
	}
	if sent < 100 {
		t.Errorf("only %d events were sent in binary mode", sent)
	}
}

func TestContentHashIsOfContentAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawEvent(t)
		before, _ := contentHash(ev, nil)
		same := *ev
		same.ID, same.WorkspaceID, same.Source, same.Attributes = []byte("other"), []byte("other"), nil, nil
		if after, _ := contentHash(&same, nil); after != before {
			t.Fatal("identity, source or attributes are content")
		}
		other := *ev
		other.Time += minute
		if after, _ := contentHash(&other, nil); after == before {
			t.Fatal("time is no content")
		}
		// A byte that moves from one field to the next makes another event.
		if ev.Type == CreditsConsumed && len(ev.Action) > 0 {
			moved := *ev
			last := len(ev.Action) - 1
			moved.Actor = append([]byte{ev.Action[last]}, ev.Actor...)
			moved.Action = ev.Action[:last]
			if after, _ := contentHash(&moved, nil); after == before {
				t.Fatal("the encoding is ambiguous")
			}
		}
	})
}

func TestEventsSurviveEncodingAndDecoding(t *testing.T) {
	d := NewDecoder(DefaultLimits())
	rapid.Check(t, func(t *rapid.T) {
		want := drawEvent(t)
		want.ContentHash, _ = contentHash(want, nil)
		written := EncodeEvent(want)
		var got Event
		if rejected := d.Decode(want.Type.Topic(), &Record{Value: written}, &got); rejected != nil {
			t.Fatalf("%s: %v", written, rejected)
		}
		if describe(&got) != describe(want) {
			t.Fatalf("%s:\n%s\n%s", written, describe(want), describe(&got))
		}
	})
}

// drawEvent draws a valid event of any type.
func drawEvent(t *rapid.T) *Event {
	name := rapid.StringMatching(`[A-Za-z0-9._:-]{1,128}`)
	text := rapid.StringOfN(rapid.Rune(), 0, 30, 64)
	at := func(label string, width int64) Millis {
		n := rapid.Int64Range(int64(minInstant)/width, int64(maxInstant)/width-2).Draw(t, label)
		return Millis(n * width)
	}
	ev := &Event{
		Type:        EventType(rapid.IntRange(int(CreditsConsumed), int(WorkspaceUpdated)).Draw(t, "type")),
		ID:          []byte(rapid.StringOfN(rapid.Rune(), 1, 20, 128).Draw(t, "id")),
		Source:      []byte(text.Draw(t, "source")),
		WorkspaceID: []byte(name.Draw(t, "workspace_id")),
		Time:        at("time", 1),
	}
	if ev.Type.Topic() == LedgerTopic {
		ev.Time -= ev.Time % minute
		ev.GrantID = []byte(name.Draw(t, "grant_id"))
		ev.Actor = []byte(text.Draw(t, "actor"))
		ev.Note = []byte(text.Draw(t, "note"))
	}
	switch ev.Type {
	case CreditsConsumed:
		ev.CampaignID = []byte(rapid.OneOf(name, rapid.Just("")).Draw(t, "campaign_id"))
		ev.Credits = Credits(rapid.Int64Range(-int64(maxConsumption), int64(maxConsumption)).Draw(t, "credits"))
		ev.Action = []byte(text.Draw(t, "action"))
		ev.Actor = []byte(text.Draw(t, "actor"))
		for _, key := range rapid.SliceOfNDistinct(text, 0, 12, rapid.ID).Draw(t, "attributes") {
			ev.Attributes = append(ev.Attributes, Attribute{Key: []byte(key), Value: []byte(text.Draw(t, "value"))})
		}
	case CreditsGranted:
		ev.Credits = Credits(rapid.Int64Range(1, int64(MaxLedgerCredits)).Draw(t, "credits"))
		ev.Class = Class(rapid.IntRange(0, 1).Draw(t, "class"))
		ev.Priority = uint16(rapid.IntRange(0, maxPriority).Draw(t, "priority"))
		ev.EffectiveAt, ev.ExpiresAt = at("effective_at", int64(minute)), NoInstant
		if rapid.Bool().Draw(t, "expires") {
			ev.ExpiresAt = ev.EffectiveAt + minute
		}
	case CreditsAdjusted:
		ev.Credits = Credits(rapid.Int64Range(-int64(MaxLedgerCredits), int64(MaxLedgerCredits)).Draw(t, "credits"))
	case CampaignUpdated:
		ev.CampaignID = []byte(name.Draw(t, "campaign_id"))
		ev.Name = []byte(text.Draw(t, "name"))
		ev.Status = []byte(rapid.SampledFrom([]string{"ACTIVE", "PAUSED", "COMPLETED", "DRAFT"}).Draw(t, "status"))
		ev.StartsAt, ev.EndsAt = NoInstant, at("ends_at", 1)
		if ev.HasQuota = rapid.Bool().Draw(t, "has quota"); ev.HasQuota {
			ev.Quota = Credits(rapid.Int64Range(0, int64(MaxLedgerCredits)).Draw(t, "quota"))
		}
	case WorkspaceUpdated:
		ev.Name = []byte(text.Draw(t, "name"))
		ev.TimeZone = []byte(rapid.SampledFrom([]string{"", "UTC", "Europe/Berlin"}).Draw(t, "zone"))
		ev.WeekStart = []byte(rapid.SampledFrom([]string{"", "monday", "sunday"}).Draw(t, "week start"))
	}
	return ev
}
