package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	// commandWithin bounds a command that ends by itself, and a clean stop: the
	// longest, an import on a loaded machine, takes half a minute.
	commandWithin = 3 * time.Minute
	// readyWithin bounds a start: two seconds on an idle machine.
	readyWithin = 2 * time.Minute
	// settleWithin bounds how long figures take to hold all that was sent.
	settleWithin = 4 * time.Minute
)

// watchScript ends the process group $1 when this process is gone, which closes
// its standard input; a line says that the group ended before.
const watchScript = `trap '' INT TERM HUP
read -r _ || kill -9 -"$1"`

// program is one run of drawdown. It leads a process group of its own, which
// ends with the test, however the test ends. Its methods are for the test's
// goroutine.
type program struct {
	t              testing.TB
	args           []string
	cmd            *exec.Cmd
	startedAt      time.Time
	exited         chan struct{} // closed when the process is reaped
	stdout, stderr *output
	watchdog       *exec.Cmd
	leash          io.WriteCloser
}

// start runs drawdown with these arguments.
func start(t testing.TB, args ...string) *program { return startIn(t, nil, args...) }

// startIn is start with environment variables of its own.
func startIn(t testing.TB, environment []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, args: args, exited: make(chan struct{}), stdout: &output{}, stderr: &output{}}
	p.cmd = exec.Command(storetest.Program(t), args...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = os.TempDir() // ./data must never be this package's
	p.cmd.Env = append(cleanEnvironment(t), environment...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 10 * time.Second
	p.startedAt = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start drawdown: %v", err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the exit code is what is asked for
	}()
	t.Cleanup(p.end)
	p.watch()
	return p
}

// cleanEnvironment is ours without settings of drawdown, and the engine that
// the tests use.
func cleanEnvironment(t testing.TB) []string {
	var environment []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "DRAWDOWN_") {
			environment = append(environment, entry)
		}
	}
	if library := storetest.Library(t); library != "" {
		environment = append(environment, "DRAWDOWN_ENGINE="+library)
	}
	return environment
}

func (p *program) watch() {
	p.t.Helper()
	p.watchdog = exec.Command("/bin/sh", "-c", watchScript, "watchdog", strconv.Itoa(p.pid()))
	p.watchdog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := p.watchdog.StdinPipe()
	if err == nil {
		err = p.watchdog.Start()
	}
	if err != nil {
		p.t.Fatalf("cannot watch drawdown: %v", err)
	}
	p.leash = leash
}

// name is the command, for messages.
func (p *program) name() string { return strings.Join(p.args[:min(1, len(p.args))], "") }

func (p *program) pid() int { return p.cmd.Process.Pid }

// end kills what is left and, where the test failed, shows what was said.
func (p *program) end() {
	p.kill()
	if p.t.Failed() {
		p.t.Logf("the end of what drawdown %s said:\n%s", p.name(), p.stderr.tail(6000))
	}
}

// running says whether the process has not ended.
func (p *program) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill sends SIGKILL to the whole process group and returns when it is gone.
func (p *program) kill() {
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // fails only if it is gone already
	<-p.exited
	p.awaitGroupGone()
}

// stop sends SIGTERM and returns the exit code when the process has ended.
func (p *program) stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it is gone already
	return p.wait()
}

// wait returns the exit code when the process has ended by itself.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(commandWithin):
		p.t.Fatalf("drawdown %s did not end within %s", p.name(), commandWithin)
	}
	p.unwatch()
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) awaitGroupGone() {
	storetest.Wait(p.t, time.Minute, "the process group is gone", func() (bool, error) {
		left, err := groupMembers(p.pid())
		return len(left) == 0, err
	})
	p.unwatch()
}

func (p *program) unwatch() {
	if p.leash != nil {
		_, _ = io.WriteString(p.leash, "gone\n")
		_ = p.leash.Close()
		_ = p.watchdog.Wait() // its exit code says nothing
		p.leash = nil
	}
}

// groupMembers returns the living processes of a group, with their commands.
func groupMembers(group int) ([]string, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 { // no Linux: only whether there is any
		if syscall.Kill(-group, 0) == nil {
			return []string{fmt.Sprintf("some of group %d", group)}, nil
		}
		return nil, err
	}
	var members []string
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		// proc(5): after the name in parentheses come state, parent, group.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" && fields[0] != "X" {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			members = append(members, strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return members, nil
}

// run runs a command that ends by itself and returns its exit code and output.
func run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, args...)
	code = p.wait()
	return code, p.stdout.String(), p.stderr.String()
}

// mustRun is run for a command that must succeed; it returns its output.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, args...)
	if code != 0 {
		t.Fatalf("drawdown %s exited with %d:\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// output collects what a process says while it is read.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) tail(limit int) string {
	text := o.String()
	return text[max(0, len(text)-limit):]
}

// lines returns the lines that contain text.
func (o *output) lines(text string) []string {
	var found []string
	for line := range strings.Lines(o.String()) {
		if strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// repository is the path of a file of this repository.
func repository(t testing.TB, path ...string) string {
	t.Helper()
	full, err := filepath.Abs(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return full
}
