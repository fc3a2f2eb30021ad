package queryapi

import (
	"context"
	"math/big"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// headline is a workspace of the operator's list and what it is sorted by.
type headline struct {
	body WorkspaceHeadline
	keys map[string]sortKey
}

// boards are the headlines of each partition. They are made a partition at a
// time, because its workspaces share watermark and revision, and with a few
// statements for all of them: one that asked for each balance would send
// thousands.
type boards struct {
	once singleflight.Group

	mu   sync.Mutex
	made map[int]board
}

// board is what is known of a partition's workspaces.
type board struct {
	key       string // see question.key
	madeAt    time.Time
	headlines []*headline
}

const (
	// boardAge is how old a board may be although its partition has moved on:
	// making one reads the whole usage of its workspaces.
	boardAge = 15 * time.Second
	// boardsAtOnce leaves the store to the dashboards.
	boardsAtOnce = 2
	// boardChunk is how many workspaces one statement is about: some ten
	// thousand edges.
	boardChunk = 500
	// maxBoardWorkspaces bounds the list; at 1 kB each it is 50 MB.
	maxBoardWorkspaces = 50_000
)

// headlines returns those of all workspaces.
func (s *Server) headlines(ctx context.Context) ([]*headline, error) {
	ids, err := s.allWorkspaces(ctx)
	if err != nil {
		return nil, err
	}
	made := make([]board, s.cfg.Partitions)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(boardsAtOnce)
	for partition, names := range ids {
		group.Go(func() (err error) {
			made[partition], err = s.board(groupCtx, partition, names)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []*headline
	for _, b := range made {
		all = append(all, b.headlines...)
	}
	return all, nil
}

// allWorkspaces returns every workspace that a counted record names, with its
// name, by partition.
func (s *Server) allWorkspaces(ctx context.Context) (map[int]map[string]string, error) {
	ids, count := make(map[int]map[string]string), 0
	bound := parameters{}
	bound.Integer("limit", maxBoardWorkspaces+1)
	err := s.query(ctx, "workspaces_all", namedWorkspaces+`
GROUP BY workspace_id LIMIT {limit:UInt32}`, bound, func(scan func(...any) error) error {
		var id, name string
		if err := scan(&id, &name); err != nil {
			return err
		}
		partition := schemas.Partition([]byte(id), s.cfg.Partitions)
		if ids[partition] == nil {
			ids[partition] = make(map[string]string)
		}
		ids[partition][id] = name
		count++
		return nil
	})
	if err == nil && count > maxBoardWorkspaces {
		err = problem(CodeRangeTooLarge, "there are more than %d workspaces", maxBoardWorkspaces)
	}
	return ids, err
}

// board returns the headlines of a partition: those at hand if nothing has
// changed that they are made of, or if they are young.
func (s *Server) board(ctx context.Context, partition int, names map[string]string) (board, error) {
	fresh, err := s.freshnessOf(ctx, partition)
	if err != nil {
		return board{}, err
	}
	q := question{Conditional: Conditional{asked: "board"}}
	key := q.key(fresh)
	if s.cfg.CacheBytes > 0 {
		s.boards.mu.Lock()
		known, ok := s.boards.made[partition]
		s.boards.mu.Unlock()
		// A workspace that is new raises the revision as well.
		if age := s.cfg.Now().Sub(known.madeAt); ok && (known.key == key || age >= 0 && age < boardAge) {
			return known, nil
		}
	}
	done := s.boards.once.DoChan(strconv.Itoa(partition), func() (any, error) {
		// Whoever began must be able to go away without the others' losing it.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		made, err := unlessPanic(func() (board, error) { return s.makeBoard(shared, names, fresh) })
		made.key = key
		if err == nil {
			s.boards.mu.Lock()
			defer s.boards.mu.Unlock()
			if s.boards.made == nil {
				s.boards.made = make(map[int]board)
			}
			s.boards.made[partition] = made
		}
		return made, err
	})
	select {
	case result := <-done:
		made, _ := result.Val.(board)
		return made, result.Err
	case <-ctx.Done():
		return board{}, ctx.Err()
	}
}

// makeBoard makes the headlines of the workspaces of one partition.
func (s *Server) makeBoard(ctx context.Context, names map[string]string, fresh freshness) (board, error) {
	made := board{madeAt: s.cfg.Now()}
	ids := make([]string, 0, len(names))
	for id := range names {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for chunk := range slices.Chunk(ids, boardChunk) {
		ledgers, err := s.ledgersOf(ctx, chunk)
		if err != nil {
			return made, err
		}
		active, err := s.activeCampaigns(ctx, chunk)
		if err != nil {
			return made, err
		}
		ahead, err := s.projectionsOf(ctx, chunk, fresh)
		if err != nil {
			return made, err
		}
		burns := make([]*burning, len(chunk))
		for i, id := range chunk {
			if burns[i], err = planBurn(ledgers[id], ledgerNow(fresh.at), timeEnd, windowEndAt(fresh)); err != nil {
				return made, err
			}
		}
		if err := s.sumBoard(ctx, chunk, burns); err != nil {
			return made, err
		}
		for i, id := range chunk {
			left, err := burns[i].balance(ahead[id])
			if err != nil {
				return made, err
			}
			made.headlines = append(made.headlines, headlineOf(id, names[id], left, burns[i], active[id], fresh))
		}
	}
	return made, nil
}

// headlineOf makes a row of the list.
func headlineOf(id, name string, left *Balance, burn *burning, active uint64, fresh freshness) *headline {
	h := &headline{body: WorkspaceHeadline{
		WorkspaceID: id, Name: stringOrNull(name),
		Remaining: left.Remaining, Allocated: left.Allocated, Used: left.Used, Overdraft: left.Overdraft,
		ExpiresAt: left.ExpiresAt, DaysRemaining: left.DaysRemaining, BurnRate: left.BurnRate, Runway: left.Runway,
		ActiveCampaigns: active, Figures: fresh.figures(),
	}}
	number := func(t schemas.Total) sortKey { return sortKey{Known: true, Hi: t.Hi, Lo: t.Lo, ID: id} }
	runway := sortKey{ID: id}
	switch {
	case left.Runway.ExhaustsAt != nil:
		// Its text has one length up to the milliseconds, which '.' < 'Z' puts
		// in the wrong place within a second.
		runway.Known, runway.Text = true, string(*left.Runway.ExhaustsAt)
		if len(runway.Text) == len("2006-01-02T15:04:05Z") {
			runway.Text = runway.Text[:len(runway.Text)-1] + ".000Z"
		}
	case left.Runway.Reason != nil && *left.Runway.Reason == "exhausted":
		runway.Known = true
	}
	h.keys = map[string]sortKey{"runway": runway, "remaining": number(burn.remaining), "burn_rate": number(burn.gross[runwayWindow])}
	return h
}

// ledgersOf reads the ledgers of some workspaces.
func (s *Server) ledgersOf(ctx context.Context, ids []string) (map[string][]balance.Entry, error) {
	bound := parameters{}
	bound.Strings("workspaces", ids)
	ledgers := make(map[string][]balance.Entry, len(ids))
	err := s.query(ctx, "board_entries", "SELECT "+balance.EntryColumns+`, workspace_id
FROM credit_entries WHERE workspace_id IN {workspaces:Array(String)}`, bound, func(scan func(...any) error) error {
		var id string
		e, err := balance.ScanEntry(scan, &id)
		ledgers[id] = append(ledgers[id], e)
		return err
	})
	return ledgers, err
}

// projectionsOf reads what some workspaces will use.
func (s *Server) projectionsOf(ctx context.Context, ids []string, fresh freshness) (map[string]*projected, error) {
	bound, found := parameters{}, make(map[string]*projected)
	bound.Strings("workspaces", ids)
	bound.String("whole", wholeWorkspace)
	err := s.query(ctx, "board_projections", "SELECT "+projectionColumns+`, workspace_id
FROM campaign_projections FINAL
WHERE workspace_id IN {workspaces:Array(String)} AND campaign_id = {whole:String}`, bound, func(scan func(...any) error) error {
		var id string
		_, p, err := scanProjection(scan, &id)
		if err == nil && fresh.Watermark != schemas.NoInstant && p.watermark >= fresh.Watermark-maxProjectionAge {
			found[id] = p
		}
		return err
	})
	return found, err
}

// activeCampaigns counts the active campaigns of some workspaces.
func (s *Server) activeCampaigns(ctx context.Context, ids []string) (map[string]uint64, error) {
	bound := parameters{}
	bound.Strings("workspaces", ids)
	active := make(map[string]uint64)
	err := s.query(ctx, "board_campaigns", `
SELECT workspace_id, countIf(status = 'ACTIVE') FROM (
    SELECT workspace_id, campaign_id, argMax(campaigns.status, (time, epoch, koff)) AS status
    FROM campaigns WHERE workspace_id IN {workspaces:Array(String)} GROUP BY workspace_id, campaign_id
) GROUP BY workspace_id`, bound, func(scan func(...any) error) error {
		var id string
		var count uint64
		err := scan(&id, &count)
		active[id] = count
		return err
	})
	return active, err
}

// boardQuery sums up usage between the edges of each workspace. All of them lie
// on one line: the number of the workspace in the upper half of a position, the
// second in the lower, so that one roundDown finds the edge before each row.
// Quarters of an hour within which there is an edge are read by the minute.
const boardQuery = `
SELECT roundDown(position, {edges:Array(Int64)}) AS edge, sum(net) AS net, sum(refunds) AS refunds
FROM (
SELECT ` + boardNumber + ` + toInt64(toUnixTimestamp(bucket)) AS position, credits_micro AS net, refunds_micro AS refunds
FROM usage_15m_total
WHERE workspace_id IN {workspaces:Array(String)} AND position NOT IN {partial:Array(Int64)}
UNION ALL
SELECT ` + boardNumber + ` + toInt64(toUnixTimestamp(bucket)) AS position, credits_micro AS net, refunds_micro AS refunds
FROM usage_1m
WHERE workspace_id IN {workspaces:Array(String)} AND toUnixTimestamp(toStartOfFifteenMinutes(bucket)) IN {quarters:Array(UInt32)}
    AND ` + boardNumber + ` + toInt64(toUnixTimestamp(toStartOfFifteenMinutes(bucket))) IN {partial:Array(Int64)}
)
GROUP BY edge`

const boardNumber = `bitShiftLeft(transform(workspace_id, {workspaces:Array(String)}, {numbers:Array(Int64)}, toInt64(0)), 32)`

// sumBoard adds usage to the burn-downs of some workspaces.
func (s *Server) sumBoard(ctx context.Context, ids []string, burns []*burning) error {
	var numbers, edges, partial, quarters []schemas.Millis
	for i, burn := range burns {
		number := schemas.Millis(i + 1)
		numbers = append(numbers, number)
		line := number << 32
		// Everything has an edge of its own workspace before it.
		edges = append(edges, line+timeBegin/1000)
		for _, edge := range burn.edges {
			edge = max(edge, timeBegin) / 1000
			edges = append(edges, line+edge)
			if quarter := edge - edge%(quarterMillis/1000); quarter != edge {
				partial, quarters = append(partial, line+quarter), append(quarters, quarter)
			}
		}
	}
	for _, list := range []*[]schemas.Millis{&edges, &partial, &quarters} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	bound := parameters{}
	bound.Strings("workspaces", ids)
	bound.Integers("numbers", numbers)
	bound.Integers("edges", edges)
	bound.Integers("partial", partial)
	bound.Integers("quarters", quarters)
	return s.query(ctx, "board", boardQuery, bound, func(scan func(...any) error) error {
		var (
			edge         int64
			net, refunds big.Int
			used         usage
		)
		err := scan(&edge, &net, &refunds)
		if err != nil {
			return err
		}
		if used.net, err = schemas.TotalFromBig(&net); err != nil {
			return err
		}
		if used.refunds, err = schemas.TotalFromBig(&refunds); err != nil {
			return err
		}
		burns[edge>>32-1].add(schemas.Millis(edge&(1<<32-1))*1000, used)
		return nil
	})
}
