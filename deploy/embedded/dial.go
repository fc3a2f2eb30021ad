package embedded

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// lingerWithin is how long a connection that ends is read on. The engine looks
// ten times a second whether a query was cancelled.
const lingerWithin = time.Second

// dialWithin bounds one dial of a host that swallows packets; on a loopback it
// takes no time.
const dialWithin = 5 * time.Second

// Dialer returns a clickhouse.Options.DialContext. A driver that gives a
// statement up, because its context ended, closes the connection with bytes of
// the answer unread, which the kernel makes a reset; and a reset while it waits
// for the next statement is an error that the engine ends with ("Terminate
// called for uncaught exception: Connection reset by peer"). These connections
// end in order: first ours, then, once the engine has read that, its own, with
// all it still said read. A ClickHouse server minds neither.
//
// Close takes up to a second where the engine is busy, and no time for a while
// after one that took all of it.
func Dialer() func(ctx context.Context, addr string) (net.Conn, error) {
	var d dialer
	return d.dial
}

type dialer struct {
	deafUntil atomic.Int64 // Unix nanoseconds: nobody answers the end of a connection
}

func (d *dialer) dial(ctx context.Context, addr string) (net.Conn, error) {
	plain := net.Dialer{Timeout: dialWithin}
	conn, err := plain.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn, nil
	}
	return &orderly{TCPConn: tcp, dialer: d}, nil
}

// orderly is a connection that ends in order.
type orderly struct {
	*net.TCPConn
	dialer *dialer
	once   sync.Once
	err    error
}

// Close ends the connection and waits for the other side to do so.
func (c *orderly) Close() error {
	c.once.Do(func() {
		if err := c.CloseWrite(); err == nil && time.Now().UnixNano() >= c.dialer.deafUntil.Load() {
			c.drain()
		}
		if err := c.TCPConn.Close(); !errors.Is(err, net.ErrClosed) { // drain may have
			c.err = err
		}
	})
	return c.err
}

// drain reads to the end. It is ended by closing and not by a deadline, which
// whoever else still reads from the connection might set anew.
func (c *orderly) drain() {
	end := time.AfterFunc(lingerWithin, func() {
		// A pool of connections to a host that hangs is not to take as many
		// seconds to close.
		c.dialer.deafUntil.Store(time.Now().Add(10 * lingerWithin).UnixNano())
		_ = c.TCPConn.Close()
	})
	defer end.Stop()
	_, _ = io.Copy(io.Discard, c.TCPConn)
}
