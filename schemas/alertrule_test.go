package schemas

import (
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestAlertParamsAreReadToTheLetter gives what is kept of what is written, or
// the fields that are wrong.
func TestAlertParamsAreReadToTheLetter(t *testing.T) {
	for _, c := range []struct {
		kind       AlertKind
		text, want string // want: JSON, or wrong fields apart by blanks
	}{
		{BalanceBelow, `{"credits":"1000.5"}`, `{"credits":"1000.5","for":0,"hysteresis":10}`},
		{BalanceBelow, `{"credits":0,"for":5,"hysteresis":0}`, `{"credits":"0","for":5,"hysteresis":0}`},
		{BalanceBelow, `{"percent":12.5,"credits":null}`, `{"percent":12.5,"for":0,"hysteresis":10}`},
		{BalanceBelow, `{}`, "params.credits"},
		{BalanceBelow, `{"credits":"1","percent":1}`, "params.percent"},
		{BalanceBelow, `{"credits":"-1"}`, "params.credits"},
		{BalanceBelow, `{"credits":"0.0000001"}`, "params.credits"},
		{BalanceBelow, `{"credits":true}`, "params.credits"},
		{BalanceBelow, `{"percent":101}`, "params.percent"},
		{BalanceBelow, `{"percent":0}`, "params.percent"},
		{BalanceBelow, `{"percent":"10"}`, "params.percent"},
		{BalanceBelow, `{"percent":10.125}`, "params.percent"},
		{BalanceBelow, `{"percent":10,"days":3}`, "params.days"},
		{BalanceBelow, `{"percent":10,"percents":3,"for":-1,"hysteresis":91}`, "params.percents params.for params.hysteresis"},
		{BalanceBelow, `{"percent":10,"percent":10}`, "params"},
		{BalanceBelow, `{"percent":10} {}`, "params"},
		{BalanceBelow, `[]`, "params"},
		{BalanceBelow, ``, "params"},
		{BalanceBelow, `{"percent":10`, "params"},
		{BalanceBelow, `{"percent":10,"for":1.5}`, "params.for"},
		{BalanceBelow, `{"percent":10,"for":10081}`, "params.for"},
		{RunwayBelow, `{"days":0.5}`, `{"days":0.5,"for":15,"hysteresis":10}`},
		{RunwayBelow, `{"days":1826}`, "params.days"},
		{RunwayBelow, `{}`, "params.days"},
		{ExpiringUnused, `{"days":14}`, `{"percent":1,"days":14,"for":60,"hysteresis":10}`},
		{ExpiringUnused, `{"days":14,"credits":5}`, `{"credits":"5","days":14,"for":60,"hysteresis":10}`},
		{ExpiringUnused, `{"percent":10}`, "params.days"},
		{BurnRate, `{}`, `{"for":0,"hysteresis":10}`},
		{BurnRate, `{"for":0,"hysteresis":0}`, `{"for":0,"hysteresis":0}`},
		{
			BurnRate, `{"windows":[{"long":"3d","short":"360m","factor":0.5},{"short":"5m","long":"25m","factor":14.4}]}`,
			`{"windows":[{"long":"3d","short":"6h","factor":0.5},{"long":"25m","short":"5m","factor":14.4}],"for":0,"hysteresis":10}`,
		},
		{BurnRate, `{"windows":[]}`, "params.windows"},
		{BurnRate, `{"windows":{}}`, "params.windows"},
		{BurnRate, `{"windows":[1]}`, "params.windows[0]"},
		{BurnRate, `{"windows":[{"long":"1h","short":"5m","factor":1},{"long":"1h"}]}`, "params.windows[1].factor params.windows[1].short"},
		{BurnRate, `{"windows":[{"long":"1h","short":"1h","factor":1}]}`, "params.windows[0].short"},
		{BurnRate, `{"windows":[{"long":"31d","short":"7m","factor":0,"x":1}]}`, "params.windows[0].long params.windows[0].short params.windows[0].factor params.windows[0].x"},
		{BurnRate, `{"windows":[{"long":"1h ","short":"m","factor":1}]}`, "params.windows[0].long params.windows[0].short"},
		{BurnRate, `{"windows":[{"long":"99999d","short":"-5m","factor":1}]}`, "params.windows[0].long params.windows[0].short"},
		{QuotaUsed, `{"percent":90}`, `{"percent":90,"for":0,"hysteresis":10}`},
		{QuotaUsed, `{"percent":110,"campaign_id":"cmp_7"}`, `{"percent":110,"campaign_id":"cmp_7","for":0,"hysteresis":10}`},
		{QuotaUsed, `{"percent":90,"campaign_id":"a b"}`, "params.campaign_id"},
		{QuotaUsed, `{"campaign_id":""}`, "params.percent"},
		{QuotaProjected, `{}`, `{"percent":100,"for":15,"hysteresis":10}`},
		{BurnSpike, `{"factor":3}`, `{"percent":1,"factor":3,"window":"1h","for":5,"hysteresis":10}`},
		{BurnSpike, `{"factor":3,"window":"45m","credits":"20"}`, `{"credits":"20","factor":3,"window":"45m","for":5,"hysteresis":10}`},
		{BurnSpike, `{"factor":0.99,"window":"20m"}`, "params.factor params.window"},
		{BurnSpike, `{"window":"1d"}`, "params.factor"},
		{Freshness, `{}`, `{"for":0,"hysteresis":10}`},
		{Freshness, `{"percent":1}`, "params.percent"},
		{"balance", `{}`, "kind"},
	} {
		p, err := ParseAlertParams(c.kind, []byte(c.text))
		got := p.String()
		if err != nil {
			got = strings.Join(wrongFields(t, err), " ")
		}
		if got != c.want {
			t.Errorf("%s %s is %s (%v), not %s", c.kind, c.text, got, err, c.want)
		}
		if err != nil {
			continue
		}
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseAlertParams(c.kind, encoded); err != nil || !again.Equal(p) {
			t.Errorf("%s %s is %s, which is %v (%v)", c.kind, c.text, encoded, again, err)
		}
	}
}

func wrongFields(t *testing.T, err error) (fields []string) {
	t.Helper()
	var wrong AlertRuleErrors
	if !errors.As(err, &wrong) {
		t.Fatalf("%v names no field", err)
	}
	for _, field := range wrong {
		if field.Problem == "" {
			t.Errorf("%s: no word about what is wrong", field.Field)
		}
		fields = append(fields, field.Field)
	}
	return fields
}

func FuzzAlertParams(f *testing.F) {
	f.Add("burn_rate", `{"windows":[{"long":"1h","short":"5m","factor":14.4}],"for":3}`)
	f.Add("balance_below", `{"credits":"1e3","hysteresis":5.25}`)
	f.Fuzz(func(t *testing.T, kind, text string) {
		p, err := ParseAlertParams(AlertKind(kind), []byte(text))
		if err != nil {
			wrongFields(t, err)
			return
		}
		again, err := ParseAlertParams(AlertKind(kind), []byte(p.String()))
		if err != nil || !again.Equal(p) {
			t.Fatalf("%s is %s, which is %s (%v)", text, p, again, err)
		}
	})
}

func TestDefaultAlertRulesAreValidAndOnePerKindAtLeast(t *testing.T) {
	rules := DefaultAlertRules("ws_acme")
	kinds, ids := map[AlertKind]bool{}, map[string]bool{}
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", r.RuleID, err)
		}
		if p, err := ParseAlertParams(r.Kind, []byte(r.Params.String())); err != nil || !p.Equal(r.Params) {
			t.Errorf("%s: %s is read as %s (%v)", r.RuleID, r.Params, p, err)
		}
		if r.Version != 0 || r.Revision != 1 || !r.Live() || !strings.HasPrefix(r.RuleID, "default-") || ids[r.RuleID] {
			t.Errorf("%+v", r)
		}
		kinds[r.Kind], ids[r.RuleID] = true, true
	}
	for _, kind := range AlertKinds {
		if !kinds[kind] {
			t.Errorf("no rule of kind %s", kind)
		}
	}
}

func TestARevisionIsWhatIsEvaluated(t *testing.T) {
	was := DefaultAlertRules("ws_acme")[0]
	renamed := was
	renamed.Name, renamed.SilencedUntil, renamed.Enabled, renamed.SecretVersion = "other", 5, false, 2
	renamed.Webhooks = []AlertWebhook{{"https://example.com/hook", StandardFormat}}
	if got := renamed.After(was); got.Version != 1 || got.Revision != was.Revision {
		t.Errorf("renamed: version %d, revision %d", got.Version, got.Revision)
	}
	changed := was
	changed.Params.Percent++
	if got := changed.After(was); got.Version != 1 || got.Revision != was.Revision+1 {
		t.Errorf("changed: version %d, revision %d", got.Version, got.Revision)
	}
	if got := changed.After(AlertRule{}); got.Version != 1 || got.Revision != 1 {
		t.Errorf("new: version %d, revision %d", got.Version, got.Revision)
	}
}

func TestRowsStandForDefaultsHighestVersionFirst(t *testing.T) {
	rows := []AlertRule{
		{WorkspaceID: "a", RuleID: "mine", Version: 1, Name: "old"},
		{WorkspaceID: "a", RuleID: "default-runway", Version: 3, Deleted: true},
		{WorkspaceID: "a", RuleID: "mine", Version: 2, Name: "new"},
		{WorkspaceID: "b", RuleID: "other", Version: 1},
		{WorkspaceID: "a", RuleID: "default-runway", Version: 2},
	}
	for range 2 {
		slices.Reverse(rows)
		inForce := RulesInForce("a", rows)
		if len(inForce) != len(DefaultAlertRules("a"))+1 {
			t.Fatalf("%d rules", len(inForce))
		}
		for _, r := range inForce {
			switch {
			case r.RuleID == "mine" && r.Name != "new", r.RuleID == "default-runway" && !r.Deleted, r.WorkspaceID != "a":
				t.Errorf("%+v", r)
			}
		}
	}
}

func TestAlertRuleNamesEveryWrongField(t *testing.T) {
	r := AlertRule{
		WorkspaceID: "a b", RuleID: "", Kind: Freshness, Name: " ",
		Webhooks: []AlertWebhook{
			{"https://example.com/x?y=1", StandardFormat}, {"ftp://example.com", SlackFormat}, {"/path", "email"},
			{"https://user@example.com", SlackFormat}, {"https://example.com/#x", SlackFormat}, {"http://:80/", SlackFormat},
		},
	}
	want := []string{
		"workspace_id", "rule_id", "kind", "name", "webhooks[1].url", "webhooks[2].url", "webhooks[2].format",
		"webhooks[3].url", "webhooks[4].url", "webhooks[5].url",
	}
	if got := wrongFields(t, r.Validate()); !slices.Equal(got, want) {
		t.Errorf("wrong are %v", got)
	}
	r.Webhooks = make([]AlertWebhook, 11)
	if got := wrongFields(t, r.Validate()); !slices.Contains(got, "webhooks") {
		t.Errorf("wrong are %v", got)
	}
}

func TestMulDivIsFloorOfTheExactQuotient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := Total{Hi: rapid.Int64Range(-1<<40, 1<<40).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		if rapid.Bool().Draw(t, "small") {
			total = TotalOf(rapid.Int64().Draw(t, "micro"))
		}
		num := rapid.Uint64().Draw(t, "num")
		den := rapid.Uint64Min(1).Draw(t, "den")
		want := new(big.Int).Mul(total.Big(), new(big.Int).SetUint64(num))
		// Div rounds towards minus infinity for a divisor above 0.
		want.Div(want, new(big.Int).SetUint64(den))
		expected, err := TotalFromBig(want)
		if err != nil {
			t.Skip("no such share")
		}
		if got := total.MulDiv(num, den); got != expected {
			t.Fatalf("%v * %d / %d = %v, not %v", total, num, den, got, expected)
		}
	})
}
