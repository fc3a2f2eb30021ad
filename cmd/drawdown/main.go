// Command drawdown counts credits: it brings events from Kafka into ClickHouse
// exactly once and answers what is left, where it went and when it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the whole command line.
type cli struct {
	Up         upCmd         `cmd:"" help:"Run everything on this machine: Kafka and ClickHouse (embedded unless addresses are given), consumer, aggregator and API."`
	Consume    consumeCmd    `cmd:"" help:"Bring events from Kafka into ClickHouse."`
	Aggregate  aggregateCmd  `cmd:"" help:"Project usage, evaluate alert rules and deliver alerts."`
	Serve      serveCmd      `cmd:"" help:"Serve the HTTP API."`
	Migrate    migrateCmd    `cmd:"" help:"Create the database, its tables and views, and bring them up to date."`
	Grant      grantCmd      `cmd:"" help:"Grant credits to a workspace, or adjust or void a grant."`
	Campaign   campaignCmd   `cmd:"" help:"State what a campaign is: its name, status, quota."`
	SignInLink signInLinkCmd `cmd:"" name:"sign-in-link" help:"Print a one-time link to sign in at a running 'drawdown up'."`
	Simulate   simulateCmd   `cmd:"" help:"Produce events with known totals."`
	Import     importCmd     `cmd:"" help:"Produce the rows of CSV or NDJSON files as events."`
	Rejections rejectionsCmd `cmd:"" help:"List and show the records that were not counted, and send them again."`
	Doctor     doctorCmd     `cmd:"" help:"Say what is wrong with stores, settings, clocks and counting, and what cures it; changes nothing."`
	Audit      auditCmd      `cmd:"" help:"Compare what was counted with the ledger of batches, and the rollups with it; exit 1 where they differ."`
	OpenAPI    openapiCmd    `cmd:"" name:"openapi" help:"Print the OpenAPI 3.1 document of the API."`
	Bench      benchCmd      `cmd:"" help:"Measure."`

	LogLevel  slog.Level `name:"log-level" env:"DRAWDOWN_LOG_LEVEL" default:"info" help:"Least level that is logged: debug, info, warn or error."`
	LogFormat string     `name:"log-format" env:"DRAWDOWN_LOG_FORMAT" default:"text" enum:"text,json" help:"Format of the log on standard error: text or json."`
}

// Exit codes of every command.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
}

// run parses and runs a command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer, environ []string) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("drawdown"),
		kong.Description("Credit usage from Kafka to an answer, exactly once."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "drawdown:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help has been printed
		return exit
	}
	if err == nil {
		err = checkEnvironment(parser.Model, environ)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "drawdown: %v\nTry --help.\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	e := &env{Log: newLog(stderr, c.LogLevel, c.LogFormat), Stdout: stdout, Stderr: stderr, Now: time.Now}
	e.Settings = settings(parsed)
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(e)
	if err := parsed.Run(); err != nil {
		_, _ = fmt.Fprintln(stderr, "drawdown:", err)
		var usage usageError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// usageError marks an error that another command line would cure.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func newLog(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// variablesWithoutFlag are settings that only the environment may carry:
// secrets, and what the embedded stores look for themselves.
var variablesWithoutFlag = []string{passwordVariable, clientSecretVariable, sessionKeyVariable, webhookSecretVariable, "DRAWDOWN_ENGINE"}

// checkEnvironment refuses DRAWDOWN_ variables that nothing reads: a setting
// with a typing error must not pass for the default.
func checkEnvironment(model *kong.Application, environ []string) error {
	known := slices.Clone(variablesWithoutFlag)
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, flag := range n.Flags {
			known = append(known, flag.Envs...)
		}
		for _, child := range n.Children {
			visit(child)
		}
	}
	visit(model.Node)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "DRAWDOWN_") && !slices.Contains(known, name) {
			return fmt.Errorf("environment variable %s is no setting of drawdown; remove it or correct its name", name)
		}
	}
	return nil
}

// settings lists the flags in force as log attributes. No flag carries a
// secret: those come from files and the environment, and are never shown.
func settings(parsed *kong.Context) []any {
	var out []any
	for _, flag := range parsed.Flags() {
		if flag.Name != "help" {
			out = append(out, slog.Any(flag.Name, parsed.FlagValue(flag)))
		}
	}
	return out
}
