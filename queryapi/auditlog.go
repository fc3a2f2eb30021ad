package queryapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Actions of the audit log.
const (
	actionKeyCreate = "key.create"
	actionKeyRevoke = "key.revoke"
	actionSignIn    = "session.sign_in"
	actionSignOut   = "session.sign_out"
	actionGrant     = "credits.grant"
	actionAdjust    = "credits.adjust"
	actionVoid      = "credits.void"

	actionRuleCreate      = "alert_rule.create"
	actionRuleUpdate      = "alert_rule.update"
	actionRuleDelete      = "alert_rule.delete"
	actionRuleRotate      = "alert_rule.rotate_secret"
	actionRuleSilence     = "alert_rule.silence"
	actionRuleDeliverTest = "alert_rule.deliver_test"
	actionAcknowledge     = "alert_incident.acknowledge"
)

// audit writes into the audit log who (the principal of ctx), in which request,
// did or is about to do what. Changes of access and of alerts are written there first and not
// made if that fails. detail is what a reader needs to know, without secrets;
// workspaceID is empty for what concerns none. It waits for ClickHouse.
func (s *Server) audit(ctx context.Context, workspaceID, action string, detail map[string]any) error {
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("cannot encode the detail of %s: %w", action, err)
	}
	p := principalFrom(ctx)
	return s.insert(ctx, "audit_log",
		"INSERT INTO audit_log (workspace_id, at, request_id, action, subject, credential, key_id, detail)",
		workspaceID, s.cfg.Now().UTC(), requestIDFrom(ctx), action, p.Subject, string(p.Credential), p.KeyID, string(text))
}

// insertTimeout bounds the INSERT of one row, which waits for the disk.
const insertTimeout = 10 * time.Second

// insert writes one row as a native block, so that no value is part of the
// statement, and waits until it is kept, also when the caller goes away.
func (s *Server) insert(ctx context.Context, table, statement string, row ...any) error {
	return s.insertRows(ctx, table, statement, [][]any{row})
}

// insertRows is insert of several, all or none of which are kept.
func (s *Server) insertRows(ctx context.Context, table, statement string, rows [][]any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), insertTimeout)
	defer cancel()
	batch, err := s.cfg.ClickHouse.PrepareBatch(ctx, statement)
	if err != nil {
		return fmt.Errorf("cannot insert into %s: %w", table, err)
	}
	defer func() { _ = batch.Close() }()
	for _, row := range rows {
		if err := batch.Append(row...); err != nil {
			return fmt.Errorf("cannot insert into %s: %w", table, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("cannot insert into %s: %w", table, err)
	}
	return nil
}
