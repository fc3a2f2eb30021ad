package rollup

import (
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Progress is how far a partition is, over the three input topics.
type Progress struct {
	Watermark schemas.Millis // NoInstant: not known of all topics
	Revision  uint64         // sum of the next offsets and of the repairs
	// Next offsets of the topics.
	Consumption, Ledger, States uint64

	said int // topics whose watermark is known
}

// RepairsTopic stands in ingest_progress, with the number of repairs of a
// partition as its next offset. No topic of Kafka has such a name.
const RepairsTopic = "drawdown:repairs"

// ProgressQuery reads how far every partition is: what the consumers say, and
// where the ledger of batches ends, which a view puts beside it. Either may be
// ahead of the other.
const ProgressQuery = `
SELECT topic, kpart, max(next_offset) AS next_offset, max(watermark) AS watermark
FROM ingest_progress
WHERE topic IN ({consumption:String}, {ledger:String}, {campaigns:String}, '` + RepairsTopic + `') AND epoch = {epoch:UInt32}
GROUP BY topic, kpart`

// ProgressParameters are those of ProgressQuery.
func ProgressParameters(topics schemas.Topics, epoch uint32) Parameters {
	bound := Parameters{}
	bound.String("consumption", topics.Consumption)
	bound.String("ledger", topics.Ledger)
	bound.String("campaigns", topics.Campaigns)
	bound.Integer("epoch", int64(epoch))
	return bound
}

// Progresses are those of the partitions.
type Progresses map[int]Progress

// Scan adds a row of ProgressQuery.
func (m Progresses) Scan(topics schemas.Topics, scan func(...any) error) error {
	var (
		topic      string
		partition  uint16
		nextOffset uint64
		watermark  time.Time
	)
	if err := scan(&topic, &partition, &nextOffset, &watermark); err != nil {
		return err
	}
	p, ok := m[int(partition)]
	if !ok {
		p.Watermark = End
	}
	p.Revision += nextOffset
	switch topic {
	case topics.Consumption:
		p.Consumption = nextOffset
	case topics.Ledger:
		p.Ledger = nextOffset
	case topics.Campaigns:
		p.States = nextOffset
	}
	// The ledger of batches alone says nothing of a watermark.
	if at := schemas.Millis(watermark.UnixMilli()); at > 0 {
		p.Watermark = min(p.Watermark, at)
		p.said++
	}
	m[int(partition)] = p
	return nil
}

// Of returns a partition's progress.
func (m Progresses) Of(partition int, topics schemas.Topics) Progress {
	p, ok := m[partition]
	if !ok || p.said < len(topics.Inputs()) {
		p.Watermark = schemas.NoInstant
	}
	return p
}
