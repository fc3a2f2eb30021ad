package queryapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// liveState is what a room shows. Each kind of event has a number that rises
// with every change, so that a viewer is owed what has another number than it
// was sent last: there is no queue, and a slow reader gets the newest.
type liveState struct {
	balance   numbered
	compared  []byte // the balance without freshness and revision
	usage     usageState
	freshness numbered
}

// numbered is an encoded event and its number; 0: there is none.
type numbered struct {
	number uint64
	frame  []byte
}

// eventFrame encodes an event. JSON has no line feeds, so that one data line
// holds it.
func eventFrame(event string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a %s event: %w", event, err)
	}
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, text), nil
}

func (s *liveState) setFreshness(frame []byte) {
	s.freshness = numbered{s.freshness.number + 1, frame}
}

// setBalance shows a balance if it is another one.
func (s *liveState) setBalance(body *Balance) error {
	bare := *body
	bare.Figures = Figures{}
	compared, err := json.Marshal(&bare)
	if err != nil {
		return fmt.Errorf("cannot compare balances: %w", err)
	}
	if bytes.Equal(compared, s.compared) {
		return nil
	}
	frame, err := eventFrame("balance", body)
	if err != nil {
		return err
	}
	s.balance, s.compared = numbered{s.balance.number + 1, frame}, compared
	return nil
}

// usageState is usage, and when each of its points changed last.
type usageState struct {
	body    *Usage
	number  uint64
	shaped  uint64   // number since which range, bucket and zone are the same
	changed []uint64 // number with which each point came as it is

	// The frame made last, for a viewer who was sent number made: most have
	// been sent the same.
	made  uint64
	frame []byte
}

// points are those of the only series there is without grouping.
func points(body *Usage) []UsagePoint { return body.Series[0].Points }

func (s *liveState) setUsage(body *Usage) error {
	if len(body.Series) != 1 {
		return fmt.Errorf("usage has %d series, want one", len(body.Series))
	}
	u, was := &s.usage, s.usage.body
	same := was != nil && was.From == body.From && was.To == body.To && was.Bucket == body.Bucket && was.TZ == body.TZ
	if same && len(points(was)) > len(points(body)) {
		same = false // a clock that went back
	}
	next, moved := u.number+1, !same || was.Total != body.Total
	changed := make([]uint64, len(points(body)))
	for i, point := range points(body) {
		if same && i < len(u.changed) && point == points(was)[i] {
			changed[i] = u.changed[i]
			continue
		}
		changed[i], moved = next, true
	}
	if !moved {
		return nil
	}
	if !same {
		u.shaped = next
	}
	u.body, u.number, u.changed, u.frame = body, next, changed, nil
	return nil
}

// since encodes usage for a viewer who was sent number.
func (u *usageState) since(number uint64) ([]byte, error) {
	if u.frame != nil && u.made == number {
		return u.frame, nil
	}
	body := *u.body
	if number >= u.shaped {
		series := body.Series[0]
		series.Points = []UsagePoint{}
		for i, at := range u.changed {
			if at > number {
				series.Points = append(series.Points, points(u.body)[i])
			}
		}
		body.Series = []UsageSeries{series}
	}
	frame, err := eventFrame("usage", &body)
	if err != nil {
		return nil, err
	}
	u.made, u.frame = number, frame
	return frame, nil
}

// viewer is one open stream. Its fields are its own goroutine's; the room
// touches nothing but wake.
type viewer struct {
	room *room
	wake chan struct{} // holds one: there is something to take

	balance, usage, freshness uint64 // numbers sent last

	cursor    alertCursor         // what it has seen
	backlog   []alertRow          // that it resumes with
	fromStore map[uint64]struct{} // the alerts of the backlog, which the log may have as well
	alert     uint64              // sequence number in the log of the next alert
}

// enter finds out, once the room is ready, where the viewer's alerts begin.
func (v *viewer) enter(ctx context.Context, resume *alertCursor) error {
	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	if v.room.state.freshness.number == 0 && v.room.err != nil {
		return v.room.err
	}
	log := &v.room.alerts
	v.alert = log.end()
	if resume == nil {
		v.cursor = log.cursorNow()
		return nil
	}
	v.cursor = *resume
	if v.cursor.floor >= log.from {
		v.backlog = v.cursor.unseen(log.rows)
		return nil
	}
	// Longer ago than the log goes back. What it gets meanwhile is in the store
	// as well.
	v.room.mu.Unlock()
	rows, err := v.room.h.s.alertsSince(ctx, v.room.workspace, v.cursor.floor)
	v.room.mu.Lock()
	if err != nil {
		return err
	}
	v.backlog = v.cursor.unseen(rows)
	v.fromStore = make(map[uint64]struct{}, len(v.backlog))
	for _, row := range v.backlog {
		v.fromStore[row.hash] = struct{}{}
	}
	return nil
}

// take returns the events that the viewer is owed, the figures before the
// freshness that describes them.
func (v *viewer) take() ([][]byte, error) {
	var frames [][]byte
	alert := func(row alertRow) {
		v.cursor.add(row)
		frames = append(frames, fmt.Appendf(nil, "id: %s\n", v.cursor), row.frame)
	}
	for _, row := range v.backlog {
		alert(row)
	}
	v.backlog = nil

	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	rows, err := v.room.alerts.after(v.alert)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if _, sent := v.fromStore[row.hash]; !sent && !v.cursor.sent(row) {
			alert(row)
		}
	}
	v.alert = v.room.alerts.end()

	state := &v.room.state
	if state.balance.number != v.balance {
		v.balance = state.balance.number
		frames = append(frames, state.balance.frame)
	}
	if state.usage.number != v.usage {
		frame, err := state.usage.since(v.usage)
		if err != nil {
			return nil, err
		}
		v.usage = state.usage.number
		frames = append(frames, frame)
	}
	if state.freshness.number != v.freshness {
		v.freshness = state.freshness.number
		frames = append(frames, state.freshness.frame)
	}
	return frames, nil
}
