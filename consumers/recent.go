package consumers

import "math"

// recentIDs are the counted events of a partition that ClickHouse may not hold
// yet, in order of their offsets: as many as there are rows in batches that are
// built or written. They are what a slice must keep when it lets go of the rest.
type recentIDs struct {
	blocks []recentBlock
	n      int
}

// recentBlock holds events of offsets from first on.
type recentBlock struct {
	first int64
	ids   []recentID
}

type recentID struct {
	key     key128 // with its time
	time    int64  // milliseconds
	content uint32
	after   uint32 // offset - first of the block
}

const (
	recentIDBytes = 32
	// recentBlockIDs keeps what is allocated beyond need under 32 kB.
	recentBlockIDs = 1000
)

func (r *recentIDs) bytes() int { return r.n * recentIDBytes }

func (r *recentIDs) add(k key128, at, off int64, content uint32) {
	last := len(r.blocks) - 1
	if last < 0 || len(r.blocks[last].ids) == recentBlockIDs || off-r.blocks[last].first > math.MaxUint32 {
		r.blocks = append(r.blocks, recentBlock{off, make([]recentID, 0, recentBlockIDs)})
		last++
	}
	b := &r.blocks[last]
	b.ids = append(b.ids, recentID{k, at, content, uint32(off - b.first)})
	r.n++
}

// acknowledge drops what is before offset done, a block at a time.
func (r *recentIDs) acknowledge(done int64) {
	for len(r.blocks) > 0 {
		b := &r.blocks[0]
		if b.first+int64(b.ids[len(b.ids)-1].after) >= done {
			return
		}
		r.n -= len(b.ids)
		*b = recentBlock{} // for the garbage collector
		r.blocks = r.blocks[1:]
	}
}

// each calls f for every event.
func (r *recentIDs) each(f func(id *recentID)) {
	for _, b := range r.blocks {
		for i := range b.ids {
			f(&b.ids[i])
		}
	}
}
