package forecast

import (
	"math"
	"math/big"

	"github.com/drawdown/drawdown/schemas"
)

// mostCredits is far beyond any log and within 128 bits of micro-credits.
const mostCredits = 1e30

// Total is a forecast in credits as an amount, rounded to the micro-credit.
// NaN is 0; no more than 1e30 credits, in absolute value, is told.
func Total(credits float64) schemas.Total {
	if math.IsNaN(credits) {
		return schemas.Total{}
	}
	credits = min(max(credits, -mostCredits), mostCredits)
	whole := math.Trunc(credits)
	micro, _ := big.NewFloat(whole).Int(nil)
	micro.Mul(micro, big.NewInt(schemas.MicrosPerCredit))
	micro.Add(micro, big.NewInt(int64(math.Round((credits-whole)*schemas.MicrosPerCredit))))
	total, err := schemas.TotalFromBig(micro)
	if err != nil {
		panic(err) // 1e36 fits 128 bits
	}
	return total
}
