package queryapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// Me is who asks and what they may do.
type Me struct {
	Subject    string        `json:"subject"`
	Workspaces []MeWorkspace `json:"workspaces" nullable:"false" doc:"By workspace_id, at most 1,000; a token that names all workspaces is good for those beyond as well"`
}

// MeWorkspace is a workspace that the token names.
type MeWorkspace struct {
	WorkspaceID string  `json:"workspace_id"`
	Name        *string `json:"name" doc:"null: nobody has named it"`
	TimeZone    string  `json:"time_zone" doc:"IANA zone in which its days begin; UTC where none was said"`
	WeekStart   string  `json:"week_start" doc:"On which its weeks begin" example:"monday"`
	Scopes      []Scope `json:"scopes" nullable:"false"`
}

// MeInput has no parameters, which is checked.
type MeInput struct{}

// Resolve names every wrong parameter.
func (*MeInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

// MeOutput is the response.
type MeOutput struct{ Body Me }

func (s *Server) registerMe(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "get-me", Method: http.MethodGet, Path: "/v1/me",
		Metadata: needsAnyScope(),
		Summary:  "Who the token stands for and what it may do",
	}, s.me)
}

// namedWorkspaces are what counted records name, each with a name where
// somebody has given one; the latest holds.
const namedWorkspaces = `
SELECT workspace_id, argMax(name, (time, epoch, koff)) AS name FROM (
    SELECT workspace_id, name, time, epoch, koff FROM workspaces
    UNION ALL
    SELECT DISTINCT workspace_id, '', toDateTime64(0, 3, 'UTC'), toUInt32(0), toUInt64(0) FROM credit_entries
    UNION ALL
    SELECT DISTINCT workspace_id, '', toDateTime64(0, 3, 'UTC'), toUInt32(0), toUInt64(0) FROM campaigns
    UNION ALL
    SELECT DISTINCT workspace_id, '', toDateTime64(0, 3, 'UTC'), toUInt32(0), toUInt64(0) FROM usage_15m_total
    WHERE workspace_id != '` + schemas.ProbeWorkspace + `'
)`

// workspacesQuery lists them, each workspace once, with what was set last.
const workspacesQuery = `
SELECT workspace_id, named.name, settings.time_zone, settings.week_start FROM (` + namedWorkspaces + `%s
    GROUP BY workspace_id ORDER BY workspace_id LIMIT 1000
) AS named LEFT JOIN (
    SELECT workspace_id, argMax(time_zone, (time, epoch, koff)) AS time_zone, argMax(week_start, (time, epoch, koff)) AS week_start
    FROM workspaces%[1]s GROUP BY workspace_id
) AS settings USING workspace_id
ORDER BY workspace_id`

func (s *Server) me(ctx context.Context, _ *MeInput) (*MeOutput, error) {
	principal := principalFrom(ctx)
	bound, filter := parameters{}, ""
	if !slices.Contains(principal.Workspaces, everyWorkspace) {
		bound.Strings("workspaces", principal.Workspaces)
		filter = "\nWHERE workspace_id IN {workspaces:Array(String)}"
	}
	body := Me{Subject: principal.Subject, Workspaces: []MeWorkspace{}}
	err := s.query(ctx, "workspaces", fmt.Sprintf(workspacesQuery, filter), bound, func(scan func(...any) error) error {
		var id, name, zone, weekStart string
		if err := scan(&id, &name, &zone, &weekStart); err != nil {
			return err
		}
		body.Workspaces = append(body.Workspaces, MeWorkspace{
			WorkspaceID: id, Name: stringOrNull(name), Scopes: principal.Scopes,
			TimeZone: cmp.Or(zone, "UTC"), WeekStart: cmp.Or(weekStart, "monday"),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &MeOutput{Body: body}, nil
}
