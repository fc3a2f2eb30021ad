// Package contracttest holds answers of the API to its OpenAPI document: a
// status, content type, property or problem code that the document does not
// have fails the test that met it.
package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// documentURL is what the document is called by its own schemas.
const documentURL = "https://drawdown.test/openapi.json"

// Contract is a document that answers can be held to. It is safe for
// concurrent use.
type Contract struct {
	paths map[string]any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by JSON pointer
}

// New reads an OpenAPI 3.1 document, whose schemas are JSON Schema 2020-12.
func New(document []byte) (*Contract, error) {
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("cannot read the document: %w", err)
	}
	c := &Contract{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(documentURL, tree); err != nil {
		return nil, fmt.Errorf("cannot add the document: %w", err)
	}
	if c.paths = member(tree, "paths"); len(c.paths) == 0 {
		return nil, fmt.Errorf("the document has no paths")
	}
	return c, nil
}

// undocumented are paths that the document is not about, as those of signing
// in, which are for browsers.
var undocumented = []string{"/openapi.json", "/docs", "/docs/style.css", "/docs/webhooks"}

// Check is an error if the document does not allow this answer to a request.
func (c *Contract) Check(method, target string, status int, header http.Header, body []byte) error {
	address, err := url.ParseRequestURI(target)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", target, err)
	}
	if header.Get("X-Request-Id") == "" {
		return fmt.Errorf("%s %s: %d without X-Request-Id", method, target, status)
	}
	wanted := method
	if method == http.MethodHead {
		wanted = http.MethodGet
	}
	template := c.match(address.EscapedPath(), strings.ToLower(wanted))
	op := member(c.paths[template], strings.ToLower(wanted))
	if op == nil {
		return c.checkNothing(method, address.Path, template != "", status, header, body)
	}
	response := member(member(op, "responses"), strconv.Itoa(status))
	if response == nil {
		return fmt.Errorf("%s %s: status %d is not documented: %.300s", method, template, status, body)
	}
	for name := range member(response, "headers") {
		if header.Get(name) == "" {
			return fmt.Errorf("%s %s: %d without the documented header %s", method, template, status, name)
		}
	}
	at := []string{"paths", template, strings.ToLower(wanted), "responses", strconv.Itoa(status), "content"}
	if err := c.checkBody(at, method, response, header, body); err != nil {
		return fmt.Errorf("%s %s: %d: %w: %.600s", method, template, status, err, body)
	}
	return nil
}

// checkNothing is for requests that no operation is there for.
func (c *Contract) checkNothing(method, path string, known bool, status int, header http.Header, body []byte) error {
	want := http.StatusNotFound
	switch {
	case slices.Contains(undocumented, path) && status < http.StatusBadRequest, strings.HasPrefix(path, "/auth/"):
		return nil
	case known, slices.Contains(undocumented, path):
		want = http.StatusMethodNotAllowed
		if header.Get("Allow") == "" {
			return fmt.Errorf("%s %s: %d without Allow", method, path, status)
		}
	case method != http.MethodGet && status == http.StatusMethodNotAllowed:
		return nil // a method that no path has
	}
	if status != want || header.Get("Content-Type") != problemType {
		return fmt.Errorf("%s %s: %d %s, want a problem with %d: %.300s", method, path, status, header.Get("Content-Type"), want, body)
	}
	if method == http.MethodHead {
		return nil
	}
	return c.validate([]string{"components", "schemas", "Problem"}, body)
}

const problemType = "application/problem+json"

func (c *Contract) checkBody(at []string, method string, response map[string]any, header http.Header, body []byte) error {
	content := member(response, "content")
	if method == http.MethodHead {
		return nil // net/http drops the body, a recorder does not
	}
	if len(content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%d bytes where no body is documented", len(body))
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if content[header.Get("Content-Type")] != nil {
		media = header.Get("Content-Type")
	}
	if err != nil || content[media] == nil {
		return fmt.Errorf("content type %q is not documented", header.Get("Content-Type"))
	}
	if media != "application/json" && media != problemType {
		return nil // streams and files have tests of their own
	}
	if media == problemType {
		var p struct{ Code string }
		if err := json.Unmarshal(body, &p); err != nil {
			return fmt.Errorf("cannot read the problem: %w", err)
		}
		codes, _ := response["x-problem-codes"].([]any)
		if !slices.Contains(codes, any(p.Code)) {
			return fmt.Errorf("problem code %q is not documented", p.Code)
		}
	}
	return c.validate(append(at, media, "schema"), body)
}

// validate holds body to the schema at a path of the document.
func (c *Contract) validate(at []string, body []byte) error {
	pointer := ""
	for _, step := range at {
		pointer += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	c.mu.Lock()
	schema, ok := c.schemas[pointer]
	if !ok {
		var err error
		if schema, err = c.compiler.Compile(documentURL + "#" + pointer); err != nil {
			c.mu.Unlock()
			return fmt.Errorf("cannot compile the schema at %s: %w", pointer, err)
		}
		c.schemas[pointer] = schema
	}
	c.mu.Unlock()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot read the body: %w", err)
	}
	return schema.Validate(value)
}

// match finds the path template with the fewest parameters, of those that have
// the method if there is one; "": none.
func (c *Contract) match(path, method string) string {
	best, fewest := "", 2*len(path)+1
	asked := strings.Split(path, "/")
	for template := range c.paths {
		parts := strings.Split(template, "/")
		if len(parts) != len(asked) {
			continue
		}
		params, matches := 0, true
		for i, part := range parts {
			// The router takes an empty parameter, but not as the last.
			if strings.HasPrefix(part, "{") && (asked[i] != "" || i < len(parts)-1) {
				params++
			} else if part != asked[i] {
				matches = false
				break
			}
		}
		if member(c.paths[template], method) == nil {
			params += len(path)
		}
		if matches && params < fewest {
			best, fewest = template, params
		}
	}
	return best
}

func member(tree any, name string) map[string]any {
	node, _ := tree.(map[string]any)
	m, _ := node[name].(map[string]any)
	return m
}
