package schemas

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// checkModes sends one event in both modes, wherever both can say it, and
// compares what becomes of it. Attributes are in the order of binaryNames.
func checkModes(t failer, attributes [5]string, absent uint8, data []byte) {
	t.Helper()
	if value := jsontext.Value(data); !value.IsValid() || value.Kind() != '{' || len(data) > 1<<19 {
		return // malformed in binary mode; in structured mode it depends on where it stands
	}
	structured := []byte("{")
	inBinary := Record{Value: data}
	for i, name := range binaryNames {
		if absent&(1<<i) != 0 {
			continue
		}
		if name == "specversion" || validUTF8([]byte(attributes[i])) {
			quoted, err := jsontext.AppendQuote(nil, attributes[i])
			if err != nil {
				return
			}
			structured = append(append(append(structured, `"`+name+`":`...), quoted...), ',')
		} else {
			structured = append(structured, `"`+name+`":"`+attributes[i]+`",`...)
		}
		inBinary.Headers = append(inBinary.Headers, Header{Key: "ce_" + name, Value: []byte(attributes[i])})
	}
	if absent&1 != 0 {
		return // no specversion, no binary mode
	}
	structured = append(append(append(structured, `"data":`...), data...), '}')
	inStructured := Record{Value: structured, Headers: []Header{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=utf-8")}}}
	inStructured.Headers = append(inStructured.Headers, inBinary.Headers...) // which mean nothing then
	inBinary.Headers = append(inBinary.Headers, Header{Key: "content-type", Value: []byte("application/json")})
	d := NewDecoder(DefaultLimits())
	for _, topic := range []Topic{ConsumptionTopic, LedgerTopic, CampaignsTopic} {
		var first, second Event
		want := d.Decode(topic, &inStructured, &first)
		wanted := describe(&first) // before the next Decode reuses its bytes
		got := d.Decode(topic, &inBinary, &second)
		switch {
		case (got == nil) != (want == nil), got != nil && got.Code != want.Code:
			t.Fatalf("%s\nin binary mode %v, in structured mode %v", structured, got, want)
		case got != nil && got.Code == Malformed:
			// Invalid UTF-8 in an attribute: of the whole value in structured
			// mode, which then offers no workspace.
		case describe(&second) != wanted:
			t.Fatalf("%s\nin binary mode     %s\nin structured mode %s", structured, describe(&second), wanted)
		}
	}
}

var binaryNames = [5]string{"specversion", "id", "source", "type", "time"}

// FuzzBinaryMode is the proof that an event is the same in both modes: the
// same fields and content hash, or the same code.
func FuzzBinaryMode(f *testing.F) {
	for _, kind := range []string{"valid", "invalid"} {
		for _, file := range readEventFiles(f, kind) {
			var members map[string]jsontext.Value
			if json.Unmarshal(file.rec.Value, &members) != nil {
				continue
			}
			var attributes [5]string
			absent := uint8(0)
			for i, name := range binaryNames {
				if json.Unmarshal(members[name], &attributes[i]) != nil || members[name] == nil {
					absent |= 1 << i
				}
			}
			f.Add(attributes[0], attributes[1], attributes[2], attributes[3], attributes[4], absent, []byte(members["data"]))
		}
	}
	f.Fuzz(func(t *testing.T, specversion, id, source, typ, at string, absent uint8, data []byte) {
		checkModes(t, [5]string{specversion, id, source, typ, at}, absent, data)
	})
}

// TestAcceptedEventsAreTheSameInBothModes draws what a fuzzer of bytes hardly
// finds: valid events of every type.
func TestAcceptedEventsAreTheSameInBothModes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawEvent(t)
		var written struct {
			Data jsontext.Value `json:"data"`
		}
		if err := json.Unmarshal(EncodeEvent(ev), &written); err != nil {
			t.Fatal(err)
		}
		absent := uint8(0)
		if len(ev.Source) == 0 {
			absent = 1 << 2
		}
		checkModes(t, [5]string{"1.0", string(ev.ID), string(ev.Source), ev.Type.String(), ev.Time.String()}, absent, written.Data)
	})
}
