package balance_test

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// The oracle moves one micro-credit at a time and looks at every grant each
// time. It was written from DESIGN section 6 and shares nothing with the code
// but the entries.

// usage is one consumption event; negative is a refund.
type usage struct {
	at    schemas.Millis
	micro int
}

// pot is a grant of the oracle.
type pot struct {
	entry         balance.Entry
	id            string
	credits, held int
	used          int
	status        balance.Status
	allocated     bool
}

type oracle struct {
	pots                                     []*pot
	owedForUsage, owedForAdjustments         int
	granted, adjusted, used, expired, voided int
}

const grid = schemas.Millis(60_000) // instants are whole minutes

// ask answers what there is at an instant by living through every minute.
func ask(entries []balance.Entry, usages []usage, at schemas.Millis) *oracle {
	o := &oracle{}
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b balance.Entry) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Offset, b.Offset))
	})
	cut := map[schemas.Millis]bool{balance.Beginning: true}
	for _, e := range entries {
		if e.Type == schemas.CreditsGranted {
			o.pots = append(o.pots, &pot{
				entry: e, id: e.GrantID, credits: int(e.Credits), held: int(e.Credits),
				status: balance.Scheduled, allocated: true,
			})
			cut[e.EffectiveAt], cut[e.ExpiresAt] = true, true
		} else {
			cut[e.At] = true
		}
	}
	for now := balance.Beginning; now <= at; now += grid {
		if !cut[now] {
			continue
		}
		o.instant(entries, now)
		net := 0
		end := now + grid
		for end < at && !cut[end] {
			end += grid
		}
		for _, u := range usages {
			if now <= u.at && u.at < min(end, at) {
				net += u.micro
			}
		}
		o.use(now, net)
	}
	return o
}

func (o *oracle) instant(entries []balance.Entry, now schemas.Millis) {
	for _, p := range o.pots {
		if p.allocated && p.entry.ExpiresAt == now && p.status != balance.Voided {
			if p.status == balance.Active {
				o.expired += p.held
			}
			p.held, p.status = 0, balance.Expired
		}
	}
	for _, p := range o.pots {
		if p.allocated && p.entry.EffectiveAt == now && p.status == balance.Scheduled && !voidedBy(entries, p.id, now) {
			p.status = balance.Active
			o.granted += p.credits
			o.adjusted += p.held - p.credits
			o.settle(p)
		}
	}
	for _, e := range entries {
		if e.Type == schemas.CreditsAdjusted && e.At == now {
			o.adjust(e)
		}
	}
	for _, e := range entries {
		for _, p := range o.pots {
			if e.Type == schemas.GrantVoided && e.At == now && p.allocated && p.id == e.GrantID && p.status != balance.Expired {
				if p.status == balance.Active {
					o.voided += p.held
				}
				p.held, p.status = 0, balance.Voided
			}
		}
	}
}

func voidedBy(entries []balance.Entry, id string, now schemas.Millis) bool {
	return slices.ContainsFunc(entries, func(e balance.Entry) bool {
		return e.Type == schemas.GrantVoided && e.GrantID == id && e.At <= now
	})
}

func (o *oracle) adjust(e balance.Entry) {
	var target *pot
	for _, p := range o.pots {
		if p.allocated && p.id == e.GrantID {
			target = p
		}
	}
	if e.GrantID != "" && target == nil {
		return
	}
	if target != nil && (target.status == balance.Expired || target.status == balance.Voided) {
		target = nil
	}
	left := int(e.Credits)
	if target == nil && left > 0 {
		e.Priority, e.EffectiveAt, e.ExpiresAt, e.Class = 100, e.At, schemas.NoInstant, schemas.Promo
		target = &pot{entry: e, id: "adjustment:" + e.EventID, credits: left, status: balance.Active}
		o.pots = append(o.pots, target)
	}
	for ; left > 0; left-- {
		target.held++
		if target.status == balance.Active {
			o.adjusted++
			o.settle(target)
		}
	}
	for ; left < 0; left++ {
		if target != nil && target.held > 0 {
			target.held--
			if target.status == balance.Active {
				o.adjusted--
			}
			continue
		}
		o.adjusted--
		if p := o.best(func(p *pot) bool { return p.held > 0 }, drainsBefore); p != nil {
			p.held--
		} else {
			o.owedForAdjustments++
		}
	}
}

func (o *oracle) use(now schemas.Millis, net int) {
	o.used += net
	for ; net > 0; net-- {
		if p := o.best(func(p *pot) bool { return p.held > 0 }, drainsBefore); p != nil {
			p.held--
			p.used++
		} else {
			o.owedForUsage++
		}
	}
	carried := &pot{id: "refund:" + instantText(now), status: balance.Active}
	carried.entry = balance.Entry{Priority: 1000, EffectiveAt: now, ExpiresAt: schemas.NoInstant, GrantID: carried.id}
	for ; net < 0; net++ {
		if o.owedForUsage > 0 {
			o.owedForUsage--
		} else if o.owedForAdjustments > 0 {
			o.owedForAdjustments--
		} else if p := o.best(func(p *pot) bool { return p.held < p.credits }, func(a, b *pot) bool { return drainsBefore(b, a) }); p != nil {
			p.held++
			p.used--
		} else {
			carried.credits++
			carried.held++
		}
	}
	if carried.credits > 0 {
		o.pots = append(o.pots, carried)
	}
}

// settle pays what is owed out of a pot.
func (o *oracle) settle(p *pot) {
	for ; p.held > 0 && o.owedForUsage > 0; o.owedForUsage-- {
		p.held--
		p.used++
	}
	for ; p.held > 0 && o.owedForAdjustments > 0; o.owedForAdjustments-- {
		p.held--
	}
}

func (o *oracle) best(want func(*pot) bool, before func(a, b *pot) bool) *pot {
	var best *pot
	for _, p := range o.pots {
		if p.status == balance.Active && want(p) && (best == nil || before(p, best)) {
			best = p
		}
	}
	return best
}

func drainsBefore(a, b *pot) bool {
	expiry := func(p *pot) schemas.Millis {
		if p.entry.ExpiresAt == schemas.NoInstant {
			return math.MaxInt64
		}
		return p.entry.ExpiresAt
	}
	promoFirst := func(p *pot) int {
		if p.entry.Class == schemas.Promo {
			return 0
		}
		return 1
	}
	if a.entry.Priority != b.entry.Priority {
		return a.entry.Priority < b.entry.Priority
	}
	if expiry(a) != expiry(b) {
		return expiry(a) < expiry(b)
	}
	if promoFirst(a) != promoFirst(b) {
		return promoFirst(a) < promoFirst(b)
	}
	if a.entry.EffectiveAt != b.entry.EffectiveAt {
		return a.entry.EffectiveAt < b.entry.EffectiveAt
	}
	return strings.Compare(a.id, b.id) < 0
}

func (o *oracle) remaining() int {
	sum := -o.owedForUsage - o.owedForAdjustments
	for _, p := range o.pots {
		if p.status == balance.Active {
			sum += p.held
		}
	}
	return sum
}
