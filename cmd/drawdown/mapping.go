package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// mapping says how the rows of a file become consumption events. It is a JSON
// file; docs/mappings/README.md describes it.
type mapping struct {
	Description string `json:"description"`
	// Format is csv or ndjson; empty: by the name of the file.
	Format    string `json:"format"`
	Delimiter string `json:"delimiter"` // of csv; empty: a comma
	// TimeLayout is rfc3339 (the default), unix, unix_ms, or a layout as
	// Go's time package has it, such as 2006-01-02 15:04:05.
	TimeLayout string `json:"time_layout"`
	// TimeZone is that of times without one; empty: UTC.
	TimeZone   string                `json:"time_zone"`
	Fields     map[string]expression `json:"fields"`
	Attributes map[string]expression `json:"attributes"`

	zone    *time.Location
	columns []string // the columns that the expressions read
}

// The fields that a mapping may and must fill.
var (
	mappingFields   = []string{"id", "time", "workspace_id", "campaign_id", "credits", "action", "actor", "source"}
	mappingRequired = []string{"id", "time", "workspace_id", "credits"}
)

// readMapping reads and checks a mapping file.
func readMapping(path string) (*mapping, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mapping: %w", err)
	}
	m, err := parseMapping(text)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return m, nil
}

func parseMapping(text []byte) (*mapping, error) {
	m := &mapping{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("not a mapping: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not a mapping: something follows the JSON object")
	}
	switch {
	case m.Format != "" && m.Format != "csv" && m.Format != "ndjson":
		return nil, fmt.Errorf("format: %q is neither csv nor ndjson", m.Format)
	case len([]rune(m.Delimiter)) > 1:
		return nil, fmt.Errorf("delimiter: %q is more than one character", m.Delimiter)
	}
	var err error
	if m.zone, err = schemas.LoadZone(m.TimeZone); err != nil {
		return nil, fmt.Errorf("time_zone: %w", err)
	}
	for name := range m.Fields {
		if !slices.Contains(mappingFields, name) {
			return nil, fmt.Errorf("fields: %q is no field of an event; fields are %s", name, strings.Join(mappingFields, ", "))
		}
	}
	for _, name := range mappingRequired {
		if _, ok := m.Fields[name]; !ok {
			return nil, fmt.Errorf("fields: %s is missing; every event needs %s", name, strings.Join(mappingRequired, ", "))
		}
	}
	m.bind()
	return m, nil
}

// bind numbers the columns, so that a row is a slice and no map.
func (m *mapping) bind() {
	slots := map[string]int{}
	slot := func(column string) int {
		at, known := slots[column]
		if !known {
			at = len(m.columns)
			slots[column] = at
			m.columns = append(m.columns, column)
		}
		return at
	}
	for _, name := range mappingFields {
		if e, ok := m.Fields[name]; ok {
			m.Fields[name] = e.bind(slot)
		}
	}
	// In order, so that the same mapping has its columns in the same places.
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		m.Attributes[name] = m.Attributes[name].bind(slot)
	}
}

// expression is a template, or a choice between two expressions.
type expression struct {
	parts  []templatePart
	choice *choice
	text   string // as written, for messages
}

type choice struct {
	When condition  `json:"when"`
	Then expression `json:"then"`
	Else expression `json:"else"`
}

// condition compares a column; exactly one comparison is set. lt, le, gt and ge
// compare numbers, eq and ne texts.
type condition struct {
	Column string       `json:"column"`
	Empty  *bool        `json:"empty,omitempty"`
	Equal  *string      `json:"eq,omitempty"`
	Not    *string      `json:"ne,omitempty"`
	Less   *json.Number `json:"lt,omitempty"`
	AtMost *json.Number `json:"le,omitempty"`
	More   *json.Number `json:"gt,omitempty"`
	AtLow  *json.Number `json:"ge,omitempty"`

	slot int
}

// UnmarshalJSON reads "a template" or {"when": ..., "then": ..., "else": ...}.
func (e *expression) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		parts, err := parseTemplate(text)
		if err != nil {
			return err
		}
		*e = expression{parts: parts, text: text}
		return nil
	}
	c := &choice{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return fmt.Errorf("want a template, or an object with when, then and else: %w", err)
	}
	if err := c.When.check(); err != nil {
		return err
	}
	*e = expression{choice: c, text: string(raw)}
	return nil
}

func (c condition) check() error {
	set := 0
	for _, is := range []bool{c.Empty != nil, c.Equal != nil, c.Not != nil, c.Less != nil, c.AtMost != nil, c.More != nil, c.AtLow != nil} {
		if is {
			set++
		}
	}
	if c.Column == "" || set != 1 {
		return errors.New("when: want a column and one of empty, eq, ne, lt, le, gt, ge")
	}
	return nil
}

func (e expression) bind(slot func(string) int) expression {
	for i := range e.parts {
		if e.parts[i].column != "" {
			e.parts[i].slot = slot(e.parts[i].column)
		}
	}
	if e.choice != nil {
		e.choice.When.slot = slot(e.choice.When.Column)
		e.choice.Then = e.choice.Then.bind(slot)
		e.choice.Else = e.choice.Else.bind(slot)
	}
	return e
}

// columns returns the columns that the expression reads, for messages.
func (e expression) columns() []string {
	var names []string
	for _, part := range e.parts {
		if part.column != "" {
			names = append(names, part.column)
		}
	}
	if e.choice != nil {
		names = append(names, e.choice.When.Column)
		names = append(names, e.choice.Then.columns()...)
		names = append(names, e.choice.Else.columns()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// apply appends the value of the expression in a row.
func (e expression) apply(dst []byte, row []string) ([]byte, error) {
	if e.choice != nil {
		holds, err := e.choice.When.holds(row)
		if err != nil {
			return dst, err
		}
		if holds {
			return e.choice.Then.apply(dst, row)
		}
		return e.choice.Else.apply(dst, row)
	}
	for i := range e.parts {
		part := &e.parts[i]
		if part.column == "" {
			dst = append(dst, part.literal...)
			continue
		}
		value := row[part.slot]
		for _, f := range part.filters {
			value = f(value)
		}
		dst = append(dst, value...)
	}
	return dst, nil
}

func (c condition) holds(row []string) (bool, error) {
	value := row[c.slot]
	switch {
	case c.Empty != nil:
		return (value == "") == *c.Empty, nil
	case c.Equal != nil:
		return value == *c.Equal, nil
	case c.Not != nil:
		return value != *c.Not, nil
	}
	number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil {
		return false, fmt.Errorf("column %s: %q is not a number, which the condition on it needs", c.Column, value)
	}
	compare := func(limit *json.Number, ok func(a, b float64) bool) (bool, error) {
		b, err := limit.Float64()
		if err != nil {
			return false, fmt.Errorf("condition on column %s: %q is not a number", c.Column, limit.String())
		}
		return ok(number, b), nil
	}
	switch {
	case c.Less != nil:
		return compare(c.Less, func(a, b float64) bool { return a < b })
	case c.AtMost != nil:
		return compare(c.AtMost, func(a, b float64) bool { return a <= b })
	case c.More != nil:
		return compare(c.More, func(a, b float64) bool { return a > b })
	}
	return compare(c.AtLow, func(a, b float64) bool { return a >= b })
}

// templatePart is a literal, or a column with filters.
type templatePart struct {
	literal string
	column  string
	slot    int
	filters []func(string) string
}

// parseTemplate reads text with {column} and {column|filter|filter:argument};
// {{ and }} stand for braces.
func parseTemplate(text string) ([]templatePart, error) {
	var (
		parts   []templatePart
		literal strings.Builder
	)
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, templatePart{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			literal.WriteByte(text[i])
			i++
		case text[i] == '}':
			return nil, fmt.Errorf("template %q: a } without a {; write }} for a brace", text)
		case text[i] == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("template %q: a { without a }; write {{ for a brace", text)
			}
			part, err := parsePart(text[i+1 : i+end])
			if err != nil {
				return nil, fmt.Errorf("template %q: %w", text, err)
			}
			flush()
			parts = append(parts, part)
			i += end
		default:
			literal.WriteByte(text[i])
		}
	}
	flush()
	return parts, nil
}

func parsePart(text string) (templatePart, error) {
	pieces := strings.Split(text, "|")
	part := templatePart{column: strings.TrimSpace(pieces[0])}
	if part.column == "" {
		return part, errors.New("{} names no column")
	}
	for _, piece := range pieces[1:] {
		name, argument, has := strings.Cut(strings.TrimSpace(piece), ":")
		filter, err := filterOf(name, argument, has)
		if err != nil {
			return part, err
		}
		part.filters = append(part.filters, filter)
	}
	return part, nil
}

// filterOf returns a filter by name.
func filterOf(name, argument string, hasArgument bool) (func(string) string, error) {
	plain := map[string]func(string) string{
		"slug": slug, "lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace,
		"negate": negate,
		// For numbers such as 1,234.50.
		"digits": func(s string) string { return strings.NewReplacer(",", "", " ", "", "_", "").Replace(s) },
	}
	if f, ok := plain[name]; ok && !hasArgument {
		return f, nil
	}
	switch {
	case name == "default" && hasArgument:
		return func(s string) string {
			if s == "" {
				return argument
			}
			return s
		}, nil
	case name == "first" && hasArgument:
		count, err := strconv.Atoi(argument)
		if err != nil || count < 1 {
			return nil, fmt.Errorf("filter first:%s: want a number of characters", argument)
		}
		return func(s string) string {
			runes := []rune(s)
			return string(runes[:min(count, len(runes))])
		}, nil
	}
	return nil, fmt.Errorf("filter %q is not known; filters are slug, lower, upper, trim, digits, negate, default:TEXT, first:COUNT", name)
}

// slug returns text in lower case with every run of characters other than
// a-z and 0-9 replaced by one hyphen.
func slug(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
			gap = false
			continue
		}
		if !gap {
			b.WriteByte('-')
			gap = true
		}
	}
	return b.String()
}

// negate turns the sign of a number, for files that count what is left.
func negate(text string) string {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return rest
	}
	return "-" + text
}
