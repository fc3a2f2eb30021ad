package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/drawdown/drawdown/internal/oracle"
	"github.com/drawdown/drawdown/schemas"
)

const (
	// settleWithin bounds how long all that was sent takes to be counted once
	// nothing fails any more: seconds on an idle machine.
	settleWithin = 10 * time.Minute
	// agreeWithin is how long the API may still answer from what it keeps.
	agreeWithin = 10 * time.Second
)

// comparison is what a comparison found.
type comparison struct {
	figures  int
	problems []string
}

func (c *comparison) differ(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// equal compares one figure.
func (c *comparison) equal(what string, got, want any) {
	c.figures++
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.differ("%s is %v, want %v", what, got, want)
	}
}

// settle waits until every process is ready and all that Kafka holds is in the
// ledger of batches.
func (s *stack) settle(within time.Duration) error {
	began := time.Now()
	for {
		why := s.dead()
		if why != nil {
			return why
		}
		if why = s.unready(); why == nil {
			why = s.caughtUp()
		}
		if why == nil {
			return nil
		}
		if hopeless := s.parked(); hopeless != nil {
			return hopeless
		}
		if time.Since(began) > within {
			return fmt.Errorf("not settled within %s: %w", within, why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// caughtUp is nil when the ledger reaches the end of every log.
func (s *stack) caughtUp() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	ends, err := s.ends(ctx)
	if err != nil {
		return err
	}
	late, err := s.behind(ctx, ends)
	if err == nil && late != "" {
		err = errors.New(late)
	}
	return err
}

// compare compares every figure with the truth, in the order in which one is
// made of the other, so that the first problem says where it went wrong.
func (s *stack) compare(want *truth) *comparison {
	c := &comparison{}
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Minute)
	defer cancel()
	s.compareUsage(ctx, c, want)
	s.compareStates(ctx, c, want)
	s.compareLedger(ctx, c)
	began := time.Now()
	for {
		seen, asked := &comparison{}, time.Now()
		s.compareAPI(ctx, seen, want)
		if len(seen.problems) == 0 || asked.Sub(began) > agreeWithin {
			c.figures += seen.figures
			c.problems = append(c.problems, seen.problems...)
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// compareOnly compares what is counted, and not how far the ledger is: a
// partition is parked.
func (s *stack) compareOnly(want *truth) *comparison {
	c := &comparison{}
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Minute)
	defer cancel()
	s.compareUsage(ctx, c, want)
	s.compareStates(ctx, c, want)
	return c
}

func (s *stack) compareUsage(ctx context.Context, c *comparison, want *truth) {
	for _, source := range oracle.Sources {
		held, err := again(func() (oracle.Usage, error) { return source.Read(ctx, s.tables) })
		if err != nil {
			c.differ("%v", err)
			continue
		}
		of := source.Of(want.usage)
		c.figures += len(of)
		for _, difference := range held.Compare(of) {
			c.differ("%s: %s", source.Name, difference)
		}
	}
	counted, err := again(func() (n uint64, err error) {
		return n, s.tables.QueryRow(ctx, `SELECT toUInt64(count() - uniqExact(workspace_id, event_id)) FROM events`).Scan(&n)
	})
	if err != nil {
		c.differ("%v", err)
	}
	c.equal("the number of events that stand in raw more than once", counted, 0)
}

// compareStates compares what is on the two smaller topics.
func (s *stack) compareStates(ctx context.Context, c *comparison, want *truth) {
	type entry struct {
		workspace, kind string
		events          uint64
		micro           big.Int
	}
	held, err := again(func() (all []entry, err error) {
		rows, err := s.tables.Query(ctx, `SELECT workspace_id, type, count(), sum(toInt128(credits_micro)) FROM credit_entries GROUP BY ALL`)
		if err != nil {
			return nil, err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var e entry
			if err := rows.Scan(&e.workspace, &e.kind, &e.events, &e.micro); err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return all, rows.Err()
	})
	if err != nil {
		c.differ("%v", err)
		return
	}
	c.equal("the number of workspaces and types in credit_entries", len(held), len(want.entries))
	for _, e := range held {
		sum := want.entries[[2]string{e.workspace, e.kind}]
		what := fmt.Sprintf("credit_entries: %s of %s", e.kind, e.workspace)
		c.equal(what+", count", e.events, sum.Events)
		c.equal(what+", micro-credits", &e.micro, &sum.Micro)
	}
	for table, n := range want.stateRows {
		rows, err := again(func() (n uint64, err error) {
			return n, s.tables.QueryRow(ctx, `SELECT count() FROM `+table).Scan(&n)
		})
		if err != nil {
			c.differ("%v", err)
		}
		c.equal("the number of rows of "+table, rows, n)
	}
}

// compareLedger compares the ledger of batches with the logs and with what was
// counted.
func (s *stack) compareLedger(ctx context.Context, c *comparison) {
	var total oracle.Counts
	for _, topic := range s.topics.Inputs() {
		for p := range partitions {
			ledger, err := again(func() (oracle.Ledger, error) { return oracle.ReadLedger(ctx, s.tables, topic, s.epoch, p) })
			if err != nil {
				c.differ("%v", err)
				continue
			}
			_, end, err := s.logRange(ctx, topic, p)
			if err != nil {
				c.differ("%v", err)
			}
			c.figures += len(ledger)
			sum, problems := ledger.Check(s.starts[partitionID{topic, p}], uint64(end))
			for _, problem := range problems {
				c.differ("ledger of %s/%d: %s", topic, p, problem)
			}
			total = oracle.Counts{Inserted: total.Inserted + sum.Inserted, Duplicates: total.Duplicates + sum.Duplicates, Rejected: total.Rejected + sum.Rejected, Rerouted: total.Rerouted + sum.Rerouted}
		}
	}
	c.equal("rerouted records in the ledger", total.Rerouted, 0)
	for what, query := range map[string]string{
		"inserted": `SELECT (SELECT sum(inserted) FROM ingest_batches), (SELECT count() FROM events) + (SELECT count() FROM credit_entries) + (SELECT count() FROM campaigns) + (SELECT count() FROM workspaces)`,
		"rejected": `SELECT (SELECT sum(rejected) FROM ingest_batches), (SELECT count() FROM rejections)`,
	} {
		pair, err := again(func() (pair [2]uint64, err error) {
			return pair, s.tables.QueryRow(ctx, query).Scan(&pair[0], &pair[1])
		})
		if err != nil {
			c.differ("%v", err)
		}
		c.equal(what+" records in the ledger", pair[0], pair[1])
	}
	micro, err := again(func() (pair [2]big.Int, err error) {
		return pair, s.tables.QueryRow(ctx, `SELECT (SELECT sum(credits_micro) FROM ingest_batches WHERE topic = ?), (SELECT sum(toInt128(credits_micro)) FROM events)`, s.topics.Consumption).Scan(&pair[0], &pair[1])
	})
	if err != nil {
		c.differ("%v", err)
	}
	c.equal("micro-credits in the ledger", &micro[0], &micro[1])
}

// again reads again for as long as an engine takes to start anew: one that
// was killed under a statement before may still be on its way down.
func again[T any](read func() (T, error)) (T, error) {
	for began := time.Now(); ; {
		v, err := read()
		if err == nil || time.Since(began) > 5*time.Minute {
			return v, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// The parts of the API's answers that are compared.
type (
	usageSeries struct {
		Key    string
		Points []struct {
			Start            time.Time
			Credits, Refunds string
			Events           int64
		}
	}
	usageAnswer struct {
		Total  string
		Series []usageSeries
		Other  *usageSeries
	}
	campaignsAnswer struct {
		Items []struct {
			CampaignID string `json:"campaign_id"`
			Status     string
			Used       string
		}
	}
)

// compareAPI asks for what people see: usage by day and by quarter of an hour of
// each campaign and action, campaigns with their states, balances.
func (s *stack) compareAPI(ctx context.Context, c *comparison, want *truth) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	// A chart ends with the minute that has begun; a producer's clock may have
	// been ahead of that.
	end := time.Now().Add(time.Minute - 1).Truncate(time.Minute)
	known := make(oracle.Usage)
	for key, sum := range want.usage {
		if key.Minute < end.Unix()/60 {
			known[key] = sum
		}
	}
	for _, r := range []struct {
		bucket   string
		minutes  int64
		from, to time.Time
	}{
		{"1d", 1440, today.AddDate(0, 0, -13), today.AddDate(0, 0, 2)},
		{"15m", 15, time.Now().Add(-12 * time.Hour).Truncate(time.Hour), time.Now().Add(2 * time.Hour).Truncate(time.Hour)},
	} {
		bucketed := known.By(r.minutes, false)
		for w := range workspaces {
			id := workspaceID(w)
			for _, by := range []string{"campaign", "action"} {
				expected := make(map[string]oracle.Sum)
				for key, sum := range bucketed {
					at := time.Unix(key.Minute*60, 0)
					if key.Workspace != id || at.Before(r.from) || !at.Before(r.to) {
						continue
					}
					name := key.Campaign
					if by == "action" {
						name = key.Action
					}
					cell := fmt.Sprintf("%s at %s", name, at.UTC().Format(time.RFC3339))
					one := expected[cell]
					one.Events += sum.Events
					one.Micro.Add(&one.Micro, &sum.Micro)
					one.Refunds.Add(&one.Refunds, &sum.Refunds)
					expected[cell] = one
				}
				s.compareSeries(ctx, c, id, expected, url.Values{
					"bucket": {r.bucket}, "tz": {"UTC"}, "group_by": {by}, "top": {"50"},
					"from": {r.from.UTC().Format(time.RFC3339)}, "to": {r.to.UTC().Format(time.RFC3339)},
				})
			}
		}
	}
	for w := range workspaces {
		s.compareCampaigns(ctx, c, want, workspaceID(w))
		s.compareBalance(ctx, c, want, workspaceID(w))
	}
}

func (s *stack) compareSeries(ctx context.Context, c *comparison, id string, expected map[string]oracle.Sum, query url.Values) {
	var answer usageAnswer
	if err := s.server.get(ctx, "workspaces/"+id+"/usage", query, &answer); err != nil {
		c.differ("%v", err)
		return
	}
	if answer.Other != nil {
		c.differ("usage of %s by %s has more keys than there are", id, query.Get("group_by"))
	}
	what := fmt.Sprintf("API: usage of %s by %s and %s", id, query.Get("group_by"), query.Get("bucket"))
	for _, series := range answer.Series {
		for _, point := range series.Points {
			cell := fmt.Sprintf("%s at %s", series.Key, point.Start.UTC().Format(time.RFC3339))
			sum := expected[cell] // zero where nothing was used
			delete(expected, cell)
			c.equal(what+", credits of "+cell, micros(point.Credits), &sum.Micro)
			c.equal(what+", refunds of "+cell, micros(point.Refunds), &sum.Refunds)
			c.equal(what+", events of "+cell, point.Events, sum.Events)
		}
	}
	c.equal(what+": cells that are missing", len(expected), 0)
}

func (s *stack) compareCampaigns(ctx context.Context, c *comparison, want *truth, id string) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var answer campaignsAnswer
	query := url.Values{"limit": {"100"}, "from": {today.AddDate(0, 0, -13).Format(time.RFC3339)}, "to": {today.AddDate(0, 0, 2).Format(time.RFC3339)}}
	if err := s.server.get(ctx, "workspaces/"+id+"/campaigns", query, &answer); err != nil {
		c.differ("%v", err)
		return
	}
	c.equal("API: the number of campaigns of "+id, len(answer.Items), campaigns)
	for _, item := range answer.Items {
		var used big.Int
		for key, sum := range want.usage {
			if key.Workspace == id && key.Campaign == item.CampaignID {
				used.Add(&used, &sum.Micro)
			}
		}
		c.equal("API: used by "+id+" "+item.CampaignID, micros(item.Used), &used)
		if known := want.states[[2]string{id, item.CampaignID}]; known.at <= schemas.MillisOf(time.Now()) {
			c.equal("API: status of "+id+" "+item.CampaignID, item.Status, known.status)
		}
	}
}

// compareBalance compares a balance as of a minute, before which all usage of
// the truth is known to the minute.
func (s *stack) compareBalance(ctx context.Context, c *comparison, want *truth, id string) {
	at := time.Now().Truncate(time.Minute)
	var answer struct{ Remaining string }
	if err := s.server.get(ctx, "workspaces/"+id+"/balance", url.Values{"as_of": {at.UTC().Format(time.RFC3339)}}, &answer); err != nil {
		c.differ("%v", err)
		return
	}
	var left big.Int
	for key, sum := range want.entries {
		if key[0] == id {
			left.Add(&left, &sum.Micro)
		}
	}
	for key, sum := range want.usage {
		if key.Workspace == id && key.Minute < at.Unix()/60 {
			left.Sub(&left, &sum.Micro)
		}
	}
	c.equal("API: balance of "+id+" at "+at.Format(time.TimeOnly), micros(answer.Remaining), &left)
}

// micros is a decimal string in micro-credits, or what is wrong with it.
func micros(decimal string) string {
	value, ok := new(big.Rat).SetString(decimal)
	if !ok {
		return fmt.Sprintf("%q, which is no decimal", decimal)
	}
	value.Mul(value, big.NewRat(1_000_000, 1))
	return strings.TrimSuffix(value.RatString(), "/1")
}

// get asks for /v1/<path>.
func (a *server) get(ctx context.Context, path string, query url.Values, into any) error {
	address := "http://" + a.addr + "/v1/" + path + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the API does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return fmt.Errorf("GET %s: %w", address, err)
	}
	return nil
}
