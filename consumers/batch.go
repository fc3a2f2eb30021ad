package consumers

import (
	"fmt"
	"time"

	"github.com/drawdown/drawdown/schemas"
	"github.com/segmentio/kafka-go/protocol"
)

// maxBatchRows bounds a batch (invariant 1): the views turn up to a million
// rows into one block each, and half of that leaves room.
const maxBatchRows = 500_000

// batch is what a contiguous range of offsets of one partition becomes.
type batch struct {
	span
	tables     []*rows
	rejected   rejections
	reroutes   []reroute
	duplicates uint64
	later      []*rows // of a range that is built again: rows that were lost, and counted again since
	skipped    uint64
	bytes      int // of memory that its rows, rejections and reroutes take
	startedAt  time.Time
	since      time.Time // everything that arrived before is counted once what is before the batch is

	lastKoff int64
	lastTime int64
	lastCRC  uint32

	intended bool // its range stands in an answered commit
}

// reroute is a record that belongs in another partition.
type reroute struct {
	partition int
	key       []byte
	value     []byte
	headers   []protocol.Header
}

// empty says that no offset has been taken in yet.
func (b *batch) empty() bool { return b.last < b.first }

// counted returns how many rows are inserted.
func (b *batch) counted() uint64 {
	n := 0
	for _, t := range b.tables {
		n += t.len()
	}
	return uint64(n)
}

func (b *batch) micro() schemas.Total {
	var sum schemas.Total
	for _, t := range b.tables {
		sum = sum.Add(t.digest().micro)
	}
	return sum
}

// records is the length of the range.
func (b *batch) records() uint64 { return uint64(b.last - b.first + 1) }

// close ends the range at last: offsets that brought no data record are
// skipped ones.
func (b *batch) close(last int64) {
	b.last = last
	b.skipped = b.records() - b.counted() - b.duplicates - uint64(b.rejected.len()) - uint64(len(b.reroutes))
}

// tablesOf returns the empty tables of a topic's batch.
func tablesOf(role schemas.Topic) []*rows {
	switch role {
	case schemas.LedgerTopic:
		return []*rows{newRows(schemas.CreditsGranted)}
	case schemas.CampaignsTopic:
		return []*rows{newRows(schemas.CampaignUpdated), newRows(schemas.WorkspaceUpdated)}
	}
	return []*rows{newRows(schemas.CreditsConsumed)}
}

// rowsFor returns the table an event's row goes to.
func (b *batch) rowsFor(t schemas.EventType) *rows {
	if t == schemas.WorkspaceUpdated {
		return b.tables[1]
	}
	return b.tables[0]
}

// note remembers the record as the last of the range so far. Its CRC is taken
// by seal, while its bytes still stand.
func (b *batch) note(rec *record) {
	b.lastKoff, b.lastTime = rec.offset, rec.timestamp
}

// rowOverhead is what a row takes beyond its texts: 60 bytes in columns of
// fixed width, five for each text, some slack of growing.
const rowOverhead = 96

// append adds the row of an event that is counted.
func (b *batch) append(ev *schemas.Event, from origin) {
	t := b.rowsFor(ev.Type)
	words := t.words
	t.append(ev, from)
	b.bytes += rowBytes(ev) + t.words - words
}

// rowBytes is the memory that an event's row takes beside the new words of its
// dictionaries (action, source).
func rowBytes(ev *schemas.Event) int {
	n := rowOverhead + len(ev.WorkspaceID) + len(ev.ID) + len(ev.CampaignID) + len(ev.Actor) + len(ev.GrantID) + len(ev.Note) + len(ev.Name)
	for _, a := range ev.Attributes {
		n += len(a.Key) + len(a.Value) + 10
	}
	return n
}

// recordBytes is the memory that a record takes which is kept as it is.
func recordBytes(rec *record) int {
	n := rowOverhead + len(rec.key) + len(rec.value)
	for _, h := range rec.headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// token names a batch's block in one table for deduplication (invariant 1).
func (p *partition) token(s span, table string) string {
	return fmt.Sprintf("%s/%d/%d/%s/%d/%s", p.topic, p.c.Epoch, p.id, s, batchFormat, table)
}
