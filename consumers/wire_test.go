package consumers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"regexp"
	"sync/atomic"
	"syscall"
)

// fate is what becomes of bytes that a consumer says on a connection.
type fate int

const (
	deliver    fate = iota
	swallow         // they never arrive, and nothing more does; the connection stays open
	deafen          // they arrive, but no answer comes back
	cut             // the connection breaks before they arrive
	tear            // half of them arrive, then the connection breaks
	tearAndDie      // half of them arrive, then this process is killed
	dieBefore       // this process is killed before they leave
	dieAfter        // they arrive; this process is killed when the answer does
	dieWith         // they arrive; this process is killed when the connection breaks
)

// wire makes connections whose every write a test judges. A write is a whole
// Kafka request, or a ClickHouse query, or a part of its data.
type wire struct {
	judge func(c *wired, said []byte) fate
}

func (w *wire) dialKafka(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &wired{Conn: conn, wire: w, kafka: true}, nil
}

func (w *wire) dialClickHouse(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wired{Conn: conn, wire: w}, nil
}

// wired is one such connection.
type wired struct {
	net.Conn
	wire   *wire
	kafka  bool
	table  string // of the INSERT that was said last
	data   bool   // what is said now is data of that INSERT, not the query
	mute   atomic.Bool
	deaf   atomic.Bool
	doomed atomic.Bool // dieAfter
	bound  atomic.Bool // dieWith
}

var insertInto = regexp.MustCompile(`INSERT INTO "(\w+)"`)

// errTorn is what a consumer sees of a connection that a test broke.
var errTorn = errors.New("the wire broke")

func (c *wired) Write(said []byte) (int, error) {
	if c.mute.Load() {
		return len(said), nil
	}
	c.data = c.table != ""
	if m := insertInto.FindSubmatch(said); m != nil {
		c.table, c.data = string(m[1]), false
	}
	switch c.wire.judge(c, said) {
	case swallow:
		c.mute.Store(true)
		return len(said), nil
	case deafen:
		c.deaf.Store(true)
	case cut:
		_ = c.Close()
		return 0, errTorn
	case tear:
		n, _ := c.Conn.Write(said[:len(said)/2])
		_ = c.Close()
		return n, errTorn
	case tearAndDie:
		_, _ = c.Conn.Write(said[:len(said)/2])
		die()
	case dieBefore:
		die()
	case dieAfter:
		c.doomed.Store(true)
	case dieWith:
		c.bound.Store(true)
	}
	return c.Conn.Write(said)
}

func (c *wired) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if c.doomed.Load() || err != nil && c.bound.Load() {
			die()
		}
		if !c.deaf.Load() || err != nil {
			return n, err
		}
	}
}

// die is kill -9 on ourselves.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// offsetCommitKey is Kafka's API key of OffsetCommit.
const offsetCommitKey = 8

// isRequest reports whether said is a Kafka request of that API.
func isRequest(said []byte, key uint16) bool {
	return len(said) > 8 && int(binary.BigEndian.Uint32(said)) == len(said)-4 && binary.BigEndian.Uint16(said[4:]) == key
}

var pendingRange = regexp.MustCompile(`;[0-9a-f]{16};\d+-\d+`)

// isIntent reports whether said is an OffsetCommit that announces a batch.
func isIntent(said []byte) bool { return isRequest(said, offsetCommitKey) && pendingRange.Match(said) }

// isQuery reports whether said begins an INSERT into table.
func isQuery(said []byte, table string) bool {
	return bytes.Contains(said, []byte(`INSERT INTO "`+table+`"`))
}
