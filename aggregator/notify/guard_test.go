package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestGuardAllowsPublicAddressesOnly(t *testing.T) {
	t.Parallel()
	allowing := guard{allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "1.1.1.1:80": true, "172.15.255.255:1": true, "172.32.0.0:1": true, "100.63.255.255:1": true,
		"[2606:4700::1111]:443": true, "[2a00:1450:4001::1]:443": true, "[::ffff:8.8.8.8]:443": true,

		"127.0.0.1:80": false, "127.255.255.254:80": false, "0.0.0.0:80": false, "10.0.0.1:80": false, "172.16.0.1:80": false,
		"172.31.255.255:80": false, "192.168.0.1:80": false, "169.254.169.254:80": false, "100.100.100.200:80": false,
		"168.63.129.16:80": false, "192.0.0.192:80": false, "224.0.0.1:80": false, "239.255.255.255:80": false, "255.255.255.255:80": false,
		"198.18.0.1:80": false, "203.0.113.1:80": false,
		"[::1]:80": false, "[::]:80": false, "[::ffff:127.0.0.1]:80": false, "[::ffff:10.0.0.1]:80": false, "[::ffff:169.254.169.254]:80": false,
		"[::127.0.0.1]:80": false, "[fe80::1%eth0]:80": false, "[fd00:ec2::254]:80": false, "[fc00::1]:80": false, "[ff02::1]:80": false,
		"[64:ff9b::7f00:1]:80": false, "[64:ff9b:1::1]:80": false, "[2002:7f00:1::]:80": false, "[2001::1]:80": false, "[2001:db8::1]:80": false,
		"nonsense": false, "8.8.8.8": false,

		"10.1.2.3:80": true, "[::ffff:10.1.2.3]:80": true, "10.2.0.1:80": false, "[fd00:1::5]:80": true,
	} {
		err := allowing.control("tcp", address, nil)
		if (err == nil) != want || err != nil && !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestPrivateAddressesAreRefusedHoweverTheyAreWritten: nothing connects to a
// server that listens on every address of the machine.
func TestPrivateAddressesAreRefusedHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.AllowedNetworks = nil })
	var connections atomic.Int32
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.NotFoundHandler()}}
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	dns := newDNS(t, func(int32) netip.Addr { return netip.MustParseAddr("127.0.0.1") })
	r.n.client = newClient(guard{}, dns)
	urls := []string{
		"http://127.0.0.1:" + port, "http://localhost:" + port, "http://[::1]:" + port, "http://[::ffff:127.0.0.1]:" + port,
		"http://0.0.0.0:" + port, "http://[::]:" + port, "http://127.1.2.3:" + port, "http://private.test:" + port, "https://private.test:" + port,
		"http://user:password@127.0.0.1:" + port, "http://169.254.169.254/latest/meta-data/",
	}
	for i, url := range urls {
		rule := name("rule_", i)
		r.rule(testRule{workspace: name("ws_", i), id: rule, webhooks: []map[string]string{standard(url)}})
		r.incident(name("ws_", i), rule, rule, "firing")
	}
	for range 4 {
		r.settle()
	}
	for _, w := range r.deliveries() {
		if w.outcome != "refused" || !strings.Contains(w.reason, "is not public") {
			t.Errorf("%+v", w)
		}
	}
	if n := len(r.deliveries()); n != len(urls) {
		t.Errorf("%d outcomes of %d", n, len(urls))
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	// The oracle can fail: the same server answers who is allowed.
	r.n.client = newClient(guard{allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, dns)
	r.rule(testRule{workspace: "ws_a", id: "rule_a", webhooks: []map[string]string{standard("http://private.test:" + port)}})
	r.incident("ws_a", "rule_a", "ia", "firing")
	r.settle()
	r.want("ia/firing", "retrying") // 404
	if connections.Load() == 0 {
		t.Error("nothing would ever have connected")
	}
}

func TestUnusableURLsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.AllowHTTP = false })
	hook := newReceiver(t, nil)
	for i, url := range []string{hook.URL, "ftp://example.com", "//example.com", "example.com", "", "https://", "https://a b", "https://exa\x00mple.com"} {
		rule := name("rule_", i)
		r.rule(testRule{workspace: name("ws_", i), id: rule, webhooks: []map[string]string{standard(url)}})
		r.incident(name("ws_", i), rule, rule, "firing")
		defer func() { r.want(rule+"/firing", "refused") }()
	}
	for range 3 {
		r.settle()
	}
	if ids := hook.ids(); len(ids) != 0 {
		t.Errorf("without TLS came %q", ids)
	}
}

// TestNameThatChangesItsAddressIsRefused: allowed when it is looked up first,
// private the next time. There is no time between a check and a use.
func TestNameThatChangesItsAddressIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil) // on 127.0.0.1
	_, port, _ := net.SplitHostPort(hook.Listener.Addr().String())
	dns := newDNS(t, func(n int32) netip.Addr {
		if n == 1 {
			return netip.MustParseAddr("127.0.0.1")
		}
		return netip.MustParseAddr("127.0.0.2")
	})
	r.n.client = newClient(guard{allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, dns)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard("http://rebind.test:" + port)}})
	for i := range 2 {
		r.incident("ws_a", "rule_1", name("i", i), "firing")
		r.settle()
		r.n.client.CloseIdleConnections()
	}
	r.want("i000/firing", "delivered")
	r.want("i001/firing", "refused")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := newReceiver(t, nil)
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) {
		w.Header().Set("Location", target.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	r.want("i1/firing", "retrying")
	if ids := target.ids(); len(ids) != 0 {
		t.Errorf("the target got %q", ids)
	}
}

// newDNS is a resolver that answers every question for an A record: the n-th
// such with address(n), from 1.
func newDNS(t *testing.T, address func(n int32) netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		asked, buf := int32(0), make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			// The question: labels, then type and class (RFC 1035, section 4.1).
			end := 12
			for end < n && buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			question := buf[12 : end+5]
			isA := binary.BigEndian.Uint16(buf[end+1:]) == 1
			answer := append([]byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
			if isA {
				asked++
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, address(asked).AsSlice()...)
			}
			_, _ = conn.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}
