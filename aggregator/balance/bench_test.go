package balance_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// ledgerOf makes a ledger of overlapping grants, one an hour, each for ten
// days, of which a tenth are adjusted and a tenth voided, and usage that goes
// up and down around what they hold, with refunds.
func ledgerOf(b *testing.B, grants int) ([]balance.Entry, []balance.Segment, schemas.Millis) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	const hour = 60 * grid
	var entries []balance.Entry
	add := func(e balance.Entry) {
		e.EventID, e.Offset = fmt.Sprintf("0197c9d2-7c1e-7b44-9b0e-%012d", len(entries)), uint64(len(entries))
		entries = append(entries, e)
	}
	for i := range grants {
		at, id := balance.Beginning+schemas.Millis(i)*hour, fmt.Sprintf("grt_%08d", i)
		add(balance.Entry{
			Type: schemas.CreditsGranted, GrantID: id, At: at, Credits: 1000 * schemas.MicrosPerCredit,
			Class: schemas.Class(i % 2), Priority: uint16(random.IntN(1000)), EffectiveAt: at, ExpiresAt: at + 240*hour,
		})
		switch i % 10 {
		case 3:
			add(balance.Entry{Type: schemas.CreditsAdjusted, GrantID: id, At: at + hour/2, Credits: -5 * schemas.MicrosPerCredit})
		case 7:
			add(balance.Entry{Type: schemas.GrantVoided, GrantID: id, At: at + 100*hour})
		}
	}
	at := balance.Beginning + schemas.Millis(grants)*hour
	segments, err := balance.Segments(entries, at)
	if err != nil {
		b.Fatal(err)
	}
	for i := range segments {
		segments[i].Net = schemas.TotalOf(random.Int64N(2400*schemas.MicrosPerCredit) - 600*schemas.MicrosPerCredit)
	}
	return entries, segments, at
}

func BenchmarkBurn(b *testing.B) {
	for _, grants := range []int{10, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("grants=%d", grants), func(b *testing.B) {
			entries, segments, at := ledgerOf(b, grants)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := balance.Burn(entries, segments, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkExplain(b *testing.B) {
	entries, segments, at := ledgerOf(b, 1_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := balance.Explain(entries, segments, at); err != nil {
			b.Fatal(err)
		}
	}
}

// Ten thousand exhausted grants that never expire must not be looked at again
// for each of a hundred thousand segments.
func BenchmarkBurnManyExhausted(b *testing.B) {
	var entries []balance.Entry
	for i := range 110_000 {
		e := balance.Entry{
			EventID: fmt.Sprint(i), Offset: uint64(i), At: balance.Beginning + schemas.Millis(i)*grid,
			Type: schemas.CreditsAdjusted, EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
		}
		if i < 10_000 {
			e.Type, e.GrantID, e.Credits, e.EffectiveAt = schemas.CreditsGranted, fmt.Sprint("grant-", i), 10, e.At
		}
		entries = append(entries, e)
	}
	at := balance.Beginning + 110_000*grid
	segments, err := balance.Segments(entries, at)
	if err != nil {
		b.Fatal(err)
	}
	for i := range segments {
		segments[i].Net = schemas.TotalOf(10 - int64(i%2))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := balance.Burn(entries, segments, at); err != nil {
			b.Fatal(err)
		}
	}
}
