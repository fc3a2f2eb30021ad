package queryapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
)

// TestClientsThatGoAwayLeaveWholeKeysAndTheEngineAlive: whoever asks for a key,
// or for figures, goes away at any point of that. A key is there with all that
// belongs to it or not at all, one that was answered is, and nothing that is
// given up ends the engine.
func TestClientsThatGoAwayLeaveWholeKeysAndTheEngineAlive(t *testing.T) {
	t.Parallel()
	engine := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	h := newHarnessOn(t, engine.Database(t), at(t, "2026-11-22T09:00:30Z"))
	h.insert(randomEvents("ws_a", h.now, 2000)...)
	server := h.serverWith(func(c *queryapi.Config) { c.Registerer = prometheus.NewRegistry() })
	const workers, each = 4, 60
	before := engine.PID()
	var mu sync.Mutex
	answered := map[string]bool{} // names of keys
	statuses := map[int]int{}
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for n := range each {
				name := fmt.Sprintf("key %d %d", worker, n)
				r := httptest.NewRequest(http.MethodPost, "/v1/workspaces/ws_a/keys", strings.NewReader(fmt.Sprintf(`{"name":%q,"scopes":["credits:read"]}`, name)))
				if worker%2 == 1 {
					name = ""
					r = httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v1/workspaces/ws_a/usage?bucket=1d&top=%d&group_by=campaign&from=2025-11-01T00:00:00Z&to=2026-11-22T00:00:00Z", 1+n%50), nil)
				}
				ctx, cancel := context.WithCancel(t.Context())
				patience := time.Duration(n%40) * time.Millisecond
				if n%10 == 9 {
					patience = time.Hour
				}
				goes := time.AfterFunc(patience, cancel)
				r.Header.Set("Authorization", "Bearer "+testToken)
				r.Header.Set("Content-Type", "application/json")
				recorder := httptest.NewRecorder()
				server.Handler().ServeHTTP(recorder, r.WithContext(ctx))
				goes.Stop()
				cancel()
				mu.Lock()
				statuses[recorder.Code]++
				if name != "" && recorder.Code == http.StatusCreated {
					answered[name] = true
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("statuses: %v", statuses)
	if len(answered) == 0 || statuses[http.StatusOK] == 0 || statuses[499] < 10 {
		t.Errorf("the test says little: %v", statuses)
	}
	var keys queryapi.Keys
	h.get("/v1/workspaces/ws_a/keys", nil, &keys)
	listed := map[string]bool{}
	for _, key := range keys.Items {
		if listed[key.Name] || key.CreatedBy != "token:dev" || len(key.Scopes) != 1 {
			t.Errorf("%+v", key)
		}
		listed[key.Name] = true
		var audited uint64
		if err := h.conn.QueryRow(t.Context(), "SELECT count() FROM audit_log WHERE action = 'key.create' AND JSONExtractString(detail, 'key_id') = ?", key.KeyID).Scan(&audited); err != nil || audited != 1 {
			t.Errorf("%s is audited %d times, %v", key.Name, audited, err)
		}
	}
	for name := range answered {
		if !listed[name] {
			t.Errorf("%s was answered and is not there", name)
		}
	}
	if after := engine.PID(); after != before {
		t.Errorf("the engine ended: its process is %d, was %d", after, before)
	}
}
