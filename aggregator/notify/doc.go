// Package notify delivers alert incidents: to the webhooks that a rule names,
// and to the topic credits.alerts. It is an outbox over tables. What is owed is
// a question to alert_incidents, alert_rules and alert_deliveries, so whoever
// owns a partition goes on where the last owner stopped.
//
// A message is an incident in state firing or resolved; its webhook-id is
// incident_id/state. A destination is a webhook of the rule's latest version, or
// the topic. Every attempt to bring a message to a destination leaves a row in
// alert_deliveries, written right after it; the message is settled there when
// one of its rows has an outcome other than retrying.
//
// # Invariants
//
//  1. Every message is settled at every destination it is for, whatever
//     crashes: it is looked for until a row says so. It may arrive more than
//     once (a crash between answer and row, two owners for a moment), always
//     under the same webhook-id and with the same body.
//  2. At one destination, resolved is sent only after firing is settled, and
//     only to those to whom firing was.
//  3. Nobody is connected to whose address is not public, unless the
//     configuration allows it. The address is judged when it is connected to,
//     after any name is resolved.
//  4. A receiver holds up only itself: requests are bounded in time, and in
//     number per host, per workspace and in all.
//  5. An INSERT under way is never cancelled, and a repeated one is none.
//  6. No secret, no query and no path of a URL is logged: those of chat
//     services are secrets.
//
// # Decisions
//
//   - A destination gets what is recorded after the rule named it, and what is
//     still firing then: a corrected URL gets what the wrong one did not, and a
//     new one is not told of what is over.
//   - Retries are spaced 5 s to an hour apart, for a day from when the incident
//     was recorded; then the outcome is failed. Retry-After is heeded up to an
//     hour. A receiver that answers 429, 502, 503 or 504 is sent nothing else
//     for 5 s, or for as long as it asks. An incident that is found later than
//     a day, because nobody ran, is recorded as failed up to three days later.
//   - 410 disables the destination until the rule is written anew. Redirects
//     are not followed and count as a failure. A URL that may not be asked is
//     refused at once and not tried again.
//   - Of a rule that is deleted or disabled only what resolves a delivered
//     firing is still sent. Silence is for people: webhooks are not told, the
//     topic is. What was silenced when it fired is silent when it resolves.
//   - The topic has CloudEvents in structured mode, with the key workspace_id:
//     alert.firing and alert.resolved with the webhook-id for id. Where nothing
//     was left when an alert of kind balance_below fired, a credits.exhausted
//     with id incident_id/exhausted goes before it in the same request.
//   - Each step plans what is at hand, what came lately and, while a full look
//     is under way, a page of the last three days. What is at hand is bounded;
//     what does not fit is found again by the next full look, which then follows
//     in seconds; so do first attempts past the 5,000 a question finds. Limits count
//     incidents and never rows, which would part resolved from firing.
//   - A test (trial.go) is of no incident. Somebody who may write rules asks for
//     it by rows of alert_deliveries; it is sent once, to webhooks alone, or
//     given up after five minutes, because somebody waits for it.
//   - Default rules without a row have no webhooks; the topic has them.
//   - Proxies of the environment are not used: the address judged would be
//     theirs.
package notify
