package queryapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// LiveAlert is a change of state of an alert incident.
type LiveAlert struct {
	ID           string          `json:"id" doc:"incident_id/state, by which deliveries of the same change are known"`
	WorkspaceID  string          `json:"workspace_id"`
	IncidentID   string          `json:"incident_id"`
	RuleID       string          `json:"rule_id"`
	RuleRevision uint32          `json:"rule_revision"`
	Kind         string          `json:"kind" doc:"Kind of the rule, such as balance_below"`
	State        string          `json:"state" enum:"pending,firing,resolved"`
	At           Instant         `json:"at" doc:"When the state was reached"`
	RecordedAt   Instant         `json:"recorded_at" doc:"When that was found out"`
	Message      string          `json:"message"`
	Detail       json.RawMessage `json:"detail" doc:"The figures behind it, by kind"`
}

// alertRow is a row of alert_incidents, encoded.
type alertRow struct {
	workspace  string
	recordedAt schemas.Millis
	hash       uint64 // of incident and state, of which there is one row
	frame      []byte // the event without its id
}

func (a alertRow) compare(b alertRow) int {
	return cmp.Or(cmp.Compare(a.recordedAt, b.recordedAt), cmp.Compare(a.hash, b.hash))
}

const (
	// alertOverlap is how much later than its recorded_at a row may become
	// visible and still reach a stream that resumes: many times the longest
	// INSERT of a row. One that is open gets it however late it is.
	alertOverlap = 2 * time.Minute
	// alertLogAge is how far back a room knows alerts when it begins, so that a
	// thousand streams that resume after a restart ask once.
	alertLogAge = 15 * time.Minute
	// maxAlertLog bounds the log of a room, at about 1 kB each, and how far
	// behind a stream may be.
	maxAlertLog = 1024
	// maxCursorSeen keeps an id, which comes back as a header, under 2 kB.
	maxCursorSeen = 96
)

// alertCursor is what a stream has been sent, and travels as its event id: all
// that was recorded before floor, and of the rest what is in seen. Rows may
// become visible out of order and several may have the same instant; an id that
// named only the last one could not tell a late row from one that was sent.
// Nothing of it is kept here, so it is good after a restart and at another
// server.
type alertCursor struct {
	floor schemas.Millis
	seen  []seenAlert // by at
}

type seenAlert struct {
	at   schemas.Millis
	hash uint64
}

// add notes that a row was sent.
func (c *alertCursor) add(row alertRow) {
	if c.has(row) {
		return
	}
	entry := seenAlert{row.recordedAt, row.hash}
	i, _ := slices.BinarySearchFunc(c.seen, entry, func(a, b seenAlert) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash))
	})
	// Not in place: cursors of several streams may share what they began with.
	c.seen = slices.Concat(c.seen[:i], []seenAlert{entry}, c.seen[i:])
	c.floor = max(c.floor, c.seen[len(c.seen)-1].at-schemas.Millis(alertOverlap.Milliseconds()))
	if excess := len(c.seen) - maxCursorSeen; excess > 0 {
		c.floor = max(c.floor, c.seen[excess-1].at+1)
	}
	for len(c.seen) > 0 && c.seen[0].at < c.floor {
		c.seen = c.seen[1:]
	}
}

// has says whether a row counts as sent.
func (c *alertCursor) has(row alertRow) bool { return row.recordedAt < c.floor || c.sent(row) }

// sent says whether a row is known to have been sent.
func (c *alertCursor) sent(row alertRow) bool {
	return slices.ContainsFunc(c.seen, func(s seenAlert) bool { return s.hash == row.hash })
}

// unseen returns the rows that were not sent, in order.
func (c *alertCursor) unseen(rows []alertRow) []alertRow {
	var found []alertRow
	for _, row := range rows {
		if !c.has(row) {
			found = append(found, row)
		}
	}
	slices.SortFunc(found, alertRow.compare)
	return found
}

// String is the cursor as an event id: a version, floor, and offset from floor
// and hash of each that was seen.
func (c alertCursor) String() string {
	text := append(make([]byte, 0, 32+20*len(c.seen)), "1."...)
	text = strconv.AppendInt(text, int64(c.floor), 36)
	for _, s := range c.seen {
		text = append(text, '.')
		text = strconv.AppendInt(text, int64(s.at-c.floor), 36)
		text = append(text, '~')
		text = base64.RawURLEncoding.AppendEncode(text, binary.BigEndian.AppendUint64(nil, s.hash))
	}
	return string(text)
}

var errEventID = errors.New("not an id of this stream; leave the header out to begin anew")

// parseAlertCursor reads an event id; an absent one is nil.
func parseAlertCursor(text string) (*alertCursor, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // absent is neither a cursor nor an error
	}
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 2+maxCursorSeen || parts[0] != "1" {
		return nil, errEventID
	}
	floor, err := strconv.ParseInt(parts[1], 36, 64)
	if err != nil || floor < 0 || schemas.Millis(floor) > timeEnd {
		return nil, errEventID
	}
	c := &alertCursor{floor: schemas.Millis(floor)}
	for _, part := range parts[2:] {
		after, hash, _ := strings.Cut(part, "~")
		offset, err := strconv.ParseUint(after, 36, 31)
		raw, decodeErr := base64.RawURLEncoding.DecodeString(hash)
		if err != nil || decodeErr != nil || len(raw) != 8 {
			return nil, errEventID
		}
		c.seen = append(c.seen, seenAlert{c.floor + schemas.Millis(offset), binary.BigEndian.Uint64(raw)})
	}
	slices.SortFunc(c.seen, func(a, b seenAlert) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.hash, b.hash))
	})
	return c, nil
}

// alertLog is what a room knows of its workspace's alerts, in the order in
// which it came to know them.
type alertLog struct {
	readAt time.Time      // when it was loaded; zero: it was not
	clock  schemas.Millis // ClickHouse's at readAt
	from   schemas.Millis // it has had every row recorded since
	rows   []alertRow
	first  uint64 // sequence number of rows[0]
	// seen has every row that the tail may read again.
	seen map[uint64]schemas.Millis
}

func (l *alertLog) loaded() bool { return !l.readAt.IsZero() }

func (l *alertLog) end() uint64 { return l.first + uint64(len(l.rows)) }

var errTooSlow = errors.New("too many alerts behind")

// after returns the rows from a sequence number on.
func (l *alertLog) after(next uint64) ([]alertRow, error) {
	if next < l.first {
		return nil, errTooSlow
	}
	return l.rows[next-l.first:], nil
}

// add appends the rows that are new and says whether there are any.
func (l *alertLog) add(rows []alertRow) bool {
	slices.SortFunc(rows, alertRow.compare)
	had := l.end()
	for _, row := range rows {
		if _, known := l.seen[row.hash]; known {
			continue
		}
		l.seen[row.hash] = row.recordedAt
		l.rows = append(l.rows, row)
	}
	if excess := len(l.rows) - maxAlertLog; excess > 0 {
		for _, row := range l.rows[:excess] {
			l.from = max(l.from, row.recordedAt+1)
		}
		l.rows = slices.Clone(l.rows[excess:])
		l.first += uint64(excess)
	}
	return l.end() > had
}

// forget drops from seen what no tail reads again.
func (l *alertLog) forget(before schemas.Millis) {
	for hash, at := range l.seen {
		if at < before {
			delete(l.seen, hash)
		}
	}
}

// now is ClickHouse's clock.
func (l *alertLog) now() schemas.Millis {
	return l.clock + schemas.Millis(time.Since(l.readAt).Milliseconds())
}

// cursorNow is that of a stream which begins now.
func (l *alertLog) cursorNow() alertCursor {
	c := alertCursor{floor: l.now() - schemas.Millis(alertOverlap.Milliseconds())}
	for _, row := range l.rows {
		c.add(row)
	}
	return c
}

const alertColumns = `workspace_id, incident_id, state, rule_id, rule_revision, kind, at, recorded_at, message, detail`

// readAlerts runs a statement that selects alertColumns.
func (s *Server) readAlerts(ctx context.Context, name, statement string, bound parameters) ([]alertRow, error) {
	var rows []alertRow
	err := s.query(ctx, name, statement, bound, func(scan func(...any) error) error {
		var (
			a              LiveAlert
			at, recordedAt time.Time
			detail         string
		)
		if err := scan(&a.WorkspaceID, &a.IncidentID, &a.State, &a.RuleID, &a.RuleRevision, &a.Kind, &at, &recordedAt, &a.Message, &detail); err != nil {
			return err
		}
		a.ID = a.IncidentID + "/" + a.State
		a.At, a.RecordedAt, a.Detail = instant(millisOf(at)), instant(millisOf(recordedAt)), json.RawMessage(detail)
		if !json.Valid(a.Detail) {
			// What is wrong in there must not keep the alert from anybody.
			a.Detail = json.RawMessage("{}")
		}
		frame, err := eventFrame("alert", a)
		if err != nil {
			return err
		}
		hash := sha256.Sum256([]byte(a.ID))
		rows = append(rows, alertRow{a.WorkspaceID, millisOf(recordedAt), binary.BigEndian.Uint64(hash[:8]), frame})
		return nil
	})
	return rows, err
}

// alertsSince reads a workspace's alerts from an instant on.
func (s *Server) alertsSince(ctx context.Context, workspaceID string, from schemas.Millis) ([]alertRow, error) {
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.Integer("from", int64(from))
	return s.readAlerts(ctx, "alerts_since", `
SELECT `+alertColumns+` FROM alert_incidents
WHERE workspace_id = {workspace:String} AND recorded_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')`, bound)
}

// loadAlerts begins a room's log.
func (r *room) loadAlerts(ctx context.Context) error {
	s := r.h.s
	log := alertLog{readAt: time.Now(), seen: make(map[uint64]schemas.Millis)}
	// The clock first: rows up to it are then in what is read after, or late.
	err := s.query(ctx, "alerts_clock", "SELECT now64(3, 'UTC')", parameters{}, func(scan func(...any) error) error {
		var now time.Time
		err := scan(&now)
		log.clock = millisOf(now)
		return err
	})
	if err != nil {
		return err
	}
	log.from = log.clock - schemas.Millis(alertLogAge.Milliseconds())
	rows, err := s.alertsSince(ctx, r.workspace, log.from)
	if err != nil {
		return err
	}
	log.add(rows)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts = log
	return nil
}

// tailAlerts reads the alerts of all rooms until ctx ends. Each time it reads
// again what was recorded up to alertOverlap before it last succeeded; the logs
// know what they have.
func (h *liveHub) tailAlerts(ctx context.Context) {
	tick := time.NewTicker(h.pollEvery)
	defer tick.Stop()
	succeededAt, failing := time.Now(), false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		_, err := unlessPanic(func() (struct{}, error) {
			return struct{}{}, h.readTail(ctx, began.Sub(succeededAt)+alertOverlap)
		})
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			succeededAt = began
		case !failing:
			h.s.cfg.Log.ErrorContext(ctx, "alerts cannot be read", "error", err)
		}
		failing = err != nil
	}
}

// readTail reads what was recorded within age, by ClickHouse's own clock.
func (h *liveHub) readTail(ctx context.Context, age time.Duration) error {
	h.mu.Lock()
	rooms := make(map[string]*room, len(h.rooms))
	workspaces := make([]string, 0, len(h.rooms))
	for id, r := range h.rooms {
		rooms[id] = r
		workspaces = append(workspaces, id)
	}
	h.mu.Unlock()
	bound := parameters{}
	bound.Strings("workspaces", workspaces)
	bound.Integer("age", age.Milliseconds())
	rows, err := h.s.readAlerts(ctx, "alerts_tail", `
SELECT `+alertColumns+` FROM alert_incidents
WHERE workspace_id IN {workspaces:Array(String)} AND recorded_at >= now64(3, 'UTC') - toIntervalMillisecond({age:Int64})`, bound)
	if err != nil {
		return err
	}
	byRoom := make(map[string][]alertRow)
	for _, row := range rows {
		byRoom[row.workspace] = append(byRoom[row.workspace], row)
	}
	for id, r := range rooms {
		r.addAlerts(byRoom[id], age)
	}
	return nil
}

// addAlerts takes what the tail has read. A room without a log reads it all
// itself.
func (r *room) addAlerts(rows []alertRow, age time.Duration) {
	r.mu.Lock()
	added := false
	if r.alerts.loaded() {
		added = r.alerts.add(rows)
		// Twice as far back as the tail has just read.
		r.alerts.forget(r.alerts.now() - schemas.Millis((2 * max(age, alertLogAge)).Milliseconds()))
	}
	r.mu.Unlock()
	if added {
		r.change(func() {})
	}
}
