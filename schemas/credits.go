package schemas

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
)

// Credits is an amount of credits in micro-credits (10^-6 credit). Every
// amount that enters or leaves as JSON is a decimal string such as "12.5".
// One amount fits int64 (±9.2 * 10^12 credits); sums of amounts are a [Total].
type Credits int64

// MicrosPerCredit is how many micro-credits one credit has.
const MicrosPerCredit = 1_000_000

// ErrInexact says that an amount has more than six decimals.
var ErrInexact = errors.New("more than 6 decimals")

// ErrAmountRange says that an amount does not fit the type it is read into.
var ErrAmountRange = errors.New("amount out of range")

// ErrNotAmount says that a text is no decimal number at all.
var ErrNotAmount = errors.New("not a decimal number")

// ParseCredits reads `-?digits[.digits][e[+-]digits]`, such as "12.5" or
// "1e-6". It fails with ErrNotAmount, with ErrInexact if there are more than
// six decimals other than zeros, and with ErrAmountRange if the amount does
// not fit int64 micro-credits.
func ParseCredits(text string) (Credits, error) {
	c, err := parseCredits(text)
	if err != nil {
		return 0, fmt.Errorf("amount %.40q: %w", text, err)
	}
	return c, nil
}

var powersOf10 = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// maxExponent is where exponents stop growing while they are read: far beyond
// any that an amount can have, far from overflowing an int with the length of
// a text added.
const maxExponent = 1 << 28

// parseCredits is ParseCredits without the text in the error, for whom an
// allocation is too much. It takes time linear in the length of the text
// whatever the exponent.
func parseCredits[T string | []byte](text T) (Credits, error) {
	i, n := 0, len(text)
	negative := n > 0 && text[0] == '-'
	if negative {
		i++
	}
	// The digits from the first to the last other than 0, as a number as long
	// as there are at most 19, and the power of ten of the last of them.
	var (
		mantissa    uint64
		significant int // digits in mantissa
		zeros       int // zeros since the last digit other than 0
		power       int
	)
	digits := 0
	for inFraction := false; ; digits = 0 {
		for ; i < n && text[i]-'0' < 10; i++ {
			digits++
			digit := uint64(text[i] - '0')
			switch {
			case digit != 0:
				significant += zeros + 1
				if significant <= 19 {
					mantissa = mantissa*powersOf10[zeros+1] + digit
				}
				zeros = 0
			case significant > 0:
				zeros++
			}
		}
		if digits == 0 {
			return 0, ErrNotAmount
		}
		if inFraction {
			power = -digits
			break
		}
		if i == n || text[i] != '.' {
			break
		}
		inFraction = true
		i++
	}
	power += zeros
	if i < n && text[i]|0x20 == 'e' {
		exponent, ok := parseExponent(text[i+1:])
		if !ok {
			return 0, ErrNotAmount
		}
		power += exponent
		i = n
	}
	switch {
	case i < n:
		return 0, ErrNotAmount
	case significant == 0:
		return 0, nil
	case power < -6:
		return 0, ErrInexact
	case significant+power+6 > 19:
		return 0, ErrAmountRange
	}
	micro := mantissa * powersOf10[power+6]
	if micro > math.MaxInt64 {
		return 0, ErrAmountRange
	}
	if negative {
		return -Credits(micro), nil
	}
	return Credits(micro), nil
}

func parseExponent[T string | []byte](text T) (exponent int, ok bool) {
	i, n := 0, len(text)
	negative := n > 0 && text[0] == '-'
	if n > 0 && (text[0] == '-' || text[0] == '+') {
		i++
	}
	if i == n {
		return 0, false
	}
	for ; i < n; i++ {
		digit := text[i] - '0'
		if digit > 9 {
			return 0, false
		}
		exponent = min(exponent*10+int(digit), maxExponent)
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

// Total returns the amount as a sum of one.
func (c Credits) Total() Total { return TotalOf(int64(c)) }

// String returns the shortest exact decimal, such as "12.5" or "-0.000001".
func (c Credits) String() string { return string(c.Append(nil)) }

// Append appends what String returns to dst.
func (c Credits) Append(dst []byte) []byte {
	magnitude := uint64(c)
	if c < 0 {
		dst = append(dst, '-')
		magnitude = -magnitude
	}
	dst = strconv.AppendUint(dst, magnitude/MicrosPerCredit, 10)
	fraction := magnitude % MicrosPerCredit
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.')
	for place := uint64(MicrosPerCredit / 10); fraction > 0; place /= 10 {
		dst = append(dst, '0'+byte(fraction/place))
		fraction %= place
	}
	return dst
}

// Total is a sum of micro-credits in 128-bit two's complement, so that no log
// that is accepted event by event can overflow a figure: 2^127 micro-credits
// hold 1.7 * 10^26 events of the largest size.
type Total struct {
	Hi int64
	Lo uint64
}

// TotalOf returns micro micro-credits as a Total.
func TotalOf(micro int64) Total { return Total{Hi: micro >> 63, Lo: uint64(micro)} }

// Add returns t + u. It panics on overflow of 128 bits, which no accepted log
// can reach.
func (t Total) Add(u Total) Total {
	lo, carry := bits.Add64(t.Lo, u.Lo, 0)
	hi, _ := bits.Add64(uint64(t.Hi), uint64(u.Hi), carry)
	sum := Total{Hi: int64(hi), Lo: lo}
	if (t.Hi < 0) == (u.Hi < 0) && (sum.Hi < 0) != (t.Hi < 0) {
		panic(fmt.Sprintf("schemas: 128-bit overflow adding %v and %v", t, u))
	}
	return sum
}

// Neg returns -t.
func (t Total) Neg() Total {
	lo, borrow := bits.Sub64(0, t.Lo, 0)
	hi, _ := bits.Sub64(0, uint64(t.Hi), borrow)
	return Total{Hi: int64(hi), Lo: lo}
}

// Sub returns t - u.
func (t Total) Sub(u Total) Total { return t.Add(u.Neg()) }

// Sign returns -1, 0 or 1.
func (t Total) Sign() int {
	switch {
	case t.Hi < 0:
		return -1
	case t.Hi == 0 && t.Lo == 0:
		return 0
	}
	return 1
}

// Cmp returns -1, 0 or 1 as t is less than, equal to or greater than u.
func (t Total) Cmp(u Total) int {
	switch {
	case t.Hi < u.Hi, t.Hi == u.Hi && t.Lo < u.Lo:
		return -1
	case t == u:
		return 0
	}
	return 1
}

// Min returns the smaller of t and u.
func (t Total) Min(u Total) Total {
	if t.Cmp(u) <= 0 {
		return t
	}
	return u
}

// Max returns the larger of t and u.
func (t Total) Max(u Total) Total {
	if t.Cmp(u) >= 0 {
		return t
	}
	return u
}

// MulDiv returns t * num / den rounded towards minus infinity, exactly, for
// shares and rates; den is not 0. It panics when the result overflows 128 bits,
// which no share of an accepted log can.
func (t Total) MulDiv(num, den uint64) Total {
	if t.Hi < 0 {
		// -ceil(|t| * num / den)
		quotient, rest := t.Neg().mulDiv(num, den)
		if rest != 0 {
			quotient = quotient.Add(TotalOf(1))
		}
		return quotient.Neg()
	}
	quotient, _ := t.mulDiv(num, den)
	return quotient
}

// mulDiv is MulDiv of t >= 0 with the remainder: 192 bits divided in three
// steps.
func (t Total) mulDiv(num, den uint64) (quotient Total, rest uint64) {
	carry, lo := bits.Mul64(t.Lo, num)
	top, middle := bits.Mul64(uint64(t.Hi), num)
	middle, over := bits.Add64(middle, carry, 0)
	top += over
	if top >= den {
		panic(fmt.Sprintf("schemas: 128-bit overflow of %v times %d by %d", t, num, den))
	}
	q1, rest := bits.Div64(top, middle, den)
	q0, rest := bits.Div64(rest, lo, den)
	if q1 > math.MaxInt64 {
		panic(fmt.Sprintf("schemas: 128-bit overflow of %v times %d by %d", t, num, den))
	}
	return Total{Hi: int64(q1), Lo: q0}, rest
}

// Micro returns the total as micro-credits if it fits int64.
func (t Total) Micro() (int64, bool) {
	if (t.Hi == 0 && t.Lo <= math.MaxInt64) || (t.Hi == -1 && t.Lo > math.MaxInt64) {
		return int64(t.Lo), true
	}
	return 0, false
}

// Float returns the total in whole credits for forecasts and ratios; it is
// not exact.
func (t Total) Float() float64 {
	return (float64(t.Hi)*(1<<64) + float64(t.Lo)) / MicrosPerCredit
}

// Big returns the total in micro-credits.
func (t Total) Big() *big.Int {
	b := new(big.Int).Lsh(big.NewInt(t.Hi), 64)
	return b.Add(b, new(big.Int).SetUint64(t.Lo))
}

// TotalFromBig is the inverse of Big; it fails with ErrAmountRange outside
// 128 bits.
func TotalFromBig(b *big.Int) (Total, error) {
	if b.BitLen() > 127 {
		return Total{}, fmt.Errorf("%s micro-credits: %w", b, ErrAmountRange)
	}
	lo := new(big.Int).And(b, new(big.Int).SetUint64(math.MaxUint64))
	return Total{Hi: new(big.Int).Rsh(b, 64).Int64(), Lo: lo.Uint64()}, nil
}

// String returns the shortest exact decimal in credits, such as "12.5".
func (t Total) String() string {
	magnitude, sign := t, ""
	if t.Hi < 0 {
		magnitude, sign = t.Neg(), "-"
	}
	// The magnitude divided by 10^6 in two 64-bit steps.
	hi, rest := bits.Div64(0, uint64(magnitude.Hi), MicrosPerCredit)
	lo, micro := bits.Div64(rest, magnitude.Lo, MicrosPerCredit)
	var whole string
	if hi == 0 {
		whole = fmt.Sprintf("%d", lo)
	} else {
		b := new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64)
		whole = b.Add(b, new(big.Int).SetUint64(lo)).String()
	}
	if micro == 0 {
		return sign + whole
	}
	fraction := fmt.Sprintf("%06d", micro)
	for fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return sign + whole + "." + fraction
}

// MarshalText makes JSON and logs show the decimal string.
func (t Total) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText makes JSON and logs show the decimal string.
func (c Credits) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
