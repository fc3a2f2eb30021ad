package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/pierrec/lz4/v4"

	"github.com/drawdown/drawdown/schemas"
)

// recordBatch is a Kafka record batch (message format 2, KIP-98) while it is
// filled. Records are encoded as they come, so that a batch is one allocation
// whatever it holds: kafka-go's encoder makes about ten per record.
type recordBatch struct {
	records []byte
	count   int
	first   int64         // sequence number of the first record
	opened  time.Time     // when the first record came, for the linger
	flushed chan struct{} // a marker without records: closed once all before it is acknowledged
}

// Layout of a record batch up to its records, from the Kafka protocol guide
// ("Record Batch"): baseOffset 8, batchLength 4, partitionLeaderEpoch 4,
// magic 1, crc 4, attributes 2, lastOffsetDelta 4, firstTimestamp 8,
// maxTimestamp 8, producerId 8, producerEpoch 2, baseSequence 4, count 4.
const (
	batchPrefixBytes  = 4
	batchHeaderBytes  = 61
	batchLengthAt     = 8
	batchAfterLength  = 12
	batchCRCAt        = 17
	batchAttributesAt = 21
	attributeLZ4      = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add appends one record. Its timestamp is that of the batch.
func (b *recordBatch) add(key, value []byte, headers []schemas.Header) {
	length := 1 + 1 + varintSize(int64(b.count)) +
		varintSize(int64(len(key))) + len(key) +
		varintSize(int64(len(value))) + len(value) +
		varintSize(int64(len(headers)))
	for _, h := range headers {
		length += varintSize(int64(len(h.Key))) + len(h.Key) + varintSize(int64(len(h.Value))) + len(h.Value)
	}
	r := binary.AppendVarint(b.records, int64(length))
	r = append(r, 0, 0) // attributes, timestamp delta
	r = binary.AppendVarint(r, int64(b.count))
	r = binary.AppendVarint(r, int64(len(key)))
	r = append(r, key...)
	r = binary.AppendVarint(r, int64(len(value)))
	r = append(r, value...)
	r = binary.AppendVarint(r, int64(len(headers)))
	for _, h := range headers {
		r = binary.AppendVarint(r, int64(len(h.Key)))
		r = append(r, h.Key...)
		r = binary.AppendVarint(r, int64(len(h.Value)))
		r = append(r, h.Value...)
	}
	b.records = r
	b.count++
}

// varintSize returns how many bytes binary.AppendVarint makes of n.
func varintSize(n int64) int {
	u := uint64(n<<1) ^ uint64(n>>63)
	size := 1
	for ; u >= 0x80; u >>= 7 {
		size++
	}
	return size
}

// batchEncoder compresses batches and frames them; one per lane.
type batchEncoder struct {
	out bytes.Buffer
	lz4 *lz4.Writer
}

func newBatchEncoder() (*batchEncoder, error) {
	e := &batchEncoder{}
	e.lz4 = lz4.NewWriter(&e.out)
	// Blocks of 256 KiB: two make one batch, and a lane needs half a megabyte
	// instead of the 8 MB of the default block size.
	if err := e.lz4.Apply(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ConcurrencyOption(1)); err != nil {
		return nil, fmt.Errorf("cannot set up lz4: %w", err)
	}
	return e, nil
}

// encode returns the compressed batch behind its size in four bytes, as a
// produce request carries it; valid until the next call. Its timestamp is set
// by stamp, at each attempt to send it.
func (e *batchEncoder) encode(b *recordBatch) ([]byte, error) {
	var header [batchPrefixBytes + batchHeaderBytes]byte
	e.out.Reset()
	e.out.Write(header[:])
	e.lz4.Reset(&e.out)
	if _, err := e.lz4.Write(b.records); err != nil {
		return nil, fmt.Errorf("cannot compress %d records: %w", b.count, err)
	}
	if err := e.lz4.Close(); err != nil {
		return nil, fmt.Errorf("cannot compress %d records: %w", b.count, err)
	}
	framed := e.out.Bytes()
	batch := framed[batchPrefixBytes:]
	binary.BigEndian.PutUint32(framed, uint32(len(batch)))
	binary.BigEndian.PutUint32(batch[batchLengthAt:], uint32(len(batch)-batchAfterLength))
	binary.BigEndian.PutUint32(batch[12:], ^uint32(0)) // partitionLeaderEpoch: the broker sets it
	batch[16] = 2                                      // magic
	binary.BigEndian.PutUint16(batch[batchAttributesAt:], attributeLZ4)
	binary.BigEndian.PutUint32(batch[23:], uint32(b.count-1))
	// No producer id: repeats are told by the ids of the events, for which it
	// does not matter who sends them again.
	binary.BigEndian.PutUint64(batch[43:], ^uint64(0))
	binary.BigEndian.PutUint16(batch[51:], ^uint16(0))
	binary.BigEndian.PutUint32(batch[53:], ^uint32(0))
	binary.BigEndian.PutUint32(batch[57:], uint32(b.count))
	return framed, nil
}

// stamp gives every record of what encode returned its Kafka timestamp.
func stamp(framed []byte, at time.Time) {
	batch := framed[batchPrefixBytes:]
	binary.BigEndian.PutUint64(batch[27:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(batch[35:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint32(batch[batchCRCAt:], crc32.Checksum(batch[batchAttributesAt:], castagnoli))
}
