package queryapi

import (
	"errors"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/drawdown/drawdown/schemas"
)

// maxRuleBytes bounds the body of a rule: ten webhooks of 2 KiB, and the rest.
const maxRuleBytes = 64 << 10

// AlertRuleRequest is a rule as somebody writes it. The fields document it; it
// is read and checked by UnmarshalJSON, schemas.ParseAlertParams and
// schemas.AlertRule.Validate, which name what is wrong with each field: of an
// anyOf, huma says only that none of it fits.
type AlertRuleRequest struct {
	RuleID   *string          `json:"rule_id,omitempty" pattern:"^[A-Za-z0-9._:-]{1,128}$" doc:"By default a new one; if it is in the path, then the same"`
	Version  *uint32          `json:"version,omitempty" doc:"Of the rule that this is written over, as If-Match; by default any. For a new rule: none"`
	Kind     AlertKind        `json:"kind"`
	Name     string           `json:"name" minLength:"1" maxLength:"256" doc:"For people"`
	Enabled  *bool            `json:"enabled,omitempty" doc:"By default true"`
	Params   *AlertRuleParams `json:"params,omitempty" doc:"By kind"`
	Webhooks []AlertWebhook   `json:"webhooks,omitempty" maxItems:"10" nullable:"false" doc:"By default none"`

	read  bool // it is an object of these fields
	wrong []error
	rule  schemas.AlertRule // without ids
}

// UnmarshalJSON notes what is wrong, for Resolve to say.
func (r *AlertRuleRequest) UnmarshalJSON(text []byte) error {
	var body struct {
		RuleID   *string                `json:"rule_id"`
		Version  *uint32                `json:"version"`
		Kind     schemas.AlertKind      `json:"kind"`
		Name     string                 `json:"name"`
		Enabled  *bool                  `json:"enabled"`
		Params   jsontext.Value         `json:"params"`
		Webhooks []schemas.AlertWebhook `json:"webhooks"`
	}
	*r = AlertRuleRequest{}
	if err := json.Unmarshal(text, &body, json.RejectUnknownMembers(true)); err != nil {
		r.wrong = append(r.wrong, wrongMember(err))
		return nil //nolint:nilerr // Resolve says it
	}
	r.read, r.RuleID, r.Version = true, body.RuleID, body.Version
	r.rule = schemas.AlertRule{
		Kind: body.Kind, Name: body.Name, Enabled: body.Enabled == nil || *body.Enabled, Webhooks: body.Webhooks,
		SecretRotatedAt: schemas.NoInstant, SilencedUntil: schemas.NoInstant, UpdatedAt: schemas.NoInstant,
	}
	if len(body.Params) == 0 || body.Params.Kind() == 'n' {
		body.Params = jsontext.Value("{}")
	}
	var err error
	if r.rule.Params, err = schemas.ParseAlertParams(body.Kind, body.Params); err != nil {
		r.wrong = append(r.wrong, ruleErrors(err, "body.")...)
	}
	return nil
}

// wrongMember names the member of a body that is not what it should be.
func wrongMember(err error) error {
	place := func(p jsontext.Pointer) string {
		at := "body"
		for token := range p.Tokens() {
			if strings.Trim(token, "0123456789") == "" {
				at += "[" + token + "]"
			} else {
				at += "." + token
			}
		}
		return at
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		at := place(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return wrong(at, nil, "there is no such field")
		}
		return wrong(at, nil, "want %s", wantedOf(semantic.GoType))
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return wrong(place(syntactic.JSONPointer), nil, "given more than once")
		}
		return wrong(place(syntactic.JSONPointer), nil, "no JSON in UTF-8")
	}
	return wrong("body", nil, "%v", err)
}

func wantedOf(t reflect.Type) string {
	if t == nil {
		return "something else"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint32:
		return "a number from 0 to 4294967295"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// ruleErrors are the errors of a rule as those of a request; prefix says where
// the rule stands in it.
func ruleErrors(err error, prefix string) []error {
	var fields schemas.AlertRuleErrors
	if !errors.As(err, &fields) {
		return []error{err}
	}
	found := make([]error, len(fields))
	for i, f := range fields {
		found[i] = wrong(prefix+f.Field, nil, "%s", f.Problem)
	}
	return found
}

// resolve returns what is wrong with the rule of a request, once it has its
// ids.
func (r *AlertRuleRequest) resolve(ctx huma.Context, workspaceID, ruleID string) []error {
	if media := ctx.Header("Content-Type"); media != "" && !strings.HasPrefix(strings.ToLower(media), mediaJSON) {
		return []error{problem(CodeUnsupportedMediaType, "want %s", mediaJSON)}
	}
	errs := append(strict(ctx), r.wrong...)
	r.rule.WorkspaceID, r.rule.RuleID = workspaceID, ruleID
	if r.read {
		if err := r.rule.Validate(); err != nil {
			errs = append(errs, ruleErrors(err, "body.")...)
		}
	}
	return errs
}

// AlertRuleParams are the parameters of a rule, a JSON object as
// schemas.ParseAlertParams reads it.
type AlertRuleParams struct{ jsontext.Value }

// Schema documents them by kind.
func (AlertRuleParams) Schema(r huma.Registry) *huma.Schema {
	schema := &huma.Schema{}
	for _, t := range []reflect.Type{
		reflect.TypeFor[BalanceBelowParams](), reflect.TypeFor[RunwayBelowParams](), reflect.TypeFor[ExpiringUnusedParams](),
		reflect.TypeFor[BurnRateParams](), reflect.TypeFor[QuotaUsedParams](), reflect.TypeFor[QuotaProjectedParams](),
		reflect.TypeFor[BurnSpikeParams](), reflect.TypeFor[FreshnessParams](),
	} {
		schema.AnyOf = append(schema.AnyOf, r.Schema(t, true, ""))
	}
	return schema
}

// AlertTiming is what the parameters of every kind have.
type AlertTiming struct {
	For        *int     `json:"for,omitempty" minimum:"0" maximum:"10080" doc:"Minutes for which the condition must hold; default: of forecasts 15 (runway_below, quota_projected) or 60 (expiring_unused), of burn_spike 5, else 0"`
	Hysteresis *float64 `json:"hysteresis,omitempty" minimum:"0" maximum:"90" doc:"Percent of the threshold that the figure must be past it before the condition is over; default 10"`
}

// BalanceBelowParams are those of balance_below.
type BalanceBelowParams struct {
	Credits *Decimal `json:"credits,omitempty" doc:"What is left is this or less; a number is taken as well. Either this or percent"`
	Percent *float64 `json:"percent,omitempty" exclusiveMinimum:"0" maximum:"100" doc:"The same of what is allocated"`
	AlertTiming
}

// RunwayBelowParams are those of runway_below.
type RunwayBelowParams struct {
	Days float64 `json:"days" exclusiveMinimum:"0" maximum:"1825" doc:"In this many days or fewer nothing will be left"`
	AlertTiming
}

// ExpiringUnusedParams are those of expiring_unused.
type ExpiringUnusedParams struct {
	Days    float64  `json:"days" exclusiveMinimum:"0" maximum:"1825" doc:"How far ahead expiries count"`
	Credits *Decimal `json:"credits,omitempty" doc:"The least that counts; a number is taken as well"`
	Percent *float64 `json:"percent,omitempty" exclusiveMinimum:"0" maximum:"100" doc:"The same of what is allocated; default 1"`
	AlertTiming
}

// BurnRateParams are those of burn_rate.
type BurnRateParams struct {
	Windows []BurnRateWindow `json:"windows,omitempty" minItems:"1" maxItems:"8" nullable:"false" doc:"Any of them fires; default: 1h and 5m at 14.4, 6h and 30m at 6, 3d and 6h at 1, scaled from 30 days to the time to expiry"`
	AlertTiming
}

// BurnRateWindow is one condition of burn_rate.
type BurnRateWindow struct {
	Long   string  `json:"long" doc:"Whole multiples of 5 minutes up to 30 days" example:"6h"`
	Short  string  `json:"short" doc:"The same, shorter: over both the burn must be too high" example:"30m"`
	Factor float64 `json:"factor" exclusiveMinimum:"0" maximum:"1000" doc:"Times what is sustainable: what is left over the time to expiry"`
}

// QuotaUsedParams are those of quota_used.
type QuotaUsedParams struct {
	Percent    float64 `json:"percent" exclusiveMinimum:"0" maximum:"1000" doc:"Of its quota a campaign has used this or more"`
	CampaignID *string `json:"campaign_id,omitempty" doc:"Default: each campaign by itself"`
	AlertTiming
}

// QuotaProjectedParams are those of quota_projected.
type QuotaProjectedParams struct {
	Percent    *float64 `json:"percent,omitempty" exclusiveMinimum:"0" maximum:"1000" doc:"Of its quota a campaign will have used this or more by the end of its period; default 100"`
	CampaignID *string  `json:"campaign_id,omitempty" doc:"Default: each campaign by itself"`
	AlertTiming
}

// BurnSpikeParams are those of burn_spike.
type BurnSpikeParams struct {
	Factor  float64  `json:"factor" minimum:"1" maximum:"1000" doc:"Times what this hour of the week is wont to burn"`
	Window  *string  `json:"window,omitempty" doc:"A multiple of 15 minutes up to 1 day; default 1h" example:"1h"`
	Credits *Decimal `json:"credits,omitempty" doc:"The least burn over the window that counts; a number is taken as well"`
	Percent *float64 `json:"percent,omitempty" exclusiveMinimum:"0" maximum:"1000" doc:"The same of what is allocated; default 1"`
	AlertTiming
}

// FreshnessParams are those of freshness, to which they mean nothing.
type FreshnessParams struct {
	AlertTiming
}
