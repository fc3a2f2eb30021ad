import type { Draft } from './draft'

/** Part is what of a rule is changed as a whole, and what it is called. */
type Part = { name: string; fields: (keyof Draft)[] }

const anyKind: Part[] = [
  { name: 'the name', fields: ['name'] },
  { name: 'whether it is enabled', fields: ['enabled'] },
  { name: 'the webhooks', fields: ['hooks'] },
]

/** figures have a meaning within one kind alone. */
const figures: Part[] = [
  { name: 'the threshold', fields: ['unit', 'percent', 'credits'] },
  { name: 'the days', fields: ['days'] },
  { name: 'the campaign', fields: ['campaign'] },
  { name: 'the factor', fields: ['factor'] },
  { name: 'the windows', fields: ['window', 'windows'] },
  { name: 'how long it must hold', fields: ['held'] },
  { name: 'when it is over', fields: ['hysteresis'] },
]

const whole: Part = { name: 'what is watched', fields: ['kind', ...figures.flatMap(({ fields }) => fields)] }

/** Merged is a draft with what somebody else changed meanwhile. */
export type Merged = {
  draft: Draft
  /** What they changed, which is in it now. */
  taken: string[]
  /** What both changed otherwise: one's own stands. */
  kept: string[]
}

/** merged keeps what was edited of base and takes the rest from theirs. */
export function merged(base: Draft, mine: Draft, theirs: Draft): Merged {
  const draft = { ...mine }
  const [taken, kept]: [string[], string[]] = [[], []]
  const oneKind = mine.kind === theirs.kind && base.kind === theirs.kind
  for (const { name, fields } of [...anyKind, ...(oneKind ? figures : [whole])]) {
    const same = (a: Draft, b: Draft) => textOf(a, fields) === textOf(b, fields)
    if (same(base, theirs) || same(mine, theirs)) continue
    if (same(base, mine)) {
      Object.assign(draft, Object.fromEntries(fields.map((field) => [field, theirs[field]])))
      taken.push(name)
    } else kept.push(name)
  }
  return { draft, taken, kept }
}

/** textOf compares by content: keys of rows are of the form alone. */
const textOf = (draft: Draft, fields: (keyof Draft)[]) =>
  JSON.stringify(
    fields.map((field) => draft[field]),
    (name, value) => (name === 'key' ? undefined : value),
  )

/** mergedWords say what became of both. */
export function mergedWords({ taken, kept }: Pick<Merged, 'taken' | 'kept'>): string {
  const list = (names: string[]) => new Intl.ListFormat('en').format(names)
  const theirs = taken.length > 0 ? ` Taken over: ${list(taken)}.` : ''
  const both = kept.length > 0 ? ` Changed by both, so that yours will replace theirs: ${list(kept)}.` : ''
  return `The rule is as others left it, with your edits.${theirs}${both}`
}
