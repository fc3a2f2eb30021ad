package queryapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/queryapi/devissuer"
)

// site is an API with its own issuer on a port, and a browser.
type site struct {
	*harness
	url    string
	issuer *devissuer.Issuer
	client *http.Client
	config func(*queryapi.Config)
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{harness: newHarness(t, time.Now().UTC().Truncate(time.Second))}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.url = server.URL
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.issuer, err = devissuer.New(devissuer.Config{
		BaseURL: s.url, Key: key, ClientID: "drawdown", RedirectURL: s.url + "/auth/callback", Now: func() time.Time { return s.now },
		Identities: []devissuer.Identity{
			{Subject: "dev:member", Name: "A member", Workspaces: []string{"ws_a"}, Scope: "credits:read events:write"},
			{Subject: "dev:operator", Name: "An operator", Workspaces: "*", Scope: "operator credits:read credits:admin"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sessionKey := make([]byte, queryapi.SessionKeyBytes)
	_, _ = rand.Read(sessionKey)
	s.config = func(c *queryapi.Config) {
		c.Issuer = queryapi.Issuer{URL: s.issuer.URL(), Audience: "drawdown"}
		c.SignIn = queryapi.SignIn{ClientID: "drawdown", PublicURL: s.url, SessionKey: sessionKey}
		c.DevIssuer, c.Registerer = s.issuer.Handler(), prometheus.NewRegistry()
	}
	s.server = s.serverWith(s.config)
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.server.Handler().ServeHTTP(w, r) })
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	return s
}

// browse sends a request as the browser does.
func (s *site) browse(method, target, body string, headers ...string) (int, string, *http.Response) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer
}

// signIn follows a link and chooses an identity; it returns where that ended.
func (s *site) signIn(link, identity string) (int, string, *http.Response) {
	s.t.Helper()
	status, page, answer := s.browse(http.MethodGet, link, "")
	if status != http.StatusOK || !strings.Contains(page, "An operator") {
		return status, page, answer
	}
	return s.browse(http.MethodPost, answer.Request.URL.String(), "identity="+identity,
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
}

func (s *site) me() (int, queryapi.Me) {
	s.t.Helper()
	status, text, _ := s.browse(http.MethodGet, s.url+"/v1/me", "")
	var me queryapi.Me
	if err := json.Unmarshal([]byte(text), &me); err != nil {
		s.t.Fatalf("%d %s: %v", status, text, err)
	}
	return status, me
}

func TestLinkSignsInOnceByTheCodeFlow(t *testing.T) {
	s := newSite(t)
	s.insert(event{"ws_a", "", "", s.now, 1}, event{"ws_b", "", "", s.now, 1})
	if status, _ := s.me(); status != http.StatusUnauthorized {
		t.Fatalf("before: %d", status)
	}
	if status, text, _ := s.browse(http.MethodGet, s.url+"/auth/sign-in", ""); status != http.StatusForbidden || !strings.Contains(text, "one-time link") {
		t.Errorf("without a link: %d %s", status, text)
	}
	link, late := s.issuer.Link(), s.issuer.Link()
	s.signIn(link, "0")
	status, me := s.me()
	if status != http.StatusOK || me.Subject != "dev:member" || len(me.Workspaces) != 1 || me.Workspaces[0].WorkspaceID != "ws_a" ||
		!slices.Equal(me.Workspaces[0].Scopes, []queryapi.Scope{queryapi.ScopeRead, queryapi.ScopeEvents}) {
		t.Fatalf("%d %+v\nlog: %s", status, me, s.log)
	}
	for target, want := range map[string]int{"ws_a/balance": 200, "ws_b/balance": 404, "ws_none/balance": 404} {
		if status, text, _ := s.browse(http.MethodGet, s.url+"/v1/workspaces/"+target, ""); status != want {
			t.Errorf("%s: %d %s", target, status, text)
		}
	}
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	cookies := s.client.Jar.Cookies(address)
	// Another browser with the used link, and one with a link that is too old.
	s.client.Jar, _ = cookiejar.New(nil)
	if status, text, _ := s.browse(http.MethodGet, link, ""); status != http.StatusForbidden {
		t.Errorf("used: %d %s", status, text)
	}
	s.now = s.now.Add(16 * time.Minute)
	if status, text, _ := s.browse(http.MethodGet, late, ""); status != http.StatusForbidden {
		t.Errorf("old: %d %s", status, text)
	}
	// A server that has just started takes the session.
	s.server = s.serverWith(s.config)
	s.client.Jar.SetCookies(address, cookies)
	if status, _ := s.me(); status != http.StatusOK {
		t.Errorf("after a restart: %d", status)
	}
	s.now = s.now.Add(2*time.Hour + time.Second)
	if status, _ := s.me(); status != http.StatusUnauthorized {
		t.Errorf("idle: %d", status)
	}
	var signIns uint64
	if err := s.conn.QueryRow(t.Context(), "SELECT count() FROM audit_log WHERE action = 'session.sign_in' AND subject = 'dev:member' AND credential = 'session'").Scan(&signIns); err != nil || signIns != 1 {
		t.Errorf("audited %d sign-ins: %v", signIns, err)
	}
}

func TestSessionEndsAndIsNoWeaponOfAnotherSite(t *testing.T) {
	s := newSite(t)
	s.insert(event{"ws_a", "", "", s.now, 1})
	s.signIn(s.issuer.Link(), "1")
	keys := s.url + "/v1/workspaces/ws_a/keys"
	body := `{"name":"n","scopes":["credits:read"]}`
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"no proof":     {[]string{"Content-Type", "application/json"}, 403},
		"another site": {[]string{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site", "Origin", s.url}, 403},
		"same site":    {[]string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-site"}, 403},
		"other origin": {[]string{"Content-Type", "application/json", "Origin", "http://evil.example"}, 403},
		"null origin":  {[]string{"Content-Type", "application/json", "Origin", "null"}, 403},
		"a form":       {[]string{"Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin"}, 415},
		"no type":      {[]string{"Sec-Fetch-Site", "same-origin"}, 415},
		"our page":     {[]string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}, 201},
		"our origin":   {[]string{"Content-Type", "application/json", "Origin", s.url}, 201},
	} {
		if status, text, _ := s.browse(http.MethodPost, keys, body, c.headers...); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, text, c.status)
		}
	}
	address, _ := url.Parse(s.url)
	stolen := s.client.Jar.Cookies(address)
	if status, _, _ := s.browse(http.MethodPost, s.url+"/auth/sign-out", ""); status != http.StatusForbidden {
		t.Errorf("sign-out by anybody: %d", status)
	}
	if status, _, _ := s.browse(http.MethodPost, s.url+"/auth/sign-out", "", "Sec-Fetch-Site", "same-origin"); status != http.StatusNoContent {
		t.Errorf("sign-out: %d", status)
	}
	if status, _ := s.me(); status != http.StatusUnauthorized {
		t.Errorf("signed out: %d", status)
	}
	s.client.Jar.SetCookies(address, stolen)
	if status, _ := s.me(); status != http.StatusUnauthorized {
		t.Errorf("a copy of the cookie: %d", status)
	}
	for _, r := range []struct{ path, code string }{{"/auth/callback?code=x&state=y", "no cookie"}} {
		if status, text, _ := s.browse(http.MethodGet, s.url+r.path, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", r.code, status, text)
		}
	}
}

func TestSignInEndsTheSessionThatTheBrowserHadBefore(t *testing.T) {
	s := newSite(t)
	s.insert(event{"ws_a", "", "", s.now, 1})
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	s.signIn(s.issuer.Link(), "1")
	before := s.client.Jar.Cookies(address)
	if status, me := s.me(); status != http.StatusOK || me.Subject != "dev:operator" {
		t.Fatalf("signed in: %d %v", status, me)
	}
	s.signIn(s.issuer.Link(), "0")
	after := s.client.Jar.Cookies(address)
	if status, me := s.me(); status != http.StatusOK || me.Subject != "dev:member" {
		t.Errorf("signed in as somebody else: %d %v", status, me)
	}
	// As a late answer does that renews it.
	s.client.Jar.SetCookies(address, before)
	if status, me := s.me(); status != http.StatusUnauthorized {
		t.Errorf("the session before: %d %v", status, me)
	}
	s.client.Jar.SetCookies(address, after)
	if status, _ := s.me(); status != http.StatusOK {
		t.Errorf("the session that was begun: %d", status)
	}
}

func TestSignOutEndsTheSessionAtEveryServer(t *testing.T) {
	s := newSite(t)
	s.insert(event{"ws_a", "", "", s.now, 1})
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	first, second := s.server, s.serverWith(s.config)
	s.signIn(s.issuer.Link(), "0")
	copied := s.client.Jar.Cookies(address)
	bystander := &site{harness: s.harness, url: s.url, issuer: s.issuer, client: &http.Client{Transport: s.client.Transport}}
	bystander.client.Jar, _ = cookiejar.New(nil)
	bystander.signIn(s.issuer.Link(), "0")
	me := func(server *queryapi.Server, cookies []*http.Cookie) int {
		t.Helper()
		s.server = server
		s.client.Jar.SetCookies(address, cookies)
		status, _ := s.me()
		return status
	}
	if a, b := me(first, copied), me(second, copied); a != 200 || b != 200 {
		t.Fatalf("signed in: %d, %d", a, b)
	}

	// What cannot be written down has not happened.
	dead, err := clickhouse.Open(&clickhouse.Options{Addr: []string{storetest.FreeAddr(t)}, DialTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dead.Close() }()
	s.server = s.serverWith(func(c *queryapi.Config) { s.config(c); c.ClickHouse = dead })
	if status, text, _ := s.browse(http.MethodPost, s.url+"/auth/sign-out", "", "Sec-Fetch-Site", "same-origin"); status != http.StatusServiceUnavailable {
		t.Errorf("without a store: %d %s", status, text)
	}
	if len(s.client.Jar.Cookies(address)) == 0 {
		t.Error("without a store the cookie is gone and nobody can try again")
	}

	s.server = first
	if status, text, _ := s.browse(http.MethodPost, s.url+"/auth/sign-out", "", "Sec-Fetch-Site", "same-origin"); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, text)
	}
	if status, _ := s.me(); status != http.StatusUnauthorized {
		t.Errorf("without a cookie: %d", status)
	}
	if got := me(first, copied); got != 401 {
		t.Errorf("a copy, where it was: %d", got)
	}
	s.now = s.now.Add(time.Second)
	if got := me(second, copied); got != 401 {
		t.Errorf("a copy, at another server a second later: %d", got)
	}
	if got := me(s.serverWith(s.config), copied); got != 401 {
		t.Errorf("a copy, at a server that has just started: %d", got)
	}
	s.now = s.now.Add(time.Hour)
	if got := me(second, copied); got != 401 {
		t.Errorf("a copy, an hour later: %d", got)
	}
	if got := me(second, bystander.client.Jar.Cookies(address)); got != 200 {
		t.Errorf("another session of the same person: %d", got)
	}
}
