package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

const importMapping = `{
  "fields": {
    "id": "{order}", "time": "{at}", "workspace_id": "{shop|slug}",
    "campaign_id": {"when": {"column": "customer", "empty": true}, "then": "", "else": "cust-{customer}"},
    "credits": "{amount}", "action": "sale"
  },
  "attributes": {"note": "{note}"}
}`

// writeFile makes a file in dir and returns its path.
func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// importRows makes a CSV of so many rows, an hour apart and until just before
// the clock of the tests.
func importRows(rows int) string {
	var b strings.Builder
	b.WriteString("order,at,shop,customer,amount,note\n")
	for i := range rows {
		at := testNow.Add(-time.Duration(rows-i) * time.Minute)
		fmt.Fprintf(&b, "o-%d,%s,Shop %d,%s,%d.25,\"a, \"\"b\"\"\"\n", i, at.Format(time.RFC3339), i%7, strings.Repeat("9", i%3), i%100-20)
	}
	return b.String()
}

func readState(t *testing.T, data string) importState {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "imports", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d states of imports, %v; want 1", len(files), err)
	}
	state, known, err := readImportState(files[0])
	if err != nil || !known {
		t.Fatalf("known %v, %v", known, err)
	}
	return state
}

func TestImportSendsEachRowAsAnEvent(t *testing.T) {
	broker, dir := storetest.Kafka(t, storetest.KafkaOptions{}), t.TempDir()
	mappingFile := writeFile(t, dir, "mapping.json", importMapping)
	file := writeFile(t, dir, "orders.csv", "\ufefforder,at,shop,customer,amount,note\no-1,2026-11-20T10:00:00Z,Shop A,7,12.5,\"a\nb\"\no-2,2026-11-21T10:00:00+01:00,Shop A,,-2,\n")
	stdout, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", broker.Addr, "--data", dir, "--mapping", mappingFile, file)
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, stdout, "2 rows sent", "10.5 credits net, 2 of them given back", "1 workspaces, 1 rows without a campaign")
	var got []string
	decodeAll(t, schemas.ConsumptionTopic, readTopic(t, broker, broker.Topics.Consumption), 4, func(record *sentRecord, ev *schemas.Event) {
		note := ""
		if len(ev.Attributes) > 0 {
			note = string(ev.Attributes[0].Value)
		}
		got = append(got, fmt.Sprintf("%s %s %s %q %s %s %q %s", ev.ID, ev.WorkspaceID, ev.Time, ev.CampaignID, ev.Credits, ev.Action, note, ev.Source))
		if !schemas.Imported(&record.Record) {
			t.Error("a record has no import header")
		}
	})
	want := []string{
		`o-1 shop-a 2026-11-20T10:00:00.000Z "cust-7" 12.5 sale "a\nb" /import`,
		`o-2 shop-a 2026-11-21T09:00:00.000Z "" -2 sale "" /import`,
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestImportReadsNDJSON(t *testing.T) {
	broker, dir := storetest.Kafka(t, storetest.KafkaOptions{}), t.TempDir()
	mappingFile := writeFile(t, dir, "mapping.json", `{"time_layout": "unix_ms", "fields": {"id": "{id}", "time": "{at}", "workspace_id": "{shop.name|lower}", "credits": "{n}", "actor": "{by}"}}`)
	file := writeFile(t, dir, "orders.ndjson", `{"id": 17, "at": 1795262400000, "shop": {"name": "Ö-A"}, "n": 1e-6, "by": null}`+"\n\n"+`{"id":"x","at":"1795262400001","shop":{"name":"B"},"n":"3","extra":[1]}`+"\n")
	_, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", broker.Addr, "--data", dir, "--mapping", mappingFile, file)
	if err == nil {
		t.Fatal("the workspace ö-a is accepted")
	}
	mustContain(t, err.Error(), "1 of 2 rows", "orders.ndjson line 1", "workspace_id", `column shop.name is "Ö-A"`)
	file = writeFile(t, dir, "orders.ndjson", strings.Replace(`{"id": 17, "at": 1795262400000, "shop": {"name": "Ö-A"}, "n": 1e-6, "by": null}`, "Ö-", "", 1))
	if _, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", broker.Addr, "--data", dir, "--mapping", mappingFile, file); err != nil {
		t.Fatal(err)
	}
	decodeAll(t, schemas.ConsumptionTopic, readTopic(t, broker, broker.Topics.Consumption), 4, func(_ *sentRecord, ev *schemas.Event) {
		if string(ev.ID) != "17" || string(ev.WorkspaceID) != "a" || ev.Credits != 1 || ev.Time != 1795262400000 || len(ev.Actor) != 0 {
			t.Errorf("the row became %+v", ev)
		}
	})
}

func TestImportSendsNothingOfAFileWithABadRow(t *testing.T) {
	dir := t.TempDir()
	mappingFile := writeFile(t, dir, "mapping.json", importMapping)
	header := "order,at,shop,customer,amount,note\n"
	for row, parts := range map[string][]string{
		"o-1,2026-11-20T10:00:00Z,A,7,1.0000001,":                     {"line 3", "credits", `column amount is "1.0000001"`, "6 decimals"},
		"o-1,2026-11-20T10:00:00Z,A,7,1000001,":                       {"line 3", "credits", `column amount is "1000001"`},
		"o-1,20.11.2026,A,7,1,":                                       {"line 3", "time", `column at is "20.11.2026"`, "time_layout"},
		",2026-11-20T10:00:00Z,A,7,1,":                                {"line 3", "id", `column order is ""`},
		"o-1,2026-11-20T10:00:00Z,,7,1,":                              {"line 3", "workspace_id", `column shop is ""`},
		"o-1,2026-11-20T10:00:00Z,A,a b,1,":                           {"line 3", "campaign_id", `column customer is "a b"`},
		"o-1,2026-11-20T10:00:00Z,A,7,1":                              {"line 3", "wrong number of fields"},
		"o-1,2024-11-20T10:00:00Z,A,7,1,":                             {"line 3", "older than raw events are kept", "--shift-to-now", "--events-ttl 0"},
		"o-1,2026-11-22T10:00:00Z,A,7,1,":                             {"line 3", "in the future"},
		"o-1,2026-11-20T10:00:00Z,A,7,1,\"an open quote":              {"line 3", "quote"},
		"o-1,2026-11-20T10:00:00Z,A,7,1," + strings.Repeat("x", 5000): {"line 3", "attributes"},
	} {
		file := writeFile(t, dir, "orders.csv", header+"o-0,2026-11-20T10:00:00Z,A,7,1,\n"+row+"\n")
		// No broker listens here: a check that sends would say so.
		_, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", "127.0.0.1:1", "--data", dir, "--mapping", mappingFile, file)
		if err == nil {
			t.Errorf("%s is accepted", row)
			continue
		}
		mustContain(t, err.Error(), parts...)
	}
	file := writeFile(t, dir, "orders.csv", "order,at,amount\n")
	if _, _, err := runTool(t.Context(), t, "import", "--data", dir, "--mapping", mappingFile, file); err == nil {
		t.Error("missing columns are accepted")
	} else {
		mustContain(t, err.Error(), `no column "shop"`, "columns are order, at, amount")
	}
}

func TestImportDryRunSendsNothing(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, dir, "orders.csv", importRows(100)+"o-1,2026-11-20T10:00:00Z,Shop 1,,1,\n")
	stdout, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", "127.0.0.1:1", "--data", dir, "--mapping", writeFile(t, dir, "mapping.json", importMapping), "--dry-run", file)
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, stdout, "101 rows would be sent", "1 rows repeat the id of an earlier row")
	if _, err := os.Stat(filepath.Join(dir, "imports")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dry run left a state: %v", err)
	}
}

// An import that is killed at any point goes on where it was; together the runs
// send every row, with the same content, and few of them twice.
func TestImportGoesOnWhereItStopped(t *testing.T) {
	const rows = 60_000
	broker, dir := storetest.Kafka(t, storetest.KafkaOptions{}), t.TempDir()
	mappingFile := writeFile(t, dir, "mapping.json", importMapping)
	file := writeFile(t, dir, "orders.csv", importRows(rows))
	// The broker takes a few batches, then the run is interrupted while it
	// holds the others back.
	ctx, interrupt := context.WithCancel(t.Context())
	var requests atomic.Int64
	var resumed atomic.Bool
	broker.Cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster.KeepControl()
		if resumed.Load() || requests.Add(1) <= 6 {
			return nil, nil, false
		}
		interrupt()
		return nil, errors.New("the broker is away"), true
	})
	args := []string{"import", "--kafka-brokers", broker.Addr, "--data", dir, "--mapping", mappingFile, file}
	_, _, err := runTool(ctx, t, args...)
	if err == nil {
		t.Fatal("an interrupted import reports success")
	}
	mustContain(t, err.Error(), "the same command goes on from there")
	state := readState(t, dir)
	if state.AckedRows <= 0 || state.AckedRows >= rows {
		t.Fatalf("%d rows are acknowledged, want some of %d", state.AckedRows, rows)
	}
	before := recordsOf(t, broker, broker.Topics.Consumption)
	resumed.Store(true)
	stdout, _, err := runTool(t.Context(), t, args...)
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, stdout, "had been sent by a former run")
	records := readTopic(t, broker, broker.Topics.Consumption)
	if again := int64(len(records)) - before; again > rows-state.AckedRows {
		t.Errorf("%d rows were sent by the second run, %d were missing", again, rows-state.AckedRows)
	}
	values := map[string]string{}
	decodeAll(t, schemas.ConsumptionTopic, records, 4, func(record *sentRecord, ev *schemas.Event) {
		if known, ok := values[string(ev.ID)]; ok && known != string(record.Value) {
			t.Fatalf("an id has two contents:\n%s\n%s", known, record.Value)
		}
		values[string(ev.ID)] = string(record.Value)
	})
	if len(values) != rows {
		t.Errorf("%d distinct rows arrived of %d", len(values), rows)
	}
	if state := readState(t, dir); state.AckedRows != rows {
		t.Errorf("the state says %d rows, want %d", state.AckedRows, rows)
	}
}

func TestImportKeepsItsShift(t *testing.T) {
	broker, dir := storetest.Kafka(t, storetest.KafkaOptions{}), t.TempDir()
	mappingFile := writeFile(t, dir, "mapping.json", importMapping)
	file := writeFile(t, dir, "orders.csv", "order,at,shop,customer,amount,note\no-1,2011-12-09T12:50:00Z,A,7,1,\no-2,2011-12-01T12:50:00Z,A,7,1,\n")
	args := []string{"import", "--kafka-brokers", broker.Addr, "--data", dir, "--mapping", mappingFile}
	for range 2 {
		stdout, _, err := runTool(t.Context(), t, append(args, "--shift-to-now", file)...)
		if err != nil {
			t.Fatal(err)
		}
		// 2026-11-22T09:30 is 5,461 days and some hours after the last time.
		mustContain(t, stdout, "moved by 5461 days", "2026-11-21T12:50:00Z")
	}
	values := map[string]bool{}
	for _, record := range readTopic(t, broker, broker.Topics.Consumption) {
		values[string(record.Value)] = true
	}
	if len(values) != 2 {
		t.Errorf("two imports made %d different records, want 2", len(values))
	}
	// A state from another day holds.
	state := readState(t, dir)
	state.ShiftDays = 5000
	if err := writeJSON(importStatePath(dir, state.ImportID), state); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runTool(t.Context(), t, append(args, "--shift-to-now", "--events-ttl", "0", file)...); err != nil {
		t.Fatal(err)
	}
	if kept := readState(t, dir).ShiftDays; kept != 5000 {
		t.Errorf("the shift became %d days", kept)
	}
	for _, refused := range [][]string{
		{"--shift-days", "5001", file},
		{"--events-ttl", "0", file}, // no shift at all
	} {
		_, _, err := runTool(t.Context(), t, append(args, refused...)...)
		if err == nil {
			t.Errorf("%v is accepted for an import with another shift", refused)
			continue
		}
		mustContain(t, err.Error(), "was made with a shift of 5000 days", "--shift-days 5000")
	}
	other := writeFile(t, dir, "other.json", strings.Replace(importMapping, `"sale"`, `"sold"`, 1))
	_, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", broker.Addr, "--data", dir, "--mapping", other, "--shift-to-now", "--events-ttl", "0", file)
	if err == nil {
		t.Fatal("another mapping is accepted for an import that was made")
	}
	mustContain(t, err.Error(), "another mapping")
}

// retailFile returns the real data set; it lies beside the repository.
func retailFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "online-retail.csv.gz")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true and the retail data set is missing: %v", err)
		}
		t.Skipf("SKIPPED: the retail data set is missing: %v", err)
	}
	return path
}

// The whole data set through the mapping in docs/mappings, compared with a
// naive reading of its description.
func TestImportOfTheRetailDataSet(t *testing.T) {
	file, dir := retailFile(t), t.TempDir()
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	started := time.Now()
	stdout, _, err := runTool(t.Context(), t, "import", "--kafka-brokers", broker.Addr, "--data", dir,
		"--mapping", filepath.Join("..", "..", "docs", "mappings", "online-retail.json"), "--shift-to-now", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\ntook %s", stdout, time.Since(started))
	mustContain(t, stdout, "541,909 rows sent", "5176450 credits net", "38 workspaces", "135,080 rows without a campaign")

	shift := time.Duration(readState(t, dir).ShiftDays) * 24 * time.Hour
	want := retailOracle(t, file, shift)
	decodeAll(t, schemas.ConsumptionTopic, readTopic(t, broker, broker.Topics.Consumption), 4, func(_ *sentRecord, ev *schemas.Event) {
		key := string(ev.WorkspaceID) + "/" + string(ev.ID)
		got := fmt.Sprintf("%s %s %s %s", ev.CampaignID, ev.Action, ev.Credits, ev.Time)
		if want[key] != got {
			t.Fatalf("%s is %q, want %q", key, got, want[key])
		}
		delete(want, key)
	})
	if len(want) > 0 {
		t.Errorf("%d rows are missing", len(want))
	}
}

// retailOracle reads the file as its README describes it.
func retailOracle(t *testing.T, path string, shift time.Duration) map[string]string {
	t.Helper()
	compressed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	reader := csv.NewReader(content)
	reader.ReuseRecord = true
	if _, err := reader.Read(); err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		// invoice, line, stock_code, quantity, invoiced_at, unit_price, customer_id, country
		quantity, err := strconv.Atoi(row[3])
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, row[4])
		if err != nil {
			t.Fatal(err)
		}
		action, campaign := "sale", ""
		if quantity < 0 {
			action = "return"
		}
		if row[6] != "" {
			campaign = "cust-" + row[6]
		}
		workspace := strings.ReplaceAll(strings.ToLower(row[7]), " ", "-")
		rows[workspace+"/"+row[0]+"-"+row[1]] = fmt.Sprintf("%s %s %d %s", campaign, action, quantity, schemas.MillisOf(at.Add(shift)))
	}
}

func TestProgressText(t *testing.T) {
	for want, got := range map[string]string{
		"x:  50.0 %, 1,500 of 3,000, 500/s, 3s left":                progressText("x", 1500, 3000, 1500, 3*time.Second, false),
		"x: [###############...............]  50.0 %, 5 of 10, 0/s": progressText("x", 5, 10, 0, time.Second, true),
		"x: 1,234,567, 1,234,567/s":                                 progressText("x", 1234567, 0, 1234567, time.Second, false),
		"x: 100.0 %, 11 of 10, 11/s":                                progressText("x", 11, 10, 11, time.Second, false),
	} {
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestStateOfAnImportSurvivesAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b.json")
	for i := range 3 {
		if err := writeJSON(path, importState{AckedRows: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	// A kill before the rename leaves a part of a new file beside the old one.
	if err := os.WriteFile(path+".new", []byte(`{"acked_`), 0o600); err != nil {
		t.Fatal(err)
	}
	var state importState
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &state); err != nil || state.AckedRows != 2 {
		t.Errorf("the state is %+v, %v", state, err)
	}
}
