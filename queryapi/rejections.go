package queryapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// Rejections are records of a workspace that were not counted.
type Rejections struct {
	Items      []Rejection `json:"items" nullable:"false" doc:"The newest first; kept for 90 days"`
	NextCursor *string     `json:"next_cursor" doc:"null: this is the last page"`
	Figures
}

// Rejection is one of them and why.
type Rejection struct {
	Topic      string            `json:"topic"`
	Partition  uint16            `json:"partition"`
	Offset     uint64            `json:"offset"`
	Epoch      uint32            `json:"epoch" doc:"Generation of the topic"`
	KafkaTime  Instant           `json:"kafka_time" doc:"Timestamp of the record"`
	Code       string            `json:"code" enum:"too_large,malformed,unknown_type,wrong_topic,missing_field,invalid_field,misrouted,too_late,in_future,conflict"`
	Message    string            `json:"message" doc:"What, where, what to do"`
	Key        string            `json:"key" doc:"Key of the record; bytes that are no text are replaced by U+FFFD, here and in value and headers"`
	Value      string            `json:"value" doc:"The first 2,000 bytes of the value"`
	ValueBytes uint64            `json:"value_bytes" doc:"Size of the whole value"`
	Headers    []RejectionHeader `json:"headers" nullable:"false" doc:"The first 32, each cut off after 1,000 bytes"`
}

// RejectionHeader is a header of a record; a key may come more than once.
type RejectionHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// RejectionsInput are the parameters.
type RejectionsInput struct {
	WorkspaceID string `path:"workspace_id"`
	Code        string `query:"code" enum:"too_large,malformed,unknown_type,wrong_topic,missing_field,invalid_field,misrouted,too_late,in_future,conflict" doc:"Only with this code"`
	From        string `query:"from" doc:"Only records with a timestamp from here on, RFC 3339" example:"2026-11-01T00:00:00Z"`
	To          string `query:"to" doc:"Only records with a timestamp before, RFC 3339" example:"2026-12-01T00:00:00Z"`
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor      string `query:"cursor" doc:"next_cursor of the page before, with the same other parameters"`
	Conditional

	times  Range
	cursor *rejectionPlace
}

// rejectionPlace is where a record stands, and how its listing is told apart.
type rejectionPlace struct {
	At        int64  `json:"a"` // kafka_time in milliseconds
	Topic     string `json:"t"`
	Epoch     uint32 `json:"e"`
	Partition uint16 `json:"p"`
	Offset    uint64 `json:"o"`
	Digest    string `json:"d"`
}

func (in *RejectionsInput) listing() []string {
	return []string{"rejections", in.WorkspaceID, in.Code, in.From, in.To}
}

// Resolve names every wrong parameter.
func (in *RejectionsInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	in.times = Range{From: in.From, To: in.To}
	errs := slices.Concat(strict(ctx), in.times.resolve())
	if in.Cursor != "" {
		var c rejectionPlace
		if err := decodeCursor(in.Cursor, &c); err != nil || c.Digest != digest(in.listing()) {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%s", errCursor.Error()))
		} else {
			in.cursor = &c
		}
	}
	return errs
}

func (s *Server) registerRejections(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "list-rejections", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/rejections",
		Metadata: needs(ScopeRead),
		Summary:  "What was not counted and why",
	}, s.rejections)
}

// rejectionsQuery reads by place, the newest first. Values are cut off where
// they are stored, so that a page of the largest is 2 MB.
const rejectionsQuery = `
SELECT topic, epoch, kpart, koff, toUnixTimestamp64Milli(kafka_time) AS at, code, message, key,
    substring(value, 1, 2000) AS excerpt, value_bytes,
    arrayMap(h -> substring(h.1, 1, 1000), arraySlice(headers, 1, 32)) AS names,
    arrayMap(h -> substring(h.2, 1, 1000), arraySlice(headers, 1, 32)) AS texts
FROM rejections
WHERE workspace_id = {workspace:String}`

func (s *Server) rejections(ctx context.Context, in *RejectionsInput) (*Answer[Rejections], error) {
	q := question{workspace: in.WorkspaceID, Conditional: in.Conditional}
	return answered(ctx, s, q, func(ctx context.Context, _ freshness) (*Rejections, error) { return s.rejectionsPage(ctx, in) })
}

func (s *Server) rejectionsPage(ctx context.Context, in *RejectionsInput) (*Rejections, error) {
	statement, bound := rejectionsQuery, parameters{}
	bound.String("workspace", in.WorkspaceID)
	if in.Code != "" {
		statement += " AND code = {code:String}"
		bound.String("code", in.Code)
	}
	if in.times.from != schemas.NoInstant {
		statement += " AND kafka_time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"
		bound.Integer("from", int64(in.times.from))
	}
	if in.times.to != schemas.NoInstant {
		statement += " AND kafka_time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')"
		bound.Integer("to", int64(in.times.to))
	}
	if c := in.cursor; c != nil {
		statement += " AND (toUnixTimestamp64Milli(kafka_time), topic, epoch, kpart, koff) < ({at:Int64}, {topic:String}, {epoch:UInt32}, {partition:UInt16}, {offset:UInt64})"
		bound.Integer("at", c.At)
		bound.String("topic", c.Topic)
		bound.Integer("epoch", int64(c.Epoch))
		bound.Integer("partition", int64(c.Partition))
		bound.Integer("offset", int64(c.Offset))
	}
	bound.Integer("limit", int64(in.Limit)+1)
	statement += "\nORDER BY kafka_time DESC, topic DESC, epoch DESC, kpart DESC, koff DESC LIMIT {limit:UInt32}"

	body := &Rejections{Items: []Rejection{}}
	var places []rejectionPlace
	err := s.query(ctx, "rejections", statement, bound, func(scan func(...any) error) error {
		var (
			item         Rejection
			at           int64
			names, texts []string
		)
		if err := scan(&item.Topic, &item.Epoch, &item.Partition, &item.Offset, &at, &item.Code, &item.Message, &item.Key,
			&item.Value, &item.ValueBytes, &names, &texts); err != nil {
			return err
		}
		places = append(places, rejectionPlace{At: at, Topic: item.Topic, Epoch: item.Epoch, Partition: item.Partition, Offset: item.Offset})
		item.KafkaTime = instant(schemas.Millis(at))
		item.Key, item.Value, item.Message = asText(item.Key), asText(item.Value), asText(item.Message)
		item.Headers = make([]RejectionHeader, min(len(names), len(texts)))
		for i := range item.Headers {
			item.Headers[i] = RejectionHeader{Key: asText(names[i]), Value: asText(texts[i])}
		}
		body.Items = append(body.Items, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(body.Items) > in.Limit {
		body.Items = body.Items[:in.Limit]
		last := places[in.Limit-1]
		last.Digest = digest(in.listing())
		body.NextCursor = stringOrNull(encodeCursor(last))
	}
	return body, nil
}

// asText makes JSON text of a producer's bytes.
func asText(bytes string) string { return strings.ToValidUTF8(bytes, "\uFFFD") }
