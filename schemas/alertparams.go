package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Hundredths is a number with at most two decimals in hundredths of 1: a
// percentage, a number of days, a factor. In JSON it is a number.
type Hundredths int64

// String returns the shortest decimal, such as "14.4".
func (h Hundredths) String() string { return string(Credits(h * creditsPerHundredth).Append(nil)) }

// creditsPerHundredth is what a hundredth of a credit is: amounts and numbers
// are written alike.
const creditsPerHundredth = MicrosPerCredit / 100

// BurnWindow is one condition of a rule of kind BurnRate: the burn over both
// windows is above Factor times what is sustainable.
type BurnWindow struct {
	Long, Short time.Duration
	Factor      Hundredths
}

// DefaultBurnWindows are those of the Google SRE Workbook, chapter 5: what
// spends 2 % of a 30-day budget in an hour, 5 % in six, 10 % in three days. A
// rule without windows takes them and scales their factors from 30 days to the
// time to expiry, so that they stay these shares of what is left, but to no
// less than 1.
var DefaultBurnWindows = []BurnWindow{
	{Long: time.Hour, Short: 5 * time.Minute, Factor: 14_40},
	{Long: 6 * time.Hour, Short: 30 * time.Minute, Factor: 6_00},
	{Long: 72 * time.Hour, Short: 6 * time.Hour, Factor: 1_00},
}

// AlertParams are the parameters of a rule, of which each kind has some:
//
//   - balance_below: credits or percent (of what is allocated)
//   - runway_below: days
//   - expiring_unused: days, and the least that counts, credits or percent (of
//     what is allocated; default 1)
//   - burn_rate: windows (default DefaultBurnWindows, scaled)
//   - quota_used: percent, campaign_id (default: each campaign)
//   - quota_projected: percent (default 100), campaign_id (default: each)
//   - burn_spike: factor, window (default 1h), and the least that counts,
//     credits or percent (of what is allocated; default 1)
//   - freshness: none of its own
//
// and all have for and hysteresis, which means nothing to freshness.
type AlertParams struct {
	Credits    Credits
	HasCredits bool
	Percent    Hundredths // 0: absent
	Days       Hundredths // 0: absent
	Windows    []BurnWindow
	CampaignID string // empty: each campaign
	Factor     Hundredths
	Window     time.Duration

	// For is how long the condition must hold before it is an alert.
	For time.Duration
	// Hysteresis is how many percent of the threshold the figure must be past
	// it before the condition counts as over.
	Hysteresis Hundredths
}

// Defaults of what every kind has.
const (
	defaultHysteresis Hundredths = 10_00
	defaultLeast      Hundredths = 1_00 // percent of what is allocated: less is nobody's worry
)

// defaultFor is how long the condition must hold by default: what is counted
// is sure at once, what is forecast moves with every event.
func defaultFor(kind AlertKind) time.Duration {
	switch kind {
	case RunwayBelow, QuotaProjected:
		return 15 * time.Minute
	case ExpiringUnused:
		return time.Hour
	case BurnSpike:
		return 5 * time.Minute
	}
	return 0
}

// commonParams are what a rule has that says neither for nor hysteresis.
func commonParams(kind AlertKind) AlertParams {
	return AlertParams{For: defaultFor(kind), Hysteresis: defaultHysteresis}
}

// filled returns the parameters with the defaults of their kind.
func (p AlertParams) filled(kind AlertKind) AlertParams {
	switch kind {
	case QuotaProjected:
		if p.Percent == 0 {
			p.Percent = 100_00
		}
	case ExpiringUnused, BurnSpike:
		if p.Percent == 0 && !p.HasCredits {
			p.Percent = defaultLeast
		}
	}
	if kind == BurnSpike && p.Window == 0 {
		p.Window = time.Hour
	}
	return p
}

// Equal says whether two rules evaluate the same.
func (p AlertParams) Equal(other AlertParams) bool { return p.String() == other.String() }

// String returns the parameters as JSON, as table alert_rules keeps them.
func (p AlertParams) String() string { return string(p.append(nil)) }

// MarshalJSON writes what ParseAlertParams reads; defaults are written out, so
// that a rule stays what it was when defaults change.
func (p AlertParams) MarshalJSON() ([]byte, error) { return p.append(nil), nil }

func (p AlertParams) append(dst []byte) []byte {
	dst = append(dst, '{')
	member := func(name string) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendQuote(dst, name), ':')
	}
	number := func(name string, h Hundredths, present bool) {
		if present {
			member(name)
			dst = append(dst, h.String()...)
		}
	}
	if p.HasCredits {
		member("credits")
		dst = append(append(append(dst, '"'), p.Credits.String()...), '"')
	}
	number("percent", p.Percent, p.Percent != 0)
	number("days", p.Days, p.Days != 0)
	if p.Windows != nil {
		member("windows")
		for i, w := range p.Windows {
			dst = append(dst, map[bool]byte{true: '[', false: ','}[i == 0])
			dst = fmt.Appendf(dst, `{"long":%q,"short":%q,"factor":%s}`, WindowText(w.Long), WindowText(w.Short), w.Factor)
		}
		dst = append(dst, ']')
	}
	if p.CampaignID != "" {
		member("campaign_id")
		dst = strconv.AppendQuote(dst, p.CampaignID) // of isName: nothing to escape
	}
	number("factor", p.Factor, p.Factor != 0)
	if p.Window != 0 {
		member("window")
		dst = strconv.AppendQuote(dst, WindowText(p.Window))
	}
	number("for", Hundredths(p.For/time.Minute)*100, true)
	number("hysteresis", p.Hysteresis, true)
	return append(dst, '}')
}

// alertParam is the rule for one member of the parameters.
type alertParam struct {
	name, want string
	read       func(v value, p *AlertParams) bool
}

const wantWindow = `such as "5m", "6h" or "3d"`

var (
	creditsParam = alertParam{"credits", "want a number or decimal string from 0 to 10^12, exact at 6 decimals", func(v value, p *AlertParams) bool {
		text, ok := alertText(v)
		if !ok {
			text = string(v.raw)
		}
		c, err := ParseCredits(text)
		p.Credits, p.HasCredits = c, true
		return err == nil && 0 <= c && c <= MaxLedgerCredits
	}}
	percentParam = alertParam{"percent", "want a number above 0 and at most 1000, with at most 2 decimals", func(v value, p *AlertParams) bool {
		return hundredths(v, &p.Percent, 1, 1000_00)
	}}
	daysParam = alertParam{"days", "want a number above 0 and at most 1825, with at most 2 decimals", func(v value, p *AlertParams) bool {
		return hundredths(v, &p.Days, 1, 1825_00) // five years: how far a runway is looked for
	}}
	campaignParam = alertParam{"campaign_id", "want " + wantName + ", or empty for each campaign", func(v value, p *AlertParams) (ok bool) {
		p.CampaignID, ok = alertText(v)
		return ok && (p.CampaignID == "" || isName([]byte(p.CampaignID)))
	}}
	factorParam = alertParam{"factor", "want a number from 1 to 1000, with at most 2 decimals", func(v value, p *AlertParams) bool {
		return hundredths(v, &p.Factor, 1_00, 1000_00)
	}}
	// Quarters, because that is what usage is summed up by; a day, because a
	// longer window is no spike.
	windowParam = alertParam{"window", "want a multiple of 15 minutes up to 1 day, " + wantWindow, func(v value, p *AlertParams) bool {
		return window(v, &p.Window, 15*time.Minute, 24*time.Hour) && p.Window%(15*time.Minute) == 0
	}}
	forParam = alertParam{"for", "want a whole number of minutes from 0 to 10080", func(v value, p *AlertParams) bool {
		var h Hundredths
		ok := hundredths(v, &h, 0, 10080_00) && h%100 == 0
		p.For = time.Duration(h/100) * time.Minute
		return ok
	}}
	hysteresisParam = alertParam{"hysteresis", "want a percentage from 0 to 90, with at most 2 decimals", func(v value, p *AlertParams) bool {
		return hundredths(v, &p.Hysteresis, 0, 90_00)
	}}
	windowsParam = alertParam{"windows", "", nil} // see windows
)

func paramsOf(kind AlertKind) (params []alertParam, known bool) {
	switch kind {
	case BalanceBelow:
		params = []alertParam{creditsParam, percentParam}
	case RunwayBelow:
		params = []alertParam{daysParam}
	case ExpiringUnused:
		params = []alertParam{daysParam, creditsParam, percentParam}
	case BurnRate:
		params = []alertParam{windowsParam}
	case QuotaUsed, QuotaProjected:
		params = []alertParam{percentParam, campaignParam}
	case BurnSpike:
		params = []alertParam{factorParam, windowParam, creditsParam, percentParam}
	case Freshness:
	default:
		return nil, false
	}
	return append(params, forParam, hysteresisParam), true
}

// ParseAlertParams reads the parameters of a rule of some kind from a JSON
// object and fills in the defaults. Null is as absent. The error is
// AlertRuleErrors and names every field that is wrong or does not belong.
func ParseAlertParams(kind AlertKind, object []byte) (AlertParams, error) {
	var wrong AlertRuleErrors
	known, ok := paramsOf(kind)
	if !ok {
		wrong.add("kind", fmt.Sprintf("want one of %v", AlertKinds))
		return AlertParams{}, wrong
	}
	p := commonParams(kind)
	err := eachAlertMember(object, func(name string, v value) {
		for _, param := range known {
			if param.name != name {
				continue
			}
			switch {
			case v.absent():
			case name == "windows":
				p.Windows = windows(v, &wrong)
			case !param.read(v, &p):
				wrong.add("params."+name, param.want)
			}
			return
		}
		names := make([]string, len(known))
		for i, param := range known {
			names[i] = param.name
		}
		wrong.add("params."+name, fmt.Sprintf("%s has no such parameter, only %v", kind, names))
	})
	if err != nil {
		wrong.add("params", err.Error())
		return AlertParams{}, wrong
	}
	if len(wrong) == 0 {
		p.checkTogether(kind, &wrong)
	}
	if len(wrong) > 0 {
		return AlertParams{}, wrong
	}
	return p.filled(kind), nil
}

// checkTogether is what no field says by itself.
func (p *AlertParams) checkTogether(kind AlertKind, wrong *AlertRuleErrors) {
	missing := func(field string, absent bool) {
		if absent {
			wrong.add("params."+field, string(kind)+" needs it")
		}
	}
	switch kind {
	case BalanceBelow:
		missing("credits", !p.HasCredits && p.Percent == 0)
	case RunwayBelow, ExpiringUnused:
		missing("days", p.Days == 0)
	case QuotaUsed:
		missing("percent", p.Percent == 0)
	case BurnSpike:
		missing("factor", p.Factor == 0)
	}
	if p.HasCredits && p.Percent != 0 {
		wrong.add("params.percent", "want either credits or percent, not both")
	}
	if kind != BurnRate && kind != BurnSpike && kind != QuotaUsed && kind != QuotaProjected && p.Percent > 100_00 {
		wrong.add("params.percent", "want at most 100 of what is allocated")
	}
}

// Bounds of the windows of a burn rate.
const (
	minBurnWindow  = 5 * time.Minute     // below it single events are all there is to see
	maxBurnWindow  = 30 * 24 * time.Hour // the budget that the factors come from
	maxBurnWindows = 8
)

func windows(v value, wrong *AlertRuleErrors) []BurnWindow {
	list := []BurnWindow{}
	problem := fmt.Sprintf("want a list of 1 to %d objects of long, short and factor", maxBurnWindows)
	if v.raw[0] != '[' {
		wrong.add("params.windows", problem)
		return nil
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(v.raw))
	_, _ = decoder.ReadToken() // eachAlertMember has accepted it all
	for decoder.PeekKind() != ']' {
		raw, _ := decoder.ReadValue()
		list = append(list, burnWindow(raw, fmt.Sprintf("params.windows[%d]", len(list)), wrong))
	}
	if len(list) == 0 || len(list) > maxBurnWindows {
		wrong.add("params.windows", problem)
	}
	return list
}

func burnWindow(raw []byte, at string, wrong *AlertRuleErrors) (w BurnWindow) {
	before := len(*wrong)
	check := func(field string, ok bool, want string) {
		if !ok {
			wrong.add(at+"."+field, want)
		}
	}
	limits := "want whole multiples of 5 minutes up to 30 days, " + wantWindow
	err := eachAlertMember(raw, func(name string, v value) {
		switch name {
		case "long":
			check(name, window(v, &w.Long, minBurnWindow, maxBurnWindow) && w.Long%minBurnWindow == 0, limits)
		case "short":
			check(name, window(v, &w.Short, minBurnWindow, maxBurnWindow) && w.Short%minBurnWindow == 0, limits)
		case "factor":
			check(name, hundredths(v, &w.Factor, 1, 1000_00), "want a number above 0 and at most 1000, with at most 2 decimals")
		default:
			check(name, false, "a window has only long, short and factor")
		}
	})
	if err != nil {
		wrong.add(at, err.Error())
	}
	if len(*wrong) == before {
		check("long", w.Long != 0, "each window needs it")
		check("factor", w.Factor != 0, "each window needs it")
		check("short", w.Short != 0 && w.Short < w.Long, "each window needs it, shorter than long")
	}
	return w
}

var errNoObject = errors.New("want one JSON object")

// eachAlertMember visits the members of exactly one JSON object without
// duplicate keys.
func eachAlertMember(object []byte, visit func(name string, v value)) error {
	// Twice, so that nothing is visited of what turns out to be no JSON.
	whole := jsontext.NewDecoder(bytes.NewReader(object))
	if raw, err := whole.ReadValue(); err != nil || raw.Kind() != '{' {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fmt.Errorf("%w, each key once", errNoObject)
		}
		return errNoObject
	}
	if _, err := whole.ReadToken(); !errors.Is(err, io.EOF) {
		return errNoObject
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(object))
	_, _ = decoder.ReadToken()
	for decoder.PeekKind() == '"' {
		name, _ := decoder.ReadToken()
		key := name.String()
		raw, _ := decoder.ReadValue()
		visit(key, value{raw: bytes.Clone(raw)})
	}
	return nil
}

func alertText(v value) (string, bool) {
	if len(v.raw) == 0 || v.raw[0] != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, v.raw)
	return string(text), err == nil
}

// hundredths reads a JSON number with at most two decimals.
func hundredths(v value, into *Hundredths, low, high Hundredths) bool {
	c, err := parseCredits(v.raw) // a string is no number to it
	*into = Hundredths(c) / creditsPerHundredth
	return err == nil && c%creditsPerHundredth == 0 && low <= *into && *into <= high
}

// window reads a number of minutes, hours or days, such as "5m".
func window(v value, into *time.Duration, low, high time.Duration) bool {
	text, ok := alertText(v)
	if !ok || len(text) < 2 || len(text) > 6 {
		return false
	}
	unit, known := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
	*into = time.Duration(n) * unit
	return known && err == nil && low <= *into && *into <= high
}

// WindowText writes a window as parameters have it, such as "90m" or "3d": in
// the largest unit that is whole.
func WindowText(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
