package schemas

import (
	"encoding/binary"
	"math/bits"
)

// The scanner reads a credits.consumed event in structured mode in one pass
// and without allocating. It knows the keys of the format in any order, white
// space, null for optional fields and plain strings; at anything else - an
// escape, an unknown or repeated key, a rule that is broken - it gives up and
// the reference decides. So it has no messages, and whatever it does not
// understand costs time only.

// Each key that has been seen is a bit.
const (
	sawSpecversion = 1 << iota
	sawID
	sawSource
	sawType
	sawSubject
	sawTime
	sawData
	sawDataContentType
	sawWorkspaceID
	sawCampaignID
	sawCredits
	sawAction
	sawActor
	sawAttributes

	needed = sawSpecversion | sawID | sawType | sawTime | sawData | sawWorkspaceID | sawCredits
)

// scan reports whether it has read json into ev; if not, ev is garbage.
func (d *Decoder) scan(json []byte, ev *Event) bool {
	resetEvent(ev)
	s := scanner{json: json}
	p := s.open(0)
	if p < 0 {
		return false
	}
	for {
		if p = s.member(p, ev); p < 0 {
			return false
		}
		var more bool
		if p, more = s.next(p); !more {
			break
		}
	}
	if p < 0 || s.saw&needed != needed || s.space(p) != len(json) {
		return false
	}
	ev.Type = CreditsConsumed
	ev.ContentHash, d.scratch = contentHash(ev, d.scratch)
	return true
}

// scanner reads json. Its methods take the position to read at and return the
// one behind what they read, or -1 to give up.
type scanner struct {
	json []byte
	saw  uint32
}

// member reads one key of the envelope and its value; p is at the key's
// opening quote.
func (s *scanner) member(p int, ev *Event) int {
	b := s.json
	if p+8 > len(b) || b[p] != '"' {
		return -1
	}
	rest := b[p+1:]
	switch rest[0] {
	case 'i':
		if string(rest[:3]) == `id"` {
			if p = s.value(p+4, sawID); p > 0 {
				ev.ID, p = s.text(p)
				if len(ev.ID) == 0 || len(ev.ID) > maxIDBytes {
					return -1
				}
				return p
			}
		}
	case 't':
		switch string(rest[:5]) {
		case `type"`:
			if p = s.value(p+6, sawType); p > 0 {
				return s.literal(p, `"credits.consumed"`)
			}
		case `time"`:
			if p = s.value(p+6, sawTime); p > 0 {
				return s.instant(p, &ev.Time)
			}
		}
	case 's':
		switch {
		case string(rest[:7]) == `source"`:
			if p = s.value(p+8, sawSource); p > 0 {
				return s.optional(p, maxSourceBytes, &ev.Source)
			}
		case len(rest) >= 12 && string(rest[:12]) == `specversion"`:
			if p = s.value(p+13, sawSpecversion); p > 0 {
				return s.literal(p, `"1.0"`)
			}
		case len(rest) >= 8 && string(rest[:8]) == `subject"`:
			if p = s.value(p+9, sawSubject); p > 0 {
				_, p = s.text(p)
				return p
			}
		}
	case 'd':
		switch {
		case string(rest[:5]) == `data"`:
			if p = s.value(p+6, sawData); p > 0 {
				return s.data(p, ev)
			}
		case len(rest) >= 16 && string(rest[:16]) == `datacontenttype"`:
			if p = s.value(p+17, sawDataContentType); p > 0 {
				_, p = s.text(p)
				return p
			}
		}
	}
	return -1
}

// data reads the event's data.
func (s *scanner) data(p int, ev *Event) int {
	if p = s.open(p); p < 0 {
		return -1
	}
	for {
		if p = s.dataMember(p, ev); p < 0 {
			return -1
		}
		var more bool
		if p, more = s.next(p); !more {
			return p
		}
	}
}

// dataMember reads one key of data and its value; p is at the key's opening
// quote.
func (s *scanner) dataMember(p int, ev *Event) int {
	b := s.json
	if p+9 > len(b) || b[p] != '"' {
		return -1
	}
	rest := b[p+1:]
	switch rest[0] {
	case 'w':
		if len(rest) >= 13 && string(rest[:13]) == `workspace_id"` {
			if p = s.value(p+14, sawWorkspaceID); p > 0 {
				ev.WorkspaceID, p = s.name(p)
				if len(ev.WorkspaceID) == 0 {
					return -1
				}
				return p
			}
		}
	case 'c':
		switch {
		case string(rest[:8]) == `credits"`:
			if p = s.value(p+9, sawCredits); p > 0 {
				return s.credits(p, &ev.Credits)
			}
		case len(rest) >= 12 && string(rest[:12]) == `campaign_id"`:
			if p = s.value(p+13, sawCampaignID); p > 0 {
				if s.json[p] == 'n' {
					return s.literal(p, "null")
				}
				ev.CampaignID, p = s.name(p)
				return p
			}
		}
	case 'a':
		switch {
		case string(rest[:7]) == `action"`:
			if p = s.value(p+8, sawAction); p > 0 {
				return s.optional(p, maxActionBytes, &ev.Action)
			}
		case string(rest[:6]) == `actor"`:
			if p = s.value(p+7, sawActor); p > 0 {
				return s.optional(p, maxActorBytes, &ev.Actor)
			}
		case len(rest) >= 11 && string(rest[:11]) == `attributes"`:
			if p = s.value(p+12, sawAttributes); p > 0 {
				return s.attributes(p, ev)
			}
		}
	}
	return -1
}

// scannedAttributes is how many attributes are compared with each other for
// repeated keys before that is left to the reference.
const scannedAttributes = 8

func (s *scanner) attributes(p int, ev *Event) int {
	b := s.json
	if b[p] != '{' {
		return -1
	}
	if p = s.space(p + 1); p < len(b) && b[p] == '}' {
		return p + 1
	}
	size := 0
	for {
		if p >= len(b) {
			return -1
		}
		var key, text []byte
		if key, p = s.text(p); p < 0 {
			return -1
		}
		if p = s.colon(p); p < 0 {
			return -1
		}
		if text, p = s.text(p); p < 0 {
			return -1
		}
		for i := range ev.Attributes {
			if string(ev.Attributes[i].Key) == string(key) {
				return -1
			}
		}
		size += len(key) + len(text)
		if len(ev.Attributes) == scannedAttributes || size > maxAttributeBytes {
			return -1
		}
		ev.Attributes = append(ev.Attributes, Attribute{Key: key, Value: text})
		var more bool
		if p, more = s.next(p); !more {
			return p
		}
	}
}

// open reads an opening brace and moves to the first key.
func (s *scanner) open(p int) int {
	p = s.space(p)
	if p >= len(s.json) || s.json[p] != '{' {
		return -1
	}
	return s.space(p + 1)
}

// next reads what follows a value in an object: a comma, and moves to the next
// key, or the closing brace, and reports that there is no more.
func (s *scanner) next(p int) (int, bool) {
	b := s.json
	if p < len(b) && b[p] <= ' ' {
		p = s.space(p)
	}
	if p >= len(b) {
		return -1, false
	}
	switch b[p] {
	case ',':
		p++
		if p < len(b) && b[p] <= ' ' {
			p = s.space(p)
		}
		return p, true
	case '}':
		return p + 1, false
	}
	return -1, false
}

// value notes that a key has been seen and moves to its value; p is behind the
// key's closing quote. It gives up if the key was there before.
func (s *scanner) value(p int, key uint32) int {
	if s.saw&key != 0 {
		return -1
	}
	s.saw |= key
	if p+1 < len(s.json) && s.json[p] == ':' && s.json[p+1] > ' ' {
		return p + 1
	}
	return s.colon(p)
}

func (s *scanner) colon(p int) int {
	p = s.space(p)
	if p >= len(s.json) || s.json[p] != ':' {
		return -1
	}
	if p = s.space(p + 1); p >= len(s.json) {
		return -1
	}
	return p
}

func (s *scanner) space(p int) int {
	for p < len(s.json) && (s.json[p] == ' ' || s.json[p] == '\t' || s.json[p] == '\n' || s.json[p] == '\r') {
		p++
	}
	return p
}

func (s *scanner) literal(p int, text string) int {
	if end := p + len(text); end <= len(s.json) && string(s.json[p:end]) == text {
		return end
	}
	return -1
}

// optional reads a string of at most limit bytes, or null.
func (s *scanner) optional(p, limit int, into *[]byte) int {
	if s.json[p] == 'n' {
		return s.literal(p, "null")
	}
	text, p := s.text(p)
	if len(text) > limit {
		return -1
	}
	*into = text
	return p
}

// name reads a string that is empty or an identifier.
func (s *scanner) name(p int) ([]byte, int) {
	b := s.json
	if b[p] != '"' {
		return nil, -1
	}
	start := p + 1
	end := start
	for end < len(b) && nameBytes[b[end]] {
		end++
	}
	if end >= len(b) || b[end] != '"' || end-start > maxIDBytes {
		return nil, -1
	}
	return b[start:end:end], end + 1
}

// text reads a string without escapes.
func (s *scanner) text(p int) ([]byte, int) {
	b := s.json
	if b[p] != '"' {
		return nil, -1
	}
	p++
	start := p
	// Eight bytes at a time: a byte of quote is zero where a quote stands, and
	// subtracting 1 from each byte sets the top bit of those (and, by the
	// borrow, perhaps of bytes after one of them, which does not move the
	// first). Likewise for backslashes, control characters, and characters
	// beyond ASCII, which have the top bit set.
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; p+8 <= len(b); p += 8 {
		w := binary.LittleEndian.Uint64(b[p:])
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		odd := ((quote - ones) &^ quote) | ((backslash - ones) &^ backslash) | ((w - ' '*ones) &^ w) | w
		if odd &= tops; odd != 0 {
			p += bits.TrailingZeros64(odd) >> 3
			if b[p] == '"' {
				return b[start:p:p], p + 1
			}
			break
		}
	}
	return s.slowText(start, p)
}

// slowText reads the rest of a string that started at start, byte by byte.
func (s *scanner) slowText(start, p int) ([]byte, int) {
	for b := s.json; p < len(b); p++ {
		switch c := b[p]; {
		case c == '"':
			if text := b[start:p:p]; validUTF8(text) {
				return text, p + 1
			}
			return nil, -1
		case c == '\\' || c < ' ':
			return nil, -1
		}
	}
	return nil, -1
}

// instant reads a time that events may carry.
func (s *scanner) instant(p int, into *Millis) int {
	text, p := s.text(p)
	at, ok := parseInstant(text)
	if !ok || !inRange(at) {
		return -1
	}
	*into = at
	return p
}

// credits reads an amount of consumption as a string or a number.
func (s *scanner) credits(p int, into *Credits) int {
	b := s.json
	quoted := b[p] == '"'
	if quoted {
		p++
	}
	start := p
	for p < len(b) && b[p] != '"' && b[p] != ',' && b[p] != '}' && b[p] > ' ' {
		p++
	}
	text := b[start:p]
	c, err := parseCredits(text)
	if err != nil || c < -maxConsumption || c > maxConsumption {
		return -1
	}
	*into = c
	if quoted {
		if p >= len(b) || b[p] != '"' {
			return -1
		}
		return p + 1
	}
	// A number in JSON has no needless zero in front.
	if text[0] == '-' {
		text = text[1:]
	}
	if len(text) > 1 && text[0] == '0' && text[1]-'0' < 10 {
		return -1
	}
	return p
}
