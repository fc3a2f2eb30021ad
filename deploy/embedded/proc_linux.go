package embedded

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// dieWithParent has the kernel kill the child when its parent's thread ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// processStarted returns when the process started, in clock ticks since boot,
// and whether it still runs. One that has ended but was not reaped counts as
// gone unless a thread of it lives: until the last one ends its ports and locks
// are held.
func processStarted(pid int) (started uint64, running bool) {
	if pid <= 0 {
		return 0, false
	}
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, false
	}
	// proc(5): the name in parentheses may hold anything, the fields after the
	// last one are plain; state is the 3rd field, starttime the 22nd.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, false
	}
	started, err = strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return 0, false
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		tasks, err := os.ReadDir(dir + "/task")
		return started, err == nil && len(tasks) > 1
	}
	return started, true
}
