import { describe, expect, it } from 'vitest'
import { decimal, less, micro, share, sum } from './credits'
import { csv } from './csv'

describe('amounts', () => {
  it('are added exactly where floats are not', () => {
    expect(sum(['0.1', '0.2'])).toBe('0.3')
    expect(sum(['9007199254740993', '0.000001', '-1'])).toBe('9007199254740992.000001')
    expect(less('549825.422638', '549825.422639')).toBe('-0.000001')
    expect(sum([])).toBe('0')
  })
  it('survive the way to micro-credits and back', () => {
    for (const text of ['0', '1', '-1', '0.000001', '-0.5', '9779419', '12.5', '170141183460469231731.687303']) {
      expect(decimal(micro(text))).toBe(text)
    }
  })
  it('are no share of nothing, nor of less', () => {
    expect(share('1', '4')).toBe(25)
    expect(share('-1', '4')).toBe(-25)
    expect(share('1', '0')).toBeNull()
    expect(share('1', '-3')).toBeNull()
  })
})

describe('csv', () => {
  it('keeps figures and disarms formulas', () => {
    expect(csv([['=1+1', '-12.5', '+1', '@x', '-a', null, 3]])).toBe("'=1+1,-12.5,'+1,'@x,'-a,,3\r\n")
  })
  it('quotes what would break a row', () => {
    expect(csv([['a,b', 'say "x"', 'two\nlines', '=a,b']])).toBe('"a,b","say ""x""","two\nlines","\'=a,b"\r\n')
  })
})
