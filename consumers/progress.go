package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// How often progress is written: soon after a batch, so that an answer is
// known to be fresh, and each second while the watermark moves alone.
const (
	progressSoon  = 50 * time.Millisecond
	progressEvery = time.Second
	// progressWithin bounds one writing.
	progressWithin = 5 * time.Second
)

// progressLoop writes how far each partition is. A lost row is followed by a
// later one that says more, so failures are left to the next round.
func (c *Consumer) progressLoop(ctx context.Context) {
	written := make(map[partitionID]progress)
	timer := time.NewTimer(progressEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.progressed:
			timer.Reset(progressSoon)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		case <-timer.C:
		}
		if err := c.writeProgress(ctx, written); err != nil && ctx.Err() == nil {
			c.progressErrors.note("cannot write progress, trying again", err)
		}
		timer.Reset(progressEvery)
	}
}

// progressInput is one row that says no watermark.
func progressInput(topic string, epoch uint32, kpart uint16, next uint64) proto.Input {
	var name dictColumn
	name.append([]byte(topic))
	var none timeColumn
	none.Append(0)
	return proto.Input{
		{Name: "topic", Data: &name}, {Name: "epoch", Data: proto.ColUInt32{epoch}}, {Name: "kpart", Data: proto.ColUInt16{kpart}},
		{Name: "next_offset", Data: proto.ColUInt64{next}}, {Name: "watermark", Data: &none}, {Name: "at", Data: &none},
	}
}

type progress struct {
	next int64
	mark time.Time
}

// writeProgress inserts a row for every partition that has moved since the
// last one written.
func (c *Consumer) writeProgress(ctx context.Context, written map[partitionID]progress) error {
	var (
		topic           dictColumn
		epoch           proto.ColUInt32
		kpart           proto.ColUInt16
		next            proto.ColUInt64
		watermark, said timeColumn
	)
	now := c.now()
	news := make(map[partitionID]progress)
	for _, p := range c.partitions() {
		at := progress{mark: p.watermark()}
		p.mu.Lock()
		at.next = p.next
		recovered := p.recovered
		p.mu.Unlock()
		key := partitionID{p.topic, p.id}
		if !recovered || at == written[key] || at.mark.IsZero() {
			continue
		}
		news[key] = at
		topic.append([]byte(p.topic))
		epoch.Append(c.Epoch)
		kpart.Append(uint16(p.id))
		next.Append(uint64(at.next))
		watermark.Append(clampTime(at.mark.UnixMilli()))
		said.Append(now.UnixMilli())
	}
	if len(news) == 0 {
		return nil
	}
	in := proto.Input{
		{Name: "topic", Data: &topic}, {Name: "epoch", Data: &epoch}, {Name: "kpart", Data: &kpart},
		{Name: "next_offset", Data: &next}, {Name: "watermark", Data: &watermark}, {Name: "at", Data: &said},
	}
	// Apart from the INSERTs of batches: it may be cancelled, waits for no slot
	// of theirs, and a server that hangs holds up neither a stop nor a watermark.
	ctx, cancel := context.WithTimeout(ctx, progressWithin)
	defer cancel()
	if err := c.store.send(ctx, always, "ingest_progress", "drawdown/progress", fmt.Sprintf("progress/%d", now.UnixNano()), in); err != nil {
		return err
	}
	c.progressErrors.clear("progress is written again")
	for key, at := range news {
		written[key] = at
	}
	return nil
}
