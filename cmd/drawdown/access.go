package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/queryapi/devissuer"
)

// accessFlags say whom the API believes. Secrets come from files or the
// environment, so that they stay out of the list of processes.
type accessFlags struct {
	Issuer           string   `name:"oidc-issuer" env:"DRAWDOWN_OIDC_ISSUER" placeholder:"URL" help:"OpenID issuer whose tokens are taken and at which people sign in."`
	Audience         string   `name:"oidc-audience" env:"DRAWDOWN_OIDC_AUDIENCE" help:"Audience that bearer tokens must have; by default the client id."`
	ClientID         string   `name:"oidc-client-id" env:"DRAWDOWN_OIDC_CLIENT_ID" help:"Client id for signing in with a browser; without it nobody can."`
	ClientSecretFile string   `name:"oidc-client-secret-file" env:"DRAWDOWN_OIDC_CLIENT_SECRET_FILE" type:"path" placeholder:"FILE" help:"File with the client secret; DRAWDOWN_OIDC_CLIENT_SECRET is the other way to give it. None: a public client."`
	Scopes           []string `name:"oidc-scopes" env:"DRAWDOWN_OIDC_SCOPES" help:"Scopes to ask of the issuer beside openid, separated by commas."`
	PublicURL        string   `name:"public-url" env:"DRAWDOWN_PUBLIC_URL" placeholder:"URL" help:"The API as browsers see it, such as https://credits.example.com; by default http:// and the address of the API."`
	SessionKeyFile   string   `name:"session-key-file" env:"DRAWDOWN_SESSION_KEY_FILE" type:"path" placeholder:"FILE" help:"File with 32 bytes in base64 that seal the sessions of browsers, the same on every server; by default <data>/session.key. DRAWDOWN_SESSION_KEY is the other way to give it."`
}

// Secrets that have no flag.
const (
	clientSecretVariable = "DRAWDOWN_OIDC_CLIENT_SECRET"
	sessionKeyVariable   = "DRAWDOWN_SESSION_KEY"
)

// believed is whom the API believes.
type believed struct {
	token     string
	issuer    queryapi.Issuer
	signIn    queryapi.SignIn
	devIssuer *devissuer.Issuer // nil: there is none
}

// resolve reads the secrets that the flags name. addr is the API's; mayMake
// says whether a missing session key is made in dataDir.
func (f accessFlags) resolve(token, dataDir string, addr net.Addr, mayMake bool) (believed, error) {
	b := believed{token: token}
	if f.Issuer == "" {
		if f.ClientID != "" || f.Audience != "" {
			return b, usageError{errors.New("--oidc-client-id and --oidc-audience need --oidc-issuer")}
		}
		return b, nil
	}
	b.issuer = queryapi.Issuer{URL: f.Issuer, Audience: f.Audience}
	if b.issuer.Audience == "" {
		b.issuer.Audience = f.ClientID
	}
	if b.issuer.Audience == "" {
		return b, usageError{errors.New("--oidc-issuer needs --oidc-audience or --oidc-client-id")}
	}
	if f.ClientID == "" {
		return b, nil
	}
	secret, err := f.clientSecret()
	if err != nil {
		return b, err
	}
	b.signIn = queryapi.SignIn{ClientID: f.ClientID, ClientSecret: secret, Scopes: f.Scopes, PublicURL: f.publicURL(addr)}
	b.signIn.SessionKey, err = f.sessionKey(dataDir, mayMake)
	return b, err
}

func (f accessFlags) publicURL(addr net.Addr) string {
	if f.PublicURL == "" {
		return "http://" + addr.String()
	}
	return strings.TrimSuffix(f.PublicURL, "/")
}

func (f accessFlags) clientSecret() (string, error) {
	if f.ClientSecretFile == "" {
		return os.Getenv(clientSecretVariable), nil
	}
	text, err := os.ReadFile(f.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the client secret: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// sessionKey reads the key of sessions, or makes one in dataDir.
func (f accessFlags) sessionKey(dataDir string, mayMake bool) ([]byte, error) {
	text, path := os.Getenv(sessionKeyVariable), f.SessionKeyFile
	if path == "" {
		path = filepath.Join(dataDir, "session.key")
	}
	if text == "" || f.SessionKeyFile != "" {
		read, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.SessionKeyFile == "" && mayMake:
			key := make([]byte, queryapi.SessionKeyBytes)
			_, _ = rand.Read(key) // never fails, crypto/rand says
			return key, writeSecret(path, base64.StdEncoding.EncodeToString(key))
		case err != nil:
			return nil, fmt.Errorf("cannot read the session key: %w", err)
		}
		text = string(read)
	}
	key, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimSpace(text), `"`))
	if err != nil || len(key) != queryapi.SessionKeyBytes {
		return nil, usageError{fmt.Errorf("the session key is not %d bytes in base64; make one with: openssl rand -base64 %d", queryapi.SessionKeyBytes, queryapi.SessionKeyBytes)}
	}
	return key, nil
}

// devClient is the client at our own issuer.
const devClient = "drawdown"

// withDevIssuer has `up` be its own issuer when it has no other and only this
// machine reaches it.
func (f accessFlags) withDevIssuer(b believed, dataDir string, addr net.Addr, demo bool, now func() time.Time) (believed, error) {
	address, ok := addr.(*net.TCPAddr)
	if f.Issuer != "" || !ok || !address.IP.IsLoopback() {
		return b, nil
	}
	key, err := devIssuerKey(filepath.Join(dataDir, "issuer.key"))
	if err != nil {
		return b, err
	}
	base := "http://" + addr.String()
	if b.devIssuer, err = devissuer.New(devissuer.Config{
		BaseURL: base, Key: key, ClientID: devClient, RedirectURL: base + "/auth/callback", LinkToken: b.token,
		Identities: devIdentities(demo), Now: now,
	}); err != nil {
		return b, err
	}
	b.issuer = queryapi.Issuer{URL: b.devIssuer.URL(), Audience: devClient}
	b.signIn = queryapi.SignIn{ClientID: devClient, PublicURL: base}
	b.signIn.SessionKey, err = f.sessionKey(dataDir, true)
	return b, err
}

// devIdentities are who one can be; the workspaces are those of the demo.
func devIdentities(demo bool) []devissuer.Identity {
	const member = "openid credits:read credits:export alerts:write events:write"
	operator := devissuer.Identity{
		Subject: "dev:operator", Name: "Operator: every workspace, every scope", Workspaces: "*", Scope: member + " credits:admin operator",
	}
	if !demo {
		return []devissuer.Identity{operator}
	}
	return []devissuer.Identity{
		{Subject: "dev:alice", Name: "Alice, member of demo-acme: reads, exports, sets alerts, sends events", Workspaces: []string{"demo-acme"}, Scope: member},
		{Subject: "dev:bob", Name: "Bob, member of demo-acme who may not see credits", Workspaces: []string{"demo-acme"}, Scope: "openid events:write"},
		{Subject: "dev:carol", Name: "Carol, member of demo-globex", Workspaces: []string{"demo-globex"}, Scope: member},
		operator,
	}
}

// devIssuerKey reads the signing key, or makes one.
func devIssuerKey(path string) (*ecdsa.PrivateKey, error) {
	var encoded []byte
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("cannot make a signing key: %w", err)
		}
		if encoded, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return nil, fmt.Errorf("cannot encode the signing key: %w", err)
		}
		return key, writeSecret(path, encoded)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the signing key: %w", err)
	}
	if err := json.Unmarshal(text, &encoded); err != nil {
		return nil, fmt.Errorf("cannot read the signing key from %s: %w", path, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(encoded)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("cannot read the signing key from %s: it is none; remove the file to get a new one", path)
	}
	return key, nil
}

// signInLinkCmd asks the running `up` for another link.
type signInLinkCmd struct{ dataFlags }

// Run prints a link.
func (c *signInLinkCmd) Run(ctx context.Context, e *env) error {
	access, err := readDevAccess(filepath.Join(c.Data, devFile))
	if err != nil {
		return err
	}
	target, err := url.JoinPath(access.URL, devissuer.Path, "links")
	if err != nil {
		return fmt.Errorf("cannot ask for a link: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("cannot ask for a link: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+access.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("cannot ask for a link: %w; is 'drawdown up' running?", err)
	}
	defer func() { _ = answer.Body.Close() }()
	link, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot ask for a link: %s answers %d; a real issuer is configured, or 'drawdown up' is not on loopback", access.URL, answer.StatusCode)
	}
	_, err = e.Stdout.Write(link)
	return err
}
