package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas/audits"
)

// epochs looks whether what is configured is what has been counted.
func (x *examination) epochs(ctx context.Context) error {
	return x.rows(ctx, "SELECT arraySort(groupUniqArray(epoch)) FROM ingest_batches", func(rows driver.Rows) error {
		var known []uint32
		if err := rows.Scan(&known); err != nil {
			return err
		}
		if len(known) > 0 && known[len(known)-1] != x.Epoch {
			newest := known[len(known)-1]
			x.found("epoch", "database "+x.Database, fmt.Sprintf("the newest epoch with events is %d, configured is %d", newest, x.Epoch), "drawdown consume --epoch %d   # or go on with %d if the topics were made anew", newest, x.Epoch)
		}
		return nil
	})
}

// positions compares what is done with where the logs end.
func (x *examination) positions(ctx context.Context) error {
	if x.client == nil {
		return nil
	}
	type partition struct {
		topic string
		id    int
	}
	now, known := x.env.Now(), map[partition]bool{}
	err := x.rows(ctx, `SELECT topic, kpart, max(next_offset), max(at) FROM ingest_progress WHERE epoch = ? GROUP BY topic, kpart ORDER BY topic, kpart`, func(rows driver.Rows) error {
		var (
			topic string
			id    uint16
			next  uint64
			said  time.Time
		)
		if err := rows.Scan(&topic, &id, &next, &said); err != nil {
			return err
		}
		parts := x.log.parts[topic]
		if int(id) >= len(parts) {
			return nil
		}
		known[partition{topic, int(id)}] = true
		where, at := fmt.Sprintf("%s/%d", topic, id), parts[id]
		// A consumer that gets on says so every second, even with nothing to do. Before
		// it has, only a batch speaks for it.
		still, waits := now.Sub(said), at.end > int64(next)
		stands := still > x.StuckAfter && (waits || said.Unix() > 0)
		switch {
		case at.committed > int64(next):
			x.found("ledger", where, fmt.Sprintf("the group is at offset %d, the ledger of batches ends at %d: what is between was never counted", at.committed, next), "drawdown consume --resume-from-ledger")
		case at.committed >= 0 && at.accounted < int64(next) && stands:
			x.found("ledger", where, fmt.Sprintf("the group is at offset %d, though all before %d is counted: its offsets were set back, and whoever takes the partition over parks it", at.committed, next),
				"drawdown consume --resume-from-ledger")
		}
		const fix = "curl -s http://CONSUMER:8081/readyz   # says why it stands; drawdown consume starts another"
		switch {
		case stands && waits:
			x.found("progress", where, fmt.Sprintf("%d records wait and nothing has moved for %s", at.end-int64(next), still.Round(time.Second)), fix)
		case stands:
			x.found("progress", where, fmt.Sprintf("no record waits, but nobody has looked for %s", still.Round(time.Second)), fix)
		}
		return nil
	}, x.Epoch)
	if err != nil || x.conn == nil {
		return err
	}
	// Who counts says how far it is once a second, after the ledger.
	err = x.rows(ctx, "SELECT DISTINCT topic, kpart FROM ingest_batches WHERE epoch = ?", func(rows driver.Rows) error {
		var topic string
		var id uint16
		err := rows.Scan(&topic, &id)
		known[partition{topic, int(id)}] = true
		return err
	}, x.Epoch)
	if err != nil {
		return err
	}
	for topic, parts := range x.log.parts {
		for id, p := range parts {
			where := fmt.Sprintf("%s/%d", topic, id)
			switch {
			case known[partition{topic, id}]:
			case p.committed > p.start:
				x.found("ledger", where, fmt.Sprintf("the group is at offset %d and this database has counted nothing of epoch %d: another one may have", p.committed, x.Epoch),
					"drawdown consume --resume-from-ledger   # counts all that Kafka still has; or give the --clickhouse-database, --epoch or --kafka-group that belongs here")
			case p.end > p.start:
				x.found("progress", where, fmt.Sprintf("%d records wait and none was ever counted", p.end-p.start), "drawdown consume --kafka-group %s --epoch %d", x.Group, x.Epoch)
			}
		}
	}
	return nil
}

// ledgerGaps looks whether the ledger of batches is whole: a partition's ranges
// follow one another. Only where they do not add up are they looked at one by one.
func (x *examination) ledgerGaps(ctx context.Context) error {
	type partition struct {
		topic string
		id    uint16
	}
	var off []partition
	err := x.rows(ctx, `SELECT topic, kpart FROM ingest_batches WHERE epoch = ? GROUP BY topic, kpart
		HAVING sum(last - first + 1) != max(last) - min(first) + 1 ORDER BY topic, kpart`, func(rows driver.Rows) error {
		var p partition
		err := rows.Scan(&p.topic, &p.id)
		off = append(off, p)
		return err
	}, x.Epoch)
	if err != nil {
		return err
	}
	for _, p := range off {
		// Rows that are alike come from a retry past the window of tokens.
		err := x.rows(ctx, `SELECT toInt64(assumeNotNull(before)) + 1, toInt64(first) - 1, first > assumeNotNull(before) + 1 FROM (
				SELECT first, lagInFrame(toNullable(last)) OVER (ORDER BY first, last ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
				FROM (SELECT DISTINCT first, last FROM ingest_batches WHERE topic = ? AND epoch = ? AND kpart = ?))
			WHERE first != before + 1 ORDER BY first LIMIT 3`, func(rows driver.Rows) error {
			var (
				from, to int64
				gap      bool
			)
			if err := rows.Scan(&from, &to, &gap); err != nil {
				return err
			}
			where := fmt.Sprintf("%s/%d", p.topic, p.id)
			if gap {
				x.found("ledger", where, fmt.Sprintf("offsets %d to %d are missing in the ledger of batches: whether they were counted is not known", from, to),
					"drawdown consume --replay %s/%d..%d   # while no other consumer runs; counts what was not", where, from, to)
			} else {
				x.found("ledger", where, fmt.Sprintf("offset %d is in two ranges of the ledger of batches: it may have been counted twice", to+1),
					"drawdown consume --replay %s/%d..%d   # while no other consumer runs; removes what is there twice", where, to+1, from-1)
			}
			return nil
		}, p.topic, x.Epoch, p.id)
		if err != nil {
			return err
		}
	}
	return nil
}

// routing looks for producers that choose partitions in another way.
func (x *examination) routing(ctx context.Context) error {
	return x.rows(ctx, `SELECT topic, sum(rerouted) AS moved, sum(records) FROM ingest_batches
		WHERE epoch = ? AND last_time > now() - INTERVAL 1 DAY GROUP BY topic HAVING moved > 0 ORDER BY topic`, func(rows driver.Rows) error {
		var (
			topic          string
			moved, records uint64
		)
		if err := rows.Scan(&topic, &moved, &records); err != nil {
			return err
		}
		x.found("routing", topic, fmt.Sprintf("%d of the %d records of the last day came to the wrong partition and had to be sent again: a producer does not partition by murmur2 of the workspace_id", moved, records),
			"echo partitioner=murmur2_random   # in the configuration of the producer (librdkafka), with key = workspace_id")
		return nil
	}, x.Epoch)
}

// clocksOfProducers looks at what was refused over its time.
func (x *examination) clocksOfProducers(ctx context.Context) error {
	return x.rows(ctx, `SELECT code, count(), any(workspace_id), uniqExact(workspace_id) FROM rejections
		WHERE code IN ('in_future', 'misrouted') AND inserted_at > now() - INTERVAL 1 DAY GROUP BY code ORDER BY code`, func(rows driver.Rows) error {
		var (
			code, workspace string
			n, workspaces   uint64
		)
		if err := rows.Scan(&code, &n, &workspace, &workspaces); err != nil {
			return err
		}
		what := "its producer's clock is ahead"
		if code == "misrouted" {
			what = "they came to the wrong partition twice"
		}
		x.found("rejections", fmt.Sprintf("%s and %d other workspaces", workspace, workspaces-1), fmt.Sprintf("%d records of the last day were rejected as %s: %s", n, code, what), "drawdown rejections list --code %s --since 1d   # then, with the cause gone, replay", code)
		return nil
	})
}

// auditedWithin is how old the last cycle of the audit may be: one follows
// another after ten seconds and lasts a few minutes at most.
const auditedWithin = 10 * time.Minute

// audited looks whether anybody audits what has been counted.
func (x *examination) audited(ctx context.Context) error {
	if there, err := x.hasAudits(ctx); err != nil || !there {
		return err
	}
	var cycles, batches uint64
	var cycle, counted time.Time
	err := x.rows(ctx, audits.LastCycleQuery, func(rows driver.Rows) error { return rows.Scan(&cycles, &cycle, &batches, &counted) }, x.Epoch, x.Epoch)
	if err != nil || batches == 0 {
		return err
	}
	const fix = "drawdown aggregate   # one of these audits; its log says why it does not"
	since := x.env.Now().Sub(cycle)
	switch {
	case cycles > 0 && since > auditedWithin:
		x.found("audit", "database "+x.Database, fmt.Sprintf("nobody has audited what is counted for %s", since.Round(time.Second)), fix)
	case cycles == 0 && x.env.Now().Sub(counted) > auditedWithin:
		x.found("audit", "database "+x.Database, "nobody has ever audited what is counted", fix)
	}
	return nil
}

// hasAudits says that the database has the tables of the audit: one of an older
// version has not.
func (x *examination) hasAudits(ctx context.Context) (there bool, err error) {
	err = x.rows(ctx, "SELECT count() > 0 FROM system.tables WHERE database = currentDatabase() AND name = 'audits'", func(rows driver.Rows) error { return rows.Scan(&there) })
	return there, err
}

// drift looks at what the audit has found and not settled.
func (x *examination) drift(ctx context.Context) error {
	if there, err := x.hasAudits(ctx); err != nil || !there {
		return err
	}
	return x.rows(ctx, `SELECT topic, kpart, what, state, count() FROM audits FINAL WHERE epoch = ? AND state IN ('drift', 'unprovable')
		GROUP BY topic, kpart, what, state ORDER BY topic, kpart, what`, func(rows driver.Rows) error {
		var (
			topic, what, state string
			id                 uint16
			n                  uint64
		)
		if err := rows.Scan(&topic, &id, &what, &state, &n); err != nil {
			return err
		}
		if state == "drift" {
			x.found("drift", fmt.Sprintf("%s, %s/%d", what, topic, id), fmt.Sprintf("the audit has found %d differences that are not mended yet", n), "drawdown audit   # shows them; a running consumer mends what it sees twice")
		} else {
			x.found("unprovable", fmt.Sprintf("%s, %s/%d", what, topic, id), fmt.Sprintf("%d differences cannot be mended, because Kafka has no more of what was sent", n), "drawdown audit --json   # shows them")
		}
		return nil
	}, x.Epoch)
}

// parkedSample is a line of a consumer's metrics.
var parkedSample = regexp.MustCompile(`^drawdown_consumer_parked\{partition="(\d+)",reason="([^"]*)",topic="([^"]*)"\} 1$`)

// parked asks the consumers that are named.
func (x *examination) parked(ctx context.Context) error {
	for _, ops := range x.Ops {
		if err := x.askOps(ctx, ops); err != nil {
			x.found("ops", ops, err.Error(), "drawdown consume --ops-listen %s", ops)
		}
	}
	return nil
}

func (x *examination) askOps(ctx context.Context, ops string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+strings.TrimPrefix(ops, "http://")+"/metrics", http.NoBody)
	if err != nil {
		return fmt.Errorf("it is no address: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("the ops port does not answer: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	var seen []string
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		found := parkedSample.FindStringSubmatch(lines.Text())
		if found == nil || slices.Contains(seen, lines.Text()) {
			continue
		}
		seen = append(seen, lines.Text())
		x.found("parked", fmt.Sprintf("%s/%s", found[3], found[1]), fmt.Sprintf("the partition is parked: %s", found[2]), "curl -s http://%s/readyz   # says what to do; then restart that consumer", ops)
	}
	return lines.Err()
}
