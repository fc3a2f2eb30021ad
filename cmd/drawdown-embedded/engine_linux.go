package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// engineResult is local_result_v2 of chdb.h.
type engineResult struct {
	_       unsafe.Pointer // buf
	_       uintptr        // len
	_       unsafe.Pointer // vec
	_       float64        // elapsed
	_       uint64         // rows
	_       uint64         // bytes
	message *byte          // NUL-terminated; nil without error
}

// runEngine loads the library and runs it with clickhouse-local's arguments.
// It returns when the last query ends. It may be called once in a process.
func runEngine(library string, args []string) error {
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("cannot load the engine %s: %w", library, err)
	}
	entry, err := purego.Dlsym(handle, "query_stable_v2")
	if err != nil {
		return fmt.Errorf("cannot use %s as an engine: %w", library, err)
	}
	// The engine's own handlers would spend seconds on a stack trace after an
	// abort, refusing every query meanwhile; the supervisor is faster.
	if symbol, err := purego.Dlsym(handle, "chdb_set_signal_handlers_enabled"); err == nil {
		var enable func(on int32)
		purego.RegisterFunc(&enable, symbol)
		enable(0)
	}
	var query func(argc int32, argv unsafe.Pointer) *engineResult
	purego.RegisterFunc(&query, entry)

	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range args {
		p, err := syscall.BytePtrFromString(arg)
		if err != nil {
			return fmt.Errorf("cannot pass %q to the engine: %w", arg, err)
		}
		argv = append(argv, p)
	}
	argv = append(argv, nil)
	result := query(int32(len(args)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if result == nil {
		return errors.New("the engine did not start")
	}
	if result.message != nil {
		return errors.New("the engine failed: " + goString(result.message))
	}
	return nil
}

// goString copies a C string.
func goString(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// replaceStdin makes f the standard input.
func replaceStdin(f *os.File) error { return syscall.Dup3(int(f.Fd()), 0, 0) }

func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
