// Package devissuer is an OpenID provider for one machine: `drawdown up` has it
// when no real issuer is configured, so that signing in and tokens go the way
// they go with a real one.
//
// It authenticates nobody. Who follows the one-time link that `up` prints may
// choose which of the prepared identities to be. It is therefore served on
// loopback only, and every request must name a loopback address as its host,
// so that no name that a foreign site has pointed here reaches it. It speaks
// the authorization code flow with PKCE for one public client and nothing
// else.
package devissuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Identity is somebody to sign in as.
type Identity struct {
	Subject    string
	Name       string // what the choice says
	Workspaces any    // claim workspaces: "*" or []string
	Scope      string // claim scope
}

// Config of an Issuer; everything is required.
type Config struct {
	BaseURL     string            // of the server that has the handler under Path
	Key         *ecdsa.PrivateKey // P-256, kept over restarts so that tokens are
	ClientID    string
	RedirectURL string
	LinkToken   string // bearer token of who may have links made
	Identities  []Identity
	Now         func() time.Time
}

// Path is where the handler expects to be.
const Path = "/dev-issuer"

const (
	linkLifetime = 15 * time.Minute // to find the browser
	codeLifetime = time.Minute
	choiceLasts  = 12 * time.Hour // may change identity without another link
	tokenLasts   = time.Hour
	// maxPending bounds links, choices and codes each; more are of a program
	// gone wrong, and the oldest knowledge goes.
	maxPending = 1_000
)

const choiceCookie = "drawdown-dev-issuer"

// Issuer is the provider.
type Issuer struct {
	config Config
	signer jose.Signer
	public jose.JSONWebKey

	mu      sync.Mutex
	links   map[string]time.Time // when each ends
	choices map[string]time.Time
	codes   map[string]code
}

type code struct {
	identity  Identity
	nonce     string
	challenge string
	until     time.Time
}

// New makes an Issuer.
func New(config Config) (*Issuer, error) {
	public := jose.JSONWebKey{Key: config.Key.Public(), Algorithm: string(jose.ES256), Use: "sig"}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("cannot name the signing key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(print)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: config.Key, KeyID: public.KeyID}}, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	return &Issuer{
		config: config, signer: signer, public: public,
		links: map[string]time.Time{}, choices: map[string]time.Time{}, codes: map[string]code{},
	}, nil
}

// URL is the issuer's name.
func (i *Issuer) URL() string { return i.config.BaseURL + Path }

// Link makes a link that signs in once, within 15 minutes.
func (i *Issuer) Link() string {
	token := rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	remember(i.links, token, i.config.Now().Add(linkLifetime))
	return i.URL() + "/enter?link=" + token
}

// Handler serves the provider under Path.
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"/.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET "+Path+"/keys", i.keys)
	mux.HandleFunc("POST "+Path+"/links", i.newLink)
	mux.HandleFunc("GET "+Path+"/enter", i.enter)
	mux.HandleFunc("GET "+Path+"/authorize", i.choose)
	mux.HandleFunc("POST "+Path+"/authorize", i.chosen)
	mux.HandleFunc("POST "+Path+"/token", i.token)
	// A form of another site must not choose for the person.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			http.Error(w, "this issuer is for the machine it runs on", http.StatusForbidden)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// loopback says whether host[:port] is an address of this machine alone.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// remember keeps m bounded.
func remember[V any](m map[string]V, key string, value V) {
	if len(m) >= maxPending {
		clear(m)
	}
	m[key] = value
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the reader may have gone
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": i.URL(), "authorization_endpoint": i.URL() + "/authorize", "token_endpoint": i.URL() + "/token", "jwks_uri": i.URL() + "/keys",
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"none"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.public}})
}

// newLink gives a link to who has the token.
func (i *Issuer) newLink(w http.ResponseWriter, r *http.Request) {
	got, want := sha256.Sum256([]byte(r.Header.Get("Authorization"))), sha256.Sum256([]byte("Bearer "+i.config.LinkToken))
	if i.config.LinkToken == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		http.Error(w, "a token is needed", http.StatusUnauthorized)
		return
	}
	_, _ = fmt.Fprintln(w, i.Link())
}

// enter takes a one-time link and lets this browser choose from now on.
func (i *Issuer) enter(w http.ResponseWriter, r *http.Request) {
	link, now := r.URL.Query().Get("link"), i.config.Now()
	i.mu.Lock()
	until, ok := i.links[link]
	delete(i.links, link)
	choice := rand.Text()
	if ok = ok && now.Before(until); ok {
		remember(i.choices, choice, now.Add(choiceLasts))
	}
	i.mu.Unlock()
	if !ok {
		http.Error(w, "This sign-in link was used, or is older than 15 minutes.\nGet another one with: drawdown sign-in-link", http.StatusForbidden)
		return
	}
	//nolint:gosec // on loopback there is no TLS
	http.SetCookie(w, &http.Cookie{
		Name: choiceCookie, Value: choice, Path: Path, MaxAge: int(choiceLasts.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/auth/sign-in", http.StatusSeeOther)
}

// mayChoose says whether a link brought this browser.
func (i *Issuer) mayChoose(w http.ResponseWriter, r *http.Request) bool {
	cookie, err := r.Cookie(choiceCookie)
	if err == nil {
		i.mu.Lock()
		until, ok := i.choices[cookie.Value]
		i.mu.Unlock()
		if ok && i.config.Now().Before(until) {
			return true
		}
	}
	http.Error(w, "Sign in with a one-time link. Get one with: drawdown sign-in-link", http.StatusForbidden)
	return false
}

// asked checks what the client asks for; wrong says what is not as it must be.
func (i *Issuer) asked(query url.Values) (wrong string) {
	switch {
	case query.Get("client_id") != i.config.ClientID:
		return "client_id"
	case query.Get("redirect_uri") != i.config.RedirectURL:
		return "redirect_uri"
	case query.Get("response_type") != "code":
		return "response_type"
	case query.Get("code_challenge_method") != "S256", len(query.Get("code_challenge")) != base64.RawURLEncoding.EncodedLen(sha256.Size):
		return "code_challenge"
	}
	return ""
}

var choicePage = template.Must(template.New("choice").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Drawdown: sign in</title>
<h1>Who do you want to be?</h1>
<form method="post" action="?{{.Query}}">{{range $n, $i := .Identities}}
<p><button name="identity" value="{{$n}}">{{$i.Name}}</button></p>{{end}}
</form></html>
`))

// choose shows the identities.
func (i *Issuer) choose(w http.ResponseWriter, r *http.Request) {
	if !i.mayChoose(w, r) {
		return
	}
	if wrong := i.asked(r.URL.Query()); wrong != "" {
		http.Error(w, "wrong "+wrong, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = choicePage.Execute(w, map[string]any{"Query": template.URL(r.URL.Query().Encode()), "Identities": i.config.Identities}) //nolint:gosec // encoded anew
}

// chosen sends the browser back with a code.
func (i *Issuer) chosen(w http.ResponseWriter, r *http.Request) {
	if !i.mayChoose(w, r) {
		return
	}
	query := r.URL.Query()
	if wrong := i.asked(query); wrong != "" {
		http.Error(w, "wrong "+wrong, http.StatusBadRequest)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	var n int
	if _, err := fmt.Sscanf(r.PostFormValue("identity"), "%d", &n); err != nil || n < 0 || n >= len(i.config.Identities) {
		http.Error(w, "wrong identity", http.StatusBadRequest)
		return
	}
	granted := rand.Text()
	i.mu.Lock()
	remember(i.codes, granted, code{
		identity: i.config.Identities[n], nonce: query.Get("nonce"), challenge: query.Get("code_challenge"), until: i.config.Now().Add(codeLifetime),
	})
	i.mu.Unlock()
	back := url.Values{"code": {granted}, "state": {query.Get("state")}, "iss": {i.URL()}}
	http.Redirect(w, r, i.config.RedirectURL+"?"+back.Encode(), http.StatusSeeOther)
}

// token gives an id token for a code, once.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	granted := r.PostFormValue("code")
	i.mu.Lock()
	c, ok := i.codes[granted]
	delete(i.codes, granted)
	i.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	now := i.config.Now()
	if !ok || !now.Before(c.until) || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("client_id") != i.config.ClientID ||
		r.PostFormValue("redirect_uri") != i.config.RedirectURL ||
		subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(challenge[:])), []byte(c.challenge)) != 1 {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	payload, err := json.Marshal(map[string]any{
		"iss": i.URL(), "sub": c.identity.Subject, "aud": i.config.ClientID, "nonce": c.nonce, "iat": now.Unix(), "exp": now.Add(tokenLasts).Unix(),
		"workspaces": c.identity.Workspaces, "scope": c.identity.Scope,
	})
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	signed, err := i.signer.Sign(payload)
	var text string
	if err == nil {
		text, err = signed.CompactSerialize()
	}
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{
		// Nothing takes it; the flow wants one.
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": int(tokenLasts.Seconds()), "id_token": text,
	})
}
