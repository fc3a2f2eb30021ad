package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// apacheStopWithin bounds a clean stop, 0.5 s on an idle machine, before it becomes a kill.
	apacheStopWithin = 30 * time.Second
	// apacheJava is the lowest Java that runs the broker which deploy/kafka/pom.xml names.
	apacheJava = 17
	// exitNoMaven is what deploy/kafka/run.sh answers when it would have to run Maven and cannot.
	exitNoMaven = 3
)

// watchdogScript waits on its standard input. A line means that the broker is gone already; end of file
// means that this process is, however it went. It ignores what a terminal sends to the whole group.
const watchdogScript = `trap '' INT TERM HUP
read -r _ || kill -9 "$1"`

// sharedApache is the broker that the tests of this binary share.
var sharedApache struct {
	sync.Mutex
	broker *ApacheProcess
	err    error
}

// ApacheKafka returns fresh topics on a real Apache Kafka, started at first use (in 3 s) and shared by
// this test binary: tests that kill it use NewApacheKafka. It skips the test where Java or Maven is
// missing, and fails it if CI=true.
func ApacheKafka(t testing.TB, o KafkaOptions) *Broker {
	t.Helper()
	sharedApache.Lock()
	if sharedApache.broker == nil && sharedApache.err == nil {
		sharedApache.broker, sharedApache.err = startApache(KafkaOptions{})
	}
	shared, err := sharedApache.broker, sharedApache.err
	sharedApache.Unlock()
	if err != nil {
		skip(t, err)
	}
	b := &Broker{Addr: shared.Addr, Topics: freshTopics()}
	b.createTopics(t, o)
	return b
}

// stopSharedApache ends the shared broker if there is one.
func stopSharedApache() error {
	sharedApache.Lock()
	defer sharedApache.Unlock()
	if sharedApache.broker == nil {
		return nil
	}
	err := sharedApache.broker.close()
	sharedApache.broker = nil
	return err
}

// freshTopics have names that no other test uses.
func freshTopics() schemas.Topics {
	prefix := "t" + randomHex() + "."
	topics := schemas.DefaultTopics()
	for _, name := range []*string{&topics.Consumption, &topics.Ledger, &topics.Campaigns, &topics.Alerts} {
		*name = prefix + *name
	}
	return topics
}

// ApacheProcess is a real broker of a test's own. Address and data stay the same over restarts. Its
// methods are for the test's goroutine.
type ApacheProcess struct {
	Broker
	t      testing.TB // nil for the shared one
	script string
	dir    string
	remove func() error
	listen [2]string // ports of clients and controller
	told   string    // what clients are told to connect to

	cmd      *exec.Cmd
	exited   chan struct{} // closed when the process is gone
	watchdog *exec.Cmd
	leash    io.WriteCloser // the watchdog's standard input
}

// NewApacheKafka starts a broker for this test alone, with topics, and ends it at cleanup. It skips or
// fails as ApacheKafka does.
func NewApacheKafka(t testing.TB, o KafkaOptions) *ApacheProcess {
	t.Helper()
	a, err := startApache(o)
	if err != nil {
		skip(t, err)
	}
	a.t = t
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Errorf("cannot remove the broker's data: %v", err)
		}
	})
	a.Topics = schemas.DefaultTopics()
	a.createTopics(t, o)
	return a
}

// PID is the process id of the broker that was started last.
func (a *ApacheProcess) PID() int { return a.cmd.Process.Pid }

// Kill ends the broker with SIGKILL and returns when the process is gone.
func (a *ApacheProcess) Kill() { a.end(syscall.SIGKILL) }

// Stop ends the broker cleanly and returns when the process is gone.
func (a *ApacheProcess) Stop() { a.end(syscall.SIGTERM) }

// Restart starts the broker again on its address and data, after stopping it if it runs. After a kill
// it takes about 6 s: the controller lets the broker in when its old session has ended.
func (a *ApacheProcess) Restart() {
	a.Stop()
	if err := a.start(); err != nil {
		a.t.Fatalf("cannot restart Apache Kafka: %v", err)
	}
}

func startApache(o KafkaOptions) (*ApacheProcess, error) {
	script, err := apacheScript()
	if err != nil {
		return nil, err
	}
	a := &ApacheProcess{script: script}
	if a.dir, a.remove, err = scratchDir(); err != nil {
		return nil, err
	}
	for i := range a.listen {
		addr, err := freeAddr()
		if err != nil {
			return nil, errors.Join(err, a.remove())
		}
		_, a.listen[i], err = net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, a.remove())
		}
		if i == 0 {
			a.Addr, a.told = addr, addr
		}
	}
	if o.Advertise != nil {
		a.told = o.Advertise(a.Addr)
	}
	if err := a.start(); err != nil {
		return nil, errors.Join(err, a.remove())
	}
	return a, nil
}

// close ends the broker, by force: nothing reads its data afterwards.
func (a *ApacheProcess) close() error {
	a.Kill()
	return a.remove()
}

func (a *ApacheProcess) start() error {
	log, err := os.OpenFile(filepath.Join(a.dir, "broker.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the broker's log: %w", err)
	}
	defer log.Close()
	a.cmd = exec.Command(a.script, filepath.Join(a.dir, "data"), a.listen[0], a.listen[1])
	a.cmd.Env = append(os.Environ(), "KAFKA_ADVERTISED="+a.told)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = apacheAttr()
	a.exited = make(chan struct{})
	started := make(chan error, 1)
	go a.hold(started)
	if err := <-started; err != nil {
		return fmt.Errorf("cannot start %s: %w", a.script, err)
	}
	if err := errors.Join(a.watch(), a.awaitReady()); err != nil {
		a.Kill()
		return err
	}
	return nil
}

// hold starts the broker and waits for its end on one thread: Linux sends the parent-death signal when
// the thread that started the child ends, not the process.
func (a *ApacheProcess) hold(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(a.exited)
	err := a.cmd.Start()
	started <- err
	if err == nil {
		_ = a.cmd.Wait() // a killed broker is no error
	}
}

// watch starts the watchdog, in a group of its own: only Linux has a parent-death signal.
func (a *ApacheProcess) watch() error {
	a.watchdog = exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", strconv.Itoa(a.PID()))
	a.watchdog.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	leash, err := a.watchdog.StdinPipe()
	if err == nil {
		err = a.watchdog.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot watch the broker: %w", err)
	}
	a.leash = leash
	return nil
}

// awaitReady returns when the broker names itself in its metadata: then it is registered with the
// controller and takes requests.
func (a *ApacheProcess) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !a.answers(ctx) {
		select {
		case <-a.exited:
			return fmt.Errorf("the broker ended before it was ready, its log says:\n%s", a.logTail())
		case <-ctx.Done():
			return fmt.Errorf("the broker was not ready within %s, its log says:\n%s", startWithin, a.logTail())
		case <-tick.C:
		}
	}
	return nil
}

func (a *ApacheProcess) answers(ctx context.Context) bool {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(a.Addr), Transport: transport, Timeout: 2 * time.Second}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	return err == nil && len(meta.Brokers) > 0
}

func (a *ApacheProcess) end(sig syscall.Signal) {
	_ = a.cmd.Process.Signal(sig) // fails only if it is gone already
	select {
	case <-a.exited:
	case <-time.After(apacheStopWithin):
		_ = a.cmd.Process.Kill()
		<-a.exited
	}
	if a.leash != nil {
		_, _ = io.WriteString(a.leash, "gone\n")
		_ = a.leash.Close()
		_ = a.watchdog.Wait() // its exit code says nothing
		a.leash = nil
	}
}

func (a *ApacheProcess) logTail() string {
	const limit = 4 << 10
	text, err := os.ReadFile(filepath.Join(a.dir, "broker.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-limit):])
}

// apacheScript is the path of deploy/kafka/run.sh once its jars are there; errMissing is in the chain of
// errors where Java or Maven is not.
var apacheScript = sync.OnceValues(func() (string, error) {
	if err := findJava(); err != nil {
		return "", err
	}
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	// Test binaries of several packages run at once and would write over each other's jars.
	unlock, err := lockFolder(filepath.Join(root, "deploy", "kafka", "target"))
	if err != nil {
		return "", err
	}
	defer unlock()
	script := filepath.Join(root, "deploy", "kafka", "run.sh")
	ctx, cancel := context.WithTimeout(context.Background(), installWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, script, "--resolve").CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == exitNoMaven:
		return "", fmt.Errorf("%w: Maven (mvn), to resolve Apache Kafka", errMissing)
	case err != nil:
		return "", fmt.Errorf("cannot resolve Apache Kafka: %w\n%s", err, out)
	}
	return script, nil
})

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func findJava() error {
	out, err := exec.Command("java", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: Java %d or later, for Apache Kafka: %w", errMissing, apacheJava, err)
	}
	major := 0
	if found := javaVersion.FindSubmatch(out); found != nil {
		if major, err = strconv.Atoi(string(found[1])); err != nil {
			return fmt.Errorf("cannot read Java's version: %w", err)
		}
	}
	if major < apacheJava {
		return fmt.Errorf("%w: Java %d or later, for Apache Kafka; java says %q", errMissing, apacheJava, strings.TrimSpace(string(out)))
	}
	return nil
}

// randomHex is part of names that no other test uses.
func randomHex() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
