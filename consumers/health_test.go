package consumers

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestTroubleIsSaidOnce although many notice it, each at its own moment.
func TestTroubleIsSaidOnce(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	pass := func(d time.Duration) { now = now.Add(d) }
	trouble := &trouble{log: slog.New(slog.NewTextHandler(&said, nil)), now: func() time.Time { return now }, system: "kafka"}
	refused := errors.New("connection refused")
	requireWarnings := func(after string, want int) {
		t.Helper()
		if got := strings.Count(said.String(), "level=WARN"); got != want {
			t.Errorf("after %s %d warnings were logged, want %d:\n%s", after, got, want, said.String())
		}
	}

	underWay := now
	pass(time.Millisecond)
	trouble.note("cannot fetch", refused)
	trouble.clearSince("fetching again", underWay) // an answer that was on its way
	if trouble.active() == nil {
		t.Error("an answer to what was asked before the failure ended the trouble")
	}
	trouble.note("cannot fetch", refused)
	requireWarnings("two failures", 1)

	pass(time.Millisecond)
	trouble.clearSince("fetching again", now) // over a connection that is not lost yet
	if trouble.active() != nil {
		t.Error("an answer to what was asked after the failure did not end the trouble")
	}
	pass(troubleBack / 2)
	trouble.note("cannot fetch", refused)
	requireWarnings("a moment without", 1)
	pass(troubleEvery)
	trouble.note("cannot fetch", refused)
	requireWarnings("half a minute", 2)

	pass(time.Second)
	trouble.clearSince("fetching again", now)
	pass(2 * troubleBack)
	trouble.note("cannot fetch", refused)
	requireWarnings("it began anew", 3)
}
