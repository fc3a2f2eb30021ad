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

// untilStopped returns a context that ends at SIGTERM, at SIGINT if a person
// runs this, and when in closes.
func untilStopped(in *os.File) (context.Context, context.CancelFunc) {
	signals := []os.Signal{syscall.SIGTERM}
	if isTerminal(in) {
		signals = append(signals, os.Interrupt)
	} else {
		signal.Ignore(os.Interrupt)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), signals...)
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
