package queryapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/drawdown/drawdown/schemas"
)

// sortKey is what campaigns are ordered by: number or text, unknown last, the
// id last of all.
type sortKey struct {
	Known  bool   `json:"k"`
	Hi     int64  `json:"h,omitempty"`
	Lo     uint64 `json:"l,omitempty"`
	Text   string `json:"t,omitempty"`
	ID     string `json:"i"`
	Digest string `json:"d,omitempty"` // of the listing a cursor is good for
}

// cursor is the sort key of the last row of a page. Rows are found again by
// it, so that a row whose figure moves between pages is at worst shown twice
// or not at all, and no other one is.
type cursor struct{ sortKey }

func keyOf(r *campaignRow, sort string) sortKey {
	key := sortKey{ID: r.id}
	number := func(t *schemas.Total) {
		if t != nil {
			key.Known, key.Hi, key.Lo = true, t.Hi, t.Lo
		}
	}
	switch sort {
	case "projected":
		number(r.projected())
	case "quota":
		if r.state.quota != nil {
			quota := r.state.quota.Total()
			number(&quota)
		}
	case "name":
		key.Known, key.Text = r.state.name != "", strings.ToLower(r.state.name)
	default:
		number(&r.inRange.net)
	}
	return key
}

// compare orders keys; descending turns values around, but neither unknown
// ones nor ids.
func (a sortKey) compare(b sortKey, descending bool) int {
	if a.Known != b.Known {
		if a.Known {
			return -1
		}
		return 1
	}
	order := cmp.Or(
		schemas.Total{Hi: a.Hi, Lo: a.Lo}.Cmp(schemas.Total{Hi: b.Hi, Lo: b.Lo}),
		strings.Compare(a.Text, b.Text))
	if descending {
		order = -order
	}
	return cmp.Or(order, strings.Compare(a.ID, b.ID))
}

// page filters and sorts rows and returns those after the cursor up to the
// limit, and whether there are more.
func (in *CampaignsInput) page(all []*campaignRow) ([]*campaignRow, bool) {
	descending, q := in.Order == "desc", strings.ToLower(in.Q)
	rows := slices.DeleteFunc(slices.Clone(all), func(r *campaignRow) bool {
		switch {
		case r.id == "", in.Status != "" && r.state.status != in.Status:
			return true
		case !strings.Contains(strings.ToLower(r.state.name), q) && !strings.Contains(strings.ToLower(r.id), q):
			return true
		}
		return in.cursor != nil && keyOf(r, in.Sort).compare(in.cursor.sortKey, descending) <= 0
	})
	slices.SortFunc(rows, func(a, b *campaignRow) int {
		return keyOf(a, in.Sort).compare(keyOf(b, in.Sort), descending)
	})
	if len(rows) > in.Limit {
		return rows[:in.Limit], true
	}
	return rows, false
}

// cursorAfter makes the opaque text for the page after row.
func cursorAfter(row *campaignRow, sort string, listing []string) string {
	key := keyOf(row, sort)
	key.Digest = digest(listing)
	return encodeCursor(key)
}

var errCursor = errors.New("not a cursor of this list; take next_cursor and keep the other parameters")

func parseCursor(text string, listing []string) (*cursor, error) {
	var c cursor
	if err := decodeCursor(text, &c.sortKey); err != nil || c.Digest != digest(listing) {
		return nil, errCursor
	}
	return &c, nil
}

// encodeCursor makes opaque text of a struct of strings and numbers.
func encodeCursor(fields any) string {
	// Such a struct always encodes.
	text, _ := json.Marshal(fields)
	return base64.RawURLEncoding.EncodeToString(text)
}

// decodeCursor reads what encodeCursor made.
func decodeCursor(text string, fields any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, fields) != nil {
		return errCursor
	}
	return nil
}

// digest ties a cursor to its list. It keeps mistakes apart, not attackers: a
// cursor only ever selects among rows that its holder may read.
func digest(listing []string) string {
	// A slice of strings always encodes.
	text, _ := json.Marshal(listing)
	hash := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(hash[:9])
}
