package queryapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/prometheus/client_golang/prometheus"
)

func TestErrorsOfTheStoreHaveTheirCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code Code
	}{
		{&clickhouse.Exception{Code: 158}, CodeRangeTooLarge},
		{&clickhouse.Exception{Code: 159}, CodeQueryTimeout},
		{&clickhouse.Exception{Code: 202}, CodeStoreUnavailable},
		{&clickhouse.Exception{Code: 241}, CodeStoreUnavailable},
		{&clickhouse.Exception{Code: 60, Message: "secret table"}, CodeInternal},
		{context.DeadlineExceeded, CodeQueryTimeout},
		{context.Canceled, CodeClientClosed},
		{io.EOF, CodeStoreUnavailable},
		{clickhouse.ErrAcquireConnTimeout, CodeStoreUnavailable},
		{errors.New("secret cause"), CodeInternal},
		{problem(CodeCampaignNotFound, "x"), CodeCampaignNotFound},
	} {
		p := asProblem(fmt.Errorf("cannot query: %w", c.err))
		if p.Code != c.code || p.Status != problems[c.code].status || strings.Contains(p.Detail, "secret") {
			t.Errorf("%v: %+v, want %s", c.err, p, c.code)
		}
	}
}

func TestEveryBareStatusHasACodeOfThatStatus(t *testing.T) {
	for status, code := range statusCodes {
		if problems[code].status != status {
			t.Errorf("%d is %s, which is %d", status, code, problems[code].status)
		}
	}
	for _, status := range []int{404, 405, 415, 422, 429} {
		v, err := problemTransformer(anyContext(), "", &huma.ErrorModel{
			Status: status, Detail: "d", Errors: []*huma.ErrorDetail{{Location: "body.x", Message: "m"}},
		})
		p, ok := v.(*Problem)
		if err != nil || !ok || p.Status != status || p.Code == "" || p.Errors[0].Location != "body.x" {
			t.Errorf("%d: %+v", status, v)
		}
	}
	v, _ := problemTransformer(anyContext(), "", &huma.ErrorModel{Status: 500, Detail: "secret", Errors: []*huma.ErrorDetail{{Message: "secret"}}})
	if p, ok := v.(*Problem); !ok || p.Code != CodeInternal || len(p.Errors) != 0 || strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", v)
	}
}

func anyContext() huma.Context {
	return humachi.NewContext(&huma.Operation{}, httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder())
}

func TestPanicIsA500WithTheStackInTheLog(t *testing.T) {
	var log strings.Builder
	s := &Server{cfg: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	recorder := httptest.NewRecorder()
	withRequestID(s.recoverPanic(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }))).
		ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	if body := recorder.Body.String(); recorder.Code != 500 || strings.Contains(body, "secret") || !strings.Contains(body, `"code":"internal"`) {
		t.Errorf("%d %s", recorder.Code, body)
	}
	if !strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "internal_test.go") {
		t.Errorf("log %s", &log)
	}
}

func TestQueriesThatNeverEndAreNotAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics(prometheus.NewRegistry(), time.Now)
		m.progressAt.Store(time.Now().UnixNano())
		time.Sleep(2 * stuckAfter)
		if err := m.stuck(); err != nil {
			t.Errorf("idle: %v", err)
		}
		m.inFlight.Add(1)
		if err := m.stuck(); err == nil {
			t.Error("stuck, and nothing says so")
		}
		m.progressAt.Store(time.Now().UnixNano())
		if err := m.stuck(); err != nil {
			t.Errorf("making progress: %v", err)
		}
	})
}

func TestPrincipalSeesOnlyItsWorkspaces(t *testing.T) {
	s := &Server{}
	s.known.put("ws_a")
	s.known.put("ws_b")
	ctx := context.WithValue(t.Context(), principalKey{}, Principal{Workspaces: []string{"ws_a"}, Scopes: []Scope{ScopeExport}})
	for _, c := range []struct {
		workspace string
		scope     Scope
		code      Code
	}{{"ws_a", ScopeExport, ""}, {"ws_a", ScopeRead, CodeForbidden}, {"ws_b", ScopeExport, CodeWorkspaceNotFound}} {
		err := s.authorize(ctx, c.workspace, c.scope)
		var p *Problem
		if errors.As(err, &p) != (c.code != "") || (p != nil && p.Code != c.code) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAPanicInASharedAnswerIsAnErrorOfThoseWhoAsked(t *testing.T) {
	c := answerCache{limit: 1 << 20}
	for range 2 {
		_, err := c.get(t.Context(), "question", func(context.Context) (cached, error) { panic("no answer") })
		if err == nil || !strings.Contains(err.Error(), "no answer") || !strings.Contains(err.Error(), "internal_test.go") {
			t.Errorf("%v", err)
		}
	}
}

// LimitExports lets a test see what too many rows are answered with.
func (s *Server) LimitExports(rows int64) { s.exportRows = rows }

// LimitRequests lets a test see what too many at a time are answered with.
func (s *Server) LimitRequests(most int64) { s.ownRequests.most = most }

// TestAuditLogListsEveryActionOfAWorkspace: an action that is added is listed
// and can be asked for.
func TestAuditLogListsEveryActionOfAWorkspace(t *testing.T) {
	source, err := os.ReadFile("auditlog.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`action\w+ *= "([a-z_.]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(found) < 13 {
		t.Fatalf("%d actions are in the source", len(found))
	}
	for _, action := range found {
		// Who signs in is of no workspace.
		if listed := slices.Contains(workspaceActions, action[1]); listed == strings.HasPrefix(action[1], "session.") {
			t.Errorf("%s is listed: %v", action[1], listed)
		}
	}
}
