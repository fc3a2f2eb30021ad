package consumers

import (
	"testing"

	"pgregory.net/rapid"
)

// TestIDTableIsAMapWhoseFirstEntryStays.
func TestIDTableIsAMapWhoseFirstEntryStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var table idTable
		want := make(map[key128]idEntry)
		// Few distinct keys at few places, so that probes run long and wrap.
		key := rapid.Custom(func(t *rapid.T) key128 {
			return key128{lo: rapid.Uint64Range(0, 3).Draw(t, "place") << 62, hi: rapid.Uint64Range(1, 200).Draw(t, "hi")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"Put": func(t *rapid.T) {
				e := idEntry{key: key.Draw(t, "key"), content: rapid.Uint32().Draw(t, "content"), delta: rapid.Uint32().Draw(t, "delta")}
				table.put(e)
				if _, known := want[e.key]; !known {
					want[e.key] = e
				}
			},
			"Get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				got, ok := table.get(k)
				if e, known := want[k]; known != ok || got != e {
					t.Fatalf("get(%v) = %v, %v; want %v, %v", k, got, ok, e, known)
				}
			},
			"Reserve": func(t *rapid.T) { table.reserve(rapid.IntRange(0, 500).Draw(t, "room")) },
			"": func(t *rapid.T) {
				n := 0
				table.each(func(e idEntry) {
					if n++; want[e.key] != e {
						t.Fatalf("each finds %v, want %v", e, want[e.key])
					}
				})
				if n != len(want) || table.n != n || table.bytes() < n*idEntryBytes {
					t.Fatalf("%d entries, %d said, %d bytes; want %d", n, table.n, table.bytes(), len(want))
				}
			},
		})
	})
}

// TestWindowForgetsAtItsSpan: not an offset earlier, not one later.
func TestWindowForgetsAtItsSpan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := window{span: rapid.Int64Range(1, 50).Draw(t, "span")}
		var puts []struct {
			k   key128
			off int64
		}
		off := rapid.Int64Range(0, 1000).Draw(t, "start")
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			off += rapid.Int64Range(1, 2*w.span+3).Draw(t, "step") / rapid.Int64Range(1, w.span).Draw(t, "by")
			k := key128{hi: rapid.Uint64Range(1, 20).Draw(t, "id")}
			want := int64(-1)
			for _, p := range puts {
				if p.k == k && off-p.off <= w.span {
					want = p.off
				}
			}
			content, ok := w.get(k, off)
			if ok != (want >= 0) || ok && content != uint32(want) {
				t.Fatalf("offset %d: get = %d, %v; want that of offset %d", off, content, ok, want)
			}
			if !ok {
				w.put(k, off, uint32(off))
				puts = append(puts, struct {
					k   key128
					off int64
				}{k, off})
			}
		}
	})
}

// TestFilterHoldsAnIDIn32Bytes: a stream in order of time, with what is kept
// beside it; ten million ids are 290 MiB.
func TestFilterHoldsAnIDIn32Bytes(t *testing.T) {
	const memory, events = 16 << 20, 3_000_000
	f, s := memoryFilter(memory), newStream()
	f.window.span = 1000
	for off := range int64(events) {
		if off%1000 == 0 {
			f.acknowledge(off - 10_000)
			f.settle()
		}
		f.judgeOne(s.next(), off)
	}
	held := 0
	for _, x := range f.slices.list {
		held += x.table.n
	}
	if each := float64(memory) / float64(held); each > 32 {
		t.Errorf("%d ids are held in %d bytes, %.1f each", held, memory, each)
	}
}
