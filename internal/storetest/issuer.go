package storetest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Clients that an Issuer knows. The first three may sign people in, with PKCE
// only; the last gets tokens of its own.
const (
	ClientConfidential     = "confidential"      // with IssuerSecret as basic authentication
	ClientConfidentialPost = "confidential-post" // with IssuerSecret in the form
	ClientPublic           = "public"
	ClientMachine          = "machine" // client credentials, with IssuerSecret
	IssuerSecret           = "no secret / of: tests+" + "& more, to be escaped"
)

// IssuerOptions describe an Issuer.
type IssuerOptions struct {
	RedirectURLs []string // where it may send browsers back to
	Algorithm    string   // of its signatures, RS256 or ES256; "": RS256
	// Accounts are who can sign in, by subject.
	Accounts map[string]IssuerClaims
	// Machine is what tokens of ClientMachine say; their scope is what is asked.
	Machine IssuerClaims
	// ClaimsInIDToken has the id token say what is asked by scope "drawdown".
	// Without, only userinfo does, as OpenID Connect Core 5.4 has it.
	ClaimsInIDToken bool
}

// IssuerClaims are the claims of somebody.
type IssuerClaims struct {
	Workspaces any    `json:"workspaces,omitempty"` // "*" or []string
	Scope      string `json:"scope,omitempty"`
	Forgotten  bool   `json:"forgotten,omitempty"` // userinfo does not know them, though they can sign in
}

// Issuer is an OpenID provider that is not ours: oidc-provider, as a process of
// a test's own. Its URL stays the same over restarts; its keys, and all that it
// knew of whom, do not. Its methods are for the test's goroutine.
type Issuer struct {
	URL string

	t      testing.TB
	node   string
	folder string
	config map[string]any
	cmd    *exec.Cmd // nil: it does not run
	leash  io.Closer // its standard input
	log    bytes.Buffer
}

// NewIssuer starts a provider and ends it at cleanup. It skips the test where
// node is missing, and fails it if CI=true.
func NewIssuer(t testing.TB, o IssuerOptions) *Issuer {
	t.Helper()
	i := PrepareIssuer(t, o)
	i.Start()
	return i
}

// PrepareIssuer is NewIssuer for a provider that does not run until Start.
func PrepareIssuer(t testing.TB, o IssuerOptions) *Issuer {
	t.Helper()
	folder, err := issuerOnce()
	if err != nil {
		skip(t, err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		skip(t, fmt.Errorf("%w: node, for the OpenID provider: %w", errMissing, err))
	}
	_, text, err := net.SplitHostPort(FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if o.Algorithm == "" {
		o.Algorithm = "RS256"
	}
	i := &Issuer{URL: "http://127.0.0.1:" + text, t: t, node: node, folder: folder, config: map[string]any{
		"port": port, "redirectURIs": o.RedirectURLs, "secret": IssuerSecret, "algorithm": o.Algorithm,
		"accounts": o.Accounts, "machine": o.Machine, "claimsInIDToken": o.ClaimsInIDToken,
	}}
	t.Cleanup(func() {
		i.Stop()
		if t.Failed() {
			t.Logf("the OpenID provider said:\n%s", i.log.String())
		}
	})
	return i
}

// Start starts the provider, with keys of this start, and returns when it
// answers: half a second on an idle machine.
func (i *Issuer) Start() {
	i.t.Helper()
	keys, err := issuerKeys()
	if err != nil {
		i.t.Fatal(err)
	}
	i.config["keys"] = keys
	config, err := json.Marshal(i.config)
	if err != nil {
		i.t.Fatal(err)
	}
	cmd := exec.Command(i.node, filepath.Join(i.folder, "server.mjs"), string(config))
	cmd.Stderr = &i.log
	leash, err := cmd.StdinPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		i.t.Fatalf("cannot start the OpenID provider: %v", err)
	}
	i.cmd, i.leash = cmd, leash
	// A provider that ends instead closes its standard output.
	defer time.AfterFunc(startWithin, func() { _ = cmd.Process.Kill() }).Stop()
	line, err := bufio.NewReader(said).ReadString('\n')
	if strings.TrimSpace(line) != i.URL {
		i.Stop()
		i.t.Fatalf("the OpenID provider says %q instead of %s: %v", line, i.URL, err)
	}
}

// issuerKeys are new ones for each algorithm. Node does not make them: in
// version 20 it may hang for good when it collects the job that made a key
// while the key is exported.
func issuerKeys() ([]jose.JSONWebKey, error) {
	forRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	forEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return []jose.JSONWebKey{{Key: forRSA, KeyID: randomHex(), Use: "sig"}, {Key: forEC, KeyID: randomHex(), Use: "sig"}}, nil
}

// Stop ends the provider and returns when it is gone.
func (i *Issuer) Stop() {
	if i.cmd == nil {
		return
	}
	_ = i.leash.Close() // fails only if it is gone already
	_ = i.cmd.Process.Kill()
	_ = i.cmd.Wait() // it was killed
	i.cmd = nil
}

// Pause has the provider take connections and answer nothing, until Resume.
func (i *Issuer) Pause() { i.signal(syscall.SIGSTOP) }

// Resume ends a Pause; what was asked meanwhile is answered.
func (i *Issuer) Resume() { i.signal(syscall.SIGCONT) }

func (i *Issuer) signal(sig syscall.Signal) {
	i.t.Helper()
	if err := i.cmd.Process.Signal(sig); err != nil {
		i.t.Fatalf("cannot signal the OpenID provider: %v", err)
	}
}

var (
	formAction  = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	formPrompt  = regexp.MustCompile(`name="prompt" value="([a-z]+)"`)
	errNoSignIn = errors.New("the OpenID provider does not let sign in")
)

// SignIn has a browser begin at an address that leads to the provider, signs in
// there as subject and consents, or says no if subject is "", and follows the
// redirects. It returns where that ended, with the body read: at the page after, at an error of either
// side, or where the browser's CheckRedirect stopped. The browser needs a jar.
func (i *Issuer) SignIn(browser *http.Client, begin, subject string) (*http.Response, []byte, error) {
	answer, body, err := browse(browser, http.MethodGet, begin, nil)
	// The two forms are of login and of consent.
	for range 2 {
		if err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Request.URL.String(), i.URL+"/interaction/") {
			return answer, body, err
		}
		action, prompt := formAction.FindSubmatch(body), formPrompt.FindSubmatch(body)
		if action == nil || prompt == nil {
			return answer, body, fmt.Errorf("%w: a page without a form: %s", errNoSignIn, body)
		}
		if subject == "" {
			return browse(browser, http.MethodGet, answer.Request.URL.String()+"/abort", nil)
		}
		filled := url.Values{"prompt": {string(prompt[1])}, "login": {subject}, "password": {"any"}}
		answer, body, err = browse(browser, http.MethodPost, html.UnescapeString(string(action[1])), filled)
	}
	return answer, body, err
}

func browse(browser *http.Client, method, address string, form url.Values) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot browse: %w", err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := browser.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot browse: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// MachineToken gets an access token of ClientMachine for a resource, which is
// its audience.
func (i *Issuer) MachineToken(resource, scope string) string {
	i.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {scope}}
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	if status, body := i.Token(ClientMachine, form); status != http.StatusOK || json.Unmarshal(body, &granted) != nil {
		i.t.Fatalf("the OpenID provider gives no token: %d %s", status, body)
	}
	return granted.AccessToken
}

// Token sends a form to the token endpoint as a client and returns the answer.
func (i *Issuer) Token(client string, form url.Values) (status int, body []byte) {
	i.t.Helper()
	request, err := http.NewRequestWithContext(i.t.Context(), http.MethodPost, i.URL+"/token", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client == ClientPublic {
		form.Set("client_id", client)
	} else {
		request.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(IssuerSecret)) // RFC 6749, 2.3.1
	}
	request.Body = io.NopCloser(strings.NewReader(form.Encode()))
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err == nil {
		defer func() { _ = answer.Body.Close() }()
		status = answer.StatusCode
		body, err = io.ReadAll(answer.Body)
	}
	if err != nil {
		i.t.Fatalf("the OpenID provider does not answer: %v", err)
	}
	return status, body
}

// issuerOnce is the folder of the provider, with its modules.
var issuerOnce = sync.OnceValues(func() (string, error) {
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(root, "internal", "storetest", "testdata", "oidcprovider")
	unlock, err := lockFolder(filepath.Join(root, ".cache", "storetest"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json")); err == nil {
		return folder, nil
	}
	if err := npmCI(folder); err != nil {
		return "", fmt.Errorf("%w: OpenID provider: %w", errMissing, err)
	}
	return folder, nil
})
