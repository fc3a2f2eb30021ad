package consumers

import "math/bits"

// key128 names an event within a partition. 128 bits of hash make a collision
// less likely than a broken machine (10^7 ids held: 10^-25 per look-up), so a
// hit needs no confirmation.
type key128 struct{ lo, hi uint64 }

// idEntryBytes is what a place takes: an entry and its tag.
const idEntryBytes = 24 + 4

type idEntry struct {
	key     key128
	content uint32
	delta   uint32 // time within the slice, or offset within the window
}

// idTable is a set of ids with what each says: open addressing, linear
// probing, no deletion, no pointers. Tags lie apart from the entries: most
// look-ups are of ids that are not there, and end in the small array of tags
// without touching an entry.
type idTable struct {
	tags    []uint32 // 0: a free place
	entries []idEntry
	n       int
}

// Small tables double; past idTableLarge growth by half and a fill of at most
// 7/8 keep an id at 32 to 48 bytes.
const (
	idTableFirst = 64
	idTableLarge = 1 << 17
)

func (t *idTable) bytes() int { return len(t.entries) * idEntryBytes }

// place maps a key to its first place without needing a power of two
// (Lemire, "fast alternative to the modulo reduction").
func (t *idTable) place(k key128) int {
	hi, _ := bits.Mul64(k.lo, uint64(len(t.tags)))
	return int(hi)
}

func (k key128) tag() uint32 { return uint32(k.hi) | 1 }

func (t *idTable) get(k key128) (idEntry, bool) {
	if t.n == 0 {
		return idEntry{}, false
	}
	tag := k.tag()
	for i := t.place(k); ; {
		switch t.tags[i] {
		case 0:
			return idEntry{}, false
		case tag:
			if e := &t.entries[i]; e.key == k {
				return *e, true
			}
		}
		if i++; i == len(t.tags) {
			i = 0
		}
	}
}

// put adds e; the first entry of a key stays.
func (t *idTable) put(e idEntry) {
	if 8*(t.n+1) > 7*len(t.tags) {
		t.grow()
	}
	tag := e.key.tag()
	for i := t.place(e.key); ; {
		switch t.tags[i] {
		case 0:
			t.tags[i], t.entries[i] = tag, e
			t.n++
			return
		case tag:
			if t.entries[i].key == e.key {
				return
			}
		}
		if i++; i == len(t.tags) {
			i = 0
		}
	}
}

// reserve makes room for n entries in all.
func (t *idTable) reserve(n int) {
	if need := n*8/7 + 1; need > len(t.tags) {
		t.resize(max(idTableFirst, need))
	}
}

func (t *idTable) grow() {
	size := len(t.tags)
	if size < idTableLarge {
		t.resize(max(idTableFirst, 2*size))
		return
	}
	t.resize(size + size/2)
}

func (t *idTable) resize(size int) {
	tags, entries := t.tags, t.entries
	t.tags, t.entries = make([]uint32, size), make([]idEntry, size)
	for i, tag := range tags {
		if tag == 0 {
			continue
		}
		at := t.place(entries[i].key)
		for t.tags[at] != 0 {
			if at++; at == size {
				at = 0
			}
		}
		t.tags[at], t.entries[at] = tag, entries[i]
	}
}

// each calls f for every entry; f may change all but the key.
func (t *idTable) each(f func(*idEntry)) {
	for i, tag := range t.tags {
		if tag != 0 {
			f(&t.entries[i])
		}
	}
}
