package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// benchForecastCmd looks back: what would have been forecast, and what came.
type benchForecastCmd struct {
	Files []string `arg:"" optional:"" name:"file" type:"existingfile" help:"CSV with a header or NDJSON, also compressed with gzip, a row for an hour or for anything shorter; default: simulated bursty series."`

	Time    string        `placeholder:"COLUMN" help:"Column of the instant, RFC 3339; default: time, hour or invoiced_at, whichever is there."`
	Value   string        `placeholder:"COLUMN" help:"Column of the amount, of which negative ones are left out; default: value, usage or quantity."`
	Series  string        `placeholder:"COLUMN" help:"Column that names the series of a row; default: a file is one series."`
	MinRows int           `name:"min-rows" default:"1000" help:"Leave out series of fewer rows, with --series."`
	Zone    string        `placeholder:"NAME" default:"UTC" help:"Whose days, weeks and months count."`
	History int           `default:"56" help:"Days that a forecaster is given."`
	Every   time.Duration `default:"168h" help:"Time between origins, of which the first is a Monday; whole hours."`
	From    time.Time     `format:"2006-01-02" placeholder:"DATE" help:"First day that may be an origin."`
	Until   time.Time     `format:"2006-01-02" placeholder:"DATE" help:"Day before which every outcome lies."`
}

// Run prints a table per series.
func (c *benchForecastCmd) Run(ctx context.Context, e *env) error {
	if c.History < 1 || c.Every < time.Hour || c.Every%time.Hour != 0 {
		return usageError{errors.New("--history must be at least 1, --every whole hours")}
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return usageError{fmt.Errorf("--zone: %w", err)}
	}
	all := simulatedSeries()
	if len(c.Files) > 0 {
		all = nil
	}
	for _, file := range c.Files {
		read, err := c.read(file)
		if err != nil {
			return err
		}
		all = append(all, read...)
	}
	look := backtest{zone: zone, history: time.Duration(c.History) * 24 * time.Hour, every: c.Every, from: c.From, until: c.Until}
	total := int64(0)
	for _, s := range all {
		total += int64(look.origins(s) * len(forecasters))
	}
	var done atomic.Int64
	shown := startProgress(e.Stderr, "forecasts", total, done.Load)
	defer shown.Stop()
	for _, s := range all {
		scores := make([]*score, len(forecasters))
		for i := range forecasters {
			if err := ctx.Err(); err != nil {
				return err
			}
			scores[i] = look.run(s, &forecasters[i], func() { done.Add(1) })
		}
		printScores(e.Stdout, s.name, scores)
	}
	return nil
}

// printScores writes a table in Markdown that is read as it is, too.
func printScores(out io.Writer, name string, scores []*score) {
	if scores[0].origins == 0 {
		_, _ = fmt.Fprintf(out, "\n%s: too short for any origin\n", name)
		return
	}
	_, _ = fmt.Fprintf(out, "\n%s: %d origins, %d months\n\n| %-15s | hourly | 1 day | 7 days | end   | middle | bias   | pinball | 1 day | 7 days | end  | hours |\n|%s|\n",
		name, scores[0].origins, scores[0].months, "WAPE, band", strings.Repeat("-", 17)+"|-------:|------:|-------:|------:|-------:|-------:|--------:|------:|-------:|-----:|------:")
	for i, s := range scores {
		bands := [4]float64{math.NaN(), math.NaN(), math.NaN(), math.NaN()}
		if i == 0 {
			bands = [4]float64{s.dayBand.share(), s.weekBand.share(), s.periodBand.share(), s.hourlyBand.share()}
		}
		_, _ = fmt.Fprintf(out, "| %-15s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", forecasters[i].name,
			cell("%6.3f", s.hourly.wape()), cell("%5.3f", s.day.wape()), cell("%6.3f", s.week.wape()), cell("%5.3f", s.period.wape()),
			cell("%6.3f", s.middle.wape()), cell("%+6.3f", s.week.bias/s.week.actual), cell("%7.3f", s.week.pinball/s.week.actual),
			cell("%5.2f", bands[0]), cell("%6.2f", bands[1]), cell("%4.2f", bands[2]), cell("%5.2f", bands[3]))
	}
	printBest(out, scores)
}

// printBest says how drawdown compares with whichever simple one turned out to
// be the best, and how sure that is.
func printBest(out io.Writer, scores []*score) {
	own := scores[0].cumulated()
	_, _ = fmt.Fprintf(out, "\nDrawdown against the best of the others:")
	for k, name := range cumulatedNames {
		best := 1
		for i := range scores {
			if i > 1 && scores[i].cumulated()[k].missed < scores[best].cumulated()[k].missed {
				best = i
			}
		}
		other := scores[best].cumulated()[k]
		ratio, deviates := own[k].against(&other)
		_, _ = fmt.Fprintf(out, " %s %s +- %s (%s);", name, cell("%.3f", ratio), cell("%.3f", deviates), forecasters[best].name)
	}
	_, _ = fmt.Fprintln(out)
}

// cell is a number, or a dash as wide for one that is not known.
func cell(format string, v float64) string {
	text := fmt.Sprintf(format, v)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprintf("%*s", len(fmt.Sprintf(format, 0.0)), "-")
	}
	return text
}

// defaultColumns are looked for in this order.
var defaultColumns = [][2]string{{"time", "value"}, {"hour", "usage"}, {"invoiced_at", "quantity"}}

// open opens a file with the columns asked for, else with the first pair of
// default ones that it has.
func (c *benchForecastCmd) open(file string) (*inputFile, error) {
	pairs := defaultColumns
	if c.Time != "" || c.Value != "" {
		if c.Time == "" || c.Value == "" {
			return nil, usageError{errors.New("--time and --value go together")}
		}
		pairs = [][2]string{{c.Time, c.Value}}
	}
	var failed error
	for _, pair := range pairs {
		columns := pair[:]
		if c.Series != "" {
			columns = append(slices.Clone(columns), c.Series)
		}
		in, err := openInput(file, &mapping{columns: columns}, nil)
		if err == nil {
			return in, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// read adds the rows of a file up to hours of UTC. A series begins with the
// first hour of its file and ends with the last one.
func (c *benchForecastCmd) read(file string) (all []*hourlySeries, err error) {
	in, err := c.open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	type sums struct {
		rows  int
		hours map[int64]float64
	}
	series := map[string]*sums{}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for {
		row, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var at time.Time
		var amount float64
		if err == nil {
			at, err = time.Parse(time.RFC3339, row[0])
		}
		if err == nil {
			amount, err = strconv.ParseFloat(row[1], 64)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s, line %d: %w", file, in.Line(), err)
		}
		name := filepath.Base(file)
		if c.Series != "" {
			name = row[2]
		}
		s := series[name]
		if s == nil {
			s = &sums{hours: map[int64]float64{}}
			series[name] = s
		}
		hour := at.Unix() / 3600
		first, last = min(first, hour), max(last, hour)
		s.rows++
		if amount > 0 {
			s.hours[hour] += amount
		}
	}
	if last-first > maxSeriesHours {
		return nil, fmt.Errorf("%s spans %s hours; at most %s are looked at", file, grouped(last-first), grouped(maxSeriesHours))
	}
	for name, s := range series {
		if c.Series != "" && s.rows < c.MinRows {
			continue
		}
		hourly := &hourlySeries{name: name, start: time.Unix(first*3600, 0).UTC(), hours: make([]float64, last-first+1)}
		for hour, amount := range s.hours {
			hourly.hours[hour-first] = amount
		}
		all = append(all, hourly)
	}
	slices.SortFunc(all, func(a, b *hourlySeries) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// maxSeriesHours bounds memory: a century.
const maxSeriesHours = 100 * 366 * 24
