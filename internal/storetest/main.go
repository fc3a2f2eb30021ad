package storetest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests, ends the shared engine and fails if goroutines
// are left. A package calls it from TestMain; one that does not need goleak
// needs no TestMain, the engine ends with the process.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if err := stopShared(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "storetest: cannot stop the shared engine:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "storetest: goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}
