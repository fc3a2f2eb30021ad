// Package audit proves, continuously, that what was counted is what Kafka held
// (invariant 10 of the design). It finds; the owner of the partition in
// consumers repairs, between two batches, because nobody else adds to what it
// mends then.
//
// The order of truth is Kafka, the ledger of batches, raw events, rollups. So
// two things are compared ([Auditor.Cycle]): each range of the ledger with the
// rows that the tables hold of its offsets (ranges.go), and each hour of event
// time in every rollup with its source (hours.go). Both go forward as things are
// counted and sealed, and slowly backward over all that can be proven, so that
// what rots in an old hour is found as well. An hour into which something was
// counted after it was audited is dirty until it is audited again.
//
// # Rules
//
// The code cites these by number.
//
//  1. What differs is looked at by itself (look.go). It counts when it shows while
//     nothing is being inserted into its partition, nothing lies past the end of
//     the ledger and the ledger does not grow; or, where that never is, when two
//     comparisons show it with the same figures on both sides, and all INSERTs of
//     the time of the first have ended by the second: one of these would have
//     added to a side since. What does not show was an INSERT on its way. What
//     shows with other figures each time is compared again in the next cycle.
//  2. What two such looks, ConfirmAfter apart, show alike is confirmed, and will
//     be repaired.
//  3. A rollup that differs from raw events is confirmed only when all ranges
//     that may have brought events of the hour have been proven since it was
//     seen: otherwise the raw events may be what is wrong. A range that differs
//     and could not be looked at proves nothing.
//  4. If such a range lacks rows for good, because Kafka no longer has it, or an
//     earlier epoch may have counted into the hour, the difference is unprovable
//     and is left as it is.
//  5. Hours and ranges before provable_from are not audited: raw events of
//     theirs may have aged out.
//  6. What is known is in tables; a new auditor goes on where the last one was.
//     Two at a time do the same twice, which changes nothing: of two findings
//     about one place the one that is further stands.
//  7. What a partition is done with stands in its ledger: offsets past the end of
//     it are missing there, and not on their way. So are those before its
//     first range of which the tables have rows.
package audit
