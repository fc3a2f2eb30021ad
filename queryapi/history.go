package queryapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// History is a page of everything that changed a workspace's balance.
type History struct {
	WorkspaceID string        `json:"workspace_id"`
	View        string        `json:"view" enum:"grouped,events"`
	From        *Instant      `json:"from" doc:"null: from the first entry on"`
	To          *Instant      `json:"to" doc:"null: up to the last entry"`
	TZ          string        `json:"tz" doc:"Zone of the days by which consumption is grouped"`
	Items       []HistoryItem `json:"items" nullable:"false" doc:"Newest first. At one instant expiries come before grants, adjustments, voids and consumption, so in this order they stand the other way round"`
	NextCursor  *string       `json:"next_cursor" doc:"For the next page, which is older; null: this is the last"`
	Figures
}

// HistoryItem is one entry, or what one campaign used in one day.
type HistoryItem struct {
	EntryID      string            `json:"entry_id"`
	Type         string            `json:"type" enum:"grant,adjustment,void,expiry,consumption"`
	At           Instant           `json:"at" doc:"When it took effect: effective_at of a grant, expires_at of an expiry, else the time of the event; of grouped consumption from"`
	Credits      Decimal           `json:"credits" doc:"What the entry says: credits granted; adjusted, signed; removed by an expiry or a void, positive; used, negative for a refund"`
	Change       Decimal           `json:"change" doc:"Effect on the balance: balance_after - balance_after of the next older row, all rows shown"`
	BalanceAfter Decimal           `json:"balance_after" doc:"Of the whole workspace, whatever the filters"`
	Unmoved      *string           `json:"unmoved" enum:"unknown_grant,cancelled,never_effective,scheduled,ended,nothing_left" doc:"Why an entry changed nothing: its grant is not known; was voided before it took effect; ends in the minute in which it starts; had not taken effect, and changes the balance with it; had ended; held nothing"`
	Sources      []HistorySource   `json:"sources" doc:"The change by grant; null for consumption if several grants paid for what was used between two ledger instants, of which nobody can say who paid what"`
	CampaignID   *string           `json:"campaign_id" doc:"Consumption only; empty: unattributed"`
	Action       *string           `json:"action" doc:"One event only"`
	Actor        *string           `json:"actor"`
	EventID      *string           `json:"event_id" doc:"null for expiries and grouped consumption"`
	GrantID      *string           `json:"grant_id" doc:"The grant granted, adjusted, voided or expired"`
	Note         *string           `json:"note" doc:"Note of a grant, reason of an adjustment or void"`
	Source       *string           `json:"source" doc:"CloudEvents source of the event"`
	Attributes   map[string]string `json:"attributes" doc:"One consumption event only"`
	Late         *bool             `json:"late" doc:"The event arrived more than 5 minutes after at; null for what is no event"`
	From         *Instant          `json:"from" doc:"Grouped consumption only: of [from, to); ask view=events for these and campaign_id to see the events"`
	To           *Instant          `json:"to" doc:"Grouped consumption only"`
	Events       *int64            `json:"events" doc:"Grouped consumption only"`
	Refunds      *Decimal          `json:"refunds" doc:"Grouped consumption only: what was given back, positive; credits is net of it"`
}

// HistorySource is a grant's part of a change.
type HistorySource struct {
	GrantID *string `json:"grant_id" doc:"null: the overdraft"`
	Change  Decimal `json:"change" doc:"Of what the grant holds, signed; all of an item add up to its change"`
}

// TransformSchema documents what huma cannot say of slices and maps.
func (HistoryItem) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	schema.Properties["attributes"].Nullable = true
	return schema
}

// HistoryInput are the parameters.
type HistoryInput struct {
	WorkspaceID string   `path:"workspace_id"`
	View        string   `query:"view" enum:"grouped,events" default:"grouped" doc:"grouped: consumption per local day and campaign, cut where the ledger changes; events: one by one as far back as raw events are kept, by default 13 months, and grouped before that"`
	From        string   `query:"from" doc:"Only entries at or after it, RFC 3339; default: all" example:"2026-11-01T00:00:00Z"`
	To          string   `query:"to" doc:"Only entries before it, RFC 3339; default: all" example:"2026-12-01T00:00:00Z"`
	Type        []string `query:"type" enum:"grant,adjustment,void,expiry,consumption" nullable:"false" doc:"Only these types, with commas between them"`
	Campaign    string   `query:"campaign_id" doc:"Only consumption of this campaign; empty: only unattributed consumption"`
	TZ          string   `query:"tz" doc:"IANA zone of the days; default: the workspace's" example:"Europe/Berlin"`
	Limit       int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor      string   `query:"cursor" maxLength:"16384" doc:"next_cursor of the page before, with the same parameters. Entries of the ledger that come in meanwhile are left to the next listing, because they may cut days that were shown"`
	Conditional

	asked    Range
	campaign *string        // nil: not given
	zone     *time.Location // nil: the workspace's
	cursor   *historyCursor
}

// Resolve names every wrong parameter.
func (in *HistoryInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	in.campaign = optional(ctx, "campaign_id")
	in.asked = Range{From: in.From, To: in.To}
	errs := slices.Concat(strict(ctx), in.asked.resolve())
	var err error
	if in.zone, err = zoneParam(in.TZ); err != nil {
		errs = append(errs, err)
	}
	if in.Cursor != "" {
		if in.cursor, err = parseHistoryCursor(in.Cursor, in.listing()); err != nil {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%v", err))
		}
	}
	return errs
}

// listing names what a cursor is good for.
func (in *HistoryInput) listing() []string {
	listing := []string{"history", in.WorkspaceID, in.View, in.From, in.To, in.TZ}
	if in.campaign != nil {
		listing = append(listing, "campaign", *in.campaign)
	}
	return append(listing, slices.Sorted(slices.Values(in.Type))...)
}

func (s *Server) registerHistory(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "list-history", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/history",
		Metadata: needs(ScopeRead),
		Summary:  "Everything that changed the balance, and what it was after each",
	}, s.history)
}

func (s *Server) history(ctx context.Context, in *HistoryInput) (*Answer[History], error) {
	q := question{workspace: in.WorkspaceID, Conditional: in.Conditional, fine: in.asked.fine()}
	return answered(ctx, s, q, func(ctx context.Context, fresh freshness) (*History, error) {
		return s.historyPage(ctx, in, fresh)
	})
}

// historyPage makes the body.
func (s *Server) historyPage(ctx context.Context, in *HistoryInput, fresh freshness) (*History, error) {
	about, err := s.workspace(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	ask, err := s.historyAsk(in, about, fresh)
	if err != nil {
		return nil, err
	}
	rows, err := s.historyRows(ctx, ask)
	if err != nil {
		return nil, err
	}
	body := &History{
		WorkspaceID: in.WorkspaceID, View: in.View, From: instantOrNull(in.asked.from), To: instantOrNull(in.asked.to),
		TZ: ask.zone.String(), Items: []HistoryItem{},
	}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		next := ask.cursorAfter(rows[in.Limit-1].place, in.listing())
		body.NextCursor = &next
	}
	for i := range rows {
		body.Items = append(body.Items, rows[i].body())
	}
	return body, nil
}

// historyAsk is what is asked for with all defaults known.
type historyAsk struct {
	workspace string
	asked     span // of the rows' instants
	zone      *time.Location
	rawFrom   schemas.Millis // as it was for the first page, the UTC day after it
	border    schemas.Millis // consumption at or after it is shown event by event
	campaign  *string
	types     []string // empty: all
	before    *place   // only rows before it, in the order of time; nil: all
	limit     int      // rows wanted
	now       schemas.Millis
	ledger    uint64          // offset of its last entry as of the first page
	entries   []balance.Entry // up to it
}

// maxCursorAge is how far raw_from may have moved while somebody pages. Raw
// events live 60 days longer than they are promised.
const maxCursorAge = 30 * dayMillis

func (s *Server) historyAsk(in *HistoryInput, about aboutWorkspace, fresh freshness) (historyAsk, error) {
	ask := historyAsk{
		workspace: in.WorkspaceID, zone: about.zone, border: timeEnd, campaign: in.campaign, types: in.Type,
		limit: in.Limit + 1, now: fresh.at,
	}
	rawFrom := s.rawFrom()
	ask.rawFrom = ceil(rawFrom, dayMillis)
	if in.zone != nil {
		ask.zone = in.zone
	}
	if c := in.cursor; c != nil {
		zone, err := time.LoadLocation(c.Zone)
		if err != nil || c.RawFrom > ask.rawFrom || c.RawFrom < ask.rawFrom-maxCursorAge {
			return ask, problem(CodeInvalidParameter, "%v", errCursor).about("query.cursor", in.Cursor)
		}
		ask.zone, ask.rawFrom, ask.ledger, ask.before = zone, c.RawFrom, c.Ledger, &c.place
		rawFrom = min(rawFrom, c.RawFrom)
	} else {
		for _, e := range about.entries {
			ask.ledger = max(ask.ledger, e.Offset)
		}
	}
	ask.entries = slices.DeleteFunc(about.entries, func(e balance.Entry) bool { return e.Offset > ask.ledger })
	var err error
	if ask.asked, err = in.asked.within(span{timeBegin, timeEnd}, rawFrom); err != nil {
		return ask, err
	}
	if in.View == "events" {
		// Whole local days are grouped.
		ask.border, err = nextDay(ask.zone, ask.rawFrom-1)
	}
	return ask, err
}

// shows says whether rows of a type are asked for.
func (ask *historyAsk) shows(kind string) bool {
	if ask.campaign != nil && kind != typeConsumption {
		return false
	}
	return len(ask.types) == 0 || slices.Contains(ask.types, kind)
}
