package queryapi

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/drawdown/drawdown/schemas"
)

// FuzzElements compares how a batch is cut into events with encoding/json,
// which lets pass within an element what is its own matter.
func FuzzElements(f *testing.F) {
	for _, body := range []string{
		`[]`, ` [ {"id":"1"} , {"id":"2","id":"2"} ] `, "[\"\xff\",7,null,[[]],{\"a\":[1,{}]}]", `[{}`, `[{}]]`, `[{},]`, `{}`, `[]x`, `[1 2]`, `["\ud800"]`, ``, `[`, "[{\"a\":\"\x01\"}]",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want []json.RawMessage
		wanted := json.Unmarshal(body, &want)
		if start := bytes.TrimLeft(body, " \t\r\n"); len(start) == 0 || start[0] != '[' || len(want) > maxEvents {
			return
		}
		got, err := elements(body)
		if (err == nil) != (wanted == nil) || len(got) != len(want) && err == nil {
			t.Fatalf("%q: %d elements, %v; encoding/json has %d, %v", body, len(got), err, len(want), wanted)
		}
		for i := range got {
			if err == nil && !bytes.Equal(got[i].Value, want[i]) {
				t.Fatalf("%q: element %d is %q, encoding/json has %q", body, i, got[i].Value, want[i])
			}
		}
	})
}

// FuzzEntryBody: whatever a body holds, an entry is refused with a problem that
// says where, or is one that the consumers accept.
func FuzzEntryBody(f *testing.F) {
	for _, body := range []string{`{}`, `{"credits":"1"}`, `{"credits":1e3,"grant_id":"g","class":"promo","priority":1.0,"note":"\ud83d\ude00"}`, `{"credits":-1,"reason":null}`, `{"expires_at":"2026-01-01T00:00:00Z","credits":"1"}`, `{"":1}`, `{"credits":"1","credits":1}`} {
		f.Add([]byte(body), "key", "ws_a", "subject", uint8(0))
	}
	f.Fuzz(fuzzEntryBody)
}

func fuzzEntryBody(t *testing.T, body []byte, key, workspaceID, subject string, kind uint8) {
	if !idPattern.MatchString(workspaceID) {
		return // refused before
	}
	kinds := []schemas.EventType{schemas.CreditsGranted, schemas.CreditsAdjusted, schemas.GrantVoided}
	r := entryRequest{kind: kinds[int(kind)%len(kinds)], workspaceID: workspaceID, key: key}
	if r.kind == schemas.GrantVoided {
		r.grantID = &key
	}
	if err := r.fill(body); err != nil {
		asked(t, err)
		return
	}
	d := schemas.NewDecoder(schemas.DefaultLimits())
	now := schemas.Millis(1_790_000_000_123)
	var ev, again schemas.Event
	if err := r.decode(d, circumstances{at: now, effective: now, actor: clipActor(subject)}, &ev); err != nil {
		asked(t, err)
		return
	}
	rec := schemas.Record{Value: schemas.EncodeEvent(&ev), Timestamp: now}
	entry := entryOf(&ev)
	if rejection := d.Decode(schemas.LedgerTopic, &rec, &again); rejection != nil || schemas.DefaultLimits().Late(&rec, &again) != nil {
		t.Fatalf("%s becomes %s, which is rejected: %v", body, rec.Value, rejection)
	}
	if string(again.WorkspaceID) != workspaceID || again.ContentHash != entry.content || !r.same(d, entry) {
		t.Fatalf("%s becomes %s, which is not it", body, rec.Value)
	}
}

// asked wants a 4xx that says where.
func asked(t *testing.T, err error) {
	t.Helper()
	p := asProblem(err)
	if p.Status != 400 && (p.Status != 422 || len(p.Errors) == 0) {
		t.Fatalf("%+v", p)
	}
	for _, e := range p.Errors {
		if e.Location == "" || e.Location == "body" {
			t.Fatalf("%+v does not say where", p)
		}
	}
}
