package queryapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/drawdown/drawdown/schemas"
)

// maxEvents bounds a request to what one answer can list.
const maxEvents = 1000

// Media types of events over HTTP (CloudEvents HTTP binding 1.0.2).
const (
	mediaEvent = "application/cloudevents+json"
	mediaBatch = "application/cloudevents-batch+json"
	mediaJSON  = "application/json"
)

// EventsInput is a batch of events.
type EventsInput struct {
	WorkspaceID string `path:"workspace_id"`
	Upload
}

// Resolve names every wrong parameter.
func (in *EventsInput) Resolve(ctx huma.Context) []error { return in.resolve(ctx) }

// EventStatus is what became of an event.
type EventStatus string

// The statuses of an event.
const (
	EventAccepted EventStatus = "accepted" // Kafka has acknowledged it: it is counted once
	EventRejected EventStatus = "rejected" // it breaks a rule and was not produced
	EventFailed   EventStatus = "failed"   // Kafka did not acknowledge it; it may be there all the same
)

// EventResult says what became of one event.
type EventResult struct {
	Index   int         `json:"index" doc:"Position in the request, from 0"`
	EventID *string     `json:"event_id" doc:"Its id; null where it cannot be read"`
	Status  EventStatus `json:"status" enum:"accepted,rejected,failed" doc:"accepted: it will be counted once, however often it is sent. rejected: send it again only when it is mended. failed: send it again as it is, with the same id"`
	Code    string      `json:"code,omitempty" doc:"Why it was rejected, as in the table of rejections, or failed"`
	Message string      `json:"message,omitempty" doc:"What is wrong, where, and what to do"`
}

// EventsResult answers a batch.
type EventsResult struct {
	Results []EventResult `json:"results" nullable:"false" doc:"One per event, in the order of the request"`
}

// EventsOutput is the response.
type EventsOutput struct{ Body EventsResult }

func (s *Server) registerEvents(api huma.API) {
	const path = "/v1/workspaces/{workspace_id}/events"
	register(s, api, huma.Operation{
		OperationID: "post-events", Method: http.MethodPost, Path: path,
		Summary: "Send up to 1,000 events that use credits",
		Description: "CloudEvents 1.0 of type credits.consumed: a JSON array (application/cloudevents-batch+json or application/json), " +
			"one event (application/cloudevents+json), or one in binary mode (ce-* headers, the body is its data). " +
			"Each event is judged by itself and stands for itself; sending one again with the same id is safe. Scope events:write.",
		Metadata:    needsToStart(ScopeEvents),
		Middlewares: huma.Middlewares{s.admitWrite},
	}, s.events)
	event := &huma.Schema{Type: huma.TypeObject, Description: "A CloudEvent of type credits.consumed", AdditionalProperties: true}
	batch := &huma.Schema{Type: huma.TypeArray, Items: event}
	api.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		mediaBatch: {Schema: batch},
		mediaEvent: {Schema: event},
		mediaJSON:  {Schema: &huma.Schema{OneOf: []*huma.Schema{batch, event}}},
	}}
}

// events judges each event as the consumer will, produces the good ones as
// they were sent, byte for byte, and says what became of each.
func (s *Server) events(ctx context.Context, in *EventsInput) (*EventsOutput, error) {
	records, err := in.records(s.cfg.Timeouts.Body)
	if err != nil {
		return nil, err
	}
	// The timestamp of every record, by which the consumer judges lateness.
	now := s.now()
	results := make([]EventResult, len(records))
	good := make([]schemas.Record, 0, len(records))
	at := make([]int, 0, len(records)) // where in results each of good is
	decoder, done := s.decoder()
	defer done()
	var ev schemas.Event
	for i := range records {
		records[i].Timestamp = now
		results[i] = EventResult{Index: i, Status: EventAccepted}
		rejection := s.judge(decoder, in.WorkspaceID, &records[i], &ev)
		if rejection != nil {
			results[i].EventID = readableID(&records[i])
			results[i].Status, results[i].Code, results[i].Message = EventRejected, string(rejection.Code), rejection.Message
			continue
		}
		id := string(ev.ID)
		results[i].EventID = &id
		good, at = append(good, records[i]), append(at, i)
	}
	s.metrics.written(schemas.ConsumptionTopic, "rejected", len(records)-len(good))
	if len(good) == 0 {
		return &EventsOutput{EventsResult{results}}, nil
	}
	errs := s.produce(ctx, schemas.ConsumptionTopic, in.WorkspaceID, now, good)
	if failures(errs) == len(records) {
		// Already in the log, with what Kafka said.
		return nil, writesUnavailable(nil, "Kafka acknowledged none of the events; send them again as they are")
	}
	for i, err := range errs {
		if err != nil {
			r := &results[at[i]]
			r.Status, r.Code, r.Message = EventFailed, string(CodeWritesUnavailable), "Kafka did not acknowledge it; send it again as it is, with the same id"
		}
	}
	return &EventsOutput{EventsResult{results}}, nil
}

// judge applies the rules of the consumer and that of the path.
func (s *Server) judge(d *schemas.Decoder, workspaceID string, rec *schemas.Record, ev *schemas.Event) *schemas.Rejection {
	if rejection := d.Decode(schemas.ConsumptionTopic, rec, ev); rejection != nil {
		return rejection
	}
	if string(ev.WorkspaceID) != workspaceID {
		return &schemas.Rejection{
			Code:    schemas.InvalidField,
			Message: fmt.Sprintf("data.workspace_id: %q is not the workspace of the path, %q", ev.WorkspaceID, workspaceID),
		}
	}
	return s.cfg.Limits.Late(rec, ev)
}

// records takes the body apart into events, without judging them.
func (in *EventsInput) records(within time.Duration) ([]schemas.Record, error) {
	media := in.media()
	if media != mediaEvent && media != mediaBatch && media != mediaJSON {
		return nil, in.unsupported(mediaBatch, mediaJSON, mediaEvent)
	}
	body, err := in.read(within)
	if err != nil {
		return nil, err
	}
	if media == mediaJSON && in.header.Get("Ce-Specversion") != "" {
		headers, err := binaryHeaders(in.header)
		if err != nil {
			return nil, err
		}
		return []schemas.Record{{Value: body, Headers: headers}}, nil
	}
	start := bytes.TrimLeft(body, " \t\r\n")
	isArray := len(start) > 0 && start[0] == '['
	switch {
	case media == mediaEvent, media == mediaJSON && !isArray:
		return []schemas.Record{{Value: body}}, nil
	case !isArray:
		return nil, problem(CodeInvalidParameter, "the body is no JSON array of events").about("body", nil)
	}
	return elements(body)
}

// elements cuts a JSON array into the bytes of its elements. What is wrong
// within one, such as a repeated key or invalid UTF-8, is that one's matter;
// where the array itself cannot be read nothing is.
func elements(body []byte) ([]schemas.Record, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var records []schemas.Record
	notJSON := func(err error) error {
		at := d.InputOffset()
		var syntactic *jsontext.SyntacticError
		if errors.As(err, &syntactic) {
			at = syntactic.ByteOffset
		}
		return problem(CodeBadRequest, "the body is no JSON from byte %d on, in event %d", at, len(records))
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		if len(records) == maxEvents {
			return nil, problem(CodeInvalidParameter, "more than %d events; send them in several requests", maxEvents).about("body", nil)
		}
		end := int(d.InputOffset())
		records = append(records, schemas.Record{Value: body[end-len(value) : end : end]})
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, problem(CodeBadRequest, "the body goes on behind the array, at byte %d", d.InputOffset())
	}
	return records, nil
}

// binaryHeaders makes record headers of ce-* HTTP headers, whose values are
// percent-encoded (CloudEvents HTTP binding, 3.1.3.2).
func binaryHeaders(header http.Header) ([]schemas.Header, error) {
	headers := []schemas.Header{{Key: "content-type", Value: []byte(mediaJSON)}}
	names := make([]string, 0, len(header))
	for name := range header {
		if strings.HasPrefix(name, "Ce-") {
			names = append(names, name)
		}
	}
	slices.Sort(names) // so that the same request makes the same record
	for _, name := range names {
		for _, text := range header[name] {
			value, err := url.PathUnescape(text)
			if err != nil {
				return nil, problem(CodeInvalidParameter, "not percent-encoded as CloudEvents have it: %% is %%25").about("header."+strings.ToLower(name), text)
			}
			headers = append(headers, schemas.Header{Key: "ce_" + strings.ToLower(name[len("Ce-"):]), Value: []byte(value)})
		}
	}
	return headers, nil
}

// readableID finds the id of an event that was rejected, for the caller to
// know it by; nil if there is none.
func readableID(rec *schemas.Record) *string {
	for _, h := range rec.Headers {
		if h.Key == "ce_id" {
			return presentable(string(h.Value))
		}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(rec.Value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '{' {
		return nil
	}
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil
		}
		isID := name.String() == "id"
		if isID && d.PeekKind() == '"' {
			id, err := d.ReadToken()
			if err != nil {
				return nil
			}
			return presentable(id.String())
		}
		if err := d.SkipValue(); err != nil || isID {
			return nil
		}
	}
	return nil
}

// presentable returns the id unless it is longer than an id can be.
func presentable(id string) *string {
	const maxIDBytes = 128
	if id = strings.ToValidUTF8(id, "\ufffd"); id == "" || len(id) > maxIDBytes {
		return nil
	}
	return &id
}
