package consumers

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// tailBytes is how much one fetch asks for.
	tailBytes = 1 << 20
	// tailWait bounds how long a broker waits for records, which are there.
	tailWait = 500 * time.Millisecond
)

// ReadLog calls visit for every committed record in [from, to) of a partition,
// in order, for who must know what the log holds that is not counted yet. The
// record is valid during visit; its error ends the reading and is returned.
// Client.Fetch of kafka-go does not work beside this package.
func ReadLog(ctx context.Context, transport *kafka.Transport, addr net.Addr, topic string, partition int, from, to int64, visit func(*schemas.Record) error) error {
	src := source{transport: transport, addr: addr, maxBytes: tailBytes, now: time.Now}
	reader := recordReader{until: to - 1}
	for from < to {
		f, err := src.fetch(ctx, topic, partition, from, tailWait)
		if err != nil {
			return err
		}
		next, err := reader.each(f, from, func(r *record) error {
			return visit(&schemas.Record{Key: r.key, Value: r.value, Headers: r.headers, Timestamp: schemas.Millis(r.timestamp)})
		})
		stalled := next == from
		f.release()
		if err != nil {
			return fmt.Errorf("cannot read %s/%d from offset %d: %w", topic, partition, from, err)
		}
		if stalled {
			return nil // a transaction is open there, whose records nobody can read yet
		}
		from = next
	}
	return nil
}
