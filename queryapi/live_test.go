package queryapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
)

// serving is a server of a test on a port of its own.
type serving struct {
	url      string
	server   *queryapi.Server
	registry *prometheus.Registry
	stop     func()
}

// serve runs a server with the real clock over the harness's database.
func (h *harness) serve(addr string) *serving {
	return h.serveWith(addr, func(*queryapi.Config) {})
}

func (h *harness) serveWith(addr string, change func(*queryapi.Config)) *serving {
	h.t.Helper()
	registry := prometheus.NewRegistry()
	server := h.serverWith(func(c *queryapi.Config) {
		c.Now, c.Registerer = time.Now, registry
		change(c)
	})
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("the server ended with %v", err)
		}
	})
	h.t.Cleanup(stop)
	return &serving{url: "http://" + listener.Addr().String(), server: server, registry: registry, stop: stop}
}

// streamed is one server-sent event.
type streamed struct {
	name string
	data []byte
}

// stream is an open stream; lastID is its reader's until events is closed.
type stream struct {
	events chan streamed
	lastID string
	close  func()
}

// watch opens a stream, or fails with the status of the answer.
func watch(ctx context.Context, client *http.Client, url, lastID string) (*stream, error) {
	return watchAs(ctx, client, url, lastID, testToken)
}

func watchAs(ctx context.Context, client *http.Client, url, lastID, token string) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := client.Do(request)
	if err == nil && (response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream") {
		_ = response.Body.Close()
		err = fmt.Errorf("%s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	if err != nil {
		cancel()
		return nil, err
	}
	// Room for all that a test sends, so that a reader is slow only on purpose.
	s := &stream{events: make(chan streamed, 10_000), lastID: lastID, close: cancel}
	go func() {
		defer close(s.events)
		defer func() { _ = response.Body.Close() }()
		s.read(bufio.NewReader(response.Body))
	}()
	return s, nil
}

// read follows the rules of the HTML standard for what this server sends.
func (s *stream) read(lines *bufio.Reader) {
	var event streamed
	id := s.lastID
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // an event that was cut off does not count, nor does its id
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n":
			s.lastID = id
			if event.data != nil {
				s.events <- event
			}
			event = streamed{}
		case field == "event":
			event.name = value
		case field == "data":
			event.data = []byte(value)
		case field == "id":
			id = value
		}
	}
}

// next returns the next event of a name.
func (s *stream) next(t testing.TB, name string, within time.Duration) streamed {
	t.Helper()
	timeout := time.After(within)
	for {
		select {
		case event, open := <-s.events:
			if !open {
				t.Fatalf("the stream ended before a %s event", name)
			}
			if event.name == name {
				return event
			}
		case <-timeout:
			t.Fatalf("no %s event within %v", name, within)
		}
	}
}

func testClient(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// mustWatch opens a stream that ends with the test.
func (h *harness) mustWatch(server *serving, workspace, lastID string) *stream {
	h.t.Helper()
	s, err := watch(h.t.Context(), testClient(h.t), server.url+"/v1/workspaces/"+workspace+"/live", lastID)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		s.close()
		for range s.events { // until its reader has ended
		}
	})
	return s
}

// withoutFreshness decodes an answer for comparison.
func withoutFreshness(t testing.TB, text []byte) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, has := body["freshness"].(map[string]any)["watermark"]; !has {
		t.Errorf("no freshness in %s", text)
	}
	delete(body, "freshness")
	return body
}

// merge applies a usage event as the documentation says.
func merge(have *queryapi.Usage, text []byte) error {
	var event queryapi.Usage
	if err := json.Unmarshal(text, &event); err != nil {
		return err
	}
	if have.From != event.From || have.To != event.To || have.Bucket != event.Bucket || have.TZ != event.TZ {
		*have = event
		return nil
	}
	have.Total, have.Series[0].Total = event.Total, event.Series[0].Total
	for _, point := range event.Series[0].Points {
		i := slices.IndexFunc(have.Series[0].Points, func(p queryapi.UsagePoint) bool { return p.Start == point.Start })
		if i < 0 {
			have.Series[0].Points = append(have.Series[0].Points, point)
		} else {
			have.Series[0].Points[i] = point
		}
	}
	return nil
}

const figureWithin = 2 * time.Minute // 2 s on an idle machine

func TestLiveBeginsWithTheAnswersOfTheEndpointsAndSendsWhatChanges(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	h := newHarness(t, now)
	h.grant("ws_a", "g", 100_000_000, now.Add(-20*24*time.Hour), nil)
	h.insert(event{"ws_a", "cmp_1", "x", now.Add(-time.Hour), 5_000_000}, event{"ws_b", "", "", now, 1})
	h.progress("ws_a", 1, now)
	server := h.serve("127.0.0.1:0")
	s := h.mustWatch(server, "ws_a", "")
	s2 := h.mustWatch(server, "ws_a", "")

	real := h.serverWith(func(c *queryapi.Config) { c.Now, c.Registerer = time.Now, prometheus.NewRegistry() })
	got := map[string]streamed{}
	for _, name := range []string{"balance", "usage", "freshness"} { // in this order
		got[name] = s.next(t, name, figureWithin)
	}
	var used queryapi.Usage
	err := merge(&used, got["usage"].data)
	if err != nil {
		t.Fatal(err)
	}
	whole := len(used.Series[0].Points)
	for _, path := range []string{"balance", "usage"} {
		// A minute may have begun between the two.
		storetest.Wait(t, figureWithin, path+" is what its endpoint answers", func() (bool, error) {
			want := withoutFreshness(t, h.doOn(real, http.MethodGet, "/v1/workspaces/ws_a/"+path).body)
			if fmt.Sprint(want) == fmt.Sprint(withoutFreshness(t, got[path].data)) {
				return true, nil
			}
			select {
			case e := <-s.events:
				if e.name == "usage" { // of which there is what changed alone
					if err := merge(&used, e.data); err != nil {
						return false, err
					}
					if e.data, err = json.Marshal(&used); err != nil {
						return false, err
					}
				}
				got[e.name] = e
			default:
			}
			return false, nil
		})
	}

	began := time.Now()
	h.insert(event{"ws_a", "cmp_1", "x", now.Add(-30 * time.Minute), 2_500_000})
	h.progress("ws_a", 2, now)
	for _, stream := range []*stream{s, s2} {
		have := used
		have.Series = slices.Clone(used.Series)
		have.Series[0].Points = slices.Clone(used.Series[0].Points)
		for string(have.Total) != "7.5" {
			delta := stream.next(t, "usage", figureWithin)
			if err := merge(&have, delta.data); err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(delta.data, []byte(`"start"`)); stream == s && n >= whole {
				t.Errorf("%d of %d points sent again", n, whole)
			}
		}
		var want queryapi.Usage
		if err := json.Unmarshal(h.doOn(real, http.MethodGet, "/v1/workspaces/ws_a/usage").body, &want); err != nil {
			t.Fatal(err)
		}
		for i, point := range have.Series[0].Points {
			if want.Series[0].Points[i].Credits != point.Credits {
				t.Errorf("point %d is %+v, want %+v", i, point, want.Series[0].Points[i])
			}
		}
		var fresh queryapi.LiveFreshness
		for fresh.Revision != 6 {
			if err := json.Unmarshal(stream.next(t, "freshness", figureWithin).data, &fresh); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("the figures moved within %v", time.Since(began).Round(time.Millisecond))
	var left queryapi.Balance
	h.get("/v1/workspaces/ws_a/balance", nil, &left)
	if left.Remaining != "92.5" {
		t.Errorf("balance %s", left.Remaining)
	}
	// Freshness goes on by itself.
	s.next(t, "freshness", figureWithin)
	s.next(t, "freshness", figureWithin)
}

func TestLiveRefusesAsOtherEndpointsDo(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	h.insert(event{"ws_a", "", "", h.now, 1})
	if p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_no/live")); p.Code != queryapi.CodeWorkspaceNotFound {
		t.Errorf("%+v", p)
	}
	if p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/live", "Authorization", "Bearer no")); p.Code != queryapi.CodeUnauthorized {
		t.Errorf("%+v", p)
	}
	for _, id := range []string{"1", "2.abc", "1.-5", "1.zzzzzzzzzzzzzzzz", "1.0.1~x", "1.0." + strings.Repeat("1~AAAAAAAAAAA.", 200)} {
		p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/live?x=1", "Last-Event-ID", id))
		if p.Code != queryapi.CodeInvalidParameter || len(p.Errors) != 2 {
			t.Errorf("%q: %+v", id, p)
		}
	}
	if r := h.do(http.MethodHead, "/v1/workspaces/ws_a/live"); r.status != http.StatusOK || r.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
}

func TestLiveEndsWithTheServer(t *testing.T) {
	t.Parallel()
	h := newHarness(t, time.Now())
	h.insert(event{"ws_a", "", "", h.now, 1})
	server := h.serve("127.0.0.1:0")
	s := h.mustWatch(server, "ws_a", "")
	s.next(t, "freshness", figureWithin)
	began := time.Now()
	server.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for range s.events { // ends, or the test does not
	}
}

// TestLiveEndsWithItsToken: a key is revoked while its stream is open.
func TestLiveEndsWithItsToken(t *testing.T) {
	t.Parallel()
	h := newHarness(t, time.Now())
	h.insert(event{"ws_a", "", "", h.now, 1})
	key := h.key("ws_a", `"credits:read"`)
	other := h.key("ws_a", `"credits:read"`)
	server := httptest.NewServer(h.serverWith(func(c *queryapi.Config) {
		c.Now, c.StreamCheck, c.Registerer = time.Now, 50*time.Millisecond, prometheus.NewRegistry()
	}).Handler())
	defer server.Close()
	open := func(secret string) *stream {
		s, err := watchAs(t.Context(), testClient(t), server.URL+"/v1/workspaces/ws_a/live", "", secret)
		if err != nil {
			t.Fatal(err)
		}
		s.next(t, "freshness", figureWithin)
		return s
	}
	revoked, stays := open(key.Secret), open(other.Secret)
	if r := h.do(http.MethodDelete, "/v1/workspaces/ws_a/keys/"+key.KeyID); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for range revoked.events { // ends, or the test does not
	}
	stays.next(t, "freshness", figureWithin)
	stays.next(t, "freshness", figureWithin)
	stays.close()
	for range stays.events {
	}
}

// incident inserts a change of state; recordedAt nil leaves it to the server,
// as the aggregator does.
func (h *harness) incident(workspace, incident, state string, recordedAt *time.Time) {
	columns, values := "", ""
	args := []any{workspace, incident, state, time.Now(), "balance below 100", `{"remaining":"99.5"}`}
	if recordedAt != nil {
		columns, values = ", recorded_at", ", ?"
		args = append(args, *recordedAt)
	}
	// From several goroutines: exec would end the wrong one.
	if err := h.conn.Exec(context.Background(), `INSERT INTO alert_incidents (workspace_id, incident_id, state, at, message, detail`+columns+
		`) VALUES (?, ?, ?, ?, ?, ?`+values+`)`, args...); err != nil {
		h.t.Errorf("cannot insert an incident: %v", err)
	}
}

// TestLiveAlertsAreNeitherMissedNorDoubled: clients come and go and the server
// is stopped and started while alerts are recorded, some at one instant, some
// visible only long after their instant.
func TestLiveAlertsAreNeitherMissedNorDoubled(t *testing.T) {
	t.Parallel()
	h := newHarness(t, time.Now())
	h.insert(event{"ws_a", "", "", h.now, 1}, event{"ws_b", "", "", h.now, 1})
	h.incident("ws_a", "before", "firing", nil)
	server := h.serve("127.0.0.1:0")
	url, addr := server.url, strings.TrimPrefix(server.url, "http://")
	const clients, alerts = 20, 60

	var want []string
	for i := range alerts {
		want = append(want, fmt.Sprintf("inc_%d/firing", i))
	}
	slices.Sort(want)
	var joined, finished sync.WaitGroup
	joined.Add(clients)
	client := testClient(t)
	for c := range clients {
		finished.Go(func() {
			got, lastID, first := []string{}, "", true
			deadline := time.Now().Add(5 * time.Minute)
			for len(got) < alerts && time.Now().Before(deadline) {
				s, err := watch(t.Context(), client, url+"/v1/workspaces/ws_a/live", lastID)
				if err != nil {
					time.Sleep(20 * time.Millisecond) // as a browser waits, shorter
					continue
				}
				// Some stay, some leave after a few events.
				timeout := time.After([]time.Duration{time.Minute, 300 * time.Millisecond, time.Second}[c%3])
			events:
				for len(got) < alerts {
					select {
					case e, open := <-s.events:
						if !open {
							break events
						}
						if first {
							first = false
							joined.Done()
						}
						if e.name == "alert" {
							var alert queryapi.LiveAlert
							if err := json.Unmarshal(e.data, &alert); err != nil || string(alert.Detail) != `{"remaining":"99.5"}` {
								t.Errorf("%v in %s", err, e.data)
							}
							got = append(got, alert.ID)
						}
					case <-timeout:
						break events
					}
				}
				s.close()
				for e := range s.events { // what arrived with the id that it goes on from
					if e.name == "alert" {
						var alert queryapi.LiveAlert
						_ = json.Unmarshal(e.data, &alert)
						got = append(got, alert.ID)
					}
				}
				lastID = s.lastID
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("client %d got %d alerts %v", c, len(got), got)
			}
		})
	}
	joined.Wait()
	for i := range alerts {
		recordedAt := time.Now().Truncate(time.Second) // many at one instant
		switch i % 4 {
		case 0:
			recordedAt = time.Now().Add(-time.Minute) // visible late
		case 1:
			h.incident("ws_a", fmt.Sprintf("inc_%d", i), "firing", nil)
			continue
		}
		h.incident("ws_a", fmt.Sprintf("inc_%d", i), "firing", &recordedAt)
		h.incident("ws_b", fmt.Sprintf("inc_%d", i), "firing", nil)
		if i%20 == 10 {
			server.stop()
			h.incident("ws_b", fmt.Sprintf("away_%d", i), "firing", nil)
			server = h.serve(addr)
		}
	}
	finished.Wait()
}

// TestLiveResumesFromLongAgo: an id older than what rooms know, and a stream
// that falls a thousand alerts behind.
func TestLiveResumesFromLongAgo(t *testing.T) {
	t.Parallel()
	h := newHarness(t, time.Now())
	h.insert(event{"ws_a", "", "", h.now, 1})
	for i := range 300 {
		old := time.Now().Add(-time.Duration(100+i) * time.Hour)
		if i < 2 {
			h.incident("ws_a", fmt.Sprintf("old_%d", i), "firing", &old)
		}
	}
	h.exec(`INSERT INTO alert_incidents (workspace_id, incident_id, state, at, recorded_at)
		SELECT 'ws_a', concat('bulk_', toString(number)), 'pending', now64(), now64(3) - 3600 + number FROM numbers(300)`)
	server := h.serve("127.0.0.1:0")
	long := fmt.Sprintf("1.%s", base36(time.Now().Add(-200*time.Hour)))
	s := h.mustWatch(server, "ws_a", long)
	seen := map[string]int{}
	var last queryapi.LiveAlert
	for range 302 {
		var alert queryapi.LiveAlert
		if err := json.Unmarshal(s.next(t, "alert", figureWithin).data, &alert); err != nil {
			t.Fatal(err)
		}
		if alert.RecordedAt < last.RecordedAt {
			t.Errorf("%s after %s", alert.RecordedAt, last.RecordedAt)
		}
		seen[alert.ID]++
		last = alert
	}
	if len(seen) != 302 || string(last.Detail) != "{}" {
		t.Errorf("%d alerts, the last %+v", len(seen), last)
	}
	// The id it ends with leaves nothing to send but what is new.
	s.next(t, "freshness", figureWithin)
	s.close()
	for range s.events {
	}
	if len(s.lastID) > 2000 {
		t.Errorf("an id of %d bytes", len(s.lastID))
	}
	again := h.mustWatch(server, "ws_a", s.lastID)
	h.incident("ws_a", "new", "resolved", nil)
	if first := again.next(t, "alert", figureWithin); !bytes.Contains(first.data, []byte(`"new/resolved"`)) {
		t.Errorf("the first is %s", first.data)
	}
}

func base36(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 36) }

// TestLiveSlowReadersHoldUpNobodyAndGetTheNewest: readers that take nothing,
// of events larger than what the kernel buffers, beside one that reads.
func TestLiveSlowReadersHoldUpNobodyAndGetTheNewest(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	h := newHarness(t, now)
	// A balance of 3,000 grants is more than half a megabyte.
	h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, koff)
		SELECT 'ws_a', toStartOfMinute(now()) - 86400, toString(number), 'credits.granted', toString(number), 1000000, 'paid', 100, toStartOfMinute(now()) - 86400, number FROM numbers(3000)`)
	h.progress("ws_a", 1, now)
	server := h.serve("127.0.0.1:0")
	fast := h.mustWatch(server, "ws_a", "")
	fast.next(t, "freshness", figureWithin)
	var slow []net.Conn
	for range 10 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		// A segment of the loopback is 64 KiB; below that the window stalls.
		_ = conn.(*net.TCPConn).SetReadBuffer(128 << 10)
		_, _ = fmt.Fprintf(conn, "GET /v1/workspaces/ws_a/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", testToken)
		slow = append(slow, conn)
	}
	const changes = 10
	for used := 1; used <= changes; used++ {
		h.insert(event{"ws_a", "", "", now, 1_000_000})
		h.progress("ws_a", uint64(1+used), now)
		want := fmt.Appendf(nil, `"remaining":"%d"`, 3000-used)
		for !bytes.Contains(fast.next(t, "balance", figureWithin).data, want) {
		}
	}
	// When they read at last, they come to the newest figure and pass over most.
	newest := fmt.Sprintf(`"remaining":"%d"`, 3000-changes)
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(figureWithin))
		lines, balances := bufio.NewReaderSize(conn, 2<<20), 0
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("a slow reader: %v", err)
			}
			if strings.Contains(line, `"remaining":`) {
				balances++
			}
			if strings.Contains(line, newest) {
				break
			}
		}
		// One was cut into by the kernel's buffers of some megabytes.
		if balances > changes {
			t.Errorf("%d balances", balances)
		}
	}
}
