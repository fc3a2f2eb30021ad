package main_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestUpStartsFromAnEmptyDirectoryAndServes(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	t.Logf("ready %s after the start", s.readyIn.Round(time.Millisecond))

	for name, keys := range map[string][]string{
		"dev.json":        {"token", "url"},
		"clickhouse.json": {"addr", "http", "password", "user"},
	} {
		path := filepath.Join(s.data, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o instead of 600", name, mode)
		}
		var content map[string]string
		readJSON(t, path, &content)
		var found []string
		for key, value := range content {
			found = append(found, key)
			if value == "" {
				t.Errorf("%s: %s is empty", name, key)
			}
		}
		if slices.Sort(found); !slices.Equal(found, keys) {
			t.Errorf("%s has the keys %q instead of %q", name, found, keys)
		}
	}
	if access := s.access(); access.URL != s.api.url {
		t.Errorf("dev.json says %s, the API is at %s", access.URL, s.api.url)
	}
	for _, endpoint := range []string{"readyz", "healthz", "metrics"} {
		if err := storetest.Probe(s.ops, endpoint); err != nil {
			t.Errorf("/%s: %v", endpoint, err)
		}
	}
	var me struct{ Workspaces []any }
	s.api.must("me", nil, &me)
	if err := s.tables().Ping(t.Context()); err != nil {
		t.Errorf("clickhouse.json does not open ClickHouse: %v", err)
	}
	for _, token := range []string{"", "wrong"} {
		stranger := newAPI(t, s.api.url)
		stranger.token = token
		if err := stranger.get("me", nil, &me); !isStatus(err, http.StatusUnauthorized) {
			t.Errorf("with the token %q /v1/me answered %v instead of 401", token, err)
		}
	}
	if printed := s.up.Stdout.String(); !strings.Contains(printed, s.api.url) {
		t.Errorf("up did not print its address: %q", printed)
	}
}

func TestUpKeepsItsDataAndTokenOverRestarts(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	before := s.access()
	mustRun(t, "grant", "ws_kept", "1000", "--kafka-brokers", s.broker)
	awaitRemaining(t, s.api, "ws_kept", 1000_000_000)

	group := s.up.PID()
	began := time.Now()
	if code := s.up.Stop(); code != 0 {
		t.Errorf("after SIGTERM up exited with %d", code)
	}
	t.Logf("stopped %s after SIGTERM", time.Since(began).Round(time.Millisecond))
	left, err := storetest.GroupMembers(group)
	if err != nil || len(left) > 0 {
		t.Errorf("after SIGTERM these are left: %q, %v", left, err)
	}
	for i := 1; i < len(s.flags); i += 2 {
		if !strings.HasSuffix(s.flags[i-1], "-listen") {
			continue
		}
		if conn, err := net.DialTimeout("tcp", s.flags[i], time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("after SIGTERM %s still listens at %s", s.flags[i-1], s.flags[i])
		}
	}

	s.start()
	if after := s.access(); after != before {
		t.Errorf("dev.json was %v before the restart and is %v", before, after)
	}
	awaitRemaining(t, s.api, "ws_kept", 1000_000_000)
	s.up.Kill()
	s.start()
	t.Logf("ready %s after kill -9 and start", s.readyIn.Round(time.Millisecond))
	if after := s.access(); after != before {
		t.Errorf("dev.json was %v before the kill and is %v", before, after)
	}
	awaitRemaining(t, s.api, "ws_kept", 1000_000_000)
}

// A terminal, systemd and container runtimes signal every process of a group;
// the stores have to outlive the consumer all the same.
func TestUpStopsCleanlyWhenItsWholeGroupIsSignalled(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := startStack(t)
		load := start(t, "simulate", "--for", "1h", "--rate", "20000", "--kafka-brokers", s.broker)
		tables := s.tables()
		storetest.Wait(t, settleWithin, "events are counted", func() (bool, error) {
			l, err := readLedger(t.Context(), tables, consumption)
			return l.inserted > 0, err
		})
		_ = tables.Close()
		group := s.up.PID()
		began := time.Now()
		if err := syscall.Kill(-group, signal); err != nil {
			t.Fatal(err)
		}
		if code := s.up.Wait(); code != 0 {
			t.Errorf("after %s to its group up exited with %d", signal, code)
		}
		t.Logf("under load stopped %s after %s to the group", time.Since(began).Round(time.Millisecond), signal)
		if left, err := storetest.GroupMembers(group); err != nil || len(left) > 0 {
			t.Errorf("after %s to its group these are left: %q, %v", signal, left, err)
		}
		for _, complaint := range []string{"level=ERROR", "level=WARN"} {
			if lines := s.up.Stderr.Lines(complaint); len(lines) > 0 {
				t.Errorf("a clean stop by %s complained:\n%s", signal, strings.Join(lines, "\n"))
			}
		}
		load.Kill()
	}
}

func TestUpNamesTheFlagOfATakenPort(t *testing.T) {
	t.Parallel()
	for _, flag := range portFlags {
		s := newStack(t)
		addr := s.flags[slices.Index(s.flags, flag)+1]
		taken, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s.launch()
		code := s.up.Wait()
		_ = taken.Close()
		said := s.up.Stderr.String()
		last := said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:]
		if code != 1 || !strings.Contains(last, flag) || !strings.Contains(last, addr) {
			t.Errorf("with the port of %s taken up exited with %d and said %q", flag, code, last)
		}
		if left, err := storetest.GroupMembers(s.up.PID()); err != nil || len(left) > 0 {
			t.Errorf("with the port of %s taken up left %q, %v", flag, left, err)
		}
	}
}

func TestUpRefusesADataDirectoryInUse(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	second := newStack(t)
	second.flags[slices.Index(second.flags, "--data")+1] = s.data
	second.launch()
	if code := second.up.Wait(); code != 1 {
		t.Errorf("a second up on the directory exited with %d", code)
	}
	if said := second.up.Stderr.String(); !strings.Contains(said, s.data) || !strings.Contains(said, "--data") {
		t.Errorf("the second up does not say what to do: %q", said)
	}
	if err := storetest.Probe(s.ops, "readyz"); err != nil {
		t.Errorf("the first up is disturbed: %v", err)
	}
}

func TestUnknownSettingsAreUsageErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claim       string
		environment []string
		args        []string
		names       string // what the error must name
	}{
		{"an unknown variable", []string{"DRAWDOWN_KAFKA_BROKER=127.0.0.1:1"}, []string{"up"}, "DRAWDOWN_KAFKA_BROKER"},
		{"a wrong value in a variable", []string{"DRAWDOWN_PARTITIONS=many"}, []string{"up"}, "DRAWDOWN_PARTITIONS"},
		{"no command", nil, nil, "expected one of"},
		{"an unknown command", nil, []string{"uq"}, "uq"},
		{"an unknown flag", nil, []string{"up", "--demon"}, "--demon"},
		{"a wrong value of a flag", nil, []string{"consume", "--linger", "soon"}, "--linger"},
		{"a missing argument", nil, []string{"import", "--mapping", repository(t, "docs", "mappings", "online-retail.json")}, "file"},
		{"a missing file", nil, []string{"import", "--mapping", "/does/not/exist.json", "/does/not/exist.csv"}, "/does/not/exist"},
		{"contradicting flags", nil, []string{"import", "--mapping", repository(t, "go.mod"), "--shift-to-now", "--shift-days", "3", repository(t, "go.mod")}, "shift"},
		{"an impossible value", nil, []string{"simulate", "--duplicates", "2"}, "--duplicates"},
	} {
		p := startIn(t, c.environment, c.args...)
		if code := p.Wait(); code != 2 {
			t.Errorf("%s: exit code %d instead of 2", c.claim, code)
		}
		if said := p.Stderr.String(); !strings.Contains(said, c.names) {
			t.Errorf("%s: the error does not name %s: %q", c.claim, c.names, said)
		}
	}
}

var commandLine = regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)*)(?:  |$)`)

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	overview := mustRun(t, "--help")
	_, listed, _ := strings.Cut(overview, "\nCommands:\n")
	commands := []string{"grant", "rejections", "bench"} // which have commands of their own
	for _, match := range commandLine.FindAllStringSubmatch(listed, -1) {
		commands = append(commands, match[1])
	}
	for _, want := range []string{"up", "consume", "serve", "migrate", "campaign", "simulate", "import", "grant add", "rejections list", "bench ingest"} {
		if !slices.Contains(commands, want) {
			t.Errorf("--help does not list %q", want)
		}
	}
	for _, command := range commands {
		help := mustRun(t, append(strings.Fields(command), "--help")...)
		if !strings.HasPrefix(help, "Usage: drawdown "+command) {
			t.Errorf("%s --help begins with %q", command, strings.SplitN(help, "\n", 2)[0])
		}
	}
	t.Logf("%d commands", len(commands))
}

// awaitRemaining waits until a workspace's balance is this many micro-credits.
func awaitRemaining(t testing.TB, a *api, workspace string, micro amount) {
	t.Helper()
	var last balanceAnswer
	var err error
	reached := false
	defer func() {
		if !reached {
			t.Logf("the last balance of %s: %+v, %v", workspace, last, err)
		}
	}()
	storetest.Wait(t, settleWithin, "the balance of "+workspace+" is right", func() (bool, error) {
		last = balanceAnswer{}
		if err = a.get("workspaces/"+workspace+"/balance", nil, &last); err != nil {
			return false, nil // not counted yet, or a store is just coming back
		}
		return last.Remaining == micro, nil
	})
	reached = true
}
