package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// serveQuery makes clickhouse-local a server. Its last query reads standard
// input and so lasts until that closes. deploy/embedded grants its session these
// statements and no more.
const serveQuery = "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT count() FROM table FORMAT Null"

// serverStopWithin bounds the clean stop of a clickhouse program.
const serverStopWithin = 15 * time.Second

type clickhouseCmd struct {
	stopFlags
	ConfigFile string `required:"" type:"existingfile" help:"Server configuration: paths, ports, users."`
	Library    string `type:"existingfile" xor:"engine" help:"The engine, libchdb.so."`
	Server     string `type:"existingfile" xor:"engine" help:"A clickhouse program to run instead of the library."`
	LogLevel   string `default:"warning" enum:"error,warning,information,debug,trace" help:"Level of the engine's log file."`
}

func (c *clickhouseCmd) Run() error {
	switch {
	case c.Library != "":
		return c.runLibrary()
	case c.Server != "":
		return c.runServer()
	default:
		return usageError{errors.New("one of --library and --server is required")}
	}
}

// runLibrary serves from inside this process. The engine reads a pipe of ours
// in place of standard input, so that a signal stops it in the same clean way.
func (c *clickhouseCmd) runLibrary() error {
	kept, err := syscall.Dup(0)
	if err != nil {
		return fmt.Errorf("cannot keep standard input: %w", err)
	}
	syscall.CloseOnExec(kept)
	stdin := os.NewFile(uintptr(kept), "stdin")
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot open a pipe: %w", err)
	}
	if err := replaceStdin(read); err != nil {
		return fmt.Errorf("cannot replace standard input: %w", err)
	}
	_ = read.Close() // the copy at 0 stays
	ctx, cancel := c.untilStopped(stdin)
	defer cancel()
	go func() {
		<-ctx.Done()
		_ = write.Close()
	}()

	runtime.LockOSThread() // the engine keeps state per thread
	defer runtime.UnlockOSThread()
	err = runEngine(c.Library, []string{
		"clickhouse", // a program name; the name of a mode would be taken for one
		"--config-file", c.ConfigFile,
		"--log-level", c.LogLevel, // not taken from the file
		"--input-format", "LineAsString",
		"--query", serveQuery,
	})
	if err != nil {
		return err
	}
	if ctx.Err() == nil {
		// The engine reports some errors on standard error only.
		return errors.New("the engine ended by itself")
	}
	return nil
}

// runServer runs a clickhouse program as a child and ends it with us.
func (c *clickhouseCmd) runServer() error {
	ctx, cancel := c.untilStopped(os.Stdin)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Server, "server", "--config-file", c.ConfigFile)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = serverStopWithin
	cmd.SysProcAttr = dieWithParent()
	runtime.LockOSThread() // the kernel's parent-death signal is the thread's
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("%s ended by itself: %w", c.Server, err)
}
