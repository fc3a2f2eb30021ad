package queryapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is how one part of a process says how it is. Health means progress:
// Live fails when the part has work and gets nowhere, so that a restart may
// help; Ready fails when it cannot do its work now. A nil func passes. Both
// must be safe for concurrent use.
type Check struct {
	Name  string
	Ready func(ctx context.Context) error
	Live  func(ctx context.Context) error
}

// Ops serves /healthz, /readyz and /metrics of a process.
type Ops struct {
	log     *slog.Logger
	checks  []Check
	handler http.Handler
}

// NewOps makes an Ops over gatherer and checks.
func NewOps(gatherer prometheus.Gatherer, log *slog.Logger, checks ...Check) *Ops {
	o := &Ops{log: log, checks: checks}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", o.report(func(c Check) func(context.Context) error { return c.Live }))
	mux.HandleFunc("GET /readyz", o.report(func(c Check) func(context.Context) error { return c.Ready }))
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}))
	o.handler = mux
	return o
}

// Handler returns the ops endpoints.
func (o *Ops) Handler() http.Handler { return o.handler }

// Run serves them on listener until ctx is done. It closes listener.
func (o *Ops) Run(ctx context.Context, listener net.Listener) error {
	return serve(ctx, listener, o.handler, Timeouts{}, o.log)
}

// checkTimeout is below the usual probe timeouts, so that a probe gets to see
// what failed.
const checkTimeout = 2 * time.Second

type opsReport struct {
	Status string     `json:"status"`
	Checks []opsCheck `json:"checks"`
}

type opsCheck struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// report answers 200 if all checks pass, else 503; either way with each of
// them. The ops port is for operators, so errors are shown.
func (o *Ops) report(pick func(Check) func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		body, status := opsReport{Status: "ok", Checks: []opsCheck{}}, http.StatusOK
		for _, c := range o.checks {
			result := opsCheck{Name: c.Name, OK: true}
			if check := pick(c); check != nil {
				if err := check(ctx); err != nil {
					result.OK, result.Error = false, err.Error()
					body.Status, status = "failing", http.StatusServiceUnavailable
				}
			}
			body.Checks = append(body.Checks, result)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		// A probe that went away is not an error of ours.
		_ = json.NewEncoder(w).Encode(body)
	}
}
