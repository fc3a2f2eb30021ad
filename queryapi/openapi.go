package queryapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// documentHeader is a header of answers, as the document has it.
func documentHeader(description string, schema huma.Schema) *huma.Header {
	return &huma.Header{Description: description, Schema: &schema}
}

// paramDocs describe parameters that operations have in common and do not
// describe themselves.
var paramDocs = map[string]string{
	"workspace_id":    "The tenant",
	"campaign_id":     "What consumes credits",
	"grant_id":        "Credits allotted to the workspace",
	"sort":            "What the rows are ordered by",
	"limit":           "Rows of a page, at the most",
	"format":          "Of the file",
	"key_id":          "Id of the key, which is no secret",
	"rule_id":         "The alert rule",
	"incident_id":     "The alert incident",
	"group_by":        "What series are told apart by",
	"compare":         "previous: the same number of buckets before the range as well",
	"Idempotency-Key": "The same key with the same body is written once, however often it is sent",
}

// idParams are ids of DESIGN section 3. The pattern is documented only: what
// breaks it names nothing, and is 404 as any other unknown id.
var idParams = []string{"workspace_id", "campaign_id", "grant_id"}

// instantParams are parameters whose text instantParam reads.
var instantParams = []string{"from", "to", "as_of"}

// finishDocument says of every operation what they have in common: tag,
// problems, headers, forms of ids and instants. It changes the document alone;
// nothing in it decides what is answered.
func finishDocument(document *huma.OpenAPI) {
	registry := document.Components.Schemas
	schema := registry.Schema(problemType, true, "Problem")
	// huma's own error model is never sent; see problemTransformer.
	delete(registry.Map(), "ErrorModel")
	delete(registry.Map(), "ErrorDetail")
	for _, component := range registry.Map() {
		for _, property := range component.Properties {
			// An enum holds for null as well.
			if property.Nullable && len(property.Enum) > 0 && !slices.Contains(property.Enum, nil) {
				property.Enum = append(property.Enum, nil)
			}
		}
	}
	tags := map[string]bool{}
	for path, item := range document.Paths {
		for method, op := range operationsOf(item) {
			if len(op.Tags) == 0 {
				op.Tags = []string{tagOf(path)}
			}
			for _, tag := range op.Tags {
				tags[tag] = true
			}
			if asked, err := accessOf(op); err == nil && len(asked.scopes) > 0 {
				if op.Extensions == nil {
					op.Extensions = map[string]any{}
				}
				op.Extensions["x-scopes"] = asked.scopes
			}
			finishParams(op)
			finishResponses(path, method, op, schema)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		document.Tags = append(document.Tags, &huma.Tag{Name: tag})
	}
	rows := map[string]any{}
	for code, row := range problems {
		if row.status != statusClientClosed {
			rows[string(code)] = map[string]any{"status": row.status, "title": row.title}
		}
	}
	document.Extensions = map[string]any{"x-problems": rows}
}

// operationsOf lists the operations of a path by method.
func operationsOf(item *huma.PathItem) map[string]*huma.Operation {
	all := map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}
	maps.DeleteFunc(all, func(_ string, op *huma.Operation) bool { return op == nil })
	return all
}

// tagOf groups by what follows the workspace in the path.
func tagOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	name := parts[0]
	if len(parts) > 2 {
		name = parts[2]
	}
	switch name {
	case "me", "workspaces", "audit-log":
		return "Access"
	case "grants", "adjustments":
		return "Ledger"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func finishParams(op *huma.Operation) {
	for _, param := range op.Parameters {
		if param.Description == "" {
			param.Description = paramDocs[param.Name]
		}
		// A copy: the schema at hand is the one that requests are checked by.
		documented := *param.Schema
		switch {
		case param.In == "path" && slices.Contains(idParams, param.Name):
			documented.Pattern = idPattern.String()
			documented.Examples = []any{map[string]string{"workspace_id": "ws_acme", "campaign_id": "cmp_7", "grant_id": "grant_1"}[param.Name]}
		case param.In == "query" && slices.Contains(instantParams, param.Name):
			documented.Format = "date-time"
		}
		param.Schema = &documented
	}
}

func finishResponses(path, method string, op *huma.Operation, schema *huma.Schema) {
	delete(op.Responses, "default")
	has := func(in, name string) bool {
		return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == in && p.Name == name })
	}
	statuses := []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if has("path", "workspace_id") {
		statuses = append(statuses, http.StatusNotFound)
	}
	if method != http.MethodGet && op.RequestBody != nil {
		statuses = append(statuses, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if has("header", "Idempotency-Key") {
		statuses = append(statuses, http.StatusConflict)
	}
	for _, status := range statuses {
		if text := strconv.Itoa(status); op.Responses[text] == nil {
			op.Responses[text] = &huma.Response{}
		}
	}
	if has("header", "If-None-Match") {
		op.Responses["304"] = &huma.Response{Description: "The answer at hand still holds; no body"}
	}
	for text, response := range op.Responses {
		status, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if status >= http.StatusBadRequest {
			problemResponse(path, status, response, schema)
		}
		finishHeaders(status, response, has("header", "If-None-Match"))
	}
}

// problemResponse documents an error by the table in problem.go.
func problemResponse(path string, status int, response *huma.Response, schema *huma.Schema) {
	var codes []any
	var titles []string
	for _, code := range slices.Sorted(maps.Keys(problems)) {
		row := problems[code]
		if row.status != status || code == CodeCampaignNotFound && !strings.Contains(path, "{campaign_id}") {
			continue
		}
		codes, titles = append(codes, string(code)), append(titles, string(code)+": "+row.title)
	}
	if response.Description == "" {
		response.Description = strings.Join(titles, ". ") + "."
	}
	response.Content = map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}
	response.Extensions = map[string]any{"x-problem-codes": codes}
}

func finishHeaders(status int, response *huma.Response, conditional bool) {
	if response.Headers == nil {
		response.Headers = map[string]*huma.Header{}
	}
	response.Headers["X-Request-Id"] = documentHeader("Names the request in the server's log; the caller's, if it sent a sane one", huma.Schema{Type: "string"})
	switch status {
	case http.StatusUnauthorized:
		response.Headers["WWW-Authenticate"] = documentHeader("Bearer", huma.Schema{Type: "string"})
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		response.Headers["Retry-After"] = documentHeader("Seconds to wait before another try", huma.Schema{Type: "integer"})
	case http.StatusOK, http.StatusNotModified:
		if conditional {
			response.Headers["ETag"] = documentHeader("Hash of the body without freshness; send it as If-None-Match", huma.Schema{Type: "string"})
		}
	}
}

// TransformSchema documents which codes there are.
func (Code) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	for _, code := range slices.Sorted(maps.Keys(problems)) {
		if code != CodeClientClosed { // nobody receives it
			schema.Enum = append(schema.Enum, string(code))
		}
	}
	return schema
}

// TransformSchema documents which scopes there are.
func (Scope) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	for _, scope := range everyScope {
		schema.Enum = append(schema.Enum, string(scope))
	}
	return schema
}

// encodeDocument makes the document's text: indented, keys in order.
func encodeDocument(document *huma.OpenAPI) ([]byte, error) {
	raw, err := document.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("cannot encode the OpenAPI document: %w", err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("cannot read the OpenAPI document: %w", err)
	}
	text, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot indent the OpenAPI document: %w", err)
	}
	return append(text, '\n'), nil
}
