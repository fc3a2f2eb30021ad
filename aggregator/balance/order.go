package balance

import (
	"cmp"
	"math"
	"math/bits"

	"github.com/drawdown/drawdown/schemas"
)

// account is a grant while the ledger runs.
type account struct {
	Grant
	rank      int       // place in the order of draining among all accounts
	pending   []pending // adjustments made before it became effective (rule 9)
	cancelled bool      // a void at or before effective_at (rule 13)
}

// pending is an adjustment that counts once its grant becomes effective.
type pending struct {
	eventID string
	change  schemas.Total
}

// drainOrder is rule 6. Ids of carry-overs and adjustments may be those of
// grants that somebody named so; the rest keeps the order total then.
func drainOrder(a, b *account) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(neverLast(a.ExpiresAt), neverLast(b.ExpiresAt)),
		cmp.Compare(a.Class, b.Class), // promo before paid
		cmp.Compare(a.EffectiveAt, b.EffectiveAt),
		cmp.Compare(a.GrantID, b.GrantID),
		cmp.Compare(a.Origin, b.Origin),
		cmp.Compare(a.EventID, b.EventID),
	)
}

func neverLast(expiresAt schemas.Millis) schemas.Millis {
	if expiresAt == schemas.NoInstant {
		return math.MaxInt64
	}
	return expiresAt
}

// rankSet is a set of ranks with its smallest and largest at hand: a bitmap
// under bitmaps of its non-zero words. Draining and refilling find the next
// grant in a few steps however many are exhausted or full.
type rankSet [][]uint64

func newRankSet(n int) rankSet {
	var s rankSet
	for {
		n = (n + 63) / 64
		s = append(s, make([]uint64, max(n, 1)))
		if n <= 1 {
			return s
		}
	}
}

// put makes i a member or not.
func (s rankSet) put(i int, member bool) {
	for _, words := range s {
		word := &words[i/64]
		if member {
			*word |= 1 << (i % 64)
		} else if *word &^= 1 << (i % 64); *word != 0 {
			return
		}
		i /= 64
	}
}

// first returns the smallest member, -1 if there is none.
func (s rankSet) first() int {
	i := 0
	for level := len(s) - 1; level >= 0; level-- {
		word := s[level][i]
		if word == 0 {
			return -1
		}
		i = i*64 + bits.TrailingZeros64(word)
	}
	return i
}

// last returns the largest member, -1 if there is none.
func (s rankSet) last() int {
	i := 0
	for level := len(s) - 1; level >= 0; level-- {
		word := s[level][i]
		if word == 0 {
			return -1
		}
		i = i*64 + 63 - bits.LeadingZeros64(word)
	}
	return i
}
