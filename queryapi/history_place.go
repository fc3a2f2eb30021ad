package queryapi

import (
	"cmp"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// place is where a row of the history stands. It depends on nothing but the
// row, so that a page goes on where the last one ended whatever has come in
// meanwhile.
type place struct {
	At   schemas.Millis   `json:"a"`
	Kind balance.StepKind `json:"k"`
	// Of what the ledger does at one instant, the event's; else 0.
	Time   schemas.Millis `json:"t,omitempty"`
	Offset uint64         `json:"o,omitempty"`
	// Event of what came as one, campaign of grouped consumption.
	ID string `json:"i,omitempty"`
}

// compare is the order of time, the oldest first.
func (a place) compare(b place) int {
	return cmp.Or(
		cmp.Compare(a.At, b.At),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Time, b.Time),
		cmp.Compare(a.Offset, b.Offset),
		cmp.Compare(a.ID, b.ID),
	)
}

// usagePlace is the place of consumption, or with an empty id what is before
// all of it at an instant.
func usagePlace(at schemas.Millis, id string) place { return place{At: at, Kind: balance.Uses, ID: id} }

func stepPlace(s *balance.Step) place {
	return place{At: s.At, Kind: s.Kind, Time: s.Entry.At, Offset: s.Entry.Offset, ID: s.Entry.EventID}
}

// historyCursor is the place of the last row of a page and what the listing
// that it belongs to is cut by: the first page decides, because a row that is
// cut anew could be shown twice or not at all.
type historyCursor struct {
	place
	Zone    string         `json:"z"`
	RawFrom schemas.Millis `json:"r"`
	Ledger  uint64         `json:"l"`
	Digest  string         `json:"d"`
}

// cursorAfter makes the opaque text for the page after a row.
func (ask *historyAsk) cursorAfter(last place, listing []string) string {
	return encodeCursor(historyCursor{place: last, Zone: ask.zone.String(), RawFrom: ask.rawFrom, Ledger: ask.ledger, Digest: digest(listing)})
}

func parseHistoryCursor(text string, listing []string) (*historyCursor, error) {
	var c historyCursor
	if err := decodeCursor(text, &c); err != nil || c.Digest != digest(listing) {
		return nil, errCursor
	}
	return &c, nil
}

func (a place) isUsage() bool { return a.Kind == balance.Uses }
