package queryapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// generator makes requests out of the document: what it says is right, what
// lies at the edge of that, and what nobody should send.
type generator struct {
	tree       map[string]any
	operations []operation
	workspaces []string
	campaigns  []string

	mu      sync.Mutex
	cursors []string // of real pages
	etags   []string
}

// operation is one of the document.
type operation struct {
	method, path string
	spec         map[string]any
	params       []map[string]any
}

// hostileRequest is a request as it goes over the wire.
type hostileRequest struct {
	method, target, body string
	headers              [][2]string
}

func (r hostileRequest) String() string {
	return fmt.Sprintf("%s %.2000s %.300q %.500q", r.method, r.target, r.headers, r.body)
}

func newGenerator(tree map[string]any) *generator {
	g := &generator{tree: tree}
	paths := member(tree, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(item)) {
			op := operation{method: strings.ToUpper(method), path: path, spec: member(item, method)}
			params, _ := op.spec["parameters"].([]any)
			for _, p := range params {
				param, _ := p.(map[string]any)
				op.params = append(op.params, param)
			}
			g.operations = append(g.operations, op)
		}
	}
	return g
}

// hostileTexts are what breaks parsers, escapers and logs.
var hostileTexts = []string{
	"", " ", "\x00", "a\x00b", "null", "undefined", "NaN", "-1", "0", "1e999", "18446744073709551616", "９", "\u202e", "\ufeff", "💳", "ß",
	"\xff\xfe", "\xc3\x28", "'", `"`, `\`, "`", "';DROP TABLE events--", `' OR 1=1 --`, "{workspace:String}", "%", "%00", "%2e%2e", "../../etc/passwd",
	"a/b", "a,b", ",", ",,", "[1]", "<script>alert(1)</script>", "\r\nX-Injected: 1", "\t", "=cmd|1", "true", "false", "Ａ", "İ", strings.Repeat("a", 129),
	strings.Repeat("x", 20_000), strings.Repeat("é", 4_000), strings.Repeat("[", 3_000), ".", "..", "*", "?", "#", "&a=b", ";", "+", "$(id)", "${HOME}", "{{7*7}}",
}

// instants are whole and broken ones, at the edges of what is accepted and of
// clocks.
var hostileInstants = []string{
	"2000-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", "2100-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z", "2100-01-01T00:00:00.001Z",
	"2026-03-29T02:30:00+01:00", "2026-10-25T02:30:00+02:00", "2026-11-01T01:30:00-04:00", "2026-04-05T02:00:00+11:00", "2011-12-30T00:00:00-10:00",
	"2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-11-22T09:00:00.0001Z", "2026-11-22T09:00:00.123456789Z",
	"2026-11-22", "2026-11-22T09:00", "2026-11-22T24:00:00Z", "2026-11-22T23:59:60Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "-1", "1700000000",
	"2026-11-22T09:00:00+99:99", "2026-11-22t09:00:00z", "2026-11-22 09:00:00Z",
}

var hostileZones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "America/Sao_Paulo",
	"Africa/Casablanca", "Antarctica/Troll", "Asia/Gaza", "Etc/GMT+12", "Pacific/Kiritimati", "Local", "local", "CET", "GMT+1", "/etc/localtime", "Europe/", "europe/berlin",
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// request makes a request.
func (g *generator) request(r *rand.Rand) hostileRequest {
	op := pick(r, g.operations)
	request := hostileRequest{method: op.method}
	path, query := op.path, []string{}
	for _, p := range op.params {
		name, _ := p["name"].(string)
		schema := member(p, "schema")
		required := p["required"] == true
		switch p["in"] {
		case "path":
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(g.text(r, name, schema)), 1)
		case "query":
			if required || r.IntN(3) == 0 {
				query = append(query, url.QueryEscape(name)+"="+url.QueryEscape(g.text(r, name, schema)))
			}
		case "header":
			if r.IntN(3) == 0 {
				request.headers = append(request.headers, [2]string{name, g.text(r, name, schema)})
			}
		}
	}
	if r.IntN(8) == 0 {
		query = g.mutateQuery(r, query)
	}
	request.target = path
	if len(query) > 0 {
		request.target += "?" + strings.Join(query, "&")
	}
	if content := member(member(op.spec, "requestBody"), "content"); len(content) > 0 {
		media := pick(r, slices.Sorted(maps.Keys(content)))
		request.body = g.body(r, member(member(content, media), "schema"), op)
		request.headers = append(request.headers, [2]string{"Content-Type", media})
	}
	return g.disturb(r, request)
}

// disturb spoils one thing about some requests that parameters do not reach.
func (g *generator) disturb(r *rand.Rand, request hostileRequest) hostileRequest {
	switch r.IntN(40) {
	case 0:
		request.method = pick(r, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"})
	case 1:
		request.headers = append(request.headers, [2]string{"Content-Type", pick(r, []string{"text/plain", "application/xml", "", "application/json; charset=latin1", "a/b/c", "*/*"})})
	case 2:
		request.headers = append(request.headers, [2]string{"Accept", pick(r, []string{"text/html", "application/xml", "application/cbor", "*/*;q=0", "", "x"})})
	case 3:
		request.headers = append(request.headers, [2]string{"Authorization", pick(r, []string{"", "Bearer", "Bearer x", "Basic eDp5", "Bearer ck_x", "Bearer " + strings.Repeat("a.", 2_000)})})
	case 4:
		request.target = pick(r, []string{request.target + "/", "/" + strings.Repeat("a/", 500), "/v1", "/v1/workspaces", "/V1/me", request.target + "%2F..", "/v1/workspaces/a%2Fb/balance"})
	case 5:
		request.headers = append(request.headers, [2]string{"X-Request-Id", pick(r, hostileTexts)})
	}
	return request
}

func (g *generator) mutateQuery(r *rand.Rand, query []string) []string {
	switch r.IntN(5) {
	case 0:
		return append(query, "unknown="+url.QueryEscape(pick(r, hostileTexts)))
	case 1:
		if len(query) > 0 {
			return append(query, pick(r, query))
		}
	case 2:
		return append(query, pick(r, []string{"a;b", "%zz", "=", "&&", "limit", "from=%"}))
	case 3:
		return append(query, url.QueryEscape(pick(r, hostileTexts))+"=1")
	}
	return append(query, "from="+url.QueryEscape(pick(r, hostileInstants)))
}

// text makes a value of a parameter, mostly one that is right.
func (g *generator) text(r *rand.Rand, name string, schema map[string]any) string {
	if r.IntN(10) == 0 {
		return pick(r, hostileTexts)
	}
	items := member(schema, "items")
	if items != nil {
		schema = items
	}
	switch {
	case name == "workspace_id":
		return pick(r, g.workspaces)
	case name == "campaign_id":
		return pick(r, g.campaigns)
	case name == "tz":
		return pick(r, hostileZones)
	case name == "cursor":
		return g.cursor(r)
	case name == "If-None-Match":
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.etags) == 0 {
			return "*"
		}
		return pick(r, g.etags)
	case schema["format"] == "date-time":
		return pick(r, hostileInstants)
	}
	value := fmt.Sprint(g.value(r, schema, 0))
	if items != nil && r.IntN(3) == 0 {
		value += "," + fmt.Sprint(g.value(r, schema, 0))
	}
	return value
}

// cursor is one of a real page, as it is or spoiled.
func (g *generator) cursor(r *rand.Rand) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.cursors) == 0 {
		return "e30"
	}
	text := pick(r, g.cursors)
	switch r.IntN(4) {
	case 0:
		return spoil(r, text)
	case 1:
		raw, _ := base64.RawURLEncoding.DecodeString(text)
		return base64.RawURLEncoding.EncodeToString([]byte(spoil(r, string(raw))))
	case 2: // still the cursor of its listing, at another place
		var fields map[string]any
		raw, _ := base64.RawURLEncoding.DecodeString(text)
		if json.Unmarshal(raw, &fields) == nil && len(fields) > 0 {
			name := pick(r, slices.Sorted(maps.Keys(fields)))
			if name != "d" {
				fields[name] = pick(r, []any{nil, -1, 1e18, -9.3e18, "", "x", true, []any{}, map[string]any{}, strings.Repeat("9", 40), "\x00", 4_102_444_800_001})
			}
			raw, _ = json.Marshal(fields)
			return base64.RawURLEncoding.EncodeToString(raw)
		}
	}
	return text
}

// learn keeps what later requests may send back.
func (g *generator) learn(answer response) {
	var page struct {
		NextCursor *string `json:"next_cursor"`
	}
	tag := answer.header.Get("ETag")
	_ = json.Unmarshal(answer.body, &page) // most answers are no pages
	g.mu.Lock()
	defer g.mu.Unlock()
	if page.NextCursor != nil && len(g.cursors) < 500 {
		g.cursors = append(g.cursors, *page.NextCursor)
	}
	if tag != "" && len(g.etags) < 200 {
		g.etags = append(g.etags, tag)
	}
}

// body makes one from its schema, and spoils some.
func (g *generator) body(r *rand.Rand, schema map[string]any, op operation) string {
	value := g.value(r, schema, 0)
	if op.spec["operationId"] == "post-events" {
		events := make([]any, 1+r.IntN(3))
		for i := range events {
			events[i] = g.event(r)
		}
		value = any(events)
		if schema["type"] == "object" {
			value = events[0]
		}
	}
	text, _ := json.Marshal(value)
	switch r.IntN(8) {
	case 0:
		return spoil(r, string(text))
	case 1:
		return pick(r, append(hostileTexts, "{}", "[]", "[{}]", `{"a":`, strings.Repeat("[", 50_000), `{"credits":"1","credits":"2"}`, strings.Repeat(" ", 3<<20)))
	}
	return string(text)
}

func (g *generator) event(r *rand.Rand) map[string]any {
	event := map[string]any{
		"specversion": "1.0", "id": fmt.Sprint("h", r.IntN(1_000_000)), "source": "/x", "type": "credits.consumed", "time": pick(r, hostileInstants),
		"data": map[string]any{"workspace_id": pick(r, g.workspaces), "campaign_id": pick(r, g.campaigns), "credits": pick(r, []any{"1", 1.5, "-0.000001", 1e7, "1e-7", "x", nil})},
	}
	if r.IntN(4) == 0 {
		event[pick(r, slices.Sorted(maps.Keys(event)))] = pick(r, hostileTexts)
	}
	return event
}

// spoil changes, drops, doubles or cuts off bytes.
func spoil(r *rand.Rand, text string) string {
	if text == "" {
		return "\x00"
	}
	at := r.IntN(len(text))
	switch r.IntN(4) {
	case 0:
		return text[:at]
	case 1:
		return text[:at] + string(rune(r.IntN(256))) + text[at:]
	case 2:
		return text[:at] + text[at:] + text[at:]
	}
	b := []byte(text)
	b[at] ^= byte(1 << r.IntN(8))
	return string(b)
}

// value makes one of a schema; sometimes one past its bounds.
func (g *generator) value(r *rand.Rand, schema map[string]any, depth int) any {
	if ref, ok := schema["$ref"].(string); ok {
		return g.value(r, member(member(member(g.tree, "components"), "schemas"), ref[strings.LastIndex(ref, "/")+1:]), depth)
	}
	for _, kind := range []string{"oneOf", "anyOf"} {
		if options, ok := schema[kind].([]any); ok {
			option, _ := pick(r, options).(map[string]any)
			return g.value(r, option, depth+1)
		}
	}
	if values, ok := schema["enum"].([]any); ok && r.IntN(12) > 0 {
		return pick(r, values)
	}
	switch kind := typeOf(r, schema); {
	case depth > 6, r.IntN(30) == 0:
		return pick(r, []any{nil, "", -1, 1e300, true, []any{}, map[string]any{}})
	case kind == "object":
		object := map[string]any{}
		required, _ := schema["required"].([]any)
		for _, name := range slices.Sorted(maps.Keys(member(schema, "properties"))) {
			if slices.Contains(required, any(name)) || r.IntN(2) == 0 {
				object[name] = g.value(r, member(member(schema, "properties"), name), depth+1)
			}
		}
		return object
	case kind == "array":
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = g.value(r, member(schema, "items"), depth+1)
		}
		return list
	case kind == "integer", kind == "number":
		low, _ := schema["minimum"].(float64)
		high, ok := schema["maximum"].(float64)
		if !ok {
			high = 1000
		}
		return int64(pick(r, []float64{low, low - 1, low + 1, high, high + 1, high - 1, (low + high) / 2, 1, -9e18}))
	case kind == "boolean":
		return r.IntN(2) == 0
	case schema["format"] == "date-time":
		return pick(r, hostileInstants)
	case schema["pattern"] != nil:
		return pick(r, []string{"1", "12.5", "-1", "0", "1000000000000", "0.000001", "1e3", "0.0000001", "99999999999999999999"})
	}
	return pick(r, []string{"a", "grant_1", "cmp_1", "x y", pick(r, hostileTexts)})
}

func typeOf(r *rand.Rand, schema map[string]any) string {
	switch kind := schema["type"].(type) {
	case string:
		return kind
	case []any:
		text, _ := pick(r, kind).(string)
		return text
	}
	return ""
}

// stream says whether what a request asks for does not end by itself.
func (r hostileRequest) stream() bool {
	return r.method == http.MethodGet && strings.Contains(r.target, "/live")
}
