package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	ClickHouse clickhouseCmd `cmd:"" name:"clickhouse" help:"Run ClickHouse until standard input closes."`
	Kafka      kafkaCmd      `cmd:"" help:"Run a one-node Kafka broker until standard input closes."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code.
func run(args []string) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("drawdown-embedded"),
		kong.Description("The embedded stores of Drawdown, one per process. drawdown up starts and supervises them."),
		kong.Exit(func(code int) { exit = code }),
	)
	if err != nil {
		return failed(err)
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "drawdown-embedded:", err, "(--help tells more)")
		return 2
	}
	err = ctx.Run()
	var usage usageError
	if errors.As(err, &usage) {
		_, _ = fmt.Fprintln(os.Stderr, "drawdown-embedded:", err)
		return 2
	}
	if err != nil {
		return failed(err)
	}
	return 0
}

func failed(err error) int {
	_, _ = fmt.Fprintln(os.Stderr, "drawdown-embedded:", err)
	return 1
}

// usageError is a wrong value of a flag.
type usageError struct{ error }

// stopFlags say what ends a store besides closed standard input.
type stopFlags struct {
	Supervised bool `help:"Leave all signals to the parent, which stops its parts in order; only closed standard input ends this."`
}

// untilStopped returns a context that ends when in closes and, unless this is
// supervised, at SIGTERM and, if a person runs this, at SIGINT.
func (f stopFlags) untilStopped(in *os.File) (context.Context, context.CancelFunc) {
	// A terminal, systemd and container runtimes signal the whole group.
	var signals, ignored []os.Signal
	switch {
	case f.Supervised:
		ignored = []os.Signal{os.Interrupt, syscall.SIGTERM}
	case isTerminal(in):
		signals = []os.Signal{os.Interrupt, syscall.SIGTERM}
	default:
		signals, ignored = []os.Signal{syscall.SIGTERM}, []os.Signal{os.Interrupt}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if len(ignored) > 0 {
		signal.Ignore(ignored...)
	}
	if len(signals) > 0 { // none would mean all
		ctx, cancel = signal.NotifyContext(context.Background(), signals...)
	}
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in) // whatever ends it means nobody holds the other end
	}()
	return ctx, cancel
}

// isTerminal is a guess that suffices here: /dev/null ends at once anyway.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
