package consumers

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// inBinaryMode says the same in the record's headers and data.
func inBinaryMode(t *testing.T, s sent) sent {
	t.Helper()
	var event struct {
		Specversion, ID, Source, Type, Time string
		Data                                json.RawMessage
	}
	if err := json.Unmarshal(s.value, &event); err != nil {
		t.Fatal(err)
	}
	s.value = event.Data
	s.headers = []kafka.Header{{Key: "content-type", Value: []byte("application/json")}}
	for name, value := range map[string]string{"specversion": event.Specversion, "id": event.ID, "source": event.Source, "type": event.Type, "time": event.Time} {
		s.headers = append(s.headers, kafka.Header{Key: "ce_" + name, Value: []byte(value)})
	}
	return s
}

// TestConsumerCountsAnEventInBinaryModeAsTheSame: whichever mode comes first,
// the other is a duplicate of it, also by way of another partition; and what is
// rejected keeps the headers without which it says nothing.
func TestConsumerCountsAnEventInBinaryModeAsTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	structured := r.traffic(1, 100, 0)
	var binary []sent
	for _, s := range structured {
		binary = append(binary, inBinaryMode(t, s))
	}
	alone := inBinaryMode(t, r.one("ws_1", "alone"))
	late := inBinaryMode(t, r.consumed("ws_1", "late", "", "a", 1, time.Now().Add(-40*24*time.Hour)))
	grant := inBinaryMode(t, r.event(&schemas.Event{
		Type: schemas.CreditsGranted, ID: []byte("g"), WorkspaceID: []byte("ws_1"), GrantID: []byte("g"), Credits: 7,
		Time: schemas.MillisOf(time.Now()), EffectiveAt: schemas.MillisOf(time.Now()), ExpiresAt: schemas.NoInstant,
	}))
	r.consume(structured[:50]...)
	r.consume(binary...)
	r.consume(structured...)
	r.consume(r.astray(binary...)...)
	r.consume(alone, late)
	r.send(r.broker.Topics.Ledger, grant)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM events`); n != 101 {
		t.Errorf("%d events are counted, want 101", n)
	}
	if n := r.number(`SELECT count() FROM credit_entries WHERE event_id = 'g' AND credits_micro = 7`); n != 1 {
		t.Errorf("%d grants, want 1", n)
	}
	if n := r.number(`SELECT count() FROM rejections WHERE code = 'too_late' AND length(headers) = 6 AND has(headers, ('ce_id', 'late'))`); n != 1 {
		t.Errorf("%d rejections with their headers, want 1", n)
	}
}
