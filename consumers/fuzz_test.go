package consumers

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// FuzzRecords: whatever a record set holds, under checksums that are right,
// it is read or reported as corrupt; what is read stays within the batch.
func FuzzRecords(f *testing.F) {
	at := time.UnixMilli(1_790_000_000_000)
	records := []sent{{key: []byte("k"), value: []byte("v"), time: at}, {value: []byte("w"), time: at.Add(time.Second), headers: []kafka.Header{{Key: "h", Value: []byte("x")}}}}
	plain := appendBatch(nil, 5, records)
	for codec := range uint16(6) {
		b := append([]byte(nil), plain...)
		binary.BigEndian.PutUint16(b[batchAttributesAt:], codec)
		f.Add(b, int64(5))
	}
	f.Add(appendBatch(append([]byte(nil), plain...), 7, records), int64(6))
	f.Fuzz(func(t *testing.T, raw []byte, from int64) {
		for b := raw; len(b) >= batchHeaderBytes; {
			size := min(int(binary.BigEndian.Uint32(b[batchLengthAt:]))+batchOverhead, len(b))
			if size < batchHeaderBytes {
				break
			}
			b[batchMagicAt] = 2
			binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:size], castagnoli))
			b = b[size:]
		}
		reader := recordReader{until: noEnd}
		next, err := reader.each(&fetched{raw: raw}, from, func(rec *record) error {
			if rec.offset < from {
				t.Errorf("offset %d is emitted, %d was asked for", rec.offset, from)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errCorrupt) {
			t.Errorf("each fails with %v", err)
		}
		if next < from {
			t.Errorf("each goes back from %d to %d", from, next)
		}
	})
}

// FuzzIntent: metadata is refused or means what it says.
func FuzzIntent(f *testing.F) {
	f.Add("", int64(0))
	f.Add("1;1;49762fb396901c6f;", int64(7))
	f.Add("1;7;49762fb396901c6f;7-9,10-10", int64(7))
	f.Add("1;1;r;7-9,11-12", int64(7))
	f.Fuzz(func(t *testing.T, metadata string, offset int64) {
		in, err := parseIntent(metadata, offset)
		if err != nil || metadata == "" {
			return
		}
		again, err := parseIntent(in.String(), offset)
		if err != nil || again.String() != in.String() {
			t.Errorf("%q is %q, which is %q, %v", metadata, in, again, err)
		}
		next := offset
		for _, s := range in.pending {
			if s.first != next || s.last < s.first {
				t.Errorf("%q has ranges %v at offset %d", metadata, in.pending, offset)
			}
			next = s.last + 1
		}
		if len(in.pending) > maxPending {
			t.Errorf("%q has %d ranges", metadata, len(in.pending))
		}
	})
}
