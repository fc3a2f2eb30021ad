import type { Schemas } from '../../api/client'

/** weekdays as the API calls them, in the order of JavaScript. */
const weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']

/** Weekday is how the calendar calls them. */
type Weekday = 'sun' | 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat'

/** weekStartOf is the day on which weeks of a workspace begin. */
export const weekStartOf = (me: Schemas['Me'], workspace: string): string =>
  me.workspaces.find((w) => w.workspace_id === workspace)?.week_start ?? 'monday'

/** weekdayNumber is 0 for Sunday. */
export const weekdayNumber = (weekday: string): number => Math.max(weekdays.indexOf(weekday), 0)

/** weekdayShort is what the calendar calls a day. */
export const weekdayShort = (weekday: string): Weekday => (weekdays.includes(weekday) ? (weekday.slice(0, 3) as Weekday) : 'mon')
