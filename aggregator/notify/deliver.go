package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	// maxBusy bounds what is under way, at some 20 kB each; what one host, one
	// workspace and all repeats may have of it leaves room for the others when
	// theirs are slow (invariant 4).
	maxBusy             = 256
	maxBusyRepeats      = maxBusy / 2
	maxBusyPerHost      = 4
	maxBusyPerWorkspace = 8
	// maxBusyTopic is its own, so that neither holds up the other.
	maxBusyTopic = 16

	// firstRetry and lastRetry bound how long a message waits to be tried
	// again: long enough for a restart, not longer than somebody looks for it.
	firstRetry = 5 * time.Second
	lastRetry  = time.Hour

	// firstPause and lastPause are the same of a row that is not written yet.
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// topicHost stands for the topic among hosts.
const topicHost = ""

// host names the receiver, for the limits and the log.
func (d destination) host() string {
	if d.format == formatTopic {
		return topicHost
	}
	u, err := url.Parse(d.url)
	if err != nil {
		return "?"
	}
	return u.Host
}

// start begins the deliveries that the limits allow. The others are due again
// at the next look.
func (n *Notifier) start(ctx context.Context, due []delivery) {
	takeTurns(due)
	now := n.cfg.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	maps.DeleteFunc(n.pauses, func(_ receiver, until time.Time) bool { return !now.Before(until) })
	l := newLoad()
	for k, u := range n.busy {
		l.add(k, u)
	}
	for _, d := range due {
		u := underWay{d.host(), d.attempt > 1}
		_, under := n.busy[d.key]
		_, paused := n.pauses[receiver{d.workspaceID, d.destination}]
		if under || paused || !l.allows(d.key, u) {
			continue
		}
		l.add(d.key, u)
		n.busy[d.key] = u
		n.workers.Go(func() { n.deliver(ctx, d) })
	}
}

// takeTurns puts first attempts first, the oldest first, and then the first of
// each workspace before the second of any.
func takeTurns(due []delivery) {
	slices.SortFunc(due, func(a, b delivery) int {
		return cmp.Or(cmp.Compare(a.attempt, b.attempt), a.msg.recordedAt.Compare(b.msg.recordedAt))
	})
	turns := map[string]int{}
	for i := range due {
		due[i].turn = turns[due[i].workspaceID]
		turns[due[i].workspaceID]++
	}
	slices.SortStableFunc(due, func(a, b delivery) int { return cmp.Compare(a.turn, b.turn) })
}

// underWay is what the limits need to know of a delivery.
type underWay struct {
	host   string
	repeat bool
}

// load counts what is under way.
type load struct {
	hosts, workspaces map[string]int
	total, repeats    int
}

func newLoad() *load { return &load{hosts: map[string]int{}, workspaces: map[string]int{}} }

func (l *load) add(k key, u underWay) {
	l.hosts[u.host]++
	if u.host == topicHost {
		return
	}
	l.workspaces[k.workspaceID]++
	l.total++
	if u.repeat {
		l.repeats++
	}
}

func (l *load) allows(k key, u underWay) bool {
	if u.host == topicHost {
		return l.hosts[u.host] < maxBusyTopic
	}
	return l.hosts[u.host] < maxBusyPerHost && l.workspaces[k.workspaceID] < maxBusyPerWorkspace &&
		l.total < maxBusy && (!u.repeat || l.repeats < maxBusyRepeats)
}

// receiver is a destination of a workspace.
type receiver struct {
	workspaceID string
	destination
}

// deliver makes one attempt and records it. Nobody tries the same again before
// it is recorded.
func (n *Notifier) deliver(ctx context.Context, d delivery) {
	began := time.Now()
	var r result
	if d.format == formatTopic {
		r = n.produce(ctx, d)
	} else {
		r = n.post(ctx, d)
	}
	if ctx.Err() != nil && !r.ok {
		return // cut off, not failed: the next owner repeats it
	}
	took := time.Since(began)
	n.metrics.seconds.WithLabelValues(d.format).Observe(took.Seconds())
	a := judge(d, r, n.cfg.Now())
	a.took = took
	n.note(a)
	token := uuid.NewString()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := n.record(ctx, token, a)
		if err == nil {
			break
		}
		n.cfg.Log.WarnContext(ctx, "a delivery is not recorded yet", "workspace_id", d.workspaceID, "webhook_id", d.webhookID, "error", err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return
		}
	}
	n.mu.Lock()
	delete(n.busy, d.key)
	n.mu.Unlock()
	n.Wake() // there is room now, and what waited for this may go on
}

// note remembers an attempt before it is recorded.
func (n *Notifier) note(a entry) {
	done := progress{attempts: a.attempt, at: a.at}
	if a.outcome != outcomeRetrying {
		done.outcome = a.outcome
	} else {
		done.nextAt = *a.nextAt
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[a.key] = done
	if a.pause > 0 {
		n.pauses[receiver{a.workspaceID, a.destination}] = a.at.Add(a.pause)
	}
}

// result is what a receiver made of a message.
type result struct {
	ok         bool
	status     int // of HTTP; 0: there was no answer
	err        error
	retryAfter time.Duration // the receiver asked for; 0: it did not
}

// errRefused says that a destination may not be asked at all.
var errRefused = errors.New("not allowed")

// said is an error as those may read it who wrote the rule: without addresses,
// which would tell them what is in a network that they cannot see.
func said(err error) string {
	var lookup *net.DNSError
	var dial *net.OpError
	switch {
	case errors.Is(err, errRefused):
		return "not allowed: the address is not public"
	case errors.As(err, &lookup):
		return "cannot look up the host: " + lookup.Err
	case errors.As(err, &dial) && dial.Op == "dial":
		return "cannot connect: " + dial.Err.Error()
	}
	return err.Error()
}

// judge makes a row of a result.
func judge(d delivery, r result, now time.Time) entry {
	a := entry{delivery: d, at: now, status: r.status}
	switch {
	case r.err != nil:
		a.reason = said(r.err)
	case !r.ok:
		a.reason = fmt.Sprintf("HTTP %d %s", r.status, http.StatusText(r.status))
	}
	wait := min(r.retryAfter, lastRetry)
	if overloaded(r.status) {
		a.pause = max(wait, firstRetry)
	}
	next := now.Add(max(backoff(d.attempt), wait)).UTC()
	switch {
	case r.ok:
		a.outcome = outcomeDelivered
	case errors.Is(r.err, errRefused):
		a.outcome = outcomeRefused
	case r.status == http.StatusGone:
		a.outcome = outcomeDisabled
	case d.msg.state == stateTest || !next.Before(d.msg.recordedAt.Add(giveUpAfter)):
		a.outcome = outcomeFailed
	default:
		a.outcome, a.nextAt = outcomeRetrying, &next
	}
	return a
}

// overloaded says whether a status asks to be sent less, by Standard Webhooks.
func overloaded(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusBadGateway ||
		status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// backoff is how long to wait after an attempt: doubling, with jitter of a
// quarter both ways, so that what failed together does not come again together.
func backoff(attempt uint16) time.Duration {
	wait := lastRetry
	if doublings := attempt - 1; doublings < 16 { // 5 s doubled 16 times is days
		wait = min(firstRetry<<doublings, lastRetry)
	}
	return min(wait-wait/4+rand.N(wait/2), lastRetry)
}

// logAttempt logs what people may have to look into; the rest is in the table.
func (n *Notifier) logAttempt(ctx context.Context, a entry) {
	log := n.cfg.Log.DebugContext
	if a.outcome == outcomeFailed || a.outcome == outcomeRefused || a.outcome == outcomeDisabled {
		log = n.cfg.Log.WarnContext
	}
	log(ctx, "alert "+a.outcome, "workspace_id", a.workspaceID, "rule_id", a.msg.ruleID, "webhook_id", a.webhookID,
		"host", a.host(), "format", a.format, "attempt", a.attempt, "status", a.status)
}
