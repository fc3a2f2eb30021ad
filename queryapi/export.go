package queryapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// ExportInput are the parameters of an export.
type ExportInput struct {
	WorkspaceID string `path:"workspace_id"`
	Dataset     string `query:"dataset" required:"true" enum:"events,usage,history" doc:"events: one row per consumption event; usage: one per bucket, campaign and action; history: the entries of GET history"`
	Format      string `query:"format" enum:"csv,ndjson,parquet" default:"csv"`
	From        string `query:"from" doc:"Start of the range, RFC 3339; default: start of the current period, of history the first entry. Of usage a whole quarter of an hour, or minute if these are the buckets" example:"2026-11-01T00:00:00Z"`
	To          string `query:"to" doc:"End of the range, exclusive, RFC 3339; default: end of the current period, of history the last entry. Of usage a whole quarter of an hour, or minute if these are the buckets" example:"2026-12-01T00:00:00Z"`
	View        string `query:"view" enum:"grouped,events" default:"grouped" doc:"Of history alone: consumption per day and campaign, or event by event"`

	Bucket string `query:"bucket" enum:"1m,15m,1h,1d" default:"15m" doc:"Of usage alone. The first and the last are cut off where the range begins and ends"`
	TZ     string `query:"tz" doc:"Of usage: IANA zone of hours and days; default: UTC. Of history: of its days; default: the workspace's" example:"Europe/Berlin"`

	Type     []string `query:"type" enum:"grant,adjustment,void,expiry,consumption" nullable:"false" doc:"Of history alone: only these types, with commas between them"`
	Campaign string   `query:"campaign_id" doc:"Not of usage: only consumption of this campaign; empty: only unattributed consumption"`

	times    Range
	zone     *time.Location // nil: by default
	campaign *string        // nil: not given
}

// Resolve names every wrong parameter.
func (in *ExportInput) Resolve(ctx huma.Context) []error {
	in.times = Range{From: in.From, To: in.To}
	errs := slices.Concat(strict(ctx), in.times.resolve())
	in.campaign = optional(ctx, "campaign_id")
	var err error
	if in.zone, err = zoneParam(in.TZ); err != nil {
		errs = append(errs, err)
	}
	for _, parameter := range []struct{ name, datasets string }{
		{"view", "history"}, {"type", "history"}, {"campaign_id", "history or events"}, {"tz", "usage or history"}, {"bucket", "usage"},
	} {
		given := optional(ctx, parameter.name)
		if given != nil && !slices.Contains(strings.Split(parameter.datasets, " or "), in.Dataset) {
			errs = append(errs, wrong("query."+parameter.name, *given, "only for dataset=%s", parameter.datasets))
		}
	}
	return append(errs, in.resolveUsage()...)
}

const exportDescription = `A file with the rows of a range, oldest first (of history newest first), for as many as there are.

Credits are decimals, exact to the micro-credit: text in CSV, strings in NDJSON, Decimal(38, 6) in Parquet. Instants are RFC 3339 in UTC,
in Parquet timestamps. In CSV a text that a spreadsheet would take for a formula (it starts with =, +, -, @, a tab or a carriage return) has an
apostrophe before it. A file that cannot be finished breaks off: the response ends without its last chunk, which every client reports.
What has too many rows is refused with ` + "`range_too_large`" + ` before it begins.`

const operationExport = "export"

func (s *Server) registerExport(api huma.API) {
	content := make(map[string]*huma.MediaType)
	for _, kind := range exportFormats {
		content[kind.contentType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	// An export is figures as well, hence both scopes.
	register(s, api, huma.Operation{
		OperationID: operationExport, Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/export",
		Metadata: needs(ScopeRead, ScopeExport),
		Summary:  "Events, usage or history as a file", Description: exportDescription,
		Responses: map[string]*huma.Response{"200": {Description: "The file", Content: content}},
	}, s.export)
}

// exportFormats by the parameter.
var exportFormats = map[string]struct {
	contentType string
	clickhouse  string // its name for it
	extension   string
}{
	"csv":     {"text/csv; charset=utf-8; header=present", "CSVWithNames", "csv"},
	"ndjson":  {"application/x-ndjson", "JSONEachRow", "ndjson"},
	"parquet": {"application/vnd.apache.parquet", "Parquet", "parquet"},
}

// Bounds of an export.
const (
	// maxExportRows is about 3 GB of CSV, and what a spreadsheet, or a notebook
	// on a laptop, could not open any more; a longer range is asked for in parts.
	maxExportRows = 20_000_000
	// maxHistoryRows because each thousand of them is a burn-down of its own.
	maxHistoryRows = 1_000_000
	// exportTimeout bounds one export with all its statements.
	exportTimeout = 30 * time.Minute
	// exportsAtOnce leaves the store to the dashboards.
	exportsAtOnce = 4
	// ownExportsAtOnce leaves some to others than one slow reader.
	ownExportsAtOnce = exportsAtOnce / 2
)

func (s *Server) export(ctx context.Context, in *ExportInput) (*huma.StreamResponse, error) {
	if s.cfg.StoreHTTP.URL == "" {
		return nil, problem(CodeExportUnavailable, "this server was not told the HTTP address of ClickHouse, which makes the files")
	}
	made, err := s.prepareExport(ctx, in)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		s.sendExport(ctx.Context(), r, w, in, made)
	}}, nil
}

// exported is an export that may begin.
type exported struct {
	rows span
	open func(context.Context) (io.ReadCloser, error)
}

// prepareExport knows the range and refuses what is too large.
func (s *Server) prepareExport(ctx context.Context, in *ExportInput) (exported, error) {
	fresh, err := s.freshness(ctx, in.WorkspaceID)
	if err != nil {
		return exported{}, err
	}
	if in.Dataset == "history" {
		return s.prepareHistory(in, fresh), nil
	}
	about, err := s.workspace(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return exported{}, err
	}
	if in.Dataset == "usage" {
		// Whole buckets that hold the period.
		width, _ := in.finest()
		about.period.from -= about.period.from % width
		about.period.to = ceil(about.period.to, width)
	}
	asked, err := in.times.within(about.period, s.rawFrom())
	if err != nil {
		return exported{}, err
	}
	if in.Dataset == "events" && asked.from < s.rawFrom() {
		return exported{}, problem(CodeResolutionUnavailable, "events before %s may be gone; usage and history are kept", instant(s.rawFrom())).about("query.from", in.From)
	}
	var cut usageCut
	var rows int64
	if in.Dataset == "events" {
		rows, err = s.countEvents(ctx, in, asked)
	} else if cut, err = in.cutUsage(asked); err == nil {
		rows, err = s.countUsage(ctx, in, asked, &cut)
	}
	if err != nil {
		return exported{}, err
	}
	if rows > s.exportRows {
		return exported{}, problem(CodeRangeTooLarge, "up to %d rows, of which one file may have %d; ask for a shorter range", rows, s.exportRows).about("query.from", in.From)
	}
	statement, bound := exportStatement(in, asked, &cut)
	return exported{rows: asked, open: func(ctx context.Context) (io.ReadCloser, error) {
		return s.cfg.StoreHTTP.read(ctx, statement, bound, nil)
	}}, nil
}

// countEvents returns how many rows there are, from the rollups.
func (s *Server) countEvents(ctx context.Context, in *ExportInput, asked span) (int64, error) {
	sums, err := s.sums(ctx, "export_count", rollup.Query{
		Workspace: in.WorkspaceID, Edges: []schemas.Millis{asked.from, asked.to}, Group: rollup.ByNone, Campaign: in.campaign,
	})
	if err != nil || len(sums) == 0 {
		return 0, err
	}
	return sums[0].events, nil
}

func boundRange(bound parameters, workspaceID string, r span) {
	bound.String("workspace", workspaceID)
	bound.Integer("from", int64(r.from))
	bound.Integer("to", int64(r.to))
}

// exportStatement makes the statement whose result is the file. It reads in the
// order of the primary key, so that ClickHouse sorts and keeps nothing.
func exportStatement(in *ExportInput, asked span, cut *usageCut) (string, parameters) {
	bound := parameters{}
	boundRange(bound, in.WorkspaceID, asked)
	text := func(column string) string { return column }
	attributes := "attributes"
	if in.Format == "csv" {
		text = func(column string) string {
			return `if(match(toString(` + column + `), '^[=+@\\t\\r-]'), concat('\'', toString(` + column + `)), toString(` + column + `))`
		}
		attributes = "toJSONString(attributes)"
	}
	renamed := "start, end, campaign AS campaign_id, act AS action, credits, refunds, events"
	var statement string
	if in.Dataset == "usage" {
		statement = usageStatement(cut, text, bound)
	} else {
		filter := ""
		if in.campaign != nil {
			bound.String("only", *in.campaign)
			filter = " AND campaign_id = {only:String}"
		}
		statement = `SELECT
    events.time AS t,
    ` + text("event_id") + ` AS id,
    ` + text("campaign_id") + ` AS campaign,
    ` + text("action") + ` AS act,
    ` + text("actor") + ` AS who,
    ` + text("source") + ` AS producer,
    toDecimal128(credits_micro, 6) / 1000000 AS credits,
    ` + attributes + ` AS annotations,
    kafka_time AS arrived_at
FROM events
WHERE workspace_id = {workspace:String} AND events.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND events.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')` + filter + `
ORDER BY workspace_id, events.time, event_id`
		renamed = "t AS time, id AS event_id, campaign AS campaign_id, act AS action, who AS actor, producer AS source, credits, annotations AS attributes, arrived_at"
	}
	return "SELECT " + renamed + " FROM (\n" + statement + "\n)\nFORMAT " + exportFormats[in.Format].clickhouse, bound
}

// sendExport streams the file. What goes wrong before the first byte is a
// problem; after it, the connection is broken off.
func (s *Server) sendExport(bounded context.Context, r *http.Request, w http.ResponseWriter, in *ExportInput, made exported) {
	full := func(format string, n int) { writeProblem(w, r, problem(CodeTooManyStreams, format, n)) }
	release, ok := s.ownExports.take(bounded, 1, 0)
	if !ok {
		full("%d exports of yours are under way; try again when one has ended", ownExportsAtOnce)
		return
	}
	defer release()
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	default:
		full("%d exports are under way; try again", exportsAtOnce)
		return
	}
	ctx, cancel := context.WithTimeout(withoutDeadline(bounded), exportTimeout)
	defer cancel()
	// A stop of the server must not wait for a slow download.
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.hub.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-watched
	}()
	refuse := func(err error) {
		p := asProblem(err)
		if p.Status >= http.StatusInternalServerError {
			s.cfg.Log.ErrorContext(ctx, "export failed", "request_id", requestIDFrom(ctx), "dataset", in.Dataset, "format", in.Format, "code", p.Code, "error", err)
		}
		writeProblem(w, r, p)
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // see eventWriter.begin
	_ = control.SetWriteDeadline(time.Now().Add(s.cfg.Timeouts.File))
	if r.Method == http.MethodHead {
		exportHeaders(w.Header(), in, made.rows)
		w.WriteHeader(http.StatusOK)
		return
	}
	file, err := made.open(ctx)
	if err != nil {
		refuse(err)
		return
	}
	defer func() { _ = file.Close() }()
	out := &exportWriter{w: w, control: control, timeout: s.cfg.Timeouts.File, begin: func() { exportHeaders(w.Header(), in, made.rows) }}
	err = copyHoldingBack(out, file)
	switch {
	case err == nil:
		out.start() // an empty file is one as well
	case !out.started:
		refuse(err)
	default:
		s.cfg.Log.ErrorContext(ctx, "export broken off", "request_id", requestIDFrom(ctx), "dataset", in.Dataset, "format", in.Format, "error", err)
		// The response must not look whole.
		panic(http.ErrAbortHandler)
	}
}

func exportHeaders(h http.Header, in *ExportInput, rows span) {
	kind := exportFormats[in.Format]
	name := "drawdown-" + in.WorkspaceID + "-" + in.Dataset
	if in.Dataset == "usage" && in.Bucket != string(schemas.QuarterHour) {
		name += "-" + in.Bucket
	}
	if in.campaign != nil {
		name += "-" + cmp.Or(*in.campaign, "unattributed")
	}
	for _, at := range []schemas.Millis{rows.from, rows.to} {
		if at > timeBegin && at < timeEnd {
			name += "-" + timeOf(at).Format("20060102T1504Z")
		}
	}
	// An id has no other character that a file system minds.
	name = strings.ReplaceAll(name, ":", "_") + "." + kind.extension
	h.Set("Content-Type", kind.contentType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("X-Accel-Buffering", "no")
}

// exportWriter begins the response with the first byte and gives the client
// time for each piece.
type exportWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	begin   func()
	started bool
}

func (o *exportWriter) start() {
	if !o.started {
		o.started = true
		o.begin()
		o.w.WriteHeader(http.StatusOK)
	}
}

// Write sends a piece.
func (o *exportWriter) Write(p []byte) (int, error) {
	o.start()
	_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout))
	return o.w.Write(p)
}

// heldBack is more than ClickHouse writes of an exception (16 KiB,
// WriteBufferFromHTTPServerResponse) into the middle of a result before it
// breaks off.
const heldBack = 32 << 10

// copyHoldingBack copies all of a result but keeps its last bytes until it is
// whole, so that the text of an exception reaches nobody.
func copyHoldingBack(to io.Writer, from io.Reader) error {
	buffer := make([]byte, 0, 4*heldBack)
	for {
		n, err := from.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if errors.Is(err, io.EOF) {
			_, err = to.Write(buffer)
			return err
		}
		if err != nil {
			return fmt.Errorf("cannot read the result: %w", err)
		}
		if ready := len(buffer) - heldBack; ready >= heldBack {
			if _, err := to.Write(buffer[:ready]); err != nil {
				return err
			}
			buffer = buffer[:copy(buffer, buffer[ready:])]
		}
	}
}

// formula is what a spreadsheet would take for one.
func formula(text string) bool { return text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) }

// cell is text in a CSV file.
func cell(text string) string {
	if formula(text) {
		return "'" + text
	}
	return text
}

// exportSettings bound a statement of an export as querySettings do others, but
// for its length.
func exportSettings() url.Values {
	values := url.Values{}
	for name, value := range map[string]any{
		"max_threads":             2,
		"max_memory_usage":        querySettings["max_memory_usage"],
		"max_execution_time":      int(exportTimeout.Seconds()),
		"optimize_read_in_order":  1,
		"wait_end_of_query":       0,
		"buffer_size":             64 << 10,
		"date_time_output_format": "iso",
		// One row per campaign and quarter comes out as it is read.
		"optimize_aggregation_in_order":         1,
		"output_format_json_quote_decimals":     1,
		"http_write_exception_in_output_format": 0,
		// Sent whole or not at all; a client that has gone ends the statement.
		"cancel_http_readonly_queries_on_client_close": 1,
	} {
		values.Set(name, fmt.Sprint(value))
	}
	return values
}
