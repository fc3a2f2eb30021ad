package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/drawdown/drawdown/schemas"
)

// sender delivers encoded batches to a broker. It is safe for concurrent use.
type sender struct {
	client    *kafka.Client
	transport *kafka.Transport
	log       *slog.Logger
	away      *atomic.Bool // the last attempt failed
}

func newSender(brokers []string, topics schemas.Topics, log *slog.Logger) sender {
	transport := &kafka.Transport{ClientID: "drawdown", MetadataTopics: topics.Inputs()}
	return sender{
		client:    &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: produceTimeout},
		transport: transport, log: log, away: new(atomic.Bool),
	}
}

// send returns nil once the batch is acknowledged by all replicas, and an
// error if the broker will never take it or ctx has ended. prepare is called
// before each attempt.
func (s *sender) send(ctx context.Context, topic string, partition int, encoded []byte, prepare func()) error {
	var last error
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		prepare()
		err := s.attempt(ctx, topic, partition, encoded)
		if err == nil {
			if s.away.CompareAndSwap(true, false) {
				s.log.Info("kafka answers again", "topic", topic, "partition", partition)
			}
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), last)
		}
		if !isRetryable(err) {
			return err
		}
		last = err
		if s.away.CompareAndSwap(false, true) {
			s.log.Warn("kafka does not take records; trying again", "topic", topic, "partition", partition, "error", err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

func (s *sender) attempt(ctx context.Context, topic string, partition int, encoded []byte) error {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	response, err := s.client.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic:        topic,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		RawRecords:   protocol.RawRecordSet{Reader: bytes.NewReader(encoded)},
	})
	if err != nil {
		return err
	}
	return response.Error
}

// isRetryable tells a broker that is away or busy from one that refuses: what
// is no answer of a broker at all, and what Kafka calls retriable. A batch that
// arrived damaged is retriable to Kafka; here it would mean that it was encoded
// wrongly, and again.
func isRetryable(err error) bool {
	var answer kafka.Error
	return !errors.As(err, &answer) || answer.Temporary() && answer != kafka.InvalidMessage
}
