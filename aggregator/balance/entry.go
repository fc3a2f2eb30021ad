package balance

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// Beginning is 2000-01-01T00:00:00Z, before which no event is accepted
// (DESIGN section 3): where usage before the first cut starts.
const Beginning schemas.Millis = 946_684_800_000

// ErrEntry says that an entry is none that the decoder lets through.
var ErrEntry = errors.New("not a ledger entry")

// ErrSegments says that the segments are not those of the ledger.
var ErrSegments = errors.New("segments do not match the ledger")

// Entry is one row of table credit_entries.
type Entry struct {
	Type    schemas.EventType // CreditsGranted, CreditsAdjusted or GrantVoided
	EventID string            // unique in its workspace
	GrantID string            // the grant granted, adjusted or voided; empty: none
	At      schemas.Millis    // time of the event, a whole minute
	Offset  uint64            // rises with arrival, over epochs too: epoch<<48 | koff
	Credits schemas.Credits   // > 0 for a grant, signed for an adjustment, 0 for a void

	// Grants only.
	Class       schemas.Class
	Priority    uint16
	EffectiveAt schemas.Millis
	ExpiresAt   schemas.Millis // NoInstant: never

	// For people; no rule looks at them.
	Note      string
	Actor     string
	Source    string         // the producer
	ArrivedAt schemas.Millis // when Kafka got it
}

// Segment is the time between two consecutive cuts and the usage in it.
type Segment struct {
	From, To schemas.Millis // [From, To)
	Net      schemas.Total  // usage minus refunds
}

// Cuts returns the instants <= at at which the ledger cuts time (rule 2),
// ascending and distinct.
func Cuts(entries []Entry, at schemas.Millis) ([]schemas.Millis, error) {
	set, err := normalise(entries)
	if err != nil {
		return nil, err
	}
	return cutsOf(set, at), nil
}

// Segments returns what Burn at the same instant wants, with Net to be filled
// in: from Beginning (or the first cut, if that is earlier), cut at every
// ledger instant, up to at. For a balance of everything counted, give the last
// one all usage from its From on, also beyond at.
func Segments(entries []Entry, at schemas.Millis) ([]Segment, error) {
	cuts, err := Cuts(entries, at)
	if err != nil {
		return nil, err
	}
	return segmentsOf(cuts, at), nil
}

func segmentsOf(cuts []schemas.Millis, at schemas.Millis) []Segment {
	segments := make([]Segment, 0, len(cuts)+1)
	from := Beginning
	for _, cut := range cuts {
		if from < cut {
			segments = append(segments, Segment{From: from, To: cut})
		}
		from = cut
	}
	if from < at {
		segments = append(segments, Segment{From: from, To: at})
	}
	return segments
}

// checkSegments is what keeps a usage query that was made for another ledger,
// or another instant, from becoming a wrong balance.
func checkSegments(got []Segment, cuts []schemas.Millis, at schemas.Millis) error {
	want := segmentsOf(cuts, at)
	if len(got) != len(want) {
		return fmt.Errorf("%w: have %d, want %d up to %d", ErrSegments, len(got), len(want), at)
	}
	for i := range want {
		if got[i].From != want[i].From || got[i].To != want[i].To {
			return fmt.Errorf("%w: number %d is [%d, %d), want [%d, %d)",
				ErrSegments, i, got[i].From, got[i].To, want[i].From, want[i].To)
		}
	}
	return nil
}

func cutsOf(set []*Entry, at schemas.Millis) []schemas.Millis {
	cuts := make([]schemas.Millis, 0, 2*len(set))
	add := func(t schemas.Millis) {
		if t != schemas.NoInstant && t <= at {
			cuts = append(cuts, t)
		}
	}
	for _, e := range set {
		if e.Type == schemas.CreditsGranted {
			add(e.EffectiveAt)
			add(e.ExpiresAt)
		} else {
			add(e.At)
		}
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// normalise returns the entries that exist (rule 1) by (time, offset).
func normalise(entries []Entry) ([]*Entry, error) {
	byOffset := make([]*Entry, len(entries))
	for i := range entries {
		if err := entries[i].check(); err != nil {
			return nil, err
		}
		byOffset[i] = &entries[i]
	}
	slices.SortFunc(byOffset, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.EventID, b.EventID))
	})
	events := make(map[string]struct{}, len(entries))
	grants := make(map[string]struct{}, len(entries))
	set := byOffset[:0]
	for _, e := range byOffset {
		if _, known := events[e.EventID]; known {
			continue
		}
		if e.Type == schemas.CreditsGranted {
			if _, known := grants[e.GrantID]; known {
				continue
			}
			grants[e.GrantID] = struct{}{}
		}
		events[e.EventID] = struct{}{}
		set = append(set, e)
	}
	slices.SortStableFunc(set, func(a, b *Entry) int { return cmp.Compare(a.At, b.At) })
	return set, nil
}

func (e *Entry) check() error {
	switch {
	case e.EventID == "":
		return fmt.Errorf("entry at offset %d has no event_id: %w", e.Offset, ErrEntry)
	case e.Type == schemas.CreditsGranted && e.Credits <= 0:
		return fmt.Errorf("grant %q of %v credits: %w", e.GrantID, e.Credits, ErrEntry)
	case e.Type == schemas.CreditsGranted && (e.GrantID == "" || e.EffectiveAt == schemas.NoInstant):
		return fmt.Errorf("grant in event %q has no grant_id or no effective_at: %w", e.EventID, ErrEntry)
	case e.Type == schemas.GrantVoided && e.GrantID == "":
		return fmt.Errorf("void in event %q names no grant: %w", e.EventID, ErrEntry)
	case e.Type != schemas.CreditsGranted && e.Type != schemas.CreditsAdjusted && e.Type != schemas.GrantVoided:
		return fmt.Errorf("event %q of type %d: %w", e.EventID, e.Type, ErrEntry)
	}
	return nil
}
