package aggregator_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// audits says whether the process of a registry audits.
func audits(t *testing.T, registry *prometheus.Registry) bool {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "drawdown_aggregator_audit_cycles_total" {
			return true
		}
	}
	return false
}

func TestOneOfTwoAggregatorsAuditsAndTheOtherTakesOver(t *testing.T) {
	r := newRig(t)
	registries := []*prometheus.Registry{prometheus.NewRegistry(), prometheus.NewRegistry()}
	first, stopFirst := r.startWith("aggregators", registries[0])
	second, stopSecond := r.startWith("aggregators", registries[1])
	eventually(t, "both own partitions and one of them audits", func() bool {
		return len(first.Owned()) == 2 && len(second.Owned()) == 2 && audits(t, registries[0]) != audits(t, registries[1])
	})
	stop, other := stopFirst, 1
	if audits(t, registries[1]) {
		stop, other = stopSecond, 0
	}
	stop()
	eventually(t, "the other one audits", func() bool { return audits(t, registries[other]) })
	if audits(t, registries[1-other]) {
		t.Error("one that has stopped still says that it audits")
	}
}
