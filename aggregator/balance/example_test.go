package balance_test

import (
	"fmt"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// The caller asks where the ledger cuts time, sums usage over each segment and
// gets the balance.
func Example() {
	const day = 24 * 60 * 60 * 1000
	october := balance.Beginning
	entries := []balance.Entry{{
		Type: schemas.CreditsGranted, EventID: "0197c9d2", GrantID: "grt_october", At: october, Offset: 1,
		Credits: 100 * schemas.MicrosPerCredit, Class: schemas.Paid, Priority: 100,
		EffectiveAt: october, ExpiresAt: october + 31*day,
	}}
	segments, err := balance.Segments(entries, october+10*day)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range segments {
		// In earnest: the sum of credits_micro over [From, To) from the rollups.
		segments[i].Net = schemas.TotalOf(12_500_000)
	}
	state, err := balance.Burn(entries, segments, october+10*day)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(state.Remaining, "of", state.Allocated, "for", state.DaysRemaining, "days")
	// Output: 87.5 of 100 for 21 days
}
