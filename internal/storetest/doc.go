// Package storetest gives tests the real stores: the ClickHouse engine and Kafka
// brokers. Only tests import it.
//
//   - ClickHouse(t): a fresh, migrated database on an engine that the tests of
//     one binary share. NewEngine: one of its own, to kill and restart.
//   - Kafka(t): fresh topics on a kfake broker of its own inside the test
//     process, with control hooks. NewKafka: the broker of `drawdown up` as a
//     process, to kill and restart. ApacheKafka: a real one.
//   - NewIssuer: an OpenID provider, certified and not ours, to stop and start
//     with other keys. It needs node.
//   - Program: drawdown itself, for tests that run it as people do.
//   - NewProxy: a TCP proxy that cuts, stalls and loses what passes.
//   - Wait: waiting for a state, in place of sleeping.
//
// Nothing needs to be prepared: the first use builds the programs into
// .cache/storetest and runs `npm ci` in deploy/embedded, and in
// testdata/oidcprovider, if the engine or the provider is not there yet. What
// cannot be had skips the test, or fails it when CI=true.
//
// Every store listens on ports of its own outside the range the kernel hands
// out, keeps its data in a temporary directory, and goes with the test binary
// however that ends.
package storetest
