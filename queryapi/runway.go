package queryapi

import (
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// Runway is when the balance reaches 0.
type Runway struct {
	ExhaustsAt *Instant `json:"exhausts_at" doc:"First instant at which the balance is 0, known grants and expiries included; null: see reason"`
	P10        *Instant `json:"p10" doc:"The early one: 10 % chance of running out before it; null where the method gives no range"`
	P90        *Instant `json:"p90"`
	Method     string   `json:"method" enum:"seasonal,run_rate,insufficient_data" doc:"seasonal, run_rate: a forecast; run_rate without a range: the burn rate of the last 24 h goes on"`
	Reason     *string  `json:"reason" enum:"no_consumption,exhausted,beyond_5_years" doc:"Why exhausts_at is null"`
}

const (
	methodRunRate          = "run_rate"
	methodInsufficientData = "insufficient_data"
)

// runwayYears is how far a runway is looked for (DESIGN section 8).
const runwayYears = 5

func runwayHorizon(at schemas.Millis) schemas.Millis {
	return millisOf(timeOf(at).AddDate(runwayYears, 0, 0))
}

// runwayOf continues the balance curve at the rate of gross used in window,
// from state.At on. Segments are those state was made of.
func runwayOf(entries []balance.Entry, segments []balance.Segment, state *balance.State, gross schemas.Total, window time.Duration) (Runway, error) {
	answer := Runway{Method: methodRunRate}
	because := func(reason string) (Runway, error) {
		answer.Reason = &reason
		return answer, nil
	}
	if state.Remaining.Sign() <= 0 {
		return because("exhausted")
	}
	if gross.Sign() <= 0 {
		return because("no_consumption")
	}
	horizon := runwayHorizon(state.At)
	steady := balance.Steady{From: state.At, Gross: gross, Window: schemas.Millis(window.Milliseconds())}
	future, err := balance.Foresee(entries, segments, state, steady, horizon)
	if err != nil {
		return answer, err
	}
	if future.ExhaustedAt == schemas.NoInstant || future.ExhaustedAt > horizon {
		return because("beyond_5_years")
	}
	answer.ExhaustsAt = instantOrNull(future.ExhaustedAt)
	return answer, nil
}
