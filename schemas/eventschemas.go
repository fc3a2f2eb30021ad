package schemas

import (
	"embed"
	"fmt"
)

//go:embed events/*.json
var eventSchemaFiles embed.FS

// EventSchema returns the JSON Schema (2020-12) of events of type t in
// structured mode, for producers and tools. The decoder does not use it: it is
// stricter where JSON Schema cannot say it, in bytes, decimals and repeated
// keys. It fails for UnknownEvent.
func EventSchema(t EventType) ([]byte, error) {
	text, err := eventSchemaFiles.ReadFile("events/" + t.String() + ".json")
	if err != nil {
		return nil, fmt.Errorf("cannot read the schema of event type %q: %w", t, err)
	}
	return text, nil
}
