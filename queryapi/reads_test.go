package queryapi_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// readRows is how many rows the API's queries have read so far, by query.
func (h *harness) readRows() map[string]float64 {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	rows := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "drawdown_queryapi_query_read_rows_total" {
				rows[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return rows
}

func TestYearOfDaysReadsDaysAndNotEvents(t *testing.T) {
	// At noon: credits of each day stand in its first quarter of an hour and in
	// no finer rollup, which nothing may begin or end in.
	now := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	h := newHarness(t, now)
	day := now.Truncate(24 * time.Hour)
	// A million events in 20 days, which the views roll up, and days of other
	// workspaces around: 5 million rows of usage_1d in all.
	h.exec(fmt.Sprintf(`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro)
		SELECT 'ws_b', toDateTime64(%d, 3, 'UTC') - 1 - number * 1.7, toString(number), concat('cmp_', toString(number %% 10)), 1000000 FROM numbers(1000000)`, day.Unix()))
	h.exec(fmt.Sprintf(`INSERT INTO usage_1d SELECT concat('ws_', char(97 + number %% 3)), toDateTime(%d, 'UTC') - 86400 * (1 + intDiv(number, 12000)),
		concat('cmp_', toString(intDiv(number, 3) %% 4000)), '', 1000000, 0, 1 FROM numbers(400 * 12000)`, day.Unix()))
	h.exec(fmt.Sprintf(`INSERT INTO usage_15m_total SELECT 'ws_b', toDateTime(%d, 'UTC') - 86400 * (1 + number), 4000000000, 0, 4000 FROM numbers(400)`, day.Unix()))
	from := day.AddDate(-1, 0, 0)
	q := url.Values{"from": {from.Format(time.RFC3339)}, "to": {day.Format(time.RFC3339)}, "bucket": {"1d"}, "group_by": {"campaign"}}
	var got queryapi.Usage
	h.get("/v1/workspaces/ws_b/usage", q, &got)
	days := day.Sub(from).Hours() / 24
	if want := fmt.Sprint(int(days)*4000 + 1_000_000); string(got.Total) != want {
		t.Errorf("total %s, want %s", got.Total, want)
	}
	// The workspace's days, and a granule of 8,192 rows at each end of each of
	// a few parts.
	if read, most := h.readRows()["usage"], days*4000+20*10+20*8192; read > most {
		t.Errorf("%.0f rows read, want at most %.0f", read, most)
	}
	// A balance reads totals: a row a day here, 96 where there are events.
	var b queryapi.Balance
	h.get("/v1/workspaces/ws_b/balance", nil, &b)
	if want := fmt.Sprint(-400*4000 - 1_000_000); string(b.Remaining) != want {
		t.Errorf("balance %s, want %s", b.Remaining, want)
	}
	if read := h.readRows()["balance"]; read > 400+20*96+20*8192 {
		t.Errorf("the balance read %.0f rows", read)
	}
}
