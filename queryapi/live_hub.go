package queryapi

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// liveHub holds the rooms that have viewers, one per workspace. A room begins
// with its first viewer and ends with its last, who waits for its goroutine;
// so does the one tail of alerts with the first and last room. No goroutine is
// left when nobody looks.
type liveHub struct {
	s         *Server
	heartbeat time.Duration
	pollEvery time.Duration
	// slots bound how many rooms read at a time.
	slots   chan struct{}
	closing chan struct{} // closed when the server stops
	once    sync.Once

	mu      sync.Mutex
	rooms   map[string]*room
	viewers int
	tail    *running // nil without rooms
}

const (
	// livePollEvery is how often a room asks whether anything changed: with a
	// second from event to table, a figure moves well within two.
	livePollEvery = 500 * time.Millisecond
	// freshnessEvery is how often viewers are told how fresh their figures are
	// when nothing else happens.
	freshnessEvery = 2 * time.Second
	// roomsAtOnce leaves most of the connections (32) to requests.
	roomsAtOnce = 4
	// maxViewers at some 40 kB each are 400 MB; another process takes the rest.
	maxViewers = 10_000
)

func newLiveHub(s *Server, registerer prometheus.Registerer) *liveHub {
	h := &liveHub{
		s: s, heartbeat: cmp.Or(s.cfg.StreamCheck, liveHeartbeat), pollEvery: livePollEvery,
		slots: make(chan struct{}, roomsAtOnce), closing: make(chan struct{}), rooms: make(map[string]*room),
	}
	registerer.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "drawdown_queryapi_live_viewers", Help: "Streams of live updates that are open.",
		}, func() float64 { viewers, _ := h.size(); return float64(viewers) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "drawdown_queryapi_live_workspaces", Help: "Workspaces that somebody watches.",
		}, func() float64 { _, rooms := h.size(); return float64(rooms) }))
	return h
}

func (h *liveHub) size() (viewers, rooms int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.viewers, len(h.rooms)
}

// close ends every stream; http.Server.Shutdown would wait for them.
func (h *liveHub) close() { h.once.Do(func() { close(h.closing) }) }

// running is a goroutine that somebody ends and waits for.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func begin(run func(context.Context)) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		run(ctx)
	}()
	return r
}

func (r *running) end() {
	r.cancel()
	<-r.done
}

// errStopping is made anew each time: a problem takes on the id of its request.
func errStopping() error { return problem(CodeStoreUnavailable, "the server is stopping; try again") }

// join adds a viewer to the room of a workspace.
func (h *liveHub) join(workspaceID string) (*viewer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closing:
		return nil, errStopping()
	default:
	}
	if h.viewers >= maxViewers {
		return nil, problem(CodeTooManyStreams, "%d streams are open; try again, or ask for the figures themselves", maxViewers)
	}
	r := h.rooms[workspaceID]
	if r == nil {
		r = newRoom(h, workspaceID)
		h.rooms[workspaceID] = r
		r.running = begin(r.run)
	}
	if h.tail == nil {
		h.tail = begin(h.tailAlerts)
	}
	h.viewers++
	v := &viewer{room: r, wake: make(chan struct{}, 1)}
	r.add(v)
	return v, nil
}

// leave takes a viewer out, and ends what nobody needs any longer.
func (h *liveHub) leave(v *viewer) {
	var room, tail *running
	h.mu.Lock()
	h.viewers--
	if v.room.remove(v) {
		room = v.room.running
		delete(h.rooms, v.room.workspace)
	}
	if len(h.rooms) == 0 {
		tail, h.tail = h.tail, nil
	}
	h.mu.Unlock()
	for _, r := range []*running{room, tail} {
		if r != nil {
			r.end()
		}
	}
}

// room is the state of one workspace that its viewers are shown, read once for
// all of them.
type room struct {
	h         *liveHub
	workspace string
	running   *running
	ready     chan struct{} // closed when there is a state, or an error in its place

	// Of the goroutine of run alone.
	key     string    // of the figures at hand; see question.key
	known   freshness // of the figures at hand
	toldAt  time.Time // when freshness was last sent
	failing bool

	mu      sync.Mutex
	viewers map[*viewer]struct{}
	err     error // why there is no state; nil once there is one
	state   liveState
	alerts  alertLog
}

func newRoom(h *liveHub, workspaceID string) *room {
	return &room{h: h, workspace: workspaceID, ready: make(chan struct{}), viewers: make(map[*viewer]struct{})}
}

func (r *room) add(v *viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.viewers[v] = struct{}{}
}

// remove takes v out and says whether it was the last.
func (r *room) remove(v *viewer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.viewers, v)
	return len(r.viewers) == 0
}

// change changes what viewers are shown and wakes them.
func (r *room) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	for v := range r.viewers {
		select {
		case v.wake <- struct{}{}:
		default: // it has not looked yet; it will find this as well
		}
	}
}

// run polls until ctx ends.
func (r *room) run(ctx context.Context) {
	tick := time.NewTicker(r.h.pollEvery)
	defer tick.Stop()
	ready := false
	for {
		// A panic here would end the process with everybody's requests.
		_, err := unlessPanic(func() (struct{}, error) { return struct{}{}, r.poll(ctx) })
		if ctx.Err() != nil {
			return
		}
		r.report(ctx, err)
		if !ready {
			ready = true
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
			close(r.ready)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// report logs when polls begin to fail and when they succeed again.
func (r *room) report(ctx context.Context, err error) {
	switch {
	case err != nil && !r.failing:
		r.h.s.cfg.Log.ErrorContext(ctx, "live updates have stopped", "workspace_id", r.workspace, "error", err)
	case err == nil && r.failing:
		r.h.s.cfg.Log.InfoContext(ctx, "live updates go on", "workspace_id", r.workspace)
	}
	r.failing = err != nil
}

// poll reads how far the partition is, makes the figures if that may have
// changed them, and shows what changed. While it fails, viewers are told of a
// watermark that stands still.
func (r *room) poll(ctx context.Context) error {
	s := r.h.s
	if !r.alerts.loaded() {
		if err := r.h.inTurn(ctx, r.loadAlerts); err != nil {
			return err
		}
	}
	fresh, err := s.freshness(ctx, r.workspace)
	if err == nil {
		// Names no question: the same for all that are asked here.
		q := question{workspace: r.workspace, Conditional: Conditional{asked: "live"}}
		if key := q.key(fresh); key != r.key {
			if err = r.h.inTurn(ctx, r.makeFigures); err == nil {
				r.key = key
			}
		}
	}
	if err != nil && r.key == "" {
		return err
	}
	now := s.cfg.Now()
	moved := err == nil && fresh.Revision != r.known.Revision
	if err == nil {
		r.known = fresh
	}
	if elapsed := now.Sub(r.toldAt); moved || elapsed >= freshnessEvery || elapsed < 0 {
		r.toldAt = now
		told := r.known
		told.at = s.now()
		body := LiveFreshness{told.figures()}
		frame, encodeErr := eventFrame("freshness", body)
		if encodeErr != nil {
			return errors.Join(err, encodeErr)
		}
		r.change(func() { r.state.setFreshness(frame) })
	}
	return err
}

// inTurn waits until few enough rooms are reading, then reads.
func (h *liveHub) inTurn(ctx context.Context, read func(context.Context) error) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return read(ctx)
}

// makeFigures makes balance and usage, or takes those that requests have made.
func (r *room) makeFigures(ctx context.Context) error {
	left, err := r.h.s.defaultBalance(ctx, r.workspace)
	if err != nil {
		return err
	}
	used, err := r.h.s.defaultUsage(ctx, r.workspace)
	if err != nil {
		return err
	}
	var encodeErr error
	r.change(func() { encodeErr = errors.Join(r.state.setBalance(left), r.state.setUsage(used)) })
	return encodeErr
}

// defaultBalance is what GET balance answers without parameters.
func (s *Server) defaultBalance(ctx context.Context, workspaceID string) (*Balance, error) {
	in := &BalanceInput{WorkspaceID: workspaceID, asOf: schemas.NoInstant}
	in.asked = "/v1/workspaces/" + url.PathEscape(workspaceID) + "/balance?"
	made, err := s.balanceAnswer(ctx, in)
	if err != nil {
		return nil, err
	}
	return made.Body, nil
}

// defaultUsage is what GET usage answers without parameters.
func (s *Server) defaultUsage(ctx context.Context, workspaceID string) (*Usage, error) {
	in := &UsageInput{
		WorkspaceID: workspaceID, Range: Range{from: schemas.NoInstant, to: schemas.NoInstant},
		BucketParams: BucketParams{Bucket: "auto"}, GroupBy: string(rollup.ByNone), Compare: "none",
	}
	in.asked = "/v1/workspaces/" + url.PathEscape(workspaceID) + "/usage?"
	made, err := s.usageAnswer(ctx, in)
	if err != nil {
		return nil, err
	}
	return made.Body, nil
}
