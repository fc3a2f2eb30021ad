package queryapi

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// probeLook is how often it is looked whether a probe is in the answers: the
	// error of a measurement, at most.
	probeLook = 50 * time.Millisecond
	// probeLookLong is that of a probe that is late already.
	probeLookLong = time.Second
)

// probeCampaign is the campaign and action of every probe, so that the rollups
// keep one row for each bucket, however many servers there are and were.
const probeCampaign = "probe"

// prober measures how long an event takes to become an answer: it sends one of
// the reserved workspace, without credits, and looks when the coarsest rollup has
// grown and the progress, by which answers are kept, is past its offset. One is
// under way at a time; while it waits, its age is a metric.
type prober struct {
	s        *Server
	source   string // tells which process sent an event; new at every start
	seconds  prometheus.Histogram
	failures prometheus.Counter
	sentAt   atomic.Int64 // of the one that waits, in Unix nanoseconds; 0: none
}

func newProber(s *Server) *prober {
	p := &prober{
		s: s, source: "/drawdown/probe/" + uuid.NewString()[:8],
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "drawdown_queryapi_probe_seconds",
			Help:    "Time from sending an event to Kafka until the API answers with it.",
			Buckets: []float64{0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drawdown_queryapi_probe_failures_total",
			Help: "Probes that Kafka did not acknowledge or whose answer could not be read.",
		}),
	}
	s.cfg.Registerer.MustRegister(p.seconds, p.failures, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drawdown_queryapi_probe_waiting_seconds",
		Help: "Age of the probe that is not in the answers yet; 0: none waits.",
	}, p.waiting))
	return p
}

func (p *prober) waiting() float64 {
	if at := p.sentAt.Load(); at != 0 {
		return p.s.cfg.Now().Sub(time.Unix(0, at)).Seconds()
	}
	return 0
}

// run probes until ctx ends.
func (p *prober) run(ctx context.Context) {
	ticker := time.NewTicker(p.s.cfg.ProbeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := p.probe(ctx); err != nil && ctx.Err() == nil {
			p.failures.Inc()
			p.s.cfg.Log.DebugContext(ctx, "probe failed", "error", err)
		}
		p.sentAt.Store(0)
	}
}

// probe sends one event and waits until it is an answer, for as long as it
// takes: one that is late must not pass for the next.
func (p *prober) probe(ctx context.Context) error {
	sent := p.s.cfg.Now()
	at, id := schemas.MillisOf(sent), uuid.NewString()
	before, err := p.counted(ctx, at, id)
	if err != nil {
		return err
	}
	event := schemas.Event{
		Type: schemas.CreditsConsumed, ID: []byte(id), Source: []byte(p.source), Time: at,
		WorkspaceID: []byte(schemas.ProbeWorkspace), CampaignID: []byte(probeCampaign), Action: []byte(probeCampaign),
	}
	record := schemas.Record{Key: event.WorkspaceID, Value: schemas.EncodeEvent(&event), Timestamp: at}
	p.sentAt.Store(sent.UnixNano())
	bounded, cancel := context.WithTimeout(ctx, produceWithin)
	errs := p.s.cfg.Producer.Produce(bounded, schemas.ConsumptionTopic, []schemas.Record{record})
	cancel()
	if errs[0] != nil {
		return errs[0] // it may come all the same, and is no other's then
	}
	for look := probeLook; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		answered, err := p.answered(ctx, at, id, before.events)
		if err == nil && answered {
			p.seconds.Observe(p.s.cfg.Now().Sub(sent).Seconds())
			return nil
		}
		if p.s.cfg.Now().Sub(sent) > 10*time.Second {
			look = probeLookLong
		}
	}
}

// answered says whether a probe is in the figures: its row is there, the
// coarsest rollup has grown since events, and what is known of the partition is
// past its offset, so that no answer from before it is given any more.
func (p *prober) answered(ctx context.Context, at schemas.Millis, id string, events int64) (bool, error) {
	now, err := p.counted(ctx, at, id)
	if err != nil || !now.there || now.events <= events {
		return false, err
	}
	fresh, err := p.s.freshness(ctx, schemas.ProbeWorkspace)
	return fresh.Consumption > now.offset, err
}

// probeCount is what ClickHouse has of probes.
type probeCount struct {
	events int64  // probes of the day in the coarsest rollup, into which an event comes last
	there  bool   // whether the row of this one is there
	offset uint64 // of it
}

// counted looks for one probe, and for how many there are that day.
func (p *prober) counted(ctx context.Context, at schemas.Millis, id string) (n probeCount, err error) {
	bound := parameters{}
	bound.String("workspace", schemas.ProbeWorkspace)
	bound.String("campaign", probeCampaign)
	bound.String("id", id)
	bound.Integer("epoch", int64(p.s.cfg.Epoch))
	bound.Integer("time", int64(at))
	bound.Integer("day", int64(at)/1000/86400*86400)
	err = p.s.query(ctx, "probe", `SELECT (
    SELECT sum(events) FROM usage_1d
    WHERE workspace_id = {workspace:String} AND bucket = toDateTime({day:UInt32}, 'UTC') AND campaign_id = {campaign:String}
), count() > 0, max(koff)
FROM events
WHERE workspace_id = {workspace:String} AND time = fromUnixTimestamp64Milli({time:Int64}, 'UTC') AND event_id = {id:String} AND epoch = {epoch:UInt32}`, bound, func(scan func(...any) error) error {
		return scan(&n.events, &n.there, &n.offset)
	})
	return n, err
}
