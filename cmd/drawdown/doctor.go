package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// doctorCmd is `drawdown doctor`: it looks at everything the guarantee leans
// on, changes nothing, and says what is wrong, where, and what cures it.
type doctorCmd struct {
	dataFlags
	kafkaFlags
	clickhouseFlags
	countingFlags
	Cluster    string        `name:"cluster" env:"DRAWDOWN_CLUSTER" help:"ClickHouse cluster with replicated engines; empty: one node."`
	Ops        []string      `name:"ops" placeholder:"HOST:PORT" help:"Ops ports of consumers, which say why a partition is parked."`
	StuckAfter time.Duration `name:"stuck-after" default:"60s" help:"How long a partition may stand still: one that is consumed says so every second, even with no record waiting."`
	MaxParts   uint64        `name:"max-parts" default:"300" help:"Active parts that a partition of a table may have: a tenth of where ClickHouse refuses INSERTs."`
	SlowMerge  time.Duration `name:"slow-merge" default:"3h" help:"How long a merge or mutation may run: longer than one of the largest parts takes."`
	MinFree    float64       `name:"min-free-percent" default:"10" help:"Free space that every disk of ClickHouse must have."`
	MaxSkew    time.Duration `name:"max-skew" default:"2s" help:"How far clocks may be apart."`
	JSON       bool          `name:"json" help:"As one JSON object."`
}

// problem is something wrong.
type problem struct {
	Check string `json:"check"` // stable name of what was looked at
	Where string `json:"where"`
	What  string `json:"what"`
	Fix   string `json:"fix"` // a command
}

// errProblems is why doctor exits with 1; the problems have been printed.
var errProblems = errors.New("problems were found")

// doctorWithin bounds all questions of one kind: a store that does not answer
// is a problem, not a reason to wait.
const doctorWithin = 30 * time.Second

// examination is one run of doctor.
type examination struct {
	*doctorCmd
	env      *env
	conn     driver.Conn   // nil: ClickHouse cannot be reached
	client   *kafka.Client // nil: Kafka cannot be reached
	log      kafkaState
	checks   int
	problems []problem
}

func (x *examination) found(check, where, what, fix string, args ...any) {
	x.problems = append(x.problems, problem{Check: check, Where: where, What: what, Fix: fmt.Sprintf(fix, args...)})
}

// Run examines everything and prints what is wrong.
func (c *doctorCmd) Run(ctx context.Context, env *env) error {
	x := &examination{doctorCmd: c, env: env}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	x.client = &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: transport, Timeout: 10 * time.Second}
	conn, err := c.open(ctx, c.Data)
	if err != nil {
		x.found("clickhouse", "ClickHouse", err.Error(), "drawdown migrate --clickhouse-addr HOST:PORT --clickhouse-database %s", c.Database)
	} else {
		x.conn = conn
		defer func() { _ = conn.Close() }() // only SELECTs went over it
	}
	for _, look := range []func(context.Context) error{
		x.topics, x.topicConfigs, x.group, x.stamps,
		x.version, x.migrations, x.tables, x.views, x.rebuilds, x.settings, x.merges, x.mutations, x.disks, x.clock,
		x.epochs, x.positions, x.ledgerGaps, x.routing, x.clocksOfProducers, x.audited, x.drift, x.parked,
	} {
		bounded, cancel := context.WithTimeout(ctx, doctorWithin)
		err := look(bounded)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x.checks++
		var refused kafkaUnreachable
		switch {
		case errors.As(err, &refused):
			x.found("kafka", strings.Join(c.Brokers, ","), err.Error(), "drawdown doctor --kafka-brokers HOST:PORT   # once the brokers run")
			x.client = nil
		case err != nil:
			x.found("doctor", "a check", err.Error(), "drawdown doctor --log-level debug   # and read the log of the store that is named")
		}
	}
	return x.print()
}

func (x *examination) print() error {
	if x.JSON {
		report := struct {
			Healthy  bool      `json:"healthy"`
			Checks   int       `json:"checks"`
			Problems []problem `json:"problems"`
		}{len(x.problems) == 0, x.checks, x.problems}
		if report.Problems == nil {
			report.Problems = []problem{}
		}
		encoder := json.NewEncoder(x.env.Stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(report); err != nil {
			return fmt.Errorf("cannot print what was found: %w", err)
		}
	} else {
		for _, p := range x.problems {
			fmt.Fprintf(x.env.Stdout, "%s: %s\n  %s\n  fix: %s\n", p.Check, printable(p.Where), printable(p.What), strings.ReplaceAll(p.Fix, "\n", "\n       "))
		}
		fmt.Fprintf(x.env.Stdout, "%d checks, %d problems\n", x.checks, len(x.problems))
	}
	if len(x.problems) > 0 {
		return errProblems
	}
	return nil
}

// rows asks ClickHouse and calls scan for each row; without ClickHouse, which
// has been said, nothing is asked.
func (x *examination) rows(ctx context.Context, query string, scan func(driver.Rows) error, args ...any) (err error) {
	if x.conn == nil {
		return nil
	}
	rows, err := x.conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("cannot ask ClickHouse: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("cannot read an answer of ClickHouse: %w", err)
		}
	}
	return rows.Err()
}

// sql is a fix that is a statement.
func (x *examination) sql(statement string, args ...any) string {
	return fmt.Sprintf("clickhouse client --database %s --query \"%s\"", x.Database, fmt.Sprintf(statement, args...))
}

// alter is a fix that changes a table on every node.
func (x *examination) alter(table, change string) string {
	on := ""
	if x.Cluster != "" {
		on = " ON CLUSTER " + x.Cluster
	}
	return x.sql("ALTER TABLE %s%s %s", table, on, change)
}

// role is the default name of a topic, or its name.
func (x *examination) role(topic string) schemas.Topic {
	if role, ok := x.topicFlags.topics().Role(topic); ok {
		return role
	}
	return schemas.Topic(topic)
}
