// Package alerts is the engine of alert rules: what a rule says of a
// workspace's figures at an instant ([Evaluate]), how incidents begin and end
// ([Step], [Book]), and what a rule would have done in the past ([Replay]). It
// is pure like balance and forecast: no I/O, no clock, the same answer for the
// same arguments. The rules themselves, and their parameters, are words of
// package schemas.
//
// Whoever runs it reads figures at the watermark, [Book.Advance]s, records the
// transitions, each as a block of its own under its Token, and [Book.Read]s
// back what was recorded.
//
// # Rules
//
// DESIGN.md section 8 gives them; they are numbered here, with what it leaves
// open decided. The code and the scripts in testdata cite the numbers.
//
//  1. A rule looks at [Figures] and at nothing else. Credits that were counted
//     are compared exactly; only forecasts are floats.
//  2. Figures are of the watermark, never of now. While it stands still for
//     [StaleAfter], nothing is evaluated: nothing fires and nothing ends but by
//     rule 11.
//  3. A finding is Met, Cleared, Unknown, or neither of them: between the
//     threshold and what hysteresis asks for. Hysteresis is a share of the
//     threshold. What is unknown begins nothing and ends nothing: a pending
//     incident waits, of a firing one Hold begins anew.
//  4. balance_below is met when what remains is at most the threshold, so that
//     a threshold of 0 is met by the last credit that goes; cleared above it
//     and hysteresis. Percent is of what is allocated, which is 0 once all
//     grants have expired. A workspace that was never given credits is unknown.
//  5. runway_below is met when the median exhaustion is at most so many days
//     ahead, or nothing is left; cleared beyond, or if credits last for as long
//     as anybody looks.
//  6. expiring_unused is met when the credits that will expire unused, by the
//     forecast, at all expiries in the days ahead, are at least the amount.
//  7. burn_rate is met when of one pair of windows both burned more than factor
//     times what is sustainable: what remains, spread evenly until the soonest
//     expiry. It is cleared when of each pair one is below that and hysteresis.
//     A pair whose long window is longer than the time to expiry says nothing.
//     Without expiry nothing has to last: cleared. With nothing left: unknown.
//     The default factors are scaled (schemas.DefaultBurnWindows).
//  8. quota_used is met when the net usage of a campaign over its life is at
//     least a percentage of its quota, and above 0. One that is completed or a
//     draft, or has no quota, is cleared. Paused ones count: their usage stands.
//  9. quota_projected is rule 8 of what will have been used by the end of the
//     campaign's period, or of what was used if that alone is enough.
//  10. burn_spike is met when the gross usage of a window is above factor times
//     what the same hours of the week are wont to use, and at least the amount.
//  11. freshness is met while the watermark stands still, by the clock: one
//     alert of the workspace, whatever its rules. Until a new observer has seen
//     it move, or long enough not to, it is unknown.
//  12. Each subject of each revision of a rule has one incident at a time:
//     pending when the condition is first met, if the rule has a `for`; firing
//     when it has been met at every look for that long; resolved when it has
//     been cleared at every look for [Hold]. A pending one resolves at the first
//     look that does not meet the condition, without having fired.
//  13. An incident is named by a hash of workspace, rule, revision, subject,
//     sequence and the whole minute in which the condition was first met.
//     Sequence counts the incidents of the rest, from 1.
//  14. What is recorded is what happened. A row's token is workspace, rule,
//     revision, subject, sequence and state: of two evaluators one records each
//     change, and the other reads it back before it goes on. States are
//     restored from rows alone; for how long a firing condition has been over is
//     in no row and may be [Book.Recall]ed.
//  15. A rule that is deleted, switched off or given another revision, and a
//     rule that has a subject no more (a campaign without quota), resolve what
//     is open at once and say why.
//  16. Silence keeps people from being told ([Transition].Deliver), not
//     incidents from happening. Never told: pending, and the end of what never
//     fired.
//  17. A replay evaluates as rules 1 to 16 say, at even steps, by what is known
//     now: late events and corrections are where they belong, outages are not
//     seen, and what was issued later is not foreseen. A window shorter than a
//     bucket of the timeline is its part of the last bucket. Forecasts are made
//     once a day, of very many campaigns less often, from what had been counted
//     then. That of the workspace is made of it as one series. What it means for
//     the balance is reckoned at each step, of very many grants less often.
package alerts
