package queryapi_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

func TestLargeAnswersAreCompressedForThoseWhoTakeIt(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	h.insert(event{"ws_a", "cmp_1", "", h.now.Add(-time.Hour), 1})
	const target = "/v1/workspaces/ws_a/usage?bucket=1h"
	plain := h.do(http.MethodGet, target)
	if plain.header.Get("Content-Encoding") != "" || len(plain.body) < 2000 {
		t.Fatalf("%d bytes, %v", len(plain.body), plain.header)
	}
	send := func(headers ...string) response { return unheld(h.server, target, headers...) }
	packed := send("Accept-Encoding", "gzip")
	reader, err := gzip.NewReader(bytes.NewReader(packed.body))
	if err != nil {
		t.Fatalf("%v in %v", err, packed.header)
	}
	body, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(body, plain.body) {
		t.Errorf("another body: %v", err)
	}
	if packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("ETag") != plain.header.Get("ETag") || len(packed.body)*3 > len(body) {
		t.Errorf("%d bytes for %d, %v", len(packed.body), len(body), packed.header)
	}
	for _, name := range []string{"Accept-Encoding", "Authorization", "Cookie"} {
		if !slices.Contains(packed.header.Values("Vary"), name) {
			t.Errorf("Vary %q", packed.header.Values("Vary"))
		}
	}
	if r := send("Accept-Encoding", "gzip", "If-None-Match", packed.header.Get("ETag")); r.status != http.StatusNotModified || len(r.body) != 0 {
		t.Errorf("%d with %d bytes", r.status, len(r.body))
	}
}

// unheld sends a request whose answer is no text to hold to the document.
func unheld(server *queryapi.Server, target string, headers ...string) response {
	request := httptest.NewRequest(http.MethodGet, target, nil)
	request.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, request)
	return response{recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
}

func TestRefusedCredentialsAreLimitedByAddressAndValidOnesAreNot(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	server := h.serverWith(func(c *queryapi.Config) { c.Registerer = prometheus.NewRegistry() })
	var limited response
	for range 6001 {
		limited = h.doOn(server, http.MethodGet, "/v1/me", "Authorization", "Bearer guess")
		if limited.status != http.StatusUnauthorized {
			break
		}
	}
	if p := h.problemOf(limited); p.Code != queryapi.CodeRateLimited || limited.header.Get("Retry-After") == "" {
		t.Errorf("%+v, Retry-After %q", p, limited.header.Get("Retry-After"))
	}
	if r := h.doOn(server, http.MethodGet, "/v1/me"); r.status != http.StatusOK {
		t.Errorf("a valid token from the same address: %d %s", r.status, r.body)
	}
}

func TestOptionsAreAnsweredWithWhatIsAllowed(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	r := h.do(http.MethodOptions, "/v1/workspaces/ws_a/balance", "Origin", "https://evil.example")
	if p := h.problemOf(r); p.Code != queryapi.CodeMethodNotAllowed || !slices.Equal(r.header.Values("Allow"), []string{"GET", "HEAD"}) {
		t.Errorf("%+v, Allow %q", p, r.header.Values("Allow"))
	}
	for name := range r.header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Server" {
			t.Errorf("%s: %q", name, r.header.Get(name))
		}
	}
}
