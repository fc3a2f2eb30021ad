import { useEffect } from 'react'
import { serverNow } from '../../api/clock'
import { rows } from '../../api/queries'
import { clockSeconds, count, zoneName } from '../../format'
import { Icon } from '../../parts/icon'
import { More } from '../../parts/more'
import { Panel } from '../../parts/panel'
import { Empty, Loaded, SkeletonRows } from '../../parts/states'
import { navigate, usePlace, withQuery } from '../../router'
import { useZone } from '../../shell/zone'
import { ZonePicker } from '../../shell/zonepicker'
import { type Order, type Sort, useWorkspaces, usual } from './query'
import { WorkspaceTable } from './table'
import { matches } from './words'

/** Board is all workspaces, those that run out first on top. */
export function Board() {
  const place = usePlace()
  const { zone } = useZone()
  const sort = sortOf(place.query.get('sort'))
  const order = orderOf(place.query.get('order'), sort)
  const search = place.query.get('q') ?? ''
  const list = useWorkspaces(sort, order)
  const { hasNextPage, isFetching, isError, fetchNextPage } = list
  useEffect(() => {
    // The API does not search: what is searched has to be here.
    if (search !== '' && hasNextPage && !isFetching && !isError) void fetchNextPage()
  }, [search, hasNextPage, isFetching, isError, fetchNextPage])
  const change = (changes: Record<string, string | null>) => navigate(withQuery(place, changes), { replace: true })
  const onSort = (by: Sort) => {
    const next = by === sort ? (order === 'asc' ? 'desc' : 'asc') : usual[by]
    change({ sort: by === 'runway' ? null : by, order: next === usual[by] ? null : next })
  }
  const total = list.data?.pages[0]?.total
  const at = list.data?.pages[0]?.items[0]?.freshness.at
  const asOf = at ? `As of ${clockSeconds(at, zone)}, refreshed every 15 seconds. ` : ''
  return (
    <>
      <div className="page-head">
        <h1>Workspaces</h1>
        <div className="page-tools">
          <ZonePicker />
        </div>
      </div>
      <Panel
        title={total === undefined ? 'All workspaces' : `${count(total)} ${total === 1 ? 'workspace' : 'workspaces'}`}
        note={`${asOf}Times in ${zoneName(zone, serverNow())}.`}
        actions={
          <label className="board-search">
            <span className="hidden-visually">Search by name or id</span>
            <Icon name="search" />
            <input
              className="input"
              type="search"
              dir="auto"
              placeholder="Search by name or id"
              value={search}
              onChange={(event) => change({ q: event.target.value || null })}
            />
          </label>
        }
      >
        <Loaded query={list} skeleton={<SkeletonRows rows={8} label="Loading the workspaces" />}>
          {(data) => {
            const found = rows(data).filter((workspace) => matches(workspace, search))
            return (
              <>
                {found.length === 0 ? (
                  <Empty title={search === '' ? 'No workspace yet' : hasNextPage ? 'Searching' : 'No workspace matches'}>
                    {search === '' ? <p>A workspace is there as soon as an event, a grant or a campaign names it.</p> : null}
                  </Empty>
                ) : (
                  <WorkspaceTable workspaces={found} zone={zone} now={serverNow()} sort={sort} order={order} onSort={onSort} />
                )}
                <p className="hidden-visually" role="status">
                  {search === '' ? '' : `${count(found.length)} found`}
                </p>
                <More pages={list} />
              </>
            )
          }}
        </Loaded>
      </Panel>
    </>
  )
}

/** sortOf and orderOf read the address; what makes no sense in it is as if it were not there. */
export const sortOf = (text: string | null): Sort => (text === 'remaining' || text === 'burn_rate' ? text : 'runway')
export const orderOf = (text: string | null, sort: Sort): Order => (text === 'asc' || text === 'desc' ? text : usual[sort])
