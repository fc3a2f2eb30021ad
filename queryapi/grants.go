package queryapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// GrantRequest documents the body of a grant. The body is decoded by the rules
// of the event that it becomes (schemas.Decoder), not by this type.
type GrantRequest struct {
	GrantID     *string `json:"grant_id,omitempty" doc:"By default a new one; the same id with the same terms is the same grant"`
	Credits     Decimal `json:"credits" doc:"Above 0, at most 10^12; a number is taken as well"`
	Class       *string `json:"class,omitempty" enum:"paid,promo" doc:"By default paid"`
	Priority    *int    `json:"priority,omitempty" minimum:"0" maximum:"1000" doc:"Lower is used first; by default 100"`
	EffectiveAt *string `json:"effective_at,omitempty" format:"date-time" doc:"Whole minutes count; by default now"`
	ExpiresAt   *string `json:"expires_at,omitempty" format:"date-time" doc:"By default never"`
	Note        *string `json:"note,omitempty" doc:"Shown in the history; at most 4 KiB"`
}

// AdjustmentRequest documents the body of an adjustment.
type AdjustmentRequest struct {
	Credits Decimal `json:"credits" doc:"To add, or to take away; at most 10^12; a number is taken as well"`
	GrantID *string `json:"grant_id,omitempty" doc:"Adjust what is left of this grant; by default the workspace"`
	Reason  *string `json:"reason,omitempty" doc:"Shown in the history; at most 4 KiB"`
}

// VoidRequest documents the body of a void, which may be absent.
type VoidRequest struct {
	Reason *string `json:"reason,omitempty" doc:"Shown in the history; at most 4 KiB"`
}

// LedgerInput is a request for a grant or an adjustment.
type LedgerInput struct {
	WorkspaceID    string `path:"workspace_id"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body is written once, however often it is sent"`
	Upload
}

// Resolve names every wrong parameter.
func (in *LedgerInput) Resolve(ctx huma.Context) []error { return in.resolve(ctx) }

// VoidInput is a request to void a grant.
type VoidInput struct {
	WorkspaceID    string `path:"workspace_id"`
	GrantID        string `path:"grant_id"`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body is written once, however often it is sent"`
	Upload
}

// Resolve names every wrong parameter.
func (in *VoidInput) Resolve(ctx huma.Context) []error { return in.resolve(ctx) }

// Entry says that Kafka has a ledger entry.
type Entry struct {
	EntryID    string  `json:"entry_id" doc:"Its id in the history"`
	EventID    string  `json:"event_id" doc:"Id of the event that it became"`
	GrantID    string  `json:"grant_id,omitempty" doc:"The grant granted, adjusted or voided"`
	AcceptedAt Instant `json:"accepted_at" doc:"Every answer whose watermark is not before it has the entry"`
}

// EntryOutput is the response.
type EntryOutput struct {
	Status int
	Body   Entry
}

func (s *Server) registerGrants(api huma.API) {
	const workspace = "/v1/workspaces/{workspace_id}"
	describe := func(path string, body reflect.Type, required bool) {
		schema := api.OpenAPI().Components.Schemas.Schema(body, true, "")
		api.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{
			Required: required, Content: map[string]*huma.MediaType{mediaJSON: {Schema: schema}},
		}
	}
	const doc = " Answers once Kafka has it; scope credits:admin."
	register(s, api, huma.Operation{
		OperationID: "post-grant", Method: http.MethodPost, Path: workspace + "/grants", DefaultStatus: http.StatusAccepted,
		Summary: "Grant credits to a workspace", Description: "A workspace begins with its first grant." + doc,
		Metadata:    needsToStart(ScopeAdmin),
		Middlewares: huma.Middlewares{s.admitWrite},
	}, func(ctx context.Context, in *LedgerInput) (*EntryOutput, error) {
		return s.enter(ctx, entryRequest{kind: schemas.CreditsGranted, workspaceID: in.WorkspaceID, key: in.IdempotencyKey}, &in.Upload)
	})
	describe(workspace+"/grants", reflect.TypeFor[GrantRequest](), true)
	register(s, api, huma.Operation{
		OperationID: "post-adjustment", Method: http.MethodPost, Path: workspace + "/adjustments", DefaultStatus: http.StatusAccepted,
		Summary: "Add or take away credits", Description: "This is never usage." + doc,
		Metadata:    needsToStart(ScopeAdmin),
		Middlewares: huma.Middlewares{s.admitWrite},
	}, func(ctx context.Context, in *LedgerInput) (*EntryOutput, error) {
		return s.enter(ctx, entryRequest{kind: schemas.CreditsAdjusted, workspaceID: in.WorkspaceID, key: in.IdempotencyKey}, &in.Upload)
	})
	describe(workspace+"/adjustments", reflect.TypeFor[AdjustmentRequest](), true)
	register(s, api, huma.Operation{
		OperationID: "post-void", Method: http.MethodPost, Path: workspace + "/grants/{grant_id}/void", DefaultStatus: http.StatusAccepted,
		Summary: "Take back what is left of a grant", Description: "A void of a grant that does not exist takes effect when it comes." + doc,
		Metadata:    needsToStart(ScopeAdmin),
		Middlewares: huma.Middlewares{s.admitWrite},
	}, func(ctx context.Context, in *VoidInput) (*EntryOutput, error) {
		return s.enter(ctx, entryRequest{kind: schemas.GrantVoided, workspaceID: in.WorkspaceID, key: in.IdempotencyKey, grantID: &in.GrantID}, &in.Upload)
	})
	describe(workspace+"/grants/{grant_id}/void", reflect.TypeFor[VoidRequest](), false)
}

// entryRequest is a ledger entry as it is asked for.
type entryRequest struct {
	kind        schemas.EventType
	workspaceID string
	key         string                    // Idempotency-Key; "": none
	eventID     string                    // made from the key, or a new one
	grantID     *string                   // of the path
	members     map[string]jsontext.Value // of the body
}

// bodyFields are the fields a body may have, which are those of the event's
// data, in the order in which they are shown.
var bodyFields = map[schemas.EventType][]string{
	schemas.CreditsGranted:  {"grant_id", "credits", "class", "priority", "effective_at", "expires_at", "note"},
	schemas.CreditsAdjusted: {"credits", "grant_id", "reason"},
	schemas.GrantVoided:     {"reason"},
}

// fill reads the body and gives the entry its ids.
func (r *entryRequest) fill(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 && r.kind == schemas.GrantVoided {
		body = []byte("{}")
	}
	// A repeated key would lose one of two values, so both are refused.
	if value := jsontext.Value(body); !value.IsValid() || value.Kind() != '{' {
		return problem(CodeBadRequest, "the body is no JSON object in valid UTF-8 that has each key once")
	}
	if err := json.Unmarshal(body, &r.members); err != nil {
		return problem(CodeBadRequest, "the body is no JSON object")
	}
	var unknown *Problem
	for _, name := range sortedNames(r.members) {
		if string(r.members[name]) == "null" {
			delete(r.members, name)
		} else if !slices.Contains(bodyFields[r.kind], name) {
			if unknown == nil {
				unknown = problem(CodeInvalidParameter, "unknown field; there are %s", strings.Join(bodyFields[r.kind], ", "))
			}
			unknown = unknown.about("body."+name, nil)
		}
	}
	if unknown != nil {
		return unknown
	}
	unique := uuid.Must(uuid.NewV7()).String()
	r.eventID = unique
	if r.key != "" {
		hash := sha256.Sum256([]byte(r.key))
		unique = hex.EncodeToString(hash[:])
		r.eventID = "api:" + unique
	}
	switch _, named := r.members["grant_id"]; {
	case r.grantID != nil:
		r.members["grant_id"] = quoted(*r.grantID)
	case r.kind == schemas.CreditsGranted && !named:
		// The same for every retry of the key.
		r.members["grant_id"] = quoted("grant-" + unique[:min(len(unique), 36)])
	}
	return nil
}

func sortedNames(members map[string]jsontext.Value) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// circumstances are what an event says beyond what was asked for. A retry is
// compared with an earlier event under the earlier one's.
type circumstances struct {
	at        schemas.Millis
	effective schemas.Millis // of a grant that does not say
	actor     string
}

// encode makes the CloudEvent that the request asks for. What it returns is
// not checked.
func (r *entryRequest) encode(c circumstances, members map[string]jsontext.Value) []byte {
	data := map[string]jsontext.Value{"workspace_id": quoted(r.workspaceID), "actor": quoted(c.actor)}
	if r.kind == schemas.CreditsGranted {
		data["class"], data["effective_at"] = quoted("paid"), quoted(c.effective.String())
	}
	for name, value := range members {
		data[name] = value
	}
	b := fmt.Appendf(nil, `{"specversion":"1.0","id":%s,"source":"/drawdown/api","type":%q,"time":%q,"data":{`,
		quoted(r.eventID), r.kind, c.at)
	for i, name := range sortedNames(data) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quoted(name)...), ':'), data[name]...)
	}
	return append(b, '}', '}')
}

func quoted(text string) jsontext.Value {
	// Invalid UTF-8 becomes the replacement character, still a valid string.
	b, _ := jsontext.AppendQuote(nil, text)
	return b
}

// decode reads the request into ev, or names every field that is wrong: what
// the decoder finds first is put right and the rest looked at again.
func (r *entryRequest) decode(d *schemas.Decoder, c circumstances, ev *schemas.Event) error {
	members := make(map[string]jsontext.Value, len(r.members))
	for name, value := range r.members {
		members[name] = value
	}
	var wrong *Problem
	for range len(bodyFields[r.kind]) + 2 {
		rec := schemas.Record{Value: r.encode(c, members)}
		rejection := d.Decode(schemas.LedgerTopic, &rec, ev)
		if rejection == nil {
			if wrong != nil {
				return wrong
			}
			return nil
		}
		field, ok := strings.CutPrefix(rejection.Field(), "data.")
		if !ok {
			return problem(CodeInvalidParameter, "%s", rejection.Message).about("body", nil)
		}
		location := "body." + field
		if r.grantID != nil && field == "grant_id" {
			location = "path.grant_id"
		}
		message := strings.TrimPrefix(rejection.Message, "data.")
		if wrong == nil {
			wrong = problem(CodeInvalidParameter, "%s", message)
		}
		wrong.Errors = append(wrong.Errors, ProblemDetail{Location: location, Message: message})
		if right, ok := harmless[field]; ok {
			members[field] = right
		} else {
			delete(members, field)
		}
	}
	return wrong
}

// harmless stands for a field that is wrong while the others are looked at.
var harmless = map[string]jsontext.Value{
	"grant_id": jsontext.Value(`"g"`), "credits": jsontext.Value(`"1"`), "class": jsontext.Value(`"paid"`),
	"effective_at": jsontext.Value(`"2000-01-01T00:00:00Z"`),
}

// clipActor makes an actor of a subject: at most 128 bytes.
func clipActor(subject string) string {
	const maxActorBytes = 128
	subject = strings.ToValidUTF8(subject, "\ufffd")
	if len(subject) <= maxActorBytes {
		return subject
	}
	return strings.ToValidUTF8(subject[:maxActorBytes], "")
}
