package storetest

import "syscall"

// apacheAttr makes the kernel kill the broker when the thread that started it ends.
func apacheAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
