package consumers

import (
	"fmt"
	"slices"

	"github.com/drawdown/drawdown/schemas"
	"github.com/segmentio/kafka-go/protocol"
)

// outcome is what becomes of one record; exactly one of the three is said.
type outcome struct {
	rejection *schemas.Rejection
	partition int // where it belongs, if not here; else -1
	verdict   verdict
}

// judge decides about a record. It decodes into p.event and changes nothing
// else, so that it can be asked again after the filter has been resolved.
func (p *partition) judge(rec *record) outcome {
	in := schemas.Record{Key: rec.key, Value: rec.value, Headers: rec.headers, Timestamp: schemas.Millis(rec.timestamp)}
	ev := &p.event
	if rejection := p.decoder.Decode(p.role, &in, ev); rejection != nil {
		return outcome{rejection: rejection, partition: -1}
	}
	if right := schemas.Partition(ev.WorkspaceID, p.c.Partitions); right != p.id {
		if from, ok := p.routedFrom(rec); ok {
			return outcome{partition: -1, rejection: &schemas.Rejection{Code: schemas.Misrouted, Message: fmt.Sprintf(
				"workspace %s belongs in partition %d, this is %d, and it has been moved from %s before: let producers partition by murmur2 of the workspace_id", ev.WorkspaceID, right, p.id, from)}}
		}
		return outcome{partition: right}
	}
	if rejection := p.c.Limits.Late(&in, ev); rejection != nil {
		return outcome{rejection: rejection, partition: -1}
	}
	return outcome{partition: -1, verdict: p.filter.check(ev, rec.offset)}
}

// routedFrom returns where a record was moved from within this epoch, if it
// was.
func (p *partition) routedFrom(rec *record) (schemas.Origin, bool) {
	for _, h := range rec.headers {
		if h.Key == schemas.OriginHeader {
			from, err := schemas.ParseOrigin(h.Value)
			return from, err == nil && from.Epoch == p.c.Epoch
		}
	}
	return schemas.Origin{}, false
}

// ask lets the filter note what it must look up for a record.
func (p *partition) ask(rec *record) { p.judge(rec) }

// count takes a record into the batch. It returns false, with nothing
// changed, if the filter must ask ClickHouse first.
func (p *partition) count(rec *record) bool {
	o := p.judge(rec)
	from := origin{kafkaTime: clampTime(rec.timestamp), epoch: p.c.Epoch, kpart: uint16(p.id), koff: rec.offset}
	ev, b := &p.event, p.build
	switch {
	case o.rejection != nil:
		b.rejected.append(p.topic, rec, from, ev.WorkspaceID, o.rejection)
		b.bytes += recordBytes(rec)
	case o.partition >= 0:
		b.reroutes = append(b.reroutes, p.reroute(rec, o.partition))
		b.bytes += recordBytes(rec)
	case o.verdict == unresolved:
		return false
	case o.verdict == duplicate:
		b.duplicates++
	case o.verdict == conflict:
		b.rejected.append(p.topic, rec, from, ev.WorkspaceID, &schemas.Rejection{Code: schemas.Conflict, Message: p.conflictMessage(ev)})
		b.bytes += recordBytes(rec)
	default:
		p.filter.add(ev, rec.offset)
		b.append(ev, from)
	}
	return true
}

func (p *partition) conflictMessage(ev *schemas.Event) string {
	if ev.Type == schemas.CreditsGranted {
		return fmt.Sprintf("event %q of workspace %s or grant %q was counted before with other content; the first stands: send what is new under a new id", ev.ID, ev.WorkspaceID, ev.GrantID)
	}
	return fmt.Sprintf("event %q of workspace %s was counted before with other content; the first stands: send what is new under a new id", ev.ID, ev.WorkspaceID)
}

// reroute copies a record for the partition it belongs in. The header keeps
// where it was and when it came, by which its lateness is judged there.
func (p *partition) reroute(rec *record, right int) reroute {
	headers := make([]protocol.Header, 0, len(rec.headers)+1)
	at := rec.timestamp
	for _, h := range rec.headers {
		if h.Key == schemas.OriginHeader {
			// Of an earlier epoch: when it first came still counts.
			if from, err := schemas.ParseOrigin(h.Value); err == nil {
				at = int64(from.Timestamp)
			}
			continue
		}
		headers = append(headers, protocol.Header{Key: h.Key, Value: slices.Clone(h.Value)})
	}
	from := schemas.Origin{Topic: p.topic, Partition: p.id, Offset: rec.offset, Epoch: p.c.Epoch, Timestamp: schemas.Millis(at)}
	headers = append(headers, protocol.Header{Key: schemas.OriginHeader, Value: []byte(from.String())})
	return reroute{partition: right, key: slices.Clone(p.event.WorkspaceID), value: slices.Clone(rec.value), headers: headers}
}

// clampTime keeps a record's timestamp, which a producer may choose freely,
// within DateTime64.
func clampTime(ms int64) int64 { return min(max(ms, minKafkaTime), maxKafkaTime) }

// stage keeps copies of records whose answer's buffers are reused.
type stage struct {
	records []record
	arena   []byte
}

func (s *stage) reset() {
	if cap(s.arena) > scratchBytes {
		*s = stage{} // as with scratch: one large answer must not hold its size for ever
	}
	s.records, s.arena = s.records[:0], s.arena[:0]
}
func (s *stage) len() int         { return len(s.records) }
func (s *stage) at(i int) *record { return &s.records[i] }

func (s *stage) add(rec *record) {
	kept := *rec
	kept.key, kept.value = s.copy(rec.key), s.copy(rec.value)
	kept.headers = make([]schemas.Header, len(rec.headers))
	for i, h := range rec.headers {
		kept.headers[i] = schemas.Header{Key: h.Key, Value: s.copy(h.Value)}
	}
	s.records = append(s.records, kept)
}

// copy puts b into the arena. A grown arena leaves earlier copies where they
// are, which stays correct.
func (s *stage) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	start := len(s.arena)
	s.arena = append(s.arena, b...)
	return s.arena[start:len(s.arena):len(s.arena)]
}
