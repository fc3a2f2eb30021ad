package queryapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// Workspaces is a page of all workspaces with their headline figures.
type Workspaces struct {
	Items      []WorkspaceHeadline `json:"items" nullable:"false"`
	NextCursor *string             `json:"next_cursor" doc:"For the next page; null: this is the last"`
	Total      int                 `json:"total" doc:"Workspaces in all"`
}

// WorkspaceHeadline is a workspace and what its balance says.
type WorkspaceHeadline struct {
	WorkspaceID     string   `json:"workspace_id"`
	Name            *string  `json:"name" doc:"null: nobody has named it"`
	Remaining       Decimal  `json:"remaining"`
	Allocated       Decimal  `json:"allocated"`
	Used            Decimal  `json:"used"`
	Overdraft       Decimal  `json:"overdraft"`
	ExpiresAt       *Instant `json:"expires_at"`
	DaysRemaining   *int64   `json:"days_remaining"`
	BurnRate        BurnRate `json:"burn_rate" doc:"Gross credits per hour"`
	Runway          Runway   `json:"runway"`
	ActiveCampaigns uint64   `json:"active_campaigns" doc:"Campaigns whose status is ACTIVE"`
	Figures
}

// WorkspacesInput are the parameters.
type WorkspacesInput struct {
	Sort   string `query:"sort" enum:"runway,remaining,burn_rate" default:"runway" doc:"burn_rate: of the last 24 hours"`
	Order  string `query:"order" enum:"asc,desc" doc:"Default: desc by burn_rate, else asc; a runway without end comes last either way, one that is over counts as now"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"16384" doc:"next_cursor of the page before, with the same parameters"`

	cursor *cursor
}

// Resolve names every wrong parameter.
func (in *WorkspacesInput) Resolve(ctx huma.Context) []error {
	errs := strict(ctx)
	if in.Order == "" {
		in.Order = "asc"
		if in.Sort == "burn_rate" {
			in.Order = "desc"
		}
	}
	if in.Cursor != "" {
		var err error
		if in.cursor, err = parseCursor(in.Cursor, in.listing()); err != nil {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%v", err))
		}
	}
	return errs
}

func (in *WorkspacesInput) listing() []string { return []string{"workspaces", in.Sort, in.Order} }

// WorkspacesOutput is the response.
type WorkspacesOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         *Workspaces
}

func (s *Server) registerWorkspaces(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "list-workspaces", Method: http.MethodGet, Path: "/v1/workspaces",
		Metadata:    needs(ScopeOps),
		Summary:     "All workspaces with their headline figures",
		Description: "The figures are those of GET balance, at most a quarter of a minute old; freshness says how far they go.",
	}, s.listWorkspaces)
}

func (s *Server) listWorkspaces(ctx context.Context, in *WorkspacesInput) (*WorkspacesOutput, error) {
	headlines, err := s.headlines(ctx)
	if err != nil {
		return nil, err
	}
	body := &Workspaces{Items: []WorkspaceHeadline{}, Total: len(headlines)}
	var rows []*headline
	descending := in.Order == "desc"
	for _, h := range headlines {
		if in.cursor == nil || h.keys[in.Sort].compare(in.cursor.sortKey, descending) > 0 {
			rows = append(rows, h)
		}
	}
	slices.SortFunc(rows, func(a, b *headline) int { return a.keys[in.Sort].compare(b.keys[in.Sort], descending) })
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		key := rows[in.Limit-1].keys[in.Sort]
		key.Digest = digest(in.listing())
		next := encodeCursor(key)
		body.NextCursor = &next
	}
	for _, h := range rows {
		body.Items = append(body.Items, h.body)
	}
	return &WorkspacesOutput{CacheControl: "private, no-cache", Body: body}, nil
}
