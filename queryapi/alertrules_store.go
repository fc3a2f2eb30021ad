package queryapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// maxRules bounds the rules of a workspace that are in force: far above
	// what people look after, and few enough to be evaluated every minute.
	maxRules = 200
	// maxRuleIDs bounds those that ever were, of which one row each is read.
	maxRuleIDs = 5_000
)

// alertRulesQuery reads the version that holds of each rule. Should there be
// two rows of one version, because a deduplication window is over, the first
// one stands.
const alertRulesQuery = `
SELECT ` + schemas.AlertRuleColumns + `
FROM alert_rules
WHERE workspace_id = {workspace:String}%s
ORDER BY rule_id, version DESC, updated_at, updated_by
LIMIT 1 BY rule_id
LIMIT {limit:UInt32}`

// readAlertRules runs alertRulesQuery with another condition.
func (s *Server) readAlertRules(ctx context.Context, workspaceID, condition string, bound parameters) ([]schemas.AlertRule, error) {
	var rules []schemas.AlertRule
	bound.String("workspace", workspaceID)
	bound.Integer("limit", maxRuleIDs+maxRules)
	err := s.query(ctx, "alert_rules", fmt.Sprintf(alertRulesQuery, condition), bound, func(scan func(...any) error) error {
		rule, err := schemas.ScanAlertRule(scan)
		rules = append(rules, rule)
		return err
	})
	return rules, err
}

// alertRules returns what holds in a workspace, deleted rules among them.
func (s *Server) alertRules(ctx context.Context, workspaceID string) ([]schemas.AlertRule, error) {
	rows, err := s.readAlertRules(ctx, workspaceID, "", parameters{})
	return schemas.RulesInForce(workspaceID, rows), err
}

// latestAlertRule returns what holds of one rule, which may be that it is
// deleted; nil if there never was one.
func (s *Server) latestAlertRule(ctx context.Context, workspaceID, ruleID string) (*schemas.AlertRule, error) {
	bound := parameters{}
	bound.String("rule", ruleID)
	rows, err := s.readAlertRules(ctx, workspaceID, " AND rule_id = {rule:String}", bound)
	if err != nil {
		return nil, err
	}
	inForce := schemas.RulesInForce(workspaceID, rows)
	if i := slices.IndexFunc(inForce, func(r schemas.AlertRule) bool { return r.RuleID == ruleID }); i >= 0 {
		return &inForce[i], nil
	}
	return nil, nil //nolint:nilnil // there is none, and that is no error
}

// alertRule is latestAlertRule of one that must be there.
func (s *Server) alertRule(ctx context.Context, workspaceID, ruleID string) (*schemas.AlertRule, error) {
	rule, err := s.latestAlertRule(ctx, workspaceID, ruleID)
	if err == nil && (rule == nil || rule.Deleted) {
		return nil, alertRuleNotFound()
	}
	return rule, err
}

func alertRuleNotFound() *Problem {
	return problem(CodeAlertRuleNotFound, "the workspace has no such alert rule")
}

func alertRuleConflict() *Problem {
	return problem(CodeAlertRuleConflict, "the rule has another version by now; read it again")
}

// alertRuleInserts is how often the INSERT of a rule is sent before it counts
// as failed; all under one token, so that it is one row.
const alertRuleInserts = 2

// storeAlertRule writes a rule and reads back whose row of its version stands:
// of two servers that write at once both have success from ClickHouse.
func (s *Server) storeAlertRule(ctx context.Context, rule *schemas.AlertRule) error {
	// Neither is cancelled by the caller: what was sent may stand.
	ctx = context.WithoutCancel(ctx)
	webhooks, err := json.Marshal(append([]schemas.AlertWebhook{}, rule.Webhooks...))
	if err != nil {
		return fmt.Errorf("cannot encode the webhooks of alert rule %s: %w", rule.RuleID, err)
	}
	tokened := clickhouse.Context(ctx, clickhouse.WithSettings(
		schemas.InsertOnce(fmt.Sprintf("%s/%s/%d", rule.WorkspaceID, rule.RuleID, rule.Version))))
	bit := map[bool]uint8{true: 1}
	for range alertRuleInserts {
		err = s.insert(tokened, "alert_rules", `INSERT INTO alert_rules (workspace_id, rule_id, version, revision, kind, name, enabled, deleted,
			params, webhooks, secret_version, secret_rotated_at, silenced_until, updated_at, updated_by)`,
			rule.WorkspaceID, rule.RuleID, rule.Version, rule.Revision, string(rule.Kind), rule.Name, bit[rule.Enabled], bit[rule.Deleted],
			rule.Params.String(), string(webhooks), rule.SecretVersion, timeOrNil(rule.SecretRotatedAt), timeOrNil(rule.SilencedUntil),
			timeOf(rule.UpdatedAt), rule.UpdatedBy)
		if err == nil {
			break
		}
	}
	bound := parameters{}
	bound.String("rule", rule.RuleID)
	bound.Integer("version", int64(rule.Version))
	stands, readErr := s.readAlertRules(ctx, rule.WorkspaceID, " AND rule_id = {rule:String} AND version = {version:UInt32}", bound)
	switch {
	case readErr == nil && len(stands) == 1 && sameAlertRule(&stands[0], rule):
		return nil // also if its answer was lost
	case readErr == nil && len(stands) == 1:
		return alertRuleConflict()
	case err != nil:
		return err
	case readErr != nil:
		return readErr
	}
	return fmt.Errorf("version %d of alert rule %s is not there although its INSERT succeeded", rule.Version, rule.RuleID)
}

// sameAlertRule says whether two rows say the same. Then it does not matter
// whose of them stands.
func sameAlertRule(a, b *schemas.AlertRule) bool {
	return a.RuleID == b.RuleID && a.Version == b.Version && a.Revision == b.Revision && a.Kind == b.Kind && a.Name == b.Name &&
		a.Enabled == b.Enabled && a.Deleted == b.Deleted && a.Params.Equal(b.Params) && slices.Equal(a.Webhooks, b.Webhooks) &&
		a.SecretVersion == b.SecretVersion && a.SecretRotatedAt == b.SecretRotatedAt && a.SilencedUntil == b.SilencedUntil &&
		a.UpdatedAt == b.UpdatedAt && a.UpdatedBy == b.UpdatedBy
}

func timeOrNil(at schemas.Millis) *time.Time {
	if at == schemas.NoInstant {
		return nil
	}
	t := timeOf(at)
	return &t
}
