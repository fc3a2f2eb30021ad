package main_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	// readyWithin bounds a start: two seconds on an idle machine.
	readyWithin = 2 * time.Minute
	// settleWithin bounds how long figures take to hold all that was sent.
	settleWithin = 4 * time.Minute
)

// program is one run of drawdown.
type program = storetest.Command

// start runs drawdown with these arguments.
func start(t testing.TB, args ...string) *program {
	t.Helper()
	return storetest.Start(t, storetest.CommandOptions{}, args...)
}

// startIn is start with environment variables of its own.
func startIn(t testing.TB, environment []string, args ...string) *program {
	t.Helper()
	return storetest.Start(t, storetest.CommandOptions{Env: environment}, args...)
}

// run runs a command that ends by itself and returns its exit code and output.
func run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, args...)
	code = p.Wait()
	return code, p.Stdout.String(), p.Stderr.String()
}

// mustRun is run for a command that must succeed; it returns its output.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, args...)
	if code != 0 {
		t.Fatalf("drawdown %s exited with %d:\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// repository is the path of a file of this repository.
func repository(t testing.TB, path ...string) string {
	t.Helper()
	full, err := filepath.Abs(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return full
}
