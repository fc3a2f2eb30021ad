package notify

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
)

// ask asks for a test as the query API does.
func (r *rig) ask(workspace, ruleID, id string, version uint32, hook map[string]string) {
	r.t.Helper()
	at := r.clock.now().UTC()
	r.exec(`INSERT INTO alert_deliveries (workspace_id, webhook_id, incident_id, state, rule_id, rule_version, destination, format, at, outcome, next_attempt_at)`,
		workspace, id+"/test", id, "test", ruleID, version, hook["url"], hook["format"], at, "retrying", &at)
}

// TestTestIsOneSignedMessageThatSaysSo: also of a rule that is silenced and
// disabled, whose webhook was written anew after the question; nothing of it
// reaches the topic.
func TestTestIsOneSignedMessageThatSaysSo(t *testing.T) {
	t.Parallel()
	broker := storetest.Kafka(t, storetest.KafkaOptions{Partitions: testPartitions})
	withTopic := func(c *Config) { c.Kafka, c.Topic = broker.Client(t), broker.Topics.Alerts }
	r := newRig(t, withTopic)
	hook, chat, broken := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	broken.setAnswer(http.StatusInternalServerError)
	hooks := []map[string]string{standard(hook.URL), slack(chat.URL), standard(broken.URL)}
	until := r.clock.now().Add(time.Hour)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: hooks, secretVersion: 3})
	for _, h := range hooks {
		r.ask("ws_a", "rule_1", "test-1", 1, h)
	}
	r.rule(testRule{workspace: "ws_a", id: "rule_1", version: 2, webhooks: hooks, secretVersion: 3, disabled: true, silencedUntil: &until})
	r.settle()
	r.clock.advance(time.Hour)
	r.n = r.notifier(withTopic) // another one, that knows nothing but the tables
	r.settle()
	if a, b, c := hook.ids(), chat.ids(), broken.ids(); len(a) != 1 || len(b) != 1 || len(c) != 1 {
		t.Fatalf("sent %q, %q and %q", a, b, c)
	}
	var event webhookEvent
	sent := hook.requests()[0]
	if err := verifier(t, "ws_a", "rule_1", 3).Verify(sent.body, sent.header); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(sent.body, &event); err != nil {
		t.Fatal(err)
	}
	if d := event.Data; sent.id != "test-1/test" || event.Type != "alert.test" || d.State != "test" || d.RuleID != "rule_1" || d.WorkspaceID != "ws_a" ||
		string(d.Detail) != `{"test":true}` || !strings.Contains(d.Message, "This is a test") || !strings.Contains(d.URL, "rule=rule_1") {
		t.Errorf("%s: %s", sent.id, sent.body)
	}
	if text := string(chat.requests()[0].body); !strings.Contains(text, "[TEST] This is a test") {
		t.Errorf("%s", text)
	}
	for url, want := range map[string][]string{hook.URL: {"retrying", "delivered"}, chat.URL: {"retrying", "delivered"}, broken.URL: {"retrying", "failed"}} {
		var got []string
		for _, row := range r.deliveries() {
			if row.destination == url {
				got = append(got, row.outcome)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	for partition := range testPartitions {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker.Addr}, Topic: broker.Topics.Alerts, Partition: partition})
		if lag, err := reader.ReadLag(t.Context()); err != nil || lag != 0 {
			t.Errorf("partition %d of the topic has %d records (%v)", partition, lag, err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTestsThatAreNotSentSayWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.AllowedNetworks = nil })
	hook := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "private", webhooks: []map[string]string{standard(hook.URL)}})
	r.rule(testRule{workspace: "ws_a", id: "deleted", deleted: true, webhooks: []map[string]string{standard(hook.URL)}})
	r.rule(testRule{workspace: "ws_a", id: "other", webhooks: []map[string]string{standard("https://example.com/")}})
	r.ask("ws_a", "private", "test-private", 1, standard(hook.URL))
	r.ask("ws_a", "deleted", "test-deleted", 1, standard(hook.URL))
	r.ask("ws_a", "other", "test-other", 1, standard(hook.URL))
	r.ask("ws_a", "none", "test-none", 1, standard(hook.URL))
	r.settle()
	// Of one that nobody looked at for long.
	r.ask("ws_a", "private", "test-late", 1, standard(hook.URL))
	r.clock.advance(testGiveUpAfter)
	r.settle()
	r.want("test-private/test", "retrying", "refused")
	r.want("test-deleted/test", "retrying", "disabled")
	r.want("test-other/test", "retrying", "disabled")
	r.want("test-none/test", "retrying", "disabled")
	r.want("test-late/test", "retrying", "failed")
	if got := hook.ids(); len(got) != 0 {
		t.Errorf("sent %q", got)
	}
}
