// Command drawdown-embedded runs one embedded store in the foreground: the
// ClickHouse engine (libchdb, loaded without cgo) or a Kafka broker (kfake).
// `drawdown up` and the tests start it through package deploy/embedded.
//
// It is a program of its own because loading a C library makes a binary
// dynamic and a crash of the engine takes the process with it: neither may
// touch cmd/drawdown.
//
// Both stores stop cleanly on SIGTERM and when standard input closes, so that
// they never outlive whoever started them. While standard input is no terminal,
// SIGINT is left to the parent, which stops its parts in order; with
// --supervised, SIGTERM is as well.
// Exit codes: 0 stopped cleanly, 1 failed, 2 wrong usage.
package main
