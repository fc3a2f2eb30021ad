package queryapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

// send sends a request with a JSON body as whoever has the token.
func (h *harness) send(server *queryapi.Server, token, method, target, body string) response {
	h.t.Helper()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, request)
	return response{recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
}

// key makes an API key.
func (h *harness) key(workspace, scopes string) queryapi.NewKey {
	h.t.Helper()
	r := h.send(h.server, testToken, http.MethodPost, "/v1/workspaces/"+workspace+"/keys", `{"name":"test","scopes":[`+scopes+`]}`)
	var key queryapi.NewKey
	if err := json.Unmarshal(r.body, &key); err != nil || r.status != http.StatusCreated {
		h.t.Fatalf("%d %s: %v\nlog: %s", r.status, r.body, err, h.log)
	}
	return key
}

func TestKeyOpensItsWorkspaceAndNoOtherUntilItIsRevoked(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	key := h.key("ws_a", `"credits:read"`)
	if len(key.Secret) < len("ck_")+43 || !strings.HasPrefix(key.Secret, "ck_") {
		t.Fatalf("key %q", key.Secret)
	}
	other := h.serverWith(func(c *queryapi.Config) { c.Registerer = prometheus.NewRegistry() })
	get := func(server *queryapi.Server, target string) int {
		return h.send(server, key.Secret, http.MethodGet, target, "").status
	}
	for target, want := range map[string]int{"ws_a/balance": 200, "ws_b/balance": 404, "ws_c/balance": 404, "ws_a/export?dataset=usage&format=csv": 403} {
		for _, server := range []*queryapi.Server{h.server, other} {
			if got := get(server, "/v1/workspaces/"+target); got != want {
				t.Errorf("%s: %d, want %d", target, got, want)
			}
		}
	}
	// It says nothing of itself in any list, log or table.
	list := h.do(http.MethodGet, "/v1/workspaces/ws_a/keys")
	var keys queryapi.Keys
	if err := json.Unmarshal(list.body, &keys); err != nil || len(keys.Items) != 1 {
		t.Fatalf("%s: %v", list.body, err)
	}
	if got := keys.Items[0]; got.KeyID != key.KeyID || got.CreatedBy != "token:dev" || got.LastUsedAt == nil || *got.LastUsedAt != "2026-11-22T09:00:30Z" || got.RevokedAt != nil {
		t.Errorf("%+v", got)
	}
	if strings.Contains(string(list.body)+h.log.String(), key.Secret) {
		t.Error("the key is told again")
	}
	if r := h.do(http.MethodDelete, "/v1/workspaces/ws_b/keys/"+key.KeyID); r.status != http.StatusNotFound {
		t.Errorf("revoked by way of another workspace: %d %s", r.status, r.body)
	}
	if r := h.do(http.MethodDelete, "/v1/workspaces/ws_a/keys/"+key.KeyID); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if got := get(h.server, "/v1/me"); got != http.StatusUnauthorized {
		t.Errorf("where it was revoked: %d", got)
	}
	h.now = now.Add(2 * time.Second)
	if got := get(other, "/v1/me"); got != http.StatusUnauthorized {
		t.Errorf("elsewhere 2 s later: %d", got)
	}
	if r := h.do(http.MethodDelete, "/v1/workspaces/ws_a/keys/"+key.KeyID); r.status != http.StatusNoContent {
		t.Errorf("again: %d %s", r.status, r.body)
	}
	var actions []string
	rows, err := h.conn.Query(t.Context(), "SELECT action, subject, credential, request_id != '', position(detail, ?) > 0 FROM audit_log WHERE workspace_id = 'ws_a' ORDER BY at, action", key.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var action, subject, credential string
		var hasID, hasKey bool
		if err := rows.Scan(&action, &subject, &credential, &hasID, &hasKey); err != nil || subject != "token:dev" || credential != "token" || !hasID || !hasKey {
			t.Errorf("%s %s %s %v %v: %v", action, subject, credential, hasID, hasKey, err)
		}
		actions = append(actions, action)
	}
	if err := rows.Err(); err != nil || !slices.Equal(actions, []string{"key.create", "key.revoke"}) {
		t.Errorf("audited: %v, %v", actions, err)
	}
}

func TestKeyExpiresAndItsUseIsRecordedOnceAMinute(t *testing.T) {
	now := at(t, "2026-11-22T09:00:00Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1})
	r := h.send(h.server, testToken, http.MethodPost, "/v1/workspaces/ws_a/keys", `{"name":"n","scopes":["credits:read"],"expires_at":"2026-11-22T10:00:00Z"}`)
	var key queryapi.NewKey
	if err := json.Unmarshal(r.body, &key); err != nil || r.status != http.StatusCreated {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var uses uint64
	for _, step := range []struct {
		after time.Duration
		uses  uint64
	}{{0, 1}, {30 * time.Second, 1}, {59 * time.Second, 1}, {60 * time.Second, 2}, {119 * time.Second, 2}, {59*time.Minute + 59*time.Second, 3}} {
		h.now = now.Add(step.after)
		// A server that has just started knows of no use.
		h.server = h.serverWith(func(c *queryapi.Config) { c.Registerer = prometheus.NewRegistry() })
		for range 2 {
			if got := h.send(h.server, key.Secret, http.MethodGet, "/v1/me", ""); got.status != http.StatusOK {
				t.Fatalf("%v: %d %s", step.after, got.status, got.body)
			}
		}
		if err := h.conn.QueryRow(t.Context(), "SELECT toUInt64(max(max_block_number)) FROM system.parts WHERE database = currentDatabase() AND table = 'api_key_uses'").Scan(&uses); err != nil || uses != step.uses {
			t.Errorf("%v: %d inserts, want %d (%v)", step.after, uses, step.uses, err)
		}
	}
	h.now = now.Add(time.Hour)
	if got := h.send(h.server, key.Secret, http.MethodGet, "/v1/me", ""); got.status != http.StatusUnauthorized {
		t.Errorf("expired: %d", got.status)
	}
}

func TestKeyHasAtMostTheScopesOfWhoMakesIt(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1})
	key := h.key("ws_a", `"events:write","credits:read"`)
	const path = "/v1/workspaces/ws_a/keys"
	if r := h.send(h.server, key.Secret, http.MethodPost, path, `{"name":"n","scopes":["credits:read"]}`); h.problemOf(r).Code != queryapi.CodeForbidden {
		t.Errorf("by a key: %d %s", r.status, r.body)
	}
	for _, body := range []string{
		`{"name":"n","scopes":[]}`, `{"name":"","scopes":["credits:read"]}`, `{"name":" ","scopes":["credits:read"]}`, `{"scopes":["credits:read"]}`,
		`{"name":"n","scopes":["root"]}`, `{"name":"n","scopes":["credits:read"],"expires_at":"2026-11-22T09:00:30Z"}`, `{"name":"n","scopes":["credits:read"],"expires_at":"soon"}`,
		`{"name":"n","scopes":["credits:read"],"secret":"x"}`,
	} {
		if r := h.send(h.server, testToken, http.MethodPost, path, body); h.problemOf(r).Code != queryapi.CodeInvalidParameter {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	strong := h.key("ws_a", `"credits:admin"`)
	if r := h.send(h.server, key.Secret, http.MethodDelete, path+"/"+strong.KeyID, ""); r.status != http.StatusForbidden {
		t.Errorf("a stronger one: %d %s", r.status, r.body)
	}
	if r := h.send(h.server, key.Secret, http.MethodDelete, path+"/nothing", ""); h.problemOf(r).Code != queryapi.CodeKeyNotFound {
		t.Errorf("unknown: %d %s", r.status, r.body)
	}
	if r := h.send(h.server, key.Secret, http.MethodDelete, path+"/"+key.KeyID, ""); r.status != http.StatusNoContent {
		t.Errorf("itself: %d %s", r.status, r.body)
	}
}
