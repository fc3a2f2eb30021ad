package queryapi_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/oauth2"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
)

// oidcAudience is what the API calls itself at the provider.
const oidcAudience = "https://api.drawdown.test"

// oidcAccounts are who can sign in at the provider.
var oidcAccounts = map[string]storetest.IssuerClaims{
	"alice":  {Workspaces: []string{"ws_a"}, Scope: "openid credits:read events:write"},
	"bob":    {Workspaces: []string{"ws_a"}, Scope: "events:write"},
	"carol":  {Workspaces: []string{"ws_b"}, Scope: "credits:read credits:admin operator"}, // a member is no admin
	"olga":   {Workspaces: "*", Scope: "operator credits:read credits:admin"},
	"nobody": {},
	"ghost":  {Forgotten: true},
}

// oidcSite is an API on a port whose issuer is a provider that is not ours.
type oidcSite struct {
	*harness
	url    string
	issuer *storetest.Issuer
	key    []byte
}

// newOIDCSite makes one whose provider does not run yet. In it ws_a has 7
// credits left and ws_b owes 2.
func newOIDCSite(t *testing.T, o storetest.IssuerOptions) *oidcSite {
	t.Helper()
	s := &oidcSite{harness: newHarness(t, time.Now().UTC()), key: make([]byte, queryapi.SessionKeyBytes)}
	_, _ = rand.Read(s.key)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.server.Handler().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.url = server.URL
	o.RedirectURLs, o.Accounts = []string{s.url + "/auth/callback"}, oidcAccounts
	s.issuer = storetest.PrepareIssuer(t, o)
	s.grant("ws_a", "g1", 10_000_000, s.now.Add(-time.Hour), nil)
	s.insert(event{"ws_a", "", "", s.now.Add(-time.Minute), 3_000_000}, event{"ws_b", "", "", s.now.Add(-time.Minute), 2_000_000})
	s.serveAs(storetest.ClientPublic, "")
	return s
}

// serveAs has the API be this client of the provider from now on.
func (s *oidcSite) serveAs(client, secret string) {
	s.t.Helper()
	s.server = s.serverWith(func(c *queryapi.Config) {
		c.Issuer = queryapi.Issuer{URL: s.issuer.URL, Audience: oidcAudience}
		c.SignIn = queryapi.SignIn{ClientID: client, ClientSecret: secret, PublicURL: s.url, SessionKey: s.key, Scopes: []string{"drawdown"}}
		c.Registerer = prometheus.NewRegistry()
	})
}

// oidcBrowser is a browser of its own.
type oidcBrowser struct {
	*http.Client
	s *oidcSite
}

func (s *oidcSite) browser() *oidcBrowser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &oidcBrowser{&http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}, s}
}

// signIn signs in as subject and ends at /v1/me, or where that fails.
func (b *oidcBrowser) signIn(subject string) (int, []byte) {
	b.s.t.Helper()
	answer, body, err := b.s.issuer.SignIn(b.Client, b.s.url+"/auth/sign-in?return_to=/v1/me", subject)
	if err != nil {
		b.s.t.Fatal(err)
	}
	return answer.StatusCode, body
}

// get follows an address and its redirects.
func (b *oidcBrowser) get(address string) (int, []byte) {
	b.s.t.Helper()
	answer, body, err := b.s.issuer.SignIn(b.Client, address, "")
	if err != nil {
		b.s.t.Fatal(err)
	}
	return answer.StatusCode, body
}

// redirected is where an address of the API or the provider sends the browser,
// which does not go there.
func (b *oidcBrowser) redirected(address string) string {
	b.s.t.Helper()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { b.CheckRedirect = nil }()
	answer, body, err := b.s.issuer.SignIn(b.Client, address, "")
	if err != nil || answer.StatusCode != http.StatusSeeOther {
		b.s.t.Fatalf("%s: %v, %d %s", address, err, answer.StatusCode, body)
	}
	return answer.Header.Get("Location")
}

// untilCallback signs in at the provider, beginning at its authorization
// endpoint, and returns the address it sends the browser back to.
func (b *oidcBrowser) untilCallback(authorize, subject string) string {
	b.s.t.Helper()
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/auth/callback" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.CheckRedirect = nil }()
	answer, body, err := b.s.issuer.SignIn(b.Client, authorize, subject)
	if err != nil {
		b.s.t.Fatal(err)
	}
	back := answer.Header.Get("Location")
	if !strings.HasPrefix(back, b.s.url+"/auth/callback?") {
		b.s.t.Fatalf("the provider does not send back: %d %q %s", answer.StatusCode, back, body)
	}
	return back
}

// changed is an address with a parameter set, or removed if value is "".
func changed(t *testing.T, address, name, value string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	if query.Get(name) == "" {
		t.Fatalf("%s has no %s", address, name)
	}
	if query.Set(name, value); value == "" {
		query.Del(name)
	}
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

func meOf(t *testing.T, body []byte) (me queryapi.Me) {
	t.Helper()
	if err := json.Unmarshal(body, &me); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return me
}

func TestBrowserSignsInAtAnIndependentProvider(t *testing.T) {
	t.Parallel()
	clients := map[string]string{
		storetest.ClientPublic: "", storetest.ClientConfidential: storetest.IssuerSecret, storetest.ClientConfidentialPost: storetest.IssuerSecret,
	}
	for name, o := range map[string]storetest.IssuerOptions{
		"claims in the id token, RS256":   {ClaimsInIDToken: true},
		"claims in userinfo alone, ES256": {Algorithm: "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newOIDCSite(t, o)
			s.issuer.Start()
			for client, secret := range clients {
				s.serveAs(client, secret)
				b := s.browser()
				if status, body := b.get(s.url + "/v1/me"); status != http.StatusUnauthorized {
					t.Errorf("%s, before: %d %s", client, status, body)
				}
				status, body := b.signIn("alice")
				if status != http.StatusOK {
					t.Fatalf("%s: %d %s\nlog: %s", client, status, body, s.log)
				}
				me := meOf(t, body)
				if me.Subject != "alice" || len(me.Workspaces) != 1 || me.Workspaces[0].WorkspaceID != "ws_a" ||
					!slices.Equal(me.Workspaces[0].Scopes, []queryapi.Scope{queryapi.ScopeRead, queryapi.ScopeEvents}) {
					t.Errorf("%s: %s", client, body)
				}
				var balance struct{ Remaining, Used string }
				status, body = b.get(s.url + "/v1/workspaces/ws_a/balance")
				if err := json.Unmarshal(body, &balance); err != nil || status != http.StatusOK || balance.Remaining != "7" || balance.Used != "3" {
					t.Errorf("%s: %d %s", client, status, body)
				}
				if status, body := b.get(s.url + "/v1/workspaces/ws_b/balance"); status != http.StatusNotFound {
					t.Errorf("%s, a workspace of others: %d %s", client, status, body)
				}
			}
			for subject, want := range map[string]struct{ a, b, all int }{ // of the balances and the list of workspaces
				"alice": {200, 404, 403}, "bob": {403, 404, 403}, "carol": {404, 200, 403}, "olga": {200, 200, 200}, "nobody": {404, 404, 403},
			} {
				b := s.browser()
				signedIn, _ := b.signIn(subject)
				a, _ := b.get(s.url + "/v1/workspaces/ws_a/balance")
				other, _ := b.get(s.url + "/v1/workspaces/ws_b/balance")
				all, _ := b.get(s.url + "/v1/workspaces")
				if a != want.a || other != want.b || all != want.all {
					t.Errorf("%s: %d, then %d, %d, %d instead of %v", subject, signedIn, a, other, all, want)
				}
			}
		})
	}
}

func TestSignInTakesNoAnswerButItsOwn(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{ClaimsInIDToken: true})
	s.issuer.Start()
	begin := s.url + "/auth/sign-in"
	for name, c := range map[string]struct {
		status   int
		says     string
		callback func(b *oidcBrowser) string // where the browser is sent in place of the true address
	}{
		"another state": {400, "another sign-in", func(b *oidcBrowser) string {
			return changed(t, b.untilCallback(begin, "alice"), "state", "x")
		}},
		"no state": {400, "another sign-in", func(b *oidcBrowser) string {
			return changed(t, b.untilCallback(begin, "alice"), "state", "")
		}},
		"another issuer": {400, "another issuer", func(b *oidcBrowser) string {
			return changed(t, b.untilCallback(begin, "alice"), "iss", "https://other.example")
		}},
		"an issuer that hides its name": {400, "another issuer", func(b *oidcBrowser) string {
			return changed(t, b.untilCallback(begin, "alice"), "iss", "")
		}},
		"another browser": {400, "no sign-in is under way", func(*oidcBrowser) string {
			return s.browser().untilCallback(begin, "alice")
		}},
		"a made-up code": {401, "does not take the code", func(b *oidcBrowser) string {
			return changed(t, b.untilCallback(begin, "alice"), "code", "x")
		}},
		"a code of another browser": {401, "does not take the code", func(b *oidcBrowser) string {
			stolen, err := url.Parse(s.browser().untilCallback(begin, "olga"))
			if err != nil {
				t.Fatal(err)
			}
			return changed(t, b.untilCallback(begin, "alice"), "code", stolen.Query().Get("code"))
		}},
		"another nonce": {401, "another sign-in", func(b *oidcBrowser) string {
			return b.untilCallback(changed(t, b.redirected(begin), "nonce", "x"), "alice")
		}},
		"another challenge": {401, "does not take the code", func(b *oidcBrowser) string {
			return b.untilCallback(changed(t, b.redirected(begin), "code_challenge", oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())), "alice")
		}},
		"no challenge": {401, "invalid_request", func(b *oidcBrowser) string {
			without := changed(t, b.redirected(begin), "code_challenge", "")
			return b.untilCallback(changed(t, without, "code_challenge_method", ""), "alice")
		}},
		"a plain challenge": {401, "invalid_request", func(b *oidcBrowser) string {
			return b.untilCallback(changed(t, b.redirected(begin), "code_challenge_method", "plain"), "alice")
		}},
		"who changes their mind": {401, "access_denied", func(b *oidcBrowser) string {
			return b.untilCallback(begin, "")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			callback := c.callback(b)
			if status, body := b.get(callback); status != c.status || !strings.Contains(string(body), c.says) {
				t.Errorf("%d %s", status, body)
			}
			if status, body := b.get(s.url + "/v1/me"); status != http.StatusUnauthorized {
				t.Errorf("signed in all the same: %d %s", status, body)
			}
		})
	}
	// What somebody who runs this has to know of is in the log.
	if log := s.log.String(); strings.Count(log, "invalid_request") != 2 || strings.Contains(log, "access_denied") {
		t.Errorf("log: %s", log)
	}
}

func TestCallbackIsGoodOnce(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{ClaimsInIDToken: true})
	s.issuer.Start()
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	callback := b.untilCallback(s.url+"/auth/sign-in?return_to=/v1/me", "alice")
	underWay := b.Jar.Cookies(address)

	// Who has seen the address alone gets nothing for it at the provider.
	seen, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {seen.Query().Get("code")}, "redirect_uri": {s.url + "/auth/callback"}}
	if status, body := s.issuer.Token(storetest.ClientPublic, form); status != http.StatusBadRequest || !strings.Contains(string(body), "invalid_grant") {
		t.Errorf("without a verifier the provider answers %d %s", status, body)
	}
	// Nor does an answer to another sign-in disturb this one.
	if status, body := b.get(changed(t, callback, "state", "x")); status != http.StatusBadRequest {
		t.Errorf("%d %s", status, body)
	}
	if status, body := b.get(callback); status != http.StatusOK || meOf(t, body).Subject != "alice" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := b.get(callback); status != http.StatusBadRequest {
		t.Errorf("again: %d %s", status, body)
	}
	thief := s.browser()
	thief.Jar.SetCookies(address, underWay)
	if status, body := thief.get(callback); status != http.StatusUnauthorized || !strings.Contains(string(body), "does not take the code") {
		t.Errorf("again, with the cookies from before: %d %s", status, body)
	}
	if status, body := thief.get(s.url + "/v1/me"); status != http.StatusUnauthorized {
		t.Errorf("the thief is in: %d %s", status, body)
	}
}

// Whoever had an installation to themselves, and then gave it an issuer, does
// not mean those to stay who signed in before.
func TestSessionIsGoodAtTheIssuerThatItIsOf(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{})
	s.issuer.Start()
	b := s.browser()
	if status, body := b.signIn("olga"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	s.serveAs(storetest.ClientConfidential, storetest.IssuerSecret)
	if status, body := b.get(s.url + "/v1/me"); status != http.StatusOK {
		t.Errorf("as another client: %d %s", status, body)
	}
	s.server = s.serverWith(func(c *queryapi.Config) {
		c.Issuer = queryapi.Issuer{URL: "https://other.example", Audience: oidcAudience}
		c.SignIn = queryapi.SignIn{ClientID: storetest.ClientPublic, PublicURL: s.url, SessionKey: s.key}
		c.Registerer = prometheus.NewRegistry()
	})
	if status, body := b.get(s.url + "/v1/me"); status != http.StatusUnauthorized {
		t.Errorf("of another issuer: %d %s", status, body)
	}
}

func TestAccessTokensOfAnIndependentProvider(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{
		ClaimsInIDToken: true, Machine: storetest.IssuerClaims{Workspaces: []string{"ws_a"}},
	})
	s.issuer.Start()
	balance := func(token string) (int, string) {
		r := s.send(s.server, token, http.MethodGet, "/v1/workspaces/ws_a/balance", "")
		return r.status, string(r.body)
	}
	good := s.issuer.MachineToken(oidcAudience, "credits:read events:write")
	person := s.personToken("alice", oidcAudience, "credits:read")
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"of a program":                       {good, 200},
		"of a person":                        {person.AccessToken, 200},
		"without the scope":                  {s.issuer.MachineToken(oidcAudience, "events:write"), 403},
		"for another audience":               {s.issuer.MachineToken("https://other.test", "credits:read"), 401},
		"of a person, for another audience":  {s.personToken("alice", "https://other.test", "credits:read").AccessToken, 401},
		"of a person who may see ws_b alone": {s.personToken("carol", oidcAudience, "credits:read").AccessToken, 404},
		"id token":                           {person.IDToken, 401}, // is for the client
		"opaque access token":                {s.personToken("alice", "", "").AccessToken, 401},
		"with another signature":             {good[:strings.LastIndexByte(good, '.')+1] + strings.Repeat("A", 342), 401},
	} {
		if status, body := balance(c.token); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
	}
	var me queryapi.Me
	r := s.send(s.server, person.AccessToken, http.MethodGet, "/v1/me", "")
	if me = meOf(t, r.body); me.Subject != "alice" || len(me.Workspaces) != 1 || !slices.Equal(me.Workspaces[0].Scopes, []queryapi.Scope{queryapi.ScopeRead}) {
		t.Errorf("%s", r.body)
	}
	for _, c := range []struct {
		after  time.Duration
		status int
	}{{time.Hour, 200}, {time.Hour + 2*time.Minute, 401}} { // a minute of skew is forgiven
		s.now = time.Now().Add(c.after)
		if status, body := balance(good); status != c.status {
			t.Errorf("after %s: %d %s", c.after, status, body)
		}
	}
}

// personTokens are what the provider grants.
type personTokens struct {
	AccessToken string `json:"access_token"`
	IDToken     string `json:"id_token"`
}

// personToken gets tokens as an application of a person's does, by a code flow
// of its own.
func (s *oidcSite) personToken(subject, resource, scope string) personTokens {
	s.t.Helper()
	verifier := oauth2.GenerateVerifier()
	query := url.Values{
		"client_id": {storetest.ClientPublic}, "response_type": {"code"}, "redirect_uri": {s.url + "/auth/callback"}, "scope": {"openid " + scope},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	form := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {s.url + "/auth/callback"}, "code_verifier": {verifier}}
	if resource != "" {
		query.Set("resource", resource)
	}
	back, err := url.Parse(s.browser().untilCallback(s.issuer.URL+"/auth?"+query.Encode(), subject))
	if err != nil {
		s.t.Fatal(err)
	}
	form.Set("code", back.Query().Get("code"))
	var granted personTokens
	if status, body := s.issuer.Token(storetest.ClientPublic, form); status != http.StatusOK || json.Unmarshal(body, &granted) != nil {
		s.t.Fatalf("the provider grants nothing: %d %s", status, body)
	}
	return granted
}

func TestIndependentProviderStopsStartsAndRotatesItsKeys(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			s := newOIDCSite(t, storetest.IssuerOptions{
				Algorithm: algorithm, Machine: storetest.IssuerClaims{Workspaces: []string{"ws_a"}},
			})
			b := s.browser()
			status := func(token string) int {
				t.Helper()
				r := s.send(s.server, token, http.MethodGet, "/v1/workspaces/ws_a/balance", "")
				if r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "" {
					t.Errorf("no Retry-After: %s", r.body)
				}
				return r.status
			}
			token := func() string { return s.issuer.MachineToken(oidcAudience, "credits:read") }

			// The API was there first.
			if status, body := b.get(s.url + "/auth/sign-in"); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "issuer_unavailable") ||
				!strings.Contains(s.log.String(), "cannot discover the issuer "+s.issuer.URL) {
				t.Errorf("down from the start: %d %s\nlog: %s", status, body, s.log)
			}
			s.issuer.Start()
			old := token()
			if got := status(old); got != 200 {
				t.Fatalf("up: %d\nlog: %s", got, s.log)
			}
			if status, body := b.signIn("alice"); status != 200 {
				t.Errorf("up: %d %s", status, body)
			}

			// It goes: who is known stays, nobody new comes in.
			caller := s.browser()
			callback := caller.untilCallback(s.url+"/auth/sign-in", "alice")
			s.issuer.Stop()
			s.now = s.now.Add(11 * time.Minute) // longer than keys are kept without asking
			if got := status(old); got != 200 {
				t.Errorf("down, with a key that is known: %d", got)
			}
			if status, body := b.get(s.url + "/v1/me"); status != 200 {
				t.Errorf("down, with a session: %d %s", status, body)
			}
			if status, body := caller.get(callback); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "issuer_unavailable") {
				t.Errorf("down in the middle of a sign-in: %d %s", status, body)
			}

			// It comes back with other keys.
			s.issuer.Start()
			fresh := token()
			if got := status(fresh); got != 401 && got != 200 { // within 5 s of the last question
				t.Errorf("other keys: %d", got)
			}
			s.now = s.now.Add(6 * time.Second)
			if got := status(fresh); got != 200 {
				t.Errorf("other keys, 6 s later: %d\nlog: %s", got, s.log)
			}
			if got := status(old); got != 401 {
				t.Errorf("a key that is withdrawn: %d", got)
			}
			if status, body := caller.signIn("alice"); status != 200 {
				t.Errorf("back: %d %s", status, body)
			}

			// Nobody shows a token of the next keys: the old ones go by their age.
			s.issuer.Stop()
			s.issuer.Start()
			if got := status(fresh); got != 200 {
				t.Errorf("a key withdrawn just now: %d", got)
			}
			s.now = s.now.Add(10 * time.Minute)
			if got := status(fresh); got != 401 {
				t.Errorf("a key withdrawn 10 minutes ago: %d", got)
			}
		})
	}
}

func TestIssuerThatIsNotWhoItShouldBeIsInTheLogFromTheStart(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{})
	s.issuer.Start()
	for url, says := range map[string]string{
		s.issuer.URL:                      "",
		s.issuer.URL + "/":                "did not match",
		"http://" + storetest.FreeAddr(t): "connection refused",
	} {
		s.log.Reset()
		server := s.serverWith(func(c *queryapi.Config) {
			c.Issuer, c.Registerer = queryapi.Issuer{URL: url, Audience: oidcAudience}, prometheus.NewRegistry()
		})
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // Run ends when it has asked
		if err := server.Run(ctx, listener); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if log := s.log.String(); !strings.Contains(log, says) || says == "" && log != "" {
			t.Errorf("%s: log %q does not say %q", url, log, says)
		}
	}
}

func TestProviderThatHangsHoldsUpOneRequestAndNotTheOthers(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{Machine: storetest.IssuerClaims{Workspaces: []string{"ws_a"}}})
	s.issuer.Start()
	token := s.issuer.MachineToken(oidcAudience, "credits:read")
	statuses := make(chan int)
	ask := func() { statuses <- s.send(s.server, token, http.MethodGet, "/v1/workspaces/ws_a/balance", "").status }
	go ask()
	if got := <-statuses; got != 200 {
		t.Fatalf("%d", got)
	}
	s.now = s.now.Add(11 * time.Minute) // longer than keys are kept without asking
	s.issuer.Pause()
	began := time.Now()
	for range 8 {
		go ask()
	}
	for range 7 {
		if got := <-statuses; got != 200 {
			t.Errorf("while it hangs: %d", got)
		}
	}
	// The API waits 5 s for an issuer.
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("seven of eight requests waited %s", took)
	}
	s.issuer.Resume()
	if got := <-statuses; got != 200 {
		t.Errorf("who asked: %d", got)
	}
}

// In userinfo alone is who signs in; what keeps the provider from saying it is
// not their fault.
func TestProviderThatDoesNotSayWhoSignedInIsAway(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{})
	s.issuer.Start()
	b := s.browser()
	if status, body := b.signIn("ghost"); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "issuer_unavailable") {
		t.Errorf("%d %s", status, body)
	}
	if log := s.log.String(); !strings.Contains(log, "cannot ask the issuer who signed in") {
		t.Errorf("log: %s", log)
	}
	if status, body := b.get(s.url + "/v1/me"); status != http.StatusUnauthorized {
		t.Errorf("signed in all the same: %d %s", status, body)
	}
}

func TestWrongClientSecretIsOurFaultAndInTheLog(t *testing.T) {
	t.Parallel()
	s := newOIDCSite(t, storetest.IssuerOptions{})
	s.issuer.Start()
	s.serveAs(storetest.ClientConfidential, "an old one")
	if status, body := s.browser().signIn("alice"); status != http.StatusInternalServerError || strings.Contains(string(body), "secret") {
		t.Errorf("%d %s", status, body)
	}
	if log := s.log.String(); !strings.Contains(log, "invalid_client") || strings.Contains(log, "an old one") {
		t.Errorf("log: %s", log)
	}
}
