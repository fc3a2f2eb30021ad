package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	// A terminal redraws its line five times a second; a log gets a line in
	// five seconds.
	progressRedraw = 200 * time.Millisecond
	progressLine   = 5 * time.Second
	progressWidth  = 30
)

// progress shows how far a long command is on standard error: a bar where a
// person looks, plain lines where a file does.
type progress struct {
	out   io.Writer
	tty   bool
	label string
	total int64 // 0: unknown
	done  func() int64

	startedAt time.Time
	offset    int64 // done at the start, which says nothing about the rate
	stop      chan struct{}
	stopped   chan struct{}
}

// startProgress shows done() of total until Stop. total = 0 means that nobody
// knows; then there is a rate and no bar.
func startProgress(out io.Writer, label string, total int64, done func() int64) *progress {
	p := &progress{
		out: out, tty: isTerminal(out), label: label, total: total, done: done,
		startedAt: time.Now(), offset: done(),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go p.run()
	return p
}

// Stop shows the last state and ends the line.
func (p *progress) Stop() {
	close(p.stop)
	<-p.stopped
}

func (p *progress) run() {
	defer close(p.stopped)
	every := progressLine
	if p.tty {
		every = progressRedraw
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			p.show(p.done(), time.Since(p.startedAt))
			if p.tty {
				fmt.Fprintln(p.out)
			}
			return
		case <-ticker.C:
			p.show(p.done(), time.Since(p.startedAt))
		}
	}
}

func (p *progress) show(done int64, took time.Duration) {
	line := progressText(p.label, done, p.total, done-p.offset, took, p.tty)
	if p.tty {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// progressText is one state as text: moved is what took made of done.
func progressText(label string, done, total, moved int64, took time.Duration, bar bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", label)
	rate := 0.0
	if took > 0 {
		rate = float64(moved) / took.Seconds()
	}
	if total > 0 {
		share := min(float64(done)/float64(total), 1)
		if bar {
			full := int(share * progressWidth)
			fmt.Fprintf(&b, "[%s%s] ", strings.Repeat("#", full), strings.Repeat(".", progressWidth-full))
		}
		fmt.Fprintf(&b, "%5.1f %%, %s of %s", 100*share, grouped(done), grouped(total))
	} else {
		b.WriteString(grouped(done))
	}
	fmt.Fprintf(&b, ", %s/s", grouped(int64(rate)))
	if left := total - done; total > 0 && left > 0 && rate > 0 {
		fmt.Fprintf(&b, ", %s left", (time.Duration(float64(left) / rate * float64(time.Second))).Round(time.Second))
	}
	return b.String()
}

// grouped writes n with thousands separators, for people.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return sign + text
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
