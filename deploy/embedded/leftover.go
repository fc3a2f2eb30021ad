package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// leftoverWithin is how long a child of a killed parent may take to go. It
	// is dying already; unmapping the engine's memory takes a second or two.
	leftoverWithin = 20 * time.Second
	// leftoverKill is when a leftover that still lives is killed: it did not
	// see its parent die.
	leftoverKill = 10 * time.Second
	leftoverPoll = 20 * time.Millisecond

	pidFile = "child.pid"
)

// port is an address the child will listen on and the flag that sets it.
type port struct {
	addr string
	flag string
}

// owner is what the pid file says: who runs on a data directory.
type owner struct {
	Child      identity `json:"child"`
	Supervisor identity `json:"supervisor"`
}

// identity names one process for ever: pids are used again, pid and start time
// together are not.
type identity struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // clock ticks since boot; 0 where unknown
}

// alive says whether the process still runs or still holds its files.
func (i identity) alive() bool {
	started, running := processStarted(i.PID)
	return running && (i.Started == 0 || started == 0 || started == i.Started)
}

// awaitLeftover returns once the data directory and the ports are free. A child
// that a killed supervisor left is waited for, and killed when it does not go;
// one that a living supervisor runs is an error, as is a port held by anybody
// else (invariants 2 and 3).
func awaitLeftover(ctx context.Context, c child) error {
	left, err := readPidFile(c.dir)
	if err != nil {
		return err
	}
	if left.Child.alive() && left.Supervisor.alive() { // maybe in this very process
		return fmt.Errorf("data directory %s is in use: process %d runs embedded %s there (pid %d)",
			c.dir, left.Supervisor.PID, c.name, left.Child.PID)
	}
	began := time.Now()
	for killed := false; left.Child.alive(); {
		waited := time.Since(began)
		if waited > leftoverWithin {
			return fmt.Errorf("embedded %s of an earlier run (pid %d) still holds %s after %s", c.name, left.Child.PID, c.dir, leftoverWithin)
		}
		if waited > leftoverKill && !killed {
			c.log.Warn("killing what an earlier run left", "store", c.name, "pid", left.Child.PID)
			killed = true
			if err := killPID(left.Child.PID); err != nil {
				return fmt.Errorf("cannot kill embedded %s of an earlier run (pid %d): %w", c.name, left.Child.PID, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting for embedded %s of an earlier run (pid %d): %w", c.name, left.Child.PID, ctx.Err())
		case <-time.After(leftoverPoll):
		}
	}
	for _, p := range c.ports {
		if err := checkPort(c.name, p); err != nil {
			return err
		}
	}
	return nil
}

// checkPort is nil when nobody listens on the address.
func checkPort(name string, p port) error {
	l, err := net.Listen("tcp", p.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("cannot start embedded %s: %s is taken by another program; choose another address with %s", name, p.addr, p.flag)
	}
	if err != nil {
		return fmt.Errorf("cannot listen on %s for embedded %s (set by %s): %w", p.addr, name, p.flag, err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("cannot close the trial listener on %s: %w", p.addr, err)
	}
	return nil
}

func readPidFile(dir string) (owner, error) {
	var o owner
	b, err := os.ReadFile(filepath.Join(dir, pidFile))
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("cannot read pid file: %w", err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return owner{}, nil // torn by a power cut: nothing of that boot is left
	}
	return o, nil
}

func writePidFile(dir string, pid int) error {
	var o owner
	o.Child.PID, o.Supervisor.PID = pid, os.Getpid()
	o.Child.Started, _ = processStarted(pid)
	o.Supervisor.Started, _ = processStarted(o.Supervisor.PID)
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("cannot encode pid file: %w", err)
	}
	return writeFile(filepath.Join(dir, pidFile), b)
}

func removePidFile(dir string) {
	_ = os.Remove(filepath.Join(dir, pidFile)) // a stale one names a dead process
}

// writeFile replaces a file whole, readable by the owner only.
func writeFile(path string, b []byte) error {
	tmp := path + "." + strconv.Itoa(os.Getpid()) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// killPID sends SIGKILL; a process that is gone is no error.
func killPID(pid int) error {
	err := syscall.Kill(pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
