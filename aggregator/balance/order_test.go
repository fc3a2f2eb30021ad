package balance

import (
	"testing"

	"pgregory.net/rapid"
)

func TestRankSetKnowsItsFirstAndLastMember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 63, 64, 65, 4_096, 4_097, 300_000}).Draw(t, "n")
		set, members := newRankSet(n), map[int]bool{}
		for range rapid.IntRange(0, min(n, 8)).Draw(t, "changes") {
			i, member := rapid.IntRange(0, n-1).Draw(t, "i"), rapid.Bool().Draw(t, "member")
			set.put(i, member)
			delete(members, i)
			if member {
				members[i] = true
			}
			first, last := -1, -1
			for m := range members {
				if first < 0 || m < first {
					first = m
				}
				last = max(last, m)
			}
			if set.first() != first || set.last() != last {
				t.Fatalf("first %d last %d, want %d and %d", set.first(), set.last(), first, last)
			}
		}
	})
}
