package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// expected is what all good records of a workspace add up to, in micro-credits.
type expected struct{ used, granted int64 }

// goodRecords makes records that count, in every form that is allowed.
type goodRecords struct {
	bad        *badRecords // for its clock and places
	next       int
	workspaces map[string]*expected
}

// goodAmounts are ways to write an amount, and what it is in micro-credits.
var goodAmounts = []struct {
	text  string // as JSON
	micro int64
}{
	{`"1"`, 1_000_000}, {`1`, 1_000_000}, {`2.5`, 2_500_000}, {`"12.5"`, 12_500_000}, {`"1e1"`, 10_000_000}, {`1E2`, 100_000_000},
	{`"0.000001"`, 1}, {`1e-6`, 1}, {`"-3"`, -3_000_000}, {`-0.5`, -500_000}, {`0`, 0}, {`1000000`, 1_000_000_000_000},
	{`"-1000000"`, -1_000_000_000_000}, {`"1.500000000"`, 1_500_000},
}

func (g *goodRecords) of(workspace string) *expected {
	if g.workspaces[workspace] == nil {
		g.workspaces[workspace] = &expected{}
	}
	return g.workspaces[workspace]
}

// record makes the next one: mostly consumption, each time in another form.
func (g *goodRecords) record() sent {
	g.next++
	workspace := workspaceOf(g.next / 3)
	id := fmt.Sprintf("good-%d", g.next)
	at := g.bad.now.Add(-time.Duration(g.next) * time.Second).Format(time.RFC3339Nano)
	place := sent{key: workspace, partition: schemas.Partition([]byte(workspace), g.bad.partitions), claim: "a good record"}
	switch g.next % 10 {
	case 0:
		place.topic = homeOf(granted)
		place.value = fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"type":"credits.granted","time":%q,"data":{"workspace_id":%q,"grant_id":%q,"credits":"5000.25","class":"paid","effective_at":%q}}`,
			id, at, workspace, id, at)
		g.of(workspace).granted += 5_000_250_000
		return place
	case 5:
		place.topic = homeOf(updated)
		place.value = fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"type":"campaign.updated","time":%q,"data":{"workspace_id":%q,"campaign_id":"cmp_good","name":"Good","status":"PAUSED","quota":null}}`,
			id, at, workspace)
		return place
	}
	amount := goodAmounts[g.next%len(goodAmounts)]
	want := g.of(workspace)
	want.used += amount.micro
	place.topic = consumption
	data := fmt.Sprintf(`{"workspace_id":%q,"campaign_id":"cmp_good","credits":%s,"action":"ok"}`, workspace, amount.text)
	event := `{"specversion":"1.0","id":"` + id + `","source":"/good","type":"credits.consumed","time":"` + at + `","data":` + data + `}`
	switch g.next % 7 {
	case 0: // extra fields everywhere, attributes with a list in an extension
		event = strings.Replace(event, `{"specversion"`, `{"extension":[1,{"x":null}],"datacontenttype":"application/json","specversion"`, 1)
		event = strings.Replace(event, `"data":{`, `"data":{"more":{"deep":[]},`, 1)
	case 1: // null and empty optional fields
		event = strings.Replace(event, `"campaign_id":"cmp_good"`, `"campaign_id":null,"actor":"","attributes":null`, 1)
	case 2: // white space and escapes
		event = " \n" + strings.ReplaceAll(event, ",", " ,\t") + "\r\n"
		event = strings.Replace(event, "ws_mixed", `ws\u005fmixed`, 1)
	case 3: // binary mode
		for _, header := range []string{"specversion:1.0", "id:" + id, "source:/good", "type:credits.consumed", "time:" + at} {
			name, value, _ := strings.Cut(header, ":")
			place.headers = append(place.headers, kafka.Header{Key: "ce_" + name, Value: []byte(value)})
		}
		place.headers = append(place.headers, kafka.Header{Key: "content-type", Value: []byte("application/json")})
		event = data
	case 4: // another key than the workspace, in the right partition
		place.key = "some other key"
	case 5: // a zone, and digits beyond the millisecond
		zoned := g.bad.now.Add(-time.Duration(g.next) * time.Second).In(time.FixedZone("", 5*3600+1800)).Format("2006-01-02T15:04:05.123456789Z07:00")
		event = strings.Replace(event, at, zoned, 1)
	}
	place.value = []byte(event)
	return place
}

// mix is 1,000 bad records of every code between as many good ones, in random
// order, except that the records of a unit stay in order.
func mix(bad *badRecords, good *goodRecords) (units [][]sent) {
	const wanted = 1000
	count := 0
	for round := 0; count < wanted; round++ {
		all := slices.Concat(bad.malformed(), bad.misplaced(), bad.incomplete(), bad.invalid(), bad.untimely(), bad.lost(), bad.large())
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if round == 0 { // every variant is there at least once
			for pair := range slices.Chunk(bad.conflicts(), 2) {
				units = append(units, pair)
				count++
			}
		}
		for _, record := range all {
			if count < wanted {
				units = append(units, []sent{record})
				count++
			}
		}
	}
	for range wanted {
		units = append(units, []sent{good.record()})
	}
	rand.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	return units
}

// place is where a record is in Kafka.
type place struct {
	topic     string
	partition int
	offset    int64
}

// produceAll sends records in order, some hundreds of a partition at a time,
// and returns where each one is.
func produceAll(t *testing.T, client *kafka.Client, units [][]sent) map[place]sent {
	t.Helper()
	lanes := map[place][]sent{}
	for _, record := range slices.Concat(units...) {
		lane := place{topic: record.topic, partition: record.partition}
		lanes[lane] = append(lanes[lane], record)
	}
	placed := map[place]sent{}
	for lane, records := range lanes {
		for batch := range slices.Chunk(records, 100) {
			var wire []kafka.Record
			for _, record := range batch {
				wire = append(wire, kafka.Record{
					Key: kafka.NewBytes([]byte(record.key)), Value: kafka.NewBytes(record.value), Headers: record.headers,
				})
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			response, err := client.Produce(ctx, &kafka.ProduceRequest{
				Topic: lane.topic, Partition: lane.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(wire...),
			})
			cancel()
			if err == nil {
				err = response.Error
			}
			if err != nil {
				t.Fatalf("cannot produce: %v", err)
			}
			for i, record := range batch {
				placed[place{lane.topic, lane.partition, response.BaseOffset + int64(i)}] = record
			}
		}
	}
	return placed
}

func TestEveryBadRecordIsRejectedWithItsReasonAndEveryGoodOneCounts(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	client, tables := s.client(), s.tables()
	bad := &badRecords{t: t, now: time.Now().UTC().Truncate(time.Millisecond), partitions: schemas.EmbeddedPartitions, epoch: 1}
	good := &goodRecords{bad: bad, workspaces: map[string]*expected{}}
	placed := produceAll(t, client, mix(bad, good))
	var total ledger
	for _, topic := range schemas.DefaultTopics().Inputs() {
		l := awaitDone(t, client, tables, topic)
		total.records += l.records
		total.inserted += l.inserted
		total.duplicates += l.duplicates
		total.rejected += l.rejected
		total.rerouted += l.rerouted
	}

	rejections := map[place]string{} // codes
	rows, err := tables.Query(t.Context(), `SELECT topic, kpart, koff, code, message, key, value, value_bytes FROM rejections`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var (
			at                        place
			partition                 uint16
			offset, size              uint64
			code, message, key, value string
		)
		if err := rows.Scan(&at.topic, &partition, &offset, &code, &message, &key, &value, &size); err != nil {
			t.Fatal(err)
		}
		at.partition, at.offset = int(partition), int64(offset)
		if rejections[at] != "" {
			t.Errorf("%v is rejected twice", at)
		}
		rejections[at] = code
		record := placed[at]
		if kept := record.value[:min(len(record.value), 64<<10)]; !bytes.Equal(kept, []byte(value)) || size != uint64(len(record.value)) {
			t.Errorf("of %q %d of %d bytes are kept, or others: %.80q", record.claim, len(value), len(record.value), value)
		}
		if message == "" || key != record.key[:min(len(record.key), 1<<10)] {
			t.Errorf("of %q the message is %q and the key %q", record.claim, message, key)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	for at, record := range placed {
		if got := rejections[at]; got != record.code {
			t.Errorf("%v: %s has the code %q instead of %q: %.300s", at, record.claim, got, record.code, record.value)
		}
		if record.code != "" {
			codes[record.code]++
		}
	}
	if want := []string{"conflict", "in_future", "invalid_field", "malformed", "misrouted", "missing_field", "too_large", "too_late", "unknown_type", "wrong_topic"}; !slices.Equal(slices.Sorted(maps.Keys(codes)), want) {
		t.Errorf("the codes %v were tried", codes)
	}
	bads := uint64(0)
	for _, n := range codes {
		bads += uint64(n)
	}
	if want := (ledger{records: uint64(len(placed)), inserted: uint64(len(placed)) - bads, rejected: bads}); total != want {
		t.Errorf("the ledgers say %+v instead of %+v", total, want)
	}

	query := span(bad.now.Add(-2*time.Hour), bad.now.Add(time.Hour))
	for workspace, want := range good.workspaces {
		balance, usage := balanceAnswer{}, usageAnswer{}
		s.api.must("workspaces/"+workspace+"/balance", nil, &balance)
		s.api.must("workspaces/"+workspace+"/usage", query, &usage)
		if got := int64(balance.Remaining); got != want.granted-want.used {
			t.Errorf("%s has %d micro-credits left instead of %d", workspace, got, want.granted-want.used)
		}
		if got := int64(usage.Total); got != want.used {
			t.Errorf("%s has used %d micro-credits instead of %d", workspace, got, want.used)
		}
		campaigns, _ := s.api.campaigns(workspace, query)
		for _, item := range campaigns.Items {
			if item.CampaignID == "cmp_good" && (item.Status == nil || *item.Status != "PAUSED") {
				t.Errorf("%s: cmp_good has the status %v", workspace, item.Status)
			}
		}
	}

	listed := map[string]int{}
	for line := range strings.Lines(mustRun(t, "rejections", "list", "--json", "--limit", "5000", "--data", s.data)) {
		var row struct{ Code string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("rejections list --json printed %q: %v", line, err)
		}
		listed[row.Code]++
	}
	if !maps.Equal(listed, codes) {
		t.Errorf("rejections list shows %v instead of %v", listed, codes)
	}
	t.Logf("%d bad and %d good records; rejected: %v", bads, uint64(len(placed))-bads, codes)
}
