package queryapi_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/queryapi"
)

// document is the OpenAPI document as a tree.
func document(t testing.TB) (tree map[string]any) {
	t.Helper()
	text, err := queryapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestCommittedDocumentIsTheOneThatIsServed(t *testing.T) {
	served, err := queryapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(served, committed) {
		t.Error("docs/openapi.json is another one: make generate")
	}
}

func TestDocumentSaysWhatAClientHasToKnow(t *testing.T) {
	tree := document(t)
	ids := map[string]bool{}
	for path, item := range member(tree, "paths") {
		for method, raw := range item.(map[string]any) {
			op := raw.(map[string]any)
			name := method + " " + path
			id, _ := op["operationId"].(string)
			if ids[id] || id == "" {
				t.Errorf("%s: operation id %q", name, id)
			}
			ids[id] = true
			if op["summary"] == nil || op["tags"] == nil {
				t.Errorf("%s: without summary or tag", name)
			}
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				if p := p.(map[string]any); p["description"] == nil {
					t.Errorf("%s: parameter %s without description", name, p["name"])
				}
			}
			responses := member(op, "responses")
			for _, status := range []string{"401", "422", "429", "500", "503"} {
				if member(responses, status)["x-problem-codes"] == nil {
					t.Errorf("%s: %s without codes", name, status)
				}
			}
			for _, status := range []string{"429", "503"} {
				if member(member(responses, status), "headers")["Retry-After"] == nil {
					t.Errorf("%s: %s without Retry-After", name, status)
				}
			}
			if strings.Contains(path, "{workspace_id}") && (responses["403"] == nil || responses["404"] == nil) {
				t.Errorf("%s: without 403 or 404", name)
			}
			if responses["default"] != nil {
				t.Errorf("%s: a default response documents nothing", name)
			}
		}
	}
	for name, raw := range member(member(tree, "components"), "schemas") {
		schema := raw.(map[string]any)
		if schema["type"] == "object" && schema["additionalProperties"] != false {
			t.Errorf("schema %s takes undocumented properties", name)
		}
	}
}

func member(tree map[string]any, name string) map[string]any {
	m, _ := tree[name].(map[string]any)
	return m
}
