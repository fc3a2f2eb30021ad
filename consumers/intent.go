package consumers

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of invariant 2: Kafka refuses metadata over 4,096 bytes (kfake does
// not), and what one commit carries must not grow with the load.
const (
	maxPending       = 4
	maxMetadataBytes = 512
)

// batchFormat is the version of how a range becomes rows; it is part of every
// token, so that rows of another format never pass for these.
const batchFormat = 1

// span is a range of offsets, both ends included.
type span struct{ first, last int64 }

func (s span) String() string { return fmt.Sprintf("%d-%d", s.first, s.last) }

// intent is the metadata of a partition's OffsetCommit: the ranges that may
// be in ClickHouse although they are not done (invariant 2).
type intent struct {
	format  int
	epoch   uint32
	rules   string
	pending []span
}

// String returns the wire form: "1;EPOCH;RULES;a-b,c-d", as format, epoch,
// rules and the pending ranges. Rules have no semicolon.
func (in intent) String() string {
	ranges := make([]string, len(in.pending))
	for i, s := range in.pending {
		ranges[i] = s.String()
	}
	return fmt.Sprintf("%d;%d;%s;%s", in.format, in.epoch, in.rules, strings.Join(ranges, ","))
}

// Accounted is the offset up to which a commit accounts for what the ledger of
// batches has: its own, or the end of the ranges that its metadata says are about
// to be inserted. A ledger that goes on past it parks the partition.
func Accounted(metadata string, offset int64) int64 {
	in, err := parseIntent(metadata, offset)
	if err != nil || len(in.pending) == 0 {
		return offset
	}
	return in.pending[len(in.pending)-1].last + 1
}

// parseIntent reads the metadata of a commit at the given offset. Empty
// metadata, as a tool that resets offsets leaves it, is no intent. Ranges must
// start at the offset and follow each other without a gap.
func parseIntent(metadata string, offset int64) (intent, error) {
	if metadata == "" {
		return intent{}, nil
	}
	fields := strings.Split(metadata, ";")
	if len(fields) != 4 || len(metadata) > maxMetadataBytes {
		return intent{}, fmt.Errorf("cannot read the intent %.80q: not of the form format;epoch;rules;ranges", metadata)
	}
	format, err := strconv.Atoi(fields[0])
	if err != nil {
		return intent{}, fmt.Errorf("cannot read the format of the intent %q: %w", metadata, err)
	}
	epoch, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return intent{}, fmt.Errorf("cannot read the epoch of the intent %q: %w", metadata, err)
	}
	in := intent{format: format, epoch: uint32(epoch), rules: fields[2]}
	if fields[3] == "" {
		return in, nil
	}
	next := offset
	for _, text := range strings.Split(fields[3], ",") {
		first, last, ok := strings.Cut(text, "-")
		a, errA := strconv.ParseInt(first, 10, 64)
		b, errB := strconv.ParseInt(last, 10, 64)
		if !ok || errA != nil || errB != nil || a != next || b < a || len(in.pending) == maxPending {
			return intent{}, fmt.Errorf("cannot read the ranges of the intent %q at offset %d", metadata, offset)
		}
		in.pending = append(in.pending, span{a, b})
		next = b + 1
	}
	return in, nil
}
