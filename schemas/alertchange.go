package schemas

import "fmt"

// AlertState is how far an incident is.
type AlertState string

// The states, in the order in which an incident may have them.
const (
	AlertPending  AlertState = "pending"  // the condition holds, not yet for long enough
	AlertFiring   AlertState = "firing"   // it has
	AlertResolved AlertState = "resolved" // it is over; of an incident that never fired too
)

// AlertChange is one row of table alert_incidents: a change of state of an
// incident.
type AlertChange struct {
	WorkspaceID  string
	IncidentID   string
	State        AlertState
	RuleID       string
	RuleRevision uint32
	Kind         AlertKind
	Subject      string // the campaign; empty: the workspace
	Sequence     uint32 // counts the incidents of the revision and subject, from 1
	At           Millis // when the state was reached, by the watermark
	Message      string // for people
	Detail       string // the figures behind it, a JSON object
}

// Token is the deduplication token of the row's INSERT. It names neither
// incident nor instant: of two evaluators that see a crossing at different
// watermarks the first one's row stands, and both read back which.
func (c *AlertChange) Token() string {
	return fmt.Sprintf("%s/%s/%d/%s/%d/%s", c.WorkspaceID, c.RuleID, c.RuleRevision, c.Subject, c.Sequence, c.State)
}
