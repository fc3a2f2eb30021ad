package queryapi

import "testing"

func TestInstantsOfQueriesAreTruncatedToTheMillisecond(t *testing.T) {
	fine, err := instantParam("from", "2026-11-01T00:00:00.1239999Z")
	if err != nil {
		t.Fatal(err)
	}
	coarse, err := instantParam("from", "2026-11-01T00:00:00.123Z")
	if err != nil || fine != coarse {
		t.Errorf("%d and %d (%v), want the same instant", fine, coarse, err)
	}
}
