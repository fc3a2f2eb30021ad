package consumers

import (
	"fmt"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// granted is a grant of 100 credits for a year.
func (r *rig) granted(ws, id, grant string, change func(*schemas.Event)) sent {
	at := schemas.MillisOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	ev := &schemas.Event{
		Type: schemas.CreditsGranted, ID: []byte(id), Source: []byte("/test"), Time: at, WorkspaceID: []byte(ws),
		GrantID: []byte(grant), Credits: 100 * schemas.MicrosPerCredit, Class: schemas.Paid, Priority: 100,
		EffectiveAt: at, ExpiresAt: at + schemas.Millis(365*24*time.Hour/time.Millisecond),
	}
	if change != nil {
		change(ev)
	}
	return r.event(ev)
}

// TestConsumerTakesAGrantSentTwiceForOne, under another event id, and a
// different one under the same grant id for a conflict, now and when it comes
// again after a restart.
func TestConsumerTakesAGrantSentTwiceForOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Ledger
	all := []sent{
		r.granted("ws_1", "e1", "g1", nil),
		r.granted("ws_1", "e2", "g1", nil),
		r.granted("ws_1", "e3", "g1", func(ev *schemas.Event) { ev.Note = []byte("terms are the same") }),
		r.granted("ws_1", "e4", "g1", func(ev *schemas.Event) { ev.Credits++ }),
		r.granted("ws_1", "e5", "g1", func(ev *schemas.Event) { ev.Class = schemas.Promo }),
		r.granted("ws_1", "e6", "g1", func(ev *schemas.Event) { ev.Priority++ }),
		r.granted("ws_1", "e7", "g1", func(ev *schemas.Event) { ev.ExpiresAt = schemas.NoInstant }),
		r.granted("ws_1", "e8", "g1", func(ev *schemas.Event) { ev.EffectiveAt += 60_000 }),
		r.granted("ws_1", "e1", "g1", nil),
		r.granted("ws_1", "e1", "g2", nil), // the event says something else
		r.granted("ws_1", "e9", "g3", func(ev *schemas.Event) { ev.ExpiresAt = schemas.NoInstant }),
		r.granted("ws_1", "e10", "g3", func(ev *schemas.Event) { ev.ExpiresAt = schemas.NoInstant }),
		r.granted("ws_2", "e1", "g1", nil), // another workspace
	}
	r.send(topic, all...)
	c := r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM credit_entries`); n != 3 {
		t.Errorf("%d entries, want g1 and g3 of ws_1 and g1 of ws_2", n)
	}
	if n := r.number(`SELECT count() FROM rejections WHERE code = 'conflict'`); n != 6 {
		t.Errorf("%d conflicts, want 6", n)
	}
	c.mustStop(t)
	r.send(topic, all...)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM credit_entries`); n != 3 {
		t.Errorf("%d entries after everything came again, want 3", n)
	}
}

// TestConsumerKeepsLedgerEntriesOfUnknownGrants: a void or an adjustment may
// come before its grant.
func TestConsumerKeepsLedgerEntriesOfUnknownGrants(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	at := schemas.MillisOf(time.Now())
	r.send(r.broker.Topics.Ledger,
		r.event(&schemas.Event{Type: schemas.GrantVoided, ID: []byte("v1"), Time: at, WorkspaceID: []byte("ws_1"), GrantID: []byte("g1"), Note: []byte("before it came")}),
		r.event(&schemas.Event{Type: schemas.CreditsAdjusted, ID: []byte("a1"), Time: at, WorkspaceID: []byte("ws_1"), GrantID: []byte("g1"), Credits: -5}),
		r.event(&schemas.Event{Type: schemas.CreditsAdjusted, ID: []byte("a2"), Time: at, WorkspaceID: []byte("ws_1"), Credits: 5}),
		r.granted("ws_1", "e1", "g1", nil),
	)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM credit_entries`); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}
}

// TestConsumerKeepsEveryStateOnce, of campaigns and of workspaces, which are
// two tables of one batch, when the consumer is killed at the steps between.
func TestConsumerKeepsEveryStateOnce(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for _, step := range []string{"", "BetweenInsertAndLedger"} {
		t.Run("Killed"+step, func(t *testing.T) {
			db := engine.Database(t)
			t.Parallel()
			r := newRig(t, db)
			var all []sent
			for i := range 200 {
				at := schemas.MillisOf(time.Now())
				ws := fmt.Appendf(nil, "ws_%d", i%7)
				all = append(all, r.event(&schemas.Event{
					Type: schemas.CampaignUpdated, ID: fmt.Appendf(nil, "c%d", i), Time: at, WorkspaceID: ws, CampaignID: fmt.Appendf(nil, "cmp_%d", i%20),
					Name: []byte("a campaign"), Status: []byte("ACTIVE"), HasQuota: i%2 == 0, Quota: schemas.Credits(i%2*-1+1) * 5, StartsAt: schemas.NoInstant, EndsAt: schemas.NoInstant,
				}))
				if i%10 == 0 {
					all = append(all, r.event(&schemas.Event{Type: schemas.WorkspaceUpdated, ID: fmt.Appendf(nil, "w%d", i), Time: at, WorkspaceID: ws, Name: []byte("a workspace"), TimeZone: []byte("Asia/Tokyo"), WeekStart: []byte("sunday")}))
					all = append(all, all[len(all)/2], sent{partition: i % 4, value: []byte("bad"), time: time.Now()})
				}
			}
			r.send(r.broker.Topics.Campaigns, all...)
			r.send(r.broker.Topics.Ledger, r.granted("ws_1", "e1", "g1", nil))
			if step != "" {
				r.crash(step)
			}
			r.start()
			r.requireExact()
			if n := r.number(`SELECT count() FROM campaigns`) + r.number(`SELECT count() FROM workspaces`); n != 220 {
				t.Errorf("%d states are kept, want 220", n)
			}
		})
	}
}
