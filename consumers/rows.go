package consumers

import (
	"github.com/ClickHouse/ch-go/proto"
	"github.com/drawdown/drawdown/schemas"
)

// origin is what every row says about the record it came from.
type origin struct {
	kafkaTime int64
	epoch     uint32
	kpart     uint16
	koff      int64
}

// rows are the rows of one batch for one of the four tables whose rows are
// counted and compared: events, credit_entries, campaigns, workspaces.
type rows struct {
	table     string
	workspace stringColumn
	time      timeColumn
	id        stringColumn
	hash      uint32Column
	kafkaTime timeColumn
	epoch     uint32Column
	kpart     uint16Column
	koff      uint64Column
	repair    uint8Column
	micro     *int64Column  // credits_micro, where the table has it
	campaign  *stringColumn // campaign_id of events
	named     []named       // every column under its name, the ones above included
	fill      func(ev *schemas.Event)
	anyTime   bool // compared over all times, not only those of the rows
	words     int  // bytes that action and source take in their dictionaries
}

type named struct {
	name string
	col  column
}

// newRows returns empty rows for the table that holds events of type t.
func newRows(t schemas.EventType) *rows {
	r := &rows{}
	r.named = []named{
		{"workspace_id", &r.workspace}, {"time", &r.time}, {"event_id", &r.id},
		{"content_hash", &r.hash}, {"kafka_time", &r.kafkaTime}, {"epoch", &r.epoch},
		{"kpart", &r.kpart}, {"koff", &r.koff}, {"repair", &r.repair},
	}
	switch t {
	case schemas.CreditsConsumed:
		r.table, r.fill = "events", r.eventColumns()
	case schemas.CampaignUpdated:
		r.table, r.fill = "campaigns", r.campaignColumns()
	case schemas.WorkspaceUpdated:
		r.table, r.fill = "workspaces", r.workspaceColumns()
	default:
		r.table, r.fill = "credit_entries", r.entryColumns()
	}
	return r
}

func (r *rows) add(name string, col column) { r.named = append(r.named, named{name, col}) }

func (r *rows) eventColumns() func(*schemas.Event) {
	var (
		campaign, actor stringColumn
		action, source  dictColumn
		micro           int64Column
		attributes      mapColumn
	)
	r.micro, r.campaign = &micro, &campaign
	action.size, source.size = &r.words, &r.words
	r.add("campaign_id", &campaign)
	r.add("action", &action)
	r.add("actor", &actor)
	r.add("source", &source)
	r.add("credits_micro", &micro)
	r.add("attributes", &attributes)
	return func(ev *schemas.Event) {
		campaign.append(ev.CampaignID)
		action.append(ev.Action)
		actor.append(ev.Actor)
		source.append(ev.Source)
		micro.Append(int64(ev.Credits))
		for _, a := range ev.Attributes {
			attributes.keys.append(a.Key)
			attributes.values.append(a.Value)
		}
		attributes.endRow()
	}
}

// entryTypes are the values of credit_entries.type.
var entryTypes = map[schemas.EventType][]byte{
	schemas.CreditsGranted:  []byte("credits.granted"),
	schemas.CreditsAdjusted: []byte("credits.adjusted"),
	schemas.GrantVoided:     []byte("credits.grant_voided"),
}

func (r *rows) entryColumns() func(*schemas.Event) {
	var (
		kind, class                dictColumn
		grant, note, actor, source stringColumn
		micro                      int64Column
		priority                   uint16Column
	)
	effective := &optional[*timeColumn]{values: &timeColumn{}}
	expires := &optional[*timeColumn]{values: &timeColumn{}}
	r.micro = &micro
	r.add("type", &kind)
	r.add("grant_id", &grant)
	r.add("credits_micro", &micro)
	r.add("class", &class)
	r.add("priority", &priority)
	r.add("effective_at", effective)
	r.add("expires_at", expires)
	r.add("note", &note)
	r.add("actor", &actor)
	r.add("source", &source)
	return func(ev *schemas.Event) {
		kind.append(entryTypes[ev.Type])
		grant.append(ev.GrantID)
		micro.Append(int64(ev.Credits))
		class.append(className(ev))
		priority.Append(ev.Priority)
		effectiveAt, expiresAt := schemas.NoInstant, schemas.NoInstant
		if ev.Type == schemas.CreditsGranted {
			effectiveAt, expiresAt = ev.EffectiveAt, ev.ExpiresAt
		}
		appendInstant(effective, effectiveAt)
		appendInstant(expires, expiresAt)
		note.append(ev.Note)
		actor.append(ev.Actor)
		source.append(ev.Source)
	}
}

func className(ev *schemas.Event) []byte {
	switch {
	case ev.Type != schemas.CreditsGranted:
		return nil
	case ev.Class == schemas.Paid:
		return []byte("paid")
	}
	return []byte("promo")
}

func appendInstant(c *optional[*timeColumn], at schemas.Millis) {
	if at == schemas.NoInstant {
		c.nulls.Append(1)
		c.values.Append(0)
		return
	}
	c.nulls.Append(0)
	c.values.Append(int64(at))
}

func (r *rows) campaignColumns() func(*schemas.Event) {
	var (
		campaign, name, source stringColumn
		status                 dictColumn
	)
	quota := &optional[*int64Column]{values: &int64Column{}}
	starts := &optional[*timeColumn]{values: &timeColumn{}}
	ends := &optional[*timeColumn]{values: &timeColumn{}}
	r.add("campaign_id", &campaign)
	r.add("name", &name)
	r.add("status", &status)
	r.add("quota_micro", quota)
	r.add("starts_at", starts)
	r.add("ends_at", ends)
	r.add("source", &source)
	return func(ev *schemas.Event) {
		campaign.append(ev.CampaignID)
		name.append(ev.Name)
		status.append(ev.Status)
		null := uint8(1)
		if ev.HasQuota {
			null = 0
		}
		quota.nulls.Append(null)
		quota.values.Append(int64(ev.Quota))
		appendInstant(starts, ev.StartsAt)
		appendInstant(ends, ev.EndsAt)
		source.append(ev.Source)
	}
}

func (r *rows) workspaceColumns() func(*schemas.Event) {
	var (
		name, zone, source stringColumn
		weekStart          dictColumn
	)
	r.add("name", &name)
	r.add("time_zone", &zone)
	r.add("week_start", &weekStart)
	r.add("source", &source)
	return func(ev *schemas.Event) {
		name.append(ev.Name)
		zone.append(ev.TimeZone)
		weekStart.append(ev.WeekStart)
		source.append(ev.Source)
	}
}

// append adds one counted event.
func (r *rows) append(ev *schemas.Event, o origin) {
	r.workspace.append(ev.WorkspaceID)
	r.time.Append(int64(ev.Time))
	r.id.append(ev.ID)
	r.hash.Append(ev.ContentHash)
	r.kafkaTime.Append(o.kafkaTime)
	r.epoch.Append(o.epoch)
	r.kpart.Append(o.kpart)
	r.koff.Append(uint64(o.koff))
	r.repair.Append(0)
	r.fill(ev)
}

// reset empties the rows and keeps their room.
func (r *rows) reset() {
	r.anyTime, r.words = false, 0
	for _, n := range r.named {
		n.col.Reset()
	}
}

// len returns the number of rows; a nil set has none.
func (r *rows) len() int {
	if r == nil {
		return 0
	}
	return len(r.koff.ColUInt64)
}

// input returns the rows as one native block.
func (r *rows) input() proto.Input {
	in := make(proto.Input, 0, len(r.named))
	for _, n := range r.named {
		in = append(in, proto.InputColumn{Name: n.name, Data: n.col})
	}
	return in
}

// only returns the rows whose offset missing holds, marked as a repair.
func (r *rows) only(t schemas.EventType, missing map[uint64]bool) *rows {
	out := newRows(t)
	for i, off := range r.koff.ColUInt64 {
		if !missing[off] {
			continue
		}
		for c := range r.named {
			out.named[c].col.copyRow(r.named[c].col, i)
		}
	}
	for i := range out.repair.ColUInt8 {
		out.repair.ColUInt8[i] = 1
	}
	return out
}

// digest is what invariant 3 compares between the rows built and the table:
// how many, which offsets, how much, and what they say. Count and sum alone
// agree when one row is lost and another doubled, since credits are mostly 1.
type digest struct {
	count   uint64
	offsets uint64 // distinct offsets
	micro   schemas.Total
	content uint64 // XOR over cityHash64(koff, content_hash)
}

func (r *rows) digest() digest {
	d := digest{count: uint64(r.len()), offsets: uint64(r.len())}
	if r.len() == 0 {
		return d
	}
	for i, off := range r.koff.ColUInt64 {
		d.content ^= rowHash(off, r.hash.ColUInt32[i])
	}
	if r.micro != nil {
		for _, m := range r.micro.ColInt64 {
			d.micro = d.micro.Add(schemas.TotalOf(m))
		}
	}
	return d
}

// rowHash is ClickHouse's cityHash64(koff, content_hash): integers are mixed
// by intHash64 (a constant against zeros, then the finalizer of MurmurHash3),
// then combined by CityHash's Hash128to64.
func rowHash(koff uint64, contentHash uint32) uint64 {
	const mul = 0x9ddfea08eb382d69
	lo, hi := intHash64(koff), intHash64(uint64(contentHash))
	a := (lo ^ hi) * mul
	a ^= a >> 47
	b := (hi ^ a) * mul
	b ^= b >> 47
	return b * mul
}

func intHash64(x uint64) uint64 {
	x ^= 0x4cf2d2baae6da887
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// timeRange returns the smallest and largest event time of the rows.
func (r *rows) timeRange() (from, to int64) {
	from, to = r.time.ColInt64[0], r.time.ColInt64[0]
	for _, t := range r.time.ColInt64 {
		from, to = min(from, t), max(to, t)
	}
	return from, to
}

// rejections are the rows of a batch that were not counted.
type rejections struct {
	workspace, message, key, value stringColumn
	code                           dictColumn
	topic                          dictColumn
	epoch                          uint32Column
	kpart                          uint16Column
	koff, valueBytes               uint64Column
	kafkaTime                      timeColumn
	headers                        pairsColumn
}

// What is kept of a record that was not counted: enough to repair and replay
// all but the largest.
const (
	keptValueBytes  = 64 << 10
	keptKeyBytes    = 1 << 10
	keptHeaderBytes = 16 << 10
)

func (r *rejections) append(topic string, rec *record, o origin, workspace []byte, why *schemas.Rejection) {
	r.topic.append([]byte(topic))
	r.epoch.Append(o.epoch)
	r.kpart.Append(o.kpart)
	r.koff.Append(uint64(o.koff))
	r.kafkaTime.Append(o.kafkaTime)
	r.workspace.append(workspace)
	r.code.append([]byte(why.Code))
	r.message.append([]byte(why.Message))
	r.key.append(rec.key[:min(len(rec.key), keptKeyBytes)])
	r.value.append(rec.value[:min(len(rec.value), keptValueBytes)])
	r.valueBytes.Append(uint64(len(rec.value)))
	room := keptHeaderBytes
	for _, h := range rec.headers {
		if room -= len(h.Key) + len(h.Value); room < 0 {
			break
		}
		r.headers.keys.append([]byte(h.Key))
		r.headers.values.append(h.Value)
	}
	r.headers.endRow()
}

// DateTime64(3) holds 1900 to 2299 and wraps outside; a producer may write
// any timestamp into a record.
const (
	minKafkaTime = -2208988800_000
	maxKafkaTime = 10413791999_000
)

// only returns the rejections whose offset missing holds.
func (r *rejections) only(missing map[uint64]bool) *rejections {
	out := &rejections{}
	from, to := r.input(), out.input()
	for i, off := range r.koff.ColUInt64 {
		if !missing[off] {
			continue
		}
		for c := range from {
			to[c].Data.(column).copyRow(from[c].Data.(column), i)
		}
	}
	return out
}

func (r *rejections) len() int { return len(r.koff.ColUInt64) }

func (r *rejections) input() proto.Input {
	return proto.Input{
		{Name: "topic", Data: &r.topic}, {Name: "epoch", Data: &r.epoch}, {Name: "kpart", Data: &r.kpart},
		{Name: "koff", Data: &r.koff}, {Name: "kafka_time", Data: &r.kafkaTime},
		{Name: "workspace_id", Data: &r.workspace}, {Name: "code", Data: &r.code},
		{Name: "message", Data: &r.message}, {Name: "key", Data: &r.key}, {Name: "value", Data: &r.value},
		{Name: "value_bytes", Data: &r.valueBytes}, {Name: "headers", Data: &r.headers},
	}
}
