package schemas

import (
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestEventSchemasNameTheFieldsThatAreDecoded(t *testing.T) {
	for typ := CreditsConsumed; typ <= WorkspaceUpdated; typ++ {
		text, err := EventSchema(typ)
		if err != nil {
			t.Fatal(err)
		}
		type object struct {
			Required   []string       `json:"required"`
			Properties map[string]any `json:"properties"`
		}
		var schema struct {
			Title      string `json:"title"`
			Properties struct {
				Data object `json:"data"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		if schema.Title != typ.String() {
			t.Errorf("%s is titled %s", typ, schema.Title)
		}
		data := schema.Properties.Data
		if len(data.Properties) != len(fieldsOf(typ)) {
			t.Errorf("%s has %d fields in its schema, %d in the decoder", typ, len(data.Properties), len(fieldsOf(typ)))
		}
		for _, f := range fieldsOf(typ) {
			if _, ok := data.Properties[f.name]; !ok {
				t.Errorf("%s lacks %s", typ, f.name)
			}
			if slices.Contains(data.Required, f.name) != f.required {
				t.Errorf("%s of %s: required is %v in the decoder", f.name, typ, f.required)
			}
		}
	}
	if _, err := EventSchema(UnknownEvent); err == nil {
		t.Error("an unknown type has a schema")
	}
}
