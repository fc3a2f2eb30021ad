package queryapi

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzhttp"
)

type requestIDKey struct{}

// requestIDPattern is what is taken over from a caller; anything else could
// forge a log line.
var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// withRequestID gives each request an id, the caller's X-Request-Id if it has
// a sane one, in the context and in the response.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !requestIDPattern.MatchString(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func requestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// compressible are the media types that are worth compressing; files and
// streams are sent as they come.
var compressible = []string{
	"application/json", "application/problem+json", "application/vnd.oai.openapi+json", "text/html", "text/css", "text/javascript", "image/svg+xml",
}

// minCompressed is what fits into one packet either way.
const minCompressed = 1400

// compress sends large answers as gzip to those who take it. The ETag stays as
// it is: it is a weak one, which names the figures and not their bytes.
func compress(next http.Handler) (http.Handler, error) {
	// The fastest level: the next ones make a chart of 300 kB a sixth smaller for
	// twice the time.
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(minCompressed), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.ContentTypes(compressible), gzhttp.EnableZstd(false))
	if err != nil {
		return nil, fmt.Errorf("cannot compress answers: %w", err)
	}
	packed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A stream's first flush must not wait for bytes to compress.
		if strings.HasSuffix(r.URL.Path, "/live") || strings.HasSuffix(r.URL.Path, "/export") {
			next.ServeHTTP(w, r)
			return
		}
		packed.ServeHTTP(w, r)
	}), nil
}

type deadlineFreeKey struct{}

// withDeadline bounds a request, and with it its queries. What may last longer
// says so itself; see withoutDeadline.
func withDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, deadlineFreeKey{}, r.Context())))
	})
}

// withoutDeadline is the context of a request, with its cancellation when the
// client goes away but without the deadline of withDeadline.
func withoutDeadline(ctx context.Context) context.Context {
	if free, ok := ctx.Value(deadlineFreeKey{}).(context.Context); ok {
		return free
	}
	return ctx
}

// secureHeaders keeps answers out of frames, caches and type guessing. A
// handler may loosen Cache-Control.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		// What is asked for is answered by who asks.
		h.Add("Vary", "Authorization")
		h.Add("Vary", "Cookie")
		next.ServeHTTP(w, r)
	})
}

// recoverPanic turns a panic into a 500 and a log line with the stack.
func (s *Server) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(cause)
			}
			s.cfg.Log.ErrorContext(r.Context(), "request panicked",
				"request_id", requestIDFrom(r.Context()), "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
			writeProblem(w, r, problem(CodeInternal, "details are in the server's log"))
		}()
		next.ServeHTTP(w, r)
	})
}
