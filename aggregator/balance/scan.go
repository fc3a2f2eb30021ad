package balance

import (
	"fmt"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// EntryColumns are the columns of table credit_entries that [ScanEntry] reads.
const EntryColumns = `type, event_id, grant_id, time, epoch, koff, credits_micro, class, priority, effective_at, expires_at, note, actor, source, kafka_time`

// ScanEntry reads a row of EntryColumns by scan, and what comes after them into
// more.
func ScanEntry(scan func(...any) error, more ...any) (e Entry, err error) {
	var (
		kind, class            string
		at, arrivedAt          time.Time
		epoch                  uint32
		offset                 uint64
		micro                  int64
		effectiveAt, expiresAt *time.Time
	)
	if err := scan(append([]any{
		&kind, &e.EventID, &e.GrantID, &at, &epoch, &offset, &micro, &class, &e.Priority,
		&effectiveAt, &expiresAt, &e.Note, &e.Actor, &e.Source, &arrivedAt,
	}, more...)...); err != nil {
		return e, err
	}
	switch e.Type = schemas.ParseEventType(kind); e.Type {
	case schemas.CreditsGranted, schemas.CreditsAdjusted, schemas.GrantVoided:
	default:
		return e, fmt.Errorf("ledger entry %q has type %q", e.EventID, kind)
	}
	if class == "paid" {
		e.Class = schemas.Paid
	}
	e.At, e.ArrivedAt = schemas.Millis(at.UnixMilli()), schemas.Millis(arrivedAt.UnixMilli())
	e.Credits = schemas.Credits(micro)
	e.Offset = uint64(epoch)<<48 | offset&(1<<48-1)
	e.EffectiveAt, e.ExpiresAt = millisOrNone(effectiveAt), millisOrNone(expiresAt)
	return e, nil
}

func millisOrNone(t *time.Time) schemas.Millis {
	if t == nil {
		return schemas.NoInstant
	}
	return schemas.Millis(t.UnixMilli())
}
