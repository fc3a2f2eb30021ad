package aggregator_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// TestARestartDelaysNoEnd: an aggregator starts in the middle of the time for
// which conditions have to be over. What ends incidents does so when it would
// have without the restart: of a grant when it had arrived for five minutes, of
// usage within the next minute, and not sooner though it is of a quota that was
// raised while nobody looked.
func TestARestartDelaysNoEnd(t *testing.T) {
	r := newRig(t)
	var looks atomic.Int32
	r.before = func(statement string) error {
		if strings.Contains(statement, "FROM ingest_progress") && !strings.HasPrefix(statement, "-- audit") {
			looks.Add(1)
		}
		return nil
	}
	// passTo lets it be so many minutes past noon, and waits for a look at that.
	passTo := func(minutes float64) {
		t.Helper()
		noon := r.clock().Truncate(time.Hour)
		r.pass(noon.Add(time.Duration(minutes * float64(time.Minute))).Sub(r.clock()))
		// One that begins later, and the one that begins after its end.
		before := looks.Load()
		eventually(t, "a look", func() bool { return looks.Load() >= before+2 })
	}
	want := func(when, rule string, states ...string) {
		t.Helper()
		if got := r.states("ws_a", rule); fmt.Sprint(got) != fmt.Sprint(states) {
			t.Errorf("%s: %s is %q, want %q", when, rule, got, states)
		}
	}
	day := r.clock().AddDate(0, 0, -1).Truncate(time.Minute)
	quota, more := int64(100_000_000), int64(1000_000_000)
	r.grant("ws_a", "g1", 1000_000_000, day, nil)
	r.insert(event{"ws_a", "", day.Add(time.Hour), 850_000_000})
	for _, id := range []string{"cmp_1", "cmp_2"} {
		r.campaign("ws_a", id, "ACTIVE", day, &quota, nil)
		r.insert(event{"ws_a", id, day.Add(time.Hour), 60_000_000})
	}
	r.rule("ws_a", "quota", 1, 1, schemas.QuotaUsed, true, `{"percent":50}`)
	r.counted()
	_, stop := r.start()
	eventually(t, "the incidents", func() bool {
		return fmt.Sprint(r.states("ws_a", "quota"), r.states("ws_a", "default-balance")) == "[cmp_11 firing cmp_21 firing] [1 firing]"
	})
	stop()

	r.pass(30 * time.Second) // 12:01
	r.grant("ws_a", "g2", 1000_000_000, r.clock(), nil)
	r.insert(event{"ws_a", "cmp_1", r.clock(), -30_000_000})
	r.pass(2 * time.Minute) // 12:03
	r.campaign("ws_a", "cmp_2", "ACTIVE", r.clock(), &more, nil)
	r.pass(time.Minute)
	r.start()
	passTo(5.99)
	want("12:05:59", "default-balance", "1 firing")
	passTo(6)
	want("12:06:00", "default-balance", "1 firing", "1 resolved")
	want("12:06:00", "quota", "cmp_11 firing", "cmp_21 firing")
	passTo(7)
	want("12:07:00", "quota", "cmp_11 firing", "cmp_11 resolved", "cmp_21 firing")
	passTo(7.99)
	want("12:07:59", "quota", "cmp_11 firing", "cmp_11 resolved", "cmp_21 firing")
	passTo(8)
	want("12:08:00", "quota", "cmp_11 firing", "cmp_11 resolved", "cmp_21 firing", "cmp_21 resolved")
}
