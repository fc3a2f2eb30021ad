package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
)

// browser is a browser of its own.
type browser struct {
	*http.Client
	t testing.TB
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}, t}
}

// open follows an address and its redirects; a form is sent to it if there is
// one.
func (b *browser) open(address string, form url.Values) (status int, body, landed string) {
	b.t.Helper()
	method, text := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, text = http.MethodPost, strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(b.t.Context(), method, address, text)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	answer, err := b.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer.StatusCode, string(read), answer.Request.URL.String()
}

var (
	signInLink = regexp.MustCompile(`http://\S+/dev-issuer/enter\?link=\S+`)
	choice     = regexp.MustCompile(`<button name="identity" value="(\d+)">([^<:,]+)`)
)

// follow takes a one-time link and chooses who to be, by name.
func (b *browser) follow(link, name string) {
	b.t.Helper()
	status, page, landed := b.open(link, nil)
	for _, match := range choice.FindAllStringSubmatch(page, -1) {
		if match[2] == name {
			b.open(landed, url.Values{"identity": {match[1]}})
			return
		}
	}
	b.t.Fatalf("%s: %d, nobody is called %s: %s", landed, status, name, page)
}

func TestUpSignsInByLinkEachIdentityToWhatIsItsOwn(t *testing.T) {
	t.Parallel()
	s := startStack(t, "--demo")
	links := signInLink.FindAllString(printed(t, s.up, "sign-in-link):\n  http"), -1)
	if len(links) != 1 {
		t.Fatalf("up printed the links %q", links)
	}
	demo := []string{"demo-acme", "demo-globex", "demo-initech"}
	storetest.Wait(t, settleWithin, "the demo workspaces are there", func() (bool, error) {
		var me queryapi.Me
		err := s.api.get("me", nil, &me)
		return len(me.Workspaces) == len(demo), err
	})
	member := []queryapi.Scope{queryapi.ScopeRead, queryapi.ScopeExport, queryapi.ScopeAlerts, queryapi.ScopeEvents}
	var last *browser // the operator's
	for i, c := range []struct {
		name, subject string
		workspaces    []string
		scopes        []queryapi.Scope
		balances      []int // of demo
		list          int
	}{
		{"Alice", "dev:alice", demo[:1], member, []int{200, 404, 404}, 403},
		{"Bob", "dev:bob", demo[:1], []queryapi.Scope{queryapi.ScopeEvents}, []int{403, 404, 404}, 403},
		{"Carol", "dev:carol", demo[1:2], member, []int{404, 200, 404}, 403},
		{"Operator", "dev:operator", demo, append(slices.Clone(member), queryapi.ScopeAdmin, queryapi.ScopeOps), []int{200, 200, 200}, 200},
	} {
		b := newBrowser(t)
		last = b
		if status, _, _ := b.open(s.api.url+"/v1/me", nil); status != http.StatusUnauthorized {
			t.Errorf("%s, before: %d", c.name, status)
		}
		link := links[0]
		if i > 0 {
			link = strings.TrimSpace(mustRun(t, "sign-in-link", "--data", s.data))
		}
		b.follow(link, c.name)
		status, text, _ := b.open(s.api.url+"/v1/me", nil)
		var me queryapi.Me
		if err := json.Unmarshal([]byte(text), &me); err != nil || status != http.StatusOK || me.Subject != c.subject || len(me.Workspaces) != len(c.workspaces) {
			t.Fatalf("%s is %d %s", c.name, status, text)
		}
		for n, w := range me.Workspaces {
			got, want := slices.Sorted(slices.Values(w.Scopes)), slices.Sorted(slices.Values(c.scopes))
			if w.WorkspaceID != c.workspaces[n] || !slices.Equal(got, want) {
				t.Errorf("%s has %+v in place of %s with %v", c.name, w, c.workspaces[n], want)
			}
		}
		for n, workspace := range demo {
			b.balance(s.api, c.name, workspace, c.balances[n])
		}
		status, text, _ = b.open(s.api.url+"/v1/workspaces", nil)
		if status != c.list || status == http.StatusOK && strings.Count(text, `"workspace_id"`) != len(demo) {
			t.Errorf("the list of workspaces is for %s %d %s", c.name, status, text)
		}

		// A link is good once, for whoever comes.
		second := newBrowser(t)
		if status, text, _ := second.open(link, nil); status != http.StatusForbidden || !strings.Contains(text, "drawdown sign-in-link") {
			t.Errorf("the link of %s again: %d %s", c.name, status, text)
		}
		if status, _, _ := second.open(s.api.url+"/auth/sign-in", nil); status != http.StatusForbidden {
			t.Errorf("without a link: %d", status)
		}
	}
	for _, name := range []string{"session.key", "issuer.key"} {
		if info, err := os.Stat(filepath.Join(s.data, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	issuer := serveTakesAnotherIssuer(t, s)

	s.up.Stop()
	if code, _, said := run(t, "sign-in-link", "--data", s.data); code != 1 || !strings.Contains(said, "is 'drawdown up' running?") {
		t.Errorf("sign-in-link without up exited with %d: %s", code, said)
	}

	// With an issuer of its own up has no links, and who came by one is out.
	s.flags = append(s.flags, "--oidc-issuer", issuer.URL, "--oidc-client-id", storetest.ClientPublic, "--oidc-scopes", "drawdown")
	s.start()
	said := printed(t, s.up, "Sign in with a browser")
	if signInLink.MatchString(said) || !strings.Contains(said, s.api.url+"/auth/sign-in\n") {
		t.Errorf("with an issuer up prints %s", said)
	}
	if status, text, _ := last.open(s.api.url+"/v1/me", nil); status != http.StatusUnauthorized {
		t.Errorf("a session by a link is with an issuer %d %s", status, text)
	}
	if code, _, said := run(t, "sign-in-link", "--data", s.data); code != 1 || !strings.Contains(said, "a real issuer is configured") {
		t.Errorf("sign-in-link with an issuer exited with %d: %s", code, said)
	}
	answer, body, err := issuer.SignIn(newBrowser(t).Client, s.api.url+"/auth/sign-in?return_to=/v1/me", "olga")
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"olga"`) {
		t.Errorf("with an issuer: %v, %d %s", err, answer.StatusCode, body)
	}
}

// printed waits for a text on the standard output, which comes to us a moment
// after it was written, and then for the end of its line.
func printed(t testing.TB, p *program, text string) string {
	t.Helper()
	storetest.Wait(t, readyWithin, "drawdown prints "+text, func() (bool, error) {
		_, after, found := strings.Cut(p.Stdout.String(), text)
		return found && strings.Contains(after, "\n"), nil
	})
	return p.Stdout.String()
}

// balance compares what a session sees with what the installation's token
// does, while nothing is counted in between.
func (b *browser) balance(all *api, who, workspace string, want int) {
	b.t.Helper()
	path := "workspaces/" + workspace + "/balance"
	storetest.Wait(b.t, settleWithin, "the balance of "+workspace+" stands still", func() (bool, error) {
		var before, seen, after balanceAnswer
		all.must(path, nil, &before)
		status, text, _ := b.open(all.url+"/v1/"+path, nil)
		all.must(path, nil, &after)
		if status != want {
			b.t.Errorf("%s gets for %s %d %s", who, workspace, status, text)
		}
		if want != http.StatusOK || status != want {
			return true, nil
		}
		if before.Used != after.Used || before.Allocated != after.Allocated {
			return false, nil
		}
		err := json.Unmarshal([]byte(text), &seen)
		if seen.Used != after.Used || seen.Allocated != after.Allocated || seen.Remaining != after.Remaining || seen.Allocated == 0 {
			b.t.Errorf("%s gets for %s %s, the token %+v", who, workspace, text, after)
		}
		return true, err
	})
}

// serveTakesAnotherIssuer: `serve` on the stores of up, with an OpenID provider
// that is not ours and starts after it.
func serveTakesAnotherIssuer(t *testing.T, s *stack) *storetest.Issuer {
	t.Helper()
	const audience = "https://credits.example"
	addr, ops := storetest.FreeAddr(t), storetest.FreeAddr(t)
	public := "http://" + addr
	issuer := storetest.PrepareIssuer(t, storetest.IssuerOptions{
		RedirectURLs: []string{public + "/auth/callback", s.api.url + "/auth/callback"},
		Machine:      storetest.IssuerClaims{Workspaces: []string{"demo-acme"}},
		Accounts:     map[string]storetest.IssuerClaims{"olga": {Workspaces: "*", Scope: "credits:read operator"}},
	})
	p := startIn(t, []string{"DRAWDOWN_OIDC_CLIENT_SECRET=" + storetest.IssuerSecret}, "serve", "--data", s.data, "--api-listen", addr, "--ops-listen", ops,
		"--oidc-issuer", issuer.URL, "--oidc-audience", audience, "--oidc-client-id", storetest.ClientConfidential, "--oidc-scopes", "drawdown")
	awaitReady(t, p, ops)
	saidOfIssuer := func() []string { return p.Stderr.Lines(issuer.URL + "/.well-known/openid-configuration") }
	storetest.Wait(t, readyWithin, "serve says that its issuer does not answer", func() (bool, error) {
		said := saidOfIssuer()
		return len(said) == 1 && strings.Contains(said[0], "level=WARN"), nil
	})
	b := newBrowser(t)
	if status, text, _ := b.open(public+"/auth/sign-in", nil); status != http.StatusServiceUnavailable || !strings.Contains(text, `"issuer_unavailable"`) {
		t.Errorf("without the provider: %d %s", status, text)
	}
	storetest.Wait(t, readyWithin, "serve says that it needed its issuer", func() (bool, error) {
		said := saidOfIssuer()
		return len(said) == 2 && strings.Contains(said[1], "level=ERROR"), nil
	})
	issuer.Start()
	other := newAPI(t, public)
	for workspace, want := range map[string]int{"demo-acme": 200, "demo-globex": 404} {
		other.token = issuer.MachineToken(audience, "credits:read")
		var balance balanceAnswer
		err := other.get("workspaces/"+workspace+"/balance", nil, &balance)
		if want == http.StatusOK && (err != nil || balance.Allocated == 0) || want != http.StatusOK && !isStatus(err, want) {
			t.Errorf("a token for demo-acme gets for %s %+v, %v", workspace, balance, err)
		}
	}
	other.token = issuer.MachineToken("https://other.example", "credits:read")
	if err := other.get("me", nil, nil); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("a token for another audience gets %v", err)
	}
	answer, body, err := issuer.SignIn(b.Client, public+"/auth/sign-in?return_to=/v1/workspaces", "olga")
	if err != nil || answer.StatusCode != http.StatusOK || strings.Count(string(body), `"workspace_id"`) != 3 {
		t.Errorf("signed in at the provider: %v, %d %s", err, answer.StatusCode, body)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("serve exited with %d", code)
	}
	if strings.Contains(p.Stderr.String(), storetest.IssuerSecret) {
		t.Error("the client secret is in the log")
	}
	return issuer
}
