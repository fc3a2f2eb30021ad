package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Config is what an Auditor needs; zero values of the durations mean the
// defaults said there.
type Config struct {
	ClickHouse driver.Conn
	Topics     schemas.Topics
	Partitions int
	Epoch      uint32
	EventsTTL  schemas.EventsTTL // before which nothing can be proven

	Every        time.Duration // between two cycles; 10 s
	ConfirmAfter time.Duration // between two looks at what differs; 60 s
	SweepRest    int           // how many times longer than it took a sweep rests; 19

	Now func() time.Time
	Log *slog.Logger
}

const (
	defaultEvery        = 10 * time.Second
	defaultConfirmAfter = time.Minute
	// sealAfter is how long after its end an hour is sealed, by the watermark.
	sealAfter = 10 * minuteMillis
	// cycleFor bounds the work of one cycle: what is left waits for the next.
	cycleFor = 20 * time.Second
	// defaultSweepRest is how many times longer than it took a sweep rests, so that it
	// takes a twentieth of one core.
	defaultSweepRest = 19

	minuteMillis schemas.Millis = 60_000
	hourMillis                  = 60 * minuteMillis
	dayMillis                   = 24 * hourMillis
)

// Auditor audits all partitions.
type Auditor struct {
	cfg Config
	log *slog.Logger

	mu     sync.Mutex
	status Status
	failed error // of the last cycle
}

// Status is what an auditor at work knows; the zero value is that of one that
// is not.
type Status struct {
	Active        bool
	SealedThrough schemas.Millis // NoInstant: not known
	ProvableFrom  schemas.Millis // NoInstant: not known
	Drift         map[string]int // findings that are not settled, by table
	Unprovable    map[string]int // findings that are left as they are, by table
	CycleSeconds  float64        // of the last one
	Cycles        int64
}

// New returns an Auditor. It does no I/O.
func New(cfg Config) *Auditor {
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	if cfg.ConfirmAfter == 0 {
		cfg.ConfirmAfter = defaultConfirmAfter
	}
	if cfg.SweepRest == 0 {
		cfg.SweepRest = defaultSweepRest
	}
	return &Auditor{cfg: cfg, log: cfg.Log.With("part", "audit")}
}

// Status returns what is known at present.
func (a *Auditor) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// Run audits until ctx ends. What fails is tried again in the next cycle.
func (a *Auditor) Run(ctx context.Context) {
	defer func() {
		a.mu.Lock()
		a.status = Status{}
		a.mu.Unlock()
	}()
	c := &cycles{a: a}
	ticker := time.NewTicker(a.cfg.Every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		err := c.cycle(ctx)
		if ctx.Err() == nil {
			a.note(ctx, err)
		}
		if c.behind && err == nil {
			continue // there is more to audit at once
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// note logs when the outcome of cycles changes.
func (a *Auditor) note(ctx context.Context, err error) {
	a.mu.Lock()
	before := a.failed
	a.failed = err
	a.mu.Unlock()
	switch {
	case err != nil && before == nil:
		a.log.ErrorContext(ctx, "cannot audit, trying again", "error", err)
	case err == nil && before != nil:
		a.log.InfoContext(ctx, "auditing again")
	}
}

// cycles is what an auditor remembers from one cycle to the next.
type cycles struct {
	a     *Auditor
	begun bool
	place places
	open  map[audits.Place]*audits.Finding // drift, and what is unprovable
	// behind says that a cycle ended before its work did.
	behind   bool
	until    time.Time // of this cycle
	cycled   int64
	progress rollup.Progresses
	proofs   map[partition]*proof
	left     map[partition]int64     // where a partition ended when a look at its next batches was left
	vain     map[partition]bool      // for these a look of this cycle has waited in vain
	later    map[schemas.Millis]bool // dirty hours that could not be looked at
	turn     int                     // partition whose ranges are audited first
	nextBack int                     // partition whose ranges are swept next
	// Sweeps rest until then.
	hoursRest, rangesRest time.Time
}

// cycle does what there is to do, each for as long as the cycle may last.
func (c *cycles) cycle(ctx context.Context) error {
	began := time.Now()
	c.until, c.behind, c.vain = began.Add(cycleFor), false, make(map[partition]bool)
	if !c.begun {
		if err := c.begin(ctx); err != nil {
			return err
		}
		c.begun = true
	}
	var err error
	if c.progress, err = c.a.readProgress(ctx); err != nil {
		return err
	}
	// One's trouble is not another's.
	var failed []error
	for _, step := range []func(context.Context) error{
		c.refresh, c.readDirty, c.forwardRanges, c.sealHours, c.cleanHours, c.proveFindings, c.lookAgain, c.sweepHours, c.sweepRanges,
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = append(failed, step(ctx))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	c.cycled++
	if err := c.a.writeProgress(ctx, "", placeCycles, c.cycled); err != nil {
		return err
	}
	c.say(time.Since(began))
	return nil
}

// over says that the cycle has lasted long enough; the rest is done in the next.
func (c *cycles) over() bool {
	if time.Now().Before(c.until) {
		return false
	}
	c.behind = true
	return true
}

// say makes what is known the status.
func (c *cycles) say(took time.Duration) {
	s := Status{
		Active: true, SealedThrough: c.place.sealedThrough(), ProvableFrom: c.place.provableFrom, CycleSeconds: took.Seconds(), Cycles: c.cycled,
		Drift: make(map[string]int), Unprovable: make(map[string]int),
	}
	for _, f := range c.open {
		if f.State == audits.Drift {
			s.Drift[f.What]++
		} else {
			s.Unprovable[f.What]++
		}
	}
	c.a.mu.Lock()
	c.a.status = s
	c.a.mu.Unlock()
}

// found records what a look has shown for the first time.
func (c *cycles) found(ctx context.Context, seen []audits.Finding) error {
	var fresh []audits.Finding
	for _, f := range seen {
		known, ok := c.open[f.Place]
		if ok && (known.State == audits.Drift || known.Fingerprint == f.Fingerprint) {
			continue
		}
		f.FirstSeenAt, f.State, f.Step = c.a.now(), audits.Drift, audits.Seen
		f.ConfirmedAt, f.SettledAt = schemas.NoInstant, schemas.NoInstant
		fresh = append(fresh, f)
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := audits.Write(ctx, c.a.cfg.ClickHouse, fresh...); err != nil {
		return err
	}
	for i := range fresh {
		c.open[fresh[i].Place] = &fresh[i]
		c.a.log.WarnContext(ctx, "the audit sees a difference", "place", fresh[i].String(), "expected", fresh[i].Expected, "found", fresh[i].Found,
			"expected_credits", fresh[i].ExpectedMicro, "found_credits", fresh[i].FoundMicro)
	}
	return nil
}

// refresh reads what became of findings that are to be repaired: what is
// settled is not open any more.
func (c *cycles) refresh(ctx context.Context) error {
	waiting := false
	for _, f := range c.open {
		waiting = waiting || f.Step == audits.Confirmed
	}
	if !waiting {
		return nil
	}
	known, err := c.readOpen(ctx)
	if err != nil {
		return err
	}
	for place, f := range c.open {
		if f.Step != audits.Confirmed {
			continue
		}
		if now, stands := known[place]; stands {
			c.open[place] = now // of another auditor, it may be: it is ours now
		} else { // repaired, or it was gone
			delete(c.open, place)
		}
	}
	return nil
}

func (a *Auditor) now() schemas.Millis { return schemas.Millis(a.cfg.Now().UnixMilli()) }

// partition names one of a topic.
type partition struct {
	topic string
	id    int
}

func (p partition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.id) }

// partitions are all that are audited.
func (a *Auditor) partitions() (all []partition) {
	for _, topic := range a.cfg.Topics.Inputs() {
		for id := range a.cfg.Partitions {
			all = append(all, partition{topic, id})
		}
	}
	return all
}
