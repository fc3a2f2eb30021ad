package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas/rollup"
)

// write brings a batch whose intent stands into ClickHouse, in the order of
// invariant 9: reroutes, rows, rejections, ledger row. An INSERT that did not
// succeed at once is verified after it did (invariant 3).
func (p *partition) write(ctx context.Context, b *batch) error {
	if err := p.produceReroutes(ctx, b); err != nil {
		return err
	}
	doubtful := false
	for _, t := range b.tables {
		if t.len() == 0 {
			continue
		}
		atOnce, err := p.insert(ctx, t.table, p.token(b.span, t.table), t.input())
		if err != nil {
			return err
		}
		doubtful = doubtful || !atOnce
	}
	exchanged, err := p.exchanged(ctx)
	switch {
	case err != nil:
	case doubtful:
		err = p.verify(ctx, b)
	case exchanged < len(rollup.Levels):
		err = p.mendAnew(ctx, b, exchanged)
	}
	if err != nil {
		return err
	}
	return p.writeRest(ctx, b)
}

// writeRest writes what follows the rows: rejections, then the ledger row.
// After an INSERT that did not succeed at once they are verified like rows.
func (p *partition) writeRest(ctx context.Context, b *batch) error {
	if b.rejected.len() > 0 {
		atOnce, err := p.insert(ctx, "rejections", p.token(b.span, "rejections"), b.rejected.input())
		if err != nil {
			return err
		}
		if !atOnce {
			if err := p.verifyRejections(ctx, b); err != nil {
				return err
			}
		}
	}
	atOnce, err := p.insert(ctx, "ingest_batches", p.token(b.span, "ingest_batches"), p.ledgerInput(b))
	if err != nil || atOnce {
		return err
	}
	return p.verifyLedger(ctx, b)
}

// insert sends one block until it is in, and reports whether the first try
// succeeded. It stops with errOver when the generation is over, leaving an
// INSERT under way to end by itself (invariant 7), and parks when the server
// refuses the same block for the same lasting reason again and again.
func (p *partition) insert(ctx context.Context, table, token string, in proto.Input) (atOnce bool, err error) {
	retry := backoff{most: p.c.retryMost}
	refused, code := 0, 0
	for attempt := 1; ; attempt++ {
		if !p.gen.leased() {
			return false, errOver
		}
		started, sent := time.Now(), p.c.now()
		err := p.insertOnce(ctx, table, token, in)
		if err == nil {
			p.c.metrics.insertSeconds.WithLabelValues(table).Observe(time.Since(started).Seconds())
			p.c.storeErrors.clearSince("ClickHouse takes inserts again", sent)
			return attempt == 1, nil
		}
		if errors.Is(err, errOver) || ctx.Err() != nil {
			return false, errOver
		}
		if p.isGone(table, err) {
			return false, errAnewOver
		}
		p.c.metrics.insertErrors.WithLabelValues(table).Inc()
		p.c.storeErrors.note("cannot insert, trying again", err)
		if lasting := lastingCode(err); lasting == 0 || lasting != code {
			refused, code = 0, lasting
		}
		if refused++; code != 0 && refused >= lastingLimit {
			return false, park("insert_refused", "ClickHouse refused offsets behind token %s %d times: %w", token, refused, err)
		}
		if retry.sleep(ctx) != nil {
			return false, errOver
		}
	}
}

// insertOnce runs one INSERT apart from the generation: at its end the result
// is waited for until the grace is over, then the INSERT is an orphan that the
// next owner of the partition in this process waits for.
func (p *partition) insertOnce(ctx context.Context, table, token string, in proto.Input) error {
	result := make(chan error, 1)
	release := p.c.orphans.hold(p.topic, p.id)
	go func() {
		defer release()
		result <- p.c.store.insertWhile(ctx, p.gen.leased, table, p.queryID(), token, in)
	}()
	select {
	case err := <-result:
		return err
	case <-p.gen.graceOver:
		return errOver
	}
}

// queryID begins the id of every INSERT of this partition.
func (p *partition) queryID() string {
	return fmt.Sprintf("drawdown/%s/%d/%d", p.topic, p.c.Epoch, p.id)
}

// produceReroutes sends records on to the partitions they belong in and waits
// for the acknowledgements. On a replay they are sent again: they have ids, so
// the right partition counts them once.
func (p *partition) produceReroutes(ctx context.Context, b *batch) error {
	byPartition := make(map[int][]reroute)
	for _, r := range b.reroutes {
		byPartition[r.partition] = append(byPartition[r.partition], r)
	}
	for right, messages := range byPartition {
		// A few thousand small records or one large one to a request.
		for len(messages) > 0 {
			n, bytes := 0, 0
			for n < len(messages) && (n == 0 || bytes < 512<<10) {
				bytes += len(messages[n].value)
				n++
			}
			if err := p.produce(ctx, right, messages[:n]); err != nil {
				return err
			}
			messages = messages[n:]
		}
	}
	if n := len(b.reroutes); n > 0 {
		p.c.log.Warn("records in the wrong partition were rerouted: a producer does not partition by murmur2 of the workspace_id",
			"partition", p.String(), "records", n, "first_offset", b.first, "last_offset", b.last)
	}
	return nil
}

func (p *partition) produce(ctx context.Context, right int, messages []reroute) error {
	var retry backoff
	for {
		if !p.gen.leased() {
			return errOver
		}
		// The timestamp is new: kfake's and Kafka's retention go by it.
		now := p.c.now()
		records := make([]kafka.Record, len(messages))
		for i, m := range messages {
			records[i] = kafka.Record{Time: now, Key: kafka.NewBytes(m.key), Value: kafka.NewBytes(m.value), Headers: m.headers}
		}
		requestCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
		res, err := p.c.client.Produce(requestCtx, &kafka.ProduceRequest{
			Topic: p.topic, Partition: right, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(records...), Compression: kafka.Lz4,
		})
		cancel()
		if err == nil {
			err = res.Error
		}
		for _, recordErr := range recordErrors(res) {
			err = errors.Join(err, recordErr)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, kafka.MessageSizeTooLarge), errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.InvalidTimestamp):
			return park("reroute_refused", "Kafka refuses records rerouted to partition %d of %s: %w", right, p.topic, err)
		}
		p.c.fetchErrors.note("cannot reroute, trying again", err)
		if retry.sleep(ctx) != nil {
			return errOver
		}
	}
}

func recordErrors(res *kafka.ProduceResponse) map[int]error {
	if res == nil {
		return nil
	}
	return res.RecordErrors
}
