package queryapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// AlertIncidents is a page of what happened.
type AlertIncidents struct {
	Items      []AlertIncident     `json:"items" nullable:"false" doc:"The newest first, by when they began"`
	Counts     AlertIncidentCounts `json:"counts" doc:"Of all pages, with the same filters but state"`
	NextCursor *string             `json:"next_cursor" doc:"null: this is the last page"`
}

// AlertIncidentCounts are incidents by how far they are.
type AlertIncidentCounts struct {
	Pending  int `json:"pending"`
	Firing   int `json:"firing"`
	Resolved int `json:"resolved"`
}

// AlertIncident is one crossing of a rule's threshold, from its beginning to
// its end.
type AlertIncident struct {
	IncidentID   string                `json:"incident_id"`
	RuleID       string                `json:"rule_id"`
	RuleName     *string               `json:"rule_name" doc:"As the rule is called now; null: nobody knows"`
	RuleRevision uint32                `json:"rule_revision"`
	Kind         AlertKind             `json:"kind"`
	Subject      string                `json:"subject" doc:"The campaign it is about; empty: the workspace"`
	SubjectName  *string               `json:"subject_name" doc:"As the campaign is called now; null: nobody knows, or the workspace"`
	Sequence     uint32                `json:"sequence" doc:"Counts the incidents of the revision and subject, from 1"`
	State        AlertState            `json:"state" doc:"The last it reached"`
	BeganAt      Instant               `json:"began_at" doc:"When its first state was reached"`
	Message      string                `json:"message" doc:"Of the last change"`
	Detail       json.RawMessage       `json:"detail" doc:"The figures behind the last change, by kind"`
	Changes      []AlertIncidentChange `json:"changes" nullable:"false" doc:"Oldest first, one of each state that it reached"`
	Acknowledged *AlertAcknowledgement `json:"acknowledged" doc:"The last one; null: nobody has"`
	Deliveries   AlertDeliveryCounts   `json:"deliveries" doc:"How its messages to webhooks fare: of each message and webhook the last outcome counts"`
}

// TransformSchema lets acknowledged be null.
func (AlertIncident) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	return nullable(schema, "acknowledged")
}

// AlertState is how far an incident is.
type AlertState schemas.AlertState

// TransformSchema documents which states there are.
func (AlertState) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	for _, state := range alertStates {
		schema.Enum = append(schema.Enum, string(state))
	}
	return schema
}

// alertStates in the order in which an incident may have them.
var alertStates = []schemas.AlertState{schemas.AlertPending, schemas.AlertFiring, schemas.AlertResolved}

// AlertIncidentChange is a state that an incident reached.
type AlertIncidentChange struct {
	State      AlertState      `json:"state"`
	At         Instant         `json:"at" doc:"When it was reached, by the watermark"`
	RecordedAt Instant         `json:"recorded_at" doc:"When that was found out"`
	Message    string          `json:"message"`
	Detail     json.RawMessage `json:"detail" doc:"The figures behind it, by kind"`
}

// AlertAcknowledgement says who has seen an incident.
type AlertAcknowledgement struct {
	By   string  `json:"by" doc:"Subject"`
	At   Instant `json:"at"`
	Note string  `json:"note"`
}

// AlertDeliveryCounts are messages by what became of them.
type AlertDeliveryCounts struct {
	Delivered int `json:"delivered"`
	Retrying  int `json:"retrying" doc:"To be tried again"`
	Failed    int `json:"failed" doc:"A day of retrying is over"`
	Refused   int `json:"refused" doc:"The address is not allowed"`
	Disabled  int `json:"disabled" doc:"The receiver or the owner of the rule wants no more"`
	Silenced  int `json:"silenced"`
}

// AlertIncidentsInput are the parameters.
type AlertIncidentsInput struct {
	WorkspaceID  string     `path:"workspace_id"`
	State        AlertState `query:"state" doc:"Only those that are in it now"`
	IncidentID   string     `query:"incident_id" doc:"Only this one" example:"f1c5f80d733c94643d8cd7e45e55eeba"`
	RuleID       string     `query:"rule_id" doc:"Only of this rule"`
	Kind         AlertKind  `query:"kind" doc:"Only of rules of this kind"`
	Subject      string     `query:"subject" doc:"Only about this campaign; empty: only about the workspace" example:"cmp_7"`
	Acknowledged string     `query:"acknowledged" enum:"true,false" doc:"true: only what somebody has acknowledged; false: only what nobody has"`
	From         string     `query:"from" doc:"Only what began here or later, RFC 3339" example:"2026-11-01T00:00:00Z"`
	To           string     `query:"to" doc:"Only what began before, RFC 3339" example:"2026-12-01T00:00:00Z"`
	Limit        int        `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor       string     `query:"cursor" doc:"next_cursor of the page before, with the same other parameters. What begins meanwhile is left to the next listing"`

	subject *string
	times   Range
	cursor  *incidentPlace
}

// incidentPlace is where an incident stands in the list. Its first change
// decides and never changes, so pages skip and double nothing.
type incidentPlace struct {
	At     int64  `json:"a"` // milliseconds
	ID     string `json:"i"`
	Digest string `json:"d"`
}

func (in *AlertIncidentsInput) listing() []string {
	subject := "any"
	if in.subject != nil {
		subject = "of " + *in.subject
	}
	return []string{"alert-incidents", in.WorkspaceID, string(in.State), in.RuleID, string(in.Kind), subject, in.From, in.To, in.IncidentID, in.Acknowledged}
}

// Resolve names every wrong parameter.
func (in *AlertIncidentsInput) Resolve(ctx huma.Context) []error {
	in.subject = optional(ctx, "subject")
	in.times = Range{From: in.From, To: in.To}
	errs := slices.Concat(strict(ctx), in.times.resolve())
	if in.Cursor != "" {
		var c incidentPlace
		if err := decodeCursor(in.Cursor, &c); err != nil || c.Digest != digest(in.listing()) {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%s", errCursor.Error()))
		} else {
			in.cursor = &c
		}
	}
	return errs
}

// AlertIncidentsOutput is the response.
type AlertIncidentsOutput struct{ Body AlertIncidents }

// AcknowledgeInput says that somebody has seen an incident.
type AcknowledgeInput struct {
	WorkspaceID string `path:"workspace_id"`
	IncidentID  string `path:"incident_id"`
	Body        AcknowledgeRequest
}

// AcknowledgeRequest is the body of an acknowledgement.
type AcknowledgeRequest struct {
	Note string `json:"note,omitempty" maxLength:"1000" doc:"For people"`
}

// Resolve names every wrong parameter.
func (*AcknowledgeInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

// AcknowledgeOutput is the response.
type AcknowledgeOutput struct{ Body AlertAcknowledgement }

func (s *Server) registerAlertIncidents(api huma.API) {
	const path = alertsPath + "/incidents"
	register(s, api, huma.Operation{
		OperationID: "list-alert-incidents", Method: http.MethodGet, Path: path, Metadata: needs(ScopeRead),
		Summary: "Alert incidents", Description: "One item per incident, with the changes of its state.",
	}, s.listAlertIncidents)
	register(s, api, huma.Operation{
		OperationID: "acknowledge-alert-incident", Method: http.MethodPost, Path: path + "/{incident_id}/acknowledge", Metadata: needs(ScopeAlerts),
		MaxBodyBytes: 16 << 10,
		Summary:      "Say that an alert incident was seen", Description: "It changes neither its state nor who is told. The last one holds.",
	}, s.acknowledge)
}

// incidentsQuery reads the changes of the incidents of a page and of one more.
// The inner question groups the workspace's changes, of which it reads only
// short columns; %s are conditions on an incident.
const incidentsQuery = `
SELECT incident_id, state, rule_id, rule_revision, kind, subject, sequence, at, recorded_at, message, detail
FROM alert_incidents
WHERE workspace_id = {workspace:String} AND incident_id IN (
    SELECT incident_id FROM (` + reachedQuery + `)
    WHERE 1%s
    ORDER BY began DESC, incident_id DESC
    LIMIT {limit:UInt32})
ORDER BY recorded_at`

const reachedQuery = `
        SELECT incident_id, toUnixTimestamp64Milli(min(at)) AS began,
            multiIf(countIf(state = 'resolved') > 0, 'resolved', countIf(state = 'firing') > 0, 'firing', 'pending') AS reached
        FROM alert_incidents
        WHERE workspace_id = {workspace:String}%s
        GROUP BY incident_id
    `

const incidentCountsQuery = `
SELECT reached, count() FROM (` + reachedQuery + `)
WHERE 1%s
GROUP BY reached`

const acknowledgedIncidents = "(SELECT incident_id FROM alert_acknowledgements WHERE workspace_id = {workspace:String})"

// incidentsStatement has the filters of a request but for state.
func incidentsStatement(in *AlertIncidentsInput) (where, having string, bound parameters) {
	bound = parameters{}
	bound.String("workspace", in.WorkspaceID)
	for _, filter := range []struct {
		asked     bool
		name      string
		value     string
		condition string
	}{
		{in.IncidentID != "", "incident", in.IncidentID, " AND incident_id = {incident:String}"},
		{in.RuleID != "", "rule", in.RuleID, " AND rule_id = {rule:String}"},
		{in.Kind != "", "kind", string(in.Kind), " AND kind = {kind:String}"},
		{in.subject != nil, "subject", in.Subject, " AND subject = {subject:String}"},
	} {
		if filter.asked {
			where += filter.condition
			bound.String(filter.name, filter.value)
		}
	}
	switch in.Acknowledged {
	case "true":
		having += " AND incident_id IN " + acknowledgedIncidents
	case "false":
		having += " AND incident_id NOT IN " + acknowledgedIncidents
	}
	if in.times.from != schemas.NoInstant {
		having += " AND began >= {from:Int64}"
		bound.Integer("from", int64(in.times.from))
	}
	if in.times.to != schemas.NoInstant {
		having += " AND began < {to:Int64}"
		bound.Integer("to", int64(in.times.to))
	}
	return where, having, bound
}

// ofPage narrows conditions on incidents down to a page.
func (in *AlertIncidentsInput) ofPage(having string, bound parameters) string {
	bound.Integer("limit", int64(in.Limit)+1)
	if in.State != "" {
		having += " AND reached = {state:String}"
		bound.String("state", string(in.State))
	}
	if c := in.cursor; c != nil {
		having += " AND (began, incident_id) < ({at:Int64}, {id:String})"
		bound.Integer("at", c.At)
		bound.String("id", c.ID)
	}
	return having
}

// foundIncident is an incident and where it stands.
type foundIncident struct {
	AlertIncident
	began, recorded schemas.Millis // of its first change
}

func (s *Server) listAlertIncidents(ctx context.Context, in *AlertIncidentsInput) (*AlertIncidentsOutput, error) {
	found, err := s.incidents(ctx, in)
	if err != nil {
		return nil, err
	}
	out := &AlertIncidentsOutput{AlertIncidents{Items: []AlertIncident{}}}
	if out.Body.Counts, err = s.countIncidents(ctx, in); err != nil {
		return nil, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		last := &found[in.Limit-1]
		out.Body.NextCursor = stringOrNull(encodeCursor(incidentPlace{int64(last.began), last.IncidentID, digest(in.listing())}))
	}
	if len(found) > 0 {
		if err := s.aboutIncidents(ctx, in.WorkspaceID, found); err != nil {
			return nil, err
		}
	}
	for i := range found {
		out.Body.Items = append(out.Body.Items, found[i].AlertIncident)
	}
	return out, nil
}

func (s *Server) countIncidents(ctx context.Context, in *AlertIncidentsInput) (counts AlertIncidentCounts, err error) {
	where, having, bound := incidentsStatement(in)
	err = s.query(ctx, "alert_incident_counts", fmt.Sprintf(incidentCountsQuery, where, having), bound, func(scan func(...any) error) error {
		var reached string
		var n uint64
		err := scan(&reached, &n)
		switch schemas.AlertState(reached) {
		case schemas.AlertPending:
			counts.Pending = int(n)
		case schemas.AlertFiring:
			counts.Firing = int(n)
		case schemas.AlertResolved:
			counts.Resolved = int(n)
		}
		return err
	})
	return counts, err
}

// incidents reads those of a page and one more, in order.
func (s *Server) incidents(ctx context.Context, in *AlertIncidentsInput) ([]foundIncident, error) {
	where, having, bound := incidentsStatement(in)
	having = in.ofPage(having, bound)
	place := map[string]int{}
	var found []foundIncident
	err := s.query(ctx, "alert_incidents", fmt.Sprintf(incidentsQuery, where, having), bound, func(scan func(...any) error) error {
		var (
			i              AlertIncident
			c              AlertIncidentChange
			at, recordedAt time.Time
			detail         string
		)
		if err := scan(&i.IncidentID, (*string)(&c.State), &i.RuleID, &i.RuleRevision, (*string)(&i.Kind), &i.Subject, &i.Sequence,
			&at, &recordedAt, &c.Message, &detail); err != nil {
			return err
		}
		c.At, c.RecordedAt, c.Detail = instant(millisOf(at)), instant(millisOf(recordedAt)), detailBody(detail)
		n, known := place[i.IncidentID]
		if !known {
			n = len(found)
			place[i.IncidentID] = n
			found = append(found, foundIncident{i, millisOf(at), millisOf(recordedAt)})
		}
		found[n].add(c, millisOf(at))
		return nil
	})
	slices.SortFunc(found, func(a, b foundIncident) int {
		return cmp.Or(cmp.Compare(b.began, a.began), cmp.Compare(b.IncidentID, a.IncidentID))
	})
	return found, err
}

// add takes the next change of an incident, in the order in which they were
// recorded.
func (i *foundIncident) add(c AlertIncidentChange, at schemas.Millis) {
	i.began = min(i.began, at)
	i.BeganAt = instant(i.began)
	if slices.ContainsFunc(i.Changes, func(known AlertIncidentChange) bool { return known.State == c.State }) {
		return // there is one row of each
	}
	i.Changes = append(i.Changes, c)
	slices.SortFunc(i.Changes, func(a, b AlertIncidentChange) int { return cmp.Compare(a.State.order(), b.State.order()) })
	last := &i.Changes[len(i.Changes)-1]
	i.State, i.Message, i.Detail = last.State, last.Message, last.Detail
}

func (s AlertState) order() int { return slices.Index(alertStates, schemas.AlertState(s)) }

// detailBody is the detail of a row; what is wrong in there must not keep the
// alert from anybody.
func detailBody(text string) json.RawMessage {
	if detail := json.RawMessage(text); json.Valid(detail) {
		return detail
	}
	return json.RawMessage("{}")
}

const incidentExists = `SELECT count() FROM alert_incidents WHERE workspace_id = {workspace:String} AND incident_id = {incident:String}`

func (s *Server) acknowledge(ctx context.Context, in *AcknowledgeInput) (*AcknowledgeOutput, error) {
	bound, rows := parameters{}, uint64(0)
	bound.String("workspace", in.WorkspaceID)
	bound.String("incident", in.IncidentID)
	err := s.query(ctx, "alert_incident", incidentExists, bound, func(scan func(...any) error) error { return scan(&rows) })
	switch {
	case err != nil:
		return nil, err
	case rows == 0:
		return nil, problem(CodeIncidentNotFound, "the workspace has no such alert incident")
	}
	at, by := s.now(), principalFrom(ctx).Subject
	if err := s.audit(ctx, in.WorkspaceID, actionAcknowledge, map[string]any{"incident_id": in.IncidentID, "note": in.Body.Note}); err != nil {
		return nil, err
	}
	err = s.insert(ctx, "alert_acknowledgements", "INSERT INTO alert_acknowledgements (workspace_id, incident_id, at, by, note)",
		in.WorkspaceID, in.IncidentID, timeOf(at), by, in.Body.Note)
	if err != nil {
		return nil, err
	}
	return &AcknowledgeOutput{AlertAcknowledgement{By: by, At: instant(at), Note: in.Body.Note}}, nil
}
