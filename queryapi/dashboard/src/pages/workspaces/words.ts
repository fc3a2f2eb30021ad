import type { Schemas } from '../../api/client'
import { day, instant } from '../../format'

type Headline = Schemas['WorkspaceHeadline']

/** Ending is how a workspace's credits end: a date, or why there is none. */
export type Ending = { text: string; more: string; tone: 'bad' | 'warn' | 'plain' }

/** soon is when somebody should look at it, in milliseconds; exactly is when the day alone says too little. */
const soon = 7 * 86_400_000
const exactly = 2 * 86_400_000

/** endingOf says when the credits of a workspace run out. */
export function endingOf({ overdraft, runway }: Pick<Headline, 'overdraft' | 'runway'>, zone: string, now: number): Ending {
  if (overdraft !== '0') return { text: 'Overdrawn', more: '', tone: 'bad' }
  if (runway.exhausts_at !== null) {
    const left = Date.parse(runway.exhausts_at) - now
    return {
      text: left < exactly ? instant(runway.exhausts_at, zone) : day(runway.exhausts_at, zone),
      more: runway.p10 && day(runway.p10, zone) !== day(runway.exhausts_at, zone) ? `As early as ${day(runway.p10, zone)}` : '',
      tone: left < exactly ? 'bad' : left < soon ? 'warn' : 'plain',
    }
  }
  switch (runway.reason) {
    case 'exhausted':
      return { text: 'Used up', more: '', tone: 'bad' }
    case 'no_consumption':
      return { text: 'Not in use', more: '', tone: 'plain' }
    case 'beyond_5_years':
      return { text: 'In over 5 years', more: '', tone: 'plain' }
    default:
      return { text: runway.method === 'insufficient_data' ? 'Not known yet' : 'Not at this rate', more: '', tone: 'plain' }
  }
}

/** matches tells whether a workspace is among those searched for. */
export function matches({ name, workspace_id }: Pick<Headline, 'name' | 'workspace_id'>, search: string): boolean {
  const wanted = search.trim().toLocaleLowerCase()
  return wanted === '' || `${name ?? ''}\n${workspace_id}`.toLocaleLowerCase().includes(wanted)
}
