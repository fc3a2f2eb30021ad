import { useState } from 'react'
import { useCampaignNames, useRules } from '../../api/alerts'
import { zoneName } from '../../format'
import { Empty, Loaded } from '../../parts/states'
import { useNow } from '../../shell/freshness'
import { ListSkeleton } from './list'
import { RuleRow } from './rule'
import type { Props } from './show'

/** searchFrom is from how many rules on there is a search. */
const searchFrom = 12

/** Rules is what is watched, and who is told. */
export function Rules(props: Props) {
  const { workspace, zone } = props
  const rules = useRules(workspace)
  const names = useCampaignNames(workspace)
  const now = useNow(60_000)
  const [sought, setSought] = useState('')
  const nameOf = (id: string) => names.data?.find((campaign) => campaign.id === id)?.name ?? id
  return (
    <section className="panel" aria-label="Rules" aria-busy={rules.isPending || undefined}>
      <div className="panel-head alert-head">
        <div className="panel-title">
          <h2>Rules</h2>
          <p className="soft small">
            {props.write ? '' : 'You may read the rules; changing them takes the permission to write alerts. '}Times are in{' '}
            {zoneName(zone, now)}
          </p>
        </div>
        {(rules.data?.length ?? 0) >= searchFrom ? (
          <input
            type="search"
            className="input"
            aria-label="Search rules"
            placeholder="Search rules"
            value={sought}
            onChange={(event) => setSought(event.target.value)}
          />
        ) : null}
      </div>
      <Loaded query={rules} skeleton={<ListSkeleton label="Loading rules" rows={10} />}>
        {(items) => {
          const found = items.filter((rule) => rule.name.toLocaleLowerCase().includes(sought.trim().toLocaleLowerCase()))
          if (found.length === 0) return <Empty title={items.length === 0 ? 'No rules' : 'No rule is called so'} />
          return (
            <ul className="alert-list alert-list-long" aria-label="Rules">
              {found.map((rule) => (
                <RuleRow key={rule.rule_id} {...props} rule={rule} nameOf={nameOf} />
              ))}
            </ul>
          )
        }}
      </Loaded>
    </section>
  )
}
