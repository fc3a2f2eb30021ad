// Package queryapi answers over HTTP what is left, where it went and when it
// runs out. It reads ClickHouse and writes Kafka alone, so that what came by
// HTTP is counted as everything else.
//
// Life of a request: [Server.Handler] routes it (chi) through request id,
// metrics, panic and deadline middleware; auth.go turns the credential into a
// [Principal]; permit.go decides by what the operation's Metadata says it
// needs whether the principal may call it; the operation's input is decoded and
// checked as a whole (huma, params.go); answered (freshness.go) reads freshness first, then gives the
// answer at hand or has the handler make the figures, and adds the ETag.
// Handlers return errors and the table in problem.go alone decides status and
// code.
//
// Life of a stream (live.go): the first viewer of a workspace opens its room
// (live_hub.go), which asks for freshness twice a second and makes balance and
// usage anew, the same way as the endpoints do, when they may have changed; the
// room's state (live_state.go) numbers each kind of event, and a viewer takes
// whatever has another number than it was sent last. One tail reads the alerts
// of all rooms (live_alerts.go). What a viewer has seen of them travels as its
// event id.
//
// Life of an export (export.go): the rows are counted and refused if too many;
// then ClickHouse makes the file, and its HTTP response passes through
// (export_store.go), the last 32 KiB held back until it is whole, so that a
// result which fails breaks the connection off instead of looking whole. The
// history's rows come page by page from its endpoint's code (export_history.go).
//
// A slow client is cut off by Config.Timeouts (serve.go): of headers, of a body,
// of an answer that is not taken. What it may hold meanwhile is bounded: a
// stream has no queue, an export 128 KiB and ClickHouse's own buffers, an answer
// itself; and of the requests under way, the bytes of bodies and the exports one
// principal has a share (shares.go), so that others are answered.
//
// Invariants:
//
//  1. Every sum comes from one mechanism, schemas/rollup by way of [Server.sums]: a sorted
//     list of edges goes in, net, refunds and events per interval and key come
//     out of one SQL statement. SQL receives edges, never a zone.
//
//  2. A sum reads whole buckets of the coarsest rollup that fits (schemas.Pieces;
//     of a whole workspace usage_15m_total) and raw events only for a partial
//     minute at an edge.
//
//  3. Figures of one answer that must agree come from one statement: the
//     segments of a balance and its burn windows, the series and their total,
//     a campaign's used and its unattributed neighbour.
//
//  4. Freshness is read before the figures it describes, so that a watermark
//     never claims records that the figures do not have. An answer is kept
//     (cache.go) under the revision, the minute and the watermark's minute it
//     was made of, and given again only under the same: it may be ahead of its
//     revision by a batch that is half inserted, never behind it but for
//     what a lagging replica of a cluster had not yet, which stands for a
//     minute at most (held), and what a handler computes may depend on
//     nothing else.
//
//  5. No user input is part of a statement's text: values travel as
//     server-side parameters ({name:Type}), and the only variable text is
//     chosen among constants of this package.
//
//  6. A row of the history stands at a place that is made of the row alone
//     (history_place.go), and a cursor is such a place and what the first page
//     cut days by: zone, raw_from and ledger. So pages skip and double nothing while events come in, new
//     or late. What a page has to tell apart is planned from the rollups
//     (history_plan.go), its figures come from one walk over the whole past
//     (history_rows.go), and so every balance_after is the workspace's.
//
//  7. 5xx bodies say nothing of the inside; the log has the rest under the
//     request id that the body names.
//
//  8. Nothing is produced that the consumers would reject: an event is decoded
//     by their decoder and judged at the timestamp that its record gets, and
//     produced as it was sent (events.go); a ledger entry that may have been
//     there before is looked up in the table and in the log behind it first
//     (ledger.go). What accepted_at promises is said at acceptedAt.
//
//  9. Who may call an operation is decided in one place (permit), before its
//     parameters are looked at: a workspace that the token does not name is
//     answered as one that does not exist, byte for byte, whatever else is
//     wrong with the request. An operation that does not say what it needs
//     cannot be registered.
//
//  10. A change of money, access or alerts that was asked for here stands in
//     audit_log, and who may change money may read who did (auditlog_list.go).
//
//  11. An alert rule is written as the version after one that was read, under a
//     token of that version, and read back (alertrules_store.go): whoever is
//     told of success wrote what stands. Secrets of webhooks are shown by the
//     answer that made them and nowhere else; whole URLs, which are secrets of
//     chat services, only to those who may write rules.
//
// Who sends a request is told by Authorization: Bearer, which is the token of
// Config.Token, an API key (keystore.go), or a JWT of Config.Issuer (issuer.go);
// else by the session of a browser that signed in under /auth/ (signin.go,
// session.go), whose unsafe requests must prove that they come from this site,
// and which ends at every server within 2 s of a sign-out (signout.go), or of
// another sign-in with the same browser.
// Of a JWT, and of the id token or userinfo of a sign-in, these claims count:
//
//   - sub: who it is.
//   - workspaces: an array of ids, or the text "*" for all. Absent: none.
//   - scope: scopes, separated by spaces; or scp: the same, or an array. Words
//     that are no scope here are ignored. credits:admin and operator count only
//     together with "*": they are never a workspace member's.
//   - exp (required), nbf: with 60 s of skew forgiven.
//   - aud: must have Issuer.Audience; of a sign-in the client id.
//
// An issuer that does not answer is 503 for whom it would have to be asked of,
// and nothing needs a restart when it is back; one that refuses us as its
// client is 500 and in the log. The tests hold all this to a provider that is
// not ours (storetest.NewIssuer).
//
// Figures are decimal strings made from 128-bit sums; floats appear only in
// lag_seconds and percentages.
package queryapi
