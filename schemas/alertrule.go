package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// AlertKind is what an alert rule watches, as a closed set.
type AlertKind string

// The kinds of DESIGN section 8.
const (
	BalanceBelow   AlertKind = "balance_below"   // what is left, at or below credits or percent of what is allocated
	RunwayBelow    AlertKind = "runway_below"    // days until nothing is left, at or below
	ExpiringUnused AlertKind = "expiring_unused" // what will expire unused within days, at least credits or percent of what is allocated
	BurnRate       AlertKind = "burn_rate"       // gross burn over a long and a short window, both above factor x sustainable
	QuotaUsed      AlertKind = "quota_used"      // of a campaign, at or above percent of its quota
	QuotaProjected AlertKind = "quota_projected" // the same of what it will have used by the end of its period
	BurnSpike      AlertKind = "burn_spike"      // gross burn over a window above factor x what this hour of the week is wont to burn
	Freshness      AlertKind = "freshness"       // the watermark stands still; one per workspace, built in, without parameters
)

// AlertKinds has every kind, in the order of DESIGN section 8.
var AlertKinds = []AlertKind{BalanceBelow, RunwayBelow, ExpiringUnused, BurnRate, QuotaUsed, QuotaProjected, BurnSpike, Freshness}

// FreshnessRuleID is the id of the one rule of kind Freshness.
const FreshnessRuleID = "default-freshness"

// AlertFormat is how a webhook is told.
type AlertFormat string

// The formats of DESIGN section 8.
const (
	StandardFormat AlertFormat = "standard" // JSON with Standard Webhooks signatures
	SlackFormat    AlertFormat = "slack"    // text for Slack and what is compatible with it
)

// AlertWebhook is a destination of a rule's alerts.
type AlertWebhook struct {
	URL    string      `json:"url"`
	Format AlertFormat `json:"format"`
}

// Limits of a rule.
const (
	maxAlertNameBytes = 256
	maxWebhooks       = 10
	maxURLBytes       = 2 << 10 // what browsers and proxies agree to take
)

// AlertRule is one row of table alert_rules: a rule as somebody wrote it.
type AlertRule struct {
	WorkspaceID     string
	RuleID          string
	Version         uint32 // rises with every write, from 1; 0: code, not a row
	Revision        uint32 // rises when what is evaluated changes, from 1
	Kind            AlertKind
	Name            string // for people
	Enabled         bool
	Deleted         bool
	Params          AlertParams
	Webhooks        []AlertWebhook
	SecretVersion   uint32
	SecretRotatedAt Millis // NoInstant: never
	SilencedUntil   Millis // NoInstant: not silenced
	UpdatedAt       Millis // NoInstant: never written
	UpdatedBy       string
}

// Live says whether the rule is evaluated.
func (r *AlertRule) Live() bool { return r.Enabled && !r.Deleted }

// After returns the rule as the write that follows previous: of a version one
// higher, and of a revision one higher if other figures are looked at or they
// are judged otherwise. What a rule is called, whom it tells and when it is
// silent are no part of a revision, so they leave open incidents alone. The
// first write of a rule comes after the zero AlertRule, of a default rule after
// that.
func (r AlertRule) After(previous AlertRule) AlertRule {
	r.Version, r.Revision = previous.Version+1, previous.Revision
	if r.Kind != previous.Kind || !r.Params.Equal(previous.Params) {
		r.Revision++
	}
	return r
}

// Validate returns AlertRuleErrors that name every field which is wrong, or
// nil. Params are as ParseAlertParams returns them.
func (r *AlertRule) Validate() error {
	var wrong AlertRuleErrors
	if !isName([]byte(r.WorkspaceID)) {
		wrong.add("workspace_id", "want "+wantName)
	}
	if !isName([]byte(r.RuleID)) {
		wrong.add("rule_id", "want "+wantName)
	}
	if (r.Kind == Freshness) != (r.RuleID == FreshnessRuleID) {
		wrong.add("kind", "a workspace has one rule of kind freshness, "+FreshnessRuleID+", and it keeps its kind")
	}
	if strings.TrimSpace(r.Name) == "" || len(r.Name) > maxAlertNameBytes || !utf8.ValidString(r.Name) {
		wrong.add("name", fmt.Sprintf("want 1 to %d bytes of text", maxAlertNameBytes))
	}
	if len(r.Webhooks) > maxWebhooks {
		wrong.add("webhooks", fmt.Sprintf("want at most %d", maxWebhooks))
	}
	for i, hook := range r.Webhooks {
		field := fmt.Sprintf("webhooks[%d].", i)
		if !isWebURL(hook.URL) {
			wrong.add(field+"url", fmt.Sprintf("want an absolute http or https URL of at most %d bytes, without user, password and fragment", maxURLBytes))
		}
		if hook.Format != StandardFormat && hook.Format != SlackFormat {
			wrong.add(field+"format", `want "standard" or "slack"`)
		}
	}
	return wrong.orNil()
}

// isWebURL says nothing about whether the address may be told: that is for who
// connects to it.
func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxURLBytes && (u.Scheme == "http" || u.Scheme == "https") &&
		u.Hostname() != "" && u.User == nil && u.Fragment == ""
}

// AlertFieldError says what is wrong with one field of a rule.
type AlertFieldError struct {
	Field   string // such as params.percent
	Problem string // what a valid one is
}

// AlertRuleErrors is everything that is wrong with a rule.
type AlertRuleErrors []AlertFieldError

func (e AlertRuleErrors) Error() string {
	texts := make([]string, len(e))
	for i, field := range e {
		texts[i] = field.Field + ": " + field.Problem
	}
	return strings.Join(texts, "; ")
}

func (e *AlertRuleErrors) add(field, problem string) {
	*e = append(*e, AlertFieldError{field, problem})
}

func (e AlertRuleErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// defaultsRevision is the revision of the default rules. It rises when what
// one of them evaluates changes, and no row says so.
const defaultsRevision = 1

// DefaultAlertRules returns the rules of a workspace that nobody has set up:
// code, of version 0. A row with the same id stands for one of them from when
// it is written, also a deleted one.
func DefaultAlertRules(workspaceID string) []AlertRule {
	percent := func(whole Hundredths) AlertParams { return AlertParams{Percent: whole * 100} }
	rules := []AlertRule{
		{RuleID: "default-balance", Kind: BalanceBelow, Name: "A tenth of the credits is left", Params: percent(10)},
		{RuleID: "default-exhausted", Kind: BalanceBelow, Name: "No credits are left", Params: AlertParams{HasCredits: true}},
		{RuleID: "default-runway", Kind: RunwayBelow, Name: "The credits end within a week", Params: AlertParams{Days: 7_00}},
		{RuleID: "default-expiring", Kind: ExpiringUnused, Name: "Credits will expire unused within two weeks", Params: AlertParams{Days: 14_00, Percent: 10_00}},
		{RuleID: "default-burn-rate", Kind: BurnRate, Name: "Credits go faster than they last"},
		{RuleID: "default-quota-used", Kind: QuotaUsed, Name: "A campaign has used 90 % of its quota", Params: percent(90)},
		{RuleID: "default-quota-reached", Kind: QuotaUsed, Name: "A campaign has used its quota", Params: percent(100)},
		{RuleID: "default-quota-projected", Kind: QuotaProjected, Name: "A campaign will use more than its quota"},
		{RuleID: "default-burn-spike", Kind: BurnSpike, Name: "Credits go three times as fast as usual", Params: AlertParams{Factor: 3_00}},
		{RuleID: FreshnessRuleID, Kind: Freshness, Name: "Figures stand still"},
	}
	for i := range rules {
		r := &rules[i]
		r.WorkspaceID, r.Revision, r.Enabled = workspaceID, defaultsRevision, true
		common := commonParams(r.Kind)
		r.Params.For, r.Params.Hysteresis = common.For, common.Hysteresis
		r.Params = r.Params.filled(r.Kind)
		r.SecretRotatedAt, r.SilencedUntil, r.UpdatedAt = NoInstant, NoInstant, NoInstant
	}
	return rules
}

// RulesInForce returns what holds for a workspace of the rows of alert_rules,
// in any order: the highest version of each rule, and the default rules of
// which there is no row. Deleted and disabled rules are among them, because
// their incidents are to be resolved.
func RulesInForce(workspaceID string, rows []AlertRule) []AlertRule {
	inForce := DefaultAlertRules(workspaceID)
	place := make(map[string]int, len(inForce)+len(rows))
	for i := range inForce {
		place[inForce[i].RuleID] = i
	}
	for _, row := range rows {
		if row.WorkspaceID != workspaceID {
			continue
		}
		i, known := place[row.RuleID]
		switch {
		case !known:
			place[row.RuleID] = len(inForce)
			inForce = append(inForce, row)
		case row.Version > inForce[i].Version:
			inForce[i] = row
		}
	}
	return inForce
}

// AlertRuleColumns are the columns of table alert_rules that [ScanAlertRule]
// reads.
const AlertRuleColumns = `workspace_id, rule_id, version, revision, kind, name, enabled, deleted, params, webhooks, secret_version,
    secret_rotated_at, silenced_until, updated_at, updated_by`

// ErrUnreadableRule is that of a row which this version cannot read, as one that
// a later version has written may be.
var ErrUnreadableRule = errors.New("cannot be read")

// ScanAlertRule reads a row of AlertRuleColumns by scan.
func ScanAlertRule(scan func(...any) error) (AlertRule, error) {
	var (
		r                             AlertRule
		enabled, deleted              uint8
		params, webhooks              string
		secretRotatedAt, silencedTill *time.Time
		updatedAt                     time.Time
	)
	err := scan(&r.WorkspaceID, &r.RuleID, &r.Version, &r.Revision, (*string)(&r.Kind), &r.Name, &enabled, &deleted, &params, &webhooks,
		&r.SecretVersion, &secretRotatedAt, &silencedTill, &updatedAt, &r.UpdatedBy)
	if err != nil {
		return r, err
	}
	r.Enabled, r.Deleted = enabled != 0, deleted != 0
	r.SecretRotatedAt, r.SilencedUntil, r.UpdatedAt = NoInstant, NoInstant, MillisOf(updatedAt)
	if secretRotatedAt != nil {
		r.SecretRotatedAt = MillisOf(*secretRotatedAt)
	}
	if silencedTill != nil {
		r.SilencedUntil = MillisOf(*silencedTill)
	}
	if r.Params, err = ParseAlertParams(r.Kind, []byte(params)); err != nil {
		return r, fmt.Errorf("version %d of alert rule %s of workspace %s %w: %w", r.Version, r.RuleID, r.WorkspaceID, ErrUnreadableRule, err)
	}
	if err := json.Unmarshal([]byte(webhooks), &r.Webhooks); err != nil {
		return r, fmt.Errorf("the webhooks of version %d of alert rule %s of workspace %s: it %w: %w", r.Version, r.RuleID, r.WorkspaceID, ErrUnreadableRule, err)
	}
	return r, nil
}
