package aggregator

import (
	"context"
	"slices"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// recall brings back to a book that was restored for how long conditions of
// firing incidents have been over, if any is at the figures of now: by figures
// of the last minutes, which are read one after the other.
func (w *watch) recall(ctx context.Context, ws *workspace, book alerts.Book, now *alerts.Figures) error {
	if !book.Clearing(ws.rules, now) {
		return nil
	}
	var past []*alerts.Figures
	for _, at := range ws.looks(now.At) {
		figures, err := w.pastFigures(ctx, ws, at)
		if err != nil {
			return err
		}
		past = append(past, figures)
	}
	book.Recall(ws.rules, past...)
	return nil
}

// maxLooks bounds the instants that are recalled: six of minutes, and arrivals.
const maxLooks = 16

// looks are instants of the last minutes before one at which a look would have
// seen something new: that from which on a condition must be over to end an
// incident now, whole minutes, at which windows of usage move, and arrivals of
// entries and states. Where those are too many, the next minute stands for them.
func (ws *workspace) looks(before schemas.Millis) []schemas.Millis {
	from := before - schemas.Millis(alerts.Hold.Milliseconds())
	looks := []schemas.Millis{from}
	for at := from - from%minuteMillis + minuteMillis; at < before; at += minuteMillis {
		looks = append(looks, at)
	}
	minutes := len(looks)
	add := func(at schemas.Millis) {
		if at > from && at < before {
			looks = append(looks, at)
		}
	}
	for i := range ws.entries {
		add(ws.entries[i].ArrivedAt)
	}
	for _, state := range ws.states {
		add(state.arrivedAt)
	}
	if len(looks) > maxLooks {
		looks = looks[:minutes]
	}
	slices.Sort(looks)
	return slices.Compact(looks)
}

// pastFigures reads figures of an instant of the last minutes by what had
// arrived of ledger and states. Of usage they have what is of before the
// instant, whenever it came, and forecasts are those of now. Of a campaign of
// which something else was said then they say nothing.
func (w *watch) pastFigures(ctx context.Context, ws *workspace, at schemas.Millis) (*alerts.Figures, error) {
	arrived := slices.DeleteFunc(slices.Clone(ws.entries), func(e balance.Entry) bool { return e.ArrivedAt > at })
	f, err := w.creditFigures(ctx, ws, &moment{at: at, entries: arrived, ledgerAt: at, until: at})
	if err != nil {
		return nil, err
	}
	var life map[string]schemas.Total
	if ws.hasQuotas() {
		if life, err = w.lifeUntil(ctx, ws.id, at); err != nil {
			return nil, err
		}
	}
	f.Campaigns = slices.DeleteFunc(ws.campaignFigures(life), func(c alerts.Campaign) bool { return ws.states[c.ID].arrivedAt > at })
	return f, nil
}
