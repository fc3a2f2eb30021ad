package main

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/schemas/audits"
)

// replayFlag is topic/partition/from..to, both offsets included.
type replayFlag consumers.Replay

var _ encoding.TextMarshaler = replayFlag{} // so it is printed with the settings

// UnmarshalText reads it; kong calls it.
func (f *replayFlag) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) == 3 && parts[0] != "" {
		first, last, ranged := strings.Cut(parts[2], "..")
		partition, err1 := strconv.ParseUint(parts[1], 10, 16)
		from, err2 := strconv.ParseUint(first, 10, 63)
		to, err3 := strconv.ParseUint(last, 10, 63)
		if ranged && err1 == nil && err2 == nil && err3 == nil && from <= to {
			*f = replayFlag{Topic: parts[0], Partition: int(partition), From: int64(from), To: int64(to)}
			return nil
		}
	}
	return fmt.Errorf("%q is no range of offsets: want topic/partition/from..to, such as credits.consumption/3/1000..1999", text)
}

// MarshalText returns what UnmarshalText reads.
func (f replayFlag) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%s/%d/%d..%d", f.Topic, f.Partition, f.From, f.To), nil
}

var errUnproven = errors.New("not everything could be proven")

// place is a usageError unless there is such a partition.
func (f replayFlag) place(n network) error {
	if inputs := n.topics.Inputs(); !slices.Contains(inputs, f.Topic) {
		return usageError{fmt.Errorf("--replay: %s is no topic that is counted, these are: %s", f.Topic, strings.Join(inputs, ", "))}
	}
	if f.Partition >= n.partitions {
		return usageError{fmt.Errorf("--replay: %s has %d partitions, from 0 to %d: there is no %d", f.Topic, n.partitions, n.partitions-1, f.Partition)}
	}
	return nil
}

// replay reads the offsets again and prints what became of each range.
func (c *consumeCmd) replay(ctx context.Context, consumer *consumers.Consumer, e *env) error {
	done, err := consumer.Replay(ctx, consumers.Replay(*c.Replay))
	unproven := 0
	for _, r := range done {
		fmt.Fprintf(e.Stdout, "offsets %d-%d\t%s\t%s\n", r.First, r.Last, r.State, r.Note)
		if r.State == audits.Unprovable {
			unproven++
		}
	}
	if err == nil && unproven > 0 {
		err = fmt.Errorf("%w: %d of %d ranges", errUnproven, unproven, len(done))
	}
	return err
}
