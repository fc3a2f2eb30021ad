package storetest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy passes TCP connections on to a target until a test tells it to misbehave.
// Its methods may be called from any goroutine. At most 32 KiB per direction
// and connection are under way in it, besides the kernel's buffers.
type Proxy struct {
	// Addr is where clients connect, host:port.
	Addr   string
	target string

	mu       sync.Mutex
	changed  *sync.Cond // state or conns changed
	listener net.Listener
	conns    map[*proxied]struct{}
	accepted int
	stalled  bool
	dropping bool
	slowness time.Duration
	closed   bool
	pumps    sync.WaitGroup
}

// NewProxy listens on a port of its own and ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: addr, target: target, conns: map[*proxied]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	if err := p.listen(); err != nil {
		t.Fatalf("cannot start a proxy: %v", err)
	}
	t.Cleanup(p.close)
	return p
}

// Dial connects to the proxy whatever address is asked for. A Kafka client needs
// it, because brokers tell it their own address: set it as kafka.Transport.Dial
// and kafka.Dialer.DialFunc.
func (p *Proxy) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, p.Addr)
}

// Accepted counts the connections so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Cut resets every connection, both ways; what was under way is lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
	p.changed.Broadcast()
}

// Refuse has new connections refused, as if nobody listened. Open ones go on.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || on == (p.listener == nil) {
		return
	}
	if on {
		_ = p.listener.Close()
		p.listener = nil
		return
	}
	if err := p.listenLocked(); err != nil {
		panic("storetest: the proxy lost its reserved port: " + err.Error())
	}
}

// Stall holds all bytes in both directions, of new connections as well, until
// it is turned off; none is lost.
func (p *Proxy) Stall(on bool) { p.set(func() { p.stalled = on }) }

// DropReplies swallows what the target says, until it is turned off. Streams
// that lost bytes are useless afterwards: Cut them.
func (p *Proxy) DropReplies(on bool) { p.set(func() { p.dropping = on }) }

// Slow holds up each piece of at most 32 KiB, in both directions, for so long; 0
// ends it.
func (p *Proxy) Slow(by time.Duration) { p.set(func() { p.slowness = by }) }

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *Proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listenLocked()
}

func (p *Proxy) listenLocked() error {
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.pumps.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Cut()
	p.pumps.Wait()
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client gave up
		}
		p.pumps.Go(func() { p.serve(client) })
	}
}

// proxied is one connection with its two ends.
type proxied struct {
	client, target net.Conn
	dead           bool // guarded by Proxy.mu
}

// reset makes both ends see ECONNRESET instead of an orderly end.
func (c *proxied) reset() {
	c.dead = true
	for _, conn := range []net.Conn{c.client, c.target} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

func (p *Proxy) serve(client net.Conn) {
	target, err := net.DialTimeout("tcp", p.target, 10*time.Second)
	if err != nil {
		c := proxied{client: client, target: client}
		c.reset()
		return
	}
	c := &proxied{client: client, target: target}
	p.mu.Lock()
	p.accepted++
	p.conns[c] = struct{}{}
	if p.closed {
		c.reset()
	}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.pump(c, client, target, false) })
	both.Go(func() { p.pump(c, target, client, true) })
	both.Wait()

	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = client.Close()
	_ = target.Close()
}

// pump passes bytes on in one direction until its source ends.
func (p *Proxy) pump(c *proxied, from, to net.Conn, reply bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		pass, alive := p.gate(c, reply)
		if !alive {
			return
		}
		if n > 0 && pass {
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // the other direction may go on
			}
			return
		}
	}
}

// gate waits while the proxy is stalled and says whether to pass bytes on.
func (p *Proxy) gate(c *proxied, reply bool) (pass, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by := p.slowness; by > 0 && !c.dead {
		p.mu.Unlock()
		time.Sleep(by)
		p.mu.Lock()
	}
	for p.stalled && !c.dead {
		p.changed.Wait()
	}
	return !reply || !p.dropping, !c.dead
}
