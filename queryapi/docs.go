package queryapi

import (
	"bytes"
	"cmp"
	_ "embed" // the page's template and style
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/drawdown/drawdown/docs"
)

// The page at /docs is made here, of the document, once: the usual viewers
// need a megabyte of script and inline styles, which the page's
// Content-Security-Policy does not allow, and another host.

//go:embed docs.html
var docsTemplate string

//go:embed docs.css
var docsStyle []byte

// docsPolicy lets the page have its style sheet and nothing else.
const docsPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsPage is what the template shows.
type docsPage struct {
	Title, Description string
	Groups             []docsGroup
	Schemas            []docsSchema
	Problems           []docsProblem
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Description, Scopes, Curl string
	Params                                               []docsField
	Bodies, Responses                                    []docsContent
}

// docsField is a parameter or property.
type docsField struct {
	Name, In, Description string
	Required              bool
	Type                  docsType
}

// docsType is a type in words; Schema is the one it names, if it names one.
type docsType struct{ Text, Schema, Rules string }

// docsContent is a body by media type, or an answer by status.
type docsContent struct {
	Status, Description, Codes, Headers string
	Types                               []docsMedia
}

type docsMedia struct {
	Media string
	Type  docsType
}

type docsSchema struct {
	Name       string
	Properties []docsField
}

type docsProblem struct {
	Code   Code
	Status int
	Title  string
}

// routeDocs serves the page of the document spec, and the one about webhooks.
func routeDocs(router chi.Router, spec []byte) error {
	page, err := docsOf(spec)
	if err != nil {
		return err
	}
	webhooks, err := webhooksOf(docs.Webhooks)
	if err != nil {
		return err
	}
	serve := func(path, media string, body []byte) {
		router.Get(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("Content-Security-Policy", docsPolicy)
			_, _ = w.Write(body) // a client that went away is not an error of ours
		})
	}
	serve("/docs", "text/html; charset=utf-8", page)
	serve("/docs/webhooks", "text/html; charset=utf-8", webhooks)
	serve("/docs/style.css", "text/css; charset=utf-8", docsStyle)
	return nil
}

// docsOf renders the page.
func docsOf(spec []byte) ([]byte, error) {
	var tree map[string]any
	if err := json.Unmarshal(spec, &tree); err != nil {
		return nil, fmt.Errorf("cannot read the document: %w", err)
	}
	info := node(tree, "info")
	page := docsPage{Title: docsText(info, "title"), Description: docsText(info, "description")}
	groups := map[string][]docsOperation{}
	for path, item := range node(tree, "paths") {
		operations, _ := item.(map[string]any)
		for method, op := range operations {
			described, _ := op.(map[string]any)
			operation, tag := docsOperationOf(strings.ToUpper(method), path, described)
			groups[tag] = append(groups[tag], operation)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(groups)) {
		slices.SortFunc(groups[tag], func(a, b docsOperation) int {
			return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
		})
		page.Groups = append(page.Groups, docsGroup{tag, groups[tag]})
	}
	schemas := node(node(tree, "components"), "schemas")
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		page.Schemas = append(page.Schemas, docsSchema{name, docsProperties(node(schemas, name))})
	}
	for code, row := range problems {
		if code != CodeClientClosed {
			page.Problems = append(page.Problems, docsProblem{code, row.status, row.title})
		}
	}
	slices.SortFunc(page.Problems, func(a, b docsProblem) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	parsed, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("cannot read the page's template: %w", err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, page); err != nil {
		return nil, fmt.Errorf("cannot render the page: %w", err)
	}
	return out.Bytes(), nil
}

func docsOperationOf(method, path string, op map[string]any) (docsOperation, string) {
	o := docsOperation{
		ID: docsText(op, "operationId"), Method: method, Path: path, Summary: docsText(op, "summary"),
		Description: docsText(op, "description"), Scopes: strings.Join(texts(op, "x-scopes"), " "),
	}
	example := path
	for _, p := range list(op, "parameters") {
		param, _ := p.(map[string]any)
		required, _ := param["required"].(bool)
		schema := node(param, "schema")
		o.Params = append(o.Params, docsField{docsText(param, "name"), docsText(param, "in"), docsText(param, "description"), required, docsTypeOf(schema)})
		if examples := list(schema, "examples"); len(examples) > 0 {
			example = strings.Replace(example, "{"+docsText(param, "name")+"}", fmt.Sprint(examples[0]), 1)
		}
	}
	o.Curl = `curl -H "Authorization: Bearer $TOKEN" "$URL` + example + `"`
	body := node(op, "requestBody")
	for _, media := range slices.Sorted(maps.Keys(node(body, "content"))) {
		schema := node(node(node(body, "content"), media), "schema")
		o.Bodies = append(o.Bodies, docsContent{Types: []docsMedia{{media, docsTypeOf(schema)}}})
	}
	if len(o.Bodies) > 0 {
		o.Curl = `curl -X ` + method + ` -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d @body.json "$URL` + example + `"`
	}
	responses := node(op, "responses")
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		r := node(responses, status)
		content := docsContent{
			Status: status, Description: docsText(r, "description"), Codes: strings.Join(texts(r, "x-problem-codes"), ", "),
			Headers: strings.Join(slices.Sorted(maps.Keys(node(r, "headers"))), ", "),
		}
		for _, media := range slices.Sorted(maps.Keys(node(r, "content"))) {
			content.Types = append(content.Types, docsMedia{media, docsTypeOf(node(node(node(r, "content"), media), "schema"))})
		}
		o.Responses = append(o.Responses, content)
	}
	tag := "Other"
	if tags := texts(op, "tags"); len(tags) > 0 {
		tag = tags[0]
	}
	return o, tag
}

func docsProperties(schema map[string]any) []docsField {
	var fields []docsField
	required := texts(schema, "required")
	properties := node(schema, "properties")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property := node(properties, name)
		fields = append(fields, docsField{
			Name: name, Description: docsText(property, "description"), Required: slices.Contains(required, name), Type: docsTypeOf(property),
		})
	}
	return fields
}

// docsTypeOf puts a schema into words.
func docsTypeOf(schema map[string]any) docsType {
	var t docsType
	for _, kind := range []string{"oneOf", "anyOf"} {
		for i, option := range list(schema, kind) {
			o, _ := option.(map[string]any)
			of := docsTypeOf(o)
			if i > 0 {
				t.Text += " or "
			}
			t.Text += of.Text
			t.Schema = cmp.Or(t.Schema, of.Schema)
		}
	}
	if ref := docsText(schema, "$ref"); ref != "" {
		t.Schema = ref[strings.LastIndex(ref, "/")+1:]
		t.Text = t.Schema
	}
	switch kind := schema["type"].(type) {
	case string:
		t.Text = kind
	case []any:
		t.Text = strings.Join(texts(schema, "type"), " or ")
	}
	if items := node(schema, "items"); len(items) > 0 {
		of := docsTypeOf(items)
		t.Text, t.Schema = t.Text+" of "+of.Text, cmp.Or(t.Schema, of.Schema)
	}
	var rules []string
	if len(list(schema, "enum")) > 0 {
		rules = append(rules, "one of "+strings.Join(texts(schema, "enum"), ", "))
	}
	for _, name := range []string{"format", "pattern", "minimum", "maximum", "maxLength", "default"} {
		if value, ok := schema[name]; ok {
			rules = append(rules, fmt.Sprintf("%s %v", name, value))
		}
	}
	t.Rules = strings.Join(rules, ", ")
	return t
}

// node, list, docsText and texts read a member of a JSON object, empty where it is
// another type or none.
func node(tree map[string]any, name string) map[string]any {
	m, _ := tree[name].(map[string]any)
	return m
}

func list(tree map[string]any, name string) []any {
	l, _ := tree[name].([]any)
	return l
}

func docsText(tree map[string]any, name string) string {
	s, _ := tree[name].(string)
	return s
}

func texts(tree map[string]any, name string) []string {
	var all []string
	for _, value := range list(tree, name) {
		all = append(all, fmt.Sprint(value))
	}
	return all
}
