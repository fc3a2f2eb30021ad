package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// post sends a body and returns the status and the answer; 0 if there is none.
func (a *api) post(path, media, key, body string) (status int, answer []byte) {
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return 0, nil
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	request.Header.Set("Content-Type", media)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, nil
	}
	return response.StatusCode, answer
}

// postEntry posts a ledger entry until it is accepted.
func (a *api) postEntry(path, key, body string) (entry entryAnswer) {
	for {
		switch status, answer := a.post(path, "application/json", key, body); status {
		case http.StatusAccepted:
			if err := json.Unmarshal(answer, &entry); err != nil {
				a.t.Error(err)
			}
			return entry
		case 0, http.StatusServiceUnavailable: // killed, or not up again yet
			if a.t.Context().Err() != nil {
				return entry
			}
			time.Sleep(50 * time.Millisecond) // a client that tries again
		default:
			a.t.Errorf("%s: %d %s", path, status, answer)
			return entry
		}
	}
}

type entryAnswer struct {
	EntryID    string    `json:"entry_id"`
	GrantID    string    `json:"grant_id"`
	AcceptedAt time.Time `json:"accepted_at"`
}

// load is events by HTTP, in batches that are sent until all of each is
// acknowledged, and grants of one credit between them.
type load struct {
	workspaces, batches, size int
	acked                     atomic.Int64
	grants                    sync.Map // key -> entry_id
}

const (
	loadEventMicro = 1_500_000
	loadWorkspaces = 4
)

func loadWorkspace(i int) string { return fmt.Sprintf("ws_load_%d", i) }

// send sends one workspace's share.
func (l *load) send(a *api, workspace string) {
	for batch := range l.batches {
		var body strings.Builder
		for i := range l.size {
			fmt.Fprintf(&body, `%c{"specversion":"1.0","id":"%d-%d","source":"/load","type":"credits.consumed","time":%q,"data":{"workspace_id":%q,"campaign_id":"cmp_%d","credits":"1.5","action":"call"}}`,
				"[,"[min(i, 1)], batch, i, time.Now().UTC().Format(time.RFC3339Nano), workspace, i%7)
		}
		body.WriteByte(']')
		for !l.acknowledged(a, workspace, body.String()) {
			if a.t.Context().Err() != nil || a.t.Failed() {
				return
			}
			time.Sleep(50 * time.Millisecond) // a client that tries again
		}
		l.acked.Add(int64(l.size))
		if batch%5 == 0 {
			key := fmt.Sprintf("%s-%d", workspace, batch)
			l.grants.Store(key, a.postEntry("workspaces/"+workspace+"/grants", key, `{"credits":"1"}`).EntryID)
		}
	}
}

// acknowledged says whether every event was.
func (l *load) acknowledged(a *api, workspace, body string) bool {
	status, answer := a.post("workspaces/"+workspace+"/events", "application/cloudevents-batch+json", "", body)
	if status == 0 || status == http.StatusServiceUnavailable {
		return false
	}
	var said struct {
		Results []struct{ Status, Code string }
	}
	if err := json.Unmarshal(answer, &said); status != http.StatusOK || err != nil || len(said.Results) != l.size {
		a.t.Errorf("%d %.500s (%v)", status, answer, err)
		return false
	}
	for _, result := range said.Results {
		switch result.Status {
		case "accepted":
		case "failed":
			return false
		default:
			a.t.Errorf("%+v", result)
		}
	}
	return true
}

// TestEventsAndGrantsByHTTPCountOnceOverKills: up, and with it both stores, is
// killed three times while 100,000 events and some grants are sent; clients send
// again whatever was not acknowledged.
func TestEventsAndGrantsByHTTPCountOnceOverKills(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	l := &load{workspaces: loadWorkspaces, batches: 25, size: 1000}
	total := int64(l.workspaces * l.batches * l.size)
	began := time.Now()
	var clients sync.WaitGroup
	for i := range l.workspaces {
		clients.Go(func() { l.send(s.api, loadWorkspace(i)) })
	}
	for kill := int64(1); kill <= 3; kill++ {
		storetest.Wait(t, settleWithin, "a quarter more is acknowledged", func() (bool, error) {
			return l.acked.Load() >= kill*total/4, nil
		})
		s.up.Kill()
		s.start()
	}
	clients.Wait()
	t.Logf("%d events acknowledged in %s", l.acked.Load(), time.Since(began).Round(time.Millisecond))
	// Retries of what was acknowledged long ago, by a server that knows nothing
	// of it, are answered as the first.
	l.grants.Range(func(key, first any) bool {
		name, _ := key.(string)
		workspace := name[:strings.LastIndexByte(name, '-')]
		if again := s.api.postEntry("workspaces/"+workspace+"/grants", name, `{"credits":"1"}`); again.EntryID != first {
			t.Errorf("grant %s was %v and is %s", name, first, again.EntryID)
		}
		return true
	})
	tables := s.tables()
	sums := awaitDone(t, s.client(), tables, consumption)
	awaitDone(t, s.client(), tables, string(schemas.LedgerTopic))
	if sums.rejected != 0 || int64(sums.inserted) != total {
		t.Errorf("of %d events the ledger of batches has %+v", total, sums)
	}
	var rows, ids, rejections, grants uint64
	if err := tables.QueryRow(t.Context(), `SELECT (SELECT count() FROM events), (SELECT uniqExact(workspace_id, event_id) FROM events),
		(SELECT count() FROM rejections), (SELECT count() FROM credit_entries)`).Scan(&rows, &ids, &rejections, &grants); err != nil {
		t.Fatal(err)
	}
	perWorkspace := (l.batches + 4) / 5
	granted := l.workspaces * perWorkspace
	if int64(rows) != total || rows != ids || rejections != 0 || int(grants) != granted {
		t.Errorf("%d events under %d ids, %d rejections, %d grants; sent were %d events, %d grants", rows, ids, rejections, grants, total, granted)
	}
	each := amount(int64(perWorkspace)*1_000_000 - int64(l.batches*l.size)*loadEventMicro)
	for i := range l.workspaces {
		awaitRemaining(t, s.api, loadWorkspace(i), each)
	}
	t.Logf("%d duplicates by retries", sums.duplicates)
}

// serve starts another server on the stores of the stack.
func (s *stack) serve(flags ...string) (*program, *api) {
	s.t.Helper()
	addr, ops := storetest.FreeAddr(s.t), storetest.FreeAddr(s.t)
	p := start(s.t, append([]string{"serve", "--data", s.data, "--api-listen", addr, "--ops-listen", ops}, flags...)...)
	awaitReady(s.t, p, ops)
	other := newAPI(s.t, "http://"+addr)
	other.token = s.api.token
	return p, other
}

// TestEntriesAreVisibleOnceTheWatermarkReachesAcceptedAt: in the first answer
// that says so, by either of two servers; and sent again to the other server at
// once, before it is counted, an entry stays one.
func TestEntriesAreVisibleOnceTheWatermarkReachesAcceptedAt(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	_, other := s.serve("--kafka-brokers", s.broker)
	servers := []*api{s.api, other}
	const workspace, entries = "ws_seen", 8
	var sum amount
	looks := 0
	for i := range entries {
		entry := servers[i%2].postEntry("workspaces/"+workspace+"/adjustments", fmt.Sprint(i), `{"credits":"2"}`)
		if again := servers[1-i%2].postEntry("workspaces/"+workspace+"/adjustments", fmt.Sprint(i), `{"credits":"2.0"}`); again.EntryID != entry.EntryID {
			t.Errorf("first %+v, then by the other server %+v", entry, again)
		}
		sum += 2_000_000
		storetest.Wait(t, settleWithin, "the watermark reaches accepted_at", func() (bool, error) {
			var balance balanceAnswer
			err := servers[looks%2].get("workspaces/"+workspace+"/balance", nil, &balance)
			if isStatus(err, http.StatusNotFound) {
				return false, nil // not begun yet
			}
			if err != nil || balance.Freshness.Watermark == nil || balance.Freshness.Watermark.Before(entry.AcceptedAt) {
				return false, err
			}
			looks++
			if balance.Remaining != sum {
				t.Errorf("the watermark is %s, accepted_at %s, and the balance %d instead of %d", balance.Freshness.Watermark, entry.AcceptedAt, balance.Remaining, sum)
			}
			return true, nil
		})
	}
	if looks != entries {
		t.Errorf("%d looks", looks)
	}
	awaitDone(t, s.client(), s.tables(), string(schemas.LedgerTopic))
	var rejections, records uint64
	if err := s.tables().QueryRow(t.Context(), `SELECT (SELECT count() FROM rejections), (SELECT sum(records) FROM ingest_batches WHERE topic = ?)`, string(schemas.LedgerTopic)).Scan(&rejections, &records); err != nil {
		t.Fatal(err)
	}
	if rejections != 0 || records != entries {
		t.Errorf("%d rejections, %d records for %d entries", rejections, records, entries)
	}
}

func TestServeWithoutBrokersSaysThatItCannotWrite(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	p, reader := s.serve()
	if status, answer := reader.post("workspaces/ws_a/grants", "application/json", "", `{"credits":"1"}`); status != http.StatusServiceUnavailable || !strings.Contains(string(answer), `"writes_unavailable"`) {
		t.Errorf("%d %s", status, answer)
	}
	if said := p.Stderr.Lines("no --kafka-brokers"); len(said) != 1 {
		t.Errorf("it said %q", said)
	}
}
