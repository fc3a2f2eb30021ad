package queryapi

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/chi/v5"
	"golang.org/x/oauth2"
)

// SignIn configures how people sign in with a browser: by the authorization
// code flow, with PKCE, at Config.Issuer.
type SignIn struct {
	ClientID     string   // "": nobody can sign in
	ClientSecret string   // "": a public client
	PublicURL    string   // of this API as browsers see it, without trailing slash
	SessionKey   []byte   // SessionKeyBytes, the same on every server
	Scopes       []string // asked of the issuer beside openid
}

// signIn is what signing in needs.
type signIn struct {
	sessions sealer
	flows    sealer
	ended    endedSessions
}

// flow is a sign-in under way, sealed in a cookie of the browser that began
// it.
type flow struct {
	State     string `json:"state"`
	Nonce     string `json:"nonce"`
	Verifier  string `json:"verifier"`
	ReturnTo  string `json:"return_to"`
	StartedAt int64  `json:"started_at"`
}

const (
	flowCookie = "drawdown-sign-in"
	// flowLifetime is time enough to find a password.
	flowLifetime = 15 * time.Minute
)

func (c *SignIn) check(issuer Issuer) error {
	public, err := url.Parse(c.PublicURL)
	switch {
	case issuer.URL == "":
		return errors.New("signing in needs an issuer")
	case err != nil, public.Host == "", public.Path != "", public.Scheme != "http" && public.Scheme != "https":
		return fmt.Errorf("public URL %q is not scheme://host", c.PublicURL)
	}
	return nil
}

func newSignIn(config SignIn, issuer Issuer) (*signIn, error) {
	if err := config.check(issuer); err != nil {
		return nil, err
	}
	// Of this issuer alone: what another has let in, such as the development
	// issuer before, is nothing here.
	sessions, err := newSealer(config.SessionKey, "session "+issuer.URL)
	if err != nil {
		return nil, err
	}
	flows, err := newSealer(config.SessionKey, "sign-in "+issuer.URL)
	return &signIn{sessions: sessions, flows: flows}, err
}

// routeSignIn adds the endpoints of browsers.
func (s *Server) routeSignIn(router chi.Router) {
	if s.signIn == nil {
		return
	}
	router.Get("/auth/sign-in", s.handle(s.beginSignIn))
	router.Get("/auth/callback", s.handle(s.finishSignIn))
	router.Post("/auth/sign-out", s.handle(s.signOut))
}

// handle lets a plain handler return errors.
func (s *Server) handle(handler func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := handler(w, r); err != nil {
			s.refuseCredential(w, r, err)
		}
	}
}

// oauth is the client at the issuer.
func (s *Server) oauth(ctx context.Context) (*oauth2.Config, *oidc.Provider, error) {
	provider, err := s.issuer.discover(ctx)
	if err != nil {
		return nil, nil, issuerAway(err)
	}
	endpoint := provider.Endpoint()
	if s.cfg.SignIn.ClientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: s.cfg.SignIn.ClientID, ClientSecret: s.cfg.SignIn.ClientSecret, Endpoint: endpoint,
		RedirectURL: s.cfg.SignIn.PublicURL + "/auth/callback", Scopes: append([]string{oidc.ScopeOpenID}, s.cfg.SignIn.Scopes...),
	}, provider, nil
}

// beginSignIn sends the browser to the issuer.
func (s *Server) beginSignIn(w http.ResponseWriter, r *http.Request) error {
	client, _, err := s.oauth(r.Context())
	if err != nil {
		return err
	}
	f := flow{
		State: randomText(), Nonce: randomText(), Verifier: oauth2.GenerateVerifier(),
		ReturnTo: returnTo(r.URL.Query().Get("return_to")), StartedAt: s.cfg.Now().Unix(),
	}
	sealed, err := s.signIn.flows.seal(f)
	if err != nil {
		return err
	}
	s.setCookie(w, flowCookie, sealed, flowLifetime)
	http.Redirect(w, r, client.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), http.StatusSeeOther)
	return nil
}

// returnTo keeps a path of this site and nothing that a browser takes for
// another.
func returnTo(path string) string {
	target, err := url.Parse(path)
	if err != nil || len(path) > 1024 || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsAny(path, "\\\r\n\t") || target.Host != "" || target.Scheme != "" {
		return "/"
	}
	return path
}

// finishSignIn takes the browser back from the issuer and starts a session.
func (s *Server) finishSignIn(w http.ResponseWriter, r *http.Request) error {
	var f flow
	cookie, err := r.Cookie(flowCookie)
	if err != nil || !s.signIn.flows.open(cookie.Value, &f) || s.cfg.Now().Sub(time.Unix(f.StartedAt, 0)) > flowLifetime {
		return problem(CodeBadRequest, "no sign-in is under way in this browser; begin at /auth/sign-in")
	}
	query := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(f.State)) != 1 {
		return problem(CodeBadRequest, "this is the answer to another sign-in; begin at /auth/sign-in")
	}
	s.setCookie(w, flowCookie, "", 0) // good once; an answer to another sign-in does not end this one
	switch ours, err := s.issuer.answers(r.Context(), query.Get("iss")); {
	case err != nil:
		return err
	case !ours:
		return problem(CodeBadRequest, "this is the answer of another issuer")
	}
	if refused := query.Get("error"); refused != "" {
		return s.refusedBy(r.Context(), refused)
	}
	principal, err := s.exchange(r.Context(), f, query.Get("code"))
	if err != nil {
		return err
	}
	ctx := context.WithValue(r.Context(), principalKey{}, principal)
	now := s.cfg.Now().Unix()
	started := session{
		ID: randomText(), Subject: principal.Subject, Workspaces: principal.Workspaces, Scopes: principal.Scopes, StartedAt: now, SeenAt: now,
	}
	if err := s.audit(ctx, "", actionSignIn, map[string]any{
		"session": sessionMark(started.ID), "workspaces": principal.Workspaces, "scopes": principal.Scopes,
	}); err != nil {
		return err
	}
	// A browser has one session. The answer to a request that came with the one
	// before may still renew its cookie, and would put it back in place of this.
	if err := s.endSession(r); err != nil {
		return err
	}
	if !s.writeSession(w, started) {
		return problem(CodeForbidden, "the token names more workspaces than a session can hold; use * or fewer")
	}
	http.Redirect(w, r, f.ReturnTo, http.StatusSeeOther)
	return nil
}

// refusedBy says what an error of the issuer's authorization endpoint means.
func (s *Server) refusedBy(ctx context.Context, code string) error {
	switch code {
	case "temporarily_unavailable", "server_error":
		return issuerAway(fmt.Errorf("the issuer answers %s", code))
	case "access_denied": // by who signs in
	default:
		s.cfg.Log.WarnContext(ctx, "the issuer refuses a sign-in", "request_id", requestIDFrom(ctx), "error", fmt.Sprintf("%.100q", code))
	}
	return unauthorized("the issuer refused: %.100q", code)
}

// refusedCode says what an error of the issuer's token endpoint means.
func refusedCode(refused *oauth2.RetrieveError) error {
	status := refused.Response.StatusCode
	switch {
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return issuerAway(refused)
	case refused.ErrorCode == "invalid_client", refused.ErrorCode == "unauthorized_client":
		// Nobody who signs in can help it.
		return fmt.Errorf("the issuer refuses us as client: look at its id and secret: %w", refused)
	}
	return unauthorized("the issuer does not take the code")
}

// exchange turns the code into who signed in.
func (s *Server) exchange(ctx context.Context, f flow, code string) (Principal, error) {
	client, provider, err := s.oauth(ctx)
	if err != nil {
		return Principal{}, err
	}
	ctx = oidc.ClientContext(ctx, s.issuer.client)
	tokens, err := client.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		return Principal{}, refusedCode(refused)
	case err != nil:
		return Principal{}, issuerAway(err)
	}
	text, _ := tokens.Extra("id_token").(string)
	verified, err := s.issuer.verify(ctx, text, s.cfg.SignIn.ClientID)
	if err != nil {
		return Principal{}, err
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(f.Nonce)) != 1 || verified.Subject == "" {
		return Principal{}, unauthorized("the token is of another sign-in")
	}
	var payload json.RawMessage
	if err := verified.Claims(&payload); err != nil {
		return Principal{}, unauthorized("the claims of the token cannot be read")
	}
	c, err := parseClaims(payload)
	if err == nil && c.workspaces == nil && provider.UserInfoEndpoint() != "" {
		// Many issuers say there what a code flow is not told in its token.
		payload, err = userClaims(ctx, provider, tokens, verified.Subject)
		if err != nil {
			return Principal{}, err
		}
		c, err = parseClaims(payload)
	}
	if err != nil {
		return Principal{}, unauthorized("%s", err.Error())
	}
	return Principal{Subject: verified.Subject, Credential: CredentialSession, Workspaces: c.workspaces, Scopes: c.scopes}, nil
}

// userClaims asks the issuer what it says of who signed in.
func userClaims(ctx context.Context, provider *oidc.Provider, tokens *oauth2.Token, subject string) (payload json.RawMessage, err error) {
	user, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		// The token was granted a moment ago: nothing is wrong with who signs in.
		return nil, issuerAway(fmt.Errorf("cannot ask the issuer who signed in: %w", err))
	}
	if err := user.Claims(&payload); err != nil || user.Subject != subject {
		return nil, unauthorized("the issuer speaks of somebody else")
	}
	return payload, nil
}
