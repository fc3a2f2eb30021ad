package consumers

import (
	"cmp"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// A slice is a dyadic interval of event time with the identities of the
// counted events in it: [from, from + 2^order) milliseconds. It holds every
// one at or after offset since; if complete, every earlier one as well.
type slice struct {
	from     int64
	order    uint8
	complete bool
	dropped  bool // no longer in the set
	since    int64
	table    idTable
	lastOff  int64 // largest offset put in by the log, for pinning
	used     int64 // tick of the last touch, for eviction
	rows     int64 // at most so many rows of ClickHouse before since are not in the table; -1: not counted yet
	misses   int   // single look-ups made instead of loading
	// Of letGo: how many events ClickHouse may not hold yet, whether the others
	// are being let go of, and whether they ever were.
	recent    int
	lettingGo bool
	pressed   bool
}

func (s *slice) end() int64 { return s.from + 1<<s.order }

// topOrder is the widest slice: 2^27 ms are 37 hours, so that a year of
// history is 236 slices and quiet partitions need few.
const topOrder = 27

// sliceSet holds the slices of a partition in order of time, within a bound on
// memory. No slice exceeds an eighth of it: a fuller one is split in halves.
// One of a single millisecond, which cannot be split, may take half and then
// lets go of what ClickHouse holds.
type sliceSet struct {
	bound  int // bytes of all: slices, recent and beside
	beside int // bytes that the window takes of it
	bytes  int // of the slices
	list   []*slice
	last   *slice // the slice of the last event, most often the next one's too
	tick   int64
	acked  int64
	recent recentIDs // from acked on
	came   int       // ids that were put or loaded since slices were let go of together
}

// room is what slices may take: at least half of the bound.
func (s *sliceSet) room() int {
	return s.bound - min(s.beside+s.recent.bytes(), s.bound/2)
}

// share is what one slice may take.
func (s *sliceSet) share(order uint8) int {
	if order == 0 {
		return s.room() / 2
	}
	return s.room() / 8
}

// find returns the slice that covers t, or nil.
func (s *sliceSet) find(t int64) *slice {
	if l := s.last; l != nil && l.from <= t && t < l.end() {
		return l
	}
	i, exact := slices.BinarySearchFunc(s.list, t, func(x *slice, t int64) int { return cmp.Compare(x.from, t) })
	if !exact {
		i--
	}
	if i < 0 || t >= s.list[i].end() {
		return nil
	}
	s.last = s.list[i]
	return s.last
}

// touch returns the slice that covers t, made as wide as its neighbours allow
// if there is none. off is the log's position: everything counted in the
// slice from there on will be put in.
func (s *sliceSet) touch(t, off int64) *slice {
	s.tick++
	if found := s.find(t); found != nil {
		found.used = s.tick
		return found
	}
	fit := &slice{since: off, rows: -1, used: s.tick, lastOff: -1}
	for order := uint8(topOrder); ; order-- {
		fit.order, fit.from = order, t>>order<<order
		if !s.overlaps(fit) {
			break
		}
	}
	s.insert(fit)
	s.last = fit
	return fit
}

func (s *sliceSet) overlaps(fit *slice) bool {
	i, _ := slices.BinarySearchFunc(s.list, fit.from, func(x *slice, t int64) int { return cmp.Compare(x.from, t) })
	return i < len(s.list) && s.list[i].from < fit.end() || i > 0 && s.list[i-1].end() > fit.from
}

func (s *sliceSet) insert(x *slice) {
	i, _ := slices.BinarySearchFunc(s.list, x.from, func(x *slice, t int64) int { return cmp.Compare(x.from, t) })
	s.list = slices.Insert(s.list, i, x)
	s.bytes += x.table.bytes()
}

func (s *sliceSet) remove(x *slice) {
	if i := slices.Index(s.list, x); i >= 0 {
		s.list = slices.Delete(s.list, i, i+1)
		s.bytes -= x.table.bytes()
	}
	x.dropped = true
	if s.last == x {
		s.last = nil
	}
}

// put records a counted event of the log.
func (s *sliceSet) put(k key128, t schemas.Millis, off int64, content uint32) {
	x := s.touch(int64(t), off)
	before := x.table.bytes()
	x.table.put(idEntry{key: k, content: content, delta: uint32(int64(t) - x.from)})
	x.lastOff = max(x.lastOff, off)
	s.recent.add(k, int64(t), off, content)
	s.came++
	s.grown(x, before)
}

// acknowledge says that ClickHouse holds everything before done.
func (s *sliceSet) acknowledge(done int64) {
	s.acked = done
	s.recent.acknowledge(done)
	s.shrink(nil) // what had to stay may go
}

// grown accounts for a table that had before bytes.
func (s *sliceSet) grown(x *slice, before int) {
	if after := x.table.bytes(); after != before {
		s.bytes += after - before
		s.shrink(x)
	}
}

// shrink splits x while it is too large, then evicts until the bound holds. If
// all that is left has events that ClickHouse may not hold, as after a history
// that comes in no order of time, it lets go of the rest of them.
func (s *sliceSet) shrink(x *slice) {
	for x != nil && x.order > 0 && x.table.bytes() > s.share(x.order) && x.table.n > idTableFirst {
		x = s.split(x)
	}
	if x != nil && x.order == 0 && x.table.bytes() > max(s.share(0), 3*x.recent*idEntryBytes) && x.table.n > idTableFirst {
		s.countRecent()
		s.letGo([]*slice{x})
	}
	for s.bytes > s.room() && (s.pack(x) || s.evict(x)) {
	}
	// It costs a look at every recent event, so that as many must have come.
	if s.bytes > s.room() && s.came > s.recent.n {
		s.relieve()
	}
}

// relieve lets go of the slices touched longest ago until an eighth of the room
// is free.
func (s *sliceSet) relieve() {
	s.countRecent()
	oldest := slices.SortedFunc(slices.Values(s.list), func(a, b *slice) int { return cmp.Compare(a.used, b.used) })
	n, left := 0, s.bytes
	for ; n < len(oldest) && left > s.room()*7/8; n++ {
		left -= oldest[n].table.bytes() - tableBytes(oldest[n].recent)
	}
	s.letGo(oldest[:n])
	s.came = 0
}

func (s *sliceSet) countRecent() {
	for _, x := range s.list {
		x.recent = 0
	}
	s.recent.each(func(id *recentID) {
		if x := s.find(id.time); x != nil {
			x.recent++
		}
	})
}

// letGo keeps of slices only what ClickHouse may not hold yet, as if they had
// been made at acked. countRecent has been called.
func (s *sliceSet) letGo(all []*slice) {
	for _, x := range all {
		s.bytes -= x.table.bytes()
		if x.complete {
			x.rows = 0
		}
		if x.rows >= 0 { // else nobody has counted them
			x.rows += int64(x.table.n - x.recent)
		}
		x.table = idTable{}
		x.table.reserve(x.recent)
		x.complete, x.since, x.misses, x.lettingGo, x.pressed = false, max(x.since, s.acked), 0, true, true
	}
	s.recent.each(func(id *recentID) {
		if x := s.find(id.time); x != nil && x.lettingGo {
			x.table.put(idEntry{key: id.key, content: id.content, delta: uint32(id.time - x.from)})
		}
	})
	for _, x := range all {
		x.lettingGo = false
		s.bytes += x.table.bytes()
	}
}

// split replaces x by its halves and returns the fuller one. Where all ids
// are in one half, as when time moves on through a wide slice, that half takes
// the table over and nothing is copied.
func (s *sliceSet) split(x *slice) *slice {
	half := uint32(1) << (x.order - 1)
	left := &slice{from: x.from, order: x.order - 1, complete: x.complete, since: x.since, lastOff: x.lastOff, used: x.used, rows: -1, misses: x.misses, pressed: x.pressed}
	right := *left
	right.from += int64(half)
	inLeft := 0
	x.table.each(func(e idEntry) {
		if e.delta < half {
			inLeft++
		}
	})
	s.remove(x)
	switch inLeft {
	case x.table.n:
		left.table = x.table
	case 0:
		x.table.shift(half)
		right.table = x.table
	default:
		left.table.reserve(inLeft)
		right.table.reserve(x.table.n - inLeft)
		x.table.each(func(e idEntry) {
			if e.delta < half {
				left.table.put(e)
				return
			}
			right.table.put(idEntry{key: e.key, content: e.content, delta: e.delta - half})
		})
	}
	s.insert(left)
	s.insert(&right)
	if left.table.n > right.table.n {
		return left
	}
	return &right
}

// coldAfter is how many touches later a slice is taken to have stopped growing:
// more than a batch has events, of which the late ones touch it still.
const coldAfter = 200_000

// pack takes the room to grow from a slice that does so no more, before another
// is evicted for it: a fifth of all that is held. It reports whether there was
// one.
func (s *sliceSet) pack(keep *slice) bool {
	for _, x := range s.list {
		if x == keep || s.tick-x.used < coldAfter || x.table.bytes() <= tableBytes(x.table.n)*9/8 {
			continue
		}
		s.bytes -= x.table.bytes()
		x.table.resize(placesFor(x.table.n))
		s.bytes += x.table.bytes()
		return true
	}
	return false
}

// evict drops the slice touched longest ago that ClickHouse can answer for:
// none with an event it may not hold yet, and not keep. It reports whether
// there was one.
func (s *sliceSet) evict(keep *slice) bool {
	var oldest *slice
	for _, x := range s.list {
		if x != keep && x.lastOff < s.acked && (oldest == nil || x.used < oldest.used) {
			oldest = x
		}
	}
	if oldest == nil {
		return false
	}
	s.remove(oldest)
	return true
}
