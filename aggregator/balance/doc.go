// Package balance is the burn-down: what a workspace has left, which grant
// paid for what, and when credits expire. It is a pure function of the ledger
// (table credit_entries) and of net usage per segment (the rollups): no clock,
// no I/O, nothing stored. A late event, a backdated grant or a correction
// restates the past by being there the next time.
//
// [Cuts] and [Segments] say where the ledger cuts time, the caller sums usage
// over each segment, [Burn] answers with a [State], [Explain] adds every
// movement of credits in order, and [Steps] says which entry, expiry or segment
// made them and what the balance did. [Foresee] continues a state as an [Outlook]
// says.
//
// # Rules
//
// DESIGN.md section 6 gives the rules; they are numbered here, with what it
// leaves open decided. The code, the oracle and the scripts cite the numbers.
//
//  1. The ledger is a set. The order in which entries are passed means
//     nothing. Of two entries with one event_id, and of two grants with one
//     grant_id, the lower offset counts and the other does not exist.
//  2. Cuts are the ledger instants: effective_at and expires_at of every grant
//     and the time of every adjustment and void, whether or not they change
//     anything (cancelled grants, voids of unknown grants, adjustments by 0).
//     The time of a grant is when it was issued: it only orders. Which usage
//     nets with which refund depends on the cuts, so they are part of the
//     definition and depend on nothing but the ledger.
//  3. The balance at T has every ledger instant <= T behind it and all usage
//     before T. Usage before the first cut is a segment of its own, from
//     [Beginning]. Usage at a cut belongs to the segment that starts there, so
//     a grant does not cover an event at its expires_at.
//  4. At one instant, in this order: expiries, grants becoming effective,
//     adjustments, voids, each kind by (time, offset); then the segment that
//     starts there, with its net usage at once.
//  5. A grant is active at T if it became effective and neither expired nor
//     was voided, whether or not it still holds credits. Balance = what active
//     grants hold - overdraft. Overdraft is only there while no active grant
//     holds anything.
//  6. Net usage drains active grants by priority ascending, expiry soonest
//     first (never last), promo before paid, effective_at, grant_id. What none
//     covers is overdraft.
//  7. Whatever gives a grant credits (becoming effective, an adjustment) first
//     pays overdraft out of it. Paid for usage, that is used from the grant;
//     paid for what adjustments had overdrawn, it is adjusted. Usage is paid
//     first.
//  8. A net refund first cancels overdraft (of usage, then of adjustments),
//     then refills active grants in the reverse of rule 6, each up to its
//     credits as granted: what an adjustment added is not refilled, what one
//     took may be, in which case used is below 0. The rest becomes a
//     carry-over: a promo grant of priority 1000 without expiry, effective
//     from the segment's start, with id refund:<start>. What was used from an
//     expired or voided grant is therefore never revived in it.
//  9. An adjustment on an active grant changes what it holds, never below 0;
//     the excess drains by rule 6. On a grant that is not yet effective it
//     changes what the grant will hold from effective_at on and counts in
//     adjusted from there; again never below 0, and the excess drains now.
//  10. An adjustment without grant_id, or on an expired or voided grant: a
//     positive one is a promo grant of default priority (100) without expiry
//     and with id adjustment:<event_id>; a negative one drains by rule 6.
//  11. An adjustment or void of a grant that is not in the ledger changes
//     nothing until that grant comes; see [State].Unmatched. Carry-overs and
//     adjustments are not in the ledger as grants and cannot be named: the
//     instants of carry-overs move when late entries cut time elsewhere. The
//     way to take one back is an adjustment.
//  12. Adjustments are never usage: not in NetUsed, not in any used.
//  13. A void removes what the grant holds. At or before effective_at it
//     cancels the grant, and with it the adjustments made on it until then: it
//     never becomes effective, pays nothing, and counts neither in granted nor
//     in voided. Only the first void of a grant does anything.
//  14. An expiry removes what the grant holds. A grant whose expires_at is not
//     later than its effective_at (two instants in one minute) never becomes
//     effective.
//  15. allocated and used are of the active grants that were granted: neither
//     carry-overs nor adjustments are allocated. So remaining may exceed
//     allocated, and used is not allocated - remaining.
//  16. expires_at is the soonest expiry among active grants that hold credits;
//     days_remaining = ceil((expires_at - T) / 24 h).
//  17. period is [effective_at, expires_at) of the active paid grant that
//     expires first (of two, the first by rule 6), exhausted or not; if none
//     expires, the calendar month in UTC around T.
//  18. At every T: balance = granted + adjusted - net used - expired - voided.
//     It holds by construction: every movement changes one grant or the
//     overdraft, and is counted in exactly one of these sums (Repaid moves
//     credits from a grant to the overdraft and is in none).
package balance
