package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// testMapping returns a mapping with these fields over the required ones.
func testMapping(t *testing.T, extra string) *mapping {
	t.Helper()
	m, err := parseMapping([]byte(`{"fields": {"id": "{id}", "time": "{time}", "workspace_id": "{ws}", "credits": "{n}"}` + extra + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTemplates(t *testing.T) {
	for _, test := range []struct{ template, column, want string }{
		{"{c}", "x y", "x y"},
		{"a-{c}-b", "x", "a-x-b"},
		{"{c|slug}", "United Kingdom", "united-kingdom"},
		{"{c|slug}", "Köln / Bonn (NRW)", "k-ln-bonn-nrw-"},
		{"{c|upper}", "abc", "ABC"},
		{"{c | trim | lower}", "  ABC ", "abc"},
		{"{c|default:none}", "", "none"},
		{"{c|default:none}", "x", "x"},
		{"{c|digits}", "1,234.50", "1234.50"},
		{"{c|negate}", "12", "-12"},
		{"{c|negate}", "-12", "12"},
		{"{c|first:2}", "äöü", "äö"},
		{"{{{c}}}", "x", "{x}"},
		{"", "x", ""},
		{"{c}{c}", "x", "xx"},
	} {
		parts, err := parseTemplate(test.template)
		if err != nil {
			t.Errorf("%q: %v", test.template, err)
			continue
		}
		got, err := expression{parts: parts}.apply(nil, []string{test.column})
		if err != nil || string(got) != test.want {
			t.Errorf("%q of %q is %q, %v; want %q", test.template, test.column, got, err, test.want)
		}
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for template, part := range map[string]string{
		"{c":           "without a }",
		"c}":           "without a {",
		"{}":           "names no column",
		"{c|shout}":    `filter "shout" is not known`,
		"{c|default}":  "is not known",
		"{c|slug:x}":   "is not known",
		"{c|first:no}": "number of characters",
	} {
		if _, err := parseTemplate(template); err == nil {
			t.Errorf("%q is accepted", template)
		} else {
			mustContain(t, err.Error(), part)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"{c}", "{{x}}", "{c|slug}", "a{c|default:b}c", "{", "}", "{c|first:3}"} {
		f.Add(seed, "Value 1")
	}
	f.Fuzz(func(t *testing.T, template, column string) {
		parts, err := parseTemplate(template)
		if err != nil {
			return
		}
		if !strings.ContainsAny(template, "{}") {
			got, err := expression{parts: parts}.apply(nil, nil)
			if err != nil || string(got) != template {
				t.Errorf("plain text %q became %q, %v", template, got, err)
			}
			return
		}
		if _, err := (expression{parts: parts}).apply(nil, []string{column}); err != nil {
			t.Errorf("%q of %q: %v", template, column, err)
		}
	})
}

func TestChoices(t *testing.T) {
	choose := `, "attributes": {"a": {"when": {"column": "c", %s}, "then": "yes", "else": "no"}}`
	for _, test := range []struct{ when, column, want string }{
		{`"lt": 0`, "-1", "yes"}, {`"lt": 0`, "0", "no"}, {`"le": 0`, "0", "yes"}, {`"gt": 1.5`, " 1.6 ", "yes"}, {`"ge": 2`, "1", "no"},
		{`"eq": "x"`, "x", "yes"}, {`"eq": "x"`, "X", "no"}, {`"ne": "x"`, "y", "yes"}, {`"empty": true`, "", "yes"}, {`"empty": false`, "", "no"},
	} {
		m := testMapping(t, fmt.Sprintf(choose, test.when))
		row := []string{"1", "2026-11-22T00:00:00Z", "ws", "1", test.column}
		ev, err := newRowMapper(m, "/import").eventOf(row)
		if err != nil || string(ev.Attributes[0].Value) != test.want {
			t.Errorf("%s of %q: %v, %v; want %s", test.when, test.column, ev, err, test.want)
		}
	}
	m := testMapping(t, fmt.Sprintf(choose, `"lt": 0`))
	_, err := newRowMapper(m, "/import").eventOf([]string{"1", "2026-11-22T00:00:00Z", "ws", "1", "many"})
	if err == nil {
		t.Fatal("a text is compared with a number")
	}
	mustContain(t, err.Error(), "column c", `"many" is not a number`)
}

func TestMappingsThatAreRefused(t *testing.T) {
	fields := `"fields": {"id": "{i}", "time": "{t}", "workspace_id": "{w}", "credits": "{c}"}`
	for text, part := range map[string]string{
		``:                                      "not a mapping",
		`{` + fields + `} x`:                    "something follows",
		`{"columns": 1}`:                        "unknown field",
		`{"fields": {"id": "{i}"}}`:             "time is missing",
		`{"fields": {"ident": "{i}"}}`:          `"ident" is no field`,
		`{"format": "xml", ` + fields + `}`:     "neither csv nor ndjson",
		`{"time_zone": "Mars", ` + fields + `}`: "time_zone",
		`{"delimiter": ";;", ` + fields + `}`:   "more than one character",
		`{"fields": {"id": {"when": {"column": "c"}, "then": "", "else": ""}}}`:                           "one of empty, eq",
		`{"fields": {"id": {"when": {"column": "c", "lt": 1, "gt": 2}, "then": "", "else": ""}}}`:         "one of empty, eq",
		`{"fields": {"id": {"when": {"column": "c", "lt": 1}, "then": "", "else": "", "otherwise": ""}}}`: "unknown field",
		`{"fields": {"id": 5}}`: "want a template",
	} {
		if _, err := parseMapping([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		} else {
			mustContain(t, err.Error(), part)
		}
	}
}

func TestTimesOfAMapping(t *testing.T) {
	want := time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct{ settings, text string }{
		{``, "2026-07-01T12:00:00+02:00"},
		{`, "time_layout": "rfc3339"`, "2026-07-01T10:00:00.000Z"},
		{`, "time_layout": "2006-01-02 15:04"`, "2026-07-01 10:00"},
		{`, "time_layout": "02.01.2006 15:04", "time_zone": "Europe/Berlin"`, "01.07.2026 12:00"},
		{`, "time_layout": "unix"`, fmt.Sprint(want.Unix())},
		{`, "time_layout": "unix_ms"`, fmt.Sprint(want.UnixMilli())},
	} {
		m := testMapping(t, test.settings)
		got, err := m.parseTime(test.text)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s of %q is %v, %v; want %v", test.settings, test.text, got, err, want)
		}
		if _, err := m.parseTime("yesterday"); err == nil {
			t.Errorf("%s: yesterday is accepted", test.settings)
		}
	}
}

// Attributes and fields are parts of one buffer; a row that makes it grow must
// not damage what was taken from it.
func TestRowMapperKeepsValuesWhileItsBufferGrows(t *testing.T) {
	m := testMapping(t, `, "attributes": {"a": "{a}", "b": "{b}"}`)
	long := strings.Repeat("x", 10_000)
	ev, err := newRowMapper(m, "/import").eventOf([]string{"id-1", "2026-11-22T00:00:00Z", "ws", "1.5", long, "short"})
	if err != nil {
		t.Fatal(err)
	}
	if string(ev.ID) != "id-1" || string(ev.WorkspaceID) != "ws" || ev.Credits != 3*schemas.MicrosPerCredit/2 ||
		string(ev.Attributes[0].Value) != long || string(ev.Attributes[1].Value) != "short" {
		t.Errorf("the row became %+v", ev)
	}
}
