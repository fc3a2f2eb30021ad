package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
)

// liveStreams is how many streams the test opens: DRAWDOWN_LIVE_STREAMS=2000
// is the figure to reach, which takes a machine of its own for a minute.
func liveStreams(t testing.TB) int {
	text := os.Getenv("DRAWDOWN_LIVE_STREAMS")
	if text == "" {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		t.Fatalf("DRAWDOWN_LIVE_STREAMS is %q, want a number", text)
	}
	return n
}

// liveWorkspaces share the streams.
const liveWorkspaces = 50

// liveClient holds a stream open, whatever it takes, and counts its alerts.
type liveClient struct {
	workspace string
	lastID    string
	seen      map[string]int
	distinct  atomic.Int64
	opened    atomic.Int64 // streams that have had their snapshot
	open      atomic.Bool
}

// run reads streams until done is closed; streams that end are opened again.
func (c *liveClient) run(t testing.TB, client *http.Client, url, token string, done <-chan struct{}) {
	for {
		c.read(t, client, url, token, done)
		c.open.Store(false)
		select {
		case <-done:
			return
		case <-time.After(time.Second): // about what a browser waits
		}
	}
}

func (c *liveClient) read(t testing.TB, client *http.Client, url, token string, done <-chan struct{}) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/workspaces/"+c.workspace+"/live", nil)
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if c.lastID != "" {
		request.Header.Set("Last-Event-ID", c.lastID)
	}
	response, err := client.Do(request)
	if err != nil {
		return // nobody listens
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return
	}
	var name, data, id string
	lines := bufio.NewReaderSize(response.Body, 4096)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			data = value
		case "id":
			id = value
		case "":
			if id != "" {
				c.lastID = id
			}
			switch name {
			case "alert":
				var alert struct{ ID string }
				if err := json.Unmarshal([]byte(data), &alert); err != nil {
					t.Errorf("%v in %s", err, data)
				}
				c.seen[alert.ID]++
				c.distinct.Store(int64(len(c.seen)))
			case "freshness":
				if !c.open.Swap(true) {
					c.opened.Add(1)
				}
			}
			name, data, id = "", "", ""
			select {
			case <-done:
				return
			default:
			}
		}
	}
}

// TestServeUnderLiveStreamsIsSmallAndLosesNoAlertWhenKilled: serve is killed
// twice under open streams while alerts are recorded; every stream comes back
// and has had every alert of its workspace once. Its memory is measured.
func TestServeUnderLiveStreamsIsSmallAndLosesNoAlertWhenKilled(t *testing.T) {
	t.Parallel()
	// Of its own: an engine may end with a client that is killed.
	db := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true}).Database(t)
	conn := db.Conn(t)
	seedLive(t, conn)
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("live-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	apiAddr, ops := storetest.FreeAddr(t), storetest.FreeAddr(t)
	startServe := func() *program {
		p := startIn(t, []string{"DRAWDOWN_CLICKHOUSE_PASSWORD=" + db.Password}, "serve", "--clickhouse-addr", db.Addr, "--clickhouse-user", db.User,
			"--clickhouse-database", db.Name, "--token-file", tokenFile, "--partitions", "4", "--api-listen", apiAddr, "--ops-listen", ops)
		awaitReady(t, p, ops)
		return p
	}
	serve := startServe()

	n := liveStreams(t)
	transport := &http.Transport{ReadBufferSize: 4096}
	client := &http.Client{Transport: transport}
	done := make(chan struct{})
	clients := make([]*liveClient, n)
	var running sync.WaitGroup
	for i := range clients {
		c := &liveClient{workspace: fmt.Sprintf("live_%d", i%liveWorkspaces), seen: map[string]int{}}
		clients[i] = c
		running.Go(func() { c.run(t, client, "http://"+apiAddr, "live-token", done) })
	}
	defer transport.CloseIdleConnections()
	defer running.Wait()
	stopClients := sync.OnceFunc(func() { close(done) })
	defer stopClients()
	awaitOpen := func(times int64) {
		storetest.Wait(t, settleWithin, fmt.Sprintf("%d streams are open", n), func() (bool, error) {
			for _, c := range clients {
				if c.opened.Load() < times || !c.open.Load() {
					return false, nil
				}
			}
			return true, nil
		})
	}
	awaitOpen(1)
	t.Logf("%d streams: %s", n, memoryOf(t, serve.PID()))

	recorded := 0
	record := func() {
		recorded++
		// The engine may be starting again.
		storetest.Wait(t, settleWithin, "alerts are recorded", func() (bool, error) {
			return conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO alert_incidents (workspace_id, incident_id, state, at, message)
				SETTINGS insert_deduplication_token = 'inc_%[1]d/firing'
				SELECT concat('live_', toString(number)), 'inc_%[1]d', 'firing', now64(3), 'balance below 100' FROM numbers(%[2]d)`, recorded, liveWorkspaces)) == nil, nil
		})
	}
	for range 2 {
		for range 5 {
			record()
		}
		serve.Kill()
		record() // while nobody serves
		serve = startServe()
		for range 4 {
			record() // while they come back
		}
	}
	awaitOpen(2)
	storetest.Wait(t, settleWithin, "every stream has had every alert", func() (bool, error) {
		for _, c := range clients {
			if c.distinct.Load() < int64(recorded) {
				return false, nil
			}
		}
		return true, nil
	})
	kib := residentKiB(t, serve.PID())
	t.Logf("%d streams, all come back: %s", n, memoryOf(t, serve.PID()))
	if most := 100<<10 + 100*n; kib > most {
		t.Errorf("%d streams take %d KiB of the server, want at most %d", n, kib, most)
	}
	stopClients()
	if code := serve.Stop(); code != 0 {
		t.Errorf("serve ended with %d", code)
	}
	running.Wait()
	for i, c := range clients {
		for id, times := range c.seen {
			if times != 1 {
				t.Errorf("client %d got %s %d times", i, id, times)
			}
		}
		if len(c.seen) != recorded {
			t.Errorf("client %d got %d of %d alerts", i, len(c.seen), recorded)
		}
	}
}

// seedLive gives every workspace a grant and two months of usage.
func seedLive(t testing.TB, conn driver.Conn) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at)
			SELECT concat('live_', toString(number)), toStartOfDay(now()) - 86400 * 60, 'g', 'credits.granted', 'g', 1000000000000, 'paid', 100,
			toStartOfDay(now()) - 86400 * 60, toStartOfDay(now()) + 86400 * 30 FROM numbers(%d)`,
		`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro)
			SELECT concat('live_', toString(number %% %[1]d)), now64(3) - number * 26, toString(number), 'cmp', 1000000 FROM numbers(200000)`,
		`INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at)
			SELECT arrayJoin(['credits.consumption', 'credits.ledger', 'credits.campaigns']), 1, number %% 4, 1, now64(3), now64(3) FROM numbers(%d)`,
	} {
		if err := conn.Exec(t.Context(), fmt.Sprintf(statement, liveWorkspaces)); err != nil {
			t.Fatal(err)
		}
	}
}

// memoryOf is what the kernel says of a process.
func memoryOf(t testing.TB, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	var found []string
	for line := range bytes.Lines(status) {
		for _, name := range []string{"VmRSS:", "VmHWM:", "Threads:"} {
			if bytes.HasPrefix(line, []byte(name)) {
				found = append(found, strings.Join(strings.Fields(string(line)), " "))
			}
		}
	}
	return strings.Join(found, ", ")
}

func residentKiB(t testing.TB, pid int) int {
	t.Helper()
	_, after, _ := strings.Cut(memoryOf(t, pid), "VmRSS: ")
	text, _, _ := strings.Cut(after, " ")
	kib, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("cannot read the memory of %d: %v", pid, err)
	}
	return kib
}
