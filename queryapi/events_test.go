package queryapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

const (
	batchMedia = "application/cloudevents-batch+json"
	eventMedia = "application/cloudevents+json"
	jsonMedia  = "application/json"
)

func TestEventsAreProducedAsSentAndEachHasItsResult(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	spaced := strings.Replace(w.consumed("ws_new", "e2"), `,"type"`, " ,\n\t\"extra\": [1, 2.0e3],\"type\"", 1)
	cases := []struct {
		event, id, code string
		status          queryapi.EventStatus
	}{
		{w.consumed("ws_new", "e1"), "e1", "", queryapi.EventAccepted},
		{strings.Replace(w.consumed("ws_new", "twice"), `"credits":"1"`, `"credits":"1","credits":"2"`, 1), "twice", "malformed", queryapi.EventRejected},
		{strings.Replace(w.consumed("ws_new", "utf8"), `"credits"`, "\"action\":\"\xff\",\"credits\"", 1), "utf8", "malformed", queryapi.EventRejected},
		{spaced, "e2", "", queryapi.EventAccepted},
		{w.consumed("ws_other", "foreign"), "foreign", "invalid_field", queryapi.EventRejected},
		{strings.Replace(w.consumed("ws_new", "type"), "credits.consumed", "credits.granted", 1), "type", "wrong_topic", queryapi.EventRejected},
		{strings.Replace(w.consumed("ws_new", "late"), w.now.Format("2006-"), "2001-", 1), "late", "too_late", queryapi.EventRejected},
		{strings.Replace(w.consumed("ws_new", "early"), w.now.Format("2006-"), "2099-", 1), "early", "in_future", queryapi.EventRejected},
		{strings.Replace(w.consumed("ws_new", "large"), `"credits"`, `"extra":"`+strings.Repeat("x", 1<<20)+`","credits"`, 1), "large", "too_large", queryapi.EventRejected},
		{`7`, "", "malformed", queryapi.EventRejected},
		{w.consumed("ws_new", "e1"), "e1", "", queryapi.EventAccepted},
	}
	texts := make([]string, len(cases))
	var want []string
	for i, c := range cases {
		texts[i] = c.event
		if c.status == queryapi.EventAccepted {
			want = append(want, c.event)
		}
	}
	r := w.post("/v1/workspaces/ws_new/events", batchMedia, " ["+strings.Join(texts, " ,\n")+"]\n")
	got := decoded[queryapi.EventsResult](w, r, 200)
	if len(got.Results) != len(cases) {
		t.Fatalf("%s", r.body)
	}
	for i, c := range cases {
		result, id := got.Results[i], ""
		if result.EventID != nil {
			id = *result.EventID
		}
		if result.Index != i || id != c.id || result.Status != c.status || result.Code != c.code || (result.Message == "") != (c.code == "") {
			t.Errorf("%d: %+v of %.100s", i, result, c.event)
		}
	}
	var produced []string
	for _, rec := range w.records(schemas.ConsumptionTopic, "ws_new") {
		produced = append(produced, string(rec.Value))
		if string(rec.Key) != "ws_new" || rec.Timestamp != schemas.MillisOf(w.now) {
			t.Errorf("key %s, timestamp %s", rec.Key, rec.Timestamp)
		}
	}
	if !slices.Equal(produced, want) {
		t.Errorf("produced %q", produced)
	}
}

// TestEventsGetTheVerdictOfTheDecoder sends every event of the decoder's
// corpus by itself.
func TestEventsGetTheVerdictOfTheDecoder(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	d := schemas.NewDecoder(schemas.DefaultLimits())
	paths, err := filepath.Glob("../schemas/testdata/events/*/*.event")
	if err != nil {
		t.Fatal(err)
	}
	sent, accepted, wrote := 0, 0, map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, value, _ := bytes.Cut(text, []byte("\n\n"))
		if bytes.Contains(head, []byte("header: ")) {
			continue
		}
		sent++
		rec := schemas.Record{Value: value, Timestamp: schemas.MillisOf(w.now)}
		var ev schemas.Event
		want := d.Decode(schemas.ConsumptionTopic, &rec, &ev)
		if want == nil {
			want = schemas.DefaultLimits().Late(&rec, &ev)
		}
		workspace := "ws_acme"
		if want == nil {
			workspace = string(ev.WorkspaceID)
			wrote[workspace] = true
		}
		got := decoded[queryapi.EventsResult](w, w.post("/v1/workspaces/"+workspace+"/events", eventMedia, string(value)), 200).Results[0]
		code := ""
		if want != nil {
			code = string(want.Code)
		} else {
			accepted++
		}
		if got.Code != code || (got.Status == queryapi.EventAccepted) != (want == nil) {
			t.Errorf("%s: %+v, the decoder says %v", path, got, want)
		}
	}
	if sent < 150 || accepted < 10 {
		t.Errorf("%d were sent, %d accepted", sent, accepted)
	}
	n, partitions := 0, map[int]bool{}
	for workspace := range wrote {
		if partition := schemas.Partition([]byte(workspace), testPartitions); !partitions[partition] {
			partitions[partition] = true
			n += len(w.records(schemas.ConsumptionTopic, workspace))
		}
	}
	if n != accepted {
		t.Errorf("%d records of %d accepted", n, accepted)
	}
}

func TestEventInBinaryModeIsProducedInBinaryMode(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	data := `{"workspace_id":"ws_a", "credits":2}`
	r := w.post("/v1/workspaces/ws_a/events", jsonMedia, data, "ce-specversion", "1.0", "ce-id", "caf%C3%A9 %25",
		"ce-source", "/s", "ce-type", "credits.consumed", "ce-time", w.now.Format(time.RFC3339Nano))
	got := decoded[queryapi.EventsResult](w, r, 200).Results[0]
	if got.Status != queryapi.EventAccepted || *got.EventID != "café %" {
		t.Fatalf("%s", r.body)
	}
	rec := w.records(schemas.ConsumptionTopic, "ws_a")[0]
	var ev schemas.Event
	if rejection := schemas.NewDecoder(schemas.DefaultLimits()).Decode(schemas.ConsumptionTopic, &rec, &ev); rejection != nil {
		t.Fatal(rejection)
	}
	if string(rec.Value) != data || string(ev.ID) != "café %" || string(ev.Source) != "/s" || ev.Credits != 2*schemas.MicrosPerCredit {
		t.Errorf("%s with %v", rec.Value, rec.Headers)
	}
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/events", jsonMedia, data, "ce-specversion", "1.0", "ce-id", "100%")); p.Code != queryapi.CodeInvalidParameter || p.Errors[0].Location != "header.ce-id" {
		t.Errorf("%+v", p)
	}
}

func TestEventsThatCannotBeTakenApartAreOneProblem(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	good := w.consumed("ws_a", "e")
	many := "[" + strings.Repeat("{},", 1000) + "{}]"
	for _, c := range []struct {
		media, body string
		status      int
		says        string
	}{
		{batchMedia, "[" + good + ",{]", 400, "in event 1"},
		{batchMedia, "[" + good, 400, fmt.Sprintf("byte %d", len(good)+1)},
		{batchMedia, "[" + good + "] x", 400, "behind the array"},
		{batchMedia, "", 422, "no JSON array"},
		{batchMedia, good, 422, "no JSON array"},
		{jsonMedia, many, 422, "more than 1000"},
		{"text/plain", good, 415, "text/plain"},
		{"", good, 415, "send application"},
		{jsonMedia, strings.Repeat(" ", 8<<20+1), 413, "8388608"},
	} {
		r := w.post("/v1/workspaces/ws_a/events", c.media, c.body)
		if p := w.problemOf(r); r.status != c.status || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s %.40q: %d %s", c.media, c.body, r.status, r.body)
		}
	}
	if n := len(w.records(schemas.ConsumptionTopic, "ws_a")); n != 0 {
		t.Errorf("%d records", n)
	}
	if r := w.post("/v1/workspaces/ws_a/events", batchMedia, "[]"); string(r.body) != `{"results":[]}`+"\n" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if p := w.problemOf(w.post("/v1/workspaces/a%20b/events", batchMedia, "[]")); p.Code != queryapi.CodeInvalidParameter || p.Errors[0].Location != "path.workspace_id" {
		t.Errorf("%+v", p)
	}
}

func TestEventsThatKafkaDoesNotAcknowledgeAreToBeSentAgain(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.refusing.Store(true)
	r := w.post("/v1/workspaces/ws_a/events", batchMedia, "["+w.consumed("ws_a", "e1")+"]")
	if p := w.problemOf(r); p.Code != queryapi.CodeWritesUnavailable || r.header.Get("Retry-After") != "1" {
		t.Errorf("%+v, Retry-After %q", p, r.header.Get("Retry-After"))
	}
	if log := w.log.String(); !strings.Contains(log, r.header.Get("X-Request-Id")) || !strings.Contains(log, "kafka did not acknowledge") {
		t.Errorf("log %s", log)
	}
	// One that is rejected will be at every try, and must be told.
	body := "[7," + w.consumed("ws_a", "e1") + "]"
	got := decoded[queryapi.EventsResult](w, w.post("/v1/workspaces/ws_a/events", batchMedia, body), 200)
	if got.Results[0].Status != queryapi.EventRejected || got.Results[1].Status != queryapi.EventFailed || got.Results[1].Code != string(queryapi.CodeWritesUnavailable) {
		t.Errorf("%+v", got)
	}
	w.refusing.Store(false)
	got = decoded[queryapi.EventsResult](w, w.post("/v1/workspaces/ws_a/events", batchMedia, body), 200)
	if got.Results[1].Status != queryapi.EventAccepted || len(w.records(schemas.ConsumptionTopic, "ws_a")) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestWithoutKafkaNothingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.server = newHarness(t, w.now).server
	for _, path := range []string{"events", "grants", "adjustments", "grants/g/void"} {
		r := w.post("/v1/workspaces/ws_a/"+path, jsonMedia, "{}")
		if p := w.problemOf(r); p.Code != queryapi.CodeWritesUnavailable || r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}

func TestOpenAPIDescribesWhatIsWritten(t *testing.T) {
	t.Parallel()
	spec, err := queryapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Schema map[string]any `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
			Responses map[string]any `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		status string
		media  []string
	}{
		"events": {"200", []string{batchMedia, eventMedia, jsonMedia}}, "grants": {"202", []string{jsonMedia}},
		"adjustments": {"202", []string{jsonMedia}}, "grants/{grant_id}/void": {"202", []string{jsonMedia}},
	} {
		post, ok := doc.Paths["/v1/workspaces/{workspace_id}/"+path]["post"]
		if _, described := post.Responses[want.status]; !ok || !described {
			t.Errorf("%s has no %s", path, want.status)
		}
		for _, media := range want.media {
			if len(post.RequestBody.Content[media].Schema) == 0 {
				t.Errorf("%s does not describe %s", path, media)
			}
		}
	}
}
