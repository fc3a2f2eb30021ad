package consumers

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
)

// statedFilter is the filter of a partition of the ledger or the campaigns
// topic. Grants and states are few and matter for ever, so every identity is
// kept, whatever its age (DESIGN: ledger ids are kept without limit).
type statedFilter struct {
	ids    identity
	events map[key128]uint32 // (workspace, event id) -> content
	grants map[key128]uint32 // (workspace, grant id) -> terms
}

// newStatedFilter loads what the tables hold of the partition before next.
func newStatedFilter(ctx context.Context, db driver.Conn, w where, role schemas.Topic, next int64) (*statedFilter, error) {
	f := &statedFilter{events: make(map[key128]uint32), grants: make(map[key128]uint32)}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(w.params(next)))
	if role == schemas.CampaignsTopic {
		for _, query := range []string{
			`SELECT workspace_id, event_id, content_hash FROM campaigns WHERE ` + before,
			`SELECT workspace_id, event_id, content_hash FROM workspaces WHERE ` + before,
		} {
			if err := f.load(ctx, db, query, nil); err != nil {
				return nil, err
			}
		}
		return f, nil
	}
	return f, f.load(ctx, db, `SELECT workspace_id, event_id, content_hash, type = 'credits.granted', grant_id, credits_micro,
		class, priority, toUnixTimestamp64Milli(assumeNotNull(effective_at)),
		if(expires_at IS NULL, toInt64(-9223372036854775808), toUnixTimestamp64Milli(assumeNotNull(expires_at)))
		FROM credit_entries WHERE `+before, f.loadEntry)
}

// load reads rows by scan, or identities alone where scan is nil.
func (f *statedFilter) load(ctx context.Context, db driver.Conn, query string, scan func(driver.Rows) error) error {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("cannot load the identities of a partition: %w", err)
	}
	defer func() { _ = rows.Close() }()
	if scan == nil {
		scan = func(rows driver.Rows) error {
			var workspace, id string
			var content uint32
			if err := rows.Scan(&workspace, &id, &content); err != nil {
				return err
			}
			f.events[f.ids.of([]byte(workspace), []byte(id))] = content
			return nil
		}
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("cannot load an identity: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot load the identities of a partition: %w", err)
	}
	return nil
}

func (f *statedFilter) loadEntry(rows driver.Rows) error {
	var (
		workspace, id, grant, class string
		content                     uint32
		granted                     bool
		priority                    uint16
		micro, effective, expires   int64
	)
	if err := rows.Scan(&workspace, &id, &content, &granted, &grant, &micro, &class, &priority, &effective, &expires); err != nil {
		return err
	}
	f.events[f.ids.of([]byte(workspace), []byte(id))] = content
	if granted {
		f.grants[f.ids.of([]byte(workspace), []byte(grant))] = terms(micro, class == "paid", priority, effective, expires)
	}
	return nil
}

// terms fingerprints what must be equal for a second grant of the same
// grant_id to be a duplicate and not a conflict.
func terms(micro int64, paid bool, priority uint16, effective, expires int64) uint32 {
	b := binary.BigEndian.AppendUint64(nil, uint64(micro))
	if paid {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint16(b, priority)
	b = binary.BigEndian.AppendUint64(b, uint64(effective))
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	return crc32.Checksum(b, castagnoli)
}

func eventTerms(ev *schemas.Event) uint32 {
	return terms(int64(ev.Credits), ev.Class == schemas.Paid, ev.Priority, int64(ev.EffectiveAt), int64(ev.ExpiresAt))
}

func (f *statedFilter) check(ev *schemas.Event, _ int64) verdict {
	if content, ok := f.events[f.ids.of(ev.WorkspaceID, ev.ID)]; ok {
		return same(content, ev.ContentHash)
	}
	if ev.Type == schemas.CreditsGranted {
		if known, ok := f.grants[f.ids.of(ev.WorkspaceID, ev.GrantID)]; ok {
			return same(known, eventTerms(ev))
		}
	}
	return fresh
}

func (f *statedFilter) add(ev *schemas.Event, _ int64) {
	f.events[f.ids.of(ev.WorkspaceID, ev.ID)] = ev.ContentHash
	if ev.Type == schemas.CreditsGranted {
		f.grants[f.ids.of(ev.WorkspaceID, ev.GrantID)] = eventTerms(ev)
	}
}

func (*statedFilter) resolve(context.Context) error { return nil }
func (*statedFilter) settle()                       {}
func (*statedFilter) acknowledge(int64)             {}
