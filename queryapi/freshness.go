package queryapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/drawdown/drawdown/schemas"
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
	Revision  uint64     `json:"revision" doc:"Rises with every record that is done for the workspace's partition"`
}

func (f *Figures) figures() *Figures { return f }

// freshness is what is known of a workspace's partition.
type freshness struct {
	at        schemas.Millis
	watermark schemas.Millis // NoInstant: not known
	revision  uint64
}

func (f freshness) figures() Figures {
	body := Freshness{At: instant(f.at), Watermark: instantOrNull(f.watermark)}
	if f.watermark != schemas.NoInstant {
		lag := float64(f.at-f.watermark) / 1000
		body.LagSeconds = &lag
	}
	return Figures{Freshness: &body, Revision: f.revision}
}

// progressQuery reads how far one topic's partition is: what the consumers
// say, and where the ledger of batches ends, which is read backwards. Either
// may be ahead of the other.
const progressQuery = `
SELECT topic, max(next_offset) AS next_offset, max(watermark) AS watermark, toUInt8(1) AS said
FROM ingest_progress
WHERE topic IN ({consumption:String}, {ledger:String}, {campaigns:String}) AND epoch = {epoch:UInt32} AND kpart = {partition:UInt16}
GROUP BY topic
UNION ALL
SELECT topic, last + 1, toDateTime64(0, 3, 'UTC'), toUInt8(0) FROM ingest_batches
WHERE topic = {consumption:String} AND epoch = {epoch:UInt32} AND kpart = {partition:UInt16} ORDER BY topic DESC, epoch DESC, kpart DESC, first DESC LIMIT 1
UNION ALL
SELECT topic, last + 1, toDateTime64(0, 3, 'UTC'), toUInt8(0) FROM ingest_batches
WHERE topic = {ledger:String} AND epoch = {epoch:UInt32} AND kpart = {partition:UInt16} ORDER BY topic DESC, epoch DESC, kpart DESC, first DESC LIMIT 1
UNION ALL
SELECT topic, last + 1, toDateTime64(0, 3, 'UTC'), toUInt8(0) FROM ingest_batches
WHERE topic = {campaigns:String} AND epoch = {epoch:UInt32} AND kpart = {partition:UInt16} ORDER BY topic DESC, epoch DESC, kpart DESC, first DESC LIMIT 1`

// freshness reads the watermark and revision of a workspace. Call it before
// reading figures (invariant 4).
func (s *Server) freshness(ctx context.Context, workspaceID string) (freshness, error) {
	bound := parameters{}
	bound.string("consumption", s.cfg.Topics.Consumption)
	bound.string("ledger", s.cfg.Topics.Ledger)
	bound.string("campaigns", s.cfg.Topics.Campaigns)
	bound.integer("epoch", int64(s.cfg.Epoch))
	bound.integer("partition", int64(schemas.Partition([]byte(workspaceID), s.cfg.Partitions)))

	nextOffsets := map[string]uint64{}
	watermarks := map[string]schemas.Millis{}
	err := s.query(ctx, "freshness", progressQuery, bound, func(scan func(...any) error) error {
		var (
			topic      string
			nextOffset uint64
			watermark  time.Time
			said       uint8
		)
		if err := scan(&topic, &nextOffset, &watermark, &said); err != nil {
			return err
		}
		nextOffsets[topic] = max(nextOffsets[topic], nextOffset)
		if said == 1 {
			watermarks[topic] = schemas.Millis(watermark.UnixMilli())
		}
		return nil
	})
	if err != nil {
		return freshness{}, err
	}
	f := freshness{at: s.now(), watermark: schemas.NoInstant}
	for _, nextOffset := range nextOffsets {
		f.revision += nextOffset
	}
	if len(watermarks) == len(s.cfg.Topics.Inputs()) {
		f.watermark = timeEnd
		for _, watermark := range watermarks {
			f.watermark = min(f.watermark, watermark)
		}
	}
	return f, nil
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
}

// answer adds the ETag, the hash of the body without freshness, or answers 304
// without a body if the caller has it. It is a weak one because freshness may
// differ under the same tag.
func answer[B any, P interface {
	*B
	figures() *Figures
}](in Conditional, body P) (*Answer[B], error) {
	figures := body.figures()
	fresh := figures.Freshness
	figures.Freshness = nil
	var text bytes.Buffer
	err := json.NewEncoder(&text).Encode(body)
	figures.Freshness = fresh
	if err != nil {
		return nil, fmt.Errorf("cannot hash the answer: %w", err)
	}
	hash := sha256.Sum256(text.Bytes())
	// 16 bytes are collision-free for any number of answers ever compared.
	tag := `"` + base64.RawURLEncoding.EncodeToString(hash[:16]) + `"`
	out := &Answer[B]{Status: http.StatusOK, ETag: "W/" + tag, CacheControl: "private, no-cache", Body: body}
	for candidate := range strings.SplitSeq(in.IfNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			out.Status, out.Body = http.StatusNotModified, nil
			break
		}
	}
	return out, nil
}
