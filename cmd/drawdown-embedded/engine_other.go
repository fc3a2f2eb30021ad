//go:build unix && !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

// runEngine: the library was never run here.
func runEngine(string, []string) error {
	return errors.New("the engine library is supported on linux only; use --server with a clickhouse program")
}

func replaceStdin(f *os.File) error { return syscall.Dup2(int(f.Fd()), 0) }

func dieWithParent() *syscall.SysProcAttr { return nil }
