package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

const (
	// EngineEnv names libchdb.so where it is in none of the usual places.
	EngineEnv = "DRAWDOWN_ENGINE"

	helperName  = "drawdown-embedded"
	libraryName = "libchdb.so"
)

// enginePackages are the engine's npm packages by GOOS/GOARCH. Only the first
// was ever run; the others are named by its authors.
var enginePackages = []struct {
	platform, name string
	verified       bool
}{
	{"linux/amd64", "@chdb/lib-linux-x64-gnu", true},
	{"linux/arm64", "@chdb/lib-linux-arm64-gnu", false},
	{"darwin/arm64", "@chdb/lib-darwin-arm64", false},
	{"darwin/amd64", "@chdb/lib-darwin-x64", false},
}

// ErrNoEngine is in the chain of the error for a missing engine.
var ErrNoEngine = errors.New("no ClickHouse engine")

// engine is what serves as the embedded ClickHouse: the library, or else a
// clickhouse program. One of the two is set.
type engine struct {
	library string
	server  string
}

// FindEngine looks for libchdb.so at: explicit (if set, nowhere else), the
// environment's DRAWDOWN_ENGINE (likewise), beside the executable, and in
// deploy/embedded/node_modules under the executable's folder, the working
// directory and their parents. It returns its path, or that of a clickhouse
// program on the PATH, or an error that says what to run.
func FindEngine(explicit string) (library, server string, err error) {
	e, err := findEngine(explicit, runtime.GOOS+"/"+runtime.GOARCH, searchRoots())
	return e.library, e.server, err
}

func findEngine(explicit, platform string, roots []string) (engine, error) {
	for _, named := range []struct{ by, path string }{{"the given path", explicit}, {EngineEnv, os.Getenv(EngineEnv)}} {
		if named.path == "" {
			continue
		}
		if !isFile(named.path) {
			return engine{}, fmt.Errorf("%w: %s names %s, which is not a file", ErrNoEngine, named.by, named.path)
		}
		path, err := filepath.Abs(named.path)
		return engine{library: path}, err
	}
	if len(roots) > 0 {
		if path := filepath.Join(roots[0], libraryName); isFile(path) {
			return engine{library: path}, nil
		}
	}
	known := false
	for _, p := range enginePackages {
		if p.platform != platform || !p.verified {
			continue
		}
		known = true
		for _, root := range roots {
			for dir := root; ; dir = filepath.Dir(dir) {
				path := filepath.Join(dir, "deploy", "embedded", "node_modules", filepath.FromSlash(p.name), libraryName)
				if isFile(path) {
					return engine{library: path}, nil
				}
				if dir == filepath.Dir(dir) {
					break
				}
			}
		}
	}
	if path, err := exec.LookPath("clickhouse"); err == nil {
		path, err = filepath.Abs(path)
		return engine{server: path}, err
	}
	if !known {
		return engine{}, fmt.Errorf("%w for %s: the embedded one is verified on linux/amd64 only%s; put a clickhouse program on the PATH, set %s to a libchdb library built for this platform, or name a running server with --clickhouse-addr",
			ErrNoEngine, platform, unverified(platform), EngineEnv)
	}
	return engine{}, fmt.Errorf("%w: %s is not installed; run `make engine` (that is `npm ci` in deploy/embedded), set %s to its path, put a clickhouse program on the PATH, or name a running server with --clickhouse-addr",
		ErrNoEngine, libraryName, EngineEnv)
}

// unverified names the package that may work on the platform.
func unverified(platform string) string {
	for _, p := range enginePackages {
		if p.platform == platform {
			return fmt.Sprintf(" (npm package %s exists, unverified)", p.name)
		}
	}
	return ""
}

// searchRoots are the executable's folder and the working directory.
func searchRoots() []string {
	var roots []string
	if exe, err := os.Executable(); err == nil {
		if target, err := filepath.EvalSymlinks(exe); err == nil {
			exe = target
		}
		roots = append(roots, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	return roots
}

// FindHelper returns the path of drawdown-embedded: explicit if set, else
// beside the executable, else on the PATH.
func FindHelper(explicit string) (string, error) {
	if explicit != "" {
		if !isFile(explicit) {
			return "", fmt.Errorf("cannot find %s at %s", helperName, explicit)
		}
		return filepath.Abs(explicit)
	}
	if roots := searchRoots(); len(roots) > 0 {
		if path := filepath.Join(roots[0], helperName); isFile(path) {
			return path, nil
		}
	}
	path, err := exec.LookPath(helperName)
	if err != nil {
		return "", fmt.Errorf("cannot find %s beside this program or on the PATH; run `make build`: %w", helperName, err)
	}
	return filepath.Abs(path)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
