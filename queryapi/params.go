package queryapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// wrong names one wrong parameter.
func wrong(location string, value any, format string, args ...any) error {
	return &huma.ErrorDetail{Location: location, Value: value, Message: fmt.Sprintf(format, args...)}
}

// strict finds what huma lets pass: query parameters that the operation does
// not have, ones that are given twice, of which all but one would be lost, ones
// without a value, which huma reads as "true", and a query that cannot be read
// as a whole, of which net/url drops a part.
func strict(ctx huma.Context) []error {
	address := ctx.URL()
	query, err := url.ParseQuery(address.RawQuery)
	if err != nil {
		return []error{wrong("query", address.RawQuery, "cannot be read: %v; escape values as in a URL (a ; is %%3B)", err)}
	}
	for pair := range strings.SplitSeq(address.RawQuery, "&") {
		if pair != "" && !strings.Contains(pair, "=") {
			return []error{wrong("query", address.RawQuery, "a parameter has no value: write name=value, or name= for an empty one")}
		}
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	var errs []error
	for _, name := range names {
		known := slices.ContainsFunc(ctx.Operation().Parameters, func(p *huma.Param) bool {
			return p.In == "query" && p.Name == name
		})
		switch {
		case !known:
			errs = append(errs, wrong("query."+name, query.Get(name), "unknown parameter"))
		case len(query[name]) > 1:
			errs = append(errs, wrong("query."+name, query[name], "given more than once"))
		}
	}
	return errs
}

// optional is a query parameter that may be absent, which is something else
// than empty.
func optional(ctx huma.Context, name string) *string {
	address := ctx.URL()
	values, ok := address.Query()[name]
	if !ok || len(values) == 0 {
		return nil
	}
	return &values[0]
}

// instantParam reads an instant; an absent one is NoInstant.
func instantParam(name, text string) (schemas.Millis, error) {
	if text == "" {
		return schemas.NoInstant, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return schemas.NoInstant, wrong("query."+name, text, "not an RFC 3339 instant with zone, such as 2026-11-01T00:00:00Z (a + is %%2B in a URL)")
	}
	// Truncated to the millisecond, as the times of events are: then an event
	// at an instant given finer is within [instant, ...) as it should be.
	at := millisOf(t)
	if at < timeBegin || at > timeEnd {
		return schemas.NoInstant, wrong("query."+name, text, "outside 2000 to 2100")
	}
	return at, nil
}

// zoneParam reads an IANA zone; an absent one is nil.
func zoneParam(text string) (*time.Location, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // absent is neither a zone nor an error
	}
	// "Local" is this server's zone, which is nobody's business.
	location, err := time.LoadLocation(text)
	if err != nil || text == "Local" {
		return nil, wrong("query.tz", text, "not an IANA time zone, such as Europe/Berlin")
	}
	return location, nil
}

// Range is [from, to) as asked for. It is exported because huma fills only
// exported embedded structs.
type Range struct {
	From string `query:"from" doc:"Start of the range, RFC 3339; default: start of the current period" example:"2026-11-01T00:00:00Z"`
	To   string `query:"to" doc:"End of the range, exclusive, RFC 3339; default: end of the current period" example:"2026-12-01T00:00:00Z"`

	from, to schemas.Millis // NoInstant: default
}

func (p *Range) resolve() []error {
	var errs []error
	var err error
	if p.from, err = instantParam("from", p.From); err != nil {
		errs = append(errs, err)
	}
	if p.to, err = instantParam("to", p.To); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 && p.from != schemas.NoInstant && p.to != schemas.NoInstant && p.from >= p.to {
		errs = append(errs, wrong("query.to", p.To, "not later than from"))
	}
	return errs
}

// fine says whether an edge is within a minute.
func (p *Range) fine() bool {
	return p.from != schemas.NoInstant && p.from%minuteMillis != 0 || p.to != schemas.NoInstant && p.to%minuteMillis != 0
}

// within fills defaults from period and refuses what cannot be answered.
func (p *Range) within(period span, rawFrom schemas.Millis) (span, error) {
	r := span{p.from, p.to}
	if r.from == schemas.NoInstant {
		r.from = period.from
	}
	if r.to == schemas.NoInstant {
		r.to = period.to
	}
	if r.from >= r.to {
		name, value := "query.to", p.To
		if p.to == schemas.NoInstant {
			name, value = "query.from", p.From
		}
		return r, problem(CodeInvalidParameter, "the range from %s to %s is empty; give both from and to",
			instant(r.from), instant(r.to)).about(name, value)
	}
	var tooFine *Problem
	for _, edge := range []struct {
		name string
		text string
		at   schemas.Millis
	}{{"query.from", p.From, r.from}, {"query.to", p.To, r.to}} {
		if edge.at%minuteMillis == 0 || edge.at >= rawFrom {
			continue
		}
		if tooFine == nil {
			tooFine = problem(CodeResolutionUnavailable, "before %s only whole minutes can be asked for", instant(rawFrom))
		}
		tooFine = tooFine.about(edge.name, edge.text)
	}
	if tooFine != nil {
		return r, tooFine
	}
	return r, nil
}

const minuteMillis = 60 * 1000

// rawFrom is the edge before which raw events may be gone; timeBegin if they
// are kept for ever.
func (s *Server) rawFrom() schemas.Millis {
	if from, limited := s.cfg.EventsTTL.RawFrom(s.cfg.Now()); limited {
		return from
	}
	return timeBegin
}
