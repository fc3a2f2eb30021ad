package schemas

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// EncodeEvent returns the event in CloudEvents structured mode, on one line,
// as [Decoder.Decode] reads it. Optional fields that are empty are left out;
// ContentHash is not written. Strings must be valid UTF-8.
func EncodeEvent(ev *Event) []byte { return AppendEvent(nil, ev) }

// AppendEvent appends what EncodeEvent returns to dst.
func AppendEvent(dst []byte, ev *Event) []byte {
	b := append(dst, `{"specversion":"1.0","id":`...)
	b = appendQuoted(b, ev.ID)
	b = appendMember(b, "source", ev.Source)
	b = append(b, `,"type":"`...)
	b = append(b, ev.Type.String()...)
	b = append(b, '"')
	b = appendMember(b, "subject", ev.WorkspaceID)
	b = append(b, `,"time":"`...)
	b = appendMillis(b, ev.Time)
	b = append(b, `","data":{"workspace_id":`...)
	b = appendQuoted(b, ev.WorkspaceID)
	switch ev.Type {
	case CreditsConsumed:
		b = appendConsumed(b, ev)
	case CreditsGranted:
		b = appendGranted(b, ev)
	case CreditsAdjusted:
		b = appendMember(b, "grant_id", ev.GrantID)
		b = appendAmount(b, "credits", ev.Credits)
		b = appendMember(b, "reason", ev.Note)
		b = appendMember(b, "actor", ev.Actor)
	case GrantVoided:
		b = appendMember(b, "grant_id", ev.GrantID)
		b = appendMember(b, "reason", ev.Note)
		b = appendMember(b, "actor", ev.Actor)
	case CampaignUpdated:
		b = appendCampaign(b, ev)
	case WorkspaceUpdated:
		b = appendMember(b, "name", ev.Name)
		b = appendMember(b, "time_zone", ev.TimeZone)
		b = appendMember(b, "week_start", ev.WeekStart)
	}
	return append(b, '}', '}')
}

func appendConsumed(b []byte, ev *Event) []byte {
	b = appendMember(b, "campaign_id", ev.CampaignID)
	b = appendAmount(b, "credits", ev.Credits)
	b = appendMember(b, "action", ev.Action)
	b = appendMember(b, "actor", ev.Actor)
	if len(ev.Attributes) == 0 {
		return b
	}
	b = append(b, `,"attributes":{`...)
	for i := range ev.Attributes {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, ev.Attributes[i].Key)
		b = append(b, ':')
		b = appendQuoted(b, ev.Attributes[i].Value)
	}
	return append(b, '}')
}

func appendGranted(b []byte, ev *Event) []byte {
	b = appendMember(b, "grant_id", ev.GrantID)
	b = appendAmount(b, "credits", ev.Credits)
	b = append(b, `,"class":"`...)
	b = append(b, ev.Class.String()...)
	b = append(b, `","priority":`...)
	b = strconv.AppendUint(b, uint64(ev.Priority), 10)
	b = appendInstant(b, "effective_at", ev.EffectiveAt)
	b = appendInstant(b, "expires_at", ev.ExpiresAt)
	b = appendMember(b, "note", ev.Note)
	return appendMember(b, "actor", ev.Actor)
}

func appendCampaign(b []byte, ev *Event) []byte {
	b = appendMember(b, "campaign_id", ev.CampaignID)
	b = append(b, `,"name":`...)
	b = appendQuoted(b, ev.Name)
	b = appendMember(b, "status", ev.Status)
	if ev.HasQuota {
		b = appendAmount(b, "quota", ev.Quota)
	}
	b = appendInstant(b, "starts_at", ev.StartsAt)
	return appendInstant(b, "ends_at", ev.EndsAt)
}

// appendMember writes a string unless it is empty.
func appendMember(b []byte, name string, text []byte) []byte {
	if len(text) == 0 {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendQuoted(b, text)
}

func appendAmount(b []byte, name string, c Credits) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, `":"`...)
	b = c.Append(b)
	return append(b, '"')
}

// appendInstant writes an instant unless it is absent, which 0 is as well: no
// event may carry it.
func appendInstant(b []byte, name string, m Millis) []byte {
	if m == NoInstant || m == 0 {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, `":"`...)
	b = appendMillis(b, m)
	return append(b, '"')
}

// appendQuoted writes a JSON string; invalid UTF-8 becomes the replacement
// character.
func appendQuoted(b, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			// The only error is invalid UTF-8, and what it appends then is
			// still a valid string.
			b, _ = jsontext.AppendQuote(b, text)
			return b
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}
