package queryapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// session is what the cookie of a signed-in browser holds, sealed: no server
// keeps it, so that any of those with the same key takes it, also after a
// restart. That it has ended is in the audit log (signout.go).
type session struct {
	ID         string   `json:"id"`
	Subject    string   `json:"sub"`
	Workspaces []string `json:"ws"`
	Scopes     []Scope  `json:"sc"`
	StartedAt  int64    `json:"st"` // seconds since 1970
	SeenAt     int64    `json:"se"`
}

const (
	// sessionLifetime is a working day, after which the issuer is asked again.
	sessionLifetime = 12 * time.Hour
	// sessionIdle is how long a session lives without a request; a page that
	// shows live figures makes some.
	sessionIdle = 2 * time.Hour
	// sessionRenew is how stale SeenAt may be: a cookie in each answer would be
	// noise.
	sessionRenew = 5 * time.Minute
	// maxCookieBytes is what browsers keep of a cookie (RFC 6265: 4096 with its
	// name and attributes).
	maxCookieBytes = 3800
)

func (s *session) valid(now time.Time) bool {
	started, seen := time.Unix(s.StartedAt, 0), time.Unix(s.SeenAt, 0)
	return s.Subject != "" && now.Sub(started) < sessionLifetime && now.Sub(seen) < sessionIdle && now.Sub(seen) > -clockSkew
}

// secure says whether browsers reach the API by TLS.
func (s *Server) secure() bool { return strings.HasPrefix(s.cfg.SignIn.PublicURL, "https:") }

// sessionCookie has a name that no other host or path can set where it may be.
func (s *Server) sessionCookie() string {
	if s.secure() {
		return "__Host-drawdown-session"
	}
	return "drawdown-session"
}

// setCookie sets a cookie of ours; an empty value deletes it.
func (s *Server) setCookie(w http.ResponseWriter, name, value string, lifetime time.Duration) {
	cookie := &http.Cookie{ //nolint:gosec // Secure wherever there is TLS
		Name: name, Value: value, Path: "/", MaxAge: int(lifetime.Seconds()),
		Secure: s.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// sessionOf returns the session of a request; false if it has none that holds
// by what is known here.
func (s *Server) sessionOf(r *http.Request) (session, bool) {
	var found session
	if s.signIn == nil {
		return found, false
	}
	cookie, err := r.Cookie(s.sessionCookie())
	if err != nil || !s.signIn.sessions.open(cookie.Value, &found) {
		return session{}, false
	}
	return found, found.valid(s.cfg.Now()) && !s.signIn.ended.has(sessionMark(found.ID))
}

// sessionPrincipal is who a browser's session stands for.
func (s *Server) sessionPrincipal(r *http.Request) (Principal, error) {
	found, ok := s.sessionOf(r)
	if ok {
		ended, err := s.hasEnded(r.Context(), found)
		if err != nil {
			return Principal{}, err
		}
		ok = !ended
	}
	if !ok {
		return Principal{}, unauthorized("send Authorization: Bearer <token>, or sign in at /auth/sign-in")
	}
	if err := s.sameOrigin(r); err != nil {
		return Principal{}, err
	}
	return Principal{Subject: found.Subject, Credential: CredentialSession, Workspaces: found.Workspaces, Scopes: found.Scopes}, nil
}

// renewSession lets a session live on that is in use.
func (s *Server) renewSession(w http.ResponseWriter, r *http.Request) {
	found, ok := s.sessionOf(r)
	now := s.cfg.Now()
	if !ok || now.Sub(time.Unix(found.SeenAt, 0)) < sessionRenew {
		return
	}
	found.SeenAt = now.Unix()
	s.writeSession(w, found)
}

// writeSession sets the cookie and says whether it fits into one.
func (s *Server) writeSession(w http.ResponseWriter, content session) bool {
	sealed, err := s.signIn.sessions.seal(content)
	if err != nil || len(sealed) > maxCookieBytes {
		return false
	}
	s.setCookie(w, s.sessionCookie(), sealed, time.Unix(content.StartedAt, 0).Add(sessionLifetime).Sub(s.cfg.Now()))
	return true
}

// sameOrigin refuses what another site may have a browser send with our
// cookie: every method that changes something must come with proof that our
// own page sends it, which all browsers give (Sec-Fetch-Site, or Origin), and
// any body must be of a type that a form cannot send.
func (s *Server) sameOrigin(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return nil
	}
	if !s.fromUs(r) {
		return problem(CodeCrossOrigin, "a request with a session needs Sec-Fetch-Site: same-origin, or Origin of this site")
	}
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if (r.ContentLength != 0 || media != "") && media != mediaJSON && !strings.HasSuffix(media, "+json") {
		return problem(CodeUnsupportedMediaType, "a request with a session sends JSON")
	}
	return nil
}

// fromUs says whether a browser says that a page of this site sends r.
func (s *Server) fromUs(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" {
		return false
	}
	public, err := url.Parse(s.cfg.SignIn.PublicURL)
	return err == nil && origin.Scheme == public.Scheme && origin.Host == public.Host
}

// sessionMark names a session in logs without being of use to anybody.
func sessionMark(id string) string {
	hash := sha256.Sum256([]byte(id))
	return hex.EncodeToString(hash[:8])
}
