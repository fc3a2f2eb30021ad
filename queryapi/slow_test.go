package queryapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
)

// slowWithin is when a slow client must be gone, on a machine that does much
// else.
const slowWithin = 3 * time.Minute

// dial opens a connection of a client that reads little at a time.
func (s *serving) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// A segment of the loopback is 64 KiB; below that the window stalls.
	_ = conn.(*net.TCPConn).SetReadBuffer(128 << 10)
	_ = conn.SetDeadline(time.Now().Add(slowWithin))
	return conn
}

// drip sends begin at once and rest byte by byte until the server ends it, and
// returns what the server said and when.
func drip(conn net.Conn, begin, rest string) (answer []byte, took time.Duration, err error) {
	began := time.Now()
	if _, err := io.WriteString(conn, begin); err != nil {
		return nil, 0, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		answer, err = io.ReadAll(conn)
		took = time.Since(began)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; rest != ""; rest = rest[1:] {
		select {
		case <-ended:
			return answer, took, err
		case <-tick.C:
			_, _ = io.WriteString(conn, rest[:1]) // once it is closed, ended says so
		}
	}
	<-ended
	return answer, took, err
}

func TestSlowRequestsAreEndedWhileOthersAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.insert(event{"ws_a", "", "", w.now, 1})
	timeouts := queryapi.Timeouts{ReadHeader: 2 * time.Second, Body: 2500 * time.Millisecond, Read: 4500 * time.Millisecond}
	server := w.serveWith("127.0.0.1:0", func(c *queryapi.Config) { c.Producer, c.Timeouts = w.producer, timeouts })
	head := func(method, path string, length int) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", method, path, testToken, length)
	}
	long := strings.Repeat("x", 10_000)
	for name, c := range map[string]struct {
		begin, rest string
		least       time.Duration
		status      int // 0: none; 400 is net/http's own
	}{
		"header":             {"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Slow: ", long, timeouts.ReadHeader, 0},
		"request line":       {"", "GET /" + long, timeouts.ReadHeader, 400},
		"body of events":     {head("POST", "/v1/workspaces/ws_a/events", 8<<20), "[" + long, timeouts.Body, 408},
		"body of a grant":    {head("POST", "/v1/workspaces/ws_a/grants", 1000), `{"note":"` + long, timeouts.Body, 408},
		"body of a key":      {head("POST", "/v1/workspaces/ws_a/keys", 10_000), `{"name":"` + long, timeouts.Body, 408},
		"body nobody reads":  {head("GET", "/v1/me", 10_000), long, timeouts.Read, 200},
		"body of a stranger": {strings.Replace(head("POST", "/v1/workspaces/ws_a/events", 10_000), testToken, "x", 1), long, timeouts.Read, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var group sync.WaitGroup
			for range 5 {
				conn := server.dial(t)
				group.Go(func() {
					answer, took, err := drip(conn, c.begin, c.rest)
					// The server resets a connection on which more came than it read.
					if took < c.least/2 || (err != nil && !strings.Contains(err.Error(), "reset")) {
						t.Errorf("ended after %v, %v", took, err)
					}
					if c.status == 0 {
						if len(answer) != 0 {
							t.Errorf("answered %q", answer)
						}
						return
					}
					response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
					if err != nil {
						t.Errorf("%v in %q", err, answer)
						return
					}
					body, err := io.ReadAll(response.Body)
					_ = response.Body.Close()
					if err != nil || response.StatusCode != c.status || !response.Close {
						t.Errorf("%d, closes %v: %s (%v)", response.StatusCode, response.Close, body, err)
					}
					var p queryapi.Problem
					if c.status == http.StatusRequestTimeout && (json.Unmarshal(body, &p) != nil || p.Code != queryapi.CodeRequestTimeout) {
						t.Errorf("%s", body)
					}
				})
			}
			// Beside them, reading and writing go on.
			for _, line := range []string{head("GET", "/v1/workspaces/ws_a/balance", 0), head("POST", "/v1/workspaces/ws_a/events", 2) + "[]"} {
				conn := server.dial(t)
				if _, err := io.WriteString(conn, line); err != nil {
					t.Fatal(err)
				}
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("another client: %v, %v", response, err)
				}
			}
			group.Wait()
		})
	}
}

// TestSlowWriterLeavesRoomForOthers: what all bodies may take is held by a key
// that announces large ones and sends nothing of them.
func TestSlowWriterLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	w.insert(event{"ws_a", "", "", w.now, 1})
	server := w.serveWith("127.0.0.1:0", func(c *queryapi.Config) { c.Producer, c.Timeouts.Body = w.producer, slowWithin })
	greedy, modest := w.key("ws_a", `"events:write"`).Secret, w.key("ws_a", `"events:write"`).Secret
	const line = "POST /v1/workspaces/ws_a/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
	for range 4 {
		conn := server.dial(t)
		_, _ = fmt.Fprintf(conn, line, greedy, 8<<20)
		// It is asked to go on once its body is being read.
		if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(got, "100 Continue") {
			t.Fatalf("%q, %v", got, err)
		}
	}
	for range 8 {
		_, _ = fmt.Fprintf(server.dial(t), line, greedy, 8<<20)
	}
	conn := server.dial(t)
	_, _ = fmt.Fprintf(conn, line+"[]", modest, 2)
	lines := bufio.NewReader(conn)
	if got, err := lines.ReadString('\n'); err != nil || !strings.Contains(got, "100 Continue") {
		t.Fatalf("another writer: %q, %v", got, err)
	}
	_, _ = lines.ReadString('\n')
	response, err := http.ReadResponse(lines, nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("another writer: %v, %v", response, err)
	}
	// The rest of the greedy one's wait for their turn in vain.
	last := server.dial(t)
	_, _ = fmt.Fprintf(last, line, greedy, 8<<20)
	refused, err := http.ReadResponse(bufio.NewReader(last), nil)
	if err != nil || refused.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("past its share: %v, %v", refused, err)
	}
}

// heap is what is in use after everything else was collected.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// requests is how many requests of a route the server has ended.
func (s *serving) requests(t testing.TB, route string) (n int) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "drawdown_queryapi_request_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "route" && label.GetValue() == route {
					n += int(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	return n
}

// ask sends a request and reads nothing but the first byte of the answer.
func (s *serving) ask(t testing.TB, token, target string) net.Conn {
	t.Helper()
	conn := s.dial(t)
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", target, token)
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return conn
}

// cutOff reads what is left of an answer that must have been broken off.
func cutOff(t testing.TB, conn net.Conn) int {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("H"), conn)), nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil || response.StatusCode != http.StatusOK {
		t.Errorf("%d, and %d bytes that look whole", response.StatusCode, n)
	}
	return int(n)
}

func TestSlowReadersOfAFileAreEndedAndCostLittle(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	// 60 MB of CSV, far more than the kernel keeps for a connection.
	h.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, kafka_time)
		SELECT 'ws_a', toDateTime64('2026-11-22 08:00:00', 3, 'UTC') + number / 1000, concat(toString(number), repeat('x', 100)), 'cmp_1', 'a', 1000000, now64(3) FROM numbers(300000)`)
	server := h.serveWith("127.0.0.1:0", func(c *queryapi.Config) {
		c.Now, c.Timeouts.File = func() time.Time { return now }, 10*time.Second
	})
	const target, slow = "/v1/workspaces/ws_a/export?dataset=events&format=csv", 2
	key := h.key("ws_a", `"credits:read","credits:export"`).Secret
	before := heap()
	var conns []net.Conn
	for range slow {
		conns = append(conns, server.ask(t, key, target))
	}
	// A piece and the connections, for each; what the driver keeps for the count.
	if grown := heap() - before; grown > slow<<20 {
		t.Errorf("%d bytes for %d readers", grown, slow)
	} else {
		t.Logf("%d bytes for %d readers", grown, slow)
	}
	third, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("H"), server.ask(t, key, target))), nil)
	if err != nil || third.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a third of the same reader: %v, %v", third, err)
	}
	client := testClient(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.url+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || whole < 40<<20 {
		t.Errorf("a quick reader beside them: %d with %d bytes, %v", response.StatusCode, whole, err)
	}
	storetest.Wait(t, slowWithin, "slow readers are ended", func() (bool, error) {
		return server.requests(t, "/v1/workspaces/{workspace_id}/export") == slow+2, nil
	})
	for _, conn := range conns {
		if n := cutOff(t, conn); int64(n) >= whole/2 {
			t.Errorf("%d of %d bytes were on their way", n, whole)
		}
	}
	storetest.Wait(t, slowWithin, "ClickHouse has let go of the statements", func() (bool, error) {
		var running uint64
		err := h.conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE current_database = currentDatabase() AND query LIKE '%FORMAT CSVWithNames%' AND query NOT LIKE '%system.processes%'").Scan(&running)
		return running == 0, err
	})
}

func TestSlowReadersOfAStreamAreEndedAndCostLittle(t *testing.T) {
	now := time.Now().UTC()
	h := newHarness(t, now)
	// A balance of 10,000 grants is two megabytes.
	h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, koff)
		SELECT 'ws_a', toStartOfMinute(now()) - 86400, toString(number), 'credits.granted', toString(number), 1000000, 'paid', 100, toStartOfMinute(now()) - 86400, number FROM numbers(10000)`)
	h.progress("ws_a", 1, now)
	server := h.serveWith("127.0.0.1:0", func(c *queryapi.Config) { c.Timeouts.Event = 5 * time.Second })
	fast := h.mustWatch(server, "ws_a", "")
	fast.next(t, "freshness", figureWithin)
	const target, slow = "/v1/workspaces/ws_a/live", 20
	before := heap()
	for range slow {
		server.ask(t, testToken, target)
	}
	if grown := heap() - before; grown > slow<<18 {
		t.Errorf("%d bytes for %d readers", grown, slow)
	} else {
		t.Logf("%d bytes for %d readers", grown, slow)
	}
	// Until the kernel keeps no more, and five seconds longer.
	changes := 0
	storetest.Wait(t, slowWithin, "slow readers are ended and the quick one is not", func() (bool, error) {
		changes++
		h.insert(event{"ws_a", "", "", now, 1_000_000})
		h.progress("ws_a", uint64(1+changes), now)
		fast.next(t, "balance", figureWithin)
		return server.requests(t, "/v1/workspaces/{workspace_id}/live") == slow, nil
	})
	t.Logf("after %d changes", changes)
	h.insert(event{"ws_a", "", "", now, 1_000_000})
	h.progress("ws_a", uint64(2+changes), now)
	want := fmt.Appendf(nil, `"remaining":"%d"`, 10000-changes-1)
	for !bytes.Contains(fast.next(t, "balance", figureWithin).data, want) {
	}
}

func TestSlowReadersOfABigAnswerAreEndedAndHoldUpThemselvesAlone(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro, kafka_time)
		SELECT 'ws_a', toDateTime64('2026-11-22 08:00:00', 3, 'UTC'), toString(number), concat('cmp_', toString(number)), 1000000, now64(3) FROM numbers(100)`)
	server := h.serveWith("127.0.0.1:0", func(c *queryapi.Config) {
		c.Now, c.Timeouts.Write = func() time.Time { return now }, 3*time.Second
	})
	const target, slow = "/v1/workspaces/ws_a/usage?bucket=15m&from=2026-11-02T00:00:00Z&to=2026-11-22T09:00:00Z&group_by=campaign&top=50", 3
	const usageRoute = "/v1/workspaces/{workspace_id}/usage"
	whole := len(unheld(h.server, target).body)
	if whole < 8<<20 {
		t.Fatalf("an answer of %d bytes fits into the kernel's buffers", whole)
	}
	server.server.LimitRequests(slow)
	key, other := h.key("ws_a", `"credits:read"`).Secret, h.key("ws_a", `"credits:read"`).Secret
	before := heap()
	var conns []net.Conn
	for range slow {
		conns = append(conns, server.ask(t, key, target))
	}
	held := heap() - before
	t.Logf("%d bytes for %d readers of %d", held, slow, whole)
	// The body, its text, and the text again while it is sent.
	if held > int64(slow*whole*5) {
		t.Errorf("%d bytes for %d readers of %d", held, slow, whole)
	}
	var b queryapi.Balance
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.url+"/v1/workspaces/ws_a/balance", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+other)
	response, err := testClient(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&b); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("another client: %d, %v", response.StatusCode, err)
	}
	// One request more of the slow one waits for an end.
	if r := h.send(server.server, key, http.MethodGet, "/v1/me", ""); r.status != http.StatusOK || server.requests(t, usageRoute) == 0 {
		t.Errorf("beyond its share: %d %s, after %d", r.status, r.body, server.requests(t, usageRoute))
	}
	storetest.Wait(t, slowWithin, "slow readers are ended", func() (bool, error) {
		return server.requests(t, usageRoute) == slow, nil
	})
	if left := heap() - before; left > int64(whole) {
		t.Errorf("%d bytes are left of answers of %d", left, whole)
	}
	for _, conn := range conns {
		if n := cutOff(t, conn); n >= whole {
			t.Errorf("%d of %d bytes were on their way", n, whole)
		}
	}
}
