package queryapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

// anyOperation is one of the OpenAPI document.
type anyOperation struct{ method, path string }

// anyOperations reads them from the document, so that one that is added is tested.
func anyOperations(t *testing.T) []anyOperation {
	t.Helper()
	spec, err := queryapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	var all []anyOperation
	for path, methods := range doc.Paths {
		for method := range methods {
			all = append(all, anyOperation{strings.ToUpper(method), path})
		}
	}
	if len(all) < 12 {
		t.Fatalf("%d operations", len(all))
	}
	return all
}

// target fills in the path of an operation.
func (o anyOperation) target(workspace string) string {
	path := strings.ReplaceAll(o.path, "{workspace_id}", workspace)
	for {
		before, rest, found := strings.Cut(path, "{")
		if !found {
			return path
		}
		_, after, _ := strings.Cut(rest, "}")
		path = before + "some" + after
	}
}

var asked atomic.Uint32

// ask sends a request without a credential but those of headers, under one
// request id.
func ask(server *queryapi.Server, method, target string, headers ...string) response {
	body := strings.NewReader("")
	if method != http.MethodGet {
		body = strings.NewReader(`{"nonsense":1}`)
	}
	request := httptest.NewRequest(method, target, body)
	request.Header.Set("X-Request-Id", "same")
	// From an address of its own: refused credentials are limited by address.
	n := asked.Add(1)
	request.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", n>>16&255, n>>8&255, n&255)
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, request)
	return response{recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
}

func TestEveryOperationRefusesWhoMayNotAndTellsNoTenant(t *testing.T) {
	s := newSite(t)
	now, i := s.now, newTestIssuer(t)
	s.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	server := s.serverWith(func(c *queryapi.Config) {
		s.config(c)
		c.Issuer, c.Registerer = queryapi.Issuer{URL: i.URL, Audience: "drawdown-api"}, prometheus.NewRegistry()
	})
	// A session is of the issuer of its server, which is another one.
	s.signIn(s.issuer.Link(), "1")
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var cookie string
	for _, c := range s.client.Jar.Cookies(address) {
		if c.Name == "drawdown-session" {
			cookie = c.Name + "=" + c.Value
		}
	}
	if cookie == "" {
		t.Fatal("no session")
	}
	revoked := s.key("ws_a", `"credits:read"`)
	if r := s.do(http.MethodDelete, "/v1/workspaces/ws_a/keys/"+revoked.KeyID); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	with := func(change map[string]any) []string {
		return []string{"Authorization", "Bearer " + i.sign(i.claims(now, change))}
	}
	strangers := map[string][]string{
		"no token":       nil,
		"expired":        with(map[string]any{"exp": now.Add(-time.Hour).Unix()}),
		"wrong issuer":   with(map[string]any{"iss": "https://other.example"}),
		"wrong audience": with(map[string]any{"aud": "other"}),
		"alg none":       {"Authorization", "Bearer " + unsigned(i.claims(now, nil))},
		"HS256":          {"Authorization", "Bearer " + i.confused(i.claims(now, nil))},
		"revoked key":    {"Authorization", "Bearer " + revoked.Secret},
		"unknown key":    {"Authorization", "Bearer ck_" + strings.Repeat("A", 43)},
	}
	members := map[string][]string{
		"member of ws_a":      with(nil),
		"member without any":  with(map[string]any{"scope": nil}),
		"key of ws_a":         {"Authorization", "Bearer " + s.key("ws_a", `"credits:read","credits:admin"`).Secret},
		"member of nowhere":   with(map[string]any{"workspaces": []string{"ws_never"}}),
		"operator of no star": with(map[string]any{"scope": "operator credits:admin"}),
	}
	for _, o := range anyOperations(t) {
		name := o.method + " " + o.path
		for who, headers := range strangers {
			var first response
			for n, query := range []string{"ws_a", "ws_b", "ws_none", "%20"} {
				r := ask(server, o.method, o.target(query)+"?nonsense=1", headers...)
				if n == 0 {
					first = r
				}
				if r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" || !same(r, first) {
					t.Errorf("%s, %s, %s: %d %s %v", name, who, query, r.status, r.body, r.header)
				}
			}
		}
		if !strings.Contains(o.path, "{workspace_id}") {
			continue
		}
		for who, headers := range members {
			foreign := ask(server, o.method, o.target("ws_b"), headers...)
			for _, workspace := range []string{"ws_b", "ws_none", "no%20id"} {
				for _, query := range []string{"", "?nonsense=1&as_of=x&limit=-1"} {
					r := ask(server, o.method, o.target(workspace)+query, headers...)
					if r.status != http.StatusNotFound || !same(r, foreign) {
						t.Errorf("%s, %s, %s%s: %d %s %v, but ws_b is %d %s", name, who, workspace, query, r.status, r.body, r.header, foreign.status, foreign.body)
					}
				}
			}
		}
		// A member whom the scope is missing learns nothing of parameters.
		if r := ask(server, o.method, o.target("ws_a")+"?nonsense=1", members["member without any"]...); r.status != http.StatusForbidden {
			t.Errorf("%s without scopes: %d %s", name, r.status, r.body)
		}
		if o.method == http.MethodGet {
			continue
		}
		for _, workspace := range []string{"ws_a", "ws_b", "ws_none"} {
			r := ask(s.server, o.method, o.target(workspace), "Cookie", cookie)
			var p queryapi.Problem
			if err := json.Unmarshal(r.body, &p); err != nil || r.status != http.StatusForbidden || p.Code != queryapi.CodeCrossOrigin {
				t.Errorf("%s with a cookie alone: %d %s", name, r.status, r.body)
			}
		}
	}
}

// same says whether nothing tells two answers apart but the time and how many
// there were before.
func same(a, b response) bool {
	names := func(h http.Header) []string {
		var all []string
		for name, values := range h {
			if name != "Date" && !strings.HasPrefix(name, "X-Ratelimit-") {
				all = append(all, name+": "+strings.Join(values, ","))
			}
		}
		slices.Sort(all)
		return all
	}
	return a.status == b.status && bytes.Equal(a.body, b.body) && slices.Equal(names(a.header), names(b.header))
}

func FuzzToken(f *testing.F) {
	for _, seed := range []string{"a.b.c", "..", "ck_x", "eyJhbGciOiJub25lIn0.e30.", "Bearer", "é.é.é"} {
		f.Add(seed)
	}
	h := newHarness(f, time.Now())
	server := h.serverWith(func(c *queryapi.Config) {
		// Nothing listens there: a token that needs it is 503.
		c.Issuer, c.Registerer = queryapi.Issuer{URL: "http://127.0.0.1:1", Audience: "a"}, prometheus.NewRegistry()
	})
	f.Fuzz(func(t *testing.T, token string) {
		r := ask(server, http.MethodGet, "/v1/me", "Authorization", "Bearer "+token)
		if r.status != http.StatusUnauthorized && r.status != http.StatusServiceUnavailable && strings.TrimSpace(token) != testToken {
			t.Errorf("%q: %d %s", token, r.status, r.body)
		}
	})
}
