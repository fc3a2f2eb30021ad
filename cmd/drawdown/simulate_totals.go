package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// simSum adds up distinct events.
type simSum struct {
	Events  int64         `json:"events"`
	Credits schemas.Total `json:"credits"` // net
	Refunds schemas.Total `json:"refunds"` // given back, positive
}

func (s *simSum) add(credits schemas.Credits) {
	s.Events++
	s.Credits = s.Credits.Add(credits.Total())
	if credits < 0 {
		s.Refunds = s.Refunds.Add(credits.Total().Neg())
	}
}

func (s *simSum) merge(other simSum) {
	s.Events += other.Events
	s.Credits = s.Credits.Add(other.Credits)
	s.Refunds = s.Refunds.Add(other.Refunds)
}

// simTotals is the oracle of a simulation: what every figure must add up to.
type simTotals struct {
	Seed       uint64 `json:"seed"`
	ImportID   string `json:"import_id,omitempty"`
	Sent       int64  `json:"sent"` // records, duplicates included
	Duplicates int64  `json:"duplicates"`
	Late       int64  `json:"late"`
	simSum
	// Delivered says that Kafka has acknowledged every record.
	Delivered  bool                `json:"delivered"`
	Workspaces []simWorkspaceTotal `json:"workspaces"`
	Campaigns  []simCampaignTotal  `json:"campaigns"`
	Days       []simDayTotal       `json:"days"`
}

type simWorkspaceTotal struct {
	WorkspaceID string `json:"workspace_id"`
	simSum
}

type simCampaignTotal struct {
	WorkspaceID string `json:"workspace_id"`
	CampaignID  string `json:"campaign_id"` // empty: unattributed
	simSum
}

// simDayTotal is the total of a campaign and an action in a UTC day.
type simDayTotal struct {
	WorkspaceID string `json:"workspace_id"`
	CampaignID  string `json:"campaign_id"`
	Action      string `json:"action"`
	Day         string `json:"day"`
	simSum
}

// simKey is where an event counts.
type simKey struct {
	workspace, campaign, day int32
	action                   int16
}

// totals adds up the cells by workspace, campaign and day.
func (s *simulator) totals() simTotals {
	t := simTotals{
		Seed: s.options.Seed, ImportID: s.options.ImportID,
		Sent: s.sent, Duplicates: s.duplicates, Late: s.late,
	}
	workspaces := map[string]*simSum{}
	campaigns := map[[2]string]*simSum{}
	for key, sum := range s.cells {
		workspace, campaign := s.world[key.workspace].ID, s.campaignID(key.workspace, key.campaign)
		t.merge(*sum)
		mergeInto(workspaces, workspace, *sum)
		mergeInto(campaigns, [2]string{workspace, campaign}, *sum)
		t.Days = append(t.Days, simDayTotal{
			WorkspaceID: workspace, CampaignID: campaign, Action: s.actions[key.action].Name,
			Day: time.Unix(int64(key.day)*86400, 0).UTC().Format(time.DateOnly), simSum: *sum,
		})
	}
	for id, sum := range workspaces {
		t.Workspaces = append(t.Workspaces, simWorkspaceTotal{WorkspaceID: id, simSum: *sum})
	}
	for id, sum := range campaigns {
		t.Campaigns = append(t.Campaigns, simCampaignTotal{WorkspaceID: id[0], CampaignID: id[1], simSum: *sum})
	}
	slices.SortFunc(t.Workspaces, func(a, b simWorkspaceTotal) int { return cmp.Compare(a.WorkspaceID, b.WorkspaceID) })
	slices.SortFunc(t.Campaigns, func(a, b simCampaignTotal) int {
		return cmp.Or(cmp.Compare(a.WorkspaceID, b.WorkspaceID), cmp.Compare(a.CampaignID, b.CampaignID))
	})
	slices.SortFunc(t.Days, func(a, b simDayTotal) int {
		return cmp.Or(cmp.Compare(a.WorkspaceID, b.WorkspaceID), cmp.Compare(a.CampaignID, b.CampaignID),
			cmp.Compare(a.Action, b.Action), cmp.Compare(a.Day, b.Day))
	})
	return t
}

func mergeInto[K comparable](sums map[K]*simSum, key K, sum simSum) {
	if sums[key] == nil {
		sums[key] = &simSum{}
	}
	sums[key].merge(sum)
}

// print writes the totals for people.
func (t simTotals) print(w io.Writer) error {
	fmt.Fprintf(w, "%s records sent: %s distinct events, %s duplicates, %s late\n",
		grouped(t.Sent), grouped(t.Events), grouped(t.Duplicates), grouped(t.Late))
	fmt.Fprintf(w, "%s credits net, %s of them given back\n\n", t.Credits, t.Refunds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "workspace\tcampaign\tevents\tcredits\trefunds\t")
	next := 0
	for _, workspace := range t.Workspaces {
		fmt.Fprintf(table, "%s\t\t%d\t%s\t%s\t\n", workspace.WorkspaceID, workspace.Events, workspace.Credits, workspace.Refunds)
		for ; next < len(t.Campaigns) && t.Campaigns[next].WorkspaceID == workspace.WorkspaceID; next++ {
			c := t.Campaigns[next]
			fmt.Fprintf(table, "\t%s\t%d\t%s\t%s\t\n", cmp.Or(c.CampaignID, "(unattributed)"), c.Events, c.Credits, c.Refunds)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot print totals: %w", err)
	}
	return nil
}

// save writes the totals for programs: to a file, or to out if path is "-".
func (t simTotals) save(path string, out io.Writer) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode totals: %w", err)
	}
	text = append(text, '\n')
	if path == "-" {
		_, err = out.Write(text)
	} else {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot write totals: %w", err)
	}
	return nil
}
