package consumers

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/schemas"
)

// TestBatchTakesTheMemoryItSays: whatever its events consist of, a batch that
// says it takes 8 MiB takes little more.
func TestBatchTakesTheMemoryItSays(t *testing.T) {
	const bound = 8 << 20
	text := func(i, n int) []byte {
		return fmt.Appendf(nil, "%0*d", n, i)
	}
	for name, spoil := range map[string]func(ev *schemas.Event, i int){
		"as usual":       func(*schemas.Event, int) {},
		"a source each":  func(ev *schemas.Event, i int) { ev.Source = text(i, 256) },
		"an action each": func(ev *schemas.Event, i int) { ev.Action = text(i, 64) },
		"4 KiB of attributes": func(ev *schemas.Event, i int) {
			ev.Attributes = []schemas.Attribute{{Key: text(i, 8), Value: []byte(strings.Repeat("x", 4000))}}
		},
		"many attributes": func(ev *schemas.Event, i int) {
			ev.Attributes = nil
			for j := range 32 {
				ev.Attributes = append(ev.Attributes, schemas.Attribute{Key: text(j, 2), Value: text(i, 10)})
			}
		},
	} {
		var before, after runtime.MemStats
		s := newStream()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b := &batch{tables: tablesOf(schemas.ConsumptionTopic)}
		for i := 0; b.bytes < bound; i++ {
			ev := s.next()
			spoil(ev, i)
			b.append(ev, origin{kafkaTime: int64(ev.Time), epoch: 1, koff: int64(i)})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		// Columns that have just grown are a half larger than what they hold.
		if took := int(after.HeapAlloc) - int(before.HeapAlloc); took > bound*3/2 {
			t.Errorf("%s: %d events take %d bytes, %d are accounted for", name, b.counted(), took, b.bytes)
		}
		runtime.KeepAlive(b)
	}
}

// TestStageForgetsOneLargeAnswer: its memory is not in any bound.
func TestStageForgetsOneLargeAnswer(t *testing.T) {
	var s stage
	s.add(&record{value: make([]byte, 2*scratchBytes)})
	s.reset()
	if n := cap(s.arena); n > scratchBytes {
		t.Errorf("%d bytes are kept", n)
	}
	s.add(&record{value: make([]byte, 1000)})
	s.reset()
	if cap(s.arena) < 1000 {
		t.Error("the room of an ordinary answer is not kept")
	}
}
