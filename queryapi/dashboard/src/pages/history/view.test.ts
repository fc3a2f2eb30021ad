import { describe, expect, it } from 'vitest'
import { questionOf, viewOf } from './view'

const view = (query: string) => viewOf(new URLSearchParams(query))

describe('the address', () => {
  it('says nothing at first: all entries, consumption by day', () => {
    expect(view('')).toEqual({ view: 'grouped', types: [], campaign: null })
  })

  it('is read leniently', () => {
    expect(view('view=rows&type=grant,nonsense,void')).toEqual({
      view: 'grouped',
      types: ['grant', 'void'],
      campaign: null,
    })
  })

  it('tells unattributed consumption from no filter', () => {
    expect(view('campaign=~').campaign).toBe('')
    expect(view('campaign=').campaign).toBeNull()
    expect(view('campaign=cmp_1').campaign).toBe('cmp_1')
  })
})

describe('the question', () => {
  it('has only what narrows it', () => {
    const all = view('type=grant,adjustment,void,expiry,consumption')
    expect(questionOf(all, {}, 'UTC')).toEqual({ view: 'grouped', tz: 'UTC' })
    const some = view('type=void&campaign=~&view=events')
    expect(questionOf(some, { from: 'a', to: 'b' }, 'UTC')).toEqual({
      view: 'events',
      tz: 'UTC',
      from: 'a',
      to: 'b',
      type: ['void'],
      campaign_id: '',
    })
  })
})
