package embedded_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/internal/storetest"
)

// parentEnv makes this test binary a parent of both stores, to be killed.
const parentEnv = "EMBEDDED_TEST_PARENT"

func TestMain(m *testing.M) {
	if description := os.Getenv(parentEnv); description != "" {
		if err := beParent(description); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	storetest.Main(m)
}

type stores struct {
	ClickHouse embedded.ClickHouse
	Kafka      embedded.Kafka
}

// beParent starts the stores, prints their pids and waits to be killed.
func beParent(description string) error {
	var s stores
	if err := json.Unmarshal([]byte(description), &s); err != nil {
		return err
	}
	engine, err := s.ClickHouse.Start(context.Background())
	if err != nil {
		return err
	}
	broker, err := s.Kafka.Start(context.Background())
	if err != nil {
		return err
	}
	fmt.Println(engine.PID(), broker.PID())
	select {}
}

func newStores(t *testing.T) stores {
	t.Helper()
	dir := t.TempDir()
	return stores{
		ClickHouse: embedded.ClickHouse{
			Binary: storetest.Helper(t), Library: storetest.Library(t), Dir: filepath.Join(dir, "clickhouse"),
			TCPListen: storetest.FreeAddr(t), HTTPListen: storetest.FreeAddr(t),
		},
		Kafka: embedded.Kafka{Binary: storetest.Helper(t), Dir: filepath.Join(dir, "kafka"), Listen: storetest.FreeAddr(t)},
	}
}

// startParent returns a process that runs the stores, and their pids.
func startParent(t *testing.T, s stores) (parent *exec.Cmd, engine, broker int) {
	t.Helper()
	description, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	parent = exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+string(description))
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = parent.Process.Kill() // dead already, unless the test failed
		_ = parent.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scan := fmt.Sscan(line, &engine, &broker); err != nil || scan != nil {
		t.Fatalf("the parent said %q: %v, %v", line, err, scan)
	}
	return parent, engine, broker
}

func kill(t *testing.T, parent *exec.Cmd) {
	t.Helper()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Fatal("the parent ended by itself")
	}
}

// ended says whether the process is gone or a zombie nobody reaps.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestChildrenDieWithAKilledParent(t *testing.T) {
	parent, engine, broker := startParent(t, newStores(t))
	if ended(engine) || ended(broker) {
		t.Fatal("the stores do not run")
	}
	kill(t, parent)
	storetest.Wait(t, 10*time.Second, "both children are gone", func() (bool, error) {
		return ended(engine) && ended(broker), nil
	})
}

func TestRestartRightAfterAKillWaitsForWhatIsLeft(t *testing.T) {
	s := newStores(t)
	for range 5 {
		parent, _, _ := startParent(t, s)
		kill(t, parent)
		// No pause: ports and locks may still be held.
	}
	engine, err := s.ClickHouse.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broker, err := s.Kafka.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(engine.Stop(t.Context()), broker.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// runHelper starts drawdown-embedded with its standard input held open.
func runHelper(t *testing.T, args ...string) (cmd *exec.Cmd, stdin interface{ Close() error }) {
	t.Helper()
	cmd = exec.Command(storetest.Helper(t), args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // gone already, unless the test failed
	return cmd, in
}

func TestStoresStopCleanlyOnClosedInputAndOnSIGTERM(t *testing.T) {
	s := newStores(t)
	engine, err := s.ClickHouse.Start(t.Context()) // writes the configuration
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	stores := map[string]struct {
		args   []string
		listen string
	}{
		"clickhouse": {[]string{"clickhouse", "--config-file", filepath.Join(s.ClickHouse.Dir, "config.xml"), "--library", s.ClickHouse.Library}, s.ClickHouse.TCPListen},
		"kafka":      {[]string{"kafka", "--dir", s.Kafka.Dir, "--listen", s.Kafka.Listen}, s.Kafka.Listen},
	}
	ways := map[string]func(*exec.Cmd, interface{ Close() error }) error{
		"closed input": func(_ *exec.Cmd, in interface{ Close() error }) error { return in.Close() },
		"SIGTERM": func(cmd *exec.Cmd, _ interface{ Close() error }) error {
			return errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Process.Signal(syscall.SIGTERM))
		},
	}
	for name, store := range stores {
		for way, stop := range ways {
			t.Run(name+" on "+way, func(t *testing.T) {
				cmd, in := runHelper(t, store.args...)
				storetest.Wait(t, within, "it listens", func() (bool, error) { return listens(store.listen), nil })
				if err := stop(cmd, in); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					t.Fatalf("did not stop cleanly: %v", err)
				}
			})
		}
	}
}

// TestClickHouseProgramIsRunAndStopped stands a script in for clickhouse, which
// few machines have: what is tested is that it gets the configuration and
// SIGTERM when the input closes.
func TestClickHouseProgramIsRunAndStopped(t *testing.T) {
	dir := t.TempDir()
	server, started := filepath.Join(dir, "clickhouse"), filepath.Join(dir, "started")
	script := "#!/bin/sh\ntrap 'echo stopped >>" + started + "; exit 0' TERM\necho \"$@\" >" + started + "\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(server, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	config := existing(t, "config.xml")
	cmd, in := runHelper(t, "clickhouse", "--server", server, "--config-file", config)
	said := func() string {
		b, _ := os.ReadFile(started) // not there yet
		return string(b)
	}
	storetest.Wait(t, within, "the program runs", func() (bool, error) { return said() != "", nil })
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("did not stop cleanly: %v", err)
	}
	if want := "server --config-file " + config + "\nstopped\n"; said() != want {
		t.Fatalf("the program saw %q, want %q", said(), want)
	}
}
