package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// rejectionsArgs is a database with four rejections and the flags to reach it.
func rejectionsArgs(t *testing.T) []string {
	t.Helper()
	database := storetest.ClickHouse(t)
	err := database.Conn(t).Exec(t.Context(), `INSERT INTO rejections
		(topic, epoch, kpart, koff, kafka_time, workspace_id, code, message, key, value, value_bytes, headers) VALUES
		('credits.consumption', 1, 0, 5, '2026-11-22 09:00:00.123', 'acme', 'invalid_field', 'data.credits: bad\x1b[31m', 'acme', '{"a":\n"é"}', 11, [('trace', 'x'), ('drawdown-origin', 'o')]),
		('credits.consumption', 1, 2, 9, '2026-11-22 08:00:00', 'globex', 'too_late', 'too old', 'globex', '{"b":1}', 7, []),
		('credits.consumption', 1, 3, 1, '2026-11-20 08:00:00', '', 'malformed', 'not JSON', 'k', '\xff\x00\x01', 3, []),
		('credits.ledger', 1, 1, 7, '2026-11-22 09:15:00', 'acme', 'too_large', 'too large', 'acme', 'abc', 2000000, [])`)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(passwordVariable, database.Password)
	return []string{"--clickhouse-addr", database.Addr, "--clickhouse-user", database.User, "--clickhouse-database", database.Name}
}

func TestRejectionsList(t *testing.T) {
	access := rejectionsArgs(t)
	for _, test := range []struct{ args, want string }{
		{"", "credits.ledger/1/7 credits.consumption/0/5 credits.consumption/2/9 credits.consumption/3/1"},
		{"--workspace acme", "credits.ledger/1/7 credits.consumption/0/5"},
		{"--code too_late", "credits.consumption/2/9"},
		{"--topic credits.ledger", "credits.ledger/1/7"},
		{"--since 1h", "credits.ledger/1/7 credits.consumption/0/5"},
		{"--since 2d --topic credits.consumption", "credits.consumption/0/5 credits.consumption/2/9"},
		{"--limit 1", "credits.ledger/1/7"},
		{"--workspace nobody'", ""},
	} {
		stdout, _, err := runTool(t.Context(), t, append(append([]string{"rejections", "list", "--json"}, strings.Fields(test.args)...), access...)...)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		var ids []string
		for line := range strings.Lines(stdout) {
			var r rejectedRecord
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.id())
		}
		if got := strings.Join(ids, " "); got != test.want {
			t.Errorf("%s lists %s, want %s", test.args, got, test.want)
		}
	}
	stdout, _, err := runTool(t.Context(), t, append([]string{"rejections", "list"}, access...)...)
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, stdout, "credits.consumption/0/5", "2026-11-22T09:00:00Z", "invalid_field", "data.credits: bad")
	if strings.Contains(stdout, "\x1b") {
		t.Error("what a producer sent reaches the terminal as an escape")
	}
}

func TestRejectionsShow(t *testing.T) {
	access := rejectionsArgs(t)
	show := func(args ...string) string {
		stdout, _, err := runTool(t.Context(), t, append(append([]string{"rejections", "show"}, args...), access...)...)
		if err != nil {
			t.Fatal(err)
		}
		return stdout
	}
	mustContain(t, show("credits.consumption/0/5"), "invalid_field", "header trace", "11 bytes", `"é"}`, "2026-11-22T09:00:00.123Z")
	mustContain(t, show("credits.consumption/3/1"), "ff 00 01")
	mustContain(t, show("credits.ledger/1/7"), "2000000 bytes", "only the first 3 bytes are kept")
	mustContain(t, show("credits.consumption/3/1", "--json"), `"value_hex": "ff0001"`)
	if _, _, err := runTool(t.Context(), t, append([]string{"rejections", "show", "credits.ledger/1/8"}, access...)...); err == nil {
		t.Error("a rejection is shown that is not there")
	}
}

func TestRejectionsReplaySendsThemAgain(t *testing.T) {
	access := append(rejectionsArgs(t), "--kafka-brokers")
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	access = append(access, broker.Addr)
	stdout, _, err := runTool(t.Context(), t, append([]string{"rejections", "replay", "--since", "7d", "--dry-run"}, access...)...)
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, stdout, "3 records would be sent again, 1 skipped", "credits.ledger/1/7 skipped")
	if n := recordsOf(t, broker, broker.Topics.Consumption); n != 0 {
		t.Fatalf("a dry run sent %d records", n)
	}
	if _, _, err := runTool(t.Context(), t, append([]string{"rejections", "replay", "credits.consumption/0/5", "credits.consumption/2/9", "--allow-late"}, access...)...); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, record := range readTopic(t, broker, broker.Topics.Consumption) {
		if want := schemas.Partition(record.Key, 4); record.partition != want {
			t.Errorf("%s is in partition %d instead of %d", record.Key, record.partition, want)
		}
		var headers []string
		for _, header := range record.Headers {
			headers = append(headers, header.Key+"="+string(header.Value))
		}
		values[string(record.Key)] = string(record.Value) + " " + strings.Join(headers, " ")
	}
	want := map[string]string{"acme": "{\"a\":\n\"é\"} trace=x drawdown-replay=credits.consumption/1/0/5 drawdown-import=replay", "globex": `{"b":1} drawdown-replay=credits.consumption/1/2/9 drawdown-import=replay`}
	for key, value := range want {
		if values[key] != value {
			t.Errorf("%s was sent as %q, want %q", key, values[key], value)
		}
	}
	if len(values) != len(want) {
		t.Errorf("%d records were sent, want %d", len(values), len(want))
	}
	if _, _, err := runTool(t.Context(), t, append([]string{"rejections", "replay"}, access...)...); err == nil {
		t.Error("everything is replayed without being asked for")
	}
}
