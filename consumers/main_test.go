package consumers

import (
	"flag"
	"os"
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
)

// TestMain also is the consumer that the tests of crashes kill: see crash_test.go.
func TestMain(m *testing.M) {
	if doomed := os.Getenv(doomedEnv); doomed != "" {
		os.Exit(runDoomed(doomed))
	}
	flag.Parse()
	// Most of these tests wait for timeouts of the group, not for the processor.
	parallel := flag.Lookup("test.parallel")
	if parallel.Value.String() == parallel.DefValue {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	storetest.Main(m)
}
