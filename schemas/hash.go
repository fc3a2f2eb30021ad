package schemas

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// contentHash returns the low 32 bits of XXH64 (seed 0) over the event's type
// and what it says apart from its identity: fixed-size fields as 8 bytes
// little-endian, strings as a 4-byte length and the bytes, in the order below,
// so that two different events never have the same encoding. It is stored
// with every event and must never change; golden tests pin it. buf is scratch
// space and is returned grown.
func contentHash(ev *Event, buf []byte) (hash uint32, grown []byte) {
	b := append(buf[:0], byte(ev.Type))
	b = appendNumber(b, int64(ev.Time))
	b = appendNumber(b, int64(ev.Credits))
	b = appendText(b, ev.CampaignID)
	switch ev.Type {
	case CreditsConsumed:
		b = appendText(b, ev.Action)
		b = appendText(b, ev.Actor)
	case CampaignUpdated:
		b = appendText(b, ev.Name)
		b = appendText(b, ev.Status)
		quota := int64(-1)
		if ev.HasQuota {
			quota = int64(ev.Quota)
		}
		b = appendNumber(b, quota)
		b = appendNumber(b, int64(ev.StartsAt))
		b = appendNumber(b, int64(ev.EndsAt))
	case WorkspaceUpdated:
		b = appendText(b, ev.Name)
		b = appendText(b, ev.TimeZone)
		b = appendText(b, ev.WeekStart)
	default: // ledger
		b = appendText(b, ev.GrantID)
		b = append(b, byte(ev.Class))
		b = appendNumber(b, int64(ev.Priority))
		b = appendNumber(b, int64(ev.EffectiveAt))
		b = appendNumber(b, int64(ev.ExpiresAt))
		b = appendText(b, ev.Note)
		b = appendText(b, ev.Actor)
	}
	return uint32(xxhash.Sum64(b)), b
}

func appendNumber(b []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

func appendText(b, text []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
}
