package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestDeliveriesVerifyAndSayWhatHappened(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook, chat := newReceiver(t, nil), newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL), slack(chat.URL)}})
	r.incident("ws_a", "rule_1", "i1", "pending")
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.incident("ws_a", "rule_1", "i1", "resolved")
	r.incident("ws_a", "rule_1", "i2", "resolved") // never fired
	r.settle()
	want := []string{"i1/firing", "i1/resolved"}
	if !slices.Equal(hook.ids(), want) || !slices.Equal(chat.ids(), want) {
		t.Fatalf("webhook %q, chat %q", hook.ids(), chat.ids())
	}
	v := verifier(t, "ws_a", "rule_1", 1)
	for _, g := range slices.Concat(hook.requests(), chat.requests()) {
		if err := v.Verify(g.body, g.header); err != nil {
			t.Errorf("%s: %v", g.id, err)
		}
		if err := v.Verify(append(slices.Clone(g.body), ' '), g.header); err == nil {
			t.Errorf("%s verifies although it was altered", g.id)
		}
		if err := verifier(t, "ws_a", "rule_2", 1).Verify(g.body, g.header); err == nil {
			t.Errorf("%s verifies by another rule's secret", g.id)
		}
		replayed := g.header.Clone()
		replayed.Set("webhook-timestamp", fmt.Sprint(time.Now().Unix()+1))
		if err := v.Verify(g.body, replayed); err == nil {
			t.Errorf("%s verifies with another timestamp", g.id)
		}
		renamed := g.header.Clone()
		renamed.Set("webhook-id", "i9/firing")
		if err := v.Verify(g.body, renamed); err == nil {
			t.Errorf("%s verifies with another id", g.id)
		}
	}
	at := r.clock.now().Add(-time.Second).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	data := `{"workspace_id":"ws_a","incident_id":"i1","rule_id":"rule_1","rule_revision":7,"kind":"balance_below","subject":"cmp_7","state":"firing",` +
		`"at":"` + at + `","message":"A <b> & c","detail":{"remaining":"1.5"},"url":"https://credits.test/settings/alerts?incident=i1&workspace=ws_a"}`
	equalJSON(t, hook.requests()[0].body, `{"type":"alert.firing","timestamp":"`+at+`","data":`+data+`}`)
	equalJSON(t, hook.requests()[1].body, `{"type":"alert.resolved","timestamp":"`+at+`","data":`+strings.Replace(data, `"firing"`, `"resolved"`, 1)+`}`)
	equalJSON(t, chat.requests()[1].body, `{"text":"[RESOLVED] A &lt;b&gt; &amp; c\n<https://credits.test/settings/alerts?incident=i1&amp;workspace=ws_a|Open in Drawdown>"}`)
	for _, w := range r.deliveries() {
		if w.outcome != "delivered" || w.attempt != 1 || w.status != 204 || w.reason != "" || w.version != 1 {
			t.Errorf("%+v", w)
		}
	}
	if strings.Contains(r.log.String(), "whsec_") || strings.Contains(r.log.String(), "http://") {
		t.Errorf("the log has secrets or URLs: %s", r.log)
	}
}

func equalJSON(t *testing.T, body []byte, want string) {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if !bytes.Equal(x, y) {
		t.Errorf("got  %s\nwant %s", x, y)
	}
}

func TestOldDeliveriesDoNotVerify(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil)
	r.clock.advance(-6 * time.Minute) // a request of then, replayed now
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	v, g := verifier(t, "ws_a", "rule_1", 1), hook.requests()[0]
	if err := v.Verify(g.body, g.header); err == nil {
		t.Error("a request of six minutes ago verifies")
	}
	if err := v.VerifyIgnoringTimestamp(g.body, g.header); err != nil {
		t.Error(err)
	}
}

func TestBothSecretsAcceptWhileRotating(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil)
	rotated := r.clock.now()
	r.rule(testRule{workspace: "ws_a", id: "rule_1", secretVersion: 3, rotatedAt: &rotated, webhooks: []map[string]string{standard(hook.URL)}})
	for i, step := range []struct {
		after time.Duration
		old   bool
	}{{0, true}, {23 * time.Hour, true}, {2 * time.Hour, false}} {
		r.clock.advance(step.after)
		r.incident("ws_a", "rule_1", name("i", i), "firing")
		r.settle()
		g := hook.requests()[i]
		for version, want := range map[uint32]bool{2: step.old, 3: true, 1: false, 4: false} {
			if err := verifier(t, "ws_a", "rule_1", version).VerifyIgnoringTimestamp(g.body, g.header); (err == nil) != want {
				t.Errorf("step %d, secret %d: %v", i, version, err)
			}
		}
	}
}

// TestReceiverThatIsDownForAnHourGetsAllInOrder: some incidents fire and
// resolve meanwhile; the process is another one in between.
func TestReceiverThatIsDownForAnHourGetsAllInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	begin := r.clock.now()
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) })
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	const incidents = 12
	var want []string
	for i := range incidents {
		r.incident("ws_a", "rule_1", name("i", i), "firing")
		want = append(want, name("i", i)+"/firing")
		if i%2 == 0 {
			r.incident("ws_a", "rule_1", name("i", i), "resolved")
			want = append(want, name("i", i)+"/resolved")
		}
		r.settle()
		r.clock.advance(5 * time.Minute)
		if i == incidents/2 {
			r.n = r.notifier()
		}
	}
	if down := r.clock.now().Sub(begin); down != time.Hour {
		t.Fatalf("down for %s", down)
	}
	tries := len(hook.requests())
	for _, id := range hook.ids() {
		if strings.HasSuffix(id, "resolved") {
			t.Errorf("%s was sent before its firing was delivered", id)
		}
	}
	hook.setAnswer(http.StatusOK)
	r.n = r.notifier()
	for range 15 { // an hour and a bit, by when everything was tried again
		r.clock.advance(5 * time.Minute)
		r.settle()
	}
	after := hook.ids()[tries:]
	sorted := slices.Sorted(slices.Values(after))
	if !slices.Equal(sorted, slices.Sorted(slices.Values(want))) {
		t.Errorf("after the hour came %q, want each of %q once", sorted, want)
	}
	for i := 0; i < incidents; i += 2 {
		if slices.Index(after, name("i", i)+"/firing") > slices.Index(after, name("i", i)+"/resolved") {
			t.Errorf("incident %d resolved before it fired", i)
		}
	}
	if tries > incidents*13 { // 12 ticks of 5 minutes, and the first attempt
		t.Errorf("%d attempts in an hour", tries)
	}
	for _, g := range hook.requests() {
		if err := verifier(t, "ws_a", "rule_1", 1).VerifyIgnoringTimestamp(g.body, g.header); err != nil {
			t.Errorf("%s: %v", g.id, err)
		}
	}
}

func Test410DisablesUntilTheRuleIsWrittenAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	gone, other := newReceiver(t, nil), newReceiver(t, nil)
	gone.setAnswer(http.StatusGone)
	webhooks := []map[string]string{standard(gone.URL), standard(other.URL)}
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: webhooks})
	r.rule(testRule{workspace: "ws_b", id: "rule_1", webhooks: webhooks})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	r.incident("ws_a", "rule_1", "i1", "resolved")
	r.incident("ws_a", "rule_1", "i2", "firing")
	r.n = r.notifier()
	r.settle()
	if ids := gone.ids(); !slices.Equal(ids, []string{"i1/firing"}) {
		t.Errorf("after 410 it got %q", ids)
	}
	if len(other.ids()) != 3 {
		t.Errorf("the other got %q", other.ids())
	}
	for _, w := range r.deliveries() {
		if w.destination == gone.URL && (w.outcome != "disabled" || w.status == 410 != (w.webhookID == "i1/firing")) {
			t.Errorf("%+v", w)
		}
	}
	gone.setAnswer(http.StatusOK)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", version: 2, webhooks: webhooks})
	r.incident("ws_a", "rule_1", "i3", "firing")
	r.incident("ws_b", "rule_1", "i4", "firing") // a rule of the same name
	r.settle()
	if ids := gone.ids(); !slices.Contains(ids, "i3/firing") || !slices.Contains(ids, "i4/firing") || len(ids) != 3 {
		t.Errorf("then %q", ids)
	}
}

func TestOutcomesOfAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for status, want := range map[int]string{
		200: "delivered", 202: "delivered", 299: "delivered", 302: "retrying", 400: "retrying", 401: "retrying",
		404: "retrying", 410: "disabled", 429: "retrying", 500: "retrying", 503: "retrying",
	} {
		hook := newReceiver(t, nil)
		hook.setAnswer(status)
		rule := fmt.Sprint("rule_", status)
		r.rule(testRule{workspace: "ws_a", id: rule, webhooks: []map[string]string{standard(hook.URL)}})
		r.incident("ws_a", rule, rule, "firing")
		defer func() { r.want(rule+"/firing", want) }()
	}
	for i := 0; len(r.deliveries()) < 11 && i < 10; i++ {
		r.step()
	}
}

func TestRetryAfterIsHeededUpToAnHour(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	d := delivery{attempt: 1, msg: &message{recordedAt: now}}
	for header, want := range map[string][2]time.Duration{
		"":                              {3 * time.Second, 7 * time.Second},
		"120":                           {2 * time.Minute, 2 * time.Minute},
		"Wed, 25 Nov 2026 12:10:00 GMT": {10 * time.Minute, 10 * time.Minute},
		"Wed, 25 Nov 2026 11:00:00 GMT": {3 * time.Second, 7 * time.Second},
		"99999999":                      {time.Hour, time.Hour},
		"-1":                            {3 * time.Second, 7 * time.Second},
		"soon":                          {3 * time.Second, 7 * time.Second},
	} {
		a := judge(d, result{status: 503, retryAfter: retryAfter(header, now)}, now)
		if wait := a.nextAt.Sub(now); a.outcome != "retrying" || wait < want[0] || wait > want[1] {
			t.Errorf("%q: %s, %v", header, wait, a.outcome)
		}
	}
	for attempt := uint16(1); attempt < 100; attempt++ {
		if wait := backoff(attempt); wait < 3*time.Second || wait > time.Hour || attempt > 12 && wait < 45*time.Minute {
			t.Errorf("attempt %d waits %s", attempt, wait)
		}
	}
}

func TestGivesUpAfterADay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil)
	hook.setAnswer(http.StatusInternalServerError)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	r.clock.advance(23 * time.Hour)
	r.incident("ws_a", "rule_1", "i1", "resolved")
	r.settle()
	r.want("i1/firing", "retrying", "retrying")
	r.clock.advance(2 * time.Hour)
	hook.setAnswer(http.StatusOK)
	r.settle()
	r.want("i1/firing", "retrying", "retrying", "failed")
	r.want("i1/resolved", "delivered")
	// Found two days late, because nobody ran.
	r.incident("ws_a", "rule_1", "i2", "firing")
	r.clock.advance(48 * time.Hour)
	r.n = r.notifier()
	r.settle()
	r.want("i2/firing", "failed")
	if ids := hook.ids(); !slices.Equal(ids, []string{"i1/firing", "i1/firing", "i1/resolved"}) {
		t.Errorf("%q", ids)
	}
}

func TestSilenceIsRecordedAndKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil)
	until := r.clock.now().Add(time.Hour)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", silencedUntil: &until, webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	r.clock.advance(time.Hour)
	r.incident("ws_a", "rule_1", "i1", "resolved")
	r.incident("ws_a", "rule_1", "i2", "firing")
	r.settle()
	r.want("i1/firing", "silenced")
	r.want("i1/resolved", "silenced")
	r.want("i2/firing", "delivered")
	if ids := hook.ids(); !slices.Equal(ids, []string{"i2/firing"}) {
		t.Errorf("%q", ids)
	}
}

// TestDestinationsFollowTheRule: who was named when it fired, who is named
// while it fires, and who no longer is.
func TestDestinationsFollowTheRule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wrong, right, late := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	wrong.setAnswer(http.StatusNotFound)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(wrong.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing") // still fires when the URL is corrected
	r.incident("ws_a", "rule_1", "i2", "firing") // is over by then
	r.settle()
	r.clock.advance(time.Minute)
	r.incident("ws_a", "rule_1", "i2", "resolved")
	r.clock.advance(time.Minute)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", version: 2, webhooks: []map[string]string{standard(right.URL)}, updatedAt: r.clock.now()})
	r.settle()
	r.incident("ws_a", "rule_1", "i1", "resolved")
	r.settle()
	if ids := right.ids(); !slices.Equal(ids, []string{"i1/firing", "i1/resolved"}) {
		t.Errorf("the corrected URL got %q", ids)
	}
	r.want("i2/firing", "retrying", "disabled")
	// Later yet, with nothing firing, and the rule deleted in the end.
	r.clock.advance(time.Minute)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", version: 3, webhooks: []map[string]string{standard(right.URL), standard(late.URL)}, updatedAt: r.clock.now()})
	r.n = r.notifier()
	r.settle()
	if ids := late.ids(); len(ids) != 0 {
		t.Errorf("a new URL is told of what is over: %q", ids)
	}
	r.clock.advance(time.Minute)
	r.incident("ws_a", "rule_1", "i3", "firing")
	r.settle()
	r.rule(testRule{workspace: "ws_a", id: "rule_1", version: 4, deleted: true, webhooks: []map[string]string{standard(right.URL), standard(late.URL)}, updatedAt: r.clock.now()})
	r.incident("ws_a", "rule_1", "i3", "resolved")
	r.incident("ws_a", "rule_1", "i4", "firing")
	r.settle()
	if ids := late.ids(); !slices.Equal(ids, []string{"i3/firing", "i3/resolved"}) {
		t.Errorf("of a deleted rule came %q", ids)
	}
	r.want("i4/firing", "disabled", "disabled")
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	good := Config{
		ClickHouse: &awayConn{}, Partitions: 1, Owned: func() []int { return nil }, Secret: testMaster,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
	for what, spoil := range map[string]func(*Config){
		"clickhouse": func(c *Config) { c.ClickHouse = nil },
		"owned":      func(c *Config) { c.Owned = nil },
		"partitions": func(c *Config) { c.Partitions = 0 },
		"secret":     func(c *Config) { c.Secret = testMaster[:31] },
		"now":        func(c *Config) { c.Now = nil },
		"log":        func(c *Config) { c.Log = nil },
		"registerer": func(c *Config) { c.Registerer = nil },
	} {
		bad := good
		spoil(&bad)
		if _, err := New(bad); err == nil {
			t.Errorf("made without %s", what)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}
