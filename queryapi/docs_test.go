package queryapi_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/docs"
)

func TestDocsPageShowsTheWholeDocumentAndAsksNobody(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	r := h.do(http.MethodGet, "/docs", "Authorization", "")
	page := string(r.body)
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if policy := r.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	// Attributes that fetch, run or style: only these values may be there.
	for _, m := range regexp.MustCompile(`(?i)<script|<style|<img|<iframe|\s(?:src|style|on[a-z]+)=|\shref="(?:[^"#/]|//)[^"]*"`).FindAllString(page, -1) {
		t.Errorf("the page has %q", m)
	}
	tree := document(t)
	for path, item := range member(tree, "paths") {
		if !strings.Contains(page, "<code>"+path+"</code>") {
			t.Errorf("%s is missing", path)
		}
		for method := range item.(map[string]any) {
			id := member(item.(map[string]any), method)["operationId"].(string)
			if strings.Count(page, `id="`+id+`"`) != 1 {
				t.Errorf("%s has no place", id)
			}
		}
	}
	for code := range member(tree, "x-problems") {
		if !strings.Contains(page, "<td><code>"+code+"</code></td>") {
			t.Errorf("problem %s is missing", code)
		}
	}
	for _, part := range strings.Split(page, `href="#`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if !strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("link to %s, which is nowhere", id)
		}
	}
	if style := h.do(http.MethodGet, "/docs/style.css", "Authorization", ""); style.status != http.StatusOK || strings.Contains(string(style.body), "url(") {
		t.Errorf("style: %d", style.status)
	}
}

// TestTheDocumentAboutWebhooksIsServedAndAsksNobody: what the Alerts tab links
// to has all of the document, and nothing that a browser would fetch.
func TestTheDocumentAboutWebhooksIsServedAndAsksNobody(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	r := h.do(http.MethodGet, "/docs/webhooks", "Authorization", "")
	page := string(r.body)
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if policy := r.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, m := range regexp.MustCompile(`(?i)<script|<style|<img|<iframe|\s(?:src|style|on[a-z]+)=|<link[^>]+href="[^/]`).FindAllString(page, -1) {
		t.Errorf("the page has %q", m)
	}
	for line := range strings.Lines(string(docs.Webhooks)) {
		title, heading := strings.CutPrefix(strings.TrimSpace(line), "## ")
		if heading && !strings.Contains(page, ">"+title+"</h2>") {
			t.Errorf("section %q is missing", title)
		}
		if strings.HasPrefix(line, "| `") {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "| `"), "`")
			if !strings.Contains(page, "<td><code>"+first+"</code>") {
				t.Errorf("row %q is missing", first)
			}
		}
	}
}
