package rollup

import (
	"strconv"
	"strings"

	"github.com/drawdown/drawdown/schemas"
)

// Parameters are the server-side parameters of a statement in ClickHouse's
// Escaped text, which the driver sends as they are.
type Parameters map[string]string

// String is a String.
func (p Parameters) String(name, value string) { p[name] = textEscaper.Replace(value) }

// Integer is a number, of whatever width.
func (p Parameters) Integer(name string, value int64) { p[name] = strconv.FormatInt(value, 10) }

// Integers is an Array of numbers.
func (p Parameters) Integers(name string, values []schemas.Millis) {
	text := make([]byte, 0, 16*len(values)+2)
	text = append(text, '[')
	for i, v := range values {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(v), 10)
	}
	p[name] = string(append(text, ']'))
}

// Strings is an Array(String), whose elements are quoted literals.
func (p Parameters) Strings(name string, values []string) {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + quoteEscaper.Replace(v) + "'"
	}
	p[name] = "[" + strings.Join(quoted, ",") + "]"
}

// textEscaper is ClickHouse's Escaped text; a raw tab or line feed would end
// the value.
var textEscaper = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// quoteEscaper is the inside of a quoted literal.
var quoteEscaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
