package queryapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// Scope is a permission.
type Scope string

// The scopes of DESIGN section 7.
const (
	ScopeRead   Scope = "credits:read"
	ScopeExport Scope = "credits:export"
	ScopeAdmin  Scope = "credits:admin"
	ScopeAlerts Scope = "alerts:write"
	ScopeEvents Scope = "events:write"
	ScopeOps    Scope = "operator"
)

// everyScope is what the development token carries.
var everyScope = []Scope{ScopeRead, ScopeExport, ScopeAdmin, ScopeAlerts, ScopeEvents, ScopeOps}

// everyWorkspace in Principal.Workspaces stands for all of them.
const everyWorkspace = "*"

// Principal is who sends a request and what they may do.
type Principal struct {
	Subject    string
	Credential Credential // by which they came
	KeyID      string     // of an API key
	Workspaces []string   // ids, or everyWorkspace
	Scopes     []Scope    // on each of these workspaces
}

// Credential is a kind of proof of who sends a request.
type Credential string

// The kinds of credentials.
const (
	CredentialToken   Credential = "token" // of Config.Token
	CredentialKey     Credential = "api_key"
	CredentialJWT     Credential = "jwt"
	CredentialSession Credential = "session"
)

// sees says whether the principal's token names the workspace.
func (p Principal) sees(workspaceID string) bool {
	return slices.Contains(p.Workspaces, everyWorkspace) || slices.Contains(p.Workspaces, workspaceID)
}

type principalKey struct{}

func principalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// authenticate is the middleware of every operation: it puts the Principal
// into the context or answers 401, and 429 past the rate limit.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	principal, err := s.identify(r)
	if err != nil {
		s.refuseCredential(w, r, err)
		return
	}
	// The installation's own token is for its engineers and their measurements.
	if s.limiter != nil && principal.Credential != CredentialToken && s.limiter.OnLimit(w, r, principal.Subject) {
		writeProblem(w, r, problem(CodeRateLimited, "at most %d requests a minute; see Retry-After", s.cfg.RateLimit))
		return
	}
	if principal.Credential == CredentialSession {
		s.renewSession(w, r)
	}
	known := huma.WithValue(ctx, principalKey{}, principal)
	release, ok := s.ownRequests.take(known, admitWithin)
	if !ok {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, r, problem(CodeRateLimited, "at most %d requests at a time; wait for answers, and read them", ownRequestsAtOnce))
		return
	}
	defer release()
	next(known)
}

// refuseCredential answers a request whose sender is not known.
func (s *Server) refuseCredential(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(err)
	switch {
	case p.Status == http.StatusUnauthorized && s.failsTooOften(w, r):
		p = problem(CodeRateLimited, "too many requests without a valid credential from this address; see Retry-After")
	case p.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="drawdown"`)
	case p.Status >= http.StatusInternalServerError:
		s.cfg.Log.ErrorContext(r.Context(), "cannot tell who sends a request", "request_id", requestIDFrom(r.Context()), "code", p.Code, "error", err)
	}
	refuse(w, r, p)
}

// failuresPerMinute is far beyond what mistaken clients send, and nothing to
// one that guesses: a token has 128 bits and more. It spares the log and those
// who read it; a valid credential is taken from any address, because many
// clients may come from one.
const failuresPerMinute = 6000

// failsTooOften counts a refused credential against the address it came from
// and sets Retry-After if there were too many.
func (s *Server) failsTooOften(w http.ResponseWriter, r *http.Request) bool {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	return s.failures.OnLimit(w, r, address)
}

func unauthorized(format string, args ...any) error {
	return problem(CodeUnauthorized, format, args...)
}

// identify finds the Principal behind a request: behind its Authorization
// header, whatever else it carries, else behind its cookie.
func (s *Server) identify(r *http.Request) (Principal, error) {
	if s.signIn != nil && r.Header.Get("Authorization") == "" {
		return s.sessionPrincipal(r)
	}
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, unauthorized("send Authorization: Bearer <token>")
	}
	token = strings.TrimSpace(token)
	// Hashes have one length, so the comparison tells nothing about the token,
	// not even how long it is.
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.cfg.Token))
	switch {
	case subtle.ConstantTimeCompare(got[:], want[:]) == 1:
		return Principal{Subject: "token:dev", Credential: CredentialToken, Workspaces: []string{everyWorkspace}, Scopes: everyScope}, nil
	case isKey(token):
		return s.keyPrincipal(r.Context(), token)
	case s.issuer != nil:
		return s.tokenPrincipal(r.Context(), token)
	}
	return Principal{}, unauthorized("the token is not known here")
}
