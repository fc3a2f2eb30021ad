package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/contracttest"
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// stack is `drawdown up` with a data directory and ports of its own, which
// stay the same over restarts.
type stack struct {
	t       testing.TB
	data    string
	flags   []string
	broker  string
	ops     string
	up      *program // the last run
	api     *api
	readyIn time.Duration // of the last start
}

// portFlags are the ports of up by what listens there.
var portFlags = []string{"--api-listen", "--ops-listen", "--kafka-listen", "--clickhouse-listen", "--clickhouse-http-listen"}

// newStack prepares a stack with further flags and starts nothing.
func newStack(t testing.TB, flags ...string) *stack {
	t.Helper()
	s := &stack{t: t, data: filepath.Join(storetest.Dir(t), "data")}
	s.flags = []string{"--data", s.data}
	for _, flag := range portFlags {
		addr := storetest.FreeAddr(t)
		s.flags = append(s.flags, flag, addr)
		switch flag {
		case "--api-listen":
			s.api = newAPI(t, "http://"+addr)
		case "--ops-listen":
			s.ops = addr
		case "--kafka-listen":
			s.broker = addr
		}
	}
	s.flags = append(s.flags, flags...)
	return s
}

// startStack starts a stack and waits until it is ready.
func startStack(t testing.TB, flags ...string) *stack {
	t.Helper()
	s := newStack(t, flags...)
	s.start()
	return s
}

// start starts up and waits until it is ready.
func (s *stack) start() {
	s.t.Helper()
	s.launch()
	s.awaitReady()
}

// launch starts up and does not wait.
func (s *stack) launch() {
	s.t.Helper()
	s.up = start(s.t, append([]string{"up"}, s.flags...)...)
}

// awaitReady waits until /readyz says so and reads the token.
func (s *stack) awaitReady() {
	s.t.Helper()
	awaitReady(s.t, s.up, s.ops)
	s.readyIn = time.Since(s.up.StartedAt)
	s.api.token = s.access().Token
}

// access is dev.json.
func (s *stack) access() (access struct{ URL, Token string }) {
	s.t.Helper()
	readJSON(s.t, filepath.Join(s.data, "dev.json"), &access)
	return access
}

// importFlags send to this stack.
func (s *stack) importFlags() []string {
	return []string{"--data", s.data, "--kafka-brokers", s.broker}
}

// client talks to the stack's Kafka.
func (s *stack) client() *kafka.Client { return kafkaClient(s.t, s.broker) }

func kafkaClient(t testing.TB, broker string) *kafka.Client {
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(broker), Transport: transport, Timeout: 30 * time.Second}
}

// tables opens the stack's ClickHouse.
func (s *stack) tables() driver.Conn {
	s.t.Helper()
	var access struct{ Addr, User, Password string }
	readJSON(s.t, filepath.Join(s.data, "clickhouse.json"), &access)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{access.Addr},
		Auth: clickhouse.Auth{Database: "drawdown", Username: access.User, Password: access.Password},
	})
	if err != nil {
		s.t.Fatalf("cannot open ClickHouse: %v", err)
	}
	s.t.Cleanup(func() { _ = conn.Close() }) // a killed server leaves broken ones
	return conn
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("cannot read %s: %v", path, err)
	}
}

// awaitReady waits until the program whose ops port this is says it is ready.
func awaitReady(t testing.TB, p *program, ops string) {
	t.Helper()
	storetest.Wait(t, readyWithin, "/readyz of "+p.Name()+" says yes", func() (bool, error) {
		if !p.Running() {
			return false, fmt.Errorf("it exited with %d: %s", p.Wait(), p.Stderr.Tail(2000))
		}
		return storetest.Probe(ops, "readyz") == nil, nil
	})
}

// api asks the HTTP API.
type api struct {
	t      testing.TB
	url    string
	token  string
	client http.Client
}

func newAPI(t testing.TB, address string) *api {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &api{t: t, url: address, client: http.Client{Timeout: time.Minute, Transport: transport}}
}

// errStatus is an answer other than 200.
type errStatus struct {
	status int
	body   string
}

func (e *errStatus) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.body) }

// get asks for /v1/<path> and decodes the answer.
func (a *api) get(path string, query url.Values, into any) error {
	address := a.url + "/v1/" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err == nil {
		err = asDocumented(request, response, body)
	}
	if err == nil && response.StatusCode != http.StatusOK {
		err = &errStatus{status: response.StatusCode, body: string(body)}
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return fmt.Errorf("GET %s: %w", address, err)
	}
	return nil
}

// contract is the document that every answer is held to.
var contract = sync.OnceValues(func() (*contracttest.Contract, error) {
	document, err := queryapi.OpenAPI()
	if err != nil {
		return nil, err
	}
	return contracttest.New(document)
})

// asDocumented is an error if the document does not allow an answer.
func asDocumented(request *http.Request, response *http.Response, body []byte) error {
	c, err := contract()
	if err != nil {
		return err
	}
	return c.Check(request.Method, request.URL.RequestURI(), response.StatusCode, response.Header, body)
}

// must is get for what has to be answered.
func (a *api) must(path string, query url.Values, into any) {
	a.t.Helper()
	if err := a.get(path, query, into); err != nil {
		a.t.Fatal(err)
	}
}

// isStatus says whether the API answered with this status.
func isStatus(err error, status int) bool {
	var answer *errStatus
	return errors.As(err, &answer) && answer.status == status
}

// The parts of the API's answers that are looked at.
type (
	usagePoint struct {
		Start, End       time.Time
		Credits, Refunds amount
		Events           int64
		Complete         bool
	}
	usageSeries struct {
		Key    string
		Total  amount
		Points []usagePoint
	}
	usageAnswer struct {
		Total  amount
		Series []usageSeries
		Other  *usageSeries
	}
	balanceAnswer struct {
		Remaining, Allocated, Used, Overdraft amount
		Grants                                []struct {
			GrantID         string `json:"grant_id"`
			Credits, Status string
		}
		Freshness struct{ Watermark *time.Time }
	}
	campaignItem struct {
		CampaignID  string `json:"campaign_id"`
		Name        *string
		Status      *string
		Used        amount
		QuotaUsed   amount     `json:"quota_used"`
		LastEventAt *time.Time `json:"last_event_at"`
	}
	campaignUsage struct {
		Used   amount
		Events int64
	}
	campaignsAnswer struct {
		Items        []campaignItem
		NextCursor   *string `json:"next_cursor"`
		Unattributed campaignUsage
		Total        campaignUsage
	}
)

// amount is a decimal string of the API in micro-credits, exactly.
type amount int64

// UnmarshalJSON reads a decimal string.
func (a *amount) UnmarshalJSON(text []byte) error {
	var decimal string
	if err := json.Unmarshal(text, &decimal); err != nil {
		return err
	}
	micro, err := microsOf(decimal)
	*a = amount(micro)
	return err
}

func microsOf(decimal string) (int64, error) {
	value, ok := new(big.Rat).SetString(decimal)
	if !ok {
		return 0, fmt.Errorf("%q is no decimal", decimal)
	}
	value.Mul(value, big.NewRat(1_000_000, 1))
	if !value.IsInt() || !value.Num().IsInt64() {
		return 0, fmt.Errorf("%q is finer than a micro-credit or too large", decimal)
	}
	return value.Num().Int64(), nil
}

// span is the query of a range, in whole milliseconds.
func span(from, to time.Time) url.Values {
	text := func(at time.Time) []string {
		return []string{at.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)}
	}
	return url.Values{"from": text(from), "to": text(to)}
}

// with adds parameters to a copy of a query.
func with(query url.Values, pairs ...string) url.Values {
	full := url.Values{}
	for name, values := range query {
		full[name] = values
	}
	for pair := range slices.Chunk(pairs, 2) {
		full.Set(pair[0], pair[1])
	}
	return full
}

// campaigns reads all pages.
func (a *api) campaigns(workspace string, query url.Values) (all campaignsAnswer, pages int) {
	a.t.Helper()
	cursor := ""
	for {
		pages++
		page := campaignsAnswer{}
		asked := query
		if cursor != "" {
			asked = with(query, "cursor", cursor)
		}
		a.must("workspaces/"+workspace+"/campaigns", asked, &page)
		all.Items = append(all.Items, page.Items...)
		all.Total, all.Unattributed = page.Total, page.Unattributed
		if page.NextCursor == nil {
			return all, pages
		}
		cursor = *page.NextCursor
	}
}

// ledger is what the batches of the consumption topic add up to.
type ledger struct {
	records, inserted, duplicates, rejected, rerouted uint64
}

func readLedger(ctx context.Context, conn driver.Conn, topic string) (l ledger, err error) {
	err = conn.QueryRow(ctx,
		`SELECT sum(records), sum(inserted), sum(duplicates), sum(rejected), sum(rerouted) FROM ingest_batches WHERE topic = ?`, topic).
		Scan(&l.records, &l.inserted, &l.duplicates, &l.rejected, &l.rerouted)
	return l, err
}

// awaitDone waits until every offset of a topic that Kafka has now, and what of
// them is rerouted within the topic, is in the ledger of batches, and returns
// what the ledger says then. Later ones are not waited for: they may come all the
// time. A ClickHouse that is away for a moment is asked again.
func awaitDone(t testing.TB, client *kafka.Client, conn driver.Conn, topic string) (l ledger) {
	t.Helper()
	var (
		ends, done map[int]int64
		last       error
	)
	defer func() {
		if t.Failed() {
			t.Logf("%s: the ledger has offsets %v of %v, error %v", topic, done, ends, last)
		}
	}()
	for range 2 { // a record is rerouted before it is in the ledger
		ends = nil
		storetest.Wait(t, settleWithin, "all of "+topic+" is done", func() (bool, error) {
			if ends == nil {
				if ends, last = logEnds(t.Context(), client, topic); last != nil {
					return false, nil
				}
			}
			if done, last = ledgerEnds(t.Context(), conn, topic); last != nil {
				return false, nil
			}
			for partition, end := range ends {
				if done[partition] < end {
					return false, nil
				}
			}
			l, last = readLedger(t.Context(), conn, topic)
			return last == nil, nil
		})
	}
	return l
}

// ledgerEnds is how many offsets of each partition of a topic are in the ledger
// of batches, which has no gaps.
func ledgerEnds(ctx context.Context, conn driver.Conn, topic string) (map[int]int64, error) {
	ends := map[int]int64{}
	err := schemas.EachRow(ctx, conn, `SELECT toInt64(kpart), toInt64(sum(records)) FROM ingest_batches WHERE topic = ? GROUP BY kpart`,
		func(scan func(...any) error) error {
			var partition, records int64
			err := scan(&partition, &records)
			ends[int(partition)] = records
			return err
		}, topic)
	return ends, err
}

// logEnds is the number of offsets of each partition of a topic.
func logEnds(ctx context.Context, client *kafka.Client, topic string) (map[int]int64, error) {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	if len(metadata.Topics) != 1 {
		return nil, fmt.Errorf("there is no topic %s", topic)
	}
	var asked []kafka.OffsetRequest
	for _, partition := range metadata.Topics[0].Partitions {
		asked = append(asked, kafka.LastOffsetOf(partition.ID))
	}
	answer, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
	if err != nil {
		return nil, err
	}
	ends := map[int]int64{}
	for _, partition := range answer.Topics[topic] {
		if partition.Error != nil {
			return nil, partition.Error
		}
		ends[partition.Partition] = partition.LastOffset
	}
	return ends, nil
}

// consumption is the name of the topic of consumption where no other is set.
const consumption = string(schemas.ConsumptionTopic)
