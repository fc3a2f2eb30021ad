package schemas

import (
	"bytes"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
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

// beyondSchemas are events of the corpus that the decoder rejects and JSON
// Schema lets pass, because it cannot say the rule.
var beyondSchemas = map[string]string{
	"invalid_field-adjusted-credits-too-many":           "amount of a decimal string",
	"invalid_field-campaign-quota-negative":             "amount of a decimal string",
	"invalid_field-credits-absurd-exponent":             "amount of a decimal string",
	"invalid_field-credits-huge-exponent":               "amount of a decimal string",
	"invalid_field-credits-too-many":                    "amount of a decimal string",
	"invalid_field-credits-too-many-back":               "amount of a decimal string",
	"invalid_field-granted-credits-negative":            "amount of a decimal string",
	"invalid_field-granted-credits-too-many":            "amount of a decimal string",
	"invalid_field-granted-credits-zero":                "amount of a decimal string",
	"invalid_field-credits-seven-decimals":              "exactness at 6 decimals",
	"invalid_field-credits-seven-decimals-number":       "exactness at 6 decimals",
	"invalid_field-credits-tiny-exponent":               "exactness at 6 decimals",
	"invalid_field-attributes-too-long":                 "bytes of all attributes together",
	"invalid_field-granted-effective_at-before-2000":    "range of an instant",
	"invalid_field-granted-expires_at-from-2100":        "range of an instant",
	"invalid_field-time-before-2000":                    "range of an instant",
	"invalid_field-time-before-2000-by-offset":          "range of an instant",
	"invalid_field-time-from-2100":                      "range of an instant",
	"invalid_field-time-leap-second":                    "leap seconds",
	"invalid_field-granted-expires_at-before-effective": "two fields compared",
	"invalid_field-granted-expires_at-same-minute":      "two fields compared",
	"invalid_field-workspace-time_zone-local":           "which zones there are",
	"invalid_field-workspace-time_zone-path":            "which zones there are",
	"invalid_field-workspace-time_zone-unknown":         "which zones there are",
	"malformed-duplicate-key":                           "repeated keys",
	"malformed-duplicate-key-escaped":                   "repeated keys",
	"malformed-duplicate-key-in-an-extra-field":         "repeated keys",
	"malformed-duplicate-key-in-attributes":             "repeated keys",
	"malformed-duplicate-key-in-data":                   "repeated keys",
	"malformed-half-a-surrogate":                        "UTF-8",
	"malformed-invalid-utf8":                            "UTF-8",
	"malformed-invalid-utf8-in-an-extra-field":          "UTF-8",
	"malformed-invalid-utf8-in-subject":                 "UTF-8",
}

// TestEventSchemasAgreeWithTheDecoder holds every event of the corpus that is
// JSON against the schema of its type: what the decoder accepts is valid, and
// what it rejects is not, but for the rules that JSON Schema cannot say.
func TestEventSchemasAgreeWithTheDecoder(t *testing.T) {
	compiled := map[EventType]*jsonschema.Schema{}
	for typ := CreditsConsumed; typ <= WorkspaceUpdated; typ++ {
		text, err := EventSchema(typ)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		if err := compiler.AddResource(typ.String(), parsed); err != nil {
			t.Fatal(err)
		}
		if compiled[typ], err = compiler.Compile(typ.String()); err != nil {
			t.Fatal(err)
		}
	}
	d := NewDecoder(DefaultLimits())
	beyond := map[string]bool{}
	valid, invalid := 0, 0
	for _, file := range slices.Concat(readEventFiles(t, "valid"), readEventFiles(t, "invalid")) {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(file.rec.Value))
		members, isObject := instance.(map[string]any)
		name, _ := members["type"].(string)
		typ := ParseEventType(name)
		if err != nil || !isObject || typ == UnknownEvent || isBinaryMode(&file.rec) {
			continue // no JSON, or of no type: no schema says anything
		}
		var ev Event
		rejected := d.Decode(typ.Topic(), &Record{Value: file.rec.Value}, &ev)
		broken := compiled[typ].Validate(instance)
		switch {
		case rejected == nil && broken != nil:
			t.Errorf("%s is accepted, but %v", file.name, broken)
		case rejected != nil && broken == nil:
			beyond[file.name] = true
			if beyondSchemas[file.name] == "" {
				t.Errorf("%s passes the schema, but is rejected: %v", file.name, rejected)
			}
		case rejected == nil:
			valid++
		default:
			invalid++
		}
	}
	for name := range beyondSchemas {
		if !beyond[name] {
			t.Errorf("%s is no exception", name)
		}
	}
	if valid < 50 || invalid < 100 {
		t.Errorf("%d valid and %d invalid events were compared", valid, invalid)
	}
}
