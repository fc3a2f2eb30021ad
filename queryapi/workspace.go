package queryapi

import (
	"context"
	"math"
	"regexp"
	"sync"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// idPattern is what a workspace_id may be (DESIGN section 3); nothing else can
// have been counted.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// knownWorkspaces remembers workspaces that exist. They never cease to, so
// only the size is bounded; when it is full, it starts again.
type knownWorkspaces struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

// maxKnownWorkspaces keeps the set under about 20 MB at the longest ids.
const maxKnownWorkspaces = 100_000

func (k *knownWorkspaces) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.ids[id]
	return ok
}

func (k *knownWorkspaces) put(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids == nil || len(k.ids) >= maxKnownWorkspaces {
		k.ids = make(map[string]struct{})
	}
	k.ids[id] = struct{}{}
}

// existsQuery finds one row of a workspace by primary key prefix.
const existsQuery = `
SELECT 1 FROM usage_1d WHERE workspace_id = {workspace:String} LIMIT 1
UNION ALL
SELECT 1 FROM credit_entries WHERE workspace_id = {workspace:String} LIMIT 1
UNION ALL
SELECT 1 FROM campaigns WHERE workspace_id = {workspace:String} LIMIT 1
UNION ALL
SELECT 1 FROM workspaces WHERE workspace_id = {workspace:String} LIMIT 1`

// mustExist answers 404 for a workspace that no counted record names.
func (s *Server) mustExist(ctx context.Context, workspaceID string) error {
	if s.known.has(workspaceID) {
		return nil
	}
	if !idPattern.MatchString(workspaceID) {
		return workspaceNotFound()
	}
	exists, bound := false, parameters{}
	bound.String("workspace", workspaceID)
	err := s.query(ctx, "exists", existsQuery, bound, func(scan func(...any) error) error {
		exists = true
		var one uint8
		return scan(&one)
	})
	if err != nil {
		return err
	}
	if !exists {
		return workspaceNotFound()
	}
	s.known.put(workspaceID)
	return nil
}

// settings are a workspace's own.
type settings struct {
	name      string
	zone      *time.Location
	weekStart time.Weekday
}

const settingsQuery = `
SELECT name, time_zone, week_start FROM workspaces
WHERE workspace_id = {workspace:String} ORDER BY time DESC, epoch DESC, koff DESC LIMIT 1`

// settings are what holds now; UTC and Monday if nobody has set anything.
func (s *Server) settings(ctx context.Context, workspaceID string, fresh freshness) (settings, error) {
	return held(ctx, s, "settings", workspaceID, fresh.States, func(ctx context.Context) (settings, int, error) {
		found, err := s.readSettings(ctx, workspaceID)
		return found, heldBytes, err
	})
}

// heldBytes is about what an entry, a state or settings take.
const heldBytes = 400

func (s *Server) readSettings(ctx context.Context, workspaceID string) (settings, error) {
	found := settings{zone: time.UTC, weekStart: time.Monday}
	bound := parameters{}
	bound.String("workspace", workspaceID)
	err := s.query(ctx, "settings", settingsQuery, bound, func(scan func(...any) error) error {
		var zone, weekStart string
		if err := scan(&found.name, &zone, &weekStart); err != nil {
			return err
		}
		var err error
		if found.weekStart, err = schemas.ParseWeekday(weekStart); err != nil {
			return err
		}
		// A zone that this server's tzdata does not have yet must not make
		// the workspace unreadable.
		if location, err := time.LoadLocation(zone); err == nil {
			found.zone = location
		}
		return nil
	})
	return found, err
}

const entriesQuery = `
SELECT ` + balance.EntryColumns + `
FROM credit_entries WHERE workspace_id = {workspace:String}`

// entries are a workspace's whole ledger.
func (s *Server) entries(ctx context.Context, workspaceID string, fresh freshness) ([]balance.Entry, error) {
	return held(ctx, s, "entries", workspaceID, fresh.Ledger, func(ctx context.Context) ([]balance.Entry, int, error) {
		found, err := s.readEntries(ctx, workspaceID)
		return found, heldBytes * (1 + len(found)), err
	})
}

func (s *Server) readEntries(ctx context.Context, workspaceID string) ([]balance.Entry, error) {
	var entries []balance.Entry
	bound := parameters{}
	bound.String("workspace", workspaceID)
	err := s.query(ctx, "entries", entriesQuery, bound, func(scan func(...any) error) error {
		e, err := balance.ScanEntry(scan)
		entries = append(entries, e)
		return err
	})
	return entries, err
}

func millisOrNone(t *time.Time) schemas.Millis {
	if t == nil {
		return schemas.NoInstant
	}
	return millisOf(*t)
}

// currentPeriod is the balance's period, which no usage has a part in.
func currentPeriod(entries []balance.Entry, at schemas.Millis) (span, error) {
	segments, err := balance.Segments(entries, at)
	if err != nil {
		return span{}, err
	}
	state, err := balance.Burn(entries, segments, at)
	if err != nil {
		return span{}, err
	}
	return span{state.Period.From, state.Period.To}, nil
}

// ledgerNow is the instant at which "grants as of now" are taken: the whole
// minute, plus a millisecond so that it is never a cut and the last segment
// always reaches past it. Ledger instants are whole minutes, so that no grant
// tells it from now.
func ledgerNow(now schemas.Millis) schemas.Millis { return now/minuteMillis*minuteMillis + 1 }

// campaignState is what campaign.updated said last.
type campaignState struct {
	name     string
	status   string
	quota    *schemas.Credits
	startsAt schemas.Millis
	endsAt   schemas.Millis
}

const campaignStatesQuery = `
SELECT campaign_id,
    argMax(name, (time, epoch, koff)) AS name,
    argMax(status, (time, epoch, koff)) AS status,
    argMax(tuple(quota_micro), (time, epoch, koff)).1 AS quota_micro,
    argMax(tuple(starts_at), (time, epoch, koff)).1 AS starts_at,
    argMax(tuple(ends_at), (time, epoch, koff)).1 AS ends_at
FROM campaigns WHERE workspace_id = {workspace:String}
GROUP BY campaign_id`

// campaignStates are the states of all campaigns that have one.
func (s *Server) campaignStates(ctx context.Context, workspaceID string, fresh freshness) (map[string]campaignState, error) {
	return held(ctx, s, "states", workspaceID, fresh.States, func(ctx context.Context) (map[string]campaignState, int, error) {
		found, err := s.readCampaignStates(ctx, workspaceID)
		return found, heldBytes * (1 + len(found)), err
	})
}

func (s *Server) readCampaignStates(ctx context.Context, workspaceID string) (map[string]campaignState, error) {
	states := make(map[string]campaignState)
	bound := parameters{}
	bound.String("workspace", workspaceID)
	err := s.query(ctx, "campaign_states", campaignStatesQuery, bound, func(scan func(...any) error) error {
		var (
			id               string
			state            campaignState
			quota            *int64
			startsAt, endsAt *time.Time
		)
		if err := scan(&id, &state.name, &state.status, &quota, &startsAt, &endsAt); err != nil {
			return err
		}
		if quota != nil {
			credits := schemas.Credits(*quota)
			state.quota = &credits
		}
		state.startsAt, state.endsAt = millisOrNone(startsAt), millisOrNone(endsAt)
		states[id] = state
		return nil
	})
	return states, err
}

// percent is part / whole in percent with two decimals; nil without a whole.
func percent(part, whole schemas.Total) *float64 {
	if whole.Sign() <= 0 {
		return nil
	}
	rounded := math.Round(part.Float()/whole.Float()*10_000) / 100
	return &rounded
}
