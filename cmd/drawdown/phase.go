package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

type (
	listener = net.Listener
	registry = *prometheus.Registry
)

// phase is the health of a process that opens its ops port before its stores
// are reached: not ready while it starts, then as its parts are.
type phase struct {
	parts atomic.Pointer[[]queryapi.Check]
}

// done says that the process has started with these parts.
func (p *phase) done(parts ...queryapi.Check) { p.parts.Store(&parts) }

func (p *phase) check() queryapi.Check {
	return queryapi.Check{
		Name: "drawdown",
		Ready: func(ctx context.Context) error {
			parts := p.parts.Load()
			if parts == nil {
				return errors.New("starting: Kafka or ClickHouse is not ready yet")
			}
			return p.ask(ctx, *parts, func(c queryapi.Check) func(context.Context) error { return c.Ready })
		},
		Live: func(ctx context.Context) error {
			parts := p.parts.Load()
			if parts == nil {
				return nil
			}
			return p.ask(ctx, *parts, func(c queryapi.Check) func(context.Context) error { return c.Live })
		},
	}
}

func (p *phase) ask(ctx context.Context, parts []queryapi.Check, pick func(queryapi.Check) func(context.Context) error) error {
	var failed []error
	for _, part := range parts {
		if check := pick(part); check != nil {
			if err := check(ctx); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", part.Name, err))
			}
		}
	}
	return errors.Join(failed...)
}
