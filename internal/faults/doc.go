// Package faults proves that totals are exact whatever fails. It has no code of
// its own, only tests.
//
// TestCampaign runs Drawdown as separate processes (members of the consumer
// group, the API, ClickHouse, Kafka) under load that never ends, and brings one
// fault after another over them: what and whom is drawn from a seed. After every
// few faults the load pauses, and everything is compared:
//
//	what the producer sent = raw events = each rollup = ledger of batches = API
//
// per workspace, campaign, action and bucket. The producer's truth is what it
// meant to say, added up when it said it; nothing of Kafka or ClickHouse is read
// for it.
//
//   - campaign_test.go: the campaign; kinds*_test.go: the faults, a function each
//   - stack_test.go, broker_test.go: the processes; load_test.go: the producer
//   - compare_test.go: the comparison; report_test.go: docs/faults.md
//   - removals: patches that each take one safeguard away. The campaign must fail
//     on each (make faults-removals): a harness that cannot fail proves nothing.
//
// Every run of the tests does a short campaign with a fixed seed. `make faults`
// does a long one: FAULTS=n, SEED=s to replay, BROKER=kfake or kafka.
package faults
