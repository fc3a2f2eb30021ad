package consumers

import (
	"encoding/binary"
	"math"

	"github.com/ClickHouse/ch-go/proto"
)

// column is a ch-go input column that can also take a row from another column
// of its type, which is how a repair selects the rows that are missing.
type column interface {
	proto.ColInput
	copyRow(from column, row int)
	Reset()
}

// stringColumn is a String column kept in wire form, so that sending it is one
// copy and a row costs four bytes beyond its own.
type stringColumn struct {
	wire []byte   // for each row its length as varint, then its bytes
	ends []uint32 // end of each row in wire; a batch stays far below 4 GiB
}

func (c *stringColumn) append(v []byte) {
	c.wire = binary.AppendUvarint(c.wire, uint64(len(v)))
	c.wire = append(c.wire, v...)
	c.ends = append(c.ends, uint32(len(c.wire)))
}

func (c *stringColumn) row(i int) []byte {
	raw := c.rawRow(i)
	_, n := binary.Uvarint(raw)
	return raw[n:]
}

func (c *stringColumn) rawRow(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.wire[start:c.ends[i]]
}

func (c *stringColumn) Type() proto.ColumnType       { return proto.ColumnTypeString }
func (c *stringColumn) Rows() int                    { return len(c.ends) }
func (c *stringColumn) Reset()                       { c.wire, c.ends = c.wire[:0], c.ends[:0] }
func (c *stringColumn) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.wire) }
func (c *stringColumn) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.wire) }
func (c *stringColumn) copyRow(from column, row int) {
	c.wire = append(c.wire, from.(*stringColumn).rawRow(row)...)
	c.ends = append(c.ends, uint32(len(c.wire)))
}

// dictColumn is a LowCardinality(String) column that builds its dictionary
// while it is filled.
type dictColumn struct {
	size  *int // counts what the dictionary takes; nil: nobody asks
	index map[string]uint32
	words stringColumn
	keys  []uint32
	out   proto.ColLowCardinalityRaw
}

// wordOverhead is what a word of a dictionary takes beside its text, which
// stands in the index and in the column: a place of a map that may have just
// doubled.
const wordOverhead = 96

func (c *dictColumn) append(v []byte) {
	key, ok := c.index[string(v)]
	if !ok {
		if c.index == nil {
			c.index = make(map[string]uint32)
		}
		key = uint32(len(c.index))
		c.index[string(v)] = key
		c.words.append(v)
		if c.size != nil {
			*c.size += 2*len(v) + wordOverhead
		}
	}
	c.keys = append(c.keys, key)
}

func (c *dictColumn) row(i int) []byte { return c.words.row(int(c.keys[i])) }

func (c *dictColumn) Type() proto.ColumnType {
	return proto.ColumnTypeLowCardinality.Sub(proto.ColumnTypeString)
}
func (c *dictColumn) Rows() int { return len(c.keys) }
func (c *dictColumn) Reset() {
	clear(c.index)
	c.words.Reset()
	c.keys = c.keys[:0]
}
func (c *dictColumn) copyRow(from column, row int) { c.append(from.(*dictColumn).row(row)) }

// raw turns the keys into the narrowest of ch-go's widths.
func (c *dictColumn) raw() *proto.ColLowCardinalityRaw {
	words := &proto.ColStr{}
	for i := range c.words.Rows() {
		words.AppendBytes(c.words.row(i))
	}
	c.out.Index = words
	switch {
	case len(c.index) <= math.MaxUint8:
		c.out.Key, c.out.Keys8 = proto.KeyUInt8, c.out.Keys8[:0]
	case len(c.index) <= math.MaxUint16:
		c.out.Key, c.out.Keys16 = proto.KeyUInt16, c.out.Keys16[:0]
	default:
		c.out.Key, c.out.Keys32 = proto.KeyUInt32, c.out.Keys32[:0]
	}
	for _, key := range c.keys {
		c.out.AppendKey(int(key))
	}
	return &c.out
}

// EncodeState writes the serialization version that precedes the column.
func (c *dictColumn) EncodeState(b *proto.Buffer) { c.raw().EncodeState(b) }

func (c *dictColumn) EncodeColumn(b *proto.Buffer) { c.raw().EncodeColumn(b) }
func (c *dictColumn) WriteColumn(w *proto.Writer) {
	raw := c.raw()
	w.ChainBuffer(raw.EncodeColumn)
}

// The fixed-width columns are ch-go's own with the two methods added.

type int64Column struct{ proto.ColInt64 }

func (c *int64Column) copyRow(from column, row int) { c.Append(from.(*int64Column).ColInt64[row]) }

type int128Column struct{ proto.ColInt128 }

func (c *int128Column) copyRow(from column, row int) { c.Append(from.(*int128Column).ColInt128[row]) }

type uint64Column struct{ proto.ColUInt64 }

func (c *uint64Column) copyRow(from column, row int) { c.Append(from.(*uint64Column).ColUInt64[row]) }

type uint32Column struct{ proto.ColUInt32 }

func (c *uint32Column) copyRow(from column, row int) { c.Append(from.(*uint32Column).ColUInt32[row]) }

type uint16Column struct{ proto.ColUInt16 }

func (c *uint16Column) copyRow(from column, row int) { c.Append(from.(*uint16Column).ColUInt16[row]) }

type uint8Column struct{ proto.ColUInt8 }

func (c *uint8Column) copyRow(from column, row int) { c.Append(from.(*uint8Column).ColUInt8[row]) }

// timeColumn is DateTime64(3, 'UTC') in milliseconds.
type timeColumn struct{ proto.ColInt64 }

func (c *timeColumn) Type() proto.ColumnType { return "DateTime64(3, 'UTC')" }
func (c *timeColumn) copyRow(from column, row int) {
	c.Append(from.(*timeColumn).ColInt64[row])
}

// optional wraps a fixed column as Nullable.
type optional[T column] struct {
	nulls  proto.ColUInt8
	values T
}

func (c *optional[T]) Type() proto.ColumnType { return proto.ColumnTypeNullable.Sub(c.values.Type()) }
func (c *optional[T]) Rows() int              { return c.nulls.Rows() }
func (c *optional[T]) Reset()                 { c.nulls.Reset(); c.values.Reset() }
func (c *optional[T]) EncodeColumn(b *proto.Buffer) {
	c.nulls.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
func (c *optional[T]) WriteColumn(w *proto.Writer) {
	c.nulls.WriteColumn(w)
	c.values.WriteColumn(w)
}
func (c *optional[T]) copyRow(from column, row int) {
	other := from.(*optional[T])
	c.nulls.Append(other.nulls[row])
	c.values.copyRow(other.values, row)
}

// mapColumn is Map(String, String).
type mapColumn struct {
	ends   proto.ColUInt64
	keys   stringColumn
	values stringColumn
}

func (c *mapColumn) Type() proto.ColumnType {
	return proto.ColumnTypeMap.Sub(proto.ColumnTypeString, proto.ColumnTypeString)
}
func (c *mapColumn) Rows() int { return c.ends.Rows() }
func (c *mapColumn) Reset()    { c.ends.Reset(); c.keys.Reset(); c.values.Reset() }

// endRow closes a row after its entries were appended to keys and values.
func (c *mapColumn) endRow() { c.ends.Append(uint64(c.keys.Rows())) }
func (c *mapColumn) EncodeColumn(b *proto.Buffer) {
	c.ends.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}
func (c *mapColumn) WriteColumn(w *proto.Writer) {
	c.ends.WriteColumn(w)
	c.keys.WriteColumn(w)
	c.values.WriteColumn(w)
}
func (c *mapColumn) copyRow(from column, row int) {
	other := from.(*mapColumn)
	start := 0
	if row > 0 {
		start = int(other.ends[row-1])
	}
	for i := start; i < int(other.ends[row]); i++ {
		c.keys.copyRow(&other.keys, i)
		c.values.copyRow(&other.values, i)
	}
	c.endRow()
}

// pairsColumn is Array(Tuple(String, String)), whose wire form is a Map's.
type pairsColumn struct{ mapColumn }

func (c *pairsColumn) Type() proto.ColumnType { return "Array(Tuple(String, String))" }
func (c *pairsColumn) copyRow(from column, row int) {
	c.mapColumn.copyRow(&from.(*pairsColumn).mapColumn, row)
}
