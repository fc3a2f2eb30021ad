package queryapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// AuditAction is what was done.
type AuditAction string

// workspaceActions are those that concern a workspace; signing in and out
// concerns none.
var workspaceActions = []string{
	actionKeyCreate, actionKeyRevoke, actionGrant, actionAdjust, actionVoid,
	actionRuleCreate, actionRuleUpdate, actionRuleDelete, actionRuleRotate, actionRuleSilence, actionRuleDeliverTest, actionAcknowledge,
}

// TransformSchema documents which actions there are.
func (AuditAction) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	for _, action := range workspaceActions {
		schema.Enum = append(schema.Enum, action)
	}
	return schema
}

// AuditLog is a page of who changed what of a workspace's money, access and alerts.
type AuditLog struct {
	Items      []AuditEntry `json:"items" nullable:"false" doc:"The newest first; kept for ever"`
	NextCursor *string      `json:"next_cursor" doc:"null: this is the last page"`
}

// AuditEntry is one change that was asked of this API.
type AuditEntry struct {
	At         Instant                    `json:"at" doc:"When, by the clock of the server that was asked"`
	RequestID  string                     `json:"request_id" doc:"Names the request in the server's log"`
	Action     AuditAction                `json:"action" doc:"Access and alerts stand here before they are changed, so a change that failed may stand here; money once Kafka has it"`
	Subject    string                     `json:"subject" doc:"Who"`
	Credential Credential                 `json:"credential" enum:"token,api_key,jwt,session" doc:"By which proof"`
	KeyID      *string                    `json:"key_id" doc:"The API key that asked; null: it was none"`
	Detail     map[string]json.RawMessage `json:"detail" doc:"What, by action: of a key its key_id and name, never the key itself; of money the event as Kafka has it; of an alert rule what it says, without secrets"`
}

// AuditLogInput are the parameters.
type AuditLogInput struct {
	WorkspaceID string      `path:"workspace_id"`
	From        string      `query:"from" doc:"Only what was done from here on, RFC 3339" example:"2026-11-01T00:00:00Z"`
	To          string      `query:"to" doc:"Only what was done before, RFC 3339" example:"2026-12-01T00:00:00Z"`
	Action      AuditAction `query:"action" doc:"Only this"`
	Subject     string      `query:"subject" maxLength:"1024" doc:"Only by this subject"`
	Limit       int         `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor      string      `query:"cursor" doc:"next_cursor of the page before, with the same other parameters. What is done meanwhile is left to the next listing"`

	times  Range
	cursor *auditPlace
}

// auditPlace is where an entry stands, and how its listing is told apart.
type auditPlace struct {
	At        int64  `json:"a"` // milliseconds
	RequestID string `json:"r"`
	// Of everything else: a request id may be the caller's, and come twice.
	Hash   uint64 `json:"h,string"`
	Digest string `json:"d"`
}

func (in *AuditLogInput) listing() []string {
	return []string{"audit-log", in.WorkspaceID, in.From, in.To, string(in.Action), in.Subject}
}

// Resolve names every wrong parameter.
func (in *AuditLogInput) Resolve(ctx huma.Context) []error {
	in.times = Range{From: in.From, To: in.To}
	errs := slices.Concat(strict(ctx), in.times.resolve())
	if in.Cursor != "" {
		var c auditPlace
		if err := decodeCursor(in.Cursor, &c); err != nil || c.Digest != digest(in.listing()) {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%s", errCursor.Error()))
		} else {
			in.cursor = &c
		}
	}
	return errs
}

// AuditLogOutput is the response. It is made anew each time: no revision
// counts what is written here.
type AuditLogOutput struct{ Body AuditLog }

func (s *Server) registerAuditLog(api huma.API) {
	// It has amounts, which those may read who may read figures; and it names
	// who may do what and who moved money, which concerns those who could have.
	register(s, api, huma.Operation{
		OperationID: "list-audit-log", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/audit-log",
		Metadata: needs(ScopeRead, ScopeAdmin),
		Summary:  "Who changed what of money, access and alerts",
		Description: "For those who may change money themselves (credits:admin) and see figures (credits:read): the entries name people and have amounts. " +
			"Only what was asked of this API is here; what producers wrote to Kafka is in the history.",
	}, s.auditLog)
}

const auditLogQuery = `
SELECT toUnixTimestamp64Milli(at) AS ms, request_id, action, subject, credential, key_id, detail,
    sipHash64(action, subject, credential, key_id, detail) AS hash
FROM audit_log
WHERE workspace_id = {workspace:String}`

func (s *Server) auditLog(ctx context.Context, in *AuditLogInput) (*AuditLogOutput, error) {
	statement, bound := auditLogStatement(in)
	body := AuditLog{Items: []AuditEntry{}}
	var last auditPlace
	read, more := 0, false
	err := s.query(ctx, "audit_log", statement, bound, func(scan func(...any) error) error {
		var (
			item          AuditEntry
			place         auditPlace
			keyID, detail string
		)
		if err := scan(&place.At, &place.RequestID, (*string)(&item.Action), &item.Subject, (*string)(&item.Credential), &keyID, &detail, &place.Hash); err != nil {
			return err
		}
		if read++; read > in.Limit {
			more = true
			return nil
		}
		// Who asked twice in one millisecond for the same is shown once.
		if read > 1 && place == last {
			return nil
		}
		last = place
		if err := json.Unmarshal([]byte(detail), &item.Detail); err != nil {
			return fmt.Errorf("the detail of request %s is no object: %w", place.RequestID, err)
		}
		item.At, item.RequestID, item.KeyID = instant(schemas.Millis(place.At)), place.RequestID, stringOrNull(keyID)
		body.Items = append(body.Items, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if more {
		last.Digest = digest(in.listing())
		body.NextCursor = stringOrNull(encodeCursor(last))
	}
	return &AuditLogOutput{body}, nil
}

// auditLogStatement reads one row more than a page has, backwards in the order
// of the primary key.
func auditLogStatement(in *AuditLogInput) (string, parameters) {
	statement, bound := auditLogQuery, parameters{}
	bound.String("workspace", in.WorkspaceID)
	if in.times.from != schemas.NoInstant {
		statement += " AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"
		bound.Integer("from", int64(in.times.from))
	}
	if in.times.to != schemas.NoInstant {
		statement += " AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')"
		bound.Integer("to", int64(in.times.to))
	}
	if in.Action != "" {
		statement += " AND action = {action:String}"
		bound.String("action", string(in.Action))
	}
	if in.Subject != "" {
		statement += " AND subject = {subject:String}"
		bound.String("subject", in.Subject)
	}
	if c := in.cursor; c != nil {
		statement += " AND at <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')" +
			" AND (toUnixTimestamp64Milli(at), request_id, hash) < ({at:Int64}, {request:String}, {hash:UInt64})"
		bound.Integer("at", c.At)
		bound.String("request", c.RequestID)
		bound.String("hash", fmt.Sprint(c.Hash))
	}
	bound.Integer("limit", int64(in.Limit)+1)
	return statement + "\nORDER BY at DESC, request_id DESC, hash DESC LIMIT {limit:UInt32}", bound
}
