package aggregator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// incidentsQuery reads the newest incident of each subject of each revision of
// the rules of some workspaces: what a Book is restored from.
const incidentsQuery = `
SELECT workspace_id, incident_id, state, rule_id, rule_revision, kind, subject, sequence, at, message, detail
FROM alert_incidents
WHERE workspace_id IN {workspaces:Array(String)} AND (workspace_id, rule_id, rule_revision, subject, sequence) IN (
    SELECT workspace_id, rule_id, rule_revision, subject, max(sequence)
    FROM alert_incidents WHERE workspace_id IN {workspaces:Array(String)}
    GROUP BY workspace_id, rule_id, rule_revision, subject)`

const insertIncident = `INSERT INTO alert_incidents (workspace_id, incident_id, state, rule_id, rule_revision, kind, subject, sequence, at, message, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// readBooks restores the books of workspaces.
func (w *watch) readBooks(ctx context.Context, p *part, ids []string) error {
	rows := make(map[string][]schemas.AlertChange)
	bound := rollup.Parameters{}
	bound.Strings("workspaces", ids)
	err := w.a.query(ctx, "incidents", incidentsQuery, bound, func(scan func(...any) error) error {
		var c schemas.AlertChange
		var at time.Time
		err := scan(&c.WorkspaceID, &c.IncidentID, (*string)(&c.State), &c.RuleID, &c.RuleRevision, (*string)(&c.Kind),
			&c.Subject, &c.Sequence, &at, &c.Message, &c.Detail)
		c.At = schemas.MillisOf(at)
		rows[c.WorkspaceID] = append(rows[c.WorkspaceID], c)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		ws := p.workspaces[id]
		if ws.book == nil {
			ws.book, ws.recall = alerts.Restore(rows[id]), true
		} else {
			ws.book.Read(rows[id])
		}
		ws.recorded = rows[id]
	}
	return nil
}

// record writes changes, each as a block of its own under the token that any
// evaluator would give it, and reads back what was recorded (invariant 2).
func (w *watch) record(ctx context.Context, p *part, ws *workspace, transitions []alerts.Transition) error {
	if len(transitions) == 0 {
		return nil
	}
	var failed error
	for i := range transitions {
		if failed = w.insertIncident(ctx, &transitions[i].AlertChange, ""); failed != nil {
			transitions = transitions[:i]
			break
		}
	}
	if len(transitions) > 0 {
		failed = errors.Join(failed, w.confirm(ctx, p, ws, transitions))
	}
	if failed != nil {
		ws.book = nil // what was recorded is not known: it is read before the next look
	}
	return failed
}

// confirm reads back whether changes were recorded, records what was not, and
// says so.
func (w *watch) confirm(ctx context.Context, p *part, ws *workspace, transitions []alerts.Transition) error {
	readBack := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
		defer cancel()
		return w.readBooks(ctx, p, []string{ws.id})
	}
	if err := readBack(); err != nil {
		return err
	}
	again := false
	for i := range transitions {
		c := &transitions[i].AlertChange
		if ws.recordedState(c) {
			w.a.metrics.incidents.WithLabelValues(string(c.Kind), string(c.State)).Inc()
			w.a.log.InfoContext(ctx, "alert", "workspace_id", ws.id, "rule_id", c.RuleID, "subject", c.Subject, "state", c.State, "incident_id", c.IncidentID)
			continue
		}
		// ClickHouse may remember the token of a block that it lost in a crash
		// (invariant 3 of the consumers).
		again = true
		if err := w.insertIncident(ctx, c, "/again"); err != nil {
			return err
		}
	}
	w.a.cfg.Recorded()
	if again {
		return readBack()
	}
	return nil
}

// recordedState says whether a change, or another evaluator's of the same, was
// read back.
func (ws *workspace) recordedState(c *schemas.AlertChange) bool {
	return slices.ContainsFunc(ws.recorded, func(r schemas.AlertChange) bool {
		return r.RuleID == c.RuleID && r.RuleRevision == c.RuleRevision && r.Subject == c.Subject &&
			(r.Sequence > c.Sequence || r.Sequence == c.Sequence && r.State == c.State)
	})
}

// insertIncident records a change of a workspace that is still ours: once ctx has
// ended the next owner does, but an INSERT under way goes on (invariant 3).
func (w *watch) insertIncident(ctx context.Context, c *schemas.AlertChange, suffix string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("incident %s is left to the next owner: %w", c.IncidentID, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(schemas.InsertOnce(c.Token()+suffix)))
	err := w.a.cfg.ClickHouse.Exec(ctx, insertIncident, c.WorkspaceID, c.IncidentID, string(c.State), c.RuleID, c.RuleRevision, string(c.Kind),
		c.Subject, c.Sequence, timeOf(c.At), c.Message, c.Detail)
	if err != nil {
		return fmt.Errorf("cannot record incident %s: %w", c.IncidentID, err)
	}
	return nil
}
