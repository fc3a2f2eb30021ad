package consumers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/schemas"
)

// doomedEnv tells this test binary to be a consumer that kills itself, and
// where.
const doomedEnv = "DRAWDOWN_TEST_DOOMED_CONSUMER"

// doom is how the parent describes such a consumer.
type doom struct {
	Broker     string
	ClickHouse string
	Auth       clickhouse.Auth
	Topics     schemas.Topics
	Partitions int
	Epoch      uint32
	Limits     schemas.Limits
	Session    time.Duration
	Step       string
}

// withClickHouse is the step of a process that dies when ClickHouse does.
const withClickHouse = "WithClickHouse"

// steps are the places in the life of a batch where the process is killed with
// SIGKILL: what it has said by then has been said, the rest never is.
var steps = []step{
	{"BeforeTheIntent", func(_ *wired, said []byte, _ bool) fate { return when(isIntent(said), dieBefore) }},
	{"WhileTheIntentIsCommitted", func(_ *wired, said []byte, _ bool) fate { return when(isIntent(said), dieAfter) }},
	{"BeforeTheInsert", func(_ *wired, said []byte, _ bool) fate { return when(isQuery(said, "events"), dieBefore) }},
	{"InTheMiddleOfTheInsert", func(c *wired, _ []byte, _ bool) fate { return when(c.data && c.table == "events", tearAndDie) }},
	{"BeforeTheInsertIsAnswered", func(c *wired, _ []byte, _ bool) fate { return when(c.data && c.table == "events", dieAfter) }},
	{"BetweenRowsAndRejections", func(_ *wired, said []byte, _ bool) fate { return when(isQuery(said, "rejections"), dieBefore) }},
	{"BeforeTheRejectionsAreAnswered", func(c *wired, _ []byte, _ bool) fate { return when(c.data && c.table == "rejections", dieAfter) }},
	{"BetweenInsertAndLedger", func(_ *wired, said []byte, _ bool) fate { return when(isQuery(said, "ingest_batches"), dieBefore) }},
	{"BeforeTheLedgerIsAnswered", func(c *wired, _ []byte, _ bool) fate { return when(c.data && c.table == "ingest_batches", dieAfter) }},
	{"BetweenLedgerAndDone", func(_ *wired, said []byte, ledgered bool) fate {
		return when(ledgered && isRequest(said, offsetCommitKey), dieBefore)
	}},
	{"WhileDoneIsCommitted", func(_ *wired, said []byte, ledgered bool) fate {
		return when(ledgered && isRequest(said, offsetCommitKey), dieAfter)
	}},
}

func when(cond bool, f fate) fate {
	if cond {
		return f
	}
	return deliver
}

// step is one of them.
type step struct {
	name string
	// judge decides about one write; ledgered says that an INSERT into the
	// ledger of batches was sent before.
	judge func(c *wired, said []byte, ledgered bool) fate
}

// runDoomed is the child: a consumer that ends at a step of its first batch of
// the consumption topic.
func runDoomed(text string) int {
	var d doom
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		fmt.Println(err)
		return 1
	}
	with := step{withClickHouse, func(c *wired, _ []byte, _ bool) fate { return when(c.table != "", dieWith) }}
	for _, s := range append(steps, with) {
		if s.name != d.Step {
			continue
		}
		var ledgered atomic.Bool
		w := &wire{judge: func(c *wired, said []byte) fate {
			if c.table == "ingest_batches" && c.data {
				defer ledgered.Store(true)
			}
			return s.judge(c, said, ledgered.Load())
		}}
		c, err := New(Config{
			Brokers: []string{d.Broker}, Group: "drawdown", Topics: d.Topics, Partitions: d.Partitions, Epoch: d.Epoch,
			ClickHouse: &clickhouse.Options{Addr: []string{d.ClickHouse}, Auth: d.Auth, DialContext: w.dialClickHouse},
			Limits:     d.Limits, Linger: 20 * time.Millisecond, SessionTimeout: d.Session,
		})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		c.dialKafka = w.dialKafka
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		fmt.Println("survived:", c.Run(ctx))
	}
	return 1
}

// crash runs a consumer in a process of its own until it has killed itself at
// the step.
func (r *rig) crash(step string) {
	r.t.Helper()
	dead, require := r.startCrash(step)
	<-dead
	require()
}

// startCrash is crash without the wait: dead is closed when the process has
// ended, then require checks how.
func (r *rig) startCrash(step string) (dead <-chan struct{}, require func()) {
	r.t.Helper()
	text, err := json.Marshal(doom{
		r.broker.Addr, r.options.Addr[0], r.options.Auth, r.broker.Topics, r.parts, r.epoch, r.limits, r.config().SessionTimeout, step,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomedEnv+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // require looks at how it ended
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // gone already unless the test has failed
		<-ended
	})
	return ended, func() {
		r.t.Helper()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			r.t.Fatalf("the consumer ended with %v instead of being killed at %s:\n%s", cmd.ProcessState, step, out.String())
		}
	}
}

// TestConsumerKilledAtEachStepKeepsTotals kills the consumer with SIGKILL at
// each step of a batch; the next one brings it to its end.
func TestConsumerKilledAtEachStepKeepsTotals(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			db := engine.Database(t) // before the first kill makes the engine abort
			t.Parallel()
			r := newRig(t, db)
			r.consume(r.traffic(1, 2000, 0.1)...)
			r.consume(r.broken(20)...)
			r.crash(s.name)
			r.consume(r.traffic(2, 500, 0.1)...)
			r.consume(r.traffic(1, 2000, 0)...)
			r.start()
			r.requireExact()
		})
	}
}

// broken are records that no decoder takes, in every partition.
func (r *rig) broken(n int) []sent {
	out := make([]sent, n)
	for i := range out {
		out[i] = sent{partition: i % r.parts, key: []byte("ws_broken"), value: []byte(fmt.Sprintf("no JSON %d", i)), time: time.Now()}
	}
	return out
}
