// Package dashboard is the page: built by Vite from src into dist, embedded
// into the binary and served from memory.
//
// dist is not committed, so a binary that was built without Node has no page;
// it says so instead (unbuilt). Every file but index.html and what lies beside
// it carries a hash of its content in its name and may be kept for ever.
// Scripts and styles are compressed when the page is built, because that is
// done once and with all the effort there is.
package dashboard

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed all:dist
var built embed.FS

// policy lets the page have what it brings itself, and talk to the API that
// served it; nothing inline, nothing of another host.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// index is served for every path of the page, which routes by itself.
const index = "index.html"

// unbuilt stands for the page in a binary that was built without it.
const unbuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Drawdown</title>
<h1>The page is not in this binary</h1>
<p>It was built without the dashboard. <code>make build</code> builds both; it needs Node.</p>
<p>The API is here all the same: see <a href="/docs">its description</a>.</p>
</html>
`

// Page serves the page.
type Page struct{ files map[string]*file }

// file is one of dist, in every encoding there is of it.
type file struct {
	contentType string
	etag        string
	immutable   bool
	plain       []byte
	encoded     map[string][]byte // by content coding
}

// codings are those that files are compressed with, the best first, and how
// such files end.
var codings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// New reads what was built.
func New() (*Page, error) {
	dist, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, fmt.Errorf("cannot read the page: %w", err)
	}
	return newPage(dist)
}

func newPage(dist fs.FS) (*Page, error) {
	p := &Page{files: make(map[string]*file)}
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") || isEncoded(name) {
			return err
		}
		f, err := readFile(dist, name)
		p.files[name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the page: %w", err)
	}
	if p.files[index] == nil {
		p.files[index] = newFile(index, []byte(unbuilt))
	}
	return p, nil
}

func isEncoded(name string) bool {
	for _, coding := range codings {
		if strings.HasSuffix(name, coding.suffix) {
			return true
		}
	}
	return false
}

func newFile(name string, plain []byte) *file {
	sum := sha256.Sum256(plain)
	return &file{
		contentType: cmp.Or(mime.TypeByExtension(path.Ext(name)), "application/octet-stream"),
		etag:        base64.RawURLEncoding.EncodeToString(sum[:12]),
		immutable:   strings.HasPrefix(name, "assets/"),
		plain:       plain,
		encoded:     make(map[string][]byte),
	}
}

func readFile(dist fs.FS, name string) (*file, error) {
	plain, err := fs.ReadFile(dist, name)
	if err != nil {
		return nil, err
	}
	f := newFile(name, plain)
	for _, coding := range codings {
		encoded, err := fs.ReadFile(dist, name+coding.suffix)
		switch {
		case err == nil:
			f.encoded[coding.name] = encoded
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return f, nil
}

// Patterns are the paths that are the page's, as chi has them.
func Patterns() []string {
	return []string{"/", "/w/*", "/workspaces", "/settings", "/settings/*", "/assets/*", "/favicon.svg"}
}

// Serve answers a GET or HEAD of one of Patterns; it says false, and writes
// nothing, if there is no such file.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !strings.HasPrefix(name, "assets/") && p.files[name] == nil {
		name = index
	}
	f := p.files[name]
	if f == nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	switch {
	case name == index:
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
	case f.immutable:
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		h.Set("Cache-Control", "public, max-age=3600")
	}
	body, coding := f.plain, ""
	for _, c := range codings {
		if encoded, ok := f.encoded[c.name]; ok && accepts(r.Header.Get("Accept-Encoding"), c.name) {
			body, coding = encoded, c.name
			h.Set("Content-Encoding", c.name)
			break
		}
	}
	// A strong validator names bytes, and each coding has its own.
	h.Set("ETag", strconv.Quote(f.etag+coding))
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
	return true
}

// accepts says whether an Accept-Encoding takes a coding (RFC 9110, 12.5.3).
func accepts(header, coding string) bool {
	rest := false
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(item, ";")
		name = strings.TrimSpace(name)
		wanted := true
		if q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q="); ok {
			value, err := strconv.ParseFloat(q, 64)
			wanted = err == nil && value > 0
		}
		switch {
		case strings.EqualFold(name, coding):
			return wanted
		case name == "*":
			rest = wanted
		}
	}
	return rest
}
