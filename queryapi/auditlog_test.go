package queryapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// TestAuditLogPagesAreTheWholeLogOfTheWorkspaceAlone: entries arrive while
// somebody pages; many have one instant and one request id, which is the
// caller's to choose; other workspaces have their own.
func TestAuditLogPagesAreTheWholeLogOfTheWorkspaceAlone(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	// 500 entries, fifty in a second, which share two request ids.
	h.exec(`INSERT INTO audit_log (workspace_id, at, request_id, action, subject, credential, key_id, detail)
		SELECT if(number % 10 = 9, 'ws_b', 'ws_a'), toDateTime64('2026-11-22 08:00:00', 3, 'UTC') + intDiv(number, 50), concat('r', toString(number % 2)),
			if(number % 3 = 0, 'credits.grant', 'key.create'), concat('user:', toString(number % 4)), 'jwt', if(number % 5 = 0, 'k', ''),
			concat('{"n":', toString(number), ',"event":{"credits":"1.5"}}') FROM numbers(500)`)
	arrived := 0
	arrive := func() {
		arrived++
		h.exec(`INSERT INTO audit_log (workspace_id, at, request_id, action, subject, credential, key_id, detail)
			SELECT 'ws_a', toDateTime64('2026-11-22 08:59:00', 3, 'UTC') + toIntervalMillisecond(?), 'r9', 'credits.grant', 'user:1', 'jwt', '', ?`, arrived, fmt.Sprintf(`{"n":%d}`, 1000+arrived))
	}
	read := func(q url.Values) (numbers []int) {
		for pages := 0; ; pages++ {
			var page queryapi.AuditLog
			h.get("/v1/workspaces/ws_a/audit-log", q, &page)
			for _, item := range page.Items {
				var n int
				if _, err := fmt.Sscan(string(item.Detail["n"]), &n); err != nil {
					t.Fatalf("%+v: %v", item, err)
				}
				numbers = append(numbers, n)
				if n >= 1000 {
					continue
				}
				if item.At != queryapi.Instant(now.Truncate(time.Hour).Add(time.Duration(n/50)*time.Second-time.Hour).Format(time.RFC3339)) ||
					item.RequestID != fmt.Sprint("r", n%2) || item.Subject != fmt.Sprint("user:", n%4) || item.Credential != "jwt" ||
					(item.KeyID != nil) != (n%5 == 0) || string(item.Detail["event"]) != `{"credits":"1.5"}` {
					t.Fatalf("%d: %+v", n, item)
				}
			}
			if page.NextCursor == nil {
				return numbers
			}
			arrive()
			q.Set("cursor", *page.NextCursor)
			if pages > 100 {
				t.Fatal("no end")
			}
		}
	}
	for _, c := range []struct {
		query string
		want  func(n int) bool
	}{
		{"limit=37", func(int) bool { return true }},
		{"limit=1000", func(int) bool { return true }},
		{"", func(int) bool { return true }},
		{"limit=13&action=credits.grant", func(n int) bool { return n%3 == 0 }},
		{"limit=20&subject=user:2", func(n int) bool { return n%4 == 2 }},
		{"limit=40&from=2026-11-22T08:00:02Z&to=2026-11-22T08:00:05Z", func(n int) bool { return n >= 100 && n < 250 }},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		before := arrived
		seen, last := map[int]bool{}, 1<<60
		for _, n := range read(q) {
			if n > 1000+before {
				t.Errorf("%q: %d arrived later than the first page", c.query, n)
			}
			if seen[n] || n/50 > last/50 {
				t.Errorf("%q: %d after %d", c.query, n, last)
			}
			seen[n], last = true, n
		}
		for n := range 500 {
			if want := n%10 != 9 && c.want(n); seen[n] != want {
				t.Errorf("%q: %d is there: %v", c.query, n, !want)
			}
		}
	}
	p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/audit-log?action=session.sign_in&limit=1001&cursor=x&from=y&z=1"))
	if p.Code != queryapi.CodeInvalidParameter || len(p.Errors) != 5 {
		t.Errorf("%+v", p)
	}
	var page queryapi.AuditLog
	h.get("/v1/workspaces/ws_a/audit-log", url.Values{"limit": {"1"}}, &page)
	if r := h.do(http.MethodGet, "/v1/workspaces/ws_b/audit-log?limit=1&cursor="+*page.NextCursor); r.status != http.StatusUnprocessableEntity {
		t.Errorf("with the cursor of another workspace: %d %s", r.status, r.body)
	}
}

func TestAuditLogSaysWhoChangedMoneyAndAccessAndNoSecret(t *testing.T) {
	w := newWriter(t)
	w.insert(event{"ws_a", "", "", w.now, 1})
	admin := w.key("ws_a", `"credits:read","credits:admin"`)
	reader := w.key("ws_a", `"credits:read","credits:export"`)
	mute := w.key("ws_a", `"credits:admin"`)
	w.now = w.now.Add(time.Second)
	granted := w.post("/v1/workspaces/ws_a/grants", "application/json",
		`{"grant_id":"g1","credits":"12.5","class":"paid","effective_at":"2026-11-22T09:00:00Z","note":"wire 7"}`, "Authorization", "Bearer "+admin.Secret)
	if granted.status != http.StatusAccepted {
		t.Fatalf("%d %s\nlog: %s", granted.status, granted.body, w.log)
	}
	const path = "/v1/workspaces/ws_a/audit-log"
	w.now = w.now.Add(time.Second)
	if r := w.do(http.MethodDelete, "/v1/workspaces/ws_a/keys/"+mute.KeyID); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	r := w.do(http.MethodGet, path, "Authorization", "Bearer "+admin.Secret)
	log := decoded[queryapi.AuditLog](w, r, http.StatusOK)
	var got []string
	for _, item := range log.Items {
		got = append(got, fmt.Sprint(item.Action, " by ", item.Subject))
	}
	want := []string{"key.revoke by token:dev", "credits.grant by key:" + admin.KeyID, "key.create by token:dev", "key.create by token:dev", "key.create by token:dev"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	grant := log.Items[1]
	if grant.KeyID == nil || *grant.KeyID != admin.KeyID || grant.RequestID != granted.header.Get("X-Request-Id") || string(grant.Detail["grant_id"]) != `"g1"` ||
		!strings.Contains(string(grant.Detail["event"]), `"12.5"`) || !strings.Contains(string(grant.Detail["event"]), `"wire 7"`) {
		t.Errorf("%+v", grant)
	}
	for _, key := range []queryapi.NewKey{admin, reader, mute} {
		if strings.Contains(string(r.body), key.Secret[3:]) {
			t.Errorf("the log tells a key: %s", r.body)
		}
	}
	if r := w.do(http.MethodGet, path, "Authorization", "Bearer "+reader.Secret); w.problemOf(r).Code != queryapi.CodeForbidden {
		t.Errorf("for a key that may not change money: %d %s", r.status, r.body)
	}
	only := w.key("ws_a", `"credits:admin"`)
	if r := w.do(http.MethodGet, path, "Authorization", "Bearer "+only.Secret); w.problemOf(r).Code != queryapi.CodeForbidden {
		t.Errorf("for a key that may not see figures: %d %s", r.status, r.body)
	}
}
