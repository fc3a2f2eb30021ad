package queryapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/drawdown/drawdown/queryapi/dashboard"
	"github.com/drawdown/drawdown/schemas"
)

// Config is what a Server needs. Everything up to Registerer but Producer and
// RateLimit is required.
type Config struct {
	ClickHouse driver.Conn       // default database set
	StoreHTTP  StoreHTTP         // for exports; without a URL there are none
	Token      string            // bearer token with every scope on every workspace
	Issuer     Issuer            // of bearer tokens and sign-ins; no URL: there is none
	SignIn     SignIn            // of people with a browser; no ClientID: nobody can
	DevIssuer  http.Handler      // served under /dev-issuer/; nil: there is none
	Partitions int               // of each topic; places a workspace
	Epoch      uint32            // generation of the topics
	Topics     schemas.Topics    // their configured names
	EventsTTL  schemas.EventsTTL // how far back raw events go
	Producer   Producer          // nil: nothing can be written
	Limits     schemas.Limits    // by which the consumers accept records
	// WebhookSecret is what the secrets of webhooks are derived from, the same
	// as the aggregators have; nil: alert rules have no webhooks.
	WebhookSecret []byte
	RateLimit     int // requests per minute and principal, Token apart; 0: unlimited
	CacheBytes    int // of answers that still hold; 0: none are kept
	// ProgressAge is how old what is known of a partition's progress may be; a
	// figure is late by as much. 0: every request asks.
	ProgressAge time.Duration
	// ProbeEvery is how often it is measured how long an event takes to become an
	// answer; 0, or without a Producer: never.
	ProbeEvery time.Duration
	// StreamCheck is how often an open stream shows that it lives and has its
	// token looked at again; 0: every 25 seconds.
	StreamCheck time.Duration
	Timeouts    Timeouts              // of slow clients
	Now         func() time.Time      // the clock
	Log         *slog.Logger          // requests that failed here
	Registerer  prometheus.Registerer // for the drawdown_queryapi_* metrics
}

// Server is the HTTP API.
type Server struct {
	cfg     Config
	metrics *metrics
	limiter *httprate.RateLimiter
	// failures counts credentials that were refused, by address.
	failures *httprate.RateLimiter
	// ownRequests bounds those of one principal that are under way.
	ownRequests requestShares
	known       knownWorkspaces
	keys        keyCache
	issuer      *issuer // nil: there is none
	signIn      *signIn // nil: nobody can
	// What was read and still holds.
	answers    answerCache
	progress   progressCache
	hub        *liveHub
	exports    chan struct{} // one for each that is under way
	ownExports *shares
	exportRows int64 // most of one
	boards     boards
	tests      *semaphore.Weighted // of alert rules
	// What writing needs.
	bodies    *semaphore.Weighted // bytes of request bodies
	ownBodies *shares             // and of one principal's
	decoders  sync.Pool           // *schemas.Decoder
	ledger    *ledgerWrites
	spec      []byte
	handler   http.Handler
}

// requestTimeout bounds a request with all its queries; longer than any
// single query may take (querySettings), shorter than Timeouts.Write.
const requestTimeout = 20 * time.Second

// New checks cfg and builds the routes. It does no I/O.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.ClickHouse == nil:
		return nil, errors.New("cannot make a query API: no ClickHouse connection")
	case cfg.Token == "":
		return nil, errors.New("cannot make a query API: no token")
	case cfg.Partitions <= 0:
		return nil, fmt.Errorf("cannot make a query API: %d partitions", cfg.Partitions)
	case cfg.Limits.MaxValueBytes == 0:
		return nil, errors.New("cannot make a query API: no limits")
	case cfg.WebhookSecret != nil && len(cfg.WebhookSecret) < schemas.MinWebhookMaster:
		return nil, fmt.Errorf("cannot make a query API: a webhook secret of %d bytes, want %d", len(cfg.WebhookSecret), schemas.MinWebhookMaster)
	case cfg.Now == nil, cfg.Log == nil, cfg.Registerer == nil:
		return nil, errors.New("cannot make a query API: Now, Log and Registerer are required")
	}
	cfg.Timeouts = cfg.Timeouts.orUsual()
	s := &Server{
		cfg: cfg, metrics: newMetrics(cfg.Registerer, cfg.Now), answers: answerCache{limit: cfg.CacheBytes},
		tests: semaphore.NewWeighted(testsAtOnce), bodies: semaphore.NewWeighted(maxBodies), ownBodies: newShares(maxOwnBodies), ledger: newLedgerWrites(),
	}
	if cfg.Issuer.URL != "" {
		if cfg.Issuer.Audience == "" {
			return nil, errors.New("cannot make a query API: an issuer without an audience")
		}
		s.issuer = newIssuer(cfg.Issuer, cfg.Now)
	}
	if cfg.SignIn.ClientID != "" {
		var err error
		if s.signIn, err = newSignIn(cfg.SignIn, cfg.Issuer); err != nil {
			return nil, fmt.Errorf("cannot make a query API: %w", err)
		}
	}
	s.hub = newLiveHub(s, cfg.Registerer)
	s.exports, s.ownExports = make(chan struct{}, exportsAtOnce), newShares(ownExportsAtOnce)
	s.exportRows = maxExportRows
	s.ownRequests = requestShares{newShares(ownRequestsAtOnce)}
	s.failures = httprate.NewRateLimiter(failuresPerMinute, time.Minute)
	if cfg.RateLimit > 0 {
		s.limiter = httprate.NewRateLimiter(cfg.RateLimit, time.Minute)
	}
	if err := s.route(); err != nil {
		return nil, fmt.Errorf("cannot make a query API: %w", err)
	}
	return s, nil
}

// OpenAPI returns the OpenAPI 3.1 document, as /openapi.json serves it.
func OpenAPI() ([]byte, error) {
	s := &Server{cfg: Config{Now: time.Now}}
	if err := s.route(); err != nil {
		return nil, fmt.Errorf("cannot describe the query API: %w", err)
	}
	return s.spec, nil
}

// Handler returns the API.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves the API on listener until ctx is done, then lets requests in
// flight finish for up to 10 seconds; streams and exports end at once. It closes listener.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	defer context.AfterFunc(ctx, s.hub.close)()
	var group errgroup.Group
	group.Go(func() error { return serve(ctx, listener, s.handler, s.cfg.Timeouts, s.cfg.Log) })
	if s.issuer != nil && s.cfg.DevIssuer == nil { // which is served here, and may not be yet
		group.Go(func() error {
			s.issuer.introduce(ctx, s.cfg.Log)
			return nil
		})
	}
	if s.cfg.ProbeEvery > 0 && s.cfg.Producer != nil {
		group.Go(func() error {
			newProber(s).run(ctx)
			return nil
		})
	}
	return group.Wait()
}

// Check says how the API is, for the ops port: ready if ClickHouse answers,
// alive unless queries are in flight and none has ended for a minute.
func (s *Server) Check() Check {
	return Check{
		Name: "queryapi",
		Ready: func(ctx context.Context) error {
			if err := s.cfg.ClickHouse.Ping(ctx); err != nil {
				return fmt.Errorf("cannot reach ClickHouse: %w", err)
			}
			return nil
		},
		Live: func(context.Context) error { return s.metrics.stuck() },
	}
}

// route builds the handler and the OpenAPI document.
func (s *Server) route() error {
	router := chi.NewRouter()
	router.Use(withRequestID, s.observe, s.recoverPanic, secureHeaders, withDeadline, middleware.GetHead)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, problem(CodeNotFound, "no endpoint has the path %s", r.URL.Path))
	})
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		// As the router takes it, with escaped slashes.
		path := cmp.Or(r.URL.RawPath, r.URL.Path)
		for _, method := range methods {
			if router.Match(chi.NewRouteContext(), method, path) {
				w.Header().Add("Allow", method)
				if method == http.MethodGet {
					w.Header().Add("Allow", http.MethodHead) // middleware.GetHead
				}
			}
		}
		writeProblem(w, r, problem(CodeMethodNotAllowed, "%s is not for %s", r.URL.Path, r.Method))
	})

	if err := routePage(router); err != nil {
		return err
	}
	s.routeSignIn(router)
	if s.cfg.DevIssuer != nil {
		router.Mount("/dev-issuer", s.cfg.DevIssuer)
	}
	api := humachi.New(router, apiConfig())
	api.UseMiddleware(s.authenticate, s.permit)
	s.registerMe(api)
	s.registerKeys(api)
	s.registerBalance(api)
	s.registerUsage(api)
	s.registerCampaigns(api)
	s.registerLive(api)
	s.registerRejections(api)
	s.registerAudit(api)
	s.registerAuditLog(api)
	s.registerExport(api)
	s.registerWorkspaces(api)
	s.registerHistory(api)
	s.registerProjection(api)
	s.registerEvents(api)
	s.registerGrants(api)
	s.registerAlertRules(api)
	s.registerAlertIncidents(api)
	s.registerAlertDeliveries(api)
	s.registerAlertTests(api)
	s.registerAlertTestDeliveries(api)
	finishDocument(api.OpenAPI())

	spec, err := encodeDocument(api.OpenAPI())
	if err != nil {
		return err
	}
	s.spec = spec
	if s.handler, err = compress(router); err != nil {
		return err
	}
	router.Get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(s.spec)
	})
	return routeDocs(router, s.spec)
}

// routePage adds the page; what it does not have is a 404 like any other.
func routePage(router chi.Router) error {
	page, err := dashboard.New()
	if err != nil {
		return err
	}
	for _, pattern := range dashboard.Patterns() {
		router.Get(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !page.Serve(w, r) {
				writeProblem(w, r, problem(CodeNotFound, "no file of the page has the path %s", r.URL.Path))
			}
		})
	}
	return nil
}

// methods are those a path may have; label and Allow values.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// apiConfig is huma without what does not fit: no links to schemas in bodies,
// no assets of other hosts, no document that is built on first use without a
// lock, no error model of its own.
func apiConfig() huma.Config {
	config := huma.DefaultConfig("Drawdown", "v1")
	config.Info.Description = "Counts credits: what is left, where it went, when it runs out. " +
		"Credits are decimal strings, instants RFC 3339 in UTC, ranges half-open. " +
		"Errors are RFC 9457 problems with a stable code."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.Transformers = []huma.Transformer{problemTransformer}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer"},
	}
	config.Security = []map[string][]string{{"bearer": {}}}
	return config
}

// register adds an operation whose errors go through asProblem. finishDocument
// adds to the document what all operations have in common; responses that op
// has are kept.
func register[I, O any](s *Server, api huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	if _, err := accessOf(&op); err != nil {
		panic(err) // as huma does for a wrong operation
	}
	// huma reads the bodies that it decodes itself, and those alone.
	op.BodyReadTimeout = s.cfg.Timeouts.Body
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err == nil {
			return out, nil
		}
		p := asProblem(err)
		if p.Status >= http.StatusInternalServerError {
			s.cfg.Log.ErrorContext(ctx, "request failed",
				"request_id", requestIDFrom(ctx), "operation", op.OperationID, "code", p.Code, "error", err)
		}
		return nil, p
	})
}
