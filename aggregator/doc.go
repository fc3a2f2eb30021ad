// Package aggregator makes what is derived from what the consumers counted:
// projections of what campaigns and workspaces will have used, and incidents of
// alert rules. It reads and writes ClickHouse; Kafka tells it whose turn it is.
//
// Aggregators are a consumer group on the ledger's topic. The owner of a
// partition looks after the workspaces that belong in it ([Aggregator.Run],
// members.go): every second it reads how far its partitions are (watch.go), and
// looks at the workspaces of which something was counted, and once a minute at
// all. Looking at one reads its balance, evaluates its rules (evaluate.go) and
// records what changed (record.go). Twice a minute what campaigns and workspaces
// will have used is projected anew (project.go) from hours read (hours.go) and
// kept in memory (series.go). Who takes a partition over evaluates what is left
// and used at once, then reads eight weeks and says in the log when that begins
// and ends; how long conditions have been over it recalls (recall.go).
//
// # Invariants
//
//  1. Everything is evaluated at the watermark, never at now.
//  2. A workspace has one owner. For a moment it may have two, when one does not
//     know yet that it is none any more; so each incident's change of state is
//     recorded under a token that both would use, the first stands, and each
//     reads back what was recorded before it goes on. Of projections the newest
//     counts, whoever made it.
//  3. An INSERT under way is never cancelled, and none begins once what is owned
//     is known to be somebody else's.
//  4. Nothing is kept that could not be made again from the tables; a new owner
//     begins with what they say.
package aggregator
