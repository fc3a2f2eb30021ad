package faults

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// title is what the section of a broker is called in docs/faults.md.
func (c *campaign) title() string {
	if c.broker == "kafka" {
		return "Apache Kafka"
	}
	return "kfake"
}

// write puts what the campaign found into its broker's section of a file and
// leaves the other sections as they are.
func (c *campaign) write(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the report: %w", err)
	}
	section := "## " + c.title() + "\n\n" + c.summary()
	at := regexp.MustCompile(`(?ms)^## ` + c.title() + `\n.*?(\n## |\z)`)
	found := at.FindSubmatchIndex(text)
	if found == nil {
		return fmt.Errorf("cannot find the section %q in %s", c.title(), path)
	}
	whole := slices.Concat(text[:found[0]], []byte(section), text[found[2]:])
	if err := os.WriteFile(path, append(bytes.TrimRight(whole, "\n"), '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// summary is the section's text.
func (c *campaign) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %d faults in %s, seed %d, `make faults FAULTS=%d SEED=%d BROKER=%s`.\n%d distinct records were made, %d sent again on purpose and %d produce requests repeated; %d figures were compared in %d rounds, and all\nwere right.\n\n",
		c.began.UTC().Format(time.DateOnly), machine(), len(c.history), time.Since(c.began).Round(time.Second), c.seed, c.faults, c.seed, c.broker,
		c.load.made, c.load.repeats, c.load.unanswered, c.figures, c.rounds)
	b.WriteString("| fault | fired | recovery p50 | p99 |\n|---|---|---|---|\n")
	var all []time.Duration
	for _, k := range kinds {
		n := 0
		var recoveries []time.Duration
		for _, f := range c.history {
			if f.kind != k.name {
				continue
			}
			n++
			if f.recovery >= 0 {
				recoveries = append(recoveries, f.recovery)
			}
		}
		all = append(all, recoveries...)
		if n > 0 {
			fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", k.name, n, percentile(recoveries, 50), percentile(recoveries, 99))
		}
	}
	fmt.Fprintf(&b, "| all | %d | %s | %s |\n", len(c.history), percentile(all, 50), percentile(all, 99))
	return b.String()
}

// percentile is the smallest value that so many percent are not above.
func percentile(of []time.Duration, p int) string {
	if len(of) == 0 {
		return "-"
	}
	slices.Sort(of)
	return fmt.Sprintf("%.1f s", of[(len(of)*p+99)/100-1].Seconds())
}

// machine is what it ran on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(text); found != nil {
			model = string(found[1])
		}
	}
	return fmt.Sprintf("%d shared cores (%s), %s/%s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH)
}
