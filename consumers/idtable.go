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

// Small tables double; past idTableLarge growth by half and a fill of at most
// 7/8 keep an id at 27 to 41 bytes.
const (
	idTableFirst = 64
	idTableLarge = 1 << 17
)

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
		t.grow()
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

func (t *idTable) grow() {
	size := len(t.entries)
	if size < idTableLarge {
		t.resize(max(idTableFirst, 2*size))
		return
	}
	t.resize(size + size/2)
}

func (t *idTable) resize(size int) {
	old := t.entries
	t.entries = make([]idEntry, size)
	for i := range old {
		if old[i].key == (key128{}) {
			continue
		}
		at := t.place(old[i].key)
		for t.entries[at].key != (key128{}) {
			if at++; at == size {
				at = 0
			}
		}
		t.entries[at] = old[i]
	}
}

// each calls f for every entry; f may change all but the key.
func (t *idTable) each(f func(*idEntry)) {
	for i := range t.entries {
		if t.entries[i].key != (key128{}) {
			f(&t.entries[i])
		}
	}
}
