//go:build unix && !linux

package embedded

import "syscall"

// dieWithParent: here only the closing standard input tells the child.
func dieWithParent() *syscall.SysProcAttr { return nil }

// processStarted knows only whether the process exists.
func processStarted(pid int) (started uint64, running bool) {
	return 0, pid > 0 && syscall.Kill(pid, 0) == nil
}
