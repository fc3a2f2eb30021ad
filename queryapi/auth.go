package queryapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
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
	principal, ok := s.identify(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="drawdown"`)
		writeProblem(w, r, problem(CodeUnauthorized, "send Authorization: Bearer <token>"))
		return
	}
	if s.limiter != nil && s.limiter.OnLimit(w, r, principal.Subject) {
		writeProblem(w, r, problem(CodeRateLimited, "at most %d requests a minute; see Retry-After", s.cfg.RateLimit))
		return
	}
	next(huma.WithValue(ctx, principalKey{}, principal))
}

// identify finds the Principal behind the Authorization header.
func (s *Server) identify(r *http.Request) (Principal, bool) {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, false
	}
	// Hashes have one length, so the comparison tells nothing about the token,
	// not even how long it is.
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(s.cfg.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return Principal{}, false
	}
	return Principal{Subject: "token:dev", Credential: CredentialToken, Workspaces: []string{everyWorkspace}, Scopes: everyScope}, true
}
