package queryapi

import (
	"context"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// NewAlertRuleInput is a new rule.
type NewAlertRuleInput struct {
	WorkspaceID string `path:"workspace_id"`
	Body        AlertRuleRequest
}

// Resolve names every wrong parameter.
func (in *NewAlertRuleInput) Resolve(ctx huma.Context) []error {
	ruleID := uuid.Must(uuid.NewV7()).String()
	if in.Body.RuleID != nil {
		ruleID = *in.Body.RuleID
	}
	errs := in.Body.resolve(ctx, in.WorkspaceID, ruleID)
	if in.Body.Version != nil {
		errs = append(errs, wrong("body.version", *in.Body.Version, "a new rule has none"))
	}
	return errs
}

// PutAlertRuleInput is a rule as it is to be.
type PutAlertRuleInput struct {
	WorkspaceID string `path:"workspace_id"`
	RuleID      string `path:"rule_id"`
	IfMatch
	Body AlertRuleRequest
}

// IfMatch says over which version a rule may be written.
type IfMatch struct {
	IfMatch string `header:"If-Match" doc:"ETag of the rule that this is for; without it, of whatever stands"`
}

// Resolve names every wrong parameter.
func (in *PutAlertRuleInput) Resolve(ctx huma.Context) []error {
	ruleID := in.RuleID
	if !idPattern.MatchString(ruleID) {
		ruleID = "none" // for Validate to look at the rest; there is no such rule
	}
	errs := in.Body.resolve(ctx, in.WorkspaceID, ruleID)
	if in.Body.RuleID != nil && *in.Body.RuleID != in.RuleID {
		errs = append(errs, wrong("body.rule_id", *in.Body.RuleID, "another one than in the path"))
	}
	return errs
}

// DeleteAlertRuleInput names a rule that is to go.
type DeleteAlertRuleInput struct {
	AlertRuleInput
	IfMatch
}

// SilenceInput says until when a rule is silent.
type SilenceInput struct {
	AlertRuleInput
	Body SilenceRequest

	until schemas.Millis
}

// SilenceRequest is the body of a request to silence a rule.
type SilenceRequest struct {
	Until *string `json:"until" required:"true" nullable:"true" format:"date-time" doc:"In the future; null: webhooks are told again"`
}

// Resolve names every wrong parameter.
func (in *SilenceInput) Resolve(ctx huma.Context) []error {
	errs := strict(ctx)
	in.until = schemas.NoInstant
	if in.Body.Until != nil {
		var err error
		if in.until, err = instantParam("until", *in.Body.Until); err != nil || in.until == schemas.NoInstant {
			errs = append(errs, wrong("body.until", *in.Body.Until, "not an RFC 3339 instant with zone before 2100"))
		}
	}
	return errs
}

func (s *Server) createAlertRule(ctx context.Context, in *NewAlertRuleInput) (*WrittenAlertRuleOutput, error) {
	inForce, err := s.alertRules(ctx, in.WorkspaceID)
	if err != nil {
		return nil, err
	}
	rule, previous, live := in.Body.rule, schemas.AlertRule{}, 0
	for i := range inForce {
		if !inForce[i].Deleted {
			live++
		}
		if inForce[i].RuleID == rule.RuleID {
			previous = inForce[i]
		}
	}
	switch {
	case previous.RuleID != "" && !previous.Deleted:
		return nil, problem(CodeAlertRuleExists, "the workspace has a rule of this id; write it with PUT").about("body.rule_id", rule.RuleID)
	case live >= maxRules, previous.RuleID == "" && len(inForce) >= maxRuleIDs:
		return nil, problem(CodeTooManyAlertRules, "a workspace has at most %d, and %d with those that are deleted", maxRules, maxRuleIDs)
	}
	// Whoever had the secret of one that was deleted is to have none of this.
	rule.SecretVersion = previous.SecretVersion + 1
	return s.writtenAlertRule(ctx, actionRuleCreate, rule, previous, true)
}

func (s *Server) putAlertRule(ctx context.Context, in *PutAlertRuleInput) (*WrittenAlertRuleOutput, error) {
	previous, err := s.alertRule(ctx, in.WorkspaceID, in.RuleID)
	if err != nil {
		return nil, err
	}
	if err := in.check(previous); err != nil {
		return nil, err
	}
	if in.Body.Version != nil && *in.Body.Version != previous.Version {
		return nil, alertRuleConflict()
	}
	rule := in.Body.rule
	rule.SilencedUntil, rule.SecretVersion, rule.SecretRotatedAt = previous.SilencedUntil, previous.SecretVersion, previous.SecretRotatedAt
	first := previous.SecretVersion == 0 // a default one that has had no webhooks yet
	if first {
		rule.SecretVersion = 1
	}
	return s.writtenAlertRule(ctx, actionRuleUpdate, rule, *previous, first)
}

// check refuses another version than the caller knows.
func (in *IfMatch) check(rule *schemas.AlertRule) error {
	if in.IfMatch != "" && !matchesVersion(in.IfMatch, rule.Version) {
		return alertRuleConflict()
	}
	return nil
}

func (s *Server) deleteAlertRule(ctx context.Context, in *DeleteAlertRuleInput) (*struct{}, error) {
	previous, err := s.latestAlertRule(ctx, in.WorkspaceID, in.RuleID)
	switch {
	case err != nil:
		return nil, err
	case previous == nil:
		return nil, alertRuleNotFound()
	case previous.Deleted:
		return nil, nil
	}
	if err := in.check(previous); err != nil {
		return nil, err
	}
	// With its webhooks: those who were told that it fires are to be told that
	// it is over.
	rule := *previous
	rule.Deleted = true
	_, err = s.writeAlertRule(ctx, actionRuleDelete, rule, *previous)
	return nil, err
}

func (s *Server) rotateAlertSecret(ctx context.Context, in *AlertRuleInput) (*WrittenAlertRuleOutput, error) {
	previous, err := s.alertRule(ctx, in.WorkspaceID, in.RuleID)
	if err != nil {
		return nil, err
	}
	if len(s.cfg.WebhookSecret) == 0 {
		return nil, webhooksUnavailable()
	}
	rule := *previous
	rule.SecretVersion++
	if previous.SecretVersion > 0 {
		rule.SecretRotatedAt = s.now()
	}
	return s.writtenAlertRule(ctx, actionRuleRotate, rule, *previous, true)
}

func (s *Server) silenceAlertRule(ctx context.Context, in *SilenceInput) (*AlertRuleOutput, error) {
	if in.until != schemas.NoInstant && in.until <= s.now() {
		return nil, problem(CodeInvalidParameter, "until is not in the future").about("body.until", *in.Body.Until)
	}
	previous, err := s.alertRule(ctx, in.WorkspaceID, in.RuleID)
	if err != nil {
		return nil, err
	}
	rule := *previous
	rule.SilencedUntil = in.until
	written, err := s.writeAlertRule(ctx, actionRuleSilence, rule, *previous)
	if err != nil {
		return nil, err
	}
	return &AlertRuleOutput{versionTag(written.Version), alertRuleBody(written, principalFrom(ctx))}, nil
}

// writtenAlertRule writes a rule and answers it, with its secret if it has a
// new one.
func (s *Server) writtenAlertRule(ctx context.Context, action string, rule, previous schemas.AlertRule, newSecret bool) (*WrittenAlertRuleOutput, error) {
	if len(rule.Webhooks) > 0 && len(s.cfg.WebhookSecret) == 0 {
		return nil, webhooksUnavailable()
	}
	written, err := s.writeAlertRule(ctx, action, rule, previous)
	if err != nil {
		return nil, err
	}
	out := &WrittenAlertRuleOutput{versionTag(written.Version), WrittenAlertRule{AlertRule: alertRuleBody(written, principalFrom(ctx))}}
	if newSecret && len(s.cfg.WebhookSecret) > 0 {
		secret := schemas.WebhookSecret(s.cfg.WebhookSecret, written.WorkspaceID, written.RuleID, written.SecretVersion)
		out.Body.Secret = &secret
	}
	return out, nil
}

func webhooksUnavailable() *Problem {
	return problem(CodeWebhooksUnavailable, "the server has no master secret of webhooks; give it that of the aggregators")
}

// writeAlertRule writes the rule that follows previous, or answers that another
// one does.
func (s *Server) writeAlertRule(ctx context.Context, action string, rule, previous schemas.AlertRule) (*schemas.AlertRule, error) {
	rule = rule.After(previous)
	rule.UpdatedAt, rule.UpdatedBy = s.now(), principalFrom(ctx).Subject
	if err := s.audit(ctx, rule.WorkspaceID, action, alertRuleDetail(&rule)); err != nil {
		return nil, err
	}
	return &rule, s.storeAlertRule(ctx, &rule)
}

// alertRuleDetail is what the audit log has of a rule. URLs of chat services
// are secrets.
func alertRuleDetail(r *schemas.AlertRule) map[string]any {
	told := make([]string, len(r.Webhooks))
	for i, hook := range r.Webhooks {
		told[i] = maskedURL(hook.URL)
	}
	return map[string]any{
		"rule_id": r.RuleID, "version": r.Version, "kind": r.Kind, "name": r.Name, "enabled": r.Enabled,
		"params": json.RawMessage(r.Params.String()), "webhooks": told,
		"secret_version": r.SecretVersion, "silenced_until": instantOrNull(r.SilencedUntil),
	}
}
