package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// produceTimeout bounds a produce, which may have arrived all the same.
const produceTimeout = 10 * time.Second

// produce appends a message to the topic, in the partition of its workspace.
func (n *Notifier) produce(ctx context.Context, d delivery) result {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	values, err := n.topicEvents(d.msg)
	if err != nil {
		return result{err: err}
	}
	records := make([]kafka.Record, len(values))
	for i, value := range values {
		records[i] = kafka.Record{
			Time: n.cfg.Now(), Key: kafka.NewBytes([]byte(d.workspaceID)), Value: kafka.NewBytes(value),
			Headers: []kafka.Header{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}},
		}
	}
	answer, err := n.cfg.Kafka.Produce(ctx, &kafka.ProduceRequest{
		Topic: d.url, Partition: schemas.Partition([]byte(d.workspaceID), n.cfg.Partitions),
		RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return result{err: fmt.Errorf("kafka does not take it: %w", err)}
	}
	return result{ok: true}
}
