package schemas

import (
	"strings"
	"time"
)

// EventType is the CloudEvents type of a record, as a closed set.
type EventType uint8

// The six types of DESIGN section 3 and the topics they belong to.
const (
	UnknownEvent     EventType = iota
	CreditsConsumed            // credits.consumed, on the consumption topic
	CreditsGranted             // credits.granted, on the ledger topic
	CreditsAdjusted            // credits.adjusted, on the ledger topic
	GrantVoided                // credits.grant_voided, on the ledger topic
	CampaignUpdated            // campaign.updated, on the campaigns topic
	WorkspaceUpdated           // workspace.updated, on the campaigns topic
)

// String returns the CloudEvents type, or "" for UnknownEvent.
func (t EventType) String() string {
	switch t {
	case CreditsConsumed:
		return "credits.consumed"
	case CreditsGranted:
		return "credits.granted"
	case CreditsAdjusted:
		return "credits.adjusted"
	case GrantVoided:
		return "credits.grant_voided"
	case CampaignUpdated:
		return "campaign.updated"
	case WorkspaceUpdated:
		return "workspace.updated"
	}
	return ""
}

// ParseEventType returns the type whose CloudEvents type is name, or
// UnknownEvent.
func ParseEventType(name string) EventType {
	for t := CreditsConsumed; t <= WorkspaceUpdated; t++ {
		if t.String() == name {
			return t
		}
	}
	return UnknownEvent
}

// Topic returns the topic that events of the type belong to, or "".
func (t EventType) Topic() Topic {
	switch t {
	case CreditsConsumed:
		return ConsumptionTopic
	case CreditsGranted, CreditsAdjusted, GrantVoided:
		return LedgerTopic
	case CampaignUpdated, WorkspaceUpdated:
		return CampaignsTopic
	}
	return ""
}

// Millis is an instant in milliseconds since 1970-01-01T00:00:00Z.
type Millis int64

// NoInstant stands for an absent optional instant.
const NoInstant Millis = -1 << 63

// MillisOf returns the millisecond that t falls in.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time returns the instant in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// String returns the instant as events write it, such as
// 2026-11-22T09:00:07.123Z, or "" for NoInstant.
func (m Millis) String() string {
	if m == NoInstant {
		return ""
	}
	return string(appendMillis(nil, m))
}

// Class is the class of a grant.
type Class uint8

// The classes in the order in which they are drained.
const (
	Promo Class = iota
	Paid
)

// String returns paid or promo.
func (c Class) String() string {
	if c == Paid {
		return "paid"
	}
	return "promo"
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Record is what the decoder sees of a Kafka record. Value may alias a fetch
// buffer; an Event decoded from it aliases Value and is valid as long as it.
type Record struct {
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp Millis // Kafka's timestamp of the record
}

// Attribute is one entry of an event's attributes.
type Attribute struct {
	Key   []byte
	Value []byte
}

// Event is one decoded event of any type. Byte slices alias the record's
// value or the decoder's scratch space and are valid until the next Decode.
// Fields that the type does not have are zero.
type Event struct {
	Type        EventType
	ID          []byte
	Source      []byte
	Time        Millis // consumption and campaigns: the millisecond; ledger: truncated to the minute
	WorkspaceID []byte
	CampaignID  []byte // empty: unattributed
	Action      []byte
	Actor       []byte
	Credits     Credits
	Attributes  []Attribute

	// Ledger.
	GrantID     []byte
	Class       Class
	Priority    uint16
	EffectiveAt Millis
	ExpiresAt   Millis // NoInstant: never
	Note        []byte // the note of a grant, the reason of an adjustment or void

	// Campaigns and workspaces.
	Name      []byte
	Status    []byte
	Quota     Credits
	HasQuota  bool
	StartsAt  Millis // NoInstant: absent
	EndsAt    Millis // NoInstant: absent
	TimeZone  []byte
	WeekStart []byte

	// ContentHash identifies what the event says apart from its identity:
	// for consumption (time, campaign_id, credits, action, actor), for the
	// other types every field of data. Two events with the same identity and
	// different ContentHash are in conflict (invariant 5).
	ContentHash uint32
}

// GrantTerms are what two credits.granted of the same grant must agree on to
// be one grant sent twice; otherwise they are in conflict.
type GrantTerms struct {
	Credits     Credits
	Class       Class
	Priority    uint16
	EffectiveAt Millis
	ExpiresAt   Millis
}

// GrantTerms returns the terms of a credits.granted event.
func (e *Event) GrantTerms() GrantTerms {
	return GrantTerms{Credits: e.Credits, Class: e.Class, Priority: e.Priority, EffectiveAt: e.EffectiveAt, ExpiresAt: e.ExpiresAt}
}

// RejectionCode is a stable reason why a record was not counted, in the order
// in which the reasons are tested.
type RejectionCode string

// The codes of DESIGN section 3.
const (
	TooLarge     RejectionCode = "too_large"
	Malformed    RejectionCode = "malformed"
	UnknownType  RejectionCode = "unknown_type"
	WrongTopic   RejectionCode = "wrong_topic"
	MissingField RejectionCode = "missing_field"
	InvalidField RejectionCode = "invalid_field"
	Misrouted    RejectionCode = "misrouted"
	TooLate      RejectionCode = "too_late"
	InFuture     RejectionCode = "in_future"
	Conflict     RejectionCode = "conflict"
)

// Rejection says why a record was not counted. Message says what is wrong,
// where, and what to do.
type Rejection struct {
	Code    RejectionCode
	Message string
}

func (r *Rejection) Error() string { return string(r.Code) + ": " + r.Message }

// Field names what a missing_field or invalid_field is about, such as time or
// data.credits; "" for other codes. Every such message begins with it.
func (r *Rejection) Field() string {
	if r.Code != MissingField && r.Code != InvalidField {
		return ""
	}
	return r.Message[:strings.IndexAny(r.Message+" ", ": ")]
}
