package queryapi_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// entries decodes what stands in the ledger of a workspace's partition, as the
// consumers do.
func (w *writer) entries(workspaceID string) []schemas.Event {
	w.t.Helper()
	var all []schemas.Event
	for _, rec := range w.records(schemas.LedgerTopic, workspaceID) {
		var ev schemas.Event
		rejection := schemas.NewDecoder(schemas.DefaultLimits()).Decode(schemas.LedgerTopic, &rec, &ev)
		if rejection == nil {
			rejection = schemas.DefaultLimits().Late(&rec, &ev)
		}
		if rejection != nil {
			w.t.Errorf("%s is rejected: %v", rec.Value, rejection)
		}
		all = append(all, ev)
	}
	return all
}

func TestEntriesBecomeEvents(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte("k1")))
	grant := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_new/grants", jsonMedia,
		`{"credits":12.5,"priority":7,"class":"promo","effective_at":"2026-01-01T00:00:30+01:00","expires_at":"2027-01-01T00:00:00Z","note":"hi"}`, "Idempotency-Key", "k1"), 202)
	w.now = w.now.Add(time.Second)
	bare := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_new/grants", jsonMedia, `{"credits":"1000000000000","expires_at":null}`), 202)
	adjusted := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_new/adjustments", jsonMedia, `{"credits":"-3","grant_id":"`+grant.GrantID+`","reason":"r"}`), 202)
	voided := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_new/grants/"+bare.GrantID+"/void", jsonMedia, ``), 202)
	got := w.entries("ws_new")
	if len(got) != 4 {
		t.Fatalf("%d entries", len(got))
	}
	first := w.now.Add(-time.Second)
	if want := (queryapi.Entry{EntryID: "grant:api:" + hash, EventID: "api:" + hash, GrantID: "grant-" + hash[:36],
		AcceptedAt: queryapi.Instant(first.Add(time.Millisecond).Format("2006-01-02T15:04:05.000Z"))}); grant != want {
		t.Errorf("%+v, want %+v", grant, want)
	}
	g := got[0]
	if g.Type != schemas.CreditsGranted || string(g.GrantID) != grant.GrantID || g.Credits != 12_500_000 || g.Class != schemas.Promo || g.Priority != 7 ||
		g.EffectiveAt.String() != "2025-12-31T23:00:00.000Z" && g.EffectiveAt.Time().Format(time.RFC3339) != "2025-12-31T23:00:00Z" ||
		g.ExpiresAt.Time().Format(time.RFC3339) != "2027-01-01T00:00:00Z" || string(g.Note) != "hi" || string(g.Actor) != "token:dev" || string(g.Source) != "/drawdown/api" {
		t.Errorf("%+v", g)
	}
	b := got[1]
	if string(b.ID) != bare.EventID || b.Class != schemas.Paid || b.Priority != 100 || b.ExpiresAt != schemas.NoInstant || b.EffectiveAt.Time() != w.now.Truncate(time.Minute) {
		t.Errorf("%+v", b)
	}
	if a := got[2]; a.Type != schemas.CreditsAdjusted || adjusted.EntryID != "adjustment:"+string(a.ID) || adjusted.GrantID != grant.GrantID || a.Credits != -3_000_000 || string(a.Note) != "r" {
		t.Errorf("%+v, %+v", adjusted, a)
	}
	if v := got[3]; v.Type != schemas.GrantVoided || voided.EntryID != "void:"+string(v.ID) || voided.GrantID != bare.GrantID || string(v.GrantID) != bare.GrantID {
		t.Errorf("%+v, %+v", voided, v)
	}
}

// TestRetryOfAnEntryIsAnsweredAlikeAndWrittenOnce: wherever the first one is
// known from, and a day later.
func TestRetryOfAnEntryIsAnsweredAlikeAndWrittenOnce(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	requests := map[string]string{
		"grants":          `{"credits":"5","effective_at":"2026-01-01T00:00:01Z"}`,
		"adjustments":     `{"credits":"-5","reason":"r"}`,
		"grants/g_1/void": `{"reason":"r"}`,
	}
	unset := `{"credits":"6"}` // effective when it was first sent
	first := map[string]queryapi.Entry{}
	for path, body := range requests {
		first[path] = decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/"+path, jsonMedia, body, "Idempotency-Key", path), 202)
	}
	first["unset"] = decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/grants", jsonMedia, unset, "Idempotency-Key", "unset"), 202)
	w.now = w.now.Add(24 * time.Hour)
	for _, known := range []string{"remembered", "in the log", "counted"} {
		switch known {
		case "in the log":
			w.restart()
		case "counted":
			w.restart()
			w.count("ws_a")
		}
		check := func(key, path, body string) {
			t.Helper()
			again := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/"+path, jsonMedia, body, "Idempotency-Key", key), 202)
			if known != "remembered" {
				again.AcceptedAt = first[key].AcceptedAt
			}
			if again != first[key] {
				t.Errorf("%s: %s again: %+v, first %+v", known, key, again, first[key])
			}
			// White space and the order of keys are no other body, amounts are.
			spaced := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/"+path, jsonMedia, " "+body, "Idempotency-Key", key), 202)
			if spaced.EntryID != first[key].EntryID {
				t.Errorf("%s: %+v", known, spaced)
			}
			other := strings.NewReplacer(`"5"`, `"5.000001"`, `"-5"`, `"5"`, `"6"`, `"7"`, `{"reason":"r"}`, `{}`).Replace(body)
			if p := w.problemOf(w.post("/v1/workspaces/ws_a/"+path, jsonMedia, other, "Idempotency-Key", key)); p.Code != queryapi.CodeIdempotencyConflict || p.Status != 409 {
				t.Errorf("%s: other body: %+v", known, p)
			}
		}
		for path, body := range requests {
			check(path, path, body)
		}
		check("unset", "grants", unset)
		if p := w.problemOf(w.post("/v1/workspaces/ws_a/adjustments", jsonMedia, `{"credits":"5"}`, "Idempotency-Key", "grants")); p.Code != queryapi.CodeIdempotencyConflict {
			t.Errorf("%s: other endpoint: %+v", known, p)
		}
	}
	if n := len(w.entries("ws_a")); n != 4 {
		t.Errorf("%d entries", n)
	}
	// Elsewhere the key is another one.
	decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_b/grants", jsonMedia, `{"credits":"9"}`, "Idempotency-Key", "grants"), 202)
}

func TestRetryAfterAnUnknownOutcomeSendsTheSameBytes(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.refusing.Store(true)
	r := w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"6"}`, "Idempotency-Key", "k")
	if p := w.problemOf(r); p.Code != queryapi.CodeWritesUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("%+v", p)
	}
	first := w.now
	w.refusing.Store(false)
	w.now = w.now.Add(10 * time.Minute)
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"7"}`, "Idempotency-Key", "k")); p.Code != queryapi.CodeIdempotencyConflict {
		t.Errorf("%+v", p)
	}
	decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"6"}`, "Idempotency-Key", "k"), 202)
	if got := w.entries("ws_a"); len(got) != 1 || got[0].Time.Time() != first.Truncate(time.Minute) || got[0].EffectiveAt != got[0].Time {
		t.Errorf("%+v", got)
	}
}

// TestRetryAfterAnUnknownOutcomeDoesNotSendWhatHasBecomeAConflict: another key
// has granted the id meanwhile, so that the consumers would reject it.
func TestRetryAfterAnUnknownOutcomeDoesNotSendWhatHasBecomeAConflict(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.refusing.Store(true)
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"6","grant_id":"g"}`, "Idempotency-Key", "k")); p.Code != queryapi.CodeWritesUnavailable {
		t.Errorf("%+v", p)
	}
	w.refusing.Store(false)
	decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"7","grant_id":"g"}`), 202)
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"6","grant_id":"g"}`, "Idempotency-Key", "k")); p.Code != queryapi.CodeGrantConflict {
		t.Errorf("%+v", p)
	}
	if n := len(w.entries("ws_a")); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestGrantOfAKnownIDIsTheSameGrantOrAConflict(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	first := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"grant_id":"g","credits":"6"}`), 202)
	w.now = w.now.Add(10 * time.Minute)
	for _, known := range []string{"in the log", "counted"} {
		if known == "counted" {
			w.count("ws_a")
		}
		again := decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"grant_id":"g","credits":"6","note":"other"}`, "Idempotency-Key", known), 202)
		if again.EntryID != first.EntryID {
			t.Errorf("%s: %+v, first %+v", known, again, first)
		}
		for _, body := range []string{`{"grant_id":"g","credits":"7"}`, `{"grant_id":"g","credits":"6","class":"promo"}`, `{"grant_id":"g","credits":"6","effective_at":"2026-01-01T00:00:00Z"}`} {
			if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", jsonMedia, body)); p.Code != queryapi.CodeGrantConflict || p.Status != 409 {
				t.Errorf("%s: %s: %+v", known, body, p)
			}
		}
	}
	if n := len(w.entries("ws_a")); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestSimultaneousRetriesAreWrittenOnce(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	var wait sync.WaitGroup
	answers := make([]response, 8)
	for i := range answers {
		wait.Go(func() {
			answers[i] = w.post("/v1/workspaces/ws_a/adjustments", jsonMedia, `{"credits":"6"}`, "Idempotency-Key", "k")
		})
	}
	wait.Wait()
	for _, r := range answers {
		if r.status != 202 || string(r.body) != string(answers[0].body) {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if n := len(w.entries("ws_a")); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestWrongEntriesNameEachField(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	for _, c := range []struct {
		path, body string
		status     int
		locations  []string
	}{
		{"grants", `{"credits":0,"class":"x","priority":1001,"effective_at":"soon","expires_at":"1999-01-01T00:00:00Z","note":7,"grant_id":"a b"}`, 422,
			[]string{"body.class", "body.credits", "body.effective_at", "body.expires_at", "body.grant_id", "body.note", "body.priority"}},
		{"grants", `{"effective_at":"2026-01-01T00:01:00Z","expires_at":"2026-01-01T00:01:59Z"}`, 422, []string{"body.credits", "body.expires_at"}},
		{"grants", `{"credits":"1","credit":"1","Class":"paid"}`, 422, []string{"body.Class", "body.credit"}},
		{"grants", `{"credits":"1","actor":"me"}`, 422, []string{"body.actor"}},
		{"grants", `{"credits":"1","credits":"2"}`, 400, nil},
		{"grants", `{"credits":"1","note":"` + "\xff" + `"}`, 400, nil},
		{"grants", `[]`, 400, nil},
		{"grants", ``, 400, nil},
		{"adjustments", `{"credits":"1e13","reason":["r"]}`, 422, []string{"body.credits", "body.reason"}},
		{"adjustments", `{"class":"paid"}`, 422, []string{"body.class"}},
		{"grants/a%20b/void", `{"reason":"` + strings.Repeat("r", 4097) + `"}`, 422, []string{"body.reason", "path.grant_id"}},
	} {
		r := w.post("/v1/workspaces/ws_a/"+c.path, jsonMedia, c.body)
		p := w.problemOf(r)
		var locations []string
		for _, e := range p.Errors {
			locations = append(locations, e.Location)
			if e.Message == "" {
				t.Errorf("%s without a message", e.Location)
			}
		}
		slices.Sort(locations)
		if r.status != c.status || !slices.Equal(locations, c.locations) {
			t.Errorf("%s %s: %d %v %s", c.path, c.body, r.status, locations, r.body)
		}
	}
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"1"}`, "Idempotency-Key", strings.Repeat("k", 256))); p.Status != 422 {
		t.Errorf("%+v", p)
	}
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", "text/plain", `{"credits":"1"}`)); p.Status != 415 {
		t.Errorf("%+v", p)
	}
	if n := len(w.entries("ws_a")); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// TestAcceptedEntriesAreNeverRejected sends whatever: the decoder of the
// consumers takes every record there is.
func TestAcceptedEntriesAreNeverRejected(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	text := rapid.OneOf(rapid.StringN(0, 10, 40), rapid.SampledFrom([]string{"", "g", "paid", "promo", "2026-01-01T00:00:00Z", "2026-06-01T23:59:59.999+02:00", "1", "-1.000001", "1e3"}))
	value := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.IntRange(-10, 2000), func(n int) any { return n }), rapid.Just[any](nil), rapid.Just[any]([]int{1}))
	usual := map[string]any{"credits": "1", "class": "paid", "priority": 5, "effective_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z", "note": "n", "reason": "r", "grant_id": "g"}
	fields := map[string][]string{
		"grants": {"grant_id", "credits", "class", "priority", "effective_at", "expires_at", "note"}, "adjustments": {"credits", "grant_id", "reason"}, "grants/g/void": {"reason"},
	}
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom([]string{"grants", "adjustments", "grants/g/void"}).Draw(t, "path")
		body := map[string]any{}
		for _, name := range fields[path] {
			switch rapid.IntRange(0, 5).Draw(t, "what of "+name) {
			case 0:
				body[name] = value.Draw(t, name)
			case 1:
			default:
				body[name] = usual[name]
			}
		}
		if path == "grants" { // else all but the first would be one grant
			delete(body, "grant_id")
		}
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		switch r := w.post("/v1/workspaces/ws_a/"+path, jsonMedia, string(encoded)); r.status {
		case 202:
			accepted++
		case 422:
			refused++
		default:
			t.Fatalf("%s: %d %s", encoded, r.status, r.body)
		}
	})
	if n := len(w.entries("ws_a")); n != accepted || accepted == 0 || refused == 0 {
		t.Errorf("%d entries of %d accepted, %d refused", n, accepted, refused)
	}
}

// TestEveryEntryIsAuditedOnce: also one whose server ended before it could, when
// it is sent again.
func TestEveryEntryIsAuditedOnce(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	audited := func() (rows []string) {
		found, err := w.conn.Query(t.Context(), `SELECT action || ' ' || subject || ' ' || JSONExtractString(detail, 'event_id') || ' ' || JSONExtractString(detail, 'event', 'data', 'credits')
			FROM audit_log WHERE workspace_id = 'ws_a' ORDER BY at, action`)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = found.Close() }()
		for found.Next() {
			var row string
			if err := found.Scan(&row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	send := func() queryapi.Entry {
		return decoded[queryapi.Entry](w, w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"6"}`, "Idempotency-Key", "k"), 202)
	}
	entry := send()
	want := []string{"credits.grant token:dev " + entry.EventID + " 6"}
	for _, retry := range []string{"first", "remembered", "by another server", "after the row was lost", "again"} {
		switch retry {
		case "first":
		case "by another server":
			w.restart()
			send()
		case "after the row was lost":
			w.exec(`TRUNCATE TABLE audit_log`)
			w.restart()
			send()
		default:
			send()
		}
		if got := audited(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", retry, got, want)
		}
	}
	if p := w.problemOf(w.post("/v1/workspaces/ws_a/grants", jsonMedia, `{"credits":"-6"}`)); p.Status != 422 || len(audited()) != 1 {
		t.Errorf("%+v, audited %q", p, audited())
	}
}
