package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// onlyEvent returns the one event of a topic.
func onlyEvent(t *testing.T, broker *storetest.Broker, role schemas.Topic) schemas.Event {
	t.Helper()
	var events []schemas.Event
	decodeAll(t, role, readTopic(t, broker, broker.Topics.Name(role)), 4, func(_ *sentRecord, ev *schemas.Event) { events = append(events, *ev) })
	if len(events) != 1 {
		t.Fatalf("%d events on %s, want 1", len(events), role)
	}
	return events[0]
}

func TestGrantSendsWhatItSays(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	stdout, _, err := runTool(t.Context(), t, "grant", "acme", "1000.5", "--kafka-brokers", broker.Addr, "--class", "promo", "--priority", "5",
		"--grant-id", "g-1", "--effective-at", "2026-12-01", "--expires-at", "2027-01-01T12:00:00+01:00", "--note", "welcome", "--actor", "ops")
	if err != nil {
		t.Fatal(err)
	}
	ev := onlyEvent(t, broker, schemas.LedgerTopic)
	mustContain(t, stdout, "event "+string(ev.ID), "grant g-1")
	if ev.Type != schemas.CreditsGranted || string(ev.WorkspaceID) != "acme" || ev.Credits.String() != "1000.5" || string(ev.GrantID) != "g-1" ||
		ev.Class != schemas.Promo || ev.Priority != 5 || ev.EffectiveAt.String() != "2026-12-01T00:00:00.000Z" ||
		ev.ExpiresAt.String() != "2027-01-01T11:00:00.000Z" || string(ev.Note) != "welcome" || string(ev.Actor) != "ops" || ev.Time != schemas.MillisOf(testNow) {
		t.Errorf("the grant became %+v", ev)
	}
}

func TestGrantDefaultsToAPaidOneFromNowOnForEver(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	if _, _, err := runTool(t.Context(), t, "grant", "add", "void", "1", "--kafka-brokers", broker.Addr); err != nil {
		t.Fatal(err)
	}
	ev := onlyEvent(t, broker, schemas.LedgerTopic)
	if string(ev.WorkspaceID) != "void" || ev.Class != schemas.Paid || ev.Priority != 100 || ev.EffectiveAt != schemas.MillisOf(testNow) ||
		ev.ExpiresAt != schemas.NoInstant || !strings.HasPrefix(string(ev.GrantID), "grant-") {
		t.Errorf("the grant became %+v", ev)
	}
}

func TestGrantAdjustAndVoid(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	if _, _, err := runTool(t.Context(), t, "grant", "adjust", "acme", "--kafka-brokers", broker.Addr, "--grant-id", "g", "--reason", "typo", "--event-id", "e-1", "--", "-12.5"); err != nil {
		t.Fatal(err)
	}
	ev := onlyEvent(t, broker, schemas.LedgerTopic)
	if ev.Type != schemas.CreditsAdjusted || ev.Credits.String() != "-12.5" || string(ev.GrantID) != "g" || string(ev.Note) != "typo" || string(ev.ID) != "e-1" {
		t.Errorf("the adjustment became %+v", ev)
	}
	other := storetest.Kafka(t, storetest.KafkaOptions{})
	if _, _, err := runTool(t.Context(), t, "grant", "void", "acme", "g", "--reason", "twice", "--kafka-brokers", other.Addr); err != nil {
		t.Fatal(err)
	}
	ev = onlyEvent(t, other, schemas.LedgerTopic)
	if ev.Type != schemas.GrantVoided || string(ev.GrantID) != "g" || string(ev.Note) != "twice" {
		t.Errorf("the void became %+v", ev)
	}
}

func TestGrantRefusesWhatWouldBeRejected(t *testing.T) {
	for _, args := range [][]string{
		{"acme", "0"}, {"acme", "1.0000001"}, {"acme", "many"}, {"a b", "1"}, {"acme", "1", "--priority", "1001"}, {"acme", "1", "--class", "gift"},
		{"acme", "1", "--expires-at", "2020-01-01"}, {"acme", "1", "--grant-id", "a/b"}, {"acme"},
	} {
		// No broker listens here: sending would fail in another way.
		_, _, err := runTool(t.Context(), t, append([]string{"grant", "--kafka-brokers", "127.0.0.1:1"}, args...)...)
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%v: %v, want a usage error", args, err)
		}
	}
}

func TestCampaignKeepsWhatIsNotGiven(t *testing.T) {
	database := storetest.ClickHouse(t)
	err := database.Conn(t).Exec(t.Context(), `INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, quota_micro, ends_at) VALUES
		('acme', 'c-1', '2026-11-01 00:00:00', 'e1', 'Old name', 'DRAFT', 5000000, NULL),
		('acme', 'c-1', '2026-11-02 00:00:00', 'e2', 'Name', 'ACTIVE', 7500000, '2026-12-31 00:00:00'),
		('other', 'c-1', '2026-11-03 00:00:00', 'e3', 'Not this', 'COMPLETED', NULL, NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"acme", "c-1", "--status", "PAUSED"}, `Name PAUSED true 7.5 2026-12-31T00:00:00.000Z`},
		{[]string{"acme", "c-1", "--quota", "12.25", "--name", "New", "--ends-at", "2027-01-01"}, `New ACTIVE true 12.25 2027-01-01T00:00:00.000Z`},
		{[]string{"acme", "c-1", "--no-quota"}, `Name ACTIVE false 0 2026-12-31T00:00:00.000Z`},
		{[]string{"acme", "c-1", "--replace", "--name", "New", "--status", "DRAFT"}, `New DRAFT false 0 `},
		{[]string{"acme", "c-2"}, `c-2 ACTIVE false 0 `},
	} {
		broker := storetest.Kafka(t, storetest.KafkaOptions{})
		t.Setenv(passwordVariable, database.Password)
		_, _, err := runTool(t.Context(), t, append([]string{"campaign", "--kafka-brokers", broker.Addr, "--clickhouse-addr", database.Addr,
			"--clickhouse-user", database.User, "--clickhouse-database", database.Name}, test.args...)...)
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
			continue
		}
		ev := onlyEvent(t, broker, schemas.CampaignsTopic)
		quota := "false 0"
		if ev.HasQuota {
			quota = "true " + ev.Quota.String()
		}
		if got := string(ev.Name) + " " + string(ev.Status) + " " + quota + " " + ev.EndsAt.String(); got != test.want {
			t.Errorf("%v became %q, want %q", test.args, got, test.want)
		}
	}
}

func TestCampaignSaysWhatToGiveWithoutClickHouse(t *testing.T) {
	_, _, err := runTool(t.Context(), t, "campaign", "acme", "c-1", "--status", "PAUSED", "--clickhouse-addr", "127.0.0.1:1")
	if err == nil {
		t.Fatal("a state that is not known is overwritten")
	}
	mustContain(t, err.Error(), "--replace")
}
