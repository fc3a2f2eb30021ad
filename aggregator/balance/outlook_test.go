package balance_test

import (
	"testing"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

const (
	testMinute schemas.Millis = 60_000
	testHour                  = 60 * testMinute
)

// TestWhatIsForeseenIsWhatBurnsDown: the balance that a future says is 0 at an
// instant is 0 there when that usage has come true, and so is what expires.
func TestWhatIsForeseenIsWhatBurnsDown(t *testing.T) {
	grant := func(id string, offset uint64, credits int64, from, to schemas.Millis) balance.Entry {
		return balance.Entry{
			Type: schemas.CreditsGranted, EventID: "e" + id, GrantID: id, Offset: offset, Class: schemas.Paid, Priority: 100,
			Credits: schemas.Credits(credits * 1_000_000), At: 0, EffectiveAt: from, ExpiresAt: to,
		}
	}
	now := 100*testHour + 1
	for name, c := range map[string]struct {
		entries   []balance.Entry
		perHour   int64
		exhausted schemas.Millis
		unused    []balance.Unused
	}{
		"one grant": {
			entries:   []balance.Entry{grant("a", 1, 1000, testHour, schemas.NoInstant)},
			perHour:   100,
			exhausted: now + 10*testHour,
		},
		"a part expires": {
			entries:   []balance.Entry{grant("a", 1, 1000, testHour, now-1+4*testHour)},
			perHour:   100,
			exhausted: now - 1 + 4*testHour,
			unused:    []balance.Unused{{At: now - 1 + 4*testHour, Credits: schemas.TotalOf(600_000_028)}},
		},
		"a later grant bridges": {
			entries: []balance.Entry{
				grant("a", 1, 500, testHour, schemas.NoInstant),
				grant("b", 2, 500, now-1+4*testHour, schemas.NoInstant),
			},
			perHour:   100,
			exhausted: now + 10*testHour + 1, // parts of a micro-credit do not outlast a cut
		},
		"too late a grant": {
			entries: []balance.Entry{
				grant("a", 1, 500, testHour, schemas.NoInstant),
				grant("b", 2, 500, now-1+6*testHour, schemas.NoInstant),
			},
			perHour:   100,
			exhausted: now + 5*testHour,
		},
		"nothing is used": {
			entries:   []balance.Entry{grant("a", 1, 500, testHour, schemas.NoInstant)},
			exhausted: schemas.NoInstant,
		},
	} {
		t.Run(name, func(t *testing.T) {
			segments, err := balance.Segments(c.entries, now)
			if err != nil {
				t.Fatal(err)
			}
			state, err := balance.Burn(c.entries, segments, now)
			if err != nil {
				t.Fatal(err)
			}
			outlook := balance.Steady{From: now, Gross: schemas.TotalOf(c.perHour * 1_000_000), Window: testHour}
			future, err := balance.Foresee(c.entries, segments, state, outlook, now+1000*testHour)
			if err != nil {
				t.Fatal(err)
			}
			if future.ExhaustedAt != c.exhausted {
				t.Errorf("exhausted at %d, want %d", future.ExhaustedAt-now, c.exhausted-now)
			}
			if len(future.Unused) != len(c.unused) {
				t.Fatalf("unused %v, want %v", future.Unused, c.unused)
			}
			for i, unused := range future.Unused {
				if unused != c.unused[i] {
					t.Errorf("unused %v, want %v", unused, c.unused[i])
				}
			}
			if future.ExhaustedAt == schemas.NoInstant {
				return
			}
			// Come true: the usage until then, in the segments of then.
			at := future.ExhaustedAt
			later, err := balance.Segments(c.entries, at)
			if err != nil {
				t.Fatal(err)
			}
			for i := range later {
				from, to := max(later[i].From, now), min(later[i].To, at)
				if from < to {
					later[i].Net = outlook.Used(to).Sub(outlook.Used(from))
				}
			}
			came, err := balance.Burn(c.entries, later, at)
			if err != nil {
				t.Fatal(err)
			}
			if came.Remaining.Sign() > 0 {
				t.Errorf("%v are left", came.Remaining)
			}
		})
	}
}
