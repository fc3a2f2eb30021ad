package queryapi

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// LiveInput are the parameters of a stream of live updates.
type LiveInput struct {
	WorkspaceID string `path:"workspace_id"`
	LastEventID string `header:"Last-Event-ID" doc:"The last id that was received: alerts go on after it; without one they begin with the stream"`

	cursor *alertCursor // nil: a stream that resumes nothing
}

// Resolve names every wrong parameter.
func (in *LiveInput) Resolve(ctx huma.Context) []error {
	errs := strict(ctx)
	var err error
	if in.cursor, err = parseAlertCursor(in.LastEventID); err != nil {
		errs = append(errs, wrong("header.Last-Event-ID", in.LastEventID, "%s", err.Error()))
	}
	return errs
}

const liveDescription = `A stream of server-sent events.

It begins with a full snapshot: one ` + "`balance`" + `, one ` + "`usage`" + ` and one ` + "`freshness`" + ` event with the bodies of
the endpoints of that name, usage with its default parameters. After that:

- ` + "`balance`" + ` whenever it changed: the whole body.
- ` + "`usage`" + ` whenever it changed: the body with only the points that changed since the last one. If from, to, bucket or tz
differ from those at hand, the event replaces what is at hand; otherwise its points replace those with the same start, or are
added, and total replaces total.
- ` + "`freshness`" + ` every two seconds and with every new revision.
- ` + "`alert`" + ` for every change of state of an alert incident. It has an id: sent back as Last-Event-ID, it makes the next stream
go on after the last alert that was received, none missed and none twice. The stream begins with an id of its own, in a block
without data, for a client that loses it before the first alert.

A reader that cannot keep up gets the newest state and misses those in between, never an alert. The stream ends when the token
loses its right to it, when the server stops, and for a reader that takes nothing for half a minute or is a thousand alerts behind.`

const operationLive = "stream-live"

func (s *Server) registerLive(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	var events []*huma.Schema
	for _, event := range []struct {
		name string
		body reflect.Type
	}{
		{"balance", reflect.TypeFor[Balance]()}, {"usage", reflect.TypeFor[Usage]()},
		{"freshness", reflect.TypeFor[LiveFreshness]()}, {"alert", reflect.TypeFor[LiveAlert]()},
	} {
		properties := map[string]*huma.Schema{
			"event": {Type: huma.TypeString, Enum: []any{event.name}},
			"data":  registry.Schema(event.body, true, event.body.Name()),
		}
		if event.name == "alert" {
			properties["id"] = &huma.Schema{Type: huma.TypeString, Description: "To be sent back as Last-Event-ID"}
		}
		events = append(events, &huma.Schema{
			Title: "Event " + event.name, Type: huma.TypeObject, Properties: properties,
			Required: slices.Sorted(maps.Keys(properties)),
		})
	}
	register(s, api, huma.Operation{
		OperationID: operationLive, Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/live",
		Metadata: needs(ScopeRead),
		Summary:  "Figures and alerts as they change", Description: liveDescription,
		Responses: map[string]*huma.Response{"200": {
			Description: "Server-sent events",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
				Title: "Server-sent events", Type: huma.TypeArray, Items: &huma.Schema{OneOf: events},
			}}},
		}},
	}, s.live)
}

// LiveFreshness is the body of a freshness event.
type LiveFreshness struct{ Figures }

func (s *Server) live(_ context.Context, in *LiveInput) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humachi.Unwrap(ctx)
		if r.Method == http.MethodHead {
			eventStreamHeaders(w.Header())
			w.WriteHeader(http.StatusOK)
			return
		}
		s.watch(ctx.Context(), r, w, in)
	}}, nil
}

// watch joins the workspace's room and streams until the client, the room or
// the server has enough.
func (s *Server) watch(bounded context.Context, r *http.Request, w http.ResponseWriter, in *LiveInput) {
	refuse := func(err error) {
		p := asProblem(err)
		if p.Status >= http.StatusInternalServerError {
			s.cfg.Log.ErrorContext(bounded, "stream not begun", "request_id", requestIDFrom(bounded), "code", p.Code, "error", err)
		}
		writeProblem(w, r, p)
	}
	v, err := s.hub.join(in.WorkspaceID)
	if err != nil {
		refuse(err)
		return
	}
	defer s.hub.leave(v)

	ctx := withoutDeadline(bounded)
	out := eventWriter{w: w, control: http.NewResponseController(w), timeout: s.cfg.Timeouts.Event}
	if err := s.awaitSnapshot(ctx, &out, v, in.cursor); err != nil {
		if !out.begun && ctx.Err() == nil {
			refuse(err)
		}
		return
	}
	tick := time.NewTicker(s.hub.heartbeat)
	defer tick.Stop()
	for {
		frames, err := v.take()
		if err != nil {
			return
		}
		if err := out.write(frames...); err != nil {
			return
		}
		select {
		case <-v.wake:
		case <-tick.C:
			if !s.mayStill(ctx, r, in.WorkspaceID, ScopeRead) {
				return
			}
			// What the client sees of a connection whose poll hangs, and what
			// finds out that the client is gone.
			if err := out.write([]byte(": still here\n\n")); err != nil {
				return
			}
		case <-ctx.Done():
			return
		case <-s.hub.closing:
			return
		}
	}
}

// snapshotWithin is how long a client waits for the headers. After that the
// stream begins without a snapshot: a thousand workspaces that are opened at
// once, after a restart, take a while, and clients that gave up and came back
// would only lengthen it.
const snapshotWithin = 5 * time.Second

// awaitSnapshot begins the stream when there is a state to show, or without one
// when it takes too long.
func (s *Server) awaitSnapshot(ctx context.Context, out *eventWriter, v *viewer, resume *alertCursor) error {
	patience := time.NewTimer(snapshotWithin)
	defer patience.Stop()
	for waiting := true; waiting; {
		select {
		case <-v.room.ready:
			waiting = false
		case <-patience.C:
			if err := out.begin(": the figures are being made\n\n"); err != nil {
				return err
			}
			patience.Reset(s.hub.heartbeat)
		case <-ctx.Done():
			return ctx.Err()
		case <-s.hub.closing:
			return errStopping()
		}
	}
	if err := v.enter(ctx, resume); err != nil {
		return err
	}
	return out.begin("retry: " + liveRetry + "\nid: " + v.cursor.String() + "\n\n")
}

// mayStill says whether the token of a request that was let in is still good.
// A store that cannot be asked revokes nothing, and has no news to send either.
func (s *Server) mayStill(ctx context.Context, r *http.Request, workspaceID string, scope Scope) bool {
	principal, err := s.identify(r.WithContext(ctx))
	if err != nil {
		return asProblem(err).Status >= http.StatusInternalServerError
	}
	return principal.sees(workspaceID) && slices.Contains(principal.Scopes, scope)
}

const (
	// liveHeartbeat is below the idle timeouts of usual proxies (60 s), and how
	// long a token outlives its revocation here.
	liveHeartbeat = 25 * time.Second
	// liveRetry is when a client comes back: soon enough not to be noticed, and
	// browsers spread it no further.
	liveRetry = "2000"
)

// eventWriter writes to a connection that outlives the server's timeouts.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // in place of Timeouts.Write, which counts from the request
	begun   bool
}

func eventStreamHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
}

// begin sends the headers, if they are not sent yet, and text.
func (o *eventWriter) begin(text string) error {
	if !o.begun {
		o.begun = true
		eventStreamHeaders(o.w.Header())
		// The server's ReadTimeout goes on while nothing is read, and ends the
		// request when it is over. A recorder in a test has no deadlines.
		_ = o.control.SetReadDeadline(time.Time{})
		o.w.WriteHeader(http.StatusOK)
	}
	return o.write([]byte(text))
}

func (o *eventWriter) write(frames ...[]byte) error {
	if len(frames) == 0 {
		return nil
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout))
	for _, frame := range frames {
		if _, err := o.w.Write(frame); err != nil {
			return err
		}
	}
	return o.control.Flush()
}
