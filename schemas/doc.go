// Package schemas is the vocabulary of Drawdown: what an event is, what a
// credit is, where a bucket starts, which topics and tables there are. Every
// other package imports it; it imports none of them.
//
// # Words
//
// A workspace is the tenant. Its campaigns consume credits; grants allot them.
// A consumption is one event that uses credits; with negative credits it is a
// refund. A ledger entry is anything the history shows: a grant, an
// adjustment, a void, an expiry, a consumption. A campaign may have a quota,
// which counts over its whole life. A consumption without a campaign is
// unattributed: shown as such, never dropped.
//
// An amount is [Credits], an integer number of micro-credits in code and
// tables and a decimal string such as "12.5" in JSON; sums are [Total], which
// no accepted log can overflow. An instant is [Millis], milliseconds of UTC;
// ranges are half-open, [from, to). Zones appear only where [Edges] cuts a
// range into buckets of somebody's local clock; SQL gets the edges.
//
// A batch is a contiguous range of offsets of one partition, inserted as one
// block; an intent says, before it happens, which batches are about to be
// inserted. A rejection is a record that was not counted, kept with its bytes
// and a code. A rollup holds sums per workspace, time bucket, campaign and
// action. The watermark is an arrival instant: every record that reached Kafka
// before it has been counted. An hour is sealed when every partition's
// watermark is ten minutes past its end; a record for a sealed hour counts at
// once and makes the hour dirty until it is audited again. Drift is what the
// audit finds wrong, and must be 0. A parked partition has stopped fetching and
// says why, while its owner and the other partitions go on. Burn rate is gross
// credits per hour; runway is the time until the balance is 0; a projection is
// what will have been used by a given instant.
//
// # What is where
//
//   - event.go, limits.go: events, records, rejections, limits and lateness
//   - decode.go, fields.go: the reference decoder and every field's rule
//   - scan.go: the fast decoder for the usual shape
//   - encode.go, hash.go, instant.go, credits.go: the smaller formats
//   - topics.go: topics and the partition of a workspace
//   - alertrule.go, alertparams.go, alertchange.go: alert rules, their
//     parameters, the default rules, and what happens to their incidents
//   - buckets.go: buckets on the local clock, pieces of a range per rollup
//   - migrations.go, migrations/, ttl.go: the tables
//   - webhook.go: secrets and signatures of webhooks
//   - events/: JSON Schemas of the event types, for producers
//   - testdata/events: one file per rule, with the code it is rejected by
//
// # Decisions
//
// The format is DESIGN section 3. Where it is silent:
//
//   - A specversion that is absent or null is missing_field; anything else
//     that is not the string "1.0" is malformed. A type that is no string is
//     unknown_type. JSON that is no object is malformed; data that is no
//     object is invalid_field.
//   - Binary mode is a record with header ce_specversion, unless its content
//     type says application/cloudevents: then the ce_ headers mean nothing. A
//     ce_ header that is there twice or is not UTF-8 is malformed, as in JSON.
//     An event is the same in both modes, down to its content hash; only data
//     that is no object is malformed in binary mode, where it is the value,
//     and invalid_field in structured mode. data_base64 is not read.
//   - subject and every unknown field are ignored, but must be valid JSON,
//     without duplicate keys, down to the last level.
//   - An empty campaign_id, an adjustment's empty grant_id, and an empty
//     time_zone, week_start or any other optional text are as if absent.
//     Numbers are not strings: priority "10" is invalid, priority 10.0 is not.
//     Attribute values must be strings; null is not one.
//   - Times follow RFC 3339 to the letter: T and Z in either case, offsets up
//     to 23:59, -00:00, any number of fraction digits, no leap second, no
//     space for the T. Fractions are cut off, never rounded.
//   - credits.granted requires grant_id, credits, class and effective_at.
//     campaign.updated requires campaign_id, name and status, because it is
//     the full state; workspace.updated requires nothing but the workspace: an
//     absent zone is UTC, an absent week start Monday. Adjustments may be 0.
//     A campaign may end before it starts: nothing is computed from that.
//   - note and reason are at most 4 KiB, names 1 KiB, zones 64 bytes. A zone
//     must load from the machine's zoneinfo or, failing that, Go's own copy.
//   - Only consumption can be too_late. Ledger entries and states may restate
//     any past: a grant with effective_at years ago is normal. in_future is
//     about the time of any event; a grant's effective_at and expires_at may
//     be as far ahead as they like. Ledger times are compared as truncated to
//     the minute.
//   - A drawdown-origin header that does not parse counts as none; of several
//     the last one counts.
//   - The content hash of an event covers its type and everything it says but
//     its id, workspace, source and attributes.
package schemas
