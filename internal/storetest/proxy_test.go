package storetest

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers every byte with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != want {
		t.Fatalf("heard %q, %v; want %q", buf, err, want)
	}
}

// silent asserts that nothing comes for a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("expected silence, got %d bytes, %v", n, err)
	}
}

func TestProxyPassesBytesOn(t *testing.T) {
	c := dial(t, NewProxy(t, echo(t)).Addr)
	say(t, c, "hello")
	hear(t, c, "hello")
}

func TestProxyCutResetsConnections(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p.Addr)
	say(t, c, "hello")
	hear(t, c, "hello")
	p.Cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read after Cut: %v, want ECONNRESET", err)
	}
	again := dial(t, p.Addr)
	say(t, again, "again")
	hear(t, again, "again")
}

func TestProxyRefuseIsARefusedConnection(t *testing.T) {
	p := NewProxy(t, echo(t))
	open := dial(t, p.Addr)
	say(t, open, "a")
	hear(t, open, "a")
	p.Refuse(true)
	if c, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial while refusing: %v, %v", c, err)
	}
	say(t, open, "b")
	hear(t, open, "b")
	p.Refuse(false)
	c := dial(t, p.Addr)
	say(t, c, "c")
	hear(t, c, "c")
}

func TestProxyStallHoldsAndReleasesEveryByte(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p.Addr)
	p.Stall(true)
	say(t, c, "held")
	silent(t, c)
	p.Stall(false)
	hear(t, c, "held")
}

func TestProxyCutEndsAStall(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p.Addr)
	p.Stall(true)
	say(t, c, "held")
	Wait(t, 10*time.Second, "the proxy has the connection", func() (bool, error) { return p.Accepted() == 1, nil })
	p.Cut()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("read after Cut succeeded")
	}
}

func TestProxyDropRepliesDeliversAndSwallows(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p.Addr)
	say(t, c, "a")
	hear(t, c, "a")
	p.DropReplies(true)
	say(t, c, "lost")
	silent(t, c)
	p.DropReplies(false)
	say(t, c, "b")
	hear(t, c, "b")
}

func TestProxySlows(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p.Addr)
	const by = 50 * time.Millisecond
	p.Slow(by)
	began := time.Now()
	say(t, c, "slow")
	hear(t, c, "slow")
	if took := time.Since(began); took < 2*by {
		t.Errorf("there and back took %s, want at least %s", took, 2*by)
	}
	p.Slow(0)
	say(t, c, "on")
	hear(t, c, "on")
}
