import { parseDateTime, toZoned } from '@internationalized/date'
import { micro } from '../../../credits'

// What people type becomes what the API takes: exact decimals, instants with a zone.

/** mostCredits is the most that one entry may have (DESIGN section 3). */
const mostCredits = 1_000_000_000_000n * 1_000_000n

/** Typed is an amount as it was typed: what the API is sent, or what is wrong with it. */
export type Typed = { credits: string; wrong?: never } | { credits?: never; wrong: string }

/** typedCredits reads an amount above 0. A comma is a mark in some places and a group in others, so it is neither. */
export function typedCredits(text: string): Typed {
  const plain = text.replace(/[\s_]/g, '')
  if (plain === '') return { wrong: 'Say how many credits.' }
  if (plain.includes(',')) return { wrong: 'Write it without commas, such as 1234.5.' }
  if (!/^\d+(\.\d*)?$|^\.\d+$/.test(plain)) return { wrong: 'Write digits, such as 1234.5.' }
  const [whole = '', fraction = ''] = plain.split('.')
  const significant = fraction.replace(/0+$/, '')
  if (significant.length > 6) return { wrong: 'At most 6 decimals.' }
  const credits = `${whole.replace(/^0+(?=\d)/, '') || '0'}${significant ? `.${significant}` : ''}`
  if (micro(credits) === 0n) return { wrong: 'More than 0.' }
  if (micro(credits) > mostCredits) return { wrong: 'At most 1000000000000.' }
  return { credits }
}

/** Instant is what was typed as one: what the API is sent, neither where nothing was, or what is wrong with it. */
export type Instant = { at?: string; wrong?: string }

/** typedInstant reads a local date and time in a zone. Browsers have years of up to six digits, of which the API takes a hundred. */
export function typedInstant(text: string, zone: string): Instant {
  if (text === '') return {}
  try {
    const local = parseDateTime(text)
    if (local.year >= 2000 && local.year < 2100) return { at: toZoned(local, zone).toDate().toISOString() }
  } catch {
    // A year of five digits, or what a browser without such a field let through.
  }
  return { wrong: 'A day from 2000 to 2099.' }
}

/** typedPriority reads 0 to 1000, lower first; undefined: by default. */
export function typedPriority(text: string): { priority?: number; wrong?: string } {
  if (text.trim() === '') return {}
  const priority = Number(text)
  return Number.isInteger(priority) && priority >= 0 && priority <= 1000 ? { priority } : { wrong: 'From 0 to 1000.' }
}

/** isId tells of what the API takes as an id. */
export const isId = (text: string) => /^[A-Za-z0-9._:-]{1,128}$/.test(text)

/** wasGranted tells grants from what acts as one: credits of an adjustment or a refund, which cannot be voided. */
export const wasGranted = ({ grant_id }: { grant_id: string }) => !/^(adjustment|refund):/.test(grant_id)
