package consumers

import (
	"context"

	"github.com/drawdown/drawdown/schemas"
	"github.com/zeebo/xxh3"
)

// verdict is what invariant 5 says about a valid event in its partition.
type verdict uint8

const (
	fresh      verdict = iota // the first with its identity: counted
	duplicate                 // an earlier one says the same
	conflict                  // an earlier one says something else: the first stands
	unresolved                // ClickHouse must be asked first: call resolve, then check again
)

// filter decides which events of one partition are counted. Its answers are a
// function of the log before the event's offset and of nothing else
// (invariant 4); memory and ClickHouse are only where it looks.
type filter interface {
	// check judges the event at offset off.
	check(ev *schemas.Event, off int64) verdict
	// add records that the event at off is counted.
	add(ev *schemas.Event, off int64)
	// resolve asks ClickHouse about the events for which check has answered
	// unresolved since the last call of settle.
	resolve(ctx context.Context) error
	// settle forgets the answers of resolve that serve single events.
	settle()
	// acknowledge says that ClickHouse holds everything before done.
	acknowledge(done int64)
}

// identity hashes (workspace_id, event id). A workspace_id has no NUL byte, so
// the encoding is unambiguous.
type identity struct{ buf []byte }

func (h *identity) of(workspace, id []byte) key128 {
	h.buf = append(append(append(h.buf[:0], workspace...), 0), id...)
	sum := xxh3.Hash128(h.buf)
	k := key128{lo: sum.Lo, hi: sum.Hi}
	if k == (key128{}) {
		k.hi = 1
	}
	return k
}

// at returns the identity of the event at one instant: for one id the instants
// map one to one, for different ids the hash already differs.
func (k key128) at(t schemas.Millis) key128 {
	k.lo ^= uint64(t) * 0x9e3779b97f4a7c15
	if k == (key128{}) {
		k.hi = 1
	}
	return k
}

// window answers invariant 5 (a): ids of the last span offsets. It keeps two
// tables of span offsets each and drops the older as the log moves on.
type window struct {
	span      int64
	base      int64 // first offset of current
	current   idTable
	previous  idTable // offsets [base-span, base)
	populated bool
}

func (w *window) bytes() int { return w.current.bytes() + w.previous.bytes() }

func (w *window) get(k key128, off int64) (content uint32, ok bool) {
	if e, hit := w.current.get(k); hit && off-(w.base+int64(e.delta)) <= w.span {
		return e.content, true
	}
	if e, hit := w.previous.get(k); hit && off-(w.base-w.span+int64(e.delta)) <= w.span {
		return e.content, true
	}
	return 0, false
}

func (w *window) put(k key128, off int64, content uint32) {
	if !w.populated {
		w.base, w.populated = off, true
	}
	switch past := off - w.base; {
	case past >= 2*w.span:
		w.base, w.current, w.previous = off, idTable{}, idTable{}
	case past >= w.span:
		w.base, w.current, w.previous = w.base+w.span, idTable{}, w.current
		// Without growing again, and not as full as a table may be: every event
		// is looked for here first, and most are not found.
		w.current.reserve(w.previous.n * 5 / 4)
	}
	w.current.put(idEntry{key: k, content: content, delta: uint32(off - w.base)})
}
