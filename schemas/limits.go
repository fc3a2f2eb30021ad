package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// decoderVersion rises whenever the same record and limits may give another
// event, rejection or content hash than before.
const decoderVersion = 1

// Limits are the configurable rules by which records are accepted.
type Limits struct {
	// MaxValueBytes is the size of the largest value that is decoded.
	MaxValueBytes int
	// Lateness is how much older than its record's timestamp a consumption
	// may be.
	Lateness time.Duration
	// Ahead is how much newer than its record's timestamp any event may be.
	Ahead time.Duration
	// ImportLateness stands for Lateness where the record has the import
	// header; 0: no limit.
	ImportLateness time.Duration
}

// DefaultLimits returns the limits of DESIGN section 3.
func DefaultLimits() Limits {
	return Limits{
		MaxValueBytes:  1 << 20,
		Lateness:       35 * 24 * time.Hour,
		Ahead:          5 * time.Minute,
		ImportLateness: importLateness,
	}
}

// Rules returns a hash, 16 hexadecimal digits, of all that decides which rows
// a range of the log becomes: decoder version, limits, partitioner, partition
// count (invariant 4).
func (l Limits) Rules(partitions int) string {
	text := fmt.Sprintf("decoder=%d partitioner=murmur2 partitions=%d max_value_bytes=%d lateness_ms=%d ahead_ms=%d import_lateness_ms=%d",
		decoderVersion, partitions, l.MaxValueBytes, l.Lateness.Milliseconds(), l.Ahead.Milliseconds(), l.ImportLateness.Milliseconds())
	return fmt.Sprintf("%016x", xxhash.Sum64String(text))
}

// Late returns a too_late or in_future rejection, or nil. It is apart from
// decoding because misrouted is tested before it: the consumer calls it for a
// decoded event that is in the right partition. An event is measured against
// when its record came to Kafka, by its origin if it was rerouted. Only
// consumption can be too late: ledger entries and states may restate any past.
func (l Limits) Late(rec *Record, ev *Event) *Rejection {
	arrived := rec.Timestamp
	limit := l.Lateness
	if len(rec.Headers) > 0 {
		if origin, ok := OriginOf(rec); ok {
			arrived = origin.Timestamp
		}
		if Imported(rec) {
			limit = l.ImportLateness
			if limit == 0 {
				limit = 1<<63 - 1
			}
		}
	}
	age := arrived - ev.Time
	switch {
	case age < -Millis(l.Ahead.Milliseconds()):
		return reject(InFuture, "time: %s is more than %s ahead of the arrival of its record in Kafka at %s; check the clock of the producer", ev.Time, l.Ahead, arrived)
	case age > Millis(limit.Milliseconds()) && ev.Type == CreditsConsumed:
		return reject(TooLate, "time: %s is more than %s before the arrival of its record in Kafka at %s; use drawdown import, or drawdown rejections replay --allow-late", ev.Time, days(limit), arrived)
	}
	return nil
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	}
	return d.String()
}

const (
	// ImportHeader marks records of drawdown import; its value is the id of
	// the import.
	ImportHeader = "drawdown-import"
	// OriginHeader says where a rerouted record was first; see [Origin].
	OriginHeader = "drawdown-origin"
	// ReplayHeader names the rejection that a record was made from by drawdown
	// rejections replay, as topic/epoch/partition/offset.
	ReplayHeader = "drawdown-replay"
)

// Imported reports whether the record has the import header.
func Imported(rec *Record) bool {
	_, ok := header(rec, ImportHeader)
	return ok
}

// Origin is where a record was before it was produced again to the partition
// of its workspace.
type Origin struct {
	Topic     string
	Partition int
	Offset    int64
	Epoch     uint32
	Timestamp Millis
}

// ErrOrigin says that a text is no origin.
var ErrOrigin = errors.New("want topic/partition/offset/epoch/timestamp_ms")

// String returns topic/partition/offset/epoch/timestamp_ms, the value of the
// origin header.
func (o Origin) String() string {
	return fmt.Sprintf("%s/%d/%d/%d/%d", o.Topic, o.Partition, o.Offset, o.Epoch, int64(o.Timestamp))
}

// ParseOrigin reads what Origin.String writes; it fails with ErrOrigin.
func ParseOrigin(value []byte) (Origin, error) {
	parts := strings.Split(string(value), "/")
	if len(parts) != 5 || parts[0] == "" {
		return Origin{}, fmt.Errorf("origin %.100q: %w", value, ErrOrigin)
	}
	partition, err1 := strconv.ParseUint(parts[1], 10, 31)
	offset, err2 := strconv.ParseUint(parts[2], 10, 63)
	epoch, err3 := strconv.ParseUint(parts[3], 10, 32)
	timestamp, err4 := strconv.ParseInt(parts[4], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Origin{}, fmt.Errorf("origin %.100q: %w", value, ErrOrigin)
	}
	return Origin{Topic: parts[0], Partition: int(partition), Offset: int64(offset), Epoch: uint32(epoch), Timestamp: Millis(timestamp)}, nil
}

// OriginOf returns the origin that a record carries. A header that is no
// origin counts as none.
func OriginOf(rec *Record) (Origin, bool) {
	value, ok := header(rec, OriginHeader)
	if !ok {
		return Origin{}, false
	}
	origin, err := ParseOrigin(value)
	return origin, err == nil
}

// header returns the value of the last header of that name: who adds one
// later knows more.
func header(rec *Record, name string) ([]byte, bool) {
	for i := len(rec.Headers) - 1; i >= 0; i-- {
		if rec.Headers[i].Key == name {
			return rec.Headers[i].Value, true
		}
	}
	return nil, false
}

// maxMessage bounds what a rejection says, in bytes.
const maxMessage = 512

func reject(code RejectionCode, format string, args ...any) *Rejection {
	return &Rejection{Code: code, Message: clip(fmt.Sprintf(format, args...), maxMessage)}
}

// clip cuts text to at most so many bytes of valid UTF-8.
func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
}
