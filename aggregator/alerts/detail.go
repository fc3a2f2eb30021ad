package alerts

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/drawdown/drawdown/schemas"
)

// Detail is the figures behind a finding, for programs. Amounts are decimal
// strings of credits, forecasts rounded to whole ones; instants are RFC 3339.
type Detail struct {
	Value        string      `json:"value,omitempty"` // compared with threshold
	Threshold    string      `json:"threshold,omitempty"`
	Unit         Unit        `json:"unit"`
	Unknown      Unknown     `json:"unknown,omitempty"` // why there is no value
	CampaignID   string      `json:"campaign_id,omitempty"`
	CampaignName string      `json:"campaign_name,omitempty"`
	Status       string      `json:"status,omitempty"` // of the campaign
	Remaining    string      `json:"remaining,omitempty"`
	Allocated    string      `json:"allocated,omitempty"`
	ExpiresAt    string      `json:"expires_at,omitempty"`
	ExhaustsAt   string      `json:"exhausts_at,omitempty"`
	Used         string      `json:"used,omitempty"` // by the campaign, or gross over the window
	Quota        string      `json:"quota,omitempty"`
	Projected    string      `json:"projected,omitempty"`
	ProjectedAt  string      `json:"projected_at,omitempty"`
	Expected     string      `json:"expected,omitempty"` // at this time of the week
	Windows      *DetailBurn `json:"burn,omitempty"`
	Method       string      `json:"method,omitempty"` // of the forecast
	Watermark    string      `json:"watermark,omitempty"`
	Reason       Reason      `json:"reason,omitempty"` // why an incident ended without its condition being over
}

// DetailBurn is the pair of windows that is nearest to firing, and gross
// credits per hour over each.
type DetailBurn struct {
	Long         string `json:"long"`
	Short        string `json:"short"`
	LongPerHour  string `json:"long_per_hour"`
	ShortPerHour string `json:"short_per_hour"`
}

// Detail returns the figures behind the finding.
func (f *Finding) Detail() Detail {
	d := Detail{Unit: f.Unit, Unknown: f.Unknown}
	if f.Unknown == "" {
		d.Value, d.Threshold = measure(f.Value), measure(f.Threshold)
	}
	figures := f.figures
	switch f.rule.Kind {
	case schemas.Freshness:
		d.Watermark = figures.At.String()
		return d
	case schemas.QuotaUsed, schemas.QuotaProjected:
		f.campaignDetail(&d)
		return d
	case schemas.BurnSpike:
		window := f.rule.Params.Window
		if expected, known := figures.Expected(f.At-schemas.Millis(window.Milliseconds()), f.At); known {
			d.Expected = whole(expected)
		}
		if used, known := figures.Gross(window); known {
			d.Used = used.String()
		}
		return d
	}
	if !figures.Granted {
		return d
	}
	d.Remaining, d.Allocated = figures.Remaining.String(), figures.Allocated.String()
	d.ExpiresAt, d.ExhaustsAt = figures.ExpiresAt.String(), figures.Runway.ExhaustsAt.String()
	switch f.rule.Kind {
	case schemas.ExpiringUnused:
		for _, e := range figures.Expiries {
			if f.within(e) {
				d.ExpiresAt, d.Method = e.At.String(), string(e.Method)
				break
			}
		}
	case schemas.BurnRate:
		if f.pair.Long > 0 {
			long, _ := figures.Gross(f.pair.Long)
			short, _ := figures.Gross(f.pair.Short)
			d.Windows = &DetailBurn{
				Long: schemas.WindowText(f.pair.Long), Short: schemas.WindowText(f.pair.Short),
				LongPerHour: measure(long.Float() / f.pair.Long.Hours()), ShortPerHour: measure(short.Float() / f.pair.Short.Hours()),
			}
		}
	default:
		d.Method = string(figures.Runway.Method)
	}
	return d
}

func (f *Finding) campaignDetail(d *Detail) {
	d.CampaignID = f.Subject
	c := f.campaign
	if c == nil {
		return
	}
	d.CampaignName, d.Status, d.Used = c.Name, c.Status, c.Used.String()
	if c.HasQuota {
		d.Quota = c.Quota.String()
	}
	if f.rule.Kind == schemas.QuotaProjected && known(c.Method) {
		d.Projected, d.ProjectedAt, d.Method = whole(c.Projected), c.ProjectedAt.String(), string(c.Method)
	}
}

// JSON returns the detail as table alert_incidents keeps it.
func (d Detail) JSON() string {
	text, err := json.Marshal(d)
	if err != nil {
		panic("alerts: strings do not encode: " + err.Error())
	}
	return string(text)
}

// measure writes a number with up to four decimals.
func measure(x float64) string {
	return strconv.FormatFloat(math.Round(x*1e4)/1e4, 'f', -1, 64)
}

// whole writes a forecast, of which no fraction means anything.
func whole(x float64) string { return strconv.FormatFloat(math.Round(x), 'f', 0, 64) }
