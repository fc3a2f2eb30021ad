package dashboard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var files = fstest.MapFS{
	".gitkeep":            {},
	"index.html":          {Data: []byte("the page")},
	"index.html.gz":       {Data: []byte("the page, gzip")},
	"favicon.svg":         {Data: []byte("<svg/>")},
	"assets/a-123.js":     {Data: []byte("a script")},
	"assets/a-123.js.br":  {Data: []byte("a script, br")},
	"assets/a-123.js.gz":  {Data: []byte("a script, gzip")},
	"assets/b-123.css":    {Data: []byte("a style")},
	"assets/b-123.css.gz": {Data: []byte("a style, gzip")},
}

// answer is what came, or served is false.
type answer struct {
	served bool
	status int
	header http.Header
	body   string
}

// ask asks a page for a path; the headers are those of the request, in pairs.
func ask(t *testing.T, dist fstest.MapFS, method, path string, headers ...string) answer {
	t.Helper()
	p, err := newPage(dist)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	w.Header().Add("Vary", "Cookie") // as the server's middleware has it
	served := p.Serve(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{served, w.Code, w.Header(), string(text)}
}

func TestEveryPathOfThePageIsTheIndex(t *testing.T) {
	for _, path := range []string{"/", "/w/ws_a/campaigns", "/w/ws_a/settings/credits?from=2026-11-01", "/workspaces", "/settings/alerts", "/w/../../etc/passwd", "/w/%2e%2e/dashboard.go"} {
		a := ask(t, files, http.MethodGet, path)
		if !a.served || a.body != "the page" {
			t.Errorf("%s: %q", path, a.body)
		}
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		for _, unsafe := range []string{"unsafe", "*", "http:", "https:"} {
			if strings.Contains(a.header.Get("Content-Security-Policy"), unsafe) {
				t.Errorf("%s: the policy allows %s", path, unsafe)
			}
		}
		if a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", path, a.header.Get("Content-Type"))
		}
	}
}

func TestAssetsAreKeptForEverAndUnknownOnesAreNotThePage(t *testing.T) {
	a := ask(t, files, http.MethodGet, "/assets/a-123.js")
	if a.body != "a script" || a.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || a.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%q, %v", a.body, a.header)
	}
	for _, path := range []string{"/assets/c-123.js", "/assets/", "/assets/a-123.js.br", "/assets/../index.html", "/assets/../../dashboard.go"} {
		if a := ask(t, files, http.MethodGet, path); a.served {
			t.Errorf("%s is served: %q", path, a.body)
		}
	}
	if a := ask(t, files, http.MethodGet, "/favicon.svg"); a.body != "<svg/>" || a.header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("%q, %v", a.body, a.header)
	}
}

func TestTheBestCodingThatIsTakenIsServed(t *testing.T) {
	for _, c := range []struct{ path, accept, body, coding string }{
		{"/assets/a-123.js", "", "a script", ""},
		{"/assets/a-123.js", "gzip, deflate, br", "a script, br", "br"},
		{"/assets/a-123.js", "gzip", "a script, gzip", "gzip"},
		{"/assets/a-123.js", "br;q=0, GZIP; q=0.5", "a script, gzip", "gzip"},
		{"/assets/a-123.js", "*", "a script, br", "br"},
		{"/assets/a-123.js", "*;q=0", "a script", ""},
		{"/assets/a-123.js", "br;q=nonsense", "a script", ""},
		{"/assets/b-123.css", "br, gzip", "a style, gzip", "gzip"},
		{"/", "br, gzip", "the page, gzip", "gzip"},
	} {
		a := ask(t, files, http.MethodGet, c.path, "Accept-Encoding", c.accept)
		if a.body != c.body || a.header.Get("Content-Encoding") != c.coding {
			t.Errorf("%s, %q: %q as %q", c.path, c.accept, a.body, a.header.Get("Content-Encoding"))
		}
		again := ask(t, files, http.MethodGet, c.path, "Accept-Encoding", c.accept, "If-None-Match", a.header.Get("ETag"))
		if again.status != http.StatusNotModified || again.body != "" {
			t.Errorf("%s, %q: %d once it is known", c.path, c.accept, again.status)
		}
		head := ask(t, files, http.MethodHead, c.path, "Accept-Encoding", c.accept)
		if head.status != http.StatusOK || head.header.Get("Content-Encoding") != c.coding {
			t.Errorf("%s, %q: HEAD %d, %v", c.path, c.accept, head.status, head.header)
		}
	}
}

func TestABinaryWithoutThePageSaysSo(t *testing.T) {
	a := ask(t, fstest.MapFS{".gitkeep": {}}, http.MethodGet, "/w/ws_a/campaigns")
	if a.status != http.StatusOK || !strings.Contains(a.body, "make build") {
		t.Errorf("%d: %s", a.status, a.body)
	}
	if _, err := New(); err != nil {
		t.Error(err)
	}
}
