package queryapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Timeouts say when a slow client is cut off; one that is 0 is the usual one.
type Timeouts struct {
	ReadHeader time.Duration // until the headers of a request are there; 5 s
	Body       time.Duration // until the body is there, from when it is read; 10 s
	Read       time.Duration // until all of a request that nobody reads the body of is there; 30 s
	Write      time.Duration // until an answer is taken, from the headers on; 60 s
	Idle       time.Duration // without a request on an open connection; 120 s
	Event      time.Duration // for which the reader of a stream takes nothing; 30 s
	File       time.Duration // until a piece of an export is taken; 60 s
}

// orUsual fills in the usual timeouts.
func (t Timeouts) orUsual() Timeouts {
	return Timeouts{
		ReadHeader: cmp.Or(t.ReadHeader, 5*time.Second),
		// Half of the request, so that Kafka has the other (produceWithin).
		Body:  cmp.Or(t.Body, requestTimeout/2),
		Read:  cmp.Or(t.Read, 30*time.Second),
		Write: cmp.Or(t.Write, 60*time.Second),
		Idle:  cmp.Or(t.Idle, 120*time.Second),
		Event: cmp.Or(t.Event, 30*time.Second),
		File:  cmp.Or(t.File, time.Minute),
	}
}

const (
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 32 << 10
)

// serve runs an HTTP server until ctx is done and shuts it down gracefully.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, timeouts Timeouts, log *slog.Logger) error {
	timeouts = timeouts.orUsual()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: timeouts.ReadHeader,
		ReadTimeout:       timeouts.Read,
		WriteTimeout:      timeouts.Write,
		IdleTimeout:       timeouts.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("cannot serve on %s: %w", listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-groupCtx.Done()
		// ctx is done, and requests in flight have their own.
		timeout, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(timeout); err != nil {
			// Past the grace period connections are cut.
			return errors.Join(fmt.Errorf("cannot finish requests in %v: %w", shutdownTimeout, err), server.Close())
		}
		return nil
	})
	return group.Wait()
}
