package schemas

import "testing"

// typical is the event of DESIGN section 3, 321 bytes.
const typical = `{"specversion":"1.0","id":"0197c9d2-7c1e-7b44-9b0e-3f6f0d6f1a01","source":"/campaign-runner","type":"credits.consumed","subject":"ws_acme","time":"2026-11-22T09:00:07.123Z","data":{"workspace_id":"ws_acme","campaign_id":"cmp_7","credits":"1","action":"lead_sourced","actor":"agent:alice","attributes":{"lead_id":"l_91"}}}`

func benchmarkDecode(b *testing.B, decode func(*Decoder, *Record, *Event) bool) {
	d := NewDecoder(DefaultLimits())
	rec := &Record{Value: []byte(typical)}
	var ev Event
	b.SetBytes(int64(len(rec.Value)))
	b.ReportAllocs()
	for b.Loop() {
		if !decode(d, rec, &ev) {
			b.Fatal("rejected")
		}
	}
}

func BenchmarkDecodeConsumed(b *testing.B) {
	benchmarkDecode(b, func(d *Decoder, rec *Record, ev *Event) bool {
		return d.Decode(ConsumptionTopic, rec, ev) == nil
	})
}

func BenchmarkReferenceDecode(b *testing.B) {
	benchmarkDecode(b, func(d *Decoder, rec *Record, ev *Event) bool {
		return d.reference(ConsumptionTopic, rec, false, ev) == nil
	})
}
