package queryapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

// Audit is the proof of a workspace's figures.
type Audit struct {
	SealedThrough *Instant            `json:"sealed_through" doc:"End of the last hour of event time before which every hour was audited, and none was counted into since; null: nothing was audited yet"`
	ProvableFrom  *Instant            `json:"provable_from" doc:"Start of the first hour that can be proven; raw events before it may have aged out"`
	AuditedAt     *Instant            `json:"audited_at" doc:"When the audit last went on; null: never"`
	Drift         AuditDrift          `json:"drift" doc:"What differs from what it must be and is not repaired yet; 0 unless something went wrong"`
	Batches       AuditBatches        `json:"batches" doc:"Ranges of the log in the workspace's partition"`
	Repairs       AuditRepairs        `json:"repairs" doc:"What differed and was put right, or could not be any more"`
	UnknownGrants []AuditUnknownGrant `json:"unknown_grants" nullable:"false" doc:"Voids and adjustments of grants that nobody has granted: they take effect if the grant comes; the first 1,000"`
	ReusedIDs     *AuditReusedIDs     `json:"reused_ids" doc:"Ids under which more than one event was counted, which is right if they are different ones; null unless ids=true"`
	Figures
}

// TransformSchema lets reused_ids be null.
func (Audit) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	return nullable(schema, "reused_ids")
}

// AuditUnknownGrant is an entry of the ledger about a grant that is not there.
type AuditUnknownGrant struct {
	EventID string  `json:"event_id"`
	GrantID string  `json:"grant_id"`
	At      Instant `json:"at"`
}

// AuditReusedIDs are ids that came again with another time.
type AuditReusedIDs struct {
	From  *Instant        `json:"from" doc:"Start of the first day that was looked at: as many of the newest days as have five million events, but one at least; null: there are no events"`
	Items []AuditReusedID `json:"items" nullable:"false" doc:"The first 1,000, by id"`
}

// AuditReusedID is one of them.
type AuditReusedID struct {
	EventID string  `json:"event_id"`
	Events  uint64  `json:"events" doc:"Counted under the id"`
	Times   uint64  `json:"times" doc:"Different instants among them; fewer than events: one of them is counted twice, which the audit repairs"`
	FirstAt Instant `json:"first_at"`
	LastAt  Instant `json:"last_at"`
}

// AuditDrift is what is wrong at present.
type AuditDrift struct {
	Places  int            `json:"places" doc:"How many places differ"`
	Credits Decimal        `json:"credits" doc:"Sum of the absolute differences of the workspace's rollups"`
	Items   []AuditFinding `json:"items" nullable:"false" doc:"The first 100"`
}

// AuditBatches are counts.
type AuditBatches struct {
	Counted uint64 `json:"counted" doc:"In the ledger of batches"`
	Audited uint64 `json:"audited" doc:"Compared with what the tables hold"`
}

// AuditRepairs is what became of earlier drift.
type AuditRepairs struct {
	Repaired   int            `json:"repaired"`
	Unprovable int            `json:"unprovable" doc:"Left as they are, because Kafka no longer has what would prove them"`
	Items      []AuditFinding `json:"items" nullable:"false" doc:"The newest 100"`
}

// AuditFinding is one place that differed.
type AuditFinding struct {
	Table       string   `json:"table" doc:"A rollup, or a table of records: events, credit_entries, states, rejections, ingest_batches"`
	State       string   `json:"state" enum:"drift,repaired,unprovable"`
	Hour        *Instant `json:"hour" doc:"Of a rollup the hour (of usage_1d the day); null: of offsets"`
	Topic       string   `json:"topic"`
	Partition   int      `json:"partition"`
	FirstOffset *int64   `json:"first_offset" doc:"null: of a rollup"`
	LastOffset  *int64   `json:"last_offset" doc:"null: of a rollup"`
	Expected    *Decimal `json:"expected" doc:"Credits that the differing keys of the workspace should have; null: of offsets, which may be of several workspaces"`
	Found       *Decimal `json:"found" doc:"Credits that they had"`
	FirstSeenAt Instant  `json:"first_seen_at"`
	ConfirmedAt *Instant `json:"confirmed_at" doc:"When it was seen again; null: not yet"`
	SettledAt   *Instant `json:"settled_at" doc:"When it was repaired or given up; null: not yet"`
	Token       string   `json:"token" doc:"Under which it was repaired; empty: no rows were put in"`
}

// AuditInput are the parameters.
type AuditInput struct {
	WorkspaceID string `path:"workspace_id"`
	IDs         bool   `query:"ids" doc:"List ids that came again as well, which reads all of them"`
	IfNoneMatch string `header:"If-None-Match" doc:"ETag of an answer at hand: 304 if it still holds"`
}

// Resolve refuses parameters that nobody knows.
func (in *AuditInput) Resolve(ctx huma.Context) []error { return strict(ctx) }

func (s *Server) registerAudit(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "get-audit", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/audit",
		Metadata:    needs(ScopeRead),
		Summary:     "The proof that figures are exact",
		Description: "Every range of the log is compared with what was counted of it, and every hour in every rollup with what it is made from. What differs is seen twice before it is repaired.",
	}, s.proof)
}

const (
	auditPlacesQuery = `
SELECT kpart, next, at FROM audit_progress FINAL WHERE epoch = {epoch:UInt32} AND topic = ''
UNION ALL
SELECT 100, toInt64(toUnixTimestamp(min(hour))), max(at) FROM audit_hours FINAL WHERE epoch = {epoch:UInt32} AND dirty = 1 HAVING count() > 0`

	auditBatchesQuery = `
SELECT count(), countIf(b.last < p.next) FROM ingest_batches AS b
LEFT JOIN (SELECT topic, next FROM audit_progress FINAL WHERE epoch = {epoch:UInt32} AND kpart = {partition:UInt16} AND topic != '') AS p ON p.topic = b.topic
WHERE b.epoch = {epoch:UInt32} AND b.kpart = {partition:UInt16}`

	// auditFindingsQuery reads what is about the workspace or its partition.
	auditFindingsQuery = audits.Query + `
    AND state != 'ok' AND (workspace_id = {workspace:String} OR workspace_id = '' AND kpart = {partition:UInt16})
ORDER BY first_seen_at DESC, what, hour, first LIMIT 10000`

	// auditItems bounds each list.
	auditItems = 100
)

// proof is never kept: what is found changes without a revision.
func (s *Server) proof(ctx context.Context, in *AuditInput) (*Answer[Audit], error) {
	q := question{workspace: in.WorkspaceID, Conditional: Conditional{IfNoneMatch: in.IfNoneMatch}}
	return answered(ctx, s, q, func(ctx context.Context, _ freshness) (*Audit, error) {
		if err := s.mustExist(ctx, in.WorkspaceID); err != nil {
			return nil, err
		}
		body, err := s.proofOf(ctx, in.WorkspaceID)
		if err == nil {
			body.UnknownGrants, err = s.unknownGrants(ctx, in.WorkspaceID)
		}
		if err == nil && in.IDs {
			body.ReusedIDs, err = s.reusedIDs(ctx, in.WorkspaceID)
		}
		return body, err
	})
}

func (s *Server) proofOf(ctx context.Context, workspaceID string) (*Audit, error) {
	bound := parameters{}
	bound.Integer("epoch", int64(s.cfg.Epoch))
	bound.Integer("partition", int64(schemas.Partition([]byte(workspaceID), s.cfg.Partitions)))
	bound.String("workspace", workspaceID)
	body := &Audit{Drift: AuditDrift{Items: []AuditFinding{}}, Repairs: AuditRepairs{Items: []AuditFinding{}}}
	if err := s.auditPlaces(ctx, bound, body); err != nil {
		return nil, err
	}
	err := s.query(ctx, "batches", auditBatchesQuery, bound, func(scan func(...any) error) error { return scan(&body.Batches.Counted, &body.Batches.Audited) })
	if err != nil {
		return nil, err
	}
	var differ schemas.Total
	err = s.query(ctx, "the audit's findings", auditFindingsQuery, bound, func(scan func(...any) error) error {
		var f audits.Finding
		if err := f.Scan(scan); err != nil {
			return err
		}
		switch f.State {
		case audits.Drift:
			body.Drift.Places++
			if d := f.ExpectedMicro.Sub(f.FoundMicro); !f.Range() {
				differ = differ.Add(d.Max(d.Neg()))
			}
			if len(body.Drift.Items) < auditItems {
				body.Drift.Items = append(body.Drift.Items, auditFinding(&f))
			}
			return nil
		case audits.Unprovable:
			body.Repairs.Unprovable++
		default:
			body.Repairs.Repaired++
		}
		if len(body.Repairs.Items) < auditItems {
			body.Repairs.Items = append(body.Repairs.Items, auditFinding(&f))
		}
		return nil
	})
	body.Drift.Credits = decimal(differ)
	return body, err
}

func (s *Server) unknownGrants(ctx context.Context, workspaceID string) ([]AuditUnknownGrant, error) {
	found := []AuditUnknownGrant{}
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.Integer("limit", audits.Listed)
	err := s.query(ctx, "entries of unknown grants", audits.UnknownGrantsQuery, bound, func(scan func(...any) error) error {
		var (
			g         AuditUnknownGrant
			workspace string
			at        time.Time
		)
		err := scan(&workspace, &g.EventID, &g.GrantID, &at)
		g.At = instant(schemas.MillisOf(at))
		found = append(found, g)
		return err
	})
	return found, err
}

// reusedEvents bounds how many ids one request compares: some seconds of one
// core, some hundred megabytes.
const reusedEvents = 5_000_000

func (s *Server) reusedIDs(ctx context.Context, workspaceID string) (*AuditReusedIDs, error) {
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.Integer("limit", audits.Listed)
	first, last, sum := schemas.NoInstant, schemas.NoInstant, int64(0)
	const days = "SELECT toInt64(toUnixTimestamp(bucket)), sum(events) FROM usage_1d WHERE workspace_id = {workspace:String} GROUP BY bucket ORDER BY bucket DESC"
	err := s.query(ctx, "events a day", days, bound, func(scan func(...any) error) error {
		var day, events int64
		err := scan(&day, &events)
		if sum += events; first == schemas.NoInstant || sum <= reusedEvents {
			first = schemas.Millis(day) * 1000
			last = max(last, first)
		}
		return err
	})
	found := &AuditReusedIDs{From: instantOrNull(first), Items: []AuditReusedID{}}
	if err != nil || first == schemas.NoInstant {
		return found, err
	}
	bound.Integer("from", int64(first))
	bound.Integer("to", int64(last)+24*time.Hour.Milliseconds())
	err = s.query(ctx, "ids that came again", audits.ReusedIDsQuery, bound, func(scan func(...any) error) error {
		var (
			r             AuditReusedID
			workspace     string
			firstAt, last time.Time
		)
		err := scan(&workspace, &r.EventID, &r.Events, &r.Times, &firstAt, &last)
		r.FirstAt, r.LastAt = instant(schemas.MillisOf(firstAt)), instant(schemas.MillisOf(last))
		found.Items = append(found.Items, r)
		return err
	})
	return found, err
}

// auditPlaces reads how far the audit is; numbers as in the table's comment.
func (s *Server) auditPlaces(ctx context.Context, bound parameters, body *Audit) error {
	sealed, dirty, provable, cycled := schemas.NoInstant, schemas.NoInstant, schemas.NoInstant, schemas.NoInstant
	err := s.query(ctx, "how far the audit is", auditPlacesQuery, bound, func(scan func(...any) error) error {
		var (
			which uint16
			next  int64
			at    time.Time
		)
		if err := scan(&which, &next, &at); err != nil {
			return err
		}
		switch seconds := schemas.Millis(next) * 1000; which {
		case 0:
			sealed = seconds
		case 2:
			provable = seconds
		case 3:
			cycled = schemas.MillisOf(at)
		case 100:
			dirty = seconds
		}
		return nil
	})
	if sealed != schemas.NoInstant && dirty != schemas.NoInstant {
		sealed = min(sealed, dirty)
	}
	body.SealedThrough, body.ProvableFrom, body.AuditedAt = instantOrNull(sealed), instantOrNull(provable), instantOrNull(cycled)
	return err
}

func auditFinding(f *audits.Finding) AuditFinding {
	item := AuditFinding{
		Table: f.What, State: string(f.State), Topic: f.Topic, Partition: f.Partition, FirstSeenAt: instant(f.FirstSeenAt),
		ConfirmedAt: instantOrNull(f.ConfirmedAt), SettledAt: instantOrNull(f.SettledAt), Token: f.Token,
	}
	if f.Range() {
		item.FirstOffset, item.LastOffset = &f.First, &f.Last
		return item
	}
	hour, expected, found := instant(f.Hour), decimal(f.ExpectedMicro), decimal(f.FoundMicro)
	item.Hour, item.Expected, item.Found = &hour, &expected, &found
	return item
}
