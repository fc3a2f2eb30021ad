package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sleeper is a process that stands for a leftover child.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // dead already, unless the test failed
		_ = cmd.Wait()
	})
	return cmd
}

func leaveBehind(t *testing.T, o owner) child {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, pidFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return child{name: "clickhouse", dir: dir, log: slog.New(slog.DiscardHandler)}
}

func identify(pid int) identity {
	started, _ := processStarted(pid)
	return identity{PID: pid, Started: started}
}

// gone is a process that ended and was reaped.
func gone(t *testing.T) identity {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return identity{PID: cmd.Process.Pid, Started: 1}
}

func TestLeftoverIsWaitedFor(t *testing.T) {
	left := sleeper(t)
	c := leaveBehind(t, owner{Child: identify(left.Process.Pid), Supervisor: gone(t)})
	waited := make(chan error, 1)
	go func() { waited <- awaitLeftover(t.Context(), c) }()
	select {
	case err := <-waited:
		t.Fatalf("did not wait for a living leftover: %v", err)
	case <-time.After(5 * leftoverPoll):
	}
	if err := left.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Not reaped: a zombie holds nothing.
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
}

func TestWaitForALeftoverEndsWithTheContext(t *testing.T) {
	c := leaveBehind(t, owner{Child: identify(sleeper(t).Process.Pid), Supervisor: gone(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 3*leftoverPoll)
	defer cancel()
	if err := awaitLeftover(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the context's", err)
	}
}

func TestPidThatIsUsedAgainIsNoLeftover(t *testing.T) {
	other := identify(sleeper(t).Process.Pid)
	other.Started--
	if err := awaitLeftover(t.Context(), leaveBehind(t, owner{Child: other, Supervisor: gone(t)})); err != nil {
		t.Fatal(err)
	}
}

func TestTornPidFileIsNoLeftover(t *testing.T) {
	c := leaveBehind(t, owner{})
	if err := os.WriteFile(filepath.Join(c.dir, pidFile), []byte(`{"child":{"pi`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := awaitLeftover(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestMissingEngineSaysWhatToDo(t *testing.T) {
	t.Setenv(EngineEnv, "")
	t.Setenv("PATH", t.TempDir())
	empty := []string{t.TempDir()}
	for platform, want := range map[string][]string{
		"linux/amd64":  {"npm ci", "deploy/embedded", "make engine"},
		"linux/arm64":  {"linux/amd64 only", "@chdb/lib-linux-arm64-gnu", "unverified", "clickhouse program on the PATH"},
		"darwin/arm64": {"linux/amd64 only", "@chdb/lib-darwin-arm64", "unverified", "clickhouse program on the PATH"},
		"plan9/mips":   {"linux/amd64 only", "clickhouse program on the PATH"},
	} {
		_, err := findEngine("", platform, empty)
		if !errors.Is(err, ErrNoEngine) {
			t.Fatalf("%s: error %v, want ErrNoEngine", platform, err)
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q does not say %q", platform, err, part)
			}
		}
	}
}

func TestEngineIsFoundWhereItShouldBe(t *testing.T) {
	t.Setenv(EngineEnv, "")
	t.Setenv("PATH", t.TempDir())
	place := func(parts ...string) string {
		path := filepath.Join(parts...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	find := func(explicit string, roots ...string) engine {
		t.Helper()
		found, err := findEngine(explicit, "linux/amd64", roots)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	bin, work := t.TempDir(), t.TempDir()
	program := place(os.Getenv("PATH"), "clickhouse")
	if got := find("", bin, work); got.server != program || got.library != "" {
		t.Errorf("found %+v, want the program on the PATH", got)
	}
	modules := place(work, "deploy", "embedded", "node_modules", "@chdb", "lib-linux-x64-gnu", "libchdb.so")
	if got := find("", bin, filepath.Join(work, "a", "b")).library; got != modules {
		t.Errorf("found %q, want the one in node_modules of a parent", got)
	}
	beside := place(bin, "libchdb.so")
	if got := find("", bin, work).library; got != beside {
		t.Errorf("found %q, want the one beside the executable", got)
	}
	named := place(t.TempDir(), "named.so")
	t.Setenv(EngineEnv, named)
	if got := find("", bin, work).library; got != named {
		t.Errorf("found %q, want the environment's", got)
	}
	if got := find(beside, bin, work).library; got != beside {
		t.Errorf("found %q, want the explicit one", got)
	}
	if _, err := findEngine(filepath.Join(bin, "nothing.so"), "linux/amd64", []string{bin}); err == nil || !strings.Contains(err.Error(), "nothing.so") {
		t.Errorf("a wrong explicit path: %v", err)
	}
}
