package consumers

import "math/bits"

// key128 names an event within a partition. 128 bits of hash make a collision
// less likely than a broken machine (10^7 ids held: 10^-25 per look-up), so a
// hit needs no confirmation.
type key128 struct{ lo, hi uint64 }

type idEntry struct {
	key     key128
	content uint32
	delta   uint32 // time within the slice, or offset within the window
}

// packedID is an idEntry without the bits of its key that its tag has, in
// words of 32 bits, so that it takes no padding.
type packedID struct{ loLow, loHigh, hiHigh, content, delta uint32 }

// idEntryBytes is what a place takes: an entry and its tag.
const idEntryBytes = 20 + 4

// idTable is a set of ids with what each says: open addressing, linear
// probing, no deletion, no pointers. Tags lie apart from the entries: most
// look-ups are of ids that are not there, and end in the small array of tags
// without touching an entry. A tag is the part of the key that its entry
// leaves out.
type idTable struct {
	tags    []uint32 // 0: a free place
	entries []packedID
	n       int
}

// Small tables double; past idTableLarge growth by half and a fill of at most
// 7/8 keep an id at 27 to 41 bytes.
const (
	idTableFirst = 64
	idTableLarge = 1 << 17
)

func (t *idTable) bytes() int { return len(t.entries) * idEntryBytes }

// placeOf maps a key to its first place without needing a power of two
// (Lemire, "fast alternative to the modulo reduction").
func placeOf(lo uint64, size int) int {
	hi, _ := bits.Mul64(lo, uint64(size))
	return int(hi)
}

// tag is the low half of hi. 0 stands for a free place, so that two keys in
// 2^32 have the tag of others; 127 bits tell them apart.
func (k key128) tag() uint32 { return max(uint32(k.hi), 1) }

// is reports whether the entry is of k, whose tag it is known to have.
func (p *packedID) is(k key128) bool {
	return p.loLow == uint32(k.lo) && p.loHigh == uint32(k.lo>>32) && p.hiHigh == uint32(k.hi>>32)
}

func (p *packedID) lo() uint64 { return uint64(p.loHigh)<<32 | uint64(p.loLow) }

func (t *idTable) get(k key128) (idEntry, bool) {
	if t.n == 0 {
		return idEntry{}, false
	}
	tag := k.tag()
	for i := placeOf(k.lo, len(t.tags)); ; {
		switch t.tags[i] {
		case 0:
			return idEntry{}, false
		case tag:
			if e := &t.entries[i]; e.is(k) {
				return idEntry{k, e.content, e.delta}, true
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
	for i := placeOf(e.key.lo, len(t.tags)); ; {
		switch t.tags[i] {
		case 0:
			t.tags[i] = tag
			t.entries[i] = packedID{uint32(e.key.lo), uint32(e.key.lo >> 32), uint32(e.key.hi >> 32), e.content, e.delta}
			t.n++
			return
		case tag:
			if t.entries[i].is(e.key) {
				return
			}
		}
		if i++; i == len(t.tags) {
			i = 0
		}
	}
}

// placesFor is how many places n entries need.
func placesFor(n int) int {
	if n == 0 {
		return 0
	}
	return max(idTableFirst, n*8/7+1)
}

// tableBytes is what a table takes in which room for n entries is reserved.
func tableBytes(n int) int { return placesFor(n) * idEntryBytes }

// reserve makes room for n entries in all.
func (t *idTable) reserve(n int) {
	if need := placesFor(n); need > len(t.tags) {
		t.resize(need)
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
	t.tags, t.entries = make([]uint32, size), make([]packedID, size)
	for i, tag := range tags {
		if tag == 0 {
			continue
		}
		at := placeOf(entries[i].lo(), size)
		for t.tags[at] != 0 {
			if at++; at == size {
				at = 0
			}
		}
		t.tags[at], t.entries[at] = tag, entries[i]
	}
}

// each calls f for every entry.
func (t *idTable) each(f func(idEntry)) {
	for i, tag := range t.tags {
		if tag != 0 {
			e := &t.entries[i]
			f(idEntry{key128{e.lo(), uint64(e.hiHigh)<<32 | uint64(tag)}, e.content, e.delta})
		}
	}
}

// shift takes by off every delta.
func (t *idTable) shift(by uint32) {
	for i, tag := range t.tags {
		if tag != 0 {
			t.entries[i].delta -= by
		}
	}
}
