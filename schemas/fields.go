package schemas

import (
	"bytes"
	"fmt"
	"time"
	_ "time/tzdata" // so that a zone loads on a machine without zoneinfo
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The limits of DESIGN section 3, in bytes and micro-credits. They are part of
// the decoder's version.
const (
	maxIDBytes        = 128
	maxSourceBytes    = 256
	maxActionBytes    = 64
	maxActorBytes     = 128
	maxNoteBytes      = 4 << 10
	maxNameBytes      = 1 << 10
	maxZoneBytes      = 64
	maxAttributes     = 32
	maxAttributeBytes = 4 << 10
	maxPriority       = 1000
	DefaultPriority   = 100

	maxConsumption   Credits = 1e6 * MicrosPerCredit
	MaxLedgerCredits Credits = 1e12 * MicrosPerCredit
)

const (
	wantInstant = "an RFC 3339 date-time with a zone from 2000 up to 2100, such as 2026-11-22T09:00:07.123Z"
	wantName    = "1 to 128 characters of A-Z a-z 0-9 . _ : -"
)

// field is the rule for one member of an event's data.
type field struct {
	name     string
	required bool
	want     string // what a valid one is, for people
	read     func(d *Decoder, v value, ev *Event) bool
}

// maxFields is the longest list of fields.
const maxFields = 9

func fieldsOf(t EventType) []field {
	switch t {
	case CreditsConsumed:
		return consumedFields
	case CreditsGranted:
		return grantedFields
	case CreditsAdjusted:
		return adjustedFields
	case GrantVoided:
		return voidedFields
	case CampaignUpdated:
		return campaignFields
	case WorkspaceUpdated:
		return workspaceFields
	}
	return nil
}

var workspaceField = field{"workspace_id", true, wantName, func(d *Decoder, v value, ev *Event) (ok bool) {
	ev.WorkspaceID, ok = d.name(v)
	return ok
}}

var actorField = field{"actor", false, "a string of at most 128 bytes", func(d *Decoder, v value, ev *Event) (ok bool) {
	ev.Actor, ok = d.upTo(v, maxActorBytes)
	return ok
}}

var reasonField = field{"reason", false, "a string of at most 4096 bytes", readNote}

var consumedFields = []field{
	workspaceField,
	{"credits", true, "a number or decimal string of at most 1000000 in absolute value, exact at 6 decimals", func(d *Decoder, v value, ev *Event) bool {
		return d.amount(v, &ev.Credits, -maxConsumption, maxConsumption)
	}},
	{"campaign_id", false, wantName + ", or empty", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.CampaignID, ok = d.nameOrEmpty(v)
		return ok
	}},
	{"action", false, "a string of at most 64 bytes", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.Action, ok = d.upTo(v, maxActionBytes)
		return ok
	}},
	actorField,
	{"attributes", false, "an object of at most 32 strings, 4096 bytes with their keys", readAttributes},
}

var grantedFields = []field{
	workspaceField,
	{"grant_id", true, wantName, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.GrantID, ok = d.name(v)
		return ok
	}},
	{"credits", true, "a number or decimal string above 0 and at most 10^12, exact at 6 decimals", func(d *Decoder, v value, ev *Event) bool {
		return d.amount(v, &ev.Credits, 1, MaxLedgerCredits)
	}},
	{"class", true, `"paid" or "promo"`, readClass},
	{"effective_at", true, wantInstant, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.EffectiveAt, ok = d.instant(v)
		return ok
	}},
	{"expires_at", false, wantInstant, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.ExpiresAt, ok = d.instant(v)
		return ok
	}},
	{"priority", false, "a whole number from 0 to 1000", readPriority},
	{"note", false, "a string of at most 4096 bytes", readNote},
	actorField,
}

var adjustedFields = []field{
	workspaceField,
	{"credits", true, "a number or decimal string of at most 10^12 in absolute value, exact at 6 decimals", func(d *Decoder, v value, ev *Event) bool {
		return d.amount(v, &ev.Credits, -MaxLedgerCredits, MaxLedgerCredits)
	}},
	{"grant_id", false, wantName + ", or empty", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.GrantID, ok = d.nameOrEmpty(v)
		return ok
	}},
	reasonField,
	actorField,
}

var voidedFields = []field{
	workspaceField,
	{"grant_id", true, wantName, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.GrantID, ok = d.name(v)
		return ok
	}},
	reasonField,
	actorField,
}

var campaignFields = []field{
	workspaceField,
	{"campaign_id", true, wantName, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.CampaignID, ok = d.name(v)
		return ok
	}},
	{"name", true, "a string of at most 1024 bytes", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.Name, ok = d.upTo(v, maxNameBytes)
		return ok
	}},
	{"status", true, "ACTIVE, PAUSED, COMPLETED or DRAFT", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.Status, ok = d.oneOf(v, "ACTIVE", "PAUSED", "COMPLETED", "DRAFT")
		return ok
	}},
	{"quota", false, "a number or decimal string from 0 to 10^12, exact at 6 decimals", func(d *Decoder, v value, ev *Event) bool {
		ev.HasQuota = true
		return d.amount(v, &ev.Quota, 0, MaxLedgerCredits)
	}},
	{"starts_at", false, wantInstant, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.StartsAt, ok = d.instant(v)
		return ok
	}},
	{"ends_at", false, wantInstant, func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.EndsAt, ok = d.instant(v)
		return ok
	}},
}

var workspaceFields = []field{
	workspaceField,
	{"name", false, "a string of at most 1024 bytes", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.Name, ok = d.upTo(v, maxNameBytes)
		return ok
	}},
	{"time_zone", false, "an IANA time zone such as Europe/Berlin", readZone},
	{"week_start", false, "a weekday from monday to sunday in lower case, or empty", func(d *Decoder, v value, ev *Event) (ok bool) {
		ev.WeekStart, ok = d.oneOf(v, "", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
		return ok
	}},
}

// setDefaults gives ev what optional fields are when they are absent.
func setDefaults(ev *Event) {
	switch ev.Type {
	case CreditsGranted:
		ev.Priority = DefaultPriority
		ev.ExpiresAt = NoInstant
	case CampaignUpdated:
		ev.StartsAt, ev.EndsAt = NoInstant, NoInstant
	}
}

// finish truncates ledger instants to the whole minute, so that balances need
// nothing finer than the finest rollup, and applies the rules that span
// several fields.
func (d *Decoder) finish(ev *Event) *Rejection {
	if ev.Type.Topic() != LedgerTopic {
		return nil
	}
	ev.Time -= ev.Time % minute
	if ev.Type != CreditsGranted {
		return nil
	}
	ev.EffectiveAt -= ev.EffectiveAt % minute
	if ev.ExpiresAt == NoInstant {
		return nil
	}
	ev.ExpiresAt -= ev.ExpiresAt % minute
	if ev.ExpiresAt <= ev.EffectiveAt {
		return reject(InvalidField, "data.expires_at: %s is not later than effective_at %s, both in whole minutes; a grant lasts at least a minute", ev.ExpiresAt, ev.EffectiveAt)
	}
	return nil
}

// string returns the text of a string, without its escapes.
func (d *Decoder) string(v value) ([]byte, bool) {
	switch {
	case v.header:
		return v.raw, true
	case len(v.raw) < 2 || v.raw[0] != '"':
		return nil, false
	case bytes.IndexByte(v.raw, '\\') < 0:
		return v.raw[1 : len(v.raw)-1], true
	}
	start := len(d.text)
	text, err := jsontext.AppendUnquote(d.text, v.raw)
	if err != nil {
		return nil, false
	}
	d.text = text
	return text[start:len(text):len(text)], true
}

func (d *Decoder) upTo(v value, limit int) ([]byte, bool) {
	s, ok := d.string(v)
	return s, ok && len(s) <= limit
}

func (d *Decoder) name(v value) ([]byte, bool) {
	s, ok := d.string(v)
	return s, ok && isName(s)
}

func (d *Decoder) nameOrEmpty(v value) ([]byte, bool) {
	s, ok := d.string(v)
	return s, ok && (len(s) == 0 || isName(s))
}

func (d *Decoder) oneOf(v value, words ...string) ([]byte, bool) {
	s, ok := d.string(v)
	if !ok {
		return nil, false
	}
	for _, word := range words {
		if string(s) == word {
			return s, true
		}
	}
	return nil, false
}

func (d *Decoder) instant(v value) (Millis, bool) {
	s, ok := d.string(v)
	if !ok {
		return 0, false
	}
	m, ok := parseInstant(s)
	return m, ok && inRange(m)
}

func (d *Decoder) amount(v value, into *Credits, low, high Credits) bool {
	text := v.raw
	if text[0] == '"' {
		text, _ = d.string(v)
	}
	c, err := parseCredits(text)
	*into = c
	return err == nil && low <= c && c <= high
}

func readClass(d *Decoder, v value, ev *Event) bool {
	s, ok := d.oneOf(v, "paid", "promo")
	ev.Class = Promo
	if string(s) == "paid" {
		ev.Class = Paid
	}
	return ok
}

func readPriority(_ *Decoder, v value, ev *Event) bool {
	n, err := parseCredits(v.raw) // a string is no number to it
	if err != nil || n < 0 || n > maxPriority*MicrosPerCredit || n%MicrosPerCredit != 0 {
		return false
	}
	ev.Priority = uint16(n / MicrosPerCredit)
	return true
}

func readNote(d *Decoder, v value, ev *Event) (ok bool) {
	ev.Note, ok = d.upTo(v, maxNoteBytes)
	return ok
}

// readZone accepts what time.LoadLocation loads; the answers are remembered,
// because loading reads files.
func readZone(d *Decoder, v value, ev *Event) bool {
	s, ok := d.upTo(v, maxZoneBytes)
	if !ok {
		return false
	}
	ev.TimeZone = s
	known, seen := d.zones[string(s)]
	if !seen {
		_, err := LoadZone(string(s))
		known = err == nil
		// Only zones that exist are kept: there are a few hundred of them.
		if known {
			d.zones[string(s)] = true
		}
	}
	return known
}

// LoadZone returns the IANA time zone called name; the empty name is UTC, the
// machine's own zone is refused.
func LoadZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time zone %q is not an IANA zone", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %.100q is not an IANA zone: %w", name, err)
	}
	return zone, nil
}

func readAttributes(d *Decoder, v value, ev *Event) bool {
	if v.raw[0] != '{' {
		return false
	}
	size, ok := 0, true
	d.eachMember(v.raw, func(name string, raw []byte) {
		text, isString := d.string(value{raw: raw})
		size += len(name) + len(text)
		ok = ok && isString && size <= maxAttributeBytes && len(ev.Attributes) < maxAttributes
		if ok {
			ev.Attributes = append(ev.Attributes, Attribute{Key: []byte(name), Value: text})
		}
	})
	return ok
}

// isName reports whether s is an identifier: 1 to 128 of [A-Za-z0-9._:-].
func isName(s []byte) bool {
	if len(s) < 1 || len(s) > maxIDBytes {
		return false
	}
	for _, c := range s {
		if !nameBytes[c] {
			return false
		}
	}
	return true
}

var nameBytes = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") {
		table[c] = true
	}
	return table
}()

func validUTF8(b []byte) bool { return utf8.Valid(b) }

// show returns the value for a message, cut to what a person needs to
// recognise it.
func show(v value) string {
	const enough = 64
	return clip(string(v.raw), enough)
}
