package queryapi

import (
	"errors"
	"math/big"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// Runway is when the balance reaches 0.
type Runway struct {
	ExhaustsAt *Instant `json:"exhausts_at" doc:"First instant at which the balance is 0, known grants and expiries included; null: see reason"`
	P10        *Instant `json:"p10" doc:"The early one: 10 % chance of running out before it; null where the method gives no range"`
	P90        *Instant `json:"p90"`
	Method     string   `json:"method" enum:"seasonal,run_rate,insufficient_data" doc:"run_rate: the burn rate of the last 24 h goes on"`
	Reason     *string  `json:"reason" enum:"no_consumption,exhausted,beyond_5_years" doc:"Why exhausts_at is null"`
}

const (
	methodRunRate          = "run_rate"
	methodInsufficientData = "insufficient_data"
)

// runwayYears is how far a runway is looked for (DESIGN section 8).
const runwayYears = 5

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
	c := curve{at: state.At, gross: gross.Big(), window: big.NewInt(window.Milliseconds())}
	c.horizon = millisOf(timeOf(state.At).AddDate(runwayYears, 0, 0))
	exhaustsAt, err := c.exhaustion(entries, segments, state.Remaining)
	switch {
	case errors.Is(err, errBeyondHorizon):
		return because("beyond_5_years")
	case err != nil:
		return answer, err
	}
	answer.ExhaustsAt = instantOrNull(exhaustsAt)
	return answer, nil
}

var errBeyondHorizon = errors.New("not exhausted before the horizon")

// curve is a balance that goes on at a constant rate.
type curve struct {
	at, horizon   schemas.Millis
	gross, window *big.Int // the rate: gross micro-credits in window milliseconds
}

// exhaustion returns the first instant after at when the balance is 0.
func (c *curve) exhaustion(entries []balance.Entry, known []balance.Segment, remaining schemas.Total) (schemas.Millis, error) {
	segments, err := balance.Segments(entries, c.horizon)
	if err != nil {
		return 0, err
	}
	for i := range segments {
		if i < len(known) {
			// The segments up to at are the same but for the last one's end.
			segments[i].Net = known[i].Net
		}
		used, err := c.usedBetween(max(segments[i].From, c.at), segments[i].To)
		if err != nil {
			return 0, err
		}
		segments[i].Net = segments[i].Net.Add(used)
	}
	_, movements, err := balance.Explain(entries, segments, c.horizon)
	if err != nil {
		return 0, err
	}
	// What expiries, grants and the like change at their instants.
	changes := make(map[schemas.Millis]schemas.Total)
	for _, m := range movements {
		if m.To == m.At {
			changes[m.At] = changes[m.At].Add(m.Delta)
		}
	}
	for _, segment := range segments {
		if segment.To <= c.at {
			continue
		}
		if segment.From > c.at {
			if remaining = remaining.Add(changes[segment.From]); remaining.Sign() <= 0 {
				return segment.From, nil
			}
		}
		from := max(segment.From, c.at)
		used, err := c.usedBetween(from, segment.To)
		if err != nil {
			return 0, err
		}
		if remaining.Cmp(used) <= 0 {
			return c.after(from, remaining), nil
		}
		remaining = remaining.Sub(used)
	}
	return 0, errBeyondHorizon
}

// usedBetween is usage at the rate in [from, to); sums over adjoining ranges
// are exact.
func (c *curve) usedBetween(from, to schemas.Millis) (schemas.Total, error) {
	if from >= to {
		return schemas.Total{}, nil
	}
	until := func(t schemas.Millis) *big.Int {
		used := big.NewInt(int64(t - c.at))
		return used.Quo(used.Mul(used, c.gross), c.window)
	}
	used := until(to)
	return schemas.TotalFromBig(used.Sub(used, until(from)))
}

// after returns when credits are used up at the rate from on: the first whole
// millisecond.
func (c *curve) after(from schemas.Millis, credits schemas.Total) schemas.Millis {
	wait := credits.Big()
	wait.Mul(wait, c.window)
	wait.Add(wait, new(big.Int).Sub(c.gross, big.NewInt(1)))
	wait.Quo(wait, c.gross)
	return from + schemas.Millis(wait.Int64())
}
