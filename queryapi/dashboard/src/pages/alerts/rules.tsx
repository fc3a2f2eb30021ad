import { useEffect, useRef, useState } from 'react'
import { useCampaignNames, useRules } from '../../api/alerts'
import { zoneName } from '../../format'
import { Icon } from '../../parts/icon'
import { Empty, Loaded } from '../../parts/states'
import { useNow } from '../../shell/freshness'
import { ListSkeleton } from './list'
import { RuleRow } from './rule'
import { RuleForm } from './ruleform'
import type { Props } from './show'

/** searchFrom is from how many rules on there is a search. */
const searchFrom = 12

/** saidFor is how long it is said that something was done, in milliseconds; what it did is seen in the list. */
const saidFor = 8_000

/** Rules is what is watched, and who is told. */
export function Rules(props: Props) {
  const { workspace, zone } = props
  const rules = useRules(workspace)
  const names = useCampaignNames(workspace)
  const now = useNow(60_000)
  const [sought, setSought] = useState('')
  const [making, setMaking] = useState(false)
  const [said, setSaid] = useState('')
  useEffect(() => {
    if (said === '') return
    const timer = window.setTimeout(() => setSaid(''), saidFor)
    return () => window.clearTimeout(timer)
  }, [said])
  const heading = useRef<HTMLHeadingElement>(null)
  const nameOf = (id: string) => names.data?.find((campaign) => campaign.id === id)?.name ?? id
  return (
    <section className="panel" aria-label="Rules" aria-busy={rules.isPending || undefined}>
      <div className="panel-head">
        <div className="panel-title">
          <h2 ref={heading} tabIndex={-1}>
            Rules
          </h2>
          <p className="soft small">Times are in {zoneName(zone, now)}</p>
        </div>
        <div className="panel-actions">
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
          {props.write ? (
            <button type="button" className="button button-main" onClick={() => setMaking(true)}>
              <Icon name="plus" />
              New rule
            </button>
          ) : null}
        </div>
      </div>
      <p role="status" className={said ? 'notice notice-good alert-said' : 'hidden-visually'}>
        {said}
      </p>
      {making ? (
        <RuleForm workspace={workspace} zone={zone} rule={null} onClose={() => setMaking(false)} onSaved={setSaid} />
      ) : null}
      <Loaded query={rules} skeleton={<ListSkeleton label="Loading rules" rows={10} lines={2} />}>
        {(items) => {
          const found = items.filter((rule) => rule.name.toLocaleLowerCase().includes(sought.trim().toLocaleLowerCase()))
          const gone = props.view.rule !== null && items.every((rule) => rule.rule_id !== props.view.rule)
          if (found.length === 0) return <Empty title={items.length === 0 ? 'No rules' : 'No rule is called so'} />
          return (
            <>
              {gone ? (
                <p className="notice" role="status">
                  There is no such rule. It may have been deleted.
                </p>
              ) : null}
              <ul className="alert-list alert-list-long" aria-label="Rules">
                {found.map((rule) => (
                  <RuleRow key={rule.rule_id} {...props} rule={rule} nameOf={nameOf} onSaid={setSaid} after={heading} />
                ))}
              </ul>
            </>
          )
        }}
      </Loaded>
    </section>
  )
}
