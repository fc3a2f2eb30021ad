//go:build !linux

package storetest

import "syscall"

// apacheAttr is empty where there is no parent-death signal; the watchdog does its work.
func apacheAttr() *syscall.SysProcAttr { return nil }
