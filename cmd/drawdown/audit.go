package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/aggregator/audit"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

// auditCmd is `drawdown audit`: everything compared now, nothing changed.
type auditCmd struct {
	dataFlags
	topicFlags
	clickhouseFlags
	Partitions int               `name:"partitions" env:"DRAWDOWN_PARTITIONS" default:"0" help:"Partitions of each topic; 0: what the consumers have recorded."`
	Epoch      uint32            `name:"epoch" env:"DRAWDOWN_EPOCH" default:"1" help:"Generation of the topics."`
	EventsTTL  schemas.EventsTTL `name:"events-ttl" env:"DRAWDOWN_EVENTS_TTL" default:"13mo" help:"How long raw events are kept; what is older is not audited."`
	From       time.Time         `help:"Only hours of event time from here on, RFC 3339."`
	To         time.Time         `help:"Only hours of event time before, RFC 3339."`
	Workspace  string            `placeholder:"ID" help:"Only hours of this workspace, and ranges of its partition."`
	IDs        bool              `name:"ids" help:"List the ids that came again with another time as well, which reads all ids at once."`
	JSON       bool              `name:"json" help:"As JSON."`
}

// These make the exit code 1.
var (
	errDrift     = errors.New("there is drift")
	errUnsettled = errors.New("figures went on changing, so what differs is not known: run this again, or with a --to that is past")
)

// driftItem is a finding as it is printed.
type driftItem struct {
	Table           string        `json:"table"`
	Topic           string        `json:"topic,omitempty"`
	Partition       int           `json:"partition"`
	First           *int64        `json:"first_offset,omitempty"`
	Last            *int64        `json:"last_offset,omitempty"`
	WorkspaceID     string        `json:"workspace_id,omitempty"`
	Hour            *time.Time    `json:"hour,omitempty"`
	Expected        int64         `json:"expected"`
	Found           int64         `json:"found"`
	ExpectedCredits schemas.Total `json:"expected_credits"`
	FoundCredits    schemas.Total `json:"found_credits"`

	place string
}

// Run compares and prints.
func (c *auditCmd) Run(ctx context.Context, e *env) (err error) {
	if !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To) {
		return usageError{fmt.Errorf("--from %s is not before --to %s: there is no hour between them", c.From.Format(time.RFC3339), c.To.Format(time.RFC3339))}
	}
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	n := network{clickhouse: access, database: c.Database, partitions: c.Partitions}
	if n.partitions, err = recordedPartitions(ctx, e, n, c.Epoch); err != nil {
		return err
	}
	conn, err := clickhouse.Open(n.options())
	if err != nil {
		return fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	scope := audit.Scope{From: schemas.NoInstant, To: schemas.NoInstant, WorkspaceID: c.Workspace, IDs: c.IDs}
	if !c.From.IsZero() {
		scope.From = schemas.MillisOf(c.From)
	}
	if !c.To.IsZero() {
		scope.To = schemas.MillisOf(c.To)
	}
	report, err := audit.New(audit.Config{
		ClickHouse: conn, Topics: c.topics(), Partitions: n.partitions, Epoch: c.Epoch, EventsTTL: c.EventsTTL, Now: e.Now, Log: e.Log,
	}).Check(ctx, scope)
	if err != nil {
		return err
	}
	if err := c.print(e.Stdout, report); err != nil {
		return err
	}
	switch {
	case len(report.Drift) > 0:
		return fmt.Errorf("%w in %d places", errDrift, len(report.Drift))
	case len(report.Unsettled) > 0:
		return fmt.Errorf("in %d places %w", len(report.Unsettled), errUnsettled)
	}
	return nil
}

func (c *auditCmd) print(w io.Writer, report *audit.Report) error {
	itemsOf := func(findings []audits.Finding) []driftItem {
		items := make([]driftItem, len(findings))
		for i := range findings {
			items[i] = itemOf(&findings[i])
		}
		return items
	}
	items, unsettled := itemsOf(report.Drift), itemsOf(report.Unsettled)
	if c.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(struct {
			*audit.Report
			From      time.Time   `json:"from"`
			To        time.Time   `json:"to"`
			Drift     []driftItem `json:"drift"`
			Unsettled []driftItem `json:"unsettled"`
		}{report, report.From.Time(), report.To.Time(), items, unsettled})
	}
	fmt.Fprintf(w, "%d batches and %d hours from %s to %s compared: drift in %d places\n",
		report.Batches, report.Hours, report.From.Time().Format(time.RFC3339), report.To.Time().Format(time.RFC3339), len(items))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(items) > 0 {
		fmt.Fprintln(table, "PLACE\tEXPECTED\tFOUND\tEXPECTED CREDITS\tFOUND CREDITS")
	}
	for _, item := range items {
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\n", item.place, item.Expected, item.Found, item.ExpectedCredits, item.FoundCredits)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot print the drift: %w", err)
	}
	for _, item := range unsettled {
		fmt.Fprintf(w, "%s went on changing and is not known\n", item.place)
	}
	for _, v := range report.UnknownVoids {
		fmt.Fprintf(w, "event %s of workspace %s is about grant %s, which nobody has granted\n", printable(v.EventID), v.WorkspaceID, v.GrantID)
	}
	for _, r := range report.ReusedIDs {
		fmt.Fprintf(w, "id %s of workspace %s was counted %d times, with %d different times\n", printable(r.EventID), r.WorkspaceID, r.Events, r.Times)
	}
	return nil
}

func itemOf(f *audits.Finding) driftItem {
	item := driftItem{
		Table: f.What, Topic: f.Topic, Partition: f.Partition, WorkspaceID: f.WorkspaceID,
		Expected: f.Expected, Found: f.Found, ExpectedCredits: f.ExpectedMicro, FoundCredits: f.FoundMicro, place: f.String(),
	}
	if f.Range() {
		item.First, item.Last = &f.First, &f.Last
	} else {
		hour := f.Hour.Time()
		item.Topic, item.Hour = "", &hour
	}
	return item
}
