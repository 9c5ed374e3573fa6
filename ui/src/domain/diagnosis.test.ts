import { describe, expect, it } from 'vitest'

import { hitSentence, namesOf, percent } from './diagnosis'

const NOBODY = {
  targets_down: 0,
  targets_degraded: 0,
  weight: 0,
  weight_total: 0,
  devices: [],
  devices_total: 0,
  devices_exposed: [],
  devices_exposed_total: 0,
  customers: 0,
  services: 0,
}

describe('a diagnosis in words', () => {
  it('says whom a cause hits', () => {
    expect(hitSentence(NOBODY)).toBe('Nobody is cut off.')
    const hit = { ...NOBODY, targets_down: 41, devices_total: 1, customers: 1200 }
    expect(hitSentence(hit)).toBe(
      'Hits 41 targets down, 1 device down or cut off, 1,200 customers behind them.',
    )
    expect(hitSentence({ ...NOBODY, devices_exposed_total: 2 })).toBe(
      'Nobody is cut off. One failure more cuts off 2 devices.',
    )
  })

  it('names some and counts the rest', () => {
    expect(namesOf(['a', 'b'])).toBe('a, b')
    expect(namesOf('abcdefgh'.split(''))).toBe('a, b, c, d, e, f and 2 more')
  })

  it('is never more sure than the judgement', () => {
    expect(percent(0.9999)).toBe('99.9 %')
    expect(percent(0.5)).toBe('50.0 %')
  })
})
