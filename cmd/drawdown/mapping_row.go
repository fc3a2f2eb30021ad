package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// rowMapper turns rows into events. The event it returns is valid until the
// next row.
type rowMapper struct {
	mapping    *mapping
	source     []byte
	shift      time.Duration
	attributes []string // names, sorted
	buffer     []byte
	event      schemas.Event
}

func newRowMapper(m *mapping, source string) *rowMapper {
	r := &rowMapper{mapping: m, source: []byte(source)}
	for name := range m.Attributes {
		r.attributes = append(r.attributes, name)
	}
	slices.Sort(r.attributes)
	return r
}

// fieldError says which field of a row is wrong, and why.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// event maps one row; row holds the values of mapping.columns. It checks times
// and amounts; the decoder checks the rest.
func (r *rowMapper) eventOf(row []string) (*schemas.Event, error) {
	r.buffer = r.buffer[:0]
	ev := &r.event
	*ev = schemas.Event{Type: schemas.CreditsConsumed, Source: r.source, Attributes: ev.Attributes[:0]}
	for _, name := range mappingFields {
		e, ok := r.mapping.Fields[name]
		if !ok {
			continue
		}
		value, err := r.value(e, row)
		if err == nil {
			err = r.set(ev, name, value)
		}
		if err != nil {
			return nil, &fieldError{field: name, err: err}
		}
	}
	for _, name := range r.attributes {
		value, err := r.value(r.mapping.Attributes[name], row)
		if err != nil {
			return nil, &fieldError{field: name, err: err}
		}
		if len(value) > 0 {
			ev.Attributes = append(ev.Attributes, schemas.Attribute{Key: []byte(name), Value: value})
		}
	}
	return ev, nil
}

// value evaluates e into a part of the buffer that later values do not move.
func (r *rowMapper) value(e expression, row []string) ([]byte, error) {
	start := len(r.buffer)
	buffer, err := e.apply(r.buffer, row)
	r.buffer = buffer
	return buffer[start:len(buffer):len(buffer)], err
}

func (r *rowMapper) set(ev *schemas.Event, name string, value []byte) error {
	switch name {
	case "id":
		ev.ID = value
	case "workspace_id":
		ev.WorkspaceID = value
	case "campaign_id":
		ev.CampaignID = value
	case "action":
		ev.Action = value
	case "actor":
		ev.Actor = value
	case "source":
		ev.Source = value
	case "credits":
		credits, err := schemas.ParseCredits(string(value))
		if err != nil {
			return err
		}
		ev.Credits = credits
	case "time":
		at, err := r.mapping.parseTime(string(value))
		if err != nil {
			return err
		}
		ev.Time = schemas.MillisOf(at.Add(r.shift))
	}
	return nil
}

func (m *mapping) parseTime(text string) (time.Time, error) {
	switch layout := m.TimeLayout; layout {
	case "", "rfc3339":
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return at, fmt.Errorf("%q is no RFC 3339 time such as 2026-11-22T09:00:07Z; correct it, or set time_layout in the mapping", text)
		}
		return at, nil
	case "unix", "unix_ms":
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is no whole number, which time_layout %s wants", text, layout)
		}
		if layout == "unix" {
			return time.Unix(number, 0), nil
		}
		return time.UnixMilli(number), nil
	default:
		at, err := time.ParseInLocation(layout, text, m.zone)
		if err != nil {
			return at, fmt.Errorf("%q is no time of the layout %q; correct it, or time_layout in the mapping", text, layout)
		}
		return at, nil
	}
}

// describe says where the value of a field came from: its columns and what
// they hold.
func (m *mapping) describe(field string, row []string) string {
	e, ok := m.Fields[field]
	if !ok {
		if e, ok = m.Attributes[field]; !ok {
			return "mapping has no " + field
		}
	}
	var values []string
	for _, column := range e.columns() {
		values = append(values, fmt.Sprintf("column %s is %.64q", column, row[slices.Index(m.columns, column)]))
	}
	if len(values) == 0 {
		return fmt.Sprintf("the mapping has %s = %.64q", field, e.text)
	}
	return strings.Join(values, ", ")
}
