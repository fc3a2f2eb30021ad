// Package embedded starts and supervises the embedded stores: ClickHouse (the
// libchdb engine) and Kafka (kfake), each as a child process of the caller.
// It is how `drawdown up` and the tests get real stores without installing any.
//
// Invariants:
//
//  1. Children die with the parent, however it dies. They stay in its process
//     group, get SIGKILL from the kernel when the thread that started them
//     ends (Linux), and stop by themselves when their standard input closes.
//     They ignore signals that end a group: the parent stops its parts in order.
//  2. One child per data directory. A pid file in it names the child and its
//     supervisor by pid and start time. What a killed parent left behind is
//     waited for; a directory that a living supervisor uses is refused.
//  3. A port somebody else holds is an error that names the flag, before the
//     child starts.
//  4. A child that dies is started again, with exponential backoff and jitter,
//     until Stop. Start itself fails if the first child dies before it is ready.
//  5. The password of user "drawdown" is random, kept in the data directory
//     (mode 0600), and on no command line and in no environment.
//
// What to know of the two stores: this engine aborts on errors that a server
// would answer or ignore (a wrong password over the native protocol, a first
// packet that is no greeting, a connection that is reset, as one is when a client
// dies or gives a statement up with bytes of its answer unread) and is back
// within about a second, so it belongs on the loopback address, its clients must
// retry, and those of this program end their connections in order (Dialer). The broker fsyncs every acknowledged
// batch; after a kill it reads its whole log once, so a start then needs about
// as much memory as the log is long on disk. Members of a group that it forgets
// are ended by package ghosts.
//
// The stores are not loaded here: the child processes are cmd/drawdown-embedded,
// so that a crash of the engine is a restart and not the end of the program.
package embedded
