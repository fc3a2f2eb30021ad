package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// rejectionsCmd is `drawdown rejections`: the records that were not counted.
type rejectionsCmd struct {
	List   rejectionsListCmd   `cmd:"" help:"List them, newest first."`
	Show   rejectionsShowCmd   `cmd:"" help:"Show one with its value and headers."`
	Replay rejectionsReplayCmd `cmd:"" help:"Produce some again, once their cause is gone."`
}

// rejectionFilter chooses rejections.
type rejectionFilter struct {
	Workspace string   `placeholder:"ID" help:"Of this workspace."`
	Code      string   `placeholder:"CODE" help:"With this code, such as invalid_field."`
	Topic     string   `placeholder:"TOPIC" help:"Read from this topic."`
	Since     daysFlag `placeholder:"DURATION" help:"That came to Kafka within this time, such as 2h or 7d."`
	Partition int64    `default:"-1" help:"Read from this partition; -1: any."`
	From      uint64   `name:"from-offset" placeholder:"OFFSET" help:"From this offset of a partition on."`
	To        *uint64  `name:"to-offset" placeholder:"OFFSET" help:"Up to this offset, inclusive."`
}

// chooses reports whether any rejection is left out.
func (f rejectionFilter) chooses() bool {
	return f.Workspace != "" || f.Code != "" || f.Topic != "" || f.Since != 0 || f.Partition >= 0 || f.From > 0 || f.To != nil
}

// rejectedRecord is one row of table rejections.
type rejectedRecord struct {
	Topic       string            `json:"topic"`
	Epoch       uint32            `json:"epoch"`
	Partition   uint16            `json:"partition"`
	Offset      uint64            `json:"offset"`
	KafkaTime   time.Time         `json:"kafka_time"`
	WorkspaceID string            `json:"workspace_id"`
	Code        string            `json:"code"`
	Message     string            `json:"message"`
	Key         string            `json:"key"`
	Value       string            `json:"value,omitempty"`
	ValueHex    string            `json:"value_hex,omitempty"` // instead of a value that is not UTF-8
	ValueBytes  uint64            `json:"value_bytes"`         // of the whole value; the first 64 KiB are kept
	Headers     []rejectionHeader `json:"headers"`
	Replay      string            `json:"replay,omitempty"`    // sending or sent: what became of it by replay
	ReplayAt    *time.Time        `json:"replay_at,omitempty"` // when
	ReplayID    string            `json:"replay_id,omitempty"` // event id under which it was sent
}

type rejectionHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// id is how list prints a rejection and show and replay take it.
func (r *rejectedRecord) id() string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// replayed says when it was sent again, or that a replay did not end.
func (r *rejectedRecord) replayed() string {
	switch r.Replay {
	case "":
		return "-"
	case replaySent:
		return r.ReplayAt.UTC().Format(time.RFC3339)
	}
	return "interrupted"
}

// replaceBinary puts bytes that are not UTF-8 into hexadecimal digits.
func (r *rejectedRecord) replaceBinary() {
	if !utf8.ValidString(r.Value) {
		r.ValueHex, r.Value = hex.EncodeToString([]byte(r.Value)), ""
	}
}

// What became of a rejection by replay; the last thing said holds.
const lastReplays = `
SELECT topic, epoch, kpart, koff, argMax((state, at, event_id), (at, state)) AS last
FROM rejection_replays
GROUP BY topic, epoch, kpart, koff`

// One statement for all commands; a parameter that is empty or 0 does not
// choose. The value is read only where it is shown.
const rejectionsQuery = `
SELECT topic, epoch, kpart, koff, kafka_time, workspace_id, code, message, key,
    if({values:UInt8} = 1, value, '') AS value, value_bytes, headers,
    last.1 AS replay, last.2 AS replay_at, last.3 AS replay_id
FROM rejections
LEFT JOIN (` + lastReplays + `) AS replays USING (topic, epoch, kpart, koff)
WHERE ({workspace:String} = '' OR workspace_id = {workspace:String})
  AND ({code:String} = '' OR code = {code:String})
  AND ({topic:String} = '' OR topic = {topic:String})
  AND ({since_ms:Int64} = 0 OR kafka_time >= fromUnixTimestamp64Milli({since_ms:Int64}))
  AND ({partition:Int64} < 0 OR kpart = {partition:Int64})
  AND koff BETWEEN {from:UInt64} AND {to:UInt64}
ORDER BY kafka_time DESC, epoch DESC, topic, kpart, koff DESC
LIMIT {limit:UInt64}`

// rejectionsQueryOptions are the parameters of rejectionsQuery.
type rejectionsQueryOptions struct {
	filter rejectionFilter
	since  time.Time
	limit  uint64
	values bool
}

func (o rejectionsQueryOptions) parameters() clickhouse.Parameters {
	values, since, to := "0", int64(0), uint64(math.MaxUint64)
	if o.values {
		values = "1"
	}
	if !o.since.IsZero() {
		since = o.since.UnixMilli()
	}
	if o.filter.To != nil {
		to = *o.filter.To
	}
	return clickhouse.Parameters{
		"workspace": o.filter.Workspace, "code": o.filter.Code, "topic": o.filter.Topic,
		"since_ms":  strconv.FormatInt(since, 10),
		"partition": strconv.FormatInt(o.filter.Partition, 10),
		"from":      strconv.FormatUint(o.filter.From, 10), "to": strconv.FormatUint(to, 10),
		"limit": strconv.FormatUint(o.limit, 10), "values": values,
	}
}

func readRejections(ctx context.Context, conn driver.Conn, o rejectionsQueryOptions) (found []rejectedRecord, err error) {
	rows, err := conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(o.parameters())), rejectionsQuery)
	if err != nil {
		return nil, fmt.Errorf("cannot read the rejections: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			r       rejectedRecord
			headers [][]any
			at      time.Time
		)
		if err := rows.Scan(&r.Topic, &r.Epoch, &r.Partition, &r.Offset, &r.KafkaTime, &r.WorkspaceID, &r.Code,
			&r.Message, &r.Key, &r.Value, &r.ValueBytes, &headers, &r.Replay, &at, &r.ReplayID); err != nil {
			return nil, fmt.Errorf("cannot read a rejection: %w", err)
		}
		r.Headers = headersOf(headers)
		if r.Replay != "" {
			r.ReplayAt = &at
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// headersOf is Array(Tuple(String, String)) as the driver gives it.
func headersOf(pairs [][]any) (headers []rejectionHeader) {
	for _, pair := range pairs {
		key, _ := pair[0].(string)
		value, _ := pair[1].(string)
		headers = append(headers, rejectionHeader{Key: key, Value: value})
	}
	return headers
}

// rejectionsFlags are what all three commands have.
type rejectionsFlags struct {
	Clickhouse clickhouseFlags `embed:""`
	dataFlags
}

func (f rejectionsFlags) read(ctx context.Context, o rejectionsQueryOptions) (found []rejectedRecord, err error) {
	conn, err := f.Clickhouse.open(ctx, f.Data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return readRejections(ctx, conn, o)
}

// options turns the flags into a query.
func (f rejectionFilter) options(now time.Time, limit uint64) rejectionsQueryOptions {
	o := rejectionsQueryOptions{filter: f, limit: limit}
	if f.Since > 0 {
		o.since = now.Add(-time.Duration(f.Since))
	}
	return o
}

type rejectionsListCmd struct {
	rejectionsFlags
	rejectionFilter
	Limit uint64 `default:"50" help:"At most so many."`
	JSON  bool   `name:"json" help:"One JSON object per line."`
}

// Run prints the rejections.
func (c *rejectionsListCmd) Run(ctx context.Context, env *env) error {
	found, err := c.read(ctx, c.options(env.Now(), c.Limit))
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(env.Stdout)
		for _, r := range found {
			r.replaceBinary()
			if err := encoder.Encode(r); err != nil {
				return fmt.Errorf("cannot print a rejection: %w", err)
			}
		}
		return nil
	}
	if len(found) == 0 {
		fmt.Fprintln(env.Stdout, "no rejections")
		return nil
	}
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RECORD\tTIME\tCODE\tWORKSPACE\tREPLAYED\tMESSAGE")
	for _, r := range found {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.id(), r.KafkaTime.UTC().Format(time.RFC3339), r.Code, r.WorkspaceID, r.replayed(), printable(r.Message))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot print the rejections: %w", err)
	}
	if uint64(len(found)) == c.Limit {
		fmt.Fprintf(env.Stdout, "there may be more: these are the newest %d (--limit)\n", c.Limit)
	}
	return nil
}

// printable keeps what producers sent from steering a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// recordID is topic/partition/offset.
type recordID struct {
	topic             string
	partition, offset int64
}

// UnmarshalText reads what list prints; kong calls it.
func (id *recordID) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) == 3 && parts[0] != "" {
		partition, err1 := strconv.ParseUint(parts[1], 10, 31)
		offset, err2 := strconv.ParseUint(parts[2], 10, 63)
		if err1 == nil && err2 == nil {
			*id = recordID{topic: parts[0], partition: int64(partition), offset: int64(offset)}
			return nil
		}
	}
	return fmt.Errorf("%q is no record: want topic/partition/offset, as 'rejections list' prints it", text)
}

func (id recordID) options() rejectionsQueryOptions {
	at := uint64(id.offset)
	return rejectionsQueryOptions{
		filter: rejectionFilter{Topic: id.topic, Partition: id.partition, From: at, To: &at},
		limit:  1, values: true,
	}
}

type rejectionsShowCmd struct {
	rejectionsFlags
	Record recordID `arg:"" help:"topic/partition/offset, as list prints it; of several epochs the latest."`
	JSON   bool     `name:"json" help:"As JSON."`
}

// Run prints one rejection.
func (c *rejectionsShowCmd) Run(ctx context.Context, env *env) error {
	found, err := c.read(ctx, c.Record.options())
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("there is no rejection %s/%d/%d", c.Record.topic, c.Record.partition, c.Record.offset)
	}
	r := found[0]
	r.replaceBinary()
	if c.JSON {
		encoder := json.NewEncoder(env.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	return r.print(env.Stdout)
}

func (r *rejectedRecord) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "record\t%s (epoch %d)\n", r.id(), r.Epoch)
	fmt.Fprintf(table, "time\t%s\n", r.KafkaTime.UTC().Format("2006-01-02T15:04:05.000Z"))
	fmt.Fprintf(table, "code\t%s\n", r.Code)
	fmt.Fprintf(table, "message\t%s\n", printable(r.Message))
	fmt.Fprintf(table, "workspace\t%s\n", r.WorkspaceID)
	fmt.Fprintf(table, "key\t%s\n", printable(r.Key))
	for _, header := range r.Headers {
		fmt.Fprintf(table, "header %s\t%s\n", printable(header.Key), printable(header.Value))
	}
	if r.Replay != "" {
		fmt.Fprintf(table, "replayed\t%s, as event %s\n", r.replayed(), printable(r.ReplayID))
	}
	fmt.Fprintf(table, "value\t%d bytes\n", r.ValueBytes)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot print the rejection: %w", err)
	}
	kept := uint64(len(r.Value) + len(r.ValueHex)/2)
	if r.ValueHex != "" {
		raw, err := hex.DecodeString(r.ValueHex)
		if err != nil {
			return fmt.Errorf("cannot print the value: %w", err)
		}
		fmt.Fprint(w, hex.Dump(raw))
	} else {
		for line := range strings.Lines(r.Value) {
			fmt.Fprintln(w, printable(strings.TrimRight(line, "\r\n")))
		}
	}
	if kept < r.ValueBytes {
		fmt.Fprintf(w, "(only the first %d bytes are kept)\n", kept)
	}
	return nil
}
