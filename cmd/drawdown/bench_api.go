package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// benchAPICmd measures how long a running API takes to answer.
type benchAPICmd struct {
	dataFlags
	Workspaces []string      `name:"workspace" placeholder:"ID" help:"Workspaces to ask about; default: the first ten that the token opens."`
	Clients    int           `default:"8" help:"Clients that ask at the same time."`
	For        time.Duration `default:"3s" help:"How long each endpoint is asked."`
}

// askedTwice are the two ways of asking: a dashboard asks the same again and
// again, an analyst something else each time.
var askedTwice = []string{"same", "other"}

// benchEndpoint is what one row of the table asks; other makes the question
// another one.
type benchEndpoint struct {
	name  string
	path  string
	query func(now time.Time, other *rand.Rand) url.Values
}

// benchEndpoints are the figures of DESIGN section 12 and their neighbours.
var benchEndpoints = []benchEndpoint{
	{"balance", "/balance", func(now time.Time, other *rand.Rand) url.Values {
		if other == nil {
			return nil
		}
		return url.Values{"as_of": {now.Add(-time.Duration(1+other.IntN(60*24*7)) * time.Minute).Truncate(time.Minute).Format(time.RFC3339)}}
	}},
	{"usage, 12 months by day", "/usage", func(now time.Time, other *rand.Rand) url.Values {
		return rangeOf(now, 365, other, "bucket", "1d")
	}},
	{"usage, 12 months by day and campaign", "/usage", func(now time.Time, other *rand.Rand) url.Values {
		return rangeOf(now, 365, other, "bucket", "1d", "group_by", "campaign")
	}},
	{"usage, a day by quarter of an hour", "/usage", func(now time.Time, other *rand.Rand) url.Values {
		return rangeOf(now, 1, other, "bucket", "15m", "group_by", "action")
	}},
	{"campaigns", "/campaigns", func(now time.Time, other *rand.Rand) url.Values {
		return rangeOf(now, 30, other, "limit", "500")
	}},
	{"history, grouped", "/history", func(now time.Time, other *rand.Rand) url.Values {
		return rangeOf(now, 365, other, "view", "grouped")
	}},
	{"history, events", "/history", func(now time.Time, other *rand.Rand) url.Values {
		return rangeOf(now, 365, other, "view", "events")
	}},
}

// rangeOf is so many days that end now, or up to a day earlier.
func rangeOf(now time.Time, days int, other *rand.Rand, pairs ...string) url.Values {
	to := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	if other != nil {
		to = to.Add(-time.Duration(other.IntN(24*60)) * time.Minute)
	}
	values := url.Values{"from": {to.AddDate(0, 0, -days).Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return values
}

// Run prints a table of latencies.
func (c *benchAPICmd) Run(ctx context.Context, e *env) error {
	if c.Clients < 1 || c.For <= 0 {
		return usageError{errors.New("--clients and --for must be positive")}
	}
	access, err := readDevAccess(filepath.Join(c.Data, devFile))
	if err != nil {
		return fmt.Errorf("%w; is 'drawdown up' running on this directory?", err)
	}
	bench := apiBench{
		base: access.URL, token: access.Token, clients: c.Clients,
		http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: c.Clients}},
	}
	if len(c.Workspaces) == 0 {
		if c.Workspaces, err = bench.workspaces(ctx, 10); err != nil {
			return err
		}
	}
	if len(c.Workspaces) == 0 {
		return errors.New("the API knows no workspace yet; import or simulate some events")
	}
	_, _ = fmt.Fprintf(e.Stdout, "machine: %s\n%d clients, %d workspaces, %s each; p50 and p99 in ms\n", describeMachine(), c.Clients, len(c.Workspaces), c.For)
	_, _ = fmt.Fprintf(e.Stdout, "%-38s %-8s %8s %8s %9s %8s\n", "endpoint", "question", "p50", "p99", "answers/s", "bytes")
	for _, endpoint := range benchEndpoints {
		for _, asked := range askedTwice {
			m, err := bench.measure(ctx, endpoint, c.Workspaces, asked == "other", c.For, e.Now)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(e.Stdout, "%-38s %-8s %8.2f %8.2f %9.0f %8d\n", endpoint.name, asked, m.at(50), m.at(99), float64(len(m.took))/c.For.Seconds(), m.bytes)
		}
	}
	return nil
}

// apiBench asks an API.
type apiBench struct {
	base, token string
	clients     int
	http        *http.Client
}

// latencies are what one row measured.
type latencies struct {
	took  []time.Duration // ascending
	bytes int             // of the last answer
}

// at returns a percentile in milliseconds; 0 if nothing was measured.
func (l *latencies) at(percent int) float64 {
	if len(l.took) == 0 {
		return 0
	}
	return l.took[(len(l.took)-1)*percent/100].Seconds() * 1000
}

// measure has all clients ask one endpoint for a time.
func (b *apiBench) measure(ctx context.Context, endpoint benchEndpoint, workspaces []string, other bool, length time.Duration, now func() time.Time) (*latencies, error) {
	var mu sync.Mutex
	all := &latencies{}
	group, ctx := errgroup.WithContext(ctx)
	end := time.Now().Add(length)
	for client := range b.clients {
		group.Go(func() error {
			var random *rand.Rand
			if other {
				random = rand.New(rand.NewPCG(uint64(client), uint64(now().UnixNano())))
			}
			for i := client; time.Now().Before(end); i++ {
				path := "/v1/workspaces/" + workspaces[i%len(workspaces)] + endpoint.path
				begun := time.Now()
				body, err := b.get(ctx, path, endpoint.query(now(), random))
				took := time.Since(begun)
				if err != nil {
					return err
				}
				mu.Lock()
				all.took, all.bytes = append(all.took, took), len(body)
				mu.Unlock()
			}
			return nil
		})
	}
	err := group.Wait()
	slices.Sort(all.took)
	return all, err
}

// workspaces lists the first few that the token opens.
func (b *apiBench) workspaces(ctx context.Context, most int) ([]string, error) {
	body, err := b.get(ctx, "/v1/me", nil)
	if err != nil {
		return nil, err
	}
	var me struct {
		Workspaces []struct {
			WorkspaceID string `json:"workspace_id"`
		}
	}
	if err := json.Unmarshal(body, &me); err != nil {
		return nil, fmt.Errorf("cannot read who the token stands for: %w", err)
	}
	var ids []string
	for _, w := range me.Workspaces[:min(most, len(me.Workspaces))] {
		ids = append(ids, w.WorkspaceID)
	}
	return ids, nil
}

// get returns the body of a 200 answer.
func (b *apiBench) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("cannot ask %s: %w", path, err)
	}
	request.Header.Set("Authorization", "Bearer "+b.token)
	response, err := b.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot ask %s: %w", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d: %s", path, response.StatusCode, strings.TrimSpace(string(body)))
	}
	return body, nil
}
