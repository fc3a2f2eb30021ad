package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestMergePatchFollowsTheExamplesOfRFC7396(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"credits":0.000001000,"n":12345678901234567890}`, `{"x":1e2}`, `{"credits":0.000001000,"n":12345678901234567890,"x":1e2}`},
	} {
		target, err := decodeObject([]byte(c.target))
		if err != nil {
			t.Fatal(err)
		}
		patch, err := decodeObject([]byte(c.patch))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(mergePatch(target, patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s patched with %s is %s instead of %s (error %v)", c.target, c.patch, got, c.want, err)
		}
	}
}

// replayArgs is a database with rejections that an edit cures, and a broker.
func replayArgs(t *testing.T) (access []string, broker *storetest.Broker) {
	t.Helper()
	access, broker, _ = replayStores(t)
	return access, broker
}

// replayStores are these with the database.
func replayStores(t *testing.T) (access []string, broker *storetest.Broker, database *storetest.Database) {
	t.Helper()
	database = storetest.ClickHouse(t)
	err := database.Conn(t).Exec(t.Context(), `INSERT INTO rejections
		(topic, epoch, kpart, koff, kafka_time, workspace_id, code, message, key, value, value_bytes, headers)
		SELECT topic, 1, 0, koff, '2026-11-22 09:00:00', workspace_id, code, 'm', 'k', value, length(value), headers
		FROM VALUES('topic String, koff UInt64, workspace_id String, code String, value String, headers Array(Tuple(String, String))',
		('credits.consumption', 1, 'acme', 'missing_field', '{"specversion":"1.0","id":"a","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"acme"}}', []),
		('credits.consumption', 2, 'acme', 'conflict', '{"specversion":"1.0","id":"c","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"acme","credits":1.50}}', []),
		('credits.consumption', 3, 'acme', 'conflict', '{"specversion":"1.0","id":"c","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"acme","credits":1.50}}', []),
		('credits.consumption', 4, 'acme', 'conflict', '{"specversion":"1.0","id":"c","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"acme","credits":1.50}}', [('drawdown-replay', 'credits.consumption/1/0/77')]),
		('credits.campaigns', 5, 'acme', 'wrong_topic', '{"specversion":"1.0","id":"w","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"acme","credits":"2"}}', []),
		('credits.consumption', 6, 'globex', 'missing_field', '{"workspace_id":"globex"}', [('ce_specversion','1.0'),('ce_id','b'),('ce_type','credits.consumed'),('ce_time','2026-11-22T09:00:00Z'),('content-type','application/json'),('trace','x')]),
		('credits.consumption', 7, '', 'malformed', '{"specversion":"1.0",}', []))`)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(passwordVariable, database.Password)
	broker = storetest.Kafka(t, storetest.KafkaOptions{})
	return []string{"--clickhouse-addr", database.Addr, "--clickhouse-user", database.User, "--clickhouse-database", database.Name, "--kafka-brokers", broker.Addr}, broker, database
}

// replay runs it and returns what it said.
func replay(t *testing.T, access []string, args ...string) string {
	t.Helper()
	stdout, _, err := runTool(t.Context(), t, append(append([]string{"rejections", "replay"}, args...), access...)...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

// lastOf is the last record of the topic, as value and headers.
func lastOf(t *testing.T, broker *storetest.Broker, topic string) string {
	t.Helper()
	var last *sentRecord
	for _, record := range readTopic(t, broker, topic) {
		if last == nil || record.Timestamp >= last.Timestamp {
			last = &record
		}
	}
	if last == nil {
		return ""
	}
	text := string(last.Key) + " " + string(last.Value)
	for _, header := range last.Headers {
		text += " " + header.Key + "=" + string(header.Value)
	}
	return text
}

func TestRejectionsReplayChangesWhatItSends(t *testing.T) {
	access, broker := replayArgs(t)
	consumption := broker.Topics.Consumption
	script := filepath.Join(t.TempDir(), "cure.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho '{\"specversion\":\"1.0\",\"id\":\"m\",\"type\":\"credits.consumed\",\"time\":\"2026-11-22T09:00:00Z\",\"data\":{\"workspace_id\":\"initech\",\"credits\":3}}' >\"$2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	patch := filepath.Join(t.TempDir(), "patch.json")
	if err := os.WriteFile(patch, []byte(`{"data":{"credits":"7"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		said string // in the output
		want string // the last record on the topic
	}{
		{[]string{"credits.consumption/0/1"}, "will be rejected again: missing_field", ""},
		{[]string{"credits.consumption/0/2"}, "will be rejected again: conflict", ""},
		{
			[]string{"credits.consumption/0/1", "--edit", `{"data":{"credits":"1.25"}}`}, "1 records sent again, 0 skipped\n",
			`acme {"data":{"credits":"1.25","workspace_id":"acme"},"id":"a","specversion":"1.0","time":"2026-11-22T09:00:00Z","type":"credits.consumed"} drawdown-replay=credits.consumption/1/0/1`,
		},
		{
			[]string{"credits.campaigns/0/5"}, "1 records sent again, 0 skipped\n",
			`acme {"specversion":"1.0","id":"w","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"acme","credits":"2"}} drawdown-replay=credits.campaigns/1/0/5`,
		},
		{
			[]string{"credits.consumption/0/6", "--edit", "@" + patch}, "1 records sent again, 0 skipped\n",
			`globex {"data":{"credits":"7","workspace_id":"globex"},"id":"b","specversion":"1.0","time":"2026-11-22T09:00:00Z","type":"credits.consumed"} trace=x drawdown-replay=credits.consumption/1/0/6`,
		},
		{[]string{"credits.consumption/0/7", "--edit", "@" + patch}, "change it with --edit-with", ""},
		{
			[]string{"credits.consumption/0/7", "--edit-with", script + " extra"}, "1 records sent again, 0 skipped\n",
			`initech {"specversion":"1.0","id":"m","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"initech","credits":3}} drawdown-replay=credits.consumption/1/0/7`,
		},
		{
			[]string{"credits.consumption/0/3", "--new-id"}, "as replay:credits.consumption/1/0/2",
			`acme {"data":{"credits":1.50,"workspace_id":"acme"},"id":"replay:credits.consumption/1/0/2","specversion":"1.0","time":"2026-11-22T09:00:00Z","type":"credits.consumed"} drawdown-replay=credits.consumption/1/0/3`,
		},
		{[]string{"credits.consumption/0/4", "--new-id"}, "as replay:credits.consumption/1/0/77", ""},
	} {
		said := replay(t, access, c.args...)
		if !strings.Contains(said, c.said) {
			t.Errorf("replay %q says %q instead of %q", c.args, said, c.said)
		}
		if got := lastOf(t, broker, consumption); c.want != "" && got != c.want {
			t.Errorf("replay %q sent\n%s instead of\n%s", c.args, got, c.want)
		}
	}
}

func TestRejectionsReplayChoosesRangesAndSendsEachOnce(t *testing.T) {
	access, broker := replayArgs(t)
	mustContain(t, replay(t, access, "--topic", "credits.consumption", "--partition", "0", "--from-offset", "2", "--to-offset", "3"), "2 records sent again")
	mustContain(t, replay(t, access, "--code", "conflict", "--new-id"), "2 were sent by a former replay", "1 records sent again")
	mustContain(t, replay(t, access, "--code", "conflict", "--again", "--dry-run"), "3 records would be sent again")
	if n := recordsOf(t, broker, broker.Topics.Consumption); n != 3 {
		t.Errorf("%d records were sent instead of 3", n)
	}
	stdout, _, err := runTool(t.Context(), t, append([]string{"rejections", "list", "--json"}, access[:len(access)-2]...)...)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for line := range strings.Lines(stdout) {
		var r rejectedRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		states[r.id()] = r.Replay + " " + r.ReplayID
	}
	for id, want := range map[string]string{
		"credits.consumption/0/1": " ", "credits.consumption/0/2": "sent c", "credits.consumption/0/4": "sent replay:credits.consumption/1/0/77",
	} {
		if states[id] != want {
			t.Errorf("list says %q of %s instead of %q", states[id], id, want)
		}
	}
	for _, wrong := range [][]string{{"--edit", "["}, {"--edit", `{"a":1} {}`, "--code", "conflict"}, {"--edit", "@/nowhere", "--code", "conflict"}} {
		if _, _, err := runTool(t.Context(), t, append(append([]string{"rejections", "replay"}, wrong...), access...)...); err == nil {
			t.Errorf("replay %q is accepted", wrong)
		}
	}
}

// TestRejectionsReplayedByTwoAtOnceAreSentAsOneEvent has two runs with different
// edits wait for each other in their editors: whatever either makes of a record,
// Kafka gets one of the two.
func TestRejectionsReplayedByTwoAtOnceAreSentAsOneEvent(t *testing.T) {
	access, broker, database := replayStores(t)
	dir := t.TempDir()
	args := func(me, other string) []string {
		script := filepath.Join(dir, me+".sh")
		text := `#!/bin/sh
touch ` + filepath.Join(dir, me) + `
i=0
while [ ! -e ` + filepath.Join(dir, other) + ` ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
echo '{"specversion":"1.0","id":"by-` + me + `","type":"credits.consumed","time":"2026-11-22T09:00:00Z","data":{"workspace_id":"initech","credits":3}}' >"$1"
`
		if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return append([]string{"rejections", "replay", "credits.consumption/0/7", "credits.consumption/0/1", "--edit-with", script}, access...)
	}
	ended := make(chan error, 2)
	for _, one := range [][]string{args("anna", "bert"), args("bert", "anna")} {
		go func() {
			_, _, err := runTool(t.Context(), t, one...)
			ended <- err
		}()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	values := map[string]int{}
	for _, record := range readTopic(t, broker, broker.Topics.Consumption) {
		values[string(record.Value)]++
	}
	if len(values) != 1 {
		t.Errorf("sent %v", values)
	}
	// A later run that would make yet another event of it is told why not.
	third := filepath.Join(dir, "third.sh")
	if err := os.WriteFile(third, []byte("#!/bin/sh\nsed -e s/by-anna/third/ "+filepath.Join(dir, "anna.sh")+" | tail -1 | cut -d \\' -f 2 >\"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	said := replay(t, access, "credits.consumption/0/7", "--edit-with", third)
	mustContain(t, said, "it could count twice", "0 records sent again, 1 skipped")
	mustContain(t, replay(t, access, "credits.consumption/0/7", "--new-id", "--edit-with", filepath.Join(dir, "anna.sh")), "1 records sent again")
	// Once what was sent is rejected, another event may be made of it; not once the
	// same was rejected that was sent in another way.
	rejected := func(offset, headers string) {
		t.Helper()
		err := database.Conn(t).Exec(t.Context(), `INSERT INTO rejections (topic, epoch, kpart, koff, kafka_time, code, value, headers)
			SELECT 'credits.consumption', 1, 0, `+offset+`, now(), 'conflict', value, `+headers+` FROM replay_turns WHERE koff = 7 AND NOT startsWith(event_id, 'replay:')`)
		if err != nil {
			t.Fatal(err)
		}
	}
	rejected("98", "arrayConcat(headers, [('drawdown-import', 'replay')])")
	mustContain(t, replay(t, access, "credits.consumption/0/7", "--edit-with", third), "it could count twice", "0 records sent again, 1 skipped")
	rejected("99", "arrayConcat([('drawdown-origin', 'x')], headers)")
	mustContain(t, replay(t, access, "credits.consumption/0/7", "--edit-with", third), "1 records sent again")
}
