package storetest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// commandWithin bounds a command that ends by itself, and a clean stop: the
// longest, an import on a loaded machine, takes half a minute.
const commandWithin = 3 * time.Minute

// groupScript ends the process group $1 when this process is gone, which closes
// its standard input; a line says that the group ended before.
const groupScript = `trap '' INT TERM HUP
read -r _ || kill -9 -"$1"`

// CommandOptions describe a command beside its arguments.
type CommandOptions struct {
	Path  string   // of the program; "" is drawdown
	Env   []string // added to ours, which is without settings of drawdown
	Quiet bool     // nothing is shown of what it said when the test fails
	Stdin bool     // Command.Stdin is open
}

// Command is one run of a program. It leads a process group of its own, which
// ends with the test, however the test ends. Its methods are for the test's
// goroutine.
type Command struct {
	Stdout, Stderr *Output
	StartedAt      time.Time
	Exited         chan struct{}  // closed when the process is reaped
	Stdin          io.WriteCloser // nil unless asked for

	t        testing.TB
	args     []string
	quiet    bool
	cmd      *exec.Cmd
	watchdog *exec.Cmd
	leash    io.WriteCloser
}

// Start runs drawdown, or another program, with these arguments.
func Start(t testing.TB, o CommandOptions, args ...string) *Command {
	t.Helper()
	if o.Path == "" {
		o.Path = Program(t)
	}
	c := &Command{t: t, args: args, quiet: o.Quiet, Exited: make(chan struct{}), Stdout: &Output{}, Stderr: &Output{}}
	c.cmd = exec.Command(o.Path, args...)
	c.cmd.Stdout, c.cmd.Stderr = c.Stdout, c.Stderr
	c.cmd.Dir = os.TempDir() // ./data must never be the package's
	c.cmd.Env = append(cleanEnvironment(t), o.Env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.WaitDelay = 10 * time.Second
	var err error
	if o.Stdin {
		if c.Stdin, err = c.cmd.StdinPipe(); err != nil {
			t.Fatalf("cannot open a pipe to %s: %v", c.Name(), err)
		}
	}
	c.StartedAt = time.Now()
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", c.Name(), err)
	}
	go func() {
		defer close(c.Exited)
		_ = c.cmd.Wait() // the exit code is what is asked for
	}()
	t.Cleanup(c.end)
	c.watch()
	return c
}

// cleanEnvironment is ours without settings of drawdown, and the engine that
// the tests use.
func cleanEnvironment(t testing.TB) []string {
	// What tests count is theirs alone.
	environment := []string{"DRAWDOWN_PROBE_EVERY=0"}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "DRAWDOWN_") {
			environment = append(environment, entry)
		}
	}
	if library := Library(t); library != "" {
		environment = append(environment, "DRAWDOWN_ENGINE="+library)
	}
	return environment
}

func (c *Command) watch() {
	c.t.Helper()
	c.watchdog = exec.Command("/bin/sh", "-c", groupScript, "watchdog", strconv.Itoa(c.PID()))
	c.watchdog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := c.watchdog.StdinPipe()
	if err == nil {
		err = c.watchdog.Start()
	}
	if err != nil {
		c.t.Fatalf("cannot watch %s: %v", c.Name(), err)
	}
	c.leash = leash
}

// Name is the program and its first argument, for messages.
func (c *Command) Name() string {
	return strings.Join(append([]string{filepath.Base(c.cmd.Path)}, c.args[:min(1, len(c.args))]...), " ")
}

// PID is the process id.
func (c *Command) PID() int { return c.cmd.Process.Pid }

// end kills what is left and, where the test failed, shows what was said.
func (c *Command) end() {
	c.Kill()
	if c.t.Failed() && !c.quiet {
		c.t.Logf("the end of what %s said:\n%s", c.Name(), c.Stderr.Tail(6000))
	}
}

// Running says whether the process has not ended.
func (c *Command) Running() bool {
	select {
	case <-c.Exited:
		return false
	default:
		return true
	}
}

// Kill sends SIGKILL to the whole process group and returns when it is gone.
func (c *Command) Kill() {
	_ = syscall.Kill(-c.PID(), syscall.SIGKILL) // fails only if it is gone already
	<-c.Exited
	Wait(c.t, time.Minute, "the process group is gone", func() (bool, error) {
		left, err := GroupMembers(c.PID())
		return len(left) == 0, err
	})
	c.unwatch()
}

// Signal sends a signal to the process alone. One that is gone is no error.
func (c *Command) Signal(sig syscall.Signal) { _ = c.cmd.Process.Signal(sig) }

// Stop sends SIGTERM and returns the exit code when the process has ended.
func (c *Command) Stop() int {
	c.t.Helper()
	c.Signal(syscall.SIGTERM)
	return c.Wait()
}

// Wait returns the exit code when the process has ended by itself.
func (c *Command) Wait() int {
	c.t.Helper()
	select {
	case <-c.Exited:
	case <-time.After(commandWithin):
		c.t.Fatalf("%s did not end within %s", c.Name(), commandWithin)
	}
	c.unwatch()
	return c.cmd.ProcessState.ExitCode()
}

func (c *Command) unwatch() {
	if c.leash != nil {
		_, _ = io.WriteString(c.leash, "gone\n")
		_ = c.leash.Close()
		_ = c.watchdog.Wait() // its exit code says nothing
		c.leash = nil
	}
}

// GroupMembers returns the living processes of a group, with their commands.
func GroupMembers(group int) ([]string, error) {
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

// Output collects what a process says while it is read.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Tail is the end of what was said, so many bytes at the most.
func (o *Output) Tail(limit int) string {
	text := o.String()
	return text[max(0, len(text)-limit):]
}

// Lines returns the lines that contain text.
func (o *Output) Lines(text string) []string {
	var found []string
	for line := range strings.Lines(o.String()) {
		if strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// Probe is nil if a health endpoint, such as readyz, of an ops address answers
// 200, else what it says.
func Probe(ops, endpoint string) error {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + ops + "/" + endpoint)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return err
}
