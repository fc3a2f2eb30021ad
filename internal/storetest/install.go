package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drawdown/drawdown/deploy/embedded"
)

// installWithin bounds building and fetching: 178 MB over a slow line.
const installWithin = 10 * time.Minute

// errMissing is in the chain of errors for what the machine does not have.
var errMissing = errors.New("missing")

var (
	helperOnce  = sync.OnceValues(func() (string, error) { return buildProgram("drawdown-embedded") })
	programOnce = sync.OnceValues(func() (string, error) { return buildProgram("drawdown") })
	engineOnce  = sync.OnceValues(installEngine)
)

// Helper returns the path of drawdown-embedded, built from the sources as they
// are, for tests of what starts it.
func Helper(t testing.TB) string {
	t.Helper()
	path, err := helperOnce()
	if err != nil {
		skip(t, err)
	}
	return path
}

// Program returns the path of drawdown, built from the sources as they are, for
// tests that run it as people do. drawdown-embedded is beside it.
func Program(t testing.TB) string {
	t.Helper()
	Helper(t)
	path, err := programOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Library returns the path of libchdb.so, fetched if necessary, or "" where a
// clickhouse program on the PATH takes its place.
func Library(t testing.TB) string {
	t.Helper()
	path, err := engineOnce()
	if err != nil {
		skip(t, err)
	}
	return path
}

// skip skips the test over what the machine lacks, or fails it in CI.
func skip(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED, A REAL PART IS MISSING: %v", err)
	}
	t.Fatal(err)
}

// buildProgram builds a command into a folder that all test binaries share. The
// staged file lets go build see that nothing changed; the live one is replaced
// only when it did, so that nobody starts a half-written file.
func buildProgram(name string) (string, error) {
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "storetest")
	unlock, err := lockFolder(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(context.Background(), installWithin)
	defer cancel()
	live := filepath.Join(dir, name)
	staged := live + ".staged"
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", staged, "./cmd/"+name)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build cmd/%s: %w\n%s", name, err, out)
	}
	want, err := os.ReadFile(staged)
	if err != nil {
		return "", fmt.Errorf("cannot read what was built: %w", err)
	}
	if have, err := os.ReadFile(live); err == nil && bytes.Equal(have, want) {
		return live, nil
	}
	if err := os.WriteFile(live+".new", want, 0o755); err != nil {
		return "", fmt.Errorf("cannot install %s: %w", name, err)
	}
	if err := os.Rename(live+".new", live); err != nil {
		return "", fmt.Errorf("cannot install %s: %w", name, err)
	}
	return live, nil
}

// installEngine finds libchdb.so and fetches it where npm can.
func installEngine() (string, error) {
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	unlock, err := lockFolder(filepath.Join(root, ".cache", "storetest"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path, _, err := embedded.FindEngine("")
	if err == nil {
		return path, nil // "" with a clickhouse program: the supervisor finds it again
	}
	if os.Getenv(embedded.EngineEnv) != "" {
		return "", err
	}
	folder := filepath.Join(root, "deploy", "embedded")
	_, _ = fmt.Fprintln(os.Stderr, "storetest: fetching the ClickHouse engine (178 MB) with npm ci in", folder)
	if npm := npmCI(folder); npm != nil {
		return "", fmt.Errorf("%w: ClickHouse engine: %w; %w", errMissing, err, npm)
	}
	path, _, err = embedded.FindEngine("")
	if err != nil {
		return "", fmt.Errorf("%w: ClickHouse engine: %w", errMissing, err)
	}
	return path, nil
}

// npmCI installs what a folder's package-lock.json names.
func npmCI(folder string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci")
	cmd.Dir = folder
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run npm ci in %s: %w", folder, err)
	}
	return nil
}

// lockFolder creates the folder and keeps other test processes out of it until
// unlock is called.
func lockFolder(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create the cache folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock of %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

// repoRoot is the folder of go.mod above the working directory, which go test
// sets to the package's.
func repoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the module: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot find the module: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("cannot find the module: no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}
