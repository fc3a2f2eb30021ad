package queryapi

import (
	"context"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

const countedQuery = `
SELECT max(next_offset) FROM ingest_progress
WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {partition:UInt16}`

const knownEntriesQuery = `
SELECT type, event_id, grant_id, time, actor, content_hash, credits_micro, class, priority, effective_at, expires_at, kafka_time
FROM credit_entries
WHERE workspace_id = {workspace:String} AND (event_id = {event:String} OR type = 'credits.granted' AND grant_id = {grant:String})
ORDER BY epoch, koff`

// find returns the entry with the event's id and, if a grant is asked for, the
// grant of that id, among everything that Kafka has acknowledged.
func (s *Server) find(ctx context.Context, workspaceID string, asked *ledgerEntry) (byEvent, byGrant *ledgerEntry, err error) {
	note := func(entry ledgerEntry) {
		if byEvent == nil && entry.eventID == asked.eventID {
			byEvent = &entry
		}
		if byGrant == nil && asked.kind == schemas.CreditsGranted && entry.kind == schemas.CreditsGranted && entry.grantID == asked.grantID {
			byGrant = &entry
		}
	}
	// In this order: what is behind counted now may be in the table later, but
	// what is before it is there already.
	counted, err := s.counted(ctx, workspaceID)
	if err != nil {
		return nil, nil, err
	}
	if err := s.knownEntries(ctx, workspaceID, asked, note); err != nil {
		return nil, nil, err
	}
	if byEvent != nil || byGrant != nil {
		return byEvent, byGrant, nil
	}
	decoder, done := s.decoder()
	defer done()
	var ev schemas.Event
	seenAt := schemas.Millis(0)
	err = s.cfg.Producer.Tail(ctx, schemas.LedgerTopic, workspaceID, counted, func(rec *schemas.Record) {
		// What the consumers will reject is not there.
		if decoder.Decode(schemas.LedgerTopic, rec, &ev) != nil || string(ev.WorkspaceID) != workspaceID || s.cfg.Limits.Late(rec, &ev) != nil {
			return
		}
		if seenAt == 0 {
			seenAt = s.acceptedAt()
		}
		entry := entryOf(&ev)
		entry.seenAt = seenAt
		note(entry)
	})
	if err != nil {
		return nil, nil, writesUnavailable(err, "what Kafka has cannot be read, so that nobody knows whether this is there already; try again")
	}
	return byEvent, byGrant, nil
}

// counted returns the offset before which every record of the ledger of the
// workspace's partition is in the table.
func (s *Server) counted(ctx context.Context, workspaceID string) (int64, error) {
	bound := parameters{}
	bound.String("topic", s.cfg.Topics.Ledger)
	bound.Integer("epoch", int64(s.cfg.Epoch))
	bound.Integer("partition", int64(schemas.Partition([]byte(workspaceID), s.cfg.Partitions)))
	next := uint64(0)
	err := s.query(ctx, "counted", countedQuery, bound, func(scan func(...any) error) error { return scan(&next) })
	return int64(next), err
}

func (s *Server) knownEntries(ctx context.Context, workspaceID string, asked *ledgerEntry, note func(ledgerEntry)) error {
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.String("event", asked.eventID)
	bound.String("grant", asked.grantID)
	return s.query(ctx, "known_entries", knownEntriesQuery, bound, func(scan func(...any) error) error {
		var (
			entry                  ledgerEntry
			kind, class            string
			at, kafkaTime          time.Time
			micro                  int64
			priority               uint16
			effectiveAt, expiresAt *time.Time
		)
		if err := scan(&kind, &entry.eventID, &entry.grantID, &at, &entry.actor, &entry.content, &micro, &class, &priority,
			&effectiveAt, &expiresAt, &kafkaTime); err != nil {
			return err
		}
		entry.kind, entry.at = schemas.ParseEventType(kind), millisOf(at)
		// It is visible, so that any instant would do.
		entry.seenAt = millisOf(kafkaTime) + 1
		if entry.kind == schemas.CreditsGranted {
			entry.terms = schemas.GrantTerms{
				Credits: schemas.Credits(micro), Priority: priority,
				EffectiveAt: millisOrNone(effectiveAt), ExpiresAt: millisOrNone(expiresAt),
			}
			if class == "paid" {
				entry.terms.Class = schemas.Paid
			}
		}
		note(entry)
		return nil
	})
}
