package main_test

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// metric reads one sample of a process.
func metric(t testing.TB, ops, name string) float64 {
	t.Helper()
	response, err := http.Get("http://" + ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(body)
	if found == nil {
		t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestServeKnowsWhetherCountingGetsOn: its probes measure, beside those of
// another server, nobody sees their workspace, and its health fails while the
// consumer stands still.
func TestServeKnowsWhetherCountingGetsOn(t *testing.T) {
	t.Parallel()
	s := startStack(t, "--probe-every", "500ms")
	now := time.Now().UTC()
	send := func(id string) {
		produce(t, s.client(), consumption, schemas.Partition([]byte("ws_seen"), schemas.EmbeddedPartitions),
			kafka.Record{Key: kafka.NewBytes([]byte("ws_seen")), Value: kafka.NewBytes([]byte(exampleEvent("ws_seen", id, now)))})
	}
	send("first")
	addr, ops := storetest.FreeAddr(t), storetest.FreeAddr(t)
	p := start(t, "serve", "--data", s.data, "--api-listen", addr, "--ops-listen", ops, "--kafka-brokers", s.broker, "--probe-every", "100ms", "--stuck-after", "10s")
	awaitReady(t, p, ops)
	a := newAPI(t, "http://"+addr)
	a.token = s.api.token

	const probes = "drawdown_queryapi_probe_seconds_count"
	storetest.Wait(t, settleWithin, "three probes are answers", func() (bool, error) { return metric(t, ops, probes) >= 3, nil })
	storetest.Wait(t, settleWithin, "two probes of up are answers", func() (bool, error) { return metric(t, s.ops, probes) >= 2, nil })
	if sum := metric(t, ops, "drawdown_queryapi_probe_seconds_sum"); sum <= 0 {
		t.Errorf("the probes took %v s", sum)
	}
	if n := metric(t, ops, "drawdown_queryapi_probe_failures_total"); n != 0 {
		t.Errorf("%v probes failed", n)
	}
	var counted, processes, campaigns uint64
	err := s.tables().QueryRow(t.Context(), `SELECT count(), uniqExact(source), (SELECT uniqExact(campaign_id, action) FROM usage_1d WHERE workspace_id = ?)
		FROM events WHERE workspace_id = ? AND credits_micro = 0`, schemas.ProbeWorkspace, schemas.ProbeWorkspace).Scan(&counted, &processes, &campaigns)
	if err != nil || counted < 5 || processes != 2 || campaigns != 1 {
		t.Errorf("%d probes of %d processes are counted under %d campaigns: %v", counted, processes, campaigns, err)
	}
	for _, view := range []string{"v_events", "v_usage", "v_history"} {
		var seen, others uint64
		err := s.tables().QueryRow(t.Context(), "SELECT countIf(workspace_id = ?), countIf(workspace_id = 'ws_seen') FROM "+view, schemas.ProbeWorkspace).Scan(&seen, &others)
		if err != nil || seen != 0 || others != 1 {
			t.Errorf("%s has %d rows of probes and %d of the workspace: %v", view, seen, others, err)
		}
	}
	var board, me struct {
		Items []struct {
			WorkspaceID string `json:"workspace_id"`
		}
		Workspaces []struct {
			WorkspaceID string `json:"workspace_id"`
		}
	}
	a.must("workspaces", nil, &board)
	a.must("me", nil, &me)
	if len(board.Items) != 1 || board.Items[0].WorkspaceID != "ws_seen" || len(me.Workspaces) != 1 || me.Workspaces[0].WorkspaceID != "ws_seen" {
		t.Errorf("listed are %+v and %+v", board.Items, me.Workspaces)
	}

	if err := storetest.Probe(ops, "healthz"); err != nil {
		t.Fatalf("while counting gets on: %v", err)
	}
	// Up alone: its stores, which are its children, go on.
	if err := syscall.Kill(s.up.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	send("second")
	storetest.Wait(t, settleWithin, "/healthz of serve says that nothing moves", func() (bool, error) {
		err := storetest.Probe(ops, "healthz")
		return err != nil && strings.Contains(err.Error(), "records waiting and has not moved"), nil
	})
	if waiting := metric(t, ops, "drawdown_queryapi_probe_waiting_seconds"); waiting <= 0 {
		t.Errorf("the probe that cannot be counted waits for %v s", waiting)
	}
	if err := storetest.Probe(ops, "readyz"); err != nil {
		t.Errorf("the API still answers, but says: %v", err)
	}
	if err := syscall.Kill(s.up.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	before := metric(t, ops, probes)
	storetest.Wait(t, settleWithin, "counting gets on", func() (bool, error) {
		return storetest.Probe(ops, "healthz") == nil && metric(t, ops, probes) > before, nil
	})
}
