package consumers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/drawdown/drawdown/schemas"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// record is one data record of a log. Its slices alias the fetch buffer or
// the decompressor's scratch space and hold until the next record batch.
type record struct {
	offset    int64
	timestamp int64 // milliseconds
	key       []byte
	value     []byte
	headers   []schemas.Header
	// final says that the range may end here: the last of its record batch,
	// or of what was asked for.
	final bool
}

// errCorrupt says that the log's bytes do not match their checksum or do not
// parse: the partition parks (invariant 6).
var errCorrupt = errors.New("corrupt record batch")

// castagnoli is the polynomial of CRC-32C, which Kafka uses for record batches
// and the ledger for its last record.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Layout of a record batch of format v2 (KIP-98).
const (
	batchLengthAt     = 8
	batchMagicAt      = 16
	batchCRCAt        = 17
	batchAttributesAt = 21
	batchHeaderBytes  = 61
	batchOverhead     = 12 // base offset and length field
)

// recordReader walks record sets in offset order. One per partition: it
// carries which transactions are aborted from one fetch to the next record.
type recordReader struct {
	scratch []byte
	lz4     *lz4.Reader
	gzip    *gzip.Reader
	zstd    *zstd.Decoder
	rec     record
	aborted map[int64]bool // producers whose current transaction is aborted
	until   int64          // last offset wanted; noEnd: all
}

// scratchBytes is how much room for inflated records is kept from one answer
// to the next: several of the largest batches that ordinary producers send.
const scratchBytes = 16 << 20

// noEnd as recordReader.until stands for the end of the log.
const noEnd = math.MaxInt64

// each calls emit for every committed data record at or after from, in order,
// and returns the offset after the last whole batch (from if there is none).
// Control records and records of aborted transactions are passed over: the
// caller sees them as gaps. A trailing partial batch is ignored, as Kafka
// intends; the first one is always whole. Errors are errCorrupt or emit's own.
func (r *recordReader) each(f *fetched, from int64, emit func(*record) error) (int64, error) {
	next := from
	if cap(r.scratch) > scratchBytes {
		r.scratch = nil // one bomb must not hold its size for ever
	}
	r.aborted = make(map[int64]bool)
	pending := slices.Clone(f.aborted)
	slices.SortFunc(pending, func(a, b abortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	whole := false
	for raw := f.raw; len(raw) >= batchHeaderBytes; {
		size := int(binary.BigEndian.Uint32(raw[batchLengthAt:])) + batchOverhead
		if size > len(raw) {
			break
		}
		if size < batchHeaderBytes {
			return next, fmt.Errorf("%w: length %d at offset %d", errCorrupt, size, next)
		}
		batch := raw[:size]
		raw = raw[size:]
		base := int64(binary.BigEndian.Uint64(batch))
		if magic := batch[batchMagicAt]; magic != 2 {
			return next, fmt.Errorf("%w: message format v%d at offset %d, only v2 is read", errCorrupt, magic, base)
		}
		if crc := crc32.Checksum(batch[batchAttributesAt:], castagnoli); crc != binary.BigEndian.Uint32(batch[batchCRCAt:]) {
			return next, fmt.Errorf("%w: checksum differs at offset %d", errCorrupt, base)
		}
		last := base + int64(int32(binary.BigEndian.Uint32(batch[23:])))
		if last < next { // the base offset is not under the checksum
			return next, fmt.Errorf("%w: a batch of offsets %d to %d where %d is due", errCorrupt, base, last, next)
		}
		whole = true
		for len(pending) > 0 && pending[0].FirstOffset <= last {
			r.aborted[pending[0].ProducerID] = true
			pending = pending[1:]
		}
		if err := r.batch(batch, base, from, emit); err != nil {
			return next, err
		}
		next = last + 1
	}
	if len(f.raw) > 0 && !whole {
		return next, fmt.Errorf("%w: %d bytes without a whole batch at offset %d", errCorrupt, len(f.raw), next)
	}
	return next, nil
}

// batch walks one checked record batch.
func (r *recordReader) batch(batch []byte, base, from int64, emit func(*record) error) error {
	attributes := binary.BigEndian.Uint16(batch[batchAttributesAt:])
	producer := int64(binary.BigEndian.Uint64(batch[43:]))
	const transactional, control, logAppendTime = 1 << 4, 1 << 5, 1 << 3
	if attributes&control != 0 {
		// The end marker of a transaction: what this producer writes next
		// belongs to another one.
		delete(r.aborted, producer)
		return nil
	}
	if attributes&transactional != 0 && r.aborted[producer] {
		return nil
	}
	payload, err := r.decompress(attributes&7, batch[batchHeaderBytes:])
	if err != nil {
		return fmt.Errorf("%w: cannot decompress the batch at offset %d: %w", errCorrupt, base, err)
	}
	baseTime := int64(binary.BigEndian.Uint64(batch[27:]))
	maxTime := int64(binary.BigEndian.Uint64(batch[35:]))
	count := int(int32(binary.BigEndian.Uint32(batch[57:])))
	for i := range count {
		payload, err = r.parse(payload, base, baseTime)
		if err != nil {
			return err
		}
		if attributes&logAppendTime != 0 {
			r.rec.timestamp = maxTime
		}
		if r.rec.offset < from || r.rec.offset > r.until {
			continue
		}
		r.rec.final = i == count-1 || r.rec.offset == r.until
		if err := emit(&r.rec); err != nil {
			return err
		}
	}
	return nil
}

// parse reads one record off payload into r.rec.
func (r *recordReader) parse(payload []byte, base, baseTime int64) ([]byte, error) {
	c := cursor{b: payload}
	size := c.varint()
	if c.bad || size < 0 || size > int64(len(c.b)) {
		return nil, fmt.Errorf("%w: record length after offset %d", errCorrupt, r.rec.offset)
	}
	rest := c.b[size:]
	c.b = c.b[:size]
	c.skip(1) // attributes, unused
	r.rec.timestamp = baseTime + c.varint()
	r.rec.offset = base + c.varint()
	r.rec.key = c.bytes()
	r.rec.value = c.bytes()
	r.rec.headers = r.rec.headers[:0]
	for range c.varint() {
		if c.bad {
			break
		}
		key := c.bytes()
		r.rec.headers = append(r.rec.headers, schemas.Header{Key: string(key), Value: c.bytes()})
	}
	if c.bad {
		return nil, fmt.Errorf("%w: record at offset %d", errCorrupt, r.rec.offset)
	}
	return rest, nil
}

// cursor reads Kafka's zig-zag varints and length-prefixed bytes.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) skip(n int) {
	if n > len(c.b) {
		c.bad = true
		return
	}
	c.b = c.b[n:]
}

// bytes returns nil for a length of -1 (a null key or value).
func (c *cursor) bytes() []byte {
	n := c.varint()
	switch {
	case c.bad || n < 0:
		return nil
	case n > int64(len(c.b)):
		c.bad = true
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// maxBatchBytes bounds what a record batch may inflate to: Kafka's largest
// message here is 16 MiB compressed, and ordinary JSON shrinks up to 20 times.
const maxBatchBytes = 512 << 20

var errTooBig = fmt.Errorf("inflates to more than %d bytes", maxBatchBytes)

// decompress returns the records of a batch; codec numbers are Kafka's.
func (r *recordReader) decompress(codec uint16, b []byte) ([]byte, error) {
	switch codec {
	case 0:
		return b, nil
	case 1:
		if r.gzip == nil {
			r.gzip = new(gzip.Reader)
		}
		if err := r.gzip.Reset(bytes.NewReader(b)); err != nil {
			return nil, err
		}
		return r.readAll(r.gzip)
	case 2:
		return r.snappy(b)
	case 3:
		if r.lz4 == nil {
			r.lz4 = lz4.NewReader(nil)
		}
		r.lz4.Reset(bytes.NewReader(b))
		return r.readAll(r.lz4)
	case 4:
		if r.zstd == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBatchBytes))
			if err != nil {
				return nil, err
			}
			r.zstd = d
		}
		out, err := r.zstd.DecodeAll(b, r.scratch[:0])
		if err == nil {
			r.scratch = out
		}
		return out, err
	}
	return nil, fmt.Errorf("unknown codec %d", codec)
}

func (r *recordReader) readAll(src io.Reader) ([]byte, error) {
	out := r.scratch[:0]
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := src.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) {
			r.scratch = out
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(out) > maxBatchBytes {
			return nil, errTooBig
		}
	}
}

// xerialMagic opens the framing that Java producers put around snappy blocks.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

func (r *recordReader) snappy(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, xerialMagic) {
		n, err := s2.DecodedLen(b)
		if err != nil {
			return nil, err
		}
		if n > maxBatchBytes {
			return nil, errTooBig
		}
		out, err := s2.Decode(r.scratch[:cap(r.scratch)], b)
		if err == nil {
			r.scratch = out
		}
		return out, err
	}
	if len(b) < 16 {
		return nil, io.ErrUnexpectedEOF
	}
	out := r.scratch[:0]
	var block []byte
	for b = b[16:]; len(b) > 0; {
		if len(b) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-4 {
			return nil, io.ErrUnexpectedEOF
		}
		size, err := s2.DecodedLen(b[4 : 4+n])
		if err != nil {
			return nil, err
		}
		if len(out)+size > maxBatchBytes {
			return nil, errTooBig
		}
		if block, err = s2.Decode(block[:cap(block)], b[4:4+n]); err != nil {
			return nil, err
		}
		out = append(out, block...)
		b = b[4+n:]
	}
	r.scratch = out
	return out, nil
}

// recordCRC is the ledger's fingerprint of a record: CRC-32C over key, value
// and the timestamp in milliseconds as eight big-endian bytes.
func recordCRC(rec *record) uint32 {
	crc := crc32.Update(0, castagnoli, rec.key)
	crc = crc32.Update(crc, castagnoli, rec.value)
	return crc32.Update(crc, castagnoli, binary.BigEndian.AppendUint64(nil, uint64(rec.timestamp)))
}

// endOfLastBatch returns the offset after the last whole record batch of a
// record set, or from if there is none.
func endOfLastBatch(raw []byte, from int64) int64 {
	next := from
	for len(raw) >= batchHeaderBytes {
		size := int(binary.BigEndian.Uint32(raw[batchLengthAt:])) + batchOverhead
		if size < batchHeaderBytes || size > len(raw) {
			break
		}
		base := int64(binary.BigEndian.Uint64(raw))
		next = max(next, base+int64(int32(binary.BigEndian.Uint32(raw[23:])))+1)
		raw = raw[size:]
	}
	return next
}
