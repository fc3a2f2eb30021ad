package queryapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/danielgtaylor/huma/v2"
)

// Code is the stable name of a problem; clients may branch on it.
type Code string

// The codes of every error body this package writes.
const (
	CodeBadRequest            Code = "bad_request"
	CodeUnauthorized          Code = "unauthorized"
	CodeForbidden             Code = "forbidden"
	CodeNotFound              Code = "not_found"
	CodeWorkspaceNotFound     Code = "workspace_not_found"
	CodeCampaignNotFound      Code = "campaign_not_found"
	CodeKeyNotFound           Code = "key_not_found"
	CodeAlertRuleNotFound     Code = "alert_rule_not_found"
	CodeAlertRuleExists       Code = "alert_rule_exists"
	CodeAlertRuleConflict     Code = "alert_rule_conflict"
	CodeTooManyAlertRules     Code = "too_many_alert_rules"
	CodeIncidentNotFound      Code = "alert_incident_not_found"
	CodeNoWebhooks            Code = "no_webhooks"
	CodeWebhooksUnavailable   Code = "webhooks_unavailable"
	CodeIssuerUnavailable     Code = "issuer_unavailable"
	CodeCrossOrigin           Code = "cross_origin"
	CodeMethodNotAllowed      Code = "method_not_allowed"
	CodeNotAcceptable         Code = "not_acceptable"
	CodeBodyTooLarge          Code = "body_too_large"
	CodeRequestTimeout        Code = "request_timeout"
	CodeUnsupportedMediaType  Code = "unsupported_media_type"
	CodeInvalidParameter      Code = "invalid_parameter"
	CodeTooManyPoints         Code = "too_many_points"
	CodeResolutionUnavailable Code = "resolution_unavailable"
	CodeUseProjection         Code = "use_projection"
	CodeRangeTooLarge         Code = "range_too_large"
	CodeIdempotencyConflict   Code = "idempotency_conflict"
	CodeGrantConflict         Code = "grant_conflict"
	CodeRateLimited           Code = "rate_limited"
	CodeTooManyStreams        Code = "too_many_streams"
	CodeExportUnavailable     Code = "export_unavailable"
	CodeInternal              Code = "internal"
	CodeStoreUnavailable      Code = "store_unavailable"
	CodeQueryTimeout          Code = "query_timeout"
	CodeWritesUnavailable     Code = "writes_unavailable"
	CodeClientClosed          Code = "client_closed_request"
)

// statusClientClosed is nginx's 499. Nobody receives it; it keeps callers that
// go away out of the 5xx that operators watch.
const statusClientClosed = 499

// problems is the one table from code to status and title.
var problems = map[Code]struct {
	status int
	title  string
}{
	CodeBadRequest:            {http.StatusBadRequest, "The request cannot be understood"},
	CodeUnauthorized:          {http.StatusUnauthorized, "A valid bearer token is required"},
	CodeForbidden:             {http.StatusForbidden, "The token does not carry the scope this needs"},
	CodeNotFound:              {http.StatusNotFound, "There is nothing at this path"},
	CodeWorkspaceNotFound:     {http.StatusNotFound, "No such workspace"},
	CodeCampaignNotFound:      {http.StatusNotFound, "No such campaign"},
	CodeKeyNotFound:           {http.StatusNotFound, "No such API key"},
	CodeAlertRuleNotFound:     {http.StatusNotFound, "No such alert rule"},
	CodeAlertRuleExists:       {http.StatusConflict, "There is an alert rule of this id"},
	CodeAlertRuleConflict:     {http.StatusConflict, "The alert rule was written meanwhile"},
	CodeTooManyAlertRules:     {http.StatusUnprocessableEntity, "The workspace has too many alert rules"},
	CodeIncidentNotFound:      {http.StatusNotFound, "No such alert incident"},
	CodeNoWebhooks:            {http.StatusConflict, "The alert rule has no webhooks"},
	CodeWebhooksUnavailable:   {http.StatusServiceUnavailable, "This server cannot sign for webhooks"},
	CodeIssuerUnavailable:     {http.StatusServiceUnavailable, "The issuer of tokens does not answer"},
	CodeCrossOrigin:           {http.StatusForbidden, "The request does not come from this site"},
	CodeMethodNotAllowed:      {http.StatusMethodNotAllowed, "This path does not take that method"},
	CodeNotAcceptable:         {http.StatusNotAcceptable, "None of the accepted formats is available"},
	CodeBodyTooLarge:          {http.StatusRequestEntityTooLarge, "The request body is too large"},
	CodeRequestTimeout:        {http.StatusRequestTimeout, "The request did not arrive in time"},
	CodeUnsupportedMediaType:  {http.StatusUnsupportedMediaType, "The media type of the body is not supported"},
	CodeInvalidParameter:      {http.StatusUnprocessableEntity, "Parameters are wrong"},
	CodeTooManyPoints:         {http.StatusUnprocessableEntity, "The range has too many buckets"},
	CodeResolutionUnavailable: {http.StatusUnprocessableEntity, "So far back only whole minutes are kept"},
	CodeUseProjection:         {http.StatusUnprocessableEntity, "The future is a projection, not a balance"},
	CodeRangeTooLarge:         {http.StatusUnprocessableEntity, "The request reads too much"},
	CodeIdempotencyConflict:   {http.StatusConflict, "The Idempotency-Key was used for something else"},
	CodeGrantConflict:         {http.StatusConflict, "The grant exists with other terms"},
	CodeRateLimited:           {http.StatusTooManyRequests, "Too many requests"},
	CodeTooManyStreams:        {http.StatusServiceUnavailable, "Too many streams are open"},
	CodeExportUnavailable:     {http.StatusServiceUnavailable, "This server makes no exports"},
	CodeInternal:              {http.StatusInternalServerError, "Something went wrong here"},
	CodeStoreUnavailable:      {http.StatusServiceUnavailable, "The store does not answer"},
	CodeQueryTimeout:          {http.StatusServiceUnavailable, "The store took too long"},
	CodeWritesUnavailable:     {http.StatusServiceUnavailable, "Nothing can be written now"},
	CodeClientClosed:          {statusClientClosed, "The caller went away"},
}

// statusCodes is the code of errors that reach us as a bare status, from huma
// or the router.
var statusCodes = map[int]Code{
	http.StatusBadRequest:            CodeBadRequest,
	http.StatusUnauthorized:          CodeUnauthorized,
	http.StatusForbidden:             CodeForbidden,
	http.StatusNotFound:              CodeNotFound,
	http.StatusMethodNotAllowed:      CodeMethodNotAllowed,
	http.StatusNotAcceptable:         CodeNotAcceptable,
	http.StatusRequestEntityTooLarge: CodeBodyTooLarge,
	http.StatusRequestTimeout:        CodeRequestTimeout,
	http.StatusUnsupportedMediaType:  CodeUnsupportedMediaType,
	http.StatusUnprocessableEntity:   CodeInvalidParameter,
	http.StatusTooManyRequests:       CodeRateLimited,
	http.StatusServiceUnavailable:    CodeStoreUnavailable,
}

// ProblemDetail names one wrong parameter.
type ProblemDetail struct {
	Location string `json:"location" doc:"Where it is, such as query.from"`
	Message  string `json:"message" doc:"What is wrong and what would be right"`
	Value    any    `json:"value,omitempty" doc:"What was sent"`
}

// Problem is the body of every error: RFC 9457 application/problem+json with a
// stable code. It is an error, so that handlers return it.
type Problem struct {
	Type      string          `json:"type" doc:"URI of the kind of problem"`
	Title     string          `json:"title" doc:"What the code means"`
	Status    int             `json:"status" doc:"HTTP status"`
	Code      Code            `json:"code" doc:"Stable name of the problem; branch on this"`
	Detail    string          `json:"detail,omitempty" doc:"What happened this time"`
	RequestID string          `json:"request_id,omitempty" doc:"Names the request in the server's log"`
	Errors    []ProblemDetail `json:"errors,omitempty" nullable:"false" doc:"Every wrong parameter"`

	retryAfter time.Duration // whole seconds; 0: not said
}

// problem makes a Problem of code.
func problem(code Code, format string, args ...any) *Problem {
	row := problems[code]
	return &Problem{
		Type:   "urn:drawdown:problem:" + string(code),
		Title:  row.title,
		Status: row.status,
		Code:   code,
		Detail: fmt.Sprintf(format, args...),
	}
}

// about adds the parameter the problem is about.
func (p *Problem) about(location string, value any) *Problem {
	p.Errors = append(p.Errors, ProblemDetail{Location: location, Message: p.Detail, Value: value})
	return p
}

func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus makes Problem a huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders makes Problem a huma.HeadersError: what is unavailable is worth
// another try after a second.
func (p *Problem) GetHeaders() http.Header {
	wait := p.retryAfter
	if wait == 0 && p.Status == http.StatusServiceUnavailable {
		wait = time.Second
	}
	if wait == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(int(wait.Seconds()))}}
}

// ContentType makes Problem a huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemTransformer turns huma's own error bodies into Problems and puts the
// request id into each; it is how this API, and no other one in the process,
// gets its error shape.
func problemTransformer(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*Problem)
	if model, isModel := v.(*huma.ErrorModel); isModel {
		p, ok = fromStatus(model.Status, model.Detail), true
		for _, e := range model.Errors {
			if e != nil && model.Status < http.StatusInternalServerError {
				p.Errors = append(p.Errors, ProblemDetail{Location: e.Location, Message: e.Message, Value: e.Value})
			}
		}
	}
	if !ok {
		return v, nil
	}
	// A copy: several requests may have the same error (answerCache).
	own := *p
	own.RequestID = requestIDFrom(ctx.Context())
	own.Errors = slices.Clone(p.Errors)
	for i, e := range own.Errors {
		// "NaN" and "Inf" are numbers to whoever parses parameters, and not to JSON.
		if n, ok := e.Value.(float64); ok && (math.IsNaN(n) || math.IsInf(n, 0)) {
			own.Errors[i].Value = fmt.Sprint(n)
		}
	}
	return &own, nil
}

// fromStatus makes a Problem of a bare status.
func fromStatus(status int, detail string) *Problem {
	code, ok := statusCodes[status]
	if !ok {
		code = CodeInternal
	}
	if problems[code].status >= http.StatusInternalServerError {
		detail = "details are in the server's log"
	}
	return problem(code, "%s", detail)
}

// writeProblem writes p where no huma operation is involved.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.RequestID = requestIDFrom(r.Context())
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.WriteHeader(p.Status)
	// A client that went away is not an error of ours.
	_ = json.NewEncoder(w).Encode(p)
}

// Error codes of ClickHouse that have a meaning for the caller;
// src/Common/ErrorCodes.cpp.
const (
	chTooManyRows         = 158
	chTimeoutExceeded     = 159
	chTooSlow             = 160
	chTooManyQueries      = 202
	chMemoryLimitExceeded = 241
	chTooManyBytes        = 307
	chQueryWasCancelled   = 394
)

// asProblem maps any error of a handler to a Problem. 5xx come without detail.
func asProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		switch exception.Code {
		case chTooManyRows, chTooManyBytes:
			return problem(CodeRangeTooLarge, "ask for a shorter range, a coarser bucket or a filter")
		case chTimeoutExceeded, chTooSlow, chQueryWasCancelled:
			return problem(CodeQueryTimeout, "try again, or ask for a shorter range")
		case chTooManyQueries, chMemoryLimitExceeded:
			return problem(CodeStoreUnavailable, "the store is overloaded; try again")
		}
		return problem(CodeInternal, "details are in the server's log")
	}
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return problem(CodeClientClosed, "the request was cancelled")
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return problem(CodeQueryTimeout, "try again, or ask for a shorter range")
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, clickhouse.ErrAcquireConnTimeout), errors.Is(err, clickhouse.ErrConnectionClosed):
		return problem(CodeStoreUnavailable, "try again")
	}
	return problem(CodeInternal, "details are in the server's log")
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
