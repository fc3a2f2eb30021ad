// Package consumers brings what Kafka holds into ClickHouse, each distinct
// valid event once, whatever crashes, stalls, is retried or sent again.
//
// One [Consumer] is a member of a consumer group for the three input topics.
// For each partition it is given: fetch, decode, deduplicate, build a batch,
// have its intent committed, insert, say done. A new owner brings to its end
// what the last one left.
//
// # Invariants
//
// The code cites these by number.
//
//  1. Batch. One batch is one contiguous range of offsets of one partition,
//     one block and one INSERT per target table, at most 500,000 rows, under
//     the token topic/epoch/partition/a-b/format/table, with the settings of
//     insertSettings.
//  2. Intent before insert. Before a batch is inserted its range stands in the
//     metadata of an answered OffsetCommit of the current generation. A commit
//     without an answer is never repeated: the member leaves. Nothing is sent
//     when the last answer is older than the session timeout.
//  3. Recovery replays intents exactly, and verifies. A recovered range, and
//     one whose first INSERT did not succeed, is compared with the rows built;
//     missing rows go in as repairs, which the views skip; then each rollup is
//     compared with its source for the touched buckets and mended.
//  4. Determinism. The rows of a range are a function of the log up to its end
//     and of the rules: no clock, no randomness.
//  5. First one wins. An event is a duplicate of the first counted one with
//     its identity: the same (workspace_id, id) within 200,000 offsets, or the
//     same (workspace_id, id, time) at any distance. Other content is a
//     conflict. Only counted events enter the filter.
//  6. Own your reads. Nothing that Kafka lost is skipped silently: the
//     partition parks. Records of aborted transactions are not counted.
//  7. Never cancel an INSERT in flight. After five seconds at the end of a
//     generation it is left to end by itself; the next owner waits for it.
//  8. Backpressure. While ClickHouse fails, the same batch is sent again under
//     the same token with backoff, and memory stays bounded.
//  9. Ledger of batches. Reroutes, rows, rejections, ledger row, then done.
//     Ranges of a partition are contiguous and do not overlap.
//
// # What can go wrong
//
// Every error is of one of four classes:
//
//   - rejected: the record is not counted, but kept with its reason, counted
//     as such, and what is behind it goes on (judge);
//   - retryable: Kafka or ClickHouse is away or overloaded; the same is tried
//     again with backoff, nothing is skipped (trouble, backoff);
//   - parking: going on could lose or double something; the partition stops
//     and says why and what to do, the others go on (parkError);
//   - fatal: the configuration cannot work; New or Run returns it.
package consumers
