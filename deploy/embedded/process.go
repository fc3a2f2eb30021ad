package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

const (
	// readyWithin bounds one start. The engine is ready in about a second when
	// empty; loading tables or replaying a broker's log of some GB takes longer.
	readyWithin = 3 * time.Minute
	// readyPoll is how often a starting child is asked.
	readyPoll = 25 * time.Millisecond
	// stopWithin is how long a child may take to stop by itself before SIGKILL.
	// The broker writes its snapshots on the way out.
	stopWithin = 20 * time.Second
	// The first restart is quick, because the engine aborts when a client dies
	// in the middle of an INSERT; a start costs about a second of one core, so
	// repeated ones every few seconds do not eat the machine.
	backoffMin = 250 * time.Millisecond
	backoffMax = 5 * time.Second
	// backoffReset is how long a child must have lived for its death to count
	// as the first again.
	backoffReset = 15 * time.Second
)

// child says how to run one store.
type child struct {
	name    string // "clickhouse" or "kafka", in logs and errors
	command string
	args    []string
	dir     string // holds the pid file
	ports   []port
	ready   func(context.Context) error // nil once the store answers
	restart bool
	hint    string // where to look when it fails, for errors
	log     *slog.Logger
}

// Process is a supervised store. Its methods may be called from several
// goroutines.
type Process struct {
	child child
	stop  chan struct{} // closed by Stop: end the child and do not restart it
	done  chan struct{} // closed when the supervisor has ended

	stopOnce sync.Once

	mu       sync.Mutex
	pid      int // 0 while no child runs
	restarts int
	health   error // nil while the store answers
	err      error // why the supervisor ended; nil after Stop
}

// start runs the first child, waits until it is ready and leaves a supervisor
// behind. ctx bounds the start only.
func start(ctx context.Context, c child) (*Process, error) {
	if err := awaitLeftover(ctx, c); err != nil {
		return nil, err
	}
	p := &Process{
		child:  c,
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		health: fmt.Errorf("embedded %s is starting", c.name),
	}
	r, err := p.launch()
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, r); err != nil {
		r.kill()
		<-r.exited
		removePidFile(c.dir)
		return nil, err
	}
	c.log.Info("embedded store is up", "store", c.name, "pid", r.pid)
	go p.supervise(r)
	return p, nil
}

// Done is closed when the store has stopped for good.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is why the store stopped for good: nil while it runs and after Stop.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Health is nil while the store answers, else what is wrong.
func (p *Process) Health() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

// PID is the child's process id, 0 while none runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Restarts counts how often the child was started again.
func (p *Process) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}

// Stop ends the store cleanly, by force when that takes longer than 20 s or
// when ctx ends, and waits until it is gone. Later calls only wait.
func (p *Process) Stop(ctx context.Context) error {
	p.stopOnce.Do(func() { close(p.stop) })
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if proc := p.PID(); proc != 0 {
		if err := killPID(proc); err != nil {
			return fmt.Errorf("cannot kill embedded %s (pid %d): %w", p.child.name, proc, err)
		}
	}
	<-p.done
	return nil
}

// supervise waits for the running child to end and starts it again until Stop.
func (p *Process) supervise(r *run) {
	defer close(p.done)
	defer removePidFile(p.child.dir)
	backoff := backoffMin
	for {
		select {
		case <-p.stop:
			p.set(r.pid, fmt.Errorf("embedded %s is stopping", p.child.name))
			r.shutdown(p.child)
			p.set(0, fmt.Errorf("embedded %s is stopped", p.child.name))
			return
		case <-r.exited:
		}
		died := fmt.Errorf("embedded %s (pid %d) ended: %w", p.child.name, r.pid, r.reason())
		p.set(0, died)
		if !p.child.restart {
			p.mu.Lock()
			p.err = died
			p.mu.Unlock()
			return
		}
		if time.Since(r.startedAt) > backoffReset {
			backoff = backoffMin
		}
		next := p.again(died, &backoff)
		if next == nil {
			return
		}
		r = next
	}
}

// again starts a new child after the backoff, as often as it takes. It returns
// nil when Stop came first.
func (p *Process) again(why error, backoff *time.Duration) *run {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	unwatch := make(chan struct{})
	defer close(unwatch)
	go func() { // Stop must not wait for a start to time out
		select {
		case <-p.stop:
			cancel()
		case <-unwatch:
		}
	}()
	for {
		// Half of the wait is random, so that stores which fall together do
		// not come back together.
		wait := *backoff/2 + rand.N(*backoff/2+1)
		*backoff = min(2**backoff, backoffMax)
		p.child.log.Warn("embedded store ended, starting it again", "store", p.child.name, "reason", why, "wait", wait)
		select {
		case <-p.stop:
			return nil
		case <-time.After(wait):
		}
		r, err := p.relaunch(ctx)
		if err == nil {
			p.mu.Lock()
			p.restarts++
			p.mu.Unlock()
			p.child.log.Info("embedded store is up again", "store", p.child.name, "pid", r.pid)
			return r
		}
		if ctx.Err() != nil {
			return nil
		}
		p.set(0, err)
		why = err
	}
}

func (p *Process) relaunch(ctx context.Context) (*run, error) {
	if err := awaitLeftover(ctx, p.child); err != nil {
		return nil, err
	}
	r, err := p.launch()
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, r); err != nil {
		if ctx.Err() != nil {
			r.shutdown(p.child)
		}
		r.kill()
		<-r.exited
		return nil, err
	}
	return r, nil
}

// awaitReady asks the store until it answers, its process ends or the time is up.
func (p *Process) awaitReady(ctx context.Context, r *run) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	var last error
	for {
		last = p.child.ready(ctx)
		if last == nil {
			p.set(r.pid, nil)
			return nil
		}
		select {
		case <-r.exited:
			return fmt.Errorf("embedded %s ended before it was ready: %w%s", p.child.name, r.reason(), p.child.hint)
		case <-ctx.Done():
			return fmt.Errorf("embedded %s did not answer within %s: %w%s",
				p.child.name, time.Since(r.startedAt).Round(time.Second), errors.Join(ctx.Err(), last), p.child.hint)
		case <-time.After(readyPoll):
		}
	}
}

func (p *Process) set(pid int, health error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.health = pid, health
}

// run is one life of a child.
type run struct {
	pid       int
	startedAt time.Time
	stdin     io.Closer     // closing it asks the child to stop
	exited    chan struct{} // closed when the child is reaped
	proc      *os.Process
	output    *tail
	err       error // of Wait; read after exited
}

// launch starts a child and writes the pid file.
func (p *Process) launch() (*run, error) {
	c := p.child
	stdin, ask, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot open a pipe to embedded %s: %w", c.name, err)
	}
	r := &run{stdin: ask, exited: make(chan struct{}), output: &tail{log: c.log.With("store", c.name)}}
	cmd := exec.Command(c.command, c.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, r.output, r.output
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = dieWithParent()

	started := make(chan error, 1)
	go func() {
		// The kernel's parent-death signal is sent when the starting thread
		// ends, so this goroutine keeps it for the child's whole life
		// (invariant 1).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		r.err = cmd.Wait()
		close(r.exited)
	}()
	err = <-started
	_ = stdin.Close() // the child has its own
	if err != nil {
		_ = ask.Close()
		return nil, fmt.Errorf("cannot start embedded %s (%s): %w", c.name, c.command, err)
	}
	r.proc, r.pid, r.startedAt = cmd.Process, cmd.Process.Pid, time.Now()
	if err := writePidFile(c.dir, r.pid); err != nil {
		r.kill()
		<-r.exited
		return nil, err
	}
	p.set(r.pid, fmt.Errorf("embedded %s is starting", c.name))
	return r, nil
}

// shutdown asks the child to stop and kills it when it does not.
func (r *run) shutdown(c child) {
	_ = r.stdin.Close()
	select {
	case <-r.exited:
		return
	case <-time.After(stopWithin):
	}
	c.log.Warn("embedded store does not stop, killing it", "store", c.name, "pid", r.pid)
	r.kill()
	<-r.exited
}

func (r *run) kill() {
	_ = r.proc.Kill() // fails only if it is gone already
	_ = r.stdin.Close()
}

// reason is how the child ended and the last it said.
func (r *run) reason() error {
	err := r.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	if said := r.output.String(); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}
