package queryapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

// testIssuer serves a discovery document and keys over HTTP, and signs.
type testIssuer struct {
	*httptest.Server
	t    *testing.T
	keys map[string]*rsa.PrivateKey // served, by id
	away atomic.Bool
	asks atomic.Int64 // for the keys
}

func newTestIssuer(t *testing.T) *testIssuer {
	t.Helper()
	i := &testIssuer{t: t, keys: map[string]*rsa.PrivateKey{}}
	i.rotate("k1")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asks.Add(1)
		var set jose.JSONWebKeySet
		for id, key := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	})
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.away.Load() {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

// rotate leaves one key.
func (i *testIssuer) rotate(id string) {
	i.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		i.t.Fatal(err)
	}
	clear(i.keys)
	i.keys[id] = key
}

// claims of a good token for ws_a, changed.
func (i *testIssuer) claims(now time.Time, change map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "sub": "alice", "aud": "drawdown-api", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"workspaces": []string{"ws_a"}, "scope": "openid credits:read credits:export alerts:write events:write",
	}
	for name, value := range change {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func (i *testIssuer) sign(claims map[string]any) string {
	i.t.Helper()
	for id, key := range i.keys {
		return signWith(i.t, jose.RS256, jose.JSONWebKey{Key: key, KeyID: id}, claims)
	}
	return ""
}

func signWith(t *testing.T, algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// unsigned makes a token of algorithm none.
func unsigned(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + "."
}

// confused makes a token whose HMAC key is the issuer's public one.
func (i *testIssuer) confused(claims map[string]any) string {
	for id, key := range i.keys {
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			i.t.Fatal(err)
		}
		secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
		return signWith(i.t, jose.HS256, jose.JSONWebKey{Key: secret, KeyID: id}, claims)
	}
	return ""
}

func (h *harness) trusting(i *testIssuer) *queryapi.Server {
	return h.serverWith(func(c *queryapi.Config) {
		c.Issuer, c.Registerer = queryapi.Issuer{URL: i.URL, Audience: "drawdown-api"}, prometheus.NewRegistry()
	})
}

func TestTokenOfTheIssuerIsTakenForWhatItSaysAndNothingElse(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	h, i := newHarness(t, now), newTestIssuer(t)
	h.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	server := h.trusting(i)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change map[string]any) string { return i.sign(i.claims(now, change)) }
	for name, c := range map[string]struct {
		token  string
		target string
		status int
	}{
		"good":                            {with(nil), "ws_a/balance", 200},
		"other workspace":                 {with(nil), "ws_b/balance", 404},
		"scp as array":                    {with(map[string]any{"scope": nil, "scp": []string{"credits:read"}}), "ws_a/balance", 200},
		"scp as text":                     {with(map[string]any{"scope": nil, "scp": "a credits:read"}), "ws_a/balance", 200},
		"every workspace":                 {with(map[string]any{"workspaces": "*"}), "ws_b/balance", 200},
		"claim of another case":           {with(map[string]any{"workspaces": nil, "Workspaces": "*"}), "ws_a/balance", 404},
		"star in an array":                {with(map[string]any{"workspaces": []string{"*"}}), "ws_a/balance", 404},
		"one id without an array":         {with(map[string]any{"workspaces": "ws_a"}), "ws_a/balance", 401},
		"no workspaces":                   {with(map[string]any{"workspaces": nil}), "ws_a/balance", 404},
		"missing scope":                   {with(map[string]any{"scope": "credits:export"}), "ws_a/balance", 403},
		"no scope":                        {with(map[string]any{"scope": nil}), "ws_a/balance", 403},
		"scope of another type":           {with(map[string]any{"scope": 7}), "ws_a/balance", 401},
		"expired within the skew":         {with(map[string]any{"exp": now.Add(-59 * time.Second).Unix()}), "ws_a/balance", 200},
		"expired":                         {with(map[string]any{"exp": now.Add(-61 * time.Second).Unix()}), "ws_a/balance", 401},
		"no expiry":                       {with(map[string]any{"exp": nil}), "ws_a/balance", 401},
		"not yet":                         {with(map[string]any{"nbf": now.Add(61 * time.Second).Unix()}), "ws_a/balance", 401},
		"not yet within the skew":         {with(map[string]any{"nbf": now.Add(59 * time.Second).Unix()}), "ws_a/balance", 200},
		"wrong issuer":                    {with(map[string]any{"iss": "https://other.example"}), "ws_a/balance", 401},
		"wrong audience":                  {with(map[string]any{"aud": "other"}), "ws_a/balance", 401},
		"no audience":                     {with(map[string]any{"aud": nil}), "ws_a/balance", 401},
		"no subject":                      {with(map[string]any{"sub": nil}), "ws_a/balance", 401},
		"algorithm none":                  {unsigned(i.claims(now, nil)), "ws_a/balance", 401},
		"hmac with the public key":        {i.confused(i.claims(now, nil)), "ws_a/balance", 401},
		"key of a stranger":               {signWith(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: "k1"}, i.claims(now, nil)), "ws_a/balance", 401},
		"changed":                         {with(nil) + "x", "ws_a/balance", 401},
		"a member is no admin":            {with(map[string]any{"scope": "credits:admin operator"}), "ws_a/balance", 403},
		"nothing but dots":                {"..", "ws_a/balance", 401},
		"wrong parameter, other tenant":   {with(nil), "ws_b/balance?as_of=x", 404},
		"wrong parameter, none such":      {with(nil), "ws_none/balance?as_of=x", 404},
		"wrong parameter, missing scope":  {with(map[string]any{"scope": "events:write"}), "ws_a/balance?as_of=x", 403},
		"wrong parameter, nobody":         {"", "ws_a/balance?as_of=x", 401},
		"wrong parameter, one who may":    {with(nil), "ws_a/balance?as_of=x", 422},
		"wrong audience of several":       {with(map[string]any{"aud": []string{"a", "b"}}), "ws_a/balance", 401},
		"right audience of several":       {with(map[string]any{"aud": []string{"a", "drawdown-api"}}), "ws_a/balance", 200},
		"subject and workspaces swapped?": {with(map[string]any{"workspaces": map[string]any{"ws_a": true}}), "ws_a/balance", 401},
	} {
		if r := h.send(server, c.token, http.MethodGet, "/v1/workspaces/"+c.target, ""); r.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, c.status)
		}
	}
	var me queryapi.Me
	r := h.send(server, with(map[string]any{"scope": "credits:admin credits:read operator"}), http.MethodGet, "/v1/me", "")
	if err := json.Unmarshal(r.body, &me); err != nil || me.Subject != "alice" || len(me.Workspaces) != 1 || !slices.Equal(me.Workspaces[0].Scopes, []queryapi.Scope{queryapi.ScopeRead}) {
		t.Errorf("%s", r.body)
	}
}

func TestKeysOfTheIssuerAreRotatedAndKeptWhileItIsAway(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	h, i := newHarness(t, now), newTestIssuer(t)
	server := h.trusting(i)
	status := func(token string) int { return h.send(server, token, http.MethodGet, "/v1/me", "").status }
	old := i.sign(i.claims(now, nil))

	i.away.Store(true)
	if got := h.send(server, old, http.MethodGet, "/v1/me", ""); h.problemOf(got).Code != queryapi.CodeIssuerUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("away from the start: %d %s", got.status, got.body)
	}
	if got := status("not.a.token"); got != 401 {
		t.Errorf("what needs no issuer: %d", got)
	}
	i.away.Store(false)
	if got := status(old); got != 200 {
		t.Fatalf("back: %d", got)
	}
	i.away.Store(true)
	h.now = now.Add(20 * time.Minute) // longer than keys are kept without asking
	if got := status(old); got != 200 {
		t.Errorf("away, with a key that is known: %d", got)
	}
	i.rotate("k2")
	fresh := i.sign(i.claims(now, nil))
	if got := status(fresh); got != 503 && got != 401 {
		t.Errorf("away, with a key that is not known: %d", got)
	}
	i.away.Store(false)
	h.now = h.now.Add(10 * time.Second)
	if got := status(fresh); got != 200 {
		t.Errorf("rotated: %d", got)
	}
	if got := status(old); got != 401 {
		t.Errorf("with the key before: %d", got)
	}
	// A flood of made-up keys is no flood at the issuer.
	before := i.asks.Load()
	for range 20 {
		status(strings.Replace(fresh, ".", "x.", 1))
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		status(signWith(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: rand.Text()}, i.claims(now, nil)))
	}
	if asked := i.asks.Load() - before; asked > 1 {
		t.Errorf("asked %d times for keys", asked)
	}
}
