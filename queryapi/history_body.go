package queryapi

import (
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// lateAfter is how long after its instant an entry may arrive without being
// late (DESIGN section 7 leaves it open; it is what a producer's clock may be
// ahead).
const lateAfter = 5 * minuteMillis

// body makes the wire form of a row.
func (r *historyRow) body() HistoryItem {
	item := HistoryItem{Type: stepTypes[r.Kind], At: instant(r.At), BalanceAfter: decimal(r.after)}
	switch {
	case r.step != nil:
		item.fillStep(r.step)
	case r.event != nil:
		e := r.event
		item.EntryID = typeConsumption + ":" + e.id
		item.Credits, item.Change = decimal(e.credits.Total()), decimal(e.credits.Total().Neg())
		item.CampaignID, item.EventID = &e.campaign, &e.id
		item.Action, item.Actor, item.Source = stringOrNull(e.action), stringOrNull(e.actor), stringOrNull(e.source)
		item.Attributes = e.attributes
		item.Late = late(e.at, e.arrivedAt)
		item.Sources = paidBy(r.payer, e.credits.Total())
	default:
		from, to, refunds := instant(r.in.from), instant(r.in.to), decimal(r.refunds)
		item.EntryID = "usage:" + string(from) + ":" + r.campaign
		item.Credits, item.Change = decimal(r.net), decimal(r.net.Neg())
		item.CampaignID, item.From, item.To = &r.campaign, &from, &to
		item.Events, item.Refunds = &r.events, &refunds
		item.Sources = paidBy(r.payer, r.net)
	}
	return item
}

func (item *HistoryItem) fillStep(step *balance.Step) {
	e := step.Entry
	item.Credits, item.Change = decimal(step.Credits), decimal(step.Change)
	item.GrantID, item.Unmoved = stringOrNull(e.GrantID), stringOrNull(string(step.Unmoved))
	item.Sources = sourcesOf(step.Movements)
	if step.Kind == balance.Expires {
		item.EntryID = typeExpiry + ":" + e.GrantID
		return
	}
	item.EntryID = item.Type + ":" + e.EventID
	item.EventID, item.Note = &e.EventID, stringOrNull(e.Note)
	item.Actor, item.Source = stringOrNull(e.Actor), stringOrNull(e.Source)
	item.Late = late(step.At, e.ArrivedAt)
}

func late(at, arrivedAt schemas.Millis) *bool {
	is := arrivedAt-at > lateAfter
	return &is
}

// paidBy is the source of what was used where one grant paid for everything.
func paidBy(payer *string, used schemas.Total) []HistorySource {
	switch {
	case used.Sign() == 0:
		return []HistorySource{}
	case payer == nil:
		return nil
	}
	return []HistorySource{{GrantID: stringOrNull(*payer), Change: decimal(used.Neg())}}
}

// sourcesOf adds up movements by grant, in the order of the first of each.
func sourcesOf(movements []balance.Movement) []HistorySource {
	var order []string
	changes := make(map[string]schemas.Total)
	for _, m := range movements {
		if _, known := changes[m.GrantID]; !known {
			order = append(order, m.GrantID)
		}
		changes[m.GrantID] = changes[m.GrantID].Add(m.Delta)
	}
	sources := []HistorySource{}
	for _, id := range order {
		if change := changes[id]; change.Sign() != 0 {
			sources = append(sources, HistorySource{GrantID: stringOrNull(id), Change: decimal(change)})
		}
	}
	return sources
}
