package balance

import (
	"fmt"

	"github.com/drawdown/drawdown/schemas"
)

// take does one step of rule 4.
func (l *ledger) take(s step) {
	l.now, l.until, l.cause = s.at, s.at, s.entry.EventID
	done := Step{Kind: s.kind, At: s.at, To: s.at, Entry: s.entry, Credits: s.entry.Credits.Total()}
	switch s.kind {
	case Expires:
		l.cause = "" // nobody did it
		l.end(l.byID[s.entry.GrantID], Expired)
	case TakesEffect:
		done.Unmoved = l.takeEffect(l.byID[s.entry.GrantID])
	case Adjusts:
		done.Unmoved = l.adjust(s.entry)
	case Voids:
		done.Credits, done.Unmoved = l.void(s.entry)
	default:
		panic(fmt.Sprintf("balance: step of kind %d", s.kind))
	}
	l.record(done)
}

// takeEffect makes a scheduled grant active with what adjustments have made
// of it (rules 9, 13, 14).
func (l *ledger) takeEffect(a *account) Reason {
	switch {
	case a.cancelled:
		return Cancelled
	case a.Status != Scheduled:
		return NeverEffective
	}
	a.Status, a.Remaining = Active, schemas.Total{}
	l.move(MovedGranted, a, a.Credits)
	for _, p := range a.pending {
		l.cause = p.eventID
		l.move(MovedAdjusted, a, p.change)
	}
	l.cause = a.EventID
	l.repay(a)
	return NothingLeft // if adjustments had taken it all
}

// void returns what it removed and why nothing moved, if so.
func (l *ledger) void(e *Entry) (schemas.Total, Reason) {
	a := l.byID[e.GrantID]
	if a == nil {
		return schemas.Total{}, UnknownGrant
	}
	reason := NothingLeft
	switch a.Status {
	case Scheduled:
		reason = NotYet
	case Active, Exhausted:
	case Expired, Voided:
		reason = Ended
	}
	removed := a.Remaining // 0 of one that ended
	l.end(a, Voided)
	return removed, reason
}

// end removes what a grant holds (rules 13, 14). What a scheduled one would
// have held was never counted.
func (l *ledger) end(a *account, status Status) {
	switch {
	case a.Status == Scheduled:
		a.Remaining = schemas.Total{}
	case a.Status == Active && status == Expired:
		a.Expired = a.Remaining
		l.move(MovedExpired, a, a.Remaining.Neg())
	case a.Status == Active:
		a.Voided = a.Remaining
		l.move(MovedVoided, a, a.Remaining.Neg())
	default:
		return
	}
	a.Status = status
	// It holds nothing now, so it is not drained; nor may it be refilled.
	l.lacking.put(a.rank, false)
}

// adjust is rules 9 to 11. It returns why nothing moved, if so.
func (l *ledger) adjust(e *Entry) Reason {
	credits := e.Credits.Total()
	a := l.byID[e.GrantID]
	if e.GrantID != "" && a == nil {
		return UnknownGrant
	}
	if a == nil || a.Status == Expired || a.Status == Voided {
		if credits.Sign() > 0 {
			a = l.adjustments[e]
			a.Status, a.Remaining = Active, schemas.Total{}
			l.accounts = append(l.accounts, a)
			l.move(MovedAdjusted, a, a.Credits)
			l.repay(a)
		} else {
			l.drain(MovedAdjusted, credits.Neg())
		}
		return ""
	}
	reason := Reason("")
	change := credits.Max(a.Remaining.Neg())
	a.Adjusted = a.Adjusted.Add(change)
	if a.Status == Scheduled {
		a.Remaining = a.Remaining.Add(change)
		a.pending = append(a.pending, pending{eventID: e.EventID, change: change})
		switch {
		case credits.Sign() == 0:
		case a.cancelled:
			reason = Cancelled
		default:
			reason = NotYet
		}
	} else {
		l.move(MovedAdjusted, a, change)
		l.repay(a)
	}
	if excess := change.Sub(credits); excess.Sign() > 0 {
		l.drain(MovedAdjusted, excess)
	}
	return reason
}

// burn applies the net usage of a segment.
func (l *ledger) burn(s *Segment) {
	l.now, l.until, l.cause = s.From, s.To, ""
	l.use(s)
	l.record(Step{Kind: Uses, At: s.From, To: s.To, Credits: s.Net})
}

func (l *ledger) use(s *Segment) {
	if s.Net.Sign() >= 0 {
		l.drain(MovedUsed, s.Net)
		return
	}
	rest := l.refund(s.Net.Neg())
	if rest.Sign() == 0 {
		return
	}
	a := l.carryOvers[s]
	a.Status, a.Credits = Active, rest
	l.accounts = append(l.accounts, a)
	l.move(MovedCarriedOver, a, rest)
}

// drain takes credits by rule 6; what is left over becomes overdraft.
func (l *ledger) drain(kind MovementKind, credits schemas.Total) {
	for credits.Sign() > 0 {
		rank := l.holding.first()
		if rank < 0 {
			l.move(kind, nil, credits.Neg())
			return
		}
		a := l.byRank[rank]
		part := credits.Min(a.Remaining)
		if kind == MovedUsed {
			a.Used = a.Used.Add(part)
		} else {
			a.Adjusted = a.Adjusted.Sub(part)
		}
		l.move(kind, a, part.Neg())
		credits = credits.Sub(part)
	}
}

// refund gives credits back by rule 8 and returns what found no place.
func (l *ledger) refund(credits schemas.Total) schemas.Total {
	cancelled := credits.Min(l.overdraft())
	l.move(MovedRefunded, nil, cancelled)
	credits = credits.Sub(cancelled)
	for credits.Sign() > 0 {
		rank := l.lacking.last()
		if rank < 0 {
			break
		}
		a := l.byRank[rank]
		part := credits.Min(a.Credits.Sub(a.Remaining))
		a.Used = a.Used.Sub(part)
		l.move(MovedRefunded, a, part)
		credits = credits.Sub(part)
	}
	return credits
}

// repay pays overdraft out of a grant that got credits (rule 7).
func (l *ledger) repay(a *account) {
	part := a.Remaining.Min(l.overdraft())
	forUsage := part.Min(l.overdrawnByUsage)
	a.Used = a.Used.Add(forUsage)
	a.Adjusted = a.Adjusted.Sub(part.Sub(forUsage))
	l.move(MovedRepaid, a, part.Neg())
	l.move(MovedRepaid, nil, part)
}

func (l *ledger) overdraft() schemas.Total {
	return l.overdrawnByUsage.Add(l.overdrawnByAdjustment)
}

// move changes what a grant holds or, with a nil, the overdraft. Nothing else
// changes either once a grant is active, which is why rule 18 holds.
func (l *ledger) move(kind MovementKind, a *account, delta schemas.Total) {
	if delta.Sign() == 0 {
		return
	}
	id := ""
	if a == nil {
		l.overdraw(kind, delta.Neg())
	} else {
		id = a.GrantID
		a.Remaining = a.Remaining.Add(delta)
		l.holding.put(a.rank, a.Remaining.Sign() > 0)
		l.lacking.put(a.rank, a.Remaining.Cmp(a.Credits) < 0)
	}
	s := l.state
	switch kind {
	case MovedGranted:
		s.GrantedTotal = s.GrantedTotal.Add(delta)
	case MovedAdjusted:
		s.AdjustedTotal = s.AdjustedTotal.Add(delta)
	case MovedUsed, MovedRefunded, MovedCarriedOver:
		s.NetUsed = s.NetUsed.Sub(delta)
	case MovedExpired:
		s.ExpiredTotal = s.ExpiredTotal.Sub(delta)
	case MovedVoided:
		s.VoidedTotal = s.VoidedTotal.Sub(delta)
	case MovedRepaid:
	default:
		panic("balance: movement of kind " + string(kind))
	}
	if l.explain {
		l.movements = append(l.movements, Movement{
			Kind: kind, At: l.now, To: l.until, GrantID: id, EventID: l.cause, Delta: delta,
		})
	}
}

// overdraw raises the overdraft by more, or lowers it: what usage has
// overdrawn goes first (rule 7).
func (l *ledger) overdraw(kind MovementKind, more schemas.Total) {
	switch {
	case more.Sign() < 0:
		byUsage := more.Neg().Min(l.overdrawnByUsage)
		l.overdrawnByUsage = l.overdrawnByUsage.Sub(byUsage)
		l.overdrawnByAdjustment = l.overdrawnByAdjustment.Add(more.Add(byUsage))
	case kind == MovedUsed:
		l.overdrawnByUsage = l.overdrawnByUsage.Add(more)
	default:
		l.overdrawnByAdjustment = l.overdrawnByAdjustment.Add(more)
	}
}
