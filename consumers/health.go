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
// every half minute while it lasts, and one when it is over. What comes back
// within a second of that has gone on: connections are not lost all at once.
type trouble struct {
	log    *slog.Logger
	now    func() time.Time
	system string

	mu    sync.Mutex
	since time.Time
	said  time.Time
	last  error
	at    time.Time // of last
	over  time.Time // when it was last cleared
}

const (
	troubleEvery = 30 * time.Second
	troubleBack  = time.Second
)

func (t *trouble) note(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	begins := t.last == nil && (t.over.IsZero() || now.Sub(t.over) >= troubleBack)
	if begins {
		t.since = now
	}
	if begins || now.Sub(t.said) >= troubleEvery {
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
		t.over = t.now()
		t.log.Info(what, "system", t.system, "after", t.over.Sub(t.since).Round(time.Millisecond))
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
	case p.lag > 0 && still > p.c.StuckAfter:
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

// Live returns an error if a partition has records waiting and its position has
// not moved for StuckAfter, whatever the reason. Parked partitions are told by
// Ready: they need an operator, and a restart would hold up the others.
func (c *Consumer) Live(context.Context) error {
	var failed []error
	for _, p := range c.partitions() {
		p.mu.Lock()
		still := c.now().Sub(p.movedAt)
		if p.parked == nil && p.lag > 0 && still > c.StuckAfter {
			failed = append(failed, fmt.Errorf("partition %s has %d records waiting and has not moved for %s", p, p.lag, still.Round(time.Second)))
		}
		p.mu.Unlock()
	}
	return errors.Join(failed...)
}
