package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// trouble turns a stream of failures into one clear line when it begins, one
// every half minute while it lasts, and one when it is over.
type trouble struct {
	log    *slog.Logger
	now    func() time.Time
	system string

	mu    sync.Mutex
	since time.Time
	said  time.Time
	last  error
	at    time.Time // of last
}

const troubleEvery = 30 * time.Second

func (t *trouble) note(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.last == nil {
		t.since = now
	}
	if t.last == nil || now.Sub(t.said) >= troubleEvery {
		t.said = now
		t.log.Warn(what, "system", t.system, "since", t.since, "error", err)
	}
	t.last, t.at = err, now
}

// clearSince is clear after what was begun at an instant: one that was under way
// when something else failed says nothing about what comes.
func (t *trouble) clearSince(what string, began time.Time) {
	t.mu.Lock()
	later := t.at.After(began)
	t.mu.Unlock()
	if !later {
		t.clear(what)
	}
}

func (t *trouble) clear(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil {
		t.log.Info(what, "system", t.system, "after", t.now().Sub(t.since).Round(time.Millisecond))
		t.last = nil
	}
}

func (t *trouble) active() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return nil
	}
	return fmt.Errorf("%s has been failing for %s: %w", t.system, t.now().Sub(t.since).Round(time.Second), t.last)
}

// stuckAfter is how long a partition with records waiting may stand still
// before that is unhealthy: longer than the slowest INSERT seen under load.
const stuckAfter = time.Minute

// Ready returns nil if the consumer makes progress: it is in the group, every
// partition it was given is taken over and not parked, and none with records
// waiting has stood still for a minute. Otherwise the error says all that is
// wrong.
func (c *Consumer) Ready(context.Context) error {
	c.mu.Lock()
	joined := c.current != nil
	c.mu.Unlock()
	var failed []error
	if !joined {
		failed = append(failed, errors.New("not in the consumer group"))
	}
	if err := c.trouble(); err != nil {
		failed = append(failed, err)
	}
	for _, p := range c.partitions() {
		if err := p.health(); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// trouble returns what fails of Kafka and ClickHouse at present.
func (c *Consumer) trouble() error {
	return errors.Join(c.fetchErrors.active(), c.storeErrors.active(), c.readErrors.active(), c.progressErrors.active())
}

func (p *partition) health() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	still := p.c.now().Sub(p.movedAt)
	switch {
	case p.parked != nil:
		return fmt.Errorf("partition %s is parked: %w", p, p.parked)
	case !p.recovered:
		return fmt.Errorf("partition %s is being taken over", p)
	case p.lag > 0 && still > stuckAfter:
		return fmt.Errorf("partition %s has %d records waiting and has not moved for %s", p, p.lag, still.Round(time.Second))
	}
	return nil
}

func (p *partition) park(why *parkError) {
	p.mu.Lock()
	p.parked = why
	p.mu.Unlock()
	p.c.metrics.parked.WithLabelValues(p.topic, fmt.Sprint(p.id), why.reason).Set(1)
	p.c.log.Error("partition parked", "partition", p.String(), "reason", why.reason, "error", why.err)
}

// Live returns an error if a restart may help: partitions have records waiting
// and none of them has moved for a minute although Kafka and ClickHouse
// answer. Parked partitions need an operator, not a restart.
func (c *Consumer) Live(context.Context) error {
	if c.trouble() != nil {
		return nil
	}
	waiting, moving := 0, 0
	for _, p := range c.partitions() {
		p.mu.Lock()
		if p.parked == nil && p.lag > 0 {
			waiting++
			if p.c.now().Sub(p.movedAt) <= stuckAfter {
				moving++
			}
		}
		p.mu.Unlock()
	}
	if waiting > 0 && moving == 0 {
		return fmt.Errorf("%d partitions have records waiting and none has moved for %s", waiting, stuckAfter)
	}
	return nil
}
