package queryapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/drawdown/drawdown/schemas"
)

// Producer appends records to the topics that are counted and reads back what
// nobody has counted yet. It is safe for concurrent use, and does nothing
// after ctx.
type Producer interface {
	// Produce appends records, which have one key, the workspace_id, and one
	// timestamp, to the partition of that workspace in the topic of that role,
	// in order. It returns an error for each record, nil where all replicas
	// have acknowledged it. One with an error may have arrived all the same.
	Produce(ctx context.Context, role schemas.Topic, records []schemas.Record) []error
	// Tail calls visit for every record of the workspace's partition from
	// offset from on that was acknowledged before the call. The record is
	// valid during visit. It fails if that is more than can be read in time.
	Tail(ctx context.Context, role schemas.Topic, workspaceID string, from int64, visit func(*schemas.Record)) error
}

const (
	// maxBodyBytes bounds a request body: 1,000 events of 8 KB.
	maxBodyBytes = 8 << 20
	// maxBodies bounds the bodies of all requests that are being written,
	// within what a process plans for the API (besidesAPI of cmd/drawdown).
	maxBodies = 64 << 20
	// maxOwnBodies bounds those of one principal, so that slow ones leave room.
	maxOwnBodies = maxBodies / 2
	// leastBody is what a request counts for at least.
	leastBody = 64 << 10
	// produceWithin bounds how long Kafka may take, with all attempts; half of
	// the request, so that the answer still gets out.
	produceWithin = 10 * time.Second
	// admitWithin is how long a request waits for its turn.
	admitWithin = 5 * time.Second
)

// writesUnavailable is the answer when Kafka does not take records. The cause
// is for the log.
func writesUnavailable(cause error, detail string) error {
	p := problem(CodeWritesUnavailable, "%s", detail)
	if cause == nil {
		return p
	}
	return fmt.Errorf("%w: %w", p, cause)
}

// admitWrite is the middleware of operations that write: it bounds the memory
// of all bodies before any of them is read.
func (s *Server) admitWrite(ctx huma.Context, next func(huma.Context)) {
	r, w := humachi.Unwrap(ctx)
	if s.cfg.Producer == nil {
		refuse(w, r, problem(CodeWritesUnavailable, "this server is not connected to Kafka"))
		return
	}
	size := r.ContentLength
	if size < 0 || size > maxBodyBytes {
		size = maxBodyBytes
	}
	size = max(size, leastBody)
	release, ok := s.ownBodies.take(ctx.Context(), size, admitWithin)
	if !ok {
		refuse(w, r, problem(CodeWritesUnavailable, "too much of yours is being written; send less at a time"))
		return
	}
	defer release()
	waiting, cancel := context.WithTimeout(ctx.Context(), admitWithin)
	defer cancel()
	if err := s.bodies.Acquire(waiting, size); err != nil {
		refuse(w, r, problem(CodeWritesUnavailable, "too much is being written; try again"))
		return
	}
	defer s.bodies.Release(size)
	next(ctx)
}

// refuse writes a problem with its headers where no huma handler is involved.
func refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	writeProblem(w, r, p)
}

// Upload is the body of a request that writes, as it was sent: huma would
// decode and encode it. It is exported because huma fills only exported
// embedded structs.
type Upload struct {
	header http.Header
	body   io.Reader
	size   int64                 // as announced; -1: not known
	until  func(time.Time) error // sets when the body has to be there
}

// resolve finds the body.
func (u *Upload) resolve(ctx huma.Context) []error {
	r, _ := humachi.Unwrap(ctx)
	u.header, u.body, u.size, u.until = r.Header, r.Body, r.ContentLength, ctx.SetReadDeadline
	return strict(ctx)
}

// media returns the media type of the body, "" if it has none that can be read.
func (u *Upload) media() string {
	media, _, err := mime.ParseMediaType(u.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// unsupported refuses the body for its media type.
func (u *Upload) unsupported(wanted ...string) error {
	return problem(CodeUnsupportedMediaType, "content type %.100q; send %s", u.header.Get("Content-Type"), strings.Join(wanted, " or "))
}

// read returns the whole body, which has to be there within that time: until
// then it takes from what all requests may (admitWrite).
func (u *Upload) read(within time.Duration) ([]byte, error) {
	var body bytes.Buffer
	_ = u.until(time.Now().Add(within)) // a recorder in a test has no deadlines
	// Room for all of it and the end, so that nothing is copied.
	body.Grow(int(min(max(u.size, 0), maxBodyBytes)) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(u.body, maxBodyBytes+1))
	switch {
	case body.Len() > maxBodyBytes:
		return nil, problem(CodeBodyTooLarge, "a body has at most %d bytes; send less at a time", maxBodyBytes)
	case isTimeout(err):
		return nil, problem(CodeRequestTimeout, "%d bytes of the body came within %v; send less at a time", body.Len(), within)
	case err != nil:
		return nil, problem(CodeBadRequest, "the body ended after %d bytes", body.Len())
	}
	// A deadline that passes while nothing is read would end the request.
	_ = u.until(time.Time{})
	return body.Bytes(), nil
}

// produce appends records of a workspace, bounded in time. The timestamp of
// the records is at, by which they were judged.
func (s *Server) produce(ctx context.Context, role schemas.Topic, workspaceID string, at schemas.Millis, records []schemas.Record) []error {
	for i := range records {
		records[i].Key, records[i].Timestamp = []byte(workspaceID), at
	}
	ctx, cancel := context.WithTimeout(ctx, produceWithin)
	defer cancel()
	errs := s.cfg.Producer.Produce(ctx, role, records)
	s.metrics.written(role, "accepted", len(records)-failures(errs))
	s.metrics.written(role, "failed", failures(errs))
	if err := errors.Join(errs...); err != nil {
		s.cfg.Log.ErrorContext(ctx, "kafka did not acknowledge",
			"request_id", requestIDFrom(ctx), "topic", s.cfg.Topics.Name(role), "records", len(records), "failed", failures(errs), "error", firstOf(errs))
	}
	return errs
}

func failures(errs []error) int {
	n := 0
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// decoder lends a decoder by this installation's limits.
func (s *Server) decoder() (*schemas.Decoder, func()) {
	d, ok := s.decoders.Get().(*schemas.Decoder)
	if !ok {
		d = schemas.NewDecoder(s.cfg.Limits)
	}
	return d, func() { s.decoders.Put(d) }
}
