package queryapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// AlertRule is what is watched, and who is told.
type AlertRule struct {
	RuleID          string          `json:"rule_id" doc:"Unique in the workspace"`
	Version         uint32          `json:"version" doc:"Rises with every write, from 1; 0: nobody has written it. It is the ETag as well"`
	Revision        uint32          `json:"revision" doc:"Rises when what is evaluated changes: kind or params. Incidents belong to a revision"`
	Default         bool            `json:"default" doc:"It is built in, and nobody has written it"`
	Kind            AlertKind       `json:"kind"`
	Name            string          `json:"name"`
	Enabled         bool            `json:"enabled" doc:"false: it is not evaluated, and what fires is resolved"`
	Params          AlertRuleParams `json:"params" doc:"By kind; what was left out when it was written stands here as its default"`
	Webhooks        []AlertWebhook  `json:"webhooks" nullable:"false" doc:"Who is told beside the topic"`
	SilencedUntil   *Instant        `json:"silenced_until" doc:"Webhooks are not told before; null: they are"`
	SecretRotatedAt *Instant        `json:"secret_rotated_at" doc:"For a day from here the secret before signs too; null: never rotated"`
	UpdatedAt       *Instant        `json:"updated_at" doc:"null: nobody has written it"`
	UpdatedBy       *string         `json:"updated_by" doc:"Subject of who wrote it"`

	Status *AlertRuleStatus `json:"status" doc:"How it fares now; null in answers to writes"`
}

// AlertWebhook is a destination of a rule's alerts.
type AlertWebhook struct {
	URL    string              `json:"url" maxLength:"2048" doc:"https://, without user, password and fragment. URLs of chat services are secrets: without alerts:write only the host is shown" example:"https://hooks.example.com/alerts"`
	Format schemas.AlertFormat `json:"format" enum:"standard,slack" doc:"standard: JSON as /docs/webhooks has it; slack: text for Slack and what is compatible with it"`
}

// AlertRules are those in force in a workspace.
type AlertRules struct {
	Items []AlertRule `json:"items" nullable:"false" doc:"The default ones first, then by id, which is by age unless ids were given"`
}

// WrittenAlertRule is a rule that was just written.
type WrittenAlertRule struct {
	AlertRule
	Secret *string `json:"secret" doc:"Signs the deliveries (Standard Webhooks, whsec_...); shown when it is made and when it is rotated, and never again. null: this write made none, or this server has no master secret"`
}

// AlertKind is what a rule watches.
type AlertKind schemas.AlertKind

// TransformSchema documents which kinds there are.
func (AlertKind) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	for _, kind := range schemas.AlertKinds {
		schema.Enum = append(schema.Enum, string(kind))
	}
	schema.Description = "What is watched"
	return schema
}

// AlertRulesInput asks for the rules of a workspace.
type AlertRulesInput struct {
	WorkspaceID string `path:"workspace_id"`
}

// Resolve names every wrong parameter.
func (*AlertRulesInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

// AlertRuleInput names a rule.
type AlertRuleInput struct {
	WorkspaceID string `path:"workspace_id"`
	RuleID      string `path:"rule_id"`
}

// Resolve names every wrong parameter.
func (*AlertRuleInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

// AlertRulesOutput is the response.
type AlertRulesOutput struct{ Body AlertRules }

// AlertRuleOutput is the response.
type AlertRuleOutput struct {
	ETag string `header:"ETag" doc:"The version, for If-Match"`
	Body AlertRule
}

// WrittenAlertRuleOutput is the response.
type WrittenAlertRuleOutput struct {
	ETag string `header:"ETag" doc:"The version, for If-Match"`
	Body WrittenAlertRule
}

const alertsPath = "/v1/workspaces/{workspace_id}/alerts"

func (s *Server) registerAlertRules(api huma.API) {
	const path, rule = alertsPath + "/rules", alertsPath + "/rules/{rule_id}"
	const conflict = " Of two writes at once one is refused (alert_rule_conflict): read the rule again."
	register(s, api, huma.Operation{
		OperationID: "list-alert-rules", Method: http.MethodGet, Path: path, Metadata: needs(ScopeRead),
		Summary: "The alert rules of a workspace", Description: "All that are in force, the default ones that nobody has written among them.",
	}, s.listAlertRules)
	register(s, api, huma.Operation{
		OperationID: "get-alert-rule", Method: http.MethodGet, Path: rule, Metadata: needs(ScopeRead),
		Summary: "One alert rule",
	}, s.getAlertRule)
	register(s, api, huma.Operation{
		OperationID: "create-alert-rule", Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated, Metadata: needs(ScopeAlerts),
		Errors: []int{http.StatusConflict}, MaxBodyBytes: maxRuleBytes, SkipValidateBody: true, // see AlertRuleRequest
		Summary: "Make an alert rule", Description: "A deleted rule is made again by its id, with a new secret.",
	}, s.createAlertRule)
	register(s, api, huma.Operation{
		OperationID: "put-alert-rule", Method: http.MethodPut, Path: rule, Metadata: needs(ScopeAlerts),
		Errors: []int{http.StatusConflict}, MaxBodyBytes: maxRuleBytes, SkipValidateBody: true,
		Summary: "Write an alert rule as a whole", Description: "Also a default one, which is then the workspace's own. What is left out takes its default, so no webhooks means none. " +
			"Only another kind or other params are another revision, which ends the incidents of the one before." + conflict,
	}, s.putAlertRule)
	register(s, api, huma.Operation{
		OperationID: "delete-alert-rule", Method: http.MethodDelete, Path: rule, DefaultStatus: http.StatusNoContent, Metadata: needs(ScopeAlerts),
		Errors:  []int{http.StatusConflict},
		Summary: "Delete an alert rule", Description: "Also a default one. What fires is resolved, and those who were told that it fires are told. Doing it again changes nothing." + conflict,
	}, s.deleteAlertRule)
	register(s, api, huma.Operation{
		OperationID: "rotate-alert-secret", Method: http.MethodPost, Path: rule + "/rotate-secret", Metadata: needs(ScopeAlerts),
		Errors:  []int{http.StatusConflict},
		Summary: "Give an alert rule a new secret", Description: "The answer has it, this once. For 24 hours the one before signs as well; the one before that no longer does." + conflict,
	}, s.rotateAlertSecret)
	register(s, api, huma.Operation{
		OperationID: "silence-alert-rule", Method: http.MethodPost, Path: rule + "/silence", Metadata: needs(ScopeAlerts),
		Errors: []int{http.StatusConflict}, MaxBodyBytes: 4 << 10,
		Summary: "Silence an alert rule", Description: "Until then its webhooks are told nothing; incidents and the topic go on. What was silenced when it fired is silent when it is resolved." + conflict,
	}, s.silenceAlertRule)
}

func (s *Server) listAlertRules(ctx context.Context, in *AlertRulesInput) (*AlertRulesOutput, error) {
	rules, err := s.alertRules(ctx, in.WorkspaceID)
	if err != nil {
		return nil, err
	}
	out := &AlertRulesOutput{AlertRules{Items: []AlertRule{}}}
	for i := range rules {
		if !rules[i].Deleted {
			out.Body.Items = append(out.Body.Items, alertRuleBody(&rules[i], principalFrom(ctx)))
		}
	}
	return out, s.addStatus(ctx, in.WorkspaceID, out.Body.Items)
}

func (s *Server) getAlertRule(ctx context.Context, in *AlertRuleInput) (*AlertRuleOutput, error) {
	rule, err := s.alertRule(ctx, in.WorkspaceID, in.RuleID)
	if err != nil {
		return nil, err
	}
	one := []AlertRule{alertRuleBody(rule, principalFrom(ctx))}
	err = s.addStatus(ctx, in.WorkspaceID, one)
	return &AlertRuleOutput{versionTag(rule.Version), one[0]}, err
}

// alertRuleBody is the wire form for whoever asks.
func alertRuleBody(r *schemas.AlertRule, p Principal) AlertRule {
	body := AlertRule{
		RuleID: r.RuleID, Version: r.Version, Revision: r.Revision, Default: r.Version == 0,
		Kind: AlertKind(r.Kind), Name: r.Name, Enabled: r.Enabled, Params: AlertRuleParams{[]byte(r.Params.String())},
		Webhooks:        make([]AlertWebhook, len(r.Webhooks)),
		SilencedUntil:   instantOrNull(r.SilencedUntil),
		SecretRotatedAt: instantOrNull(r.SecretRotatedAt),
		UpdatedAt:       instantOrNull(r.UpdatedAt),
		UpdatedBy:       stringOrNull(r.UpdatedBy),
	}
	for i, hook := range r.Webhooks {
		body.Webhooks[i] = AlertWebhook{URL: hook.URL, Format: hook.Format}
		if !p.seesWebhooks() {
			body.Webhooks[i].URL = maskedURL(hook.URL)
		}
	}
	return body
}

// seesWebhooks says whether whole URLs are shown.
func (p Principal) seesWebhooks() bool { return slices.Contains(p.Scopes, ScopeAlerts) }

// maskedURL is a URL without what may be a secret in it.
func maskedURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "…"
	}
	return u.Scheme + "://" + u.Host + "/…"
}

func versionTag(version uint32) string { return strconv.Quote(strconv.FormatUint(uint64(version), 10)) }

// matchesVersion says whether an If-Match holds for a version; what is no tag
// of a version holds for none. A weak tag is taken for a strong one, because
// whatever compresses answers may weaken it on the way.
func matchesVersion(ifMatch string, version uint32) bool {
	for tag := range strings.SplitSeq(ifMatch, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == versionTag(version) {
			return true
		}
	}
	return false
}
