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
	// Most of these tests wait for timeouts of the group, not for the
	// processor; and most properties ask ClickHouse.
	for name, value := range map[string]string{"test.parallel": "8", "rapid.checks": "25"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	storetest.Main(m)
}
