package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/segmentio/kafka-go"
)

// Kafka describes an embedded broker: one node for trying out and for small
// single-machine use. Every acknowledged record is on disk.
type Kafka struct {
	// Binary is the path of drawdown-embedded; "" searches as FindHelper does.
	Binary string
	// Dir holds the log; created with mode 0700.
	Dir string
	// Listen is host:port; clients are told the same address.
	Listen string
	// Once leaves a dead child dead instead of starting it again.
	Once bool
	// Log gets state changes; nil discards.
	Log *slog.Logger
}

// Start starts the broker and returns once it answers. Topics are the caller's
// to create. ctx bounds the start only; Stop ends it.
func (k Kafka) Start(ctx context.Context) (*Process, error) {
	log := k.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	binary, err := FindHelper(k.Binary)
	if err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(k.Listen); err != nil {
		return nil, fmt.Errorf("cannot use --kafka-listen %q: %w", k.Listen, err)
	}
	dir, err := filepath.Abs(k.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the Kafka directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the Kafka directory: %w", err)
	}
	return start(ctx, child{
		name:    "kafka",
		command: binary,
		args:    []string{"kafka", "--supervised", "--dir", filepath.Join(dir, "log"), "--listen", k.Listen},
		dir:     dir,
		ports:   []port{{k.Listen, "--kafka-listen"}},
		ready:   func(ctx context.Context) error { return askBroker(ctx, k.Listen) },
		restart: !k.Once,
		log:     log,
	})
}

// askBroker is nil when the broker answers for its metadata.
func askBroker(ctx context.Context, addr string) error {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr) // kafka-go would retry inside
	if err != nil {
		return err
	}
	_ = raw.Close()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: 5 * time.Second}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return err
	}
	if len(meta.Brokers) == 0 {
		return errors.New("no broker in the cluster")
	}
	return nil
}
