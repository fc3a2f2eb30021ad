package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// queryTimeout bounds a question, and insertTimeout an INSERT of some rows,
	// whose fate is unknown then.
	queryTimeout  = 20 * time.Second
	insertTimeout = 10 * time.Second
	// maxRuleVersions bounds what is read of a rule's past. Destinations count
	// as named from the oldest one read.
	maxRuleVersions = 200
)

// querySettings bound every question.
var querySettings = clickhouse.Settings{"max_execution_time": 15, "max_memory_usage": 1 << 30}

// freshQuery asks for the incidents of which a row came lately, each with all
// of its rows. The first of every workspace come before the second of any.
const freshQuery = `
SELECT workspace_id, incident_id, state, rule_id, rule_revision, kind, subject, at, recorded_at, message, detail
FROM alert_incidents
WHERE state IN ('firing', 'resolved') AND (workspace_id, incident_id) IN (
    SELECT workspace_id, incident_id
    FROM (
        SELECT workspace_id, incident_id, min(recorded_at) AS came
        FROM alert_incidents
        WHERE recorded_at >= now64(3, 'UTC') - toIntervalMillisecond({age:Int64})
            AND bitAnd(kafkaMurmurHash(workspace_id), 0x7fffffff) % {partitions:UInt32} IN {owned:Array(UInt32)}
            AND state IN ('firing', 'resolved')
        GROUP BY workspace_id, incident_id)
    ORDER BY row_number() OVER (PARTITION BY workspace_id ORDER BY came, incident_id), came, workspace_id
    LIMIT {limit:UInt32})`

// pageQuery asks for the same of lookBack, page by page: those behind a place.
const pageQuery = `
SELECT workspace_id, incident_id, state, rule_id, rule_revision, kind, subject, at, recorded_at, message, detail
FROM alert_incidents
WHERE state IN ('firing', 'resolved') AND workspace_id >= {workspace:String} AND (workspace_id, incident_id) IN (
    SELECT workspace_id, incident_id FROM alert_incidents
    WHERE recorded_at >= now64(3, 'UTC') - toIntervalMillisecond({age:Int64})
        AND bitAnd(kafkaMurmurHash(workspace_id), 0x7fffffff) % {partitions:UInt32} IN {owned:Array(UInt32)}
        AND state IN ('firing', 'resolved')
        AND workspace_id >= {workspace:String} AND (workspace_id, incident_id) > ({workspace:String}, {incident:String})
    GROUP BY workspace_id, incident_id
    ORDER BY workspace_id, incident_id
    LIMIT {limit:UInt32})`

// readFresh returns what fired or was resolved within age, by ClickHouse's own
// clock; a page at most.
func (n *Notifier) readFresh(ctx context.Context, age time.Duration) (map[incidentKey]*incident, error) {
	return n.readIncidents(ctx, freshQuery, age, parameters{})
}

// readPage returns the page behind a place, of lookBack.
func (n *Notifier) readPage(ctx context.Context, after incidentKey) (map[incidentKey]*incident, error) {
	return n.readIncidents(ctx, pageQuery, lookBack, parameters{"workspace": after.workspaceID, "incident": after.incidentID})
}

// readIncidents returns incidents whole: a limit counts incidents and never
// rows, else it could part what resolved from what fired (invariant 2).
func (n *Notifier) readIncidents(ctx context.Context, statement string, age time.Duration, bound parameters) (map[incidentKey]*incident, error) {
	bound["age"], bound["partitions"], bound["limit"] = fmt.Sprint(age.Milliseconds()), fmt.Sprint(n.cfg.Partitions), fmt.Sprint(n.bounds.page)
	bound.integers("owned", n.owned)
	found := make(map[incidentKey]*incident)
	err := n.query(ctx, statement, bound, func(scan func(...any) error) error {
		var m message
		if err := scan(&m.workspaceID, &m.incidentID, &m.state, &m.ruleID, &m.ruleRevision, &m.kind, &m.subject, &m.at, &m.recordedAt, &m.text, &m.detail); err != nil {
			return err
		}
		i := found[m.incidentKey]
		if i == nil {
			i = &incident{incidentKey: m.incidentKey}
			found[m.incidentKey] = i
		}
		if m.state == stateFiring {
			i.firing = &m
		} else {
			i.resolved = &m
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read alert_incidents: %w", err)
	}
	return found, nil
}

const rulesQuery = `
SELECT workspace_id, rule_id, version, enabled, deleted, webhooks, secret_version, secret_rotated_at, silenced_until, updated_at
FROM alert_rules
WHERE workspace_id IN {workspaces:Array(String)} AND rule_id IN {rules:Array(String)}
ORDER BY workspace_id, rule_id, version DESC
LIMIT {versions:UInt32} BY workspace_id, rule_id`

const progressQuery = `
SELECT workspace_id, incident_id, webhook_id, destination, format,
    max(d.attempt), anyIf(d.outcome, d.outcome != 'retrying'), argMax(ifNull(d.next_attempt_at, d.at), (d.attempt, d.at)), max(d.at)
FROM alert_deliveries AS d
WHERE workspace_id IN {workspaces:Array(String)} AND incident_id IN {incidents:Array(String)}
GROUP BY workspace_id, incident_id, webhook_id, destination, format`

// What was disabled without an answer of 410 was so because of it, or of the
// rule, and is not asked for.
const goneQuery = `
SELECT workspace_id, rule_id, destination, format, max(rule_version)
FROM alert_deliveries
WHERE workspace_id IN {workspaces:Array(String)} AND rule_id IN {rules:Array(String)} AND outcome = 'disabled' AND status = 410
GROUP BY workspace_id, rule_id, destination, format`

// readState asks the tables about some incidents and tests.
func (n *Notifier) readState(ctx context.Context, about map[incidentKey]*incident, tests []*test) (*state, error) {
	workspaces, rules, incidents := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for id, i := range about {
		if i.firing == nil {
			continue
		}
		workspaces[id.workspaceID], rules[i.firing.ruleID], incidents[id.incidentID] = true, true, true
	}
	for _, t := range tests {
		workspaces[t.msg.workspaceID], rules[t.msg.ruleID], incidents[t.msg.incidentID] = true, true, true
	}
	bound := parameters{"versions": fmt.Sprint(maxRuleVersions)}
	bound.strings("workspaces", workspaces)
	bound.strings("rules", rules)
	bound.strings("incidents", incidents)
	s := &state{
		rules: make(map[ruleKey]*rule), progress: make(map[key]progress),
		tried: make(map[incidentKey][]destination), gone: make(map[ruleKey]map[destination]uint32),
	}
	if err := n.query(ctx, rulesQuery, bound, s.scanRule); err != nil {
		return nil, fmt.Errorf("cannot read alert_rules: %w", err)
	}
	if err := n.query(ctx, progressQuery, bound, s.scanProgress); err != nil {
		return nil, fmt.Errorf("cannot read alert_deliveries: %w", err)
	}
	if err := n.query(ctx, goneQuery, bound, s.scanGone); err != nil {
		return nil, fmt.Errorf("cannot read alert_deliveries: %w", err)
	}
	return s, nil
}

// scanRule takes the versions of a rule, the newest first.
func (s *state) scanRule(scan func(...any) error) error {
	var (
		id               ruleKey
		r                rule
		enabled, deleted uint8
		webhooks         string
		updatedAt        time.Time
	)
	if err := scan(&id.workspaceID, &id.ruleID, &r.version, &enabled, &deleted, &webhooks, &r.secretVersion, &r.secretRotatedAt, &r.silencedUntil, &updatedAt); err != nil {
		return err
	}
	r.destinations = parseWebhooks(webhooks)
	latest := s.rules[id]
	if latest == nil {
		r.live, r.deleted = enabled != 0 && deleted == 0, deleted != 0
		r.since = make(map[destination]time.Time, len(r.destinations))
		r.unbroken = r.destinations
		latest = &r
		s.rules[id] = latest
	}
	var unbroken []destination
	for _, d := range latest.unbroken {
		if slices.Contains(r.destinations, d) {
			latest.since[d] = updatedAt
			unbroken = append(unbroken, d)
		}
	}
	latest.unbroken = unbroken
	return nil
}

// parseWebhooks reads column webhooks. What it cannot read it leaves out: the
// API has checked it.
func parseWebhooks(text string) []destination {
	var list []schemas.AlertWebhook
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil
	}
	var found []destination
	for _, w := range list {
		found = append(found, destination{w.URL, string(w.Format)})
	}
	return found
}

func (s *state) scanProgress(scan func(...any) error) error {
	var (
		k          key
		incidentID string
		done       progress
	)
	if err := scan(&k.workspaceID, &incidentID, &k.webhookID, &k.url, &k.format, &done.attempts, &done.outcome, &done.nextAt, &done.at); err != nil {
		return err
	}
	s.progress[k] = done
	if id := (incidentKey{k.workspaceID, incidentID}); done.outcome == "" {
		s.tried[id] = append(s.tried[id], k.destination)
	}
	return nil
}

func (s *state) scanGone(scan func(...any) error) error {
	var (
		id      ruleKey
		d       destination
		version uint32
	)
	if err := scan(&id.workspaceID, &id.ruleID, &d.url, &d.format, &version); err != nil {
		return err
	}
	if s.gone[id] == nil {
		s.gone[id] = make(map[destination]uint32)
	}
	s.gone[id][d] = version
	return nil
}

func (n *Notifier) query(ctx context.Context, statement string, bound parameters, scan func(scan func(...any) error) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters(bound)), clickhouse.WithSettings(querySettings))
	return schemas.EachRow(ctx, n.cfg.ClickHouse, statement, scan)
}

// entry is what became of a delivery: a row of alert_deliveries.
type entry struct {
	delivery
	at      time.Time
	outcome string
	status  int
	reason  string // why it is not delivered
	nextAt  *time.Time
	took    time.Duration
	pause   time.Duration // that the receiver is to be spared for
}

// maxReason bounds column error.
const maxReason = 300

const attemptsInsert = `INSERT INTO alert_deliveries (workspace_id, webhook_id, incident_id, state, rule_id, rule_version, destination, format, attempt, at, outcome, status, error, next_attempt_at, took_ms)`

// record writes what became of deliveries, in one block under a token. It is
// never cancelled (invariant 5), and gives up after some attempts.
func (n *Notifier) record(ctx context.Context, token string, attempts ...entry) error {
	if len(attempts) == 0 {
		return nil
	}
	var err error
	for range insertAttempts {
		if err = n.insert(ctx, token, attempts); err == nil {
			for _, a := range attempts {
				n.metrics.deliveries.WithLabelValues(a.outcome).Inc()
				n.logAttempt(ctx, a)
			}
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("cannot write alert_deliveries: %w", err)
}

// insertAttempts is how often an INSERT is sent before the caller pauses.
const insertAttempts = 3

func (n *Notifier) insert(ctx context.Context, token string, attempts []entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(schemas.InsertOnce(token)))
	batch, err := n.cfg.ClickHouse.PrepareBatch(ctx, attemptsInsert)
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }()
	for _, a := range attempts {
		version := uint32(0)
		if a.rule != nil {
			version = a.rule.version
		}
		err := batch.Append(a.workspaceID, a.webhookID, a.msg.incidentID, a.msg.state, a.msg.ruleID, version, a.url, a.format,
			a.attempt, a.at.UTC(), a.outcome, uint16(a.status), bounded(a.reason), a.nextAt, uint32(min(a.took.Milliseconds(), 1<<31)))
		if err != nil {
			return err
		}
	}
	return batch.Send()
}

func bounded(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}

// parameters are the server-side parameters of a statement.
type parameters map[string]string

func (p parameters) integers(name string, values []int) {
	text := make([]string, len(values))
	for i, v := range values {
		text[i] = strconv.Itoa(v)
	}
	p[name] = "[" + strings.Join(text, ",") + "]"
}

// strings is an Array(String), whose elements are quoted literals.
func (p parameters) strings(name string, values map[string]bool) {
	quoted := make([]string, 0, len(values))
	for v := range values {
		quoted = append(quoted, "'"+quoteEscaper.Replace(v)+"'")
	}
	p[name] = "[" + strings.Join(quoted, ",") + "]"
}

// quoteEscaper is the inside of a quoted literal.
var quoteEscaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
