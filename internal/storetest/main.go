package storetest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests, ends the shared stores and fails if goroutines
// are left. A package calls it from TestMain; one that does not need goleak
// needs no TestMain, the stores end with the process.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if err := errors.Join(stopShared(), stopSharedApache()); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "storetest: cannot stop the shared stores:", err)
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
