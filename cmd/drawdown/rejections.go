package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
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
	Limit     uint64   `default:"50" help:"At most so many."`
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
}

type rejectionHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// id is how list prints a rejection and show and replay take it.
func (r *rejectedRecord) id() string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// replaceBinary puts bytes that are not UTF-8 into hexadecimal digits.
func (r *rejectedRecord) replaceBinary() {
	if !utf8.ValidString(r.Value) {
		r.ValueHex, r.Value = hex.EncodeToString([]byte(r.Value)), ""
	}
}

// One statement for all three commands; a parameter that is empty or 0 does
// not choose. The value is read only where it is shown.
const rejectionsQuery = `
SELECT topic, epoch, kpart, koff, kafka_time, workspace_id, code, message, key,
    if({values:UInt8} = 1, value, '') AS value, value_bytes, headers
FROM rejections
WHERE ({workspace:String} = '' OR workspace_id = {workspace:String})
  AND ({code:String} = '' OR code = {code:String})
  AND ({topic:String} = '' OR topic = {topic:String})
  AND ({since_ms:Int64} = 0 OR kafka_time >= fromUnixTimestamp64Milli({since_ms:Int64}))
  AND ({partition:Int64} < 0 OR kpart = {partition:Int64})
  AND ({offset:Int64} < 0 OR koff = {offset:Int64})
ORDER BY kafka_time DESC, epoch DESC, topic, kpart, koff DESC
LIMIT {limit:UInt64}`

// rejectionsQueryOptions are the parameters of rejectionsQuery.
type rejectionsQueryOptions struct {
	filter            rejectionFilter
	since             time.Time
	partition, offset int64 // -1: any
	values            bool
}

func readRejections(ctx context.Context, conn driver.Conn, o rejectionsQueryOptions) (found []rejectedRecord, err error) {
	values, since := "0", int64(0)
	if o.values {
		values = "1"
	}
	if !o.since.IsZero() {
		since = o.since.UnixMilli()
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{
		"workspace": o.filter.Workspace, "code": o.filter.Code, "topic": o.filter.Topic,
		"since_ms":  strconv.FormatInt(since, 10),
		"partition": strconv.FormatInt(o.partition, 10), "offset": strconv.FormatInt(o.offset, 10),
		"limit": strconv.FormatUint(o.filter.Limit, 10), "values": values,
	}))
	rows, err := conn.Query(ctx, rejectionsQuery)
	if err != nil {
		return nil, fmt.Errorf("cannot read the rejections: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			r       rejectedRecord
			headers [][]any
		)
		if err := rows.Scan(&r.Topic, &r.Epoch, &r.Partition, &r.Offset, &r.KafkaTime, &r.WorkspaceID, &r.Code,
			&r.Message, &r.Key, &r.Value, &r.ValueBytes, &headers); err != nil {
			return nil, fmt.Errorf("cannot read a rejection: %w", err)
		}
		for _, header := range headers {
			key, _ := header[0].(string)
			value, _ := header[1].(string)
			r.Headers = append(r.Headers, rejectionHeader{Key: key, Value: value})
		}
		found = append(found, r)
	}
	return found, rows.Err()
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
func (f rejectionFilter) options(now time.Time) rejectionsQueryOptions {
	o := rejectionsQueryOptions{filter: f, partition: -1, offset: -1}
	if f.Since > 0 {
		o.since = now.Add(-time.Duration(f.Since))
	}
	return o
}

type rejectionsListCmd struct {
	rejectionsFlags
	rejectionFilter
	JSON bool `name:"json" help:"One JSON object per line."`
}

// Run prints the rejections.
func (c *rejectionsListCmd) Run(ctx context.Context, env *env) error {
	found, err := c.read(ctx, c.options(env.Now()))
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
	fmt.Fprintln(table, "RECORD\tTIME\tCODE\tWORKSPACE\tMESSAGE")
	for _, r := range found {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.id(), r.KafkaTime.UTC().Format(time.RFC3339), r.Code, r.WorkspaceID, printable(r.Message))
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
	return rejectionsQueryOptions{
		filter:    rejectionFilter{Topic: id.topic, Limit: 1},
		partition: id.partition, offset: id.offset, values: true,
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

type rejectionsReplayCmd struct {
	rejectionsFlags
	rejectionFilter
	Kafka     kafkaFlags `embed:""`
	Records   []recordID `arg:"" optional:"" help:"topic/partition/offset, as list prints them; none: all that the filters choose."`
	AllowLate bool       `name:"allow-late" help:"Send with the header drawdown-import, which accepts events of up to 13 months."`
	DryRun    bool       `name:"dry-run" help:"Show what would be sent; send nothing."`
}

// Validate is called by kong; what it refuses is a usage error.
func (c *rejectionsReplayCmd) Validate() error {
	if len(c.Records) == 0 && c.Workspace == "" && c.Code == "" && c.Topic == "" && c.Since == 0 {
		return errors.New("name records, or choose some with --workspace, --code, --topic or --since")
	}
	return nil
}

// Run produces the records again, each to the topic it came from and the
// partition of its workspace. Ids make it safe to do so twice.
func (c *rejectionsReplayCmd) Run(ctx context.Context, env *env) error {
	found, err := c.find(ctx, env)
	if err != nil {
		return err
	}
	p, err := newProducer(ctx, c.Kafka, env.Log)
	if err != nil {
		return err
	}
	sent, skipped := 0, 0
	for i := range found {
		r := &found[i]
		role, known := c.Kafka.topics().Role(r.Topic)
		switch {
		case uint64(len(r.Value)) < r.ValueBytes:
			fmt.Fprintf(env.Stdout, "%s skipped: only its first %d bytes were kept\n", r.id(), len(r.Value))
			skipped++
			continue
		case !known || role == schemas.AlertsTopic:
			fmt.Fprintf(env.Stdout, "%s skipped: its topic is none that is consumed\n", r.id())
			skipped++
			continue
		}
		fmt.Fprintf(env.Stdout, "%s %s\n", r.id(), r.Code)
		sent++
		if c.DryRun {
			continue
		}
		if err = p.Send(ctx, role, r.routingKey(), []byte(r.Value), c.headers(r)...); err != nil {
			break
		}
	}
	if err := errors.Join(err, p.Close(ctx)); err != nil {
		return fmt.Errorf("cannot replay all records; those that arrived count once if you replay again: %w", err)
	}
	verb := "sent again"
	if c.DryRun {
		verb = "would be sent again"
	}
	fmt.Fprintf(env.Stdout, "%d records %s, %d skipped\n", sent, verb, skipped)
	return nil
}

func (c *rejectionsReplayCmd) find(ctx context.Context, env *env) ([]rejectedRecord, error) {
	if len(c.Records) == 0 {
		options := c.options(env.Now())
		options.values = true
		return c.read(ctx, options)
	}
	var found []rejectedRecord
	for _, id := range c.Records {
		one, err := c.read(ctx, id.options())
		if err != nil {
			return nil, err
		}
		if len(one) == 0 {
			return nil, fmt.Errorf("there is no rejection %s/%d/%d", id.topic, id.partition, id.offset)
		}
		found = append(found, one...)
	}
	return found, nil
}

// routingKey is the workspace, or what the producer gave if that is unknown.
func (r *rejectedRecord) routingKey() []byte {
	if r.WorkspaceID != "" {
		return []byte(r.WorkspaceID)
	}
	return []byte(r.Key)
}

// headers are those of the record, without where it was rerouted from: it
// comes anew.
func (c *rejectionsReplayCmd) headers(r *rejectedRecord) []schemas.Header {
	var headers []schemas.Header
	for _, header := range r.Headers {
		if header.Key != schemas.OriginHeader {
			headers = append(headers, schemas.Header{Key: header.Key, Value: []byte(header.Value)})
		}
	}
	if c.AllowLate {
		headers = append(headers, schemas.Header{Key: schemas.ImportHeader, Value: []byte("replay")})
	}
	return headers
}
