package queryapi_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
)

// exportOf asks for an export of ws_a that must be made.
func (h *harness) exportOf(query string) []byte {
	h.t.Helper()
	r := h.do(http.MethodGet, "/v1/workspaces/ws_a/export?"+query)
	if r.status != http.StatusOK {
		h.t.Fatalf("%s: %d %s\nlog: %s", query, r.status, r.body, h.log)
	}
	return r.body
}

// parquet is read back by ClickHouse.
func (h *harness) parquet(file []byte, structure, columns string) (values []string) {
	h.t.Helper()
	request, err := http.NewRequest(http.MethodPost, h.store.URL+"/?"+url.Values{
		"query":                   {"SELECT " + columns + " FROM file FORMAT TSV"},
		"file_format":             {"Parquet"},
		"file_structure":          {structure},
		"date_time_output_format": {"iso"},
	}.Encode(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	var form bytes.Buffer
	boundary := "parquet-boundary-7f3a"
	fmt.Fprintf(&form, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\r\n", boundary)
	form.Write(file)
	fmt.Fprintf(&form, "\r\n--%s--\r\n", boundary)
	request.Body = io.NopCloser(&form)
	request.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	request.SetBasicAuth(h.store.User, h.store.Password)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK {
		h.t.Fatalf("the file cannot be read: %v %s", err, text)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// The columns that tests look at, by dataset.
const (
	eventColumns   = "time DateTime64(3,'UTC'), event_id String, actor String, credits Decimal(38,6), attributes Map(String,String)"
	usageColumns   = "start DateTime('UTC'), credits Decimal(38,6), events Int64"
	historyColumns = "entry_id String, type String, change Decimal(38,6), balance_after Decimal(38,6)"
)

func TestExportedEventsAreThoseThatWereCounted(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	day := at(t, "2026-11-20T00:00:00Z")
	h.insert(event{"ws_b", "cmp_other", "", day.Add(time.Hour), 99})
	h.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, actor, source, credits_micro, attributes, kafka_time) VALUES
		('ws_a', '2026-11-20 10:00:00.500', '=cmd|1', 'cmp_1', '+a', '-b', '@c', 1500000, {'k':'"v",\n'}, '2026-11-20 10:00:01'),
		('ws_a', '2026-11-20 09:00:00', 'e,"2"', '-x', 'plain', '', '	tab', -1, {}, '2026-11-20 10:00:01'),
		('ws_a', '2026-11-20 11:00:00', 'e3', '', '', '', '', 999999999999999999, {}, '2026-11-20 10:00:01'),
		('ws_a', '2026-11-21 00:00:00', 'after', '', '', '', '', 1, {}, '2026-11-20 10:00:01')`)
	const asked = "dataset=events&from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z"

	rows, err := csv.NewReader(bytes.NewReader(h.exportOf(asked))).ReadAll()
	want := [][]string{
		{"time", "event_id", "campaign_id", "action", "actor", "source", "credits", "attributes", "arrived_at"},
		{"2026-11-20T09:00:00.000Z", `e,"2"`, "'-x", "plain", "", "'\ttab", "-0.000001", "{}", "2026-11-20T10:00:01.000Z"},
		{"2026-11-20T10:00:00.500Z", "'=cmd|1", "cmp_1", "'+a", "'-b", "'@c", "1.5", `{"k":"\"v\",\n"}`, "2026-11-20T10:00:01.000Z"},
		{"2026-11-20T11:00:00.000Z", "e3", "", "", "", "", "999999999999.999999", "{}", "2026-11-20T10:00:01.000Z"},
	}
	if err != nil || fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", want) {
		t.Errorf("%v\n got %q\nwant %q", err, rows, want)
	}
	lines := strings.Split(string(h.exportOf(asked+"&format=ndjson")), "\n")
	if len(lines) != 4 || lines[1] != `{"time":"2026-11-20T10:00:00.500Z","event_id":"=cmd|1","campaign_id":"cmp_1","action":"+a","actor":"-b","source":"@c","credits":"1.5","attributes":{"k":"\"v\",\n"},"arrived_at":"2026-11-20T10:00:01.000Z"}` {
		t.Errorf("%q", lines)
	}
	r := h.do(http.MethodGet, "/v1/workspaces/ws_a/export?format=parquet&"+asked)
	if got := h.parquet(r.body, eventColumns, "time, event_id, actor, credits, attributes['k']"); !slices.Equal(got, []string{
		"2026-11-20T09:00:00.000Z\te,\"2\"\t\t-0.000001\t", "2026-11-20T10:00:00.500Z\t=cmd|1\t-b\t1.5\t\"v\",\\n", "2026-11-20T11:00:00.000Z\te3\t\t999999999999.999999\t",
	}) {
		t.Errorf("%q", got)
	}
	if got := r.header.Get("Content-Disposition"); got != `attachment; filename="drawdown-ws_a-events-20261120T0000Z-20261121T0000Z.parquet"` {
		t.Error(got)
	}
	if got := r.header.Get("Content-Type"); got != "application/vnd.apache.parquet" {
		t.Error(got)
	}
	if r := h.do(http.MethodGet, "/v1/workspaces/ws_a/export?dataset=events&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"); r.status != 200 ||
		string(r.body) != `"time","event_id","campaign_id","action","actor","source","credits","attributes","arrived_at"`+"\n" {
		t.Errorf("an empty file is %d %q", r.status, r.body)
	}
}

func TestExportedUsageAndHistoryAreThoseOfTheEndpoints(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Minute)
	h := newHarness(t, now)
	events := randomEvents("ws_a", now, 2000)
	h.insert(events...)
	expires := now.Add(-24 * time.Hour)
	h.grant("ws_a", "=g1", 1_000_000_000_000, now.Add(-500*24*time.Hour), nil)
	h.grant("ws_a", "g2", 5_000_000, now.Add(-30*24*time.Hour), &expires)
	from, to := now.Add(-400*24*time.Hour).Truncate(15*time.Minute), now.Add(time.Hour).Truncate(15*time.Minute)
	asked := "dataset=usage&" + url.Values{"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}}.Encode()

	type key struct{ start, campaign, action string }
	want, got := map[key]int64{}, map[key]int64{}
	total := int64(0)
	for _, e := range events {
		if !e.at.Before(from) && e.at.Before(to) {
			want[key{e.at.Truncate(15 * time.Minute).Format(time.RFC3339), e.campaign, e.action}] += int64(e.credits)
			total += int64(e.credits)
		}
	}
	last := ""
	for _, line := range strings.Split(strings.TrimSpace(string(h.exportOf(asked+"&format=ndjson"))), "\n") {
		var row struct {
			Start, Credits, Action string
			Campaign               string `json:"campaign_id"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Start < last {
			t.Fatalf("%v in %s after %s", err, line, last)
		}
		last = row.Start
		got[key{row.Start, row.Campaign, row.Action}] += micros(t, row.Credits)
	}
	for k, micro := range want {
		if micro != got[k] {
			t.Errorf("%v: %d, want %d", k, got[k], micro)
		}
	}
	rows, err := csv.NewReader(bytes.NewReader(h.exportOf(asked))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, row := range rows[1:] {
		sum += micros(t, row[4])
	}
	if sum != total {
		t.Errorf("the file adds up to %d, want %d", sum, total)
	}
	if got := h.parquet(h.exportOf(asked+"&format=parquet"), usageColumns, "sum(credits) * 1000000, toInt64(sum(events)), count()"); got[0] != fmt.Sprintf("%d\t%d\t%d", total, countIn(events, from, to), len(rows)-1) {
		t.Errorf("parquet has %q", got)
	}

	items := h.wholeHistory(url.Values{})
	lines := strings.Split(strings.TrimSpace(string(h.exportOf("dataset=history&format=ndjson"))), "\n")
	rows, err = csv.NewReader(bytes.NewReader(h.exportOf("dataset=history"))).ReadAll()
	if err != nil || len(lines) != len(items) || len(rows) != len(items)+1 {
		t.Fatalf("%d lines, %d rows of csv, %d items, %v", len(lines), len(rows), len(items), err)
	}
	columnar := h.parquet(h.exportOf("dataset=history&format=parquet"), historyColumns, "entry_id, type, balance_after, change")
	for i, item := range items {
		var line queryapi.HistoryItem
		if err := json.Unmarshal([]byte(lines[i]), &line); err != nil || fmt.Sprint(text(line)) != fmt.Sprint(text(item)) {
			t.Fatalf("%v: line %d is %s", err, i, lines[i])
		}
		if rows[i+1][0] != item.EntryID || rows[i+1][5] != string(item.BalanceAfter) {
			t.Fatalf("row %d is %q", i, rows[i+1])
		}
		if want := fmt.Sprintf("%s\t%s\t%s\t%s", item.EntryID, item.Type, item.BalanceAfter, item.Change); columnar[i] != want {
			t.Fatalf("parquet row %d is %q, want %q", i, columnar[i], want)
		}
	}
	if !strings.Contains(string(h.exportOf("dataset=history")), ",'=g1,") {
		t.Error("a formula is not escaped")
	}
}

// wholeHistory is all pages of GET history.
func (h *harness) wholeHistory(asked url.Values) (items []queryapi.HistoryItem) {
	h.t.Helper()
	asked.Set("limit", "100")
	for {
		var page queryapi.History
		h.get("/v1/workspaces/ws_a/history", asked, &page)
		items = append(items, page.Items...)
		if page.NextCursor == nil {
			return items
		}
		asked.Set("cursor", *page.NextCursor)
	}
}

// TestExportHasOnlyWhatIsAskedFor compares files with a filter with the same
// filter of the endpoint, and of all rows.
func TestExportHasOnlyWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Minute)
	h := newHarness(t, now)
	events := randomEvents("ws_a", now, 500)
	h.insert(events...)
	expires := now.Add(-24 * time.Hour)
	h.grant("ws_a", "g1", 5_000_000, now.Add(-30*24*time.Hour), &expires)
	campaign := events[0].campaign
	all := h.wholeHistory(url.Values{"view": {"events"}})
	for _, asked := range []url.Values{
		{"campaign_id": {campaign}, "type": {"consumption"}, "tz": {"Asia/Kolkata"}},
		{"campaign_id": {""}, "view": {"events"}},
		{"type": {"grant,expiry"}},
		{"view": {"events"}, "campaign_id": {campaign}, "from": {now.Add(-200 * 24 * time.Hour).Format(time.RFC3339)}, "to": {now.Format(time.RFC3339)}},
	} {
		lines := strings.Split(strings.TrimSpace(string(h.exportOf("dataset=history&format=ndjson&"+asked.Encode()))), "\n")
		want := h.wholeHistory(maps.Clone(asked))
		if len(want) == 0 || len(lines) != len(want) || len(want) >= len(all) {
			t.Fatalf("%v: %d lines, want %d of %d", asked, len(lines), len(want), len(all))
		}
		for i, item := range want {
			var line queryapi.HistoryItem
			if err := json.Unmarshal([]byte(lines[i]), &line); err != nil || text(line) != text(item) {
				t.Fatalf("%v: %v: line %d is %s, want %s", asked, err, i, lines[i], text(item))
			}
		}
	}
	for _, only := range []string{campaign, ""} {
		n := 0
		from := now.Add(-200 * 24 * time.Hour)
		for _, e := range events {
			if e.campaign == only && !e.at.Before(from) && e.at.Before(now) {
				n++
			}
		}
		asked := url.Values{"dataset": {"events"}, "campaign_id": {only}, "from": {from.Format(time.RFC3339)}, "to": {now.Format(time.RFC3339)}}
		rows, err := csv.NewReader(bytes.NewReader(h.exportOf(asked.Encode()))).ReadAll()
		if err != nil || n == 0 || len(rows) != n+1 {
			t.Fatalf("%q: %v, %d rows, want %d", only, err, len(rows)-1, n)
		}
		for _, row := range rows[1:] {
			if row[2] != only {
				t.Fatalf("%q among those of %q", row[2], only)
			}
		}
	}
}

func text(item queryapi.HistoryItem) string { b, _ := json.Marshal(item); return string(b) }

func countIn(events []event, from, to time.Time) (n int) {
	for _, e := range events {
		if !e.at.Before(from) && e.at.Before(to) {
			n++
		}
	}
	return n
}

func micros(t testing.TB, decimal string) int64 {
	t.Helper()
	value, ok := new(big.Rat).SetString(decimal)
	if !ok {
		t.Fatalf("%q is no decimal", decimal)
	}
	value.Mul(value, big.NewRat(1_000_000, 1))
	if !value.IsInt() {
		t.Fatalf("%q is finer than a micro-credit", decimal)
	}
	return value.Num().Int64()
}

func TestExportIsRefusedBeforeItBegins(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "cmp_1", "", now.Add(-time.Hour), 1})
	const base = "/v1/workspaces/ws_a/export?"
	for query, code := range map[string]queryapi.Code{
		"":                          queryapi.CodeInvalidParameter,
		"dataset=balances":          queryapi.CodeInvalidParameter,
		"dataset=usage&format=xlsx": queryapi.CodeInvalidParameter,
		"dataset=usage&from=2026-11-01T00:05:00Z":  queryapi.CodeInvalidParameter,
		"dataset=events&view=events":               queryapi.CodeInvalidParameter,
		"dataset=events&type=grant":                queryapi.CodeInvalidParameter,
		"dataset=events&tz=UTC":                    queryapi.CodeInvalidParameter,
		"dataset=usage&campaign_id=cmp_1":          queryapi.CodeInvalidParameter,
		"dataset=history&bucket=1h":                queryapi.CodeInvalidParameter,
		"dataset=history&type=refund":              queryapi.CodeInvalidParameter,
		"dataset=history&tz=Mars/Base":             queryapi.CodeInvalidParameter,
		"dataset=events&from=2020-01-01T00:00:00Z": queryapi.CodeResolutionUnavailable,
	} {
		if p := h.problemOf(h.do(http.MethodGet, base+query)); p.Code != code {
			t.Errorf("%q: %+v, want %s", query, p, code)
		}
	}
	// More events than a file may have, as the rollups say.
	h.exec("INSERT INTO usage_15m_total VALUES ('ws_a', '2026-11-10 00:00:00', 1, 0, 30000000)")
	if p := h.problemOf(h.do(http.MethodGet, base+"dataset=events&from=2026-11-01T00:00:00Z&to=2026-11-21T00:00:00Z")); p.Code != queryapi.CodeRangeTooLarge {
		t.Errorf("%+v", p)
	}
	without := h.serverWith(func(c *queryapi.Config) { c.StoreHTTP, c.Registerer = queryapi.StoreHTTP{}, prometheus.NewRegistry() })
	if p := h.problemOf(h.doOn(without, http.MethodGet, base+"dataset=usage")); p.Code != queryapi.CodeExportUnavailable || p.Status != 503 {
		t.Errorf("%+v", p)
	}
	for _, change := range []func(*queryapi.StoreHTTP){
		func(s *queryapi.StoreHTTP) { s.URL = "http://127.0.0.1:1" }, func(s *queryapi.StoreHTTP) { s.Database = "nowhere" },
	} {
		store := h.store
		change(&store)
		broken := h.serverWith(func(c *queryapi.Config) { c.StoreHTTP, c.Registerer = store, prometheus.NewRegistry() })
		r := h.doOn(broken, http.MethodGet, base+"dataset=usage")
		if p := h.problemOf(r); p.Status < 500 || strings.Contains(string(r.body), "nowhere") || strings.Contains(string(r.body), "127.0.0.1") {
			t.Errorf("%s", r.body)
		}
	}
}

// bulk gives ws_a a million events.
func (h *harness) bulk(n int) {
	h.exec(fmt.Sprintf(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, actor, credits_micro, kafka_time)
		SELECT 'ws_a', toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + number * 0.08, toString(generateUUIDv7()), concat('cmp_', toString(number %% 100)), 'lead', 'agent:alice', 1 + number %% 7, now64(3) FROM numbers(%d)`, n))
}

const bulkAsked = "dataset=events&from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z"

// TestExportOfAMillionEventsIsWholeInConstantMemory in every format.
func TestExportOfAMillionEventsIsWholeInConstantMemory(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	const n = 1_000_000
	h.bulk(n)
	want := int64(0)
	for i := range n {
		want += 1 + int64(i)%7
	}
	server := httptest.NewServer(h.server.Handler())
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	open := func(format string) io.ReadCloser {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/workspaces/ws_a/export?format="+format+"&"+bulkAsked, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+testToken)
		response, err := client.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
		return response.Body
	}
	// What is live at its largest, beside what was before: server and reader.
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak, began := uint64(0), time.Now()
	look := func(i int) {
		if i%100_000 == 50_000 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			peak = max(peak, during.HeapAlloc)
		}
	}
	count, sum := 0, int64(0)
	body := open("csv")
	rows := csv.NewReader(body)
	rows.ReuseRecord = true
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if count++; count > 1 {
			sum += micros(t, row[6])
		}
		look(count)
	}
	_ = body.Close()
	if count != n+1 || sum != want {
		t.Errorf("csv: %d rows that add up to %d, want %d", count-1, sum, want)
	}
	t.Logf("csv in %v", time.Since(began).Round(time.Millisecond))
	began, count, sum = time.Now(), 0, 0
	body = open("ndjson")
	lines := json.NewDecoder(body)
	for lines.More() {
		var row struct{ Credits string }
		if err := lines.Decode(&row); err != nil {
			t.Fatal(err)
		}
		count, sum = count+1, sum+micros(t, row.Credits)
		look(count)
	}
	_ = body.Close()
	if count != n || sum != want {
		t.Errorf("ndjson: %d rows that add up to %d, want %d", count, sum, want)
	}
	t.Logf("ndjson in %v", time.Since(began).Round(time.Millisecond))
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	} else {
		t.Logf("the heap grew by %d KiB at most", grown>>10)
	}
	began = time.Now()
	body = open("parquet")
	file, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
	t.Logf("parquet of %d bytes in %v", len(file), time.Since(began).Round(time.Millisecond))
	if got := h.parquet(file, eventColumns, "count(), sum(credits) * 1000000"); got[0] != fmt.Sprintf("%d\t%d", n, want) {
		t.Errorf("parquet has %q, want %d that add up to %d", got, n, want)
	}
}

// TestExportThatFailsMidwayIsBrokenOffAndSaysNothingOfTheInside and a client
// that goes away ends the statement.
func TestExportThatFailsMidwayIsBrokenOffAndSaysNothingOfTheInside(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	h.bulk(300_000)
	server := httptest.NewServer(h.server.Handler())
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	running := func(ctx context.Context) (ids []string) {
		rows, err := h.conn.Query(ctx, `SELECT query_id FROM system.processes WHERE query LIKE '%FORMAT %' AND current_database = ? AND interface = 2`, h.store.Database)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	begin := func(ctx context.Context) io.ReadCloser {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/workspaces/ws_a/export?format=ndjson&"+bulkAsked, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+testToken)
		response, err := client.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		return response.Body
	}
	// Not read, so that it is under way: the kernel holds some megabytes of 60.
	body := begin(t.Context())
	ids := running(t.Context())
	if len(ids) != 1 {
		t.Fatalf("%d statements run, want the one of the export", len(ids))
	}
	// ClickHouse may answer only when the statement's blocked write is over.
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		if err := h.conn.Exec(context.Background(), "KILL QUERY WHERE query_id = ? ASYNC", ids[0]); err != nil {
			t.Errorf("cannot kill: %v", err)
		}
	}()
	storetest.Wait(t, time.Minute, "the statement is marked as killed", func() (bool, error) {
		var marked uint64
		err := h.conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query_id = ? AND is_cancelled = 1", ids[0]).Scan(&marked)
		return marked == 1 || len(running(t.Context())) == 0, err
	})
	rest, err := io.ReadAll(body)
	<-killed
	if err == nil {
		t.Errorf("a file that was cut off looks whole after %d bytes", len(rest))
	}
	if bytes.Contains(rest, []byte("xception")) {
		t.Errorf("it ends with %q", rest[len(rest)-300:])
	}
	_ = body.Close()

	ctx, cancel := context.WithCancel(t.Context())
	body = begin(ctx)
	if len(running(t.Context())) != 1 {
		t.Error("no statement runs")
	}
	cancel()
	_ = body.Close()
	storetest.Wait(t, time.Minute, "the statement of a client that is gone has ended", func() (bool, error) { return len(running(t.Context())) == 0, nil })
}
