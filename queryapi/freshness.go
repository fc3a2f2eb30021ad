package queryapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Freshness says how far the figures of an answer go.
type Freshness struct {
	At         Instant  `json:"at" doc:"When the answer was made"`
	Watermark  *Instant `json:"watermark" doc:"Every record that reached Kafka before it is in the figures; null: not known yet"`
	LagSeconds *float64 `json:"lag_seconds" doc:"at - watermark"`
}

// Figures is part of every body with figures.
type Figures struct {
	Freshness *Freshness `json:"freshness"`
	Revision  uint64     `json:"revision" doc:"Rises with every record that is done for the workspace's partition, and with every repair"`

	encoded *encodedBody // the body that this is part of; nil: not encoded yet
}

func (f *Figures) figures() *Figures { return f }

// freshness is what is known of a workspace's partition.
type freshness struct {
	at schemas.Millis
	rollup.Progress
}

func (f freshness) figures() Figures {
	body := Freshness{At: instant(f.at), Watermark: instantOrNull(f.Watermark)}
	if f.Watermark != schemas.NoInstant {
		lag := float64(f.at-f.Watermark) / 1000
		body.LagSeconds = &lag
	}
	return Figures{Freshness: &body, Revision: f.Revision}
}

// freshness tells the watermark and revision of a workspace, read at most
// ProgressAge ago. Call it before reading figures (invariant 4).
func (s *Server) freshness(ctx context.Context, workspaceID string) (freshness, error) {
	return s.freshnessOf(ctx, schemas.Partition([]byte(workspaceID), s.cfg.Partitions))
}

// freshnessOf is freshness of a partition's workspaces.
func (s *Server) freshnessOf(ctx context.Context, partition int) (freshness, error) {
	known, err := s.progress.get(ctx, s.cfg.Now, s.cfg.ProgressAge, s.readProgress)
	if err != nil {
		return freshness{}, err
	}
	return freshness{at: s.now(), Progress: known.Of(partition, s.cfg.Topics)}, nil
}

// readProgress asks ClickHouse how far each partition is.
func (s *Server) readProgress(ctx context.Context) (rollup.Progresses, error) {
	known := make(rollup.Progresses)
	bound := rollup.ProgressParameters(s.cfg.Topics, s.cfg.Epoch)
	err := s.query(ctx, "freshness", rollup.ProgressQuery, bound, func(scan func(...any) error) error {
		return known.Scan(s.cfg.Topics, scan)
	})
	return known, err
}

func (s *Server) now() schemas.Millis { return schemas.Millis(s.cfg.Now().UnixMilli()) }

// Answer is the response of every operation with figures.
type Answer[B any] struct {
	Status       int
	ETag         string `header:"ETag" doc:"Hash of the body without freshness"`
	CacheControl string `header:"Cache-Control"`
	Body         *B
}

// Conditional is the input of every operation with figures.
type Conditional struct {
	IfNoneMatch string `header:"If-None-Match" doc:"ETag of an answer at hand: 304 if it still holds"`

	asked string // path and query, which say what is asked; empty: not noted
}

// note remembers what is asked; every Resolve of an input that has Conditional
// calls it, or the answer is not kept. It takes the query as it was sent: huma
// and net/url read odd ones differently, and what one of them drops must not
// make two questions the same.
func (in *Conditional) note(ctx huma.Context) {
	address := ctx.URL()
	in.asked = address.EscapedPath() + "?" + address.RawQuery
}

// question is one that figures of a workspace answer.
type question struct {
	workspace string
	Conditional
	fine bool // looks at instants within a minute
}

// key names the answer, which holds for as long as the key stays the same; ""
// is never kept.
func (q *question) key(fresh freshness) string {
	if q.asked == "" {
		return ""
	}
	// A clock on the minute is told apart: its minute is only beginning.
	at, watermark := (fresh.at+minuteMillis-1)/minuteMillis, fresh.Watermark
	begins := fresh.at%minuteMillis == 0
	if !q.fine && watermark != schemas.NoInstant {
		watermark -= watermark % minuteMillis
	}
	return fmt.Sprint(q.asked, " ", fresh.Revision, " ", int64(at), begins, int64(watermark))
}

// figureBody is a pointer to a body with figures.
type figureBody[B any] interface {
	*B
	figures() *Figures
}

// answered answers a question: with the answer at hand if nothing has changed
// that it is made of, else with what compute makes. compute must not look at
// fresh.at or the watermark closer than the minute unless the question is
// fine; it leaves Figures to answered. 304 without a body if the caller has the
// answer. The ETag is a weak one because freshness may differ under the same
// tag.
func answered[B any, P figureBody[B]](ctx context.Context, s *Server, q question, compute func(context.Context, freshness) (P, error)) (*Answer[B], error) {
	fresh, err := s.freshness(ctx, q.workspace)
	if err != nil {
		return nil, err
	}
	made, err := s.answers.get(ctx, q.key(fresh), func(ctx context.Context) (cached, error) {
		body, err := compute(ctx, fresh)
		if err != nil {
			return cached{}, err
		}
		*body.figures() = Figures{Revision: fresh.Revision}
		return tagged[B](body)
	})
	if err != nil {
		return nil, err
	}
	out := &Answer[B]{Status: http.StatusOK, ETag: "W/" + made.tag, CacheControl: "private, no-cache"}
	for candidate := range strings.SplitSeq(q.IfNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == made.tag {
			out.Status = http.StatusNotModified
			return out, nil
		}
	}
	kept, ok := made.body.(*B)
	if !ok {
		return nil, fmt.Errorf("the answer to %s is a %T", q.asked, made.body)
	}
	body := *kept // shares what nobody changes
	figures := fresh.figures()
	figures.encoded = made.encoded
	*P(&body).figures() = figures
	out.Body = &body
	return out, nil
}

// tagged adds the ETag to a body without freshness: its hash.
func tagged[B any](body *B) (cached, error) {
	text, err := encodeJSON(body)
	if err != nil {
		return cached{}, fmt.Errorf("cannot hash the answer: %w", err)
	}
	hash := sha256.Sum256(text)
	return cached{
		body: body, encoded: encodedOf(text),
		// 16 bytes are collision-free for any number of answers ever compared.
		tag: `"` + base64.RawURLEncoding.EncodeToString(hash[:16]) + `"`,
		// The text, and the body, which takes about twice as much.
		bytes: 3 * len(text),
	}, nil
}
