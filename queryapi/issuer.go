package queryapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// Issuer names the OpenID provider whose tokens and sign-ins are taken.
type Issuer struct {
	URL      string // issuer, as its tokens have it; "": there is none
	Audience string // of bearer tokens
}

// signingAlgorithms are those taken of tokens: never none, and never one that
// signs with a secret, for which a public key could be passed off.
var signingAlgorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

const (
	// clockSkew between the issuer and here that is forgiven.
	clockSkew = time.Minute
	// keysEvery is the least time between two requests for the issuer's keys on
	// account of tokens with an unknown one: made-up tokens must not become a
	// flood at the issuer.
	keysEvery = 5 * time.Second
	// keysAge is when keys are asked for again although all tokens have known
	// ones: how long one that the issuer has withdrawn is still taken. While the
	// issuer is away they stand.
	keysAge = 10 * time.Minute
	// keysAgain is the least time between two such questions: whoever asks may
	// wait for an issuer that hangs, all others go on with the keys that stand.
	keysAgain = time.Minute
	// issuerTimeout bounds one request to the issuer.
	issuerTimeout = 5 * time.Second
	// maxIssuerBody is many times what providers answer.
	maxIssuerBody = 1 << 20
)

// issuer verifies tokens. It asks the provider when it first must, and keeps
// what it was told.
type issuer struct {
	config Issuer
	now    func() time.Time
	client *http.Client

	once     singleflight.Group
	mu       sync.Mutex
	provider *oidc.Provider
	keysURL  string
	named    bool // it names itself in every answer to a sign-in (RFC 9207)
	keys     []jose.JSONWebKey
	askedAt  time.Time // when the keys were asked for last
	keptAt   time.Time // when they were told last
	agedAt   time.Time // when somebody went to ask on account of their age last
}

func newIssuer(config Issuer, now func() time.Time) *issuer {
	transport, _ := http.DefaultTransport.(*http.Transport)
	own := transport.Clone()
	own.DisableKeepAlives = true // some requests an hour
	return &issuer{config: config, now: now, client: &http.Client{Timeout: issuerTimeout, Transport: own}}
}

// issuerAway says that a token cannot be judged now.
func issuerAway(err error) error {
	return fmt.Errorf("%w: %w", problem(CodeIssuerUnavailable, "try again"), err)
}

// discover asks the provider what it is, once.
func (i *issuer) discover(ctx context.Context) (*oidc.Provider, error) {
	i.mu.Lock()
	known := i.provider
	i.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err, _ := i.once.Do("discover", func() (any, error) {
		// For all who wait, not only for the first, who may go away.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), issuerTimeout)
		defer cancel()
		provider, err := oidc.NewProvider(oidc.ClientContext(shared, i.client), i.config.URL)
		if err != nil {
			return nil, err
		}
		var said struct {
			JWKS  string `json:"jwks_uri"`
			Named bool   `json:"authorization_response_iss_parameter_supported"`
		}
		if err := provider.Claims(&said); err != nil {
			return nil, err
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		i.provider, i.keysURL, i.named = provider, said.JWKS, said.Named
		return provider, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot discover the issuer %s: %w", i.config.URL, err)
	}
	provider, _ := found.(*oidc.Provider)
	return provider, nil
}

// introduce asks the provider what it is before anybody needs it, so that a
// wrong URL is in the log from the start. Nothing depends on the answer.
func (i *issuer) introduce(ctx context.Context, log *slog.Logger) {
	if _, err := i.discover(ctx); err != nil {
		log.WarnContext(ctx, "nobody can sign in or use a token of the issuer yet; it is asked again when somebody does", "error", err)
	}
}

// answers says whether an answer to a sign-in that names from as who gives it
// is the provider's (RFC 9207).
func (i *issuer) answers(ctx context.Context, from string) (bool, error) {
	if _, err := i.discover(ctx); err != nil {
		return false, issuerAway(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return from == i.config.URL || from == "" && !i.named, nil
}

// verify checks a token for an audience and returns it.
func (i *issuer) verify(ctx context.Context, token, audience string) (*oidc.IDToken, error) {
	// Looked at first, so that tokens of other issuers do not need ours.
	if issuerOf(token) != i.config.URL {
		return nil, unauthorized("the token is not of the issuer that is trusted here")
	}
	config := &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: signingAlgorithms,
		Now: func() time.Time { return i.now().Add(-clockSkew) },
	}
	var away error
	verified, err := oidc.NewVerifier(i.config.URL, i, config).Verify(context.WithValue(ctx, awayKey{}, &away), token)
	switch {
	case away != nil:
		return nil, away
	case err != nil:
		return nil, unauthorized("the token is expired, not for this audience, or not signed by the issuer")
	}
	return verified, nil
}

// awayKey leads to where VerifySignature leaves its reason if the issuer does
// not answer: go-oidc makes text of the error.
type awayKey struct{}

// issuerOf reads the issuer of a token that nobody has verified; "" if there
// is none.
func issuerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claimed struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claimed) != nil {
		return ""
	}
	return claimed.Issuer
}

// VerifySignature makes issuer an oidc.KeySet: it checks the signature with
// the provider's keys and returns the payload.
func (i *issuer) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	algorithms := make([]jose.SignatureAlgorithm, len(signingAlgorithms))
	for n, name := range signingAlgorithms {
		algorithms[n] = jose.SignatureAlgorithm(name)
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, fmt.Errorf("cannot read the token: %w", err)
	}
	id := signed.Signatures[0].Header.KeyID
	keys, keptAt, askedAt := i.known()
	if payload, ok := verifyWith(signed, id, keys); ok && (i.now().Sub(keptAt) < keysAge || !i.mayAskAgain()) {
		return payload, nil
	}
	// Unknown, or known for long: ask, unless that was just done.
	if now := i.now(); keys == nil || now.Sub(askedAt) >= keysEvery || now.Before(askedAt) {
		fresh, err := i.askKeys(ctx)
		switch {
		case err == nil:
			keys = fresh
		case len(keys) == 0 || !slices.ContainsFunc(keys, func(k jose.JSONWebKey) bool { return id == "" || k.KeyID == id }):
			if reason, ok := ctx.Value(awayKey{}).(*error); ok {
				*reason = issuerAway(err)
			}
			return nil, err
		}
	}
	if payload, ok := verifyWith(signed, id, keys); ok {
		return payload, nil
	}
	return nil, errors.New("no key of the issuer fits the signature")
}

func (i *issuer) known() (keys []jose.JSONWebKey, keptAt, askedAt time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys, i.keptAt, i.askedAt
}

// mayAskAgain says whether who calls is to ask for keys that are old, and takes
// it that they do.
func (i *issuer) mayAskAgain() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if since := now.Sub(i.agedAt); 0 <= since && since < keysAgain {
		return false
	}
	i.agedAt = now
	return true
}

func verifyWith(signed *jose.JSONWebSignature, id string, keys []jose.JSONWebKey) ([]byte, bool) {
	for n := range keys {
		if id != "" && keys[n].KeyID != id {
			continue
		}
		if payload, err := signed.Verify(&keys[n]); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// askKeys asks the provider for its keys.
func (i *issuer) askKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	if _, err := i.discover(ctx); err != nil {
		return nil, err
	}
	asked, err, _ := i.once.Do("keys", func() (any, error) {
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), issuerTimeout)
		defer cancel()
		i.mu.Lock()
		url := i.keysURL
		i.mu.Unlock()
		keys, err := i.fetchKeys(shared, url)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.askedAt = i.now()
		if err != nil {
			return nil, err
		}
		i.keys, i.keptAt = keys, i.askedAt
		return keys, nil
	})
	keys, _ := asked.([]jose.JSONWebKey)
	return keys, err
}

func (i *issuer) fetchKeys(ctx context.Context, url string) ([]jose.JSONWebKey, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for keys: %w", err)
	}
	answer, err := i.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for keys: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxIssuerBody))
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys of the issuer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("cannot ask for keys: %s answers %d", url, answer.StatusCode)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("cannot read the keys of the issuer: %w", err)
	}
	// Only what signs, and only the public half counts.
	return slices.DeleteFunc(set.Keys, func(k jose.JSONWebKey) bool {
		return k.Use != "" && k.Use != "sig" || !k.IsPublic() || !k.Valid()
	}), nil
}

// tokenPrincipal is who a bearer token of the issuer stands for.
func (s *Server) tokenPrincipal(ctx context.Context, token string) (Principal, error) {
	verified, err := s.issuer.verify(ctx, token, s.cfg.Issuer.Audience)
	if err != nil {
		return Principal{}, err
	}
	var payload json.RawMessage
	if err := verified.Claims(&payload); err != nil {
		return Principal{}, unauthorized("the claims of the token cannot be read")
	}
	c, err := parseClaims(payload)
	if err != nil {
		return Principal{}, unauthorized("%s", err.Error())
	}
	if c.notBefore > float64(s.cfg.Now().Add(clockSkew).Unix()) {
		return Principal{}, unauthorized("the token is not valid yet")
	}
	if verified.Subject == "" {
		return Principal{}, unauthorized("the token has no subject")
	}
	return Principal{Subject: verified.Subject, Credential: CredentialJWT, Workspaces: c.workspaces, Scopes: c.scopes}, nil
}
