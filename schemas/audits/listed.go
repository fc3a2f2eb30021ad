package audits

// Listed bounds each list of what is no drift but ought to be known.
const Listed = 1000

const (
	// LastCycleQuery says whether there was a cycle of the audit in an epoch (more
	// than 0), when the last one ended, of how many batches with records the ledger
	// tells, and when the earliest of these came. Parameters: the epoch, twice.
	LastCycleQuery = `
SELECT cycles.1, cycles.2, batches.1, batches.2 FROM (
    SELECT (SELECT (count(), max(at)) FROM audit_progress WHERE epoch = ? AND topic = '' AND kpart = 3) AS cycles,
        (SELECT (count(), min(last_time)) FROM ingest_batches WHERE epoch = ? AND last_koff >= 0) AS batches)`

	// UnknownGrantsQuery finds voids and adjustments of grants that nobody has
	// granted: workspace_id, event_id, grant_id, time. Parameters: workspace
	// (empty: all), limit.
	UnknownGrantsQuery = `
SELECT workspace_id, event_id, grant_id, time FROM credit_entries
WHERE type != 'credits.granted' AND grant_id != '' AND ({workspace:String} = '' OR workspace_id = {workspace:String})
    AND (workspace_id, grant_id) NOT IN (SELECT workspace_id, grant_id FROM credit_entries WHERE type = 'credits.granted' AND ({workspace:String} = '' OR workspace_id = {workspace:String}))
ORDER BY workspace_id, time, event_id LIMIT {limit:UInt32}`

	// ReusedIDsQuery finds ids that were counted more than once in an interval:
	// workspace_id, event_id, events, different times, first and last time. It
	// reads all ids of the interval at once. Parameters: workspace (empty: all),
	// from and to in milliseconds, limit.
	ReusedIDsQuery = `
SELECT workspace_id, event_id, count(), uniqExact(time), min(time), max(time) FROM events
WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND ({workspace:String} = '' OR workspace_id = {workspace:String})
GROUP BY workspace_id, event_id HAVING count() > 1
ORDER BY workspace_id, event_id LIMIT {limit:UInt32}`
)
