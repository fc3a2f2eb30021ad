import { describe, expect, it, vi } from 'vitest'
import type { Schemas } from '../../api/client'
import { endingOf } from './ending'

vi.stubGlobal('navigator', { languages: ['en-GB'] })

type Grant = Schemas['BalanceGrant']

describe('how the credits end', () => {
  const now = Date.parse('2026-11-25T12:00:00Z')
  const grant = (expires_at: string | null, status: Grant['status'] = 'active') => ({ status, expires_at }) as Grant
  const says = (runway: Partial<Schemas['Runway']>, grants = [grant(null)], remaining = '10', overdraft = '0') => {
    const dates = grants.flatMap(({ expires_at, status }) => (expires_at && status === 'active' ? [expires_at] : []))
    return endingOf(
      {
        remaining,
        overdraft,
        grants,
        expires_at: dates.sort()[0] ?? null,
        runway: { exhausts_at: null, p10: null, p90: null, method: 'seasonal', reason: null, ...runway } as Schemas['Runway'],
      },
      'UTC',
      now,
    )
  }

  it('is overdrawn, used up or not begun before all else', () => {
    expect(says({}, [grant(null)], '-1', '1')).toEqual({
      tone: 'bad',
      text: 'The workspace is 1 credits overdrawn. New grants pay this first.',
    })
    expect(says({}, [grant(null)], '0')).toEqual({ tone: 'bad', text: 'The credits are used up.' })
    expect(says({}, [], '0')).toEqual({ tone: 'plain', text: 'No credits have been granted yet.' })
  })
  it('is when they run out, against when the next expire', () => {
    expect(
      says({ exhausts_at: '2027-01-20T06:55:00Z', p10: '2027-01-18T06:30:00Z' }, [grant('2026-12-15T00:00:00Z'), grant(null)]),
    ).toEqual({
      tone: 'good',
      text: 'At this rate the credits run out on 20 Jan 2027, as early as 18 Jan 2027. The next credits expire on 15 Dec 2026.',
    })
    expect(says({ exhausts_at: '2026-11-26T23:52:00Z' })).toEqual({
      tone: 'warn',
      text: 'At this rate the credits run out on 26 Nov 2026, 23:52.',
    })
  })
  it('is that some expire unused where nothing else ends them', () => {
    const end = '2026-12-15T00:00:00Z'
    expect(says({ exhausts_at: end, p10: end }, [grant(end)])).toEqual({
      tone: 'good',
      text: 'At this rate some credits expire unused, the last on 15 Dec 2026.',
    })
    expect(
      says({ exhausts_at: end, p10: '2026-12-10T08:00:00Z' }, [grant('2026-12-01T00:00:00Z'), grant(end, 'scheduled')]),
    ).toEqual({
      tone: 'good',
      text: 'At this rate some credits expire unused, the last on 15 Dec 2026, or they run out as early as 10 Dec 2026.',
    })
    expect(says({ exhausts_at: end }, [grant(end), grant('2027-12-15T00:00:00Z', 'expired')]).text).toMatch(/expire unused/)
  })
  it('says why it is not known when', () => {
    expect(says({ reason: 'no_consumption' }, [grant('2026-12-15T00:00:00Z')])).toEqual({
      tone: 'good',
      text: 'Nothing is being used at present. What is left expires by 15 Dec 2026.',
    })
    expect(says({ method: 'insufficient_data' })).toEqual({
      tone: 'plain',
      text: 'Too little is known yet to say when the credits run out.',
    })
  })
})
