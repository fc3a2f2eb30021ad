package rollup_test

import (
	"strings"
	"testing"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

func TestNoInputIsPartOfAStatement(t *testing.T) {
	evil := `'; DROP TABLE events --`
	q := rollup.Query{
		Workspace: evil, Campaign: &evil, Action: &evil, Keep: []string{evil}, Group: rollup.ByCampaign,
		Edges: []schemas.Millis{1_700_000_000_001, 1_700_000_100_000, 1_710_000_000_999},
	}
	statement, _ := q.Statement()
	if strings.Contains(statement, "DROP") || !strings.Contains(statement, "{campaign:String}") {
		t.Error(statement)
	}
}
