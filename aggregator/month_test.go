package aggregator_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

const (
	monthKills      = 20
	monthPartitions = 2
	// monthWithin bounds the wait for one step: a process begins, and the engine
	// may, too.
	monthWithin = 2 * time.Minute
)

// monthBed is the world's tables, clock, processes and receiver.
type monthBed struct {
	t        *testing.T
	settings monthSettings
	conn     driver.Conn
	clock    monthClock
	begin    time.Time // of the month
	spaces   []*monthSpace
	steps    []time.Duration
	version  uint64
	offsets  map[string]uint64 // by topic
	members  []*monthMember
	receiver *httptest.Server

	mu   sync.Mutex
	told map[string][]string // paths that a webhook-id came to
	log  bytes.Buffer
}

// monthMember is a process.
type monthMember struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{}
	mu     sync.Mutex
	looked uint64 // version
	owned  []string
}

func newMonthBed(t *testing.T) *monthBed {
	t.Helper()
	// Of its own: it goes down with a client that is killed in an INSERT.
	db := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true}).Database(t)
	broker := storetest.Kafka(t, storetest.KafkaOptions{Partitions: monthPartitions})
	path := filepath.Join(t.TempDir(), "clock")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	b := &monthBed{
		t: t, conn: db.Conn(t), clock: monthClock{file}, spaces: monthWorld(), steps: monthSteps(),
		offsets: make(map[string]uint64), told: make(map[string][]string),
		settings: monthSettings{Database: *db, Broker: broker.Addr, Topics: broker.Topics, Partitions: monthPartitions, Clock: path, Secret: bytes.Repeat([]byte("master! "), 4)},
	}
	// The last Monday that leaves room for a month.
	b.begin = time.Now().UTC().Truncate(monthDay).Add(-(monthDays + 1) * monthDay)
	for b.begin.Weekday() != time.Monday {
		b.begin = b.begin.Add(-monthDay)
	}
	b.receiver = httptest.NewServer(http.HandlerFunc(b.receive))
	t.Cleanup(func() {
		for _, m := range b.members {
			m.kill()
		}
		b.receiver.Close()
		if t.Failed() {
			t.Logf("log:\n%s", b.log.Bytes()[max(0, b.log.Len()-20_000):])
		}
	})
	return b
}

// receive verifies as any receiver would.
func (b *monthBed) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	space, rule, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	hook, hookErr := standardwebhooks.NewWebhook(schemas.WebhookSecret(b.settings.Secret, space, rule, 1))
	if err == nil && hookErr == nil {
		err = hook.Verify(body, r.Header)
	}
	if err != nil || hookErr != nil {
		b.t.Errorf("%s: %v, %v", r.URL.Path, err, hookErr)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	id := r.Header.Get("webhook-id")
	b.told[id] = append(b.told[id], strings.TrimPrefix(r.URL.Path, "/"))
	w.WriteHeader(http.StatusNoContent)
}

// Write makes the bed a log of its processes.
func (b *monthBed) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(text)
}

func (b *monthBed) start() *monthMember {
	b.t.Helper()
	settings, err := json.Marshal(b.settings)
	if err != nil {
		b.t.Fatal(err)
	}
	m := &monthMember{cmd: exec.Command(os.Args[0], "-test.run=^TestMonthProcess$"), ended: make(chan struct{})}
	m.cmd.Env = append(os.Environ(), monthProcess+"="+string(settings))
	m.cmd.Stderr = b
	m.stdin, err = m.cmd.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.members = append(b.members, m)
	go func() {
		defer close(m.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) < 2 || words[0] != "looked" {
				continue
			}
			m.mu.Lock()
			m.looked, _ = strconv.ParseUint(words[1], 10, 64)
			m.owned = words[2:]
			m.mu.Unlock()
		}
		_ = m.cmd.Wait()
	}()
	return m
}

// kill ends a process with SIGKILL.
func (m *monthMember) kill() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}

func (b *monthBed) kill(i int) {
	m := b.members[i]
	b.members = slices.Delete(b.members, i, i+1)
	m.kill()
	// The engine may go down with a client that is killed in an INSERT.
	b.until("the engine answers", func() bool { return b.conn.Ping(context.Background()) == nil })
}

func (b *monthBed) until(what string, holds func() bool) {
	b.t.Helper()
	storetest.Wait(b.t, monthWithin, what, func() (bool, error) { return holds(), nil })
}

// seen waits until the whole world was looked at as it is, by each member.
func (b *monthBed) seen() {
	b.t.Helper()
	b.until(fmt.Sprintf("version %d was looked at", b.version), func() bool {
		parts := 0
		for _, m := range b.members {
			m.mu.Lock()
			if m.looked == b.version {
				parts += len(m.owned)
			}
			if m.looked != b.version || len(m.owned) == 0 || len(m.owned) > monthPartitions+1-len(b.members) {
				parts = -monthPartitions
			}
			m.mu.Unlock()
		}
		return parts == monthPartitions
	})
}

// batch writes rows as one block.
func (b *monthBed) batch(statement string, rows [][]any) {
	b.t.Helper()
	if len(rows) == 0 {
		return
	}
	batch, err := b.conn.PrepareBatch(context.Background(), statement)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range rows {
		if err := batch.Append(row...); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		b.t.Fatal(err)
	}
}

func micro(credits float64) int64 { return int64(math.Round(credits * 1e6)) }

// count puts what happened in (from, to] into the tables.
func (b *monthBed) count(from, to time.Duration) {
	b.t.Helper()
	within := func(at time.Duration) bool { return from < at && at <= to }
	offset := func(topic string) uint64 { b.offsets[topic]++; return b.offsets[topic] - 1 }
	optional := func(at time.Duration) *time.Time {
		if at == 0 {
			return nil
		}
		t := b.begin.Add(at)
		return &t
	}
	topics := b.settings.Topics
	var events, grants, states [][]any
	for _, s := range b.spaces {
		part := uint16(schemas.Partition([]byte(s.id), monthPartitions))
		for _, g := range s.grants {
			if within(g.at) {
				at := b.begin.Add(g.at)
				grants = append(grants, []any{s.id, at, "ev-" + g.id, "credits.granted", g.id, micro(g.credits), "paid", uint16(100), at, optional(g.expires), b.begin.Add(to), uint32(1), part, offset(topics.Ledger)})
			}
		}
		for _, c := range s.states {
			if within(c.at) {
				koff, quota := offset(topics.Campaigns), micro(c.quota)
				states = append(states, []any{s.id, c.campaign, b.begin.Add(c.at), fmt.Sprintf("s%d", koff), c.campaign, c.status, &quota, optional(c.endsAt), b.begin.Add(to), uint32(1), part, koff})
			}
		}
		first, _ := slices.BinarySearchFunc(s.events, from, func(e monthEvent, at time.Duration) int { return int(min(max(e.at-at, -1), 1)) })
		for _, e := range s.events[first:] {
			if e.at > to {
				break
			}
			if within(e.at) {
				koff, at := offset(topics.Consumption), b.begin.Add(e.at)
				events = append(events, []any{s.id, at, fmt.Sprintf("e%d", koff), e.campaign, micro(e.credits), at, uint32(1), part, koff})
			}
		}
	}
	b.batch(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, kafka_time, epoch, kpart, koff)`, grants)
	b.batch(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, quota_micro, ends_at, kafka_time, epoch, kpart, koff)`, states)
	b.batch(`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro, kafka_time, epoch, kpart, koff)`, events)
	var progress [][]any
	for _, topic := range topics.Inputs() {
		for part := range monthPartitions {
			progress = append(progress, []any{topic, uint32(1), uint16(part), b.offsets[topic], b.begin.Add(to), b.begin.Add(to)})
		}
	}
	b.batch(`INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at)`, progress)
}

// step lets the world go on to a step, from the last one that was counted.
func (b *monthBed) step(counted time.Duration, i int) time.Duration {
	b.t.Helper()
	b.move(b.version+1, i)
	if !inOutage(b.steps[i]) {
		b.count(counted, b.steps[i])
		counted = b.steps[i]
	}
	b.move(b.version+1, i)
	return counted
}

func (b *monthBed) move(version uint64, i int) {
	b.t.Helper()
	b.version = version
	if err := b.clock.write(version, b.begin.Add(b.steps[i])); err != nil {
		b.t.Fatal(err)
	}
}

// rules writes those of each workspace in place of the default ones.
func (b *monthBed) rules() {
	b.t.Helper()
	var rows [][]any
	for _, s := range b.spaces {
		add := func(id string, kind schemas.AlertKind, enabled uint8, params string) {
			hooks := fmt.Sprintf(`[{"url":"%s/%s/%s","format":"standard"}]`, b.receiver.URL, s.id, id)
			rows = append(rows, []any{s.id, id, uint32(1), uint32(1), string(kind), id, enabled, uint8(0), params, hooks, uint32(1), b.begin.Add(monthHistory), "somebody"})
		}
		for _, r := range schemas.DefaultAlertRules(s.id) {
			if r.Kind != schemas.Freshness {
				add(r.RuleID, r.Kind, 0, r.Params.String())
			}
		}
		for _, r := range monthRules {
			add(r.id, r.kind, 1, r.params)
		}
	}
	b.batch(`INSERT INTO alert_rules (workspace_id, rule_id, version, revision, kind, name, enabled, deleted, params, webhooks, secret_version, updated_at, updated_by)`, rows)
}

// monthPlan says at which steps a process is killed, half of them where
// something is expected to happen, and at which a second one is started before.
func monthPlan(expected []*monthIncident, steps int, random *rand.Rand) (kills, doubles map[int]bool) {
	kills, doubles = make(map[int]bool), make(map[int]bool)
	free := func(i int) bool {
		for k := i - 3; k <= i+3; k++ {
			if k < 0 || k >= steps || kills[k] || doubles[k] {
				return false
			}
		}
		return true
	}
	take := func(i int) {
		if free(i) && len(kills) < monthKills {
			kills[i] = true
			if len(kills)%3 == 0 {
				doubles[i-2] = true
			}
		}
	}
	for _, n := range random.Perm(len(expected)) {
		for _, i := range []int{expected[n].fires, expected[n].ends} {
			if len(kills) < monthKills/2 {
				take(i)
			}
		}
	}
	for len(kills) < monthKills {
		take(3 + random.IntN(steps-6))
	}
	return kills, doubles
}

// monthRow is an incident as it is recorded: when it fired and ended, and its id.
type monthRow struct {
	id          string
	fires, ends time.Duration // -1: not
	rows        map[string]int
}

// recorded are the incidents that fired, by workspace, rule and subject.
func (b *monthBed) recorded() map[string][]*monthRow {
	b.t.Helper()
	rows, err := b.conn.Query(context.Background(), `
SELECT workspace_id, rule_id, subject, incident_id, state, at FROM alert_incidents
ORDER BY workspace_id, rule_id, subject, sequence, at, state`)
	if err != nil {
		b.t.Fatal(err)
	}
	found := make(map[string][]*monthRow)
	for rows.Next() {
		var space, rule, subject, id, state string
		var at time.Time
		if err := rows.Scan(&space, &rule, &subject, &id, &state, &at); err != nil {
			b.t.Fatal(err)
		}
		key := fmt.Sprintf("%s %s %q", space, rule, subject)
		if n := len(found[key]); n == 0 || found[key][n-1].id != id {
			found[key] = append(found[key], &monthRow{id: id, fires: -1, ends: -1, rows: make(map[string]int)})
		}
		r := found[key][len(found[key])-1]
		r.rows[state]++
		switch schemas.AlertState(state) {
		case schemas.AlertFiring:
			r.fires = at.Sub(b.begin)
		case schemas.AlertResolved:
			r.ends = at.Sub(b.begin)
		}
	}
	if err := rows.Err(); err != nil {
		b.t.Fatal(err)
	}
	for key, all := range found {
		for _, r := range all {
			for state, n := range r.rows {
				if n != 1 {
					b.t.Errorf("%s: %s is recorded %d times", key, state, n)
				}
			}
		}
		// What was pending only is nothing that anybody is told.
		if all = slices.DeleteFunc(all, func(r *monthRow) bool { return r.fires < 0 }); len(all) == 0 {
			delete(found, key)
		} else {
			found[key] = all
		}
	}
	return found
}

// TestASimulatedMonth: in thirty days with an outage, bursts, a paused campaign,
// top-ups, an expiry and noise around a threshold, while aggregators are killed
// twenty times, each kind of rule fires and ends when arithmetic says so and
// never otherwise, and of each the receiver is told under one id.
func TestASimulatedMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("a month takes a minute")
	}
	t.Parallel()
	b := newMonthBed(t)
	expected, err := monthExpected(b.spaces, b.steps)
	if err != nil {
		t.Fatal(err)
	}
	const seed = 30
	random := rand.New(rand.NewPCG(seed, seed))
	kills, doubles := monthPlan(expected, len(b.steps), random)
	b.rules()
	began, counted := time.Now(), b.step(2*monthHistory, 0)
	b.start()
	b.seen()
	crossings, repeated := 0, 0
	for i := 1; i < len(b.steps); i++ {
		if doubles[i] {
			b.start()
		}
		counted = b.step(counted, i)
		if kills[i] {
			// Before, in the middle of, or after the look: it takes about as long.
			<-time.After(rand.N(250 * time.Millisecond))
			b.kill(random.IntN(len(b.members)))
			if len(b.members) == 0 {
				b.start()
			}
			if slices.ContainsFunc(expected, func(e *monthIncident) bool { return e.fires == i || e.ends == i }) {
				crossings++
			}
		}
		b.seen()
	}
	took := time.Since(began)
	found := b.recorded()
	table := b.compare(expected, found)
	total, messages := 0, b.awaitTold(found)
	for id, paths := range messages {
		total += len(paths)
		if repeated += len(paths) - 1; len(paths) > 1 {
			t.Logf("%s came %d times", id, len(paths))
		}
	}
	t.Logf("%d steps with %d kills, %d of them at a crossing, %d with two members, in %s; %d messages came %d times, %d of them again\n%s",
		len(b.steps), len(kills), crossings, len(doubles), took.Round(time.Millisecond), len(messages), total, repeated, table)
	if !t.Failed() {
		checkMonthDocs(t, table)
	}
}

// compare compares what was recorded with what was expected. An incident may be
// seen a step early, by who begins to look while the next step is counted; its
// end a step late, by who has just begun and does not know for how long it has
// been over; and both of freshness another one, by who has yet to see the
// watermark move.
func (b *monthBed) compare(expected []*monthIncident, found map[string][]*monthRow) string {
	b.t.Helper()
	var table strings.Builder
	table.WriteString("| workspace | rule | fires | ends | seen |\n|---|---|---|---|---|\n")
	want := make(map[string][]*monthIncident)
	for _, e := range expected {
		want[e.String()] = append(want[e.String()], e)
	}
	for key, rows := range found {
		if len(rows) > len(want[key]) {
			for _, r := range rows {
				b.t.Errorf("%s: %d incidents, want %d: fired %s, ended %s", key, len(rows), len(want[key]), monthTime(r.fires), monthTime(r.ends))
			}
		}
	}
	for _, e := range expected {
		n := slices.Index(want[e.String()], e)
		seen := "not at all"
		if n < len(found[e.String()]) {
			r := found[e.String()][n]
			seen = "then"
			for k, at := range []time.Duration{r.fires, r.ends} {
				step := []int{e.fires, e.ends}[k]
				if step < 0 && at < 0 {
					continue
				}
				late := k
				if monthRules[e.rule].kind == schemas.Freshness {
					late++
				}
				if step < 0 || at < 0 || at < b.steps[max(e.earliest[k]-1, 0)] || at > b.steps[min(e.latest[k]+late, len(b.steps)-1)] {
					seen = fmt.Sprintf("%s to %s", monthTime(r.fires), monthTime(r.ends))
				}
			}
		}
		about := ""
		if e.earliest[0] != e.latest[0] {
			about = "about "
		}
		ends := "not"
		if e.ends >= 0 {
			ends = monthTime(b.steps[e.ends])
		}
		rule := monthRules[e.rule].id
		if e.subject != "" {
			rule += " of " + e.subject
		}
		if seen != "then" {
			b.t.Errorf("%v, %d: want %s to %s, seen %s", e, n+1, monthTime(b.steps[e.fires]), ends, seen)
		}
		fmt.Fprintf(&table, "| %s | %s | %s%s | %s | %s |\n", e.space.id, rule, about, monthTime(b.steps[e.fires]), ends, seen)
	}
	return table.String()
}

func monthTime(at time.Duration) string {
	if at < 0 {
		return "never"
	}
	return fmt.Sprintf("day %d, %02d:%02d", at/monthDay, at%monthDay/time.Hour, at%time.Hour/time.Minute)
}

// awaitTold waits until the receiver was told of all that is recorded, stops
// who tells, and returns what came: nothing else.
func (b *monthBed) awaitTold(found map[string][]*monthRow) map[string][]string {
	b.t.Helper()
	want := make(map[string]string)
	for key, rows := range found {
		words := strings.Fields(key)
		for _, r := range rows {
			want[r.id+"/firing"] = words[0] + "/" + words[1]
			if r.ends >= 0 {
				want[r.id+"/resolved"] = words[0] + "/" + words[1]
			}
		}
	}
	b.until("the receiver was told", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.told) >= len(want)
	})
	for _, m := range b.members {
		_ = m.stdin.Close() // it finishes what is under way
		<-m.ended
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, path := range want {
		if len(b.told[id]) == 0 {
			b.t.Errorf("nobody was told of %s of %s", id, path)
		}
	}
	for id, paths := range b.told {
		if path := want[id]; slices.ContainsFunc(paths, func(p string) bool { return p != path }) {
			b.t.Errorf("%s came to %q, want %q", id, paths, path)
		}
	}
	return b.told
}

var updateMonth = flag.Bool("update-month", false, "TestASimulatedMonth writes its table to docs/alerts.md")

// checkMonthDocs compares the end of docs/alerts.md, from its mark on, with
// what was seen.
func checkMonthDocs(t *testing.T, table string) {
	t.Helper()
	const path, mark = "../docs/alerts.md", "<!-- TestASimulatedMonth writes what follows: go test ./aggregator -run TestASimulatedMonth -update-month -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, tail, found := strings.Cut(string(text), mark)
	if !found {
		t.Fatalf("%s has no mark", path)
	}
	var want strings.Builder
	want.WriteString("\nThe workspaces:\n\n")
	for _, s := range monthWorld() {
		fmt.Fprintf(&want, "- `%s`: %s\n", s.id, s.story)
	}
	want.WriteString("\nTheir rules, all of them in each workspace:\n\n")
	for _, r := range monthRules {
		fmt.Fprintf(&want, "- `%s` (`%s`, `%s`): %s\n", r.id, r.kind, r.params, r.says)
	}
	want.WriteString("\n" + table)
	switch {
	case tail == want.String():
	case *updateMonth:
		if err := os.WriteFile(path, []byte(head+mark+want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not up to date: run with -update-month", path)
	}
}
