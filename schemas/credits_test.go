package schemas

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var amountSyntax = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// bigCredits is the oracle of parseCredits: arithmetic without bounds, which
// only works for exponents that a computer can write out.
func bigCredits(text string) (Credits, error) {
	if !amountSyntax.MatchString(text) {
		return 0, ErrNotAmount
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, ErrNotAmount
	}
	r.Mul(r, big.NewRat(MicrosPerCredit, 1))
	if !r.IsInt() {
		return 0, ErrInexact
	}
	if n := r.Num(); n.IsInt64() && n.Int64() != math.MinInt64 {
		return Credits(n.Int64()), nil
	}
	return 0, ErrAmountRange
}

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func checkCredits(t failer, text string) {
	t.Helper()
	got, err := ParseCredits(text)
	if exponent := strings.IndexAny(text, "eE"); exponent < 0 || len(text)-exponent < 6 {
		want, wantErr := bigCredits(text)
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("ParseCredits(%q) = %d, %v; want %d, %v", text, got, err, want, wantErr)
		}
	}
	if err != nil {
		return
	}
	if again, err := ParseCredits(got.String()); err != nil || again != got {
		t.Fatalf("%q is %s, which is %d, %v", text, got, again, err)
	}
	if fromTotal := got.Total().String(); fromTotal != got.String() {
		t.Fatalf("%d as a total is %s, not %s", got, fromTotal, got)
	}
}

func FuzzCredits(f *testing.F) {
	for _, text := range []string{"0", "-0", "1", "12.5", "-0.000001", "0.0000001", "1.0000000", "1e-6", "1e-7", "10e-7", "1e400", "1e999999999999", "1e-999999999999", "0e999999999", "9223372036854.775807", "9223372036854.775808", "-9223372036854.775808", "1.", ".5", "", "-", "+1", "1e", "1e+", "1E2", "0010", "100.0e-2", "123456789012345678901234567890", "0.00000000000000000000000000000000000001e38", "1.5e5x", "1e5.", "--1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkCredits(t, text) })
}

func TestParseCreditsEqualsArithmeticWithoutBounds(t *testing.T) {
	amount := rapid.StringMatching(`-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) { checkCredits(t, amount.Draw(t, "amount")) })
}

func TestParseCreditsIsFastWhateverTheExponent(t *testing.T) {
	for text, want := range map[string]error{
		"1e" + strings.Repeat("9", 1<<20):                        ErrAmountRange,
		"1e-" + strings.Repeat("9", 1<<20):                       ErrInexact,
		strings.Repeat("9", 1<<20):                               ErrAmountRange,
		"0." + strings.Repeat("0", 1<<20) + "1":                  ErrInexact,
		"0." + strings.Repeat("0", 1<<20) + "1e1048571":          nil,
		"1" + strings.Repeat("0", 1<<20) + "e-1048576":           nil,
		"1." + strings.Repeat("0", 1<<20):                        nil,
		"1e" + strings.Repeat("0", 1<<20) + "3":                  nil,
		strings.Repeat("0", 1<<20) + "1":                         nil,
		"1" + strings.Repeat("0", 1<<20) + "." + "0" + "e-99999": ErrAmountRange,
	} {
		if _, err := ParseCredits(text); !errors.Is(err, want) {
			t.Errorf("%.10s… (%d bytes): %v, want %v", text, len(text), err, want)
		}
	}
}

func drawTotal(t *rapid.T, label string) Total {
	// Half the range, so that sums of two fit.
	return Total{Hi: rapid.Int64Range(math.MinInt64/2, math.MaxInt64/2).Draw(t, label+" hi"), Lo: rapid.Uint64().Draw(t, label+" lo")}
}

func TestTotalEqualsBigInt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTotal(t, "a"), drawTotal(t, "b")
		if rapid.Bool().Draw(t, "small") {
			a, b = TotalOf(int64(a.Lo)), TotalOf(int64(b.Lo))
		}
		x, y := a.Big(), b.Big()
		for _, test := range []struct {
			name string
			got  Total
			want *big.Int
		}{
			{"add", a.Add(b), new(big.Int).Add(x, y)},
			{"sub", a.Sub(b), new(big.Int).Sub(x, y)},
			{"neg", a.Neg(), new(big.Int).Neg(x)},
		} {
			if test.got.Big().Cmp(test.want) != 0 {
				t.Fatalf("%s of %s and %s is %s, want %s", test.name, x, y, test.got.Big(), test.want)
			}
			if back, err := TotalFromBig(test.want); err != nil || back != test.got {
				t.Fatalf("%s back from big is %v, %v", test.want, back, err)
			}
		}
		if a.Cmp(b) != x.Cmp(y) || a.Sign() != x.Sign() || a.Min(b).Cmp(a.Max(b)) > 0 {
			t.Fatalf("order of %s and %s", x, y)
		}
		want := new(big.Rat).SetFrac(x, big.NewInt(MicrosPerCredit))
		if got, ok := new(big.Rat).SetString(a.String()); !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s micro-credits read %s", x, a)
		}
		if micro, ok := a.Micro(); ok != x.IsInt64() || ok && micro != x.Int64() {
			t.Fatalf("Micro of %s is %d, %v", x, micro, ok)
		}
	})
}

func TestTotalAtItsEnds(t *testing.T) {
	largest := Total{Hi: math.MaxInt64, Lo: math.MaxUint64}
	smallest := Total{Hi: math.MinInt64}
	for total, want := range map[Total]string{
		largest:                 "170141183460469231731687303715884.105727",
		smallest:                "-170141183460469231731687303715884.105728",
		TotalOf(math.MinInt64):  "-9223372036854.775808",
		TotalOf(-1):             "-0.000001",
		{}:                      "0",
		TotalOf(12_500_000):     "12.5",
		TotalOf(-3_000_000_000): "-3000",
	} {
		if total.String() != want {
			t.Errorf("%#v reads %s, want %s", total, total, want)
		}
	}
	if got := Credits(math.MinInt64).String(); got != "-9223372036854.775808" {
		t.Errorf("the smallest amount reads %s", got)
	}
	if _, err := TotalFromBig(new(big.Int).Lsh(big.NewInt(1), 127)); !errors.Is(err, ErrAmountRange) {
		t.Errorf("2^127: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an overflow of 128 bits went unnoticed")
		}
	}()
	largest.Add(TotalOf(1))
}
