package storetest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// RequireStrace skips where strace is missing, and fails in CI.
func RequireStrace(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		skip(t, fmt.Errorf("%w: strace, to kill the engine at a system call: %w", errMissing, err))
	}
}

// attachWithin bounds how long strace takes to reach every thread.
const attachWithin = 2 * time.Minute

// KillAtRename has strace kill the engine at a rename, before the kernel does it:
// the when-th from now on, of those of the given paths if there are any. It
// returns when every thread is watched; lift takes it away again if it has not
// come about.
func (e *Engine) KillAtRename(t testing.TB, when int, paths ...string) (lift func()) {
	t.Helper()
	pid := e.PID()
	args := []string{"-f", "-qq", "-e", "signal=none", "-e", "trace=rename", "-e", fmt.Sprintf("inject=rename:signal=KILL:when=%d", when)}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	strace := exec.Command("strace", append(args, "-p", fmt.Sprint(pid))...)
	said := &Output{}
	strace.Stderr = said
	if err := strace.Start(); err != nil {
		t.Fatalf("cannot start strace: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- strace.Wait() }()
	lifted := false
	lift = func() {
		if lifted {
			return
		}
		lifted = true
		_ = strace.Process.Kill() // gone already if it did its work
		if err := <-ended; err != nil {
			t.Logf("strace: %v", err)
		}
	}
	t.Cleanup(lift)
	Wait(t, attachWithin, "strace is attached to every thread of the engine", func() (bool, error) {
		select {
		case err := <-ended:
			ended <- err
			if e.PID() != pid {
				return true, nil // it did its work at once
			}
			return false, fmt.Errorf("strace ended: %w: %s", err, said)
		default:
		}
		return e.PID() != pid || traced(pid), nil
	})
	return lift
}

// traced reports whether every thread of a process has a tracer.
func traced(pid int) bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, thread.Name()))
		if err == nil && strings.Contains(string(status), "TracerPid:\t0\n") {
			return false
		}
	}
	return true
}
