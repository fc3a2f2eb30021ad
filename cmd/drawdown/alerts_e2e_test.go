package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// alertPartitions is the partition count of the tests of alerts.
const alertPartitions = 4

// alertMaster is what the secrets of webhooks are made of.
var alertMaster = bytes.Repeat([]byte("a master"), 4)

// alerting is consume and aggregate on stores of their own, and a receiver of
// webhooks.
type alerting struct {
	*pipeline
	client   *kafka.Client
	receiver *receiver
	counting *member
	ids      int            // of events
	sent     map[string]int // records per topic
}

// newAlerting starts stores and a consumer.
func newAlerting(t testing.TB) *alerting {
	t.Helper()
	broker := storetest.NewKafka(t, storetest.ProcessOptions{KafkaOptions: storetest.KafkaOptions{Partitions: alertPartitions}, AutoRestart: true})
	a := &alerting{pipeline: newPipeline(t, &broker.Broker, alertPartitions), client: broker.Client(t), sent: map[string]int{}}
	a.receiver = newReceiver(t)
	a.counting = a.newMember()
	a.counting.start()
	a.counting.awaitReady()
	return a
}

// aggregate starts `drawdown aggregate` as a member of a group.
func (a *alerting) aggregate(group string) *member {
	a.t.Helper()
	m := a.newMember()
	m.program = startIn(a.t, []string{"DRAWDOWN_WEBHOOK_SECRET=" + base64.StdEncoding.EncodeToString(alertMaster)}, slices.Concat(
		[]string{
			"aggregate", "--ops-listen", m.ops, "--kafka-group", a.broker.Topics.Consumption + "." + group,
			"--webhook-allow", "127.0.0.0/8", "--webhook-allow-http",
		}, a.sender, a.store(a.access.Addr))...)
	return m
}

// owns says how many partitions an aggregator owns; false while it does not say.
func (m *member) owns() (partitions int, known bool) {
	client := http.Client{Timeout: time.Second}
	response, err := client.Get("http://" + m.ops + "/metrics")
	if err != nil {
		return 0, false
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	_, after, found := strings.Cut(string(text), "\ndrawdown_aggregator_partitions ")
	if err != nil || !found {
		return 0, false
	}
	_, err = fmt.Sscan(after, &partitions)
	return partitions, err == nil
}

// send sends an event of a workspace and returns when the broker has it.
func (a *alerting) send(ev schemas.Event) (at time.Time) {
	a.t.Helper()
	a.ids++
	ev.ID, ev.Source, ev.Actor, ev.Time = fmt.Appendf(nil, "e%d", a.ids), []byte("/test"), []byte("test"), schemas.MillisOf(time.Now())
	topic := a.broker.Topics.Name(ev.Type.Topic())
	at = time.Now()
	produce(a.t, a.client, topic, schemas.Partition(ev.WorkspaceID, alertPartitions),
		kafka.Record{Key: kafka.NewBytes(ev.WorkspaceID), Value: kafka.NewBytes(schemas.EncodeEvent(&ev))})
	a.sent[topic]++
	return at
}

func (a *alerting) grant(workspace string, credits schemas.Credits) {
	a.t.Helper()
	now := schemas.MillisOf(time.Now())
	a.send(schemas.Event{
		Type: schemas.CreditsGranted, WorkspaceID: []byte(workspace), Credits: credits * schemas.MicrosPerCredit,
		GrantID: fmt.Appendf(nil, "g%d", a.ids), Class: schemas.Paid, Priority: 100, EffectiveAt: now - now%60_000, ExpiresAt: schemas.NoInstant,
	})
}

func (a *alerting) use(workspace, campaign string, credits schemas.Credits) time.Time {
	a.t.Helper()
	return a.send(schemas.Event{
		Type: schemas.CreditsConsumed, WorkspaceID: []byte(workspace), CampaignID: []byte(campaign),
		Credits: credits * schemas.MicrosPerCredit, Action: []byte("lead_sourced"),
	})
}

func (a *alerting) quota(workspace, campaign string, credits schemas.Credits) {
	a.t.Helper()
	a.send(schemas.Event{
		Type: schemas.CampaignUpdated, WorkspaceID: []byte(workspace), CampaignID: []byte(campaign), Name: []byte("Campaign"), Status: []byte("ACTIVE"),
		Quota: credits * schemas.MicrosPerCredit, HasQuota: true, StartsAt: schemas.NoInstant, EndsAt: schemas.NoInstant,
	})
}

// watermarkQuery is how far the slowest partition is.
const watermarkQuery = `SELECT min(mark) FROM (
	SELECT topic, kpart, max(watermark) AS mark FROM ingest_progress GROUP BY topic, kpart)`

// counted waits until everything that was sent is counted, and the watermark
// is behind it.
func (a *alerting) counted() {
	a.t.Helper()
	at := time.Now()
	storetest.Wait(a.t, settleWithin, "everything is counted", func() (bool, error) { return a.isCounted(at), nil })
}

// isCounted says whether all that was sent is counted, and the watermark is
// behind at; not while the engine is being started again.
func (a *alerting) isCounted(at time.Time) bool {
	want := 0
	for _, n := range a.sent {
		want += n
	}
	var records uint64
	var watermark time.Time
	return a.tables.QueryRow(a.t.Context(), "SELECT sum(records) FROM ingest_batches").Scan(&records) == nil &&
		a.tables.QueryRow(a.t.Context(), watermarkQuery).Scan(&watermark) == nil &&
		int(records) >= want && watermark.After(at)
}

// alertRule is a version of a rule whose webhook is the receiver.
type alertRule struct {
	workspace, id     string
	version, revision uint32
	kind              schemas.AlertKind
	params            string
	disabled          bool
}

// rules writes versions of rules, as one block under a token of its own.
func (a *alerting) rules(rules ...alertRule) {
	a.t.Helper()
	webhooks, err := json.Marshal([]schemas.AlertWebhook{{URL: a.receiver.URL + "/hook", Format: schemas.StandardFormat}})
	if err != nil {
		a.t.Fatal(err)
	}
	text := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var values []string
	for _, r := range rules {
		values = append(values, fmt.Sprintf("(%s, %s, %d, %d, %s, 'A rule', %t, %s, %s, 1, now64(3), 'test')",
			text(r.workspace), text(r.id), r.version, r.revision, text(string(r.kind)), !r.disabled, text(r.params), text(string(webhooks))))
	}
	a.ids++
	statement := fmt.Sprintf(`INSERT INTO alert_rules (workspace_id, rule_id, version, revision, kind, name, enabled, params, webhooks, secret_version, updated_at, updated_by)
		SETTINGS async_insert = 0, insert_deduplication_token = 'test/%d' VALUES %s`, a.ids, strings.Join(values, ", "))
	storetest.Wait(a.t, settleWithin, "rules are written", func() (bool, error) {
		return a.tables.Exec(a.t.Context(), statement) == nil, nil
	})
}

// incident is an incident as alert_incidents or a message has it.
type incident struct {
	workspace, rule string
	revision        uint32
	subject         string
}

// changes are the rows of alert_incidents of which each incident has some, as
// webhook-ids; false while the engine is away.
func (a *alerting) changes() (changes map[incident][]string, ok bool) {
	rows, err := a.tables.Query(a.t.Context(), `SELECT workspace_id, rule_id, rule_revision, subject, incident_id, toString(state)
		FROM alert_incidents ORDER BY recorded_at, state`)
	if err != nil {
		return nil, false
	}
	defer func() { _ = rows.Close() }()
	changes = map[incident][]string{}
	for rows.Next() {
		var i incident
		var id, state string
		if err := rows.Scan(&i.workspace, &i.rule, &i.revision, &i.subject, &id, &state); err != nil {
			return nil, false
		}
		changes[i] = append(changes[i], id+"/"+state)
	}
	return changes, rows.Err() == nil
}

// delivery is a request that the receiver had.
type delivery struct {
	id     string
	at     time.Time
	status int
	incident
	state string
}

// receiver is who gets webhooks: it verifies each by the library that receivers
// use.
type receiver struct {
	*httptest.Server
	t testing.TB

	mu     sync.Mutex
	status int // of answers
	got    []delivery
	bodies map[string]string // by id
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t, status: http.StatusNoContent, bodies: map[string]string{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the sender was killed
	}
	var m struct {
		Type string
		Data struct {
			WorkspaceID  string `json:"workspace_id"`
			IncidentID   string `json:"incident_id"`
			RuleID       string `json:"rule_id"`
			RuleRevision uint32 `json:"rule_revision"`
			Subject      string
			State        string
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		r.t.Errorf("%v in %s", err, body)
	}
	secret, err := standardwebhooks.NewWebhook(schemas.WebhookSecret(alertMaster, m.Data.WorkspaceID, m.Data.RuleID, 1))
	if err == nil {
		err = secret.Verify(body, request.Header)
	}
	d := delivery{
		id: request.Header.Get("webhook-id"), at: at, state: m.Data.State,
		incident: incident{m.Data.WorkspaceID, m.Data.RuleID, m.Data.RuleRevision, m.Data.Subject},
	}
	if err != nil || d.id != m.Data.IncidentID+"/"+m.Data.State || m.Type != "alert."+m.Data.State {
		r.t.Errorf("a receiver would refuse %s: %v in %s", d.id, err, body)
	}
	r.mu.Lock()
	if before, repeated := r.bodies[d.id]; repeated && before != string(body) {
		r.t.Errorf("%s says something else when it is repeated: %s, before %s", d.id, body, before)
	}
	r.bodies[d.id] = string(body)
	d.status = r.status
	r.got = append(r.got, d)
	r.mu.Unlock()
	w.WriteHeader(d.status)
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// deliveries are the requests so far that were answered with this status.
func (r *receiver) deliveries(status int) (found []delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.got {
		if d.status == status {
			found = append(found, d)
		}
	}
	return found
}

// await waits for a message of an incident and returns when it came first.
func (r *receiver) await(i incident, state string) (at time.Time) {
	r.t.Helper()
	storetest.Wait(r.t, settleWithin, fmt.Sprintf("the receiver has %+v %s", i, state), func() (bool, error) {
		for _, d := range r.deliveries(http.StatusNoContent) {
			if d.incident == i && d.state == state {
				at = d.at
				return true, nil
			}
		}
		return false, nil
	})
	return at
}

// topicEvent is an event of credits.alerts.
type topicEvent struct {
	ID, Type, Subject string
	Data              struct {
		WorkspaceID string `json:"workspace_id"`
		RuleID      string `json:"rule_id"`
	}
}

// topic reads all of credits.alerts.
func (a *alerting) topic() (events []topicEvent) {
	a.t.Helper()
	ends, err := logEnds(a.t.Context(), a.client, a.broker.Topics.Alerts)
	if err != nil {
		a.t.Fatal(err)
	}
	left := int64(0)
	for _, end := range ends {
		left += end
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.broker.Addr), kgo.ConsumeTopics(a.broker.Topics.Alerts), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		a.t.Fatal(err)
	}
	defer client.Close()
	for left > 0 {
		fetches := client.PollFetches(a.t.Context())
		if err := fetches.Err(); err != nil {
			a.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			var e topicEvent
			if err := json.Unmarshal(r.Value, &e); err != nil || string(r.Key) != e.Data.WorkspaceID || e.Subject != e.Data.WorkspaceID {
				a.t.Errorf("%v, key %s in %s", err, r.Key, r.Value)
			}
			events = append(events, e)
		})
	}
	return events
}

// settled waits until every change of state that somebody is told of is settled
// in alert_deliveries, at the topic and, of rules with a row, at the receiver.
func (a *alerting) settled() {
	a.t.Helper()
	storetest.Wait(a.t, settleWithin, "everything is delivered", func() (bool, error) {
		var open uint64
		err := a.tables.QueryRow(a.t.Context(), `SELECT count() FROM (
			SELECT DISTINCT workspace_id, concat(incident_id, '/', state) AS id, arrayJoin(if(startsWith(rule_id, 'default-'), ['topic'], ['topic', 'standard'])) AS format
			FROM alert_incidents WHERE state != 'pending' AND incident_id IN (SELECT incident_id FROM alert_incidents WHERE state = 'firing')
		) WHERE (workspace_id, id, format) NOT IN (
			SELECT workspace_id, webhook_id, toString(format) FROM alert_deliveries WHERE outcome = 'delivered')`).Scan(&open)
		return err == nil && open == 0, nil
	})
}

// stopAll ends programs cleanly.
func (a *alerting) stopAll(members ...*member) {
	a.t.Helper()
	for _, m := range members {
		if code := m.program.Stop(); code != 0 {
			a.t.Errorf("%s exited with %d after SIGTERM", m.program.Name(), code)
		}
	}
}

// TestAnAlertReachesItsReceiver: events that cross a line are with the receiver
// and in the topic, once, also when whoever looks after the workspace is killed
// just before. How long that takes is logged.
func TestAnAlertReachesItsReceiver(t *testing.T) {
	t.Parallel()
	a := newAlerting(t)
	const workspace = "ws_alert"
	a.grant(workspace, 1000)
	a.quota(workspace, "cmp_1", 600)
	a.rules(
		alertRule{workspace: workspace, id: "balance", version: 1, revision: 1, kind: schemas.BalanceBelow, params: `{"credits":500}`},
		alertRule{workspace: workspace, id: "quota", version: 1, revision: 1, kind: schemas.QuotaUsed, params: `{"percent":70}`},
		alertRule{workspace: workspace, id: "all", version: 1, revision: 1, kind: schemas.BalanceBelow, params: `{"credits":0}`},
	)
	a.use(workspace, "cmp_1", 300)
	members := []*member{a.aggregate("aggregators"), a.aggregate("aggregators")}
	storetest.Wait(t, readyWithin, "two aggregators share the partitions", func() (bool, error) {
		first, _ := members[0].owns()
		second, _ := members[1].owns()
		return first == alertPartitions/2 && second == alertPartitions/2, nil
	})
	a.counted()

	took := func(what string, sent time.Time, rule, subject string) {
		t.Helper()
		at := a.receiver.await(incident{workspace, rule, 1, subject}, "firing")
		t.Logf("%s: from event to receiver %s", what, at.Sub(sent).Round(time.Millisecond))
	}
	took("balance below", a.use(workspace, "", 250), "balance", "")
	took("quota used", a.use(workspace, "cmp_1", 150), "quota", "cmp_1")
	a.settled() // so that nothing is repeated, which a kill may lead to
	owner := slices.IndexFunc(members, func(m *member) bool { return len(m.program.Stderr.Lines("msg=alert")) > 0 })
	members[owner].program.Kill()
	took("everything used, after its owner is killed", a.use(workspace, "", 300), "all", "")
	a.settled()
	a.stopAll(members[1-owner], a.counting)

	changes, ok := a.changes()
	if !ok {
		t.Fatal("cannot read what was recorded")
	}
	for i, ids := range changes {
		if len(ids) != 1 {
			t.Errorf("%+v has changes %q", i, ids)
		}
	}
	said := map[string]int{}
	for _, e := range a.topic() {
		if e.Data.RuleID == "balance" || e.Data.RuleID == "quota" || e.Data.RuleID == "all" {
			said[e.Data.RuleID+" "+e.Type]++
		}
	}
	want := map[string]int{"balance alert.firing": 1, "quota alert.firing": 1, "all alert.firing": 1, "all credits.exhausted": 1}
	if !maps.Equal(said, want) {
		t.Errorf("the topic has %v, want %v", said, want)
	}
	if got := len(a.receiver.deliveries(http.StatusNoContent)); got != 3 {
		t.Errorf("the receiver had %d requests, want 3", got)
	}
}
