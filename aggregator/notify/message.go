package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// content is what a message says, as data of every format but slack.
type content struct {
	WorkspaceID  string          `json:"workspace_id"`
	IncidentID   string          `json:"incident_id"`
	RuleID       string          `json:"rule_id"`
	RuleRevision uint32          `json:"rule_revision"`
	Kind         string          `json:"kind"`
	Subject      string          `json:"subject"` // the campaign; empty: the workspace
	State        string          `json:"state"`
	At           string          `json:"at"`
	Message      string          `json:"message"`
	Detail       json.RawMessage `json:"detail"`
	URL          string          `json:"url,omitempty"`
}

// webhookEvent is the body of Standard Webhooks.
type webhookEvent struct {
	Type      string  `json:"type"`
	Timestamp string  `json:"timestamp"`
	Data      content `json:"data"`
}

// cloudEvent is a value in the topic.
type cloudEvent struct {
	SpecVersion     string  `json:"specversion"`
	ID              string  `json:"id"`
	Source          string  `json:"source"`
	Type            string  `json:"type"`
	Subject         string  `json:"subject"`
	Time            string  `json:"time"`
	DataContentType string  `json:"datacontenttype"`
	Data            content `json:"data"`
}

// slackMessage is what Slack's incoming webhooks take, and others do as well.
type slackMessage struct {
	Text string `json:"text"`
}

// exhaustedType is the event that whoever pauses campaigns waits for.
const exhaustedType = "credits.exhausted"

func (m *message) eventType() string { return "alert." + m.state }

// content is a function of the row and the configuration alone, so that every
// attempt says the same (invariant 1).
func (n *Notifier) content(m *message) content {
	detail := json.RawMessage(m.detail)
	if !json.Valid(detail) {
		// What is wrong in there must not keep the alert from anybody.
		detail = json.RawMessage("{}")
	}
	return content{
		WorkspaceID: m.workspaceID, IncidentID: m.incidentID, RuleID: m.ruleID, RuleRevision: m.ruleRevision,
		Kind: m.kind, Subject: m.subject, State: m.state, At: instant(m.at), Message: m.text, Detail: detail, URL: n.link(m),
	}
}

// link leads to the incident on the page, of a test to the rule; empty without
// a BaseURL.
func (n *Notifier) link(m *message) string {
	if n.cfg.BaseURL == "" {
		return ""
	}
	to := url.Values{"workspace": {m.workspaceID}}
	if m.state == stateTest {
		to.Set("rule", m.ruleID)
	} else {
		to.Set("incident", m.incidentID)
	}
	return n.cfg.BaseURL + "/settings/alerts?" + to.Encode()
}

func instant(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

func (n *Notifier) webhookBody(m *message, format string) ([]byte, error) {
	var body any = webhookEvent{Type: m.eventType(), Timestamp: instant(m.at), Data: n.content(m)}
	if format == string(schemas.SlackFormat) {
		body = slackMessage{n.slackText(m)}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("cannot encode webhook %s: %w", m.webhookID(), err)
	}
	return text, nil
}

// slackText is the sentence and a link in Slack's mrkdwn.
func (n *Notifier) slackText(m *message) string {
	text := "[" + strings.ToUpper(m.state) + "] " + slackEscaper.Replace(m.text)
	if link := n.link(m); link != "" {
		text += "\n<" + slackEscaper.Replace(link) + "|Open in Drawdown>"
	}
	return text
}

// slackEscaper escapes what has a meaning in mrkdwn, so that a campaign's name
// mentions nobody.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// topicEvents are the values that a message is in the topic, in order.
func (n *Notifier) topicEvents(m *message) ([][]byte, error) {
	event := cloudEvent{
		SpecVersion: "1.0", ID: m.webhookID(), Source: "/drawdown", Type: m.eventType(), Subject: m.workspaceID,
		Time: instant(m.at), DataContentType: "application/json", Data: n.content(m),
	}
	events := []cloudEvent{event}
	if m.state == stateFiring && saysExhausted(event.Data) {
		exhausted := event
		exhausted.ID, exhausted.Type = m.incidentID+"/exhausted", exhaustedType
		// The first that whoever pauses campaigns reads.
		events = []cloudEvent{exhausted, event}
	}
	values := make([][]byte, len(events))
	for i, e := range events {
		var err error
		if values[i], err = json.Marshal(e); err != nil {
			return nil, fmt.Errorf("cannot encode event %s: %w", e.ID, err)
		}
	}
	return values, nil
}

// saysExhausted says whether nothing was left when an alert of the balance
// fired.
func saysExhausted(c content) bool {
	var says struct {
		Remaining string `json:"remaining"` // a decimal in its shortest form
	}
	if c.Kind != string(schemas.BalanceBelow) || json.Unmarshal(c.Detail, &says) != nil {
		return false
	}
	return says.Remaining == "0" || strings.HasPrefix(says.Remaining, "-")
}
