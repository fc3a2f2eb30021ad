package queryapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// TestAuditTellsWhatIsProvenOfAWorkspaceAlone: other workspaces' findings, and
// what was not there when looked at again, are nobody's business.
func TestAuditTellsWhatIsProvenOfAWorkspaceAlone(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	h.insert(event{"ws_a", "", "", now.Add(-time.Hour), 1})
	var none queryapi.Audit
	h.get("/v1/workspaces/ws_a/audit", nil, &none)
	if none.SealedThrough != nil || none.ProvableFrom != nil || none.AuditedAt != nil || none.Drift.Places != 0 || none.Drift.Credits != "0" {
		t.Errorf("before any audit: %+v", none)
	}
	h.exec(`INSERT INTO audit_progress (epoch, topic, kpart, next, at) VALUES (1, '', 0, toUnixTimestamp('2026-11-22 08:00:00', 'UTC'), '2026-11-22 09:00:00'),
		(1, '', 2, toUnixTimestamp('2026-11-01 00:00:00', 'UTC'), '2026-11-22 09:00:00'), (1, '', 3, 7, '2026-11-22 09:00:20')`)
	h.exec(`INSERT INTO audit_hours (epoch, hour, dirty, at) VALUES (1, '2026-11-21 05:00:00', 1, '2026-11-22 09:00:00'), (1, '2026-11-20 05:00:00', 1, '2026-11-22 09:00:00')`)
	h.exec(`INSERT INTO audit_hours (epoch, hour, dirty, at) VALUES (1, '2026-11-20 05:00:00', 0, '2026-11-22 09:00:01')`)
	h.exec(`INSERT INTO audits (topic, epoch, kpart, what, workspace_id, hour, first_seen_at, state, step, expected_micro, found_micro, token)
		SELECT 'credits.consumption', 1, 0, 'usage_1m', ws, toDateTime('2026-11-21 01:00:00', 'UTC') + 3600 * n, '2026-11-22 08:30:00', state, step, 5000000, found, state
		FROM values('ws String, n UInt32, state String, step UInt8, found Int64', ('ws_a', 1, 'drift', 1, 3500000), ('ws_a', 2, 'drift', 2, 7000000), ('ws_a', 3, 'repaired', 3, 0),
			('ws_a', 4, 'ok', 3, 0), ('ws_a', 5, 'unprovable', 3, 0), ('ws_b', 6, 'drift', 1, 0))`)
	// The row of the last step holds.
	h.exec(`INSERT INTO audits (topic, epoch, kpart, what, workspace_id, hour, first_seen_at, state, step) VALUES ('credits.consumption', 1, 0, 'usage_1m', 'ws_a', '2026-11-21 04:00:00', '2026-11-22 08:30:00', 'drift', 2)`)
	var got queryapi.Audit
	h.get("/v1/workspaces/ws_a/audit", nil, &got)
	if got.SealedThrough == nil || *got.SealedThrough != "2026-11-21T05:00:00Z" || *got.ProvableFrom != "2026-11-01T00:00:00Z" || *got.AuditedAt != "2026-11-22T09:00:20Z" {
		t.Errorf("%+v", got)
	}
	if got.Drift.Places != 2 || got.Drift.Credits != "3.5" || len(got.Drift.Items) != 2 || got.Repairs.Repaired != 1 || got.Repairs.Unprovable != 1 || len(got.Repairs.Items) != 2 {
		t.Errorf("%+v", got)
	}
	if r := h.do(http.MethodGet, "/v1/workspaces/ws_nobody/audit"); r.status != http.StatusNotFound {
		t.Errorf("a workspace that nobody named: %d", r.status)
	}
}

// TestAuditListsWhatAWorkspaceShouldKnowOfItsIDsAndGrants, and nothing of what
// others in its partition have.
func TestAuditListsWhatAWorkspaceShouldKnowOfItsIDsAndGrants(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	h.grant("ws_a", "known", 5, now, nil)
	for _, ws := range []string{"ws_a", "ws_b"} {
		h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id) VALUES
			(?, '2026-11-21 00:00:00', 'v1', 'credits.grant_voided', 'known'), (?, '2026-11-21 00:01:00', 'v2', 'credits.grant_voided', 'unknown')`, ws, ws)
		h.exec(`INSERT INTO events (workspace_id, time, event_id, credits_micro) VALUES (?, '2026-11-20 05:00:00', 'again', 1), (?, '2026-11-21 05:00:00', 'again', 1), (?, '2026-11-21 06:00:00', 'once', 1)`, ws, ws, ws)
	}
	var got queryapi.Audit
	h.get("/v1/workspaces/ws_a/audit", nil, &got)
	if len(got.UnknownGrants) != 1 || got.UnknownGrants[0] != (queryapi.AuditUnknownGrant{EventID: "v2", GrantID: "unknown", At: "2026-11-21T00:01:00Z"}) || got.ReusedIDs != nil {
		t.Errorf("%+v, ids %+v", got.UnknownGrants, got.ReusedIDs)
	}
	h.get("/v1/workspaces/ws_a/audit?ids=true", nil, &got)
	want := queryapi.AuditReusedID{EventID: "again", Events: 2, Times: 2, FirstAt: "2026-11-20T05:00:00Z", LastAt: "2026-11-21T05:00:00Z"}
	if got.ReusedIDs == nil || len(got.ReusedIDs.Items) != 1 || got.ReusedIDs.Items[0] != want || *got.ReusedIDs.From != "2026-11-20T00:00:00Z" {
		t.Errorf("%+v", got.ReusedIDs)
	}
}
