package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
)

// replayChunk records are written down, sent and acknowledged together: few
// enough that an interrupted replay repeats little.
const replayChunk = 200

type rejectionsReplayCmd struct {
	rejectionsFlags
	rejectionFilter
	Kafka     kafkaFlags        `embed:""`
	EventsTTL schemas.EventsTTL `name:"events-ttl" env:"DRAWDOWN_EVENTS_TTL" default:"13mo" help:"How long raw events are kept, by which it is judged how late --allow-late may be. 0: for ever."`
	Records   []recordID        `arg:"" optional:"" help:"topic/partition/offset, as list prints them, sent even if they were before; none: all that the filters choose."`
	Limit     uint64            `default:"0" help:"At most so many, the newest; 0: all."`
	Again     bool              `help:"Also those that a former replay has sent."`
	Edit      string            `placeholder:"PATCH" help:"JSON merge patch (RFC 7396) for each event, or @FILE with one. Example: {\"data\":{\"credits\":\"1\"}}"`
	EditWith  string            `name:"edit-with" placeholder:"COMMAND" help:"Shell command that changes each event: it gets a file with the event as its last argument. An editor, or a script."`
	NewID     bool              `name:"new-id" help:"Send under a new id, which is made from the place of the rejection: what conflicts with another event counts beside it, once."`
	AllowLate bool              `name:"allow-late" help:"Send with the header drawdown-import, which accepts events of up to 13 months."`
	DryRun    bool              `name:"dry-run" help:"Show what would be sent; send and record nothing."`

	patch map[string]any // of Edit
}

// Validate is called by kong; what it refuses is a usage error.
func (c *rejectionsReplayCmd) Validate() error {
	if len(c.Records) == 0 && !c.chooses() {
		return errors.New("name records, or choose some with --workspace, --code, --topic, --partition, --from-offset, --to-offset or --since")
	}
	if c.Edit == "" {
		return nil
	}
	text := []byte(c.Edit)
	if path, ok := strings.CutPrefix(c.Edit, "@"); ok {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("--edit: %w", err)
		}
	}
	patch, err := decodeObject(text)
	if err != nil {
		return fmt.Errorf("--edit: %w; want a merge patch such as {\"data\":{\"credits\":\"1\"}}", err)
	}
	c.patch = patch
	return nil
}

// replaying is one run of the command.
type replaying struct {
	*rejectionsReplayCmd
	env     *env
	conn    driver.Conn
	decoder *schemas.Decoder

	turns *turns

	sent, skipped, doubtful, doubtfulBefore int // the last: before the chunk
}

// Run produces the records again, each to the topic of its type and the
// partition of its workspace. What is sent is written down first, in turns of
// which one run at a time has one: a run that was killed is ended by the next one
// with the same bytes, another run at the same time sends the same bytes, and
// their ids make each of them count once.
func (c *rejectionsReplayCmd) Run(ctx context.Context, env *env) (err error) {
	conn, err := c.Clickhouse.open(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	run := &replaying{rejectionsReplayCmd: c, env: env, conn: conn, decoder: schemas.NewDecoder(c.limits()), turns: newTurns(conn)}
	chosen, err := run.choose(ctx)
	if err != nil {
		return err
	}
	p, err := newProducer(ctx, c.Kafka, env.Log)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(chosen, replayChunk) {
		run.doubtfulBefore = run.doubtful
		if err = run.chunk(ctx, p, chunk); err != nil {
			break
		}
	}
	if err := errors.Join(err, p.Close(ctx)); err != nil {
		return fmt.Errorf("cannot replay all records; those that arrived count once if you replay again: %w", err)
	}
	run.summary()
	return nil
}

func (c *rejectionsReplayCmd) limits() schemas.Limits {
	limits := schemas.DefaultLimits()
	limits.ImportLateness = c.EventsTTL.ImportLateness()
	return limits
}

func (r *replaying) summary() {
	verb := "sent again"
	if r.DryRun {
		verb = "would be sent again"
	}
	fmt.Fprintf(r.env.Stdout, "%d records %s, %d skipped\n", r.sent, verb, r.skipped)
	if r.doubtful > 0 {
		fmt.Fprintf(r.env.Stdout, "%d of them will be rejected again unless what judges them has changed\n", r.doubtful)
	}
}

// choose reads which records are meant, without their values, the oldest
// first: where two have one id, the first one wins again.
func (r *replaying) choose(ctx context.Context) ([]rejectedRecord, error) {
	if len(r.Records) > 0 {
		var found []rejectedRecord
		for _, id := range r.Records {
			options := id.options()
			options.values = false
			one, err := readRejections(ctx, r.conn, options)
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
	limit := r.Limit
	if limit == 0 {
		limit = 1 << 62
	}
	found, err := readRejections(ctx, r.conn, r.options(r.env.Now(), limit))
	if err != nil {
		return nil, err
	}
	slices.Reverse(found)
	if r.Again {
		return found, nil
	}
	before := len(found)
	found = slices.DeleteFunc(found, func(one rejectedRecord) bool { return one.Replay == replaySent })
	if done := before - len(found); done > 0 {
		fmt.Fprintf(r.env.Stdout, "%d were sent by a former replay (--again sends them all the same)\n", done)
	}
	return found, nil
}

// decision is what one run would send for a rejection.
type decision struct {
	send replayRecord
	why  string // not
}

// chunk decides what is sent, takes a turn for that, sends it, and writes down
// that it is sent. Where another run takes the turn, its decisions hold.
func (r *replaying) chunk(ctx context.Context, p *producer, chosen []rejectedRecord) error {
	whole, err := readValues(ctx, r.conn, chosen)
	if err != nil {
		return err
	}
	prepared := make(map[rejectionPlace]decision) // an editor is asked once
	var send, fresh []replayRecord
	for {
		var said []string
		if send, fresh, said, err = r.decide(ctx, whole, prepared); err != nil {
			return err
		}
		turn := uint64(0)
		if len(fresh) > 0 && !r.DryRun {
			if turn, err = r.turns.take(ctx, r.env.Now(), fresh); err != nil {
				return err
			}
			if turn == 0 {
				continue
			}
		}
		for i := range fresh {
			fresh[i].turn = turn
		}
		send = append(send, fresh...)
		fmt.Fprint(r.env.Stdout, strings.Join(said, ""))
		r.skipped += len(whole) - len(send)
		break
	}
	r.sent += len(send)
	if r.DryRun || len(send) == 0 {
		return nil
	}
	if err := writeReplays(ctx, r.conn, replaySending, r.env.Now(), send); err != nil {
		return err
	}
	for i := range send {
		one := &send[i]
		if err := p.Send(ctx, one.role, []byte(one.key), one.value, one.headers...); err != nil {
			return err
		}
	}
	if err := p.Flush(ctx); err != nil {
		return err
	}
	return writeReplays(ctx, r.conn, replaySent, r.env.Now(), send)
}

// decide returns what other runs have begun, what this one decides, and what is
// to be said of both, as it stands after the turns that were seen.
func (r *replaying) decide(ctx context.Context, whole []rejectedRecord, prepared map[rejectionPlace]decision) (begun, fresh []replayRecord, said []string, err error) {
	if err := r.turns.see(ctx); err != nil {
		return nil, nil, nil, err
	}
	taken, ended, err := r.turns.begun(ctx, whole)
	if err != nil {
		return nil, nil, nil, err
	}
	interrupted, err := readBegun(ctx, r.conn, whole)
	if err != nil {
		return nil, nil, nil, err
	}
	roots := make([]string, len(whole))
	for i := range whole {
		roots[i] = whole[i].root()
	}
	before, err := r.turns.formers(ctx, roots)
	if err != nil {
		return nil, nil, nil, err
	}
	r.doubtful = r.doubtfulBefore
	for i := range whole {
		one := &whole[i]
		record, ok := taken[one.place()]
		if ok && !ended[one.place()] {
			said = append(said, fmt.Sprintf("%s %s, as another replay began it\n", one.id(), one.Code))
			begun = append(begun, record)
			continue
		}
		if old, begunBefore := interrupted[one.place()]; begunBefore && !ok {
			old.root = one.root()
			r.judge(one, &old)
			said = append(said, fmt.Sprintf("%s %s, as an interrupted replay began it\n", one.id(), one.Code))
			fresh = append(fresh, old)
			continue
		}
		d, known := prepared[one.place()]
		switch {
		case ok && !r.Again && len(r.Records) == 0:
			d.why = "another replay has sent it meanwhile"
		case !known:
			if d.send, d.why, err = r.prepare(ctx, one); err != nil {
				return nil, nil, nil, err
			}
			prepared[one.place()] = d
		}
		if other := twice(before[d.send.root], d.send.as); d.why == "" && other != nil {
			d.why = fmt.Sprintf("a former replay sent it as event %s of workspace %s at %s, and it is not known to be rejected: as another event it could count twice", other.id, other.workspace, other.at)
		}
		if d.why != "" {
			said = append(said, fmt.Sprintf("%s skipped: %s\n", one.id(), printable(d.why)))
			continue
		}
		// The same chain a second time within this turn is decided by the first.
		before[d.send.root] = append(before[d.send.root], former{identity: d.send.as})
		said = append(said, r.tell(one, &d.send))
		fresh = append(fresh, d.send)
	}
	return begun, fresh, said, nil
}

// tell says what is sent, and what the consumer will say of it.
func (r *replaying) tell(rejected *rejectedRecord, send *replayRecord) string {
	as := ""
	if r.NewID {
		as = " as " + printable(send.eventID)
	}
	text := fmt.Sprintf("%s %s%s\n", rejected.id(), rejected.Code, as)
	if r.DryRun && (r.patch != nil || r.EditWith != "") {
		text += fmt.Sprintf("  %s\n", printable(string(send.value)))
	}
	if send.doubt != "" {
		r.doubtful++
		text += fmt.Sprintf("  will be rejected again: %s\n", printable(send.doubt))
	}
	return text
}

// decodeObject reads one JSON object and keeps its numbers as they are written.
func decodeObject(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	if object == nil || decoder.More() {
		return nil, errors.New("no JSON object, or more than one")
	}
	return object, nil
}
