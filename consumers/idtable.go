package consumers

import "math/bits"

// key128 names an event within a partition. 128 bits of hash make a collision
// less likely than a broken machine (10^7 ids held: 10^-25 per look-up), so a
// hit needs no confirmation.
type key128 struct{ lo, hi uint64 }

// idEntryBytes is the size of idEntry, for accounting.
const idEntryBytes = 24

type idEntry struct {
	key     key128
	content uint32
	delta   uint32 // time within the slice, or offset within the window
}

// idTable is a set of ids with what each says: open addressing, linear
// probing, no deletion, no pointers. The zero key marks a free place.
type idTable struct {
	entries []idEntry
	n       int
}

// Growth by half and a fill of at most 7/8 keep an id at 27 to 41 bytes.
const idTableFirst = 64

func (t *idTable) bytes() int { return len(t.entries) * idEntryBytes }

// place maps a key to its first place without needing a power of two
// (Lemire, "fast alternative to the modulo reduction").
func (t *idTable) place(k key128) int {
	hi, _ := bits.Mul64(k.lo, uint64(len(t.entries)))
	return int(hi)
}

func (t *idTable) get(k key128) (idEntry, bool) {
	if t.n == 0 {
		return idEntry{}, false
	}
	for i := t.place(k); ; {
		e := &t.entries[i]
		if e.key == k {
			return *e, true
		}
		if e.key == (key128{}) {
			return idEntry{}, false
		}
		if i++; i == len(t.entries) {
			i = 0
		}
	}
}

// put adds e; the first entry of a key stays.
func (t *idTable) put(e idEntry) {
	if 8*(t.n+1) > 7*len(t.entries) {
		t.resize(max(idTableFirst, len(t.entries)+len(t.entries)/2))
	}
	for i := t.place(e.key); ; {
		at := &t.entries[i]
		if at.key == e.key {
			return
		}
		if at.key == (key128{}) {
			*at = e
			t.n++
			return
		}
		if i++; i == len(t.entries) {
			i = 0
		}
	}
}

// reserve makes room for n entries in all.
func (t *idTable) reserve(n int) {
	if need := n*8/7 + 1; need > len(t.entries) {
		t.resize(max(idTableFirst, need))
	}
}

func (t *idTable) resize(size int) {
	old := t.entries
	t.entries = make([]idEntry, size)
	t.n = 0
	for _, e := range old {
		if e.key != (key128{}) {
			t.put(e)
		}
	}
}

func (t *idTable) each(f func(idEntry)) {
	for _, e := range t.entries {
		if e.key != (key128{}) {
			f(e)
		}
	}
}
