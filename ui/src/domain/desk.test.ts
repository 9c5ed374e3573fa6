import { describe, expect, it } from 'vitest'

import type { Desk } from '../api/types'
import { brokenOf, faultWords, placeGroups, twoAtOnce } from './desk'

const place = (kind: string, id: string, role: string | null = null) => ({
  kind,
  id,
  role,
  site: null,
})

const desk: Desk = {
  credit: '',
  convergence_s: 9,
  kinds: [
    { kind: 'router-stopped', element: 'device', size: null, example: 'r1' },
    { kind: 'upstream-gone', element: 'upstream', size: null, example: 'transit' },
  ],
  places: [],
  active: [
    {
      id: 4,
      kind: 'link-cut',
      element: 'a-core1--b-core1',
      size: null,
      words: 'link a-core1--b-core1 is cut',
      since: '2026-11-21T05:54:33Z',
      is_bad_now: true,
    },
  ],
  tour: [],
}

describe('the fault desk', () => {
  it('lists links of the backbone apart from those within a city, by name', () => {
    const links = ['b-core1--b-agg1', 'b-core1--c-core1', 'a-core1--b-core1']
    expect(
      placeGroups([...links.map((id) => place('link', id)), place('site', 'a')], 'link'),
    ).toEqual([
      { group: 'Between cities', items: ['a-core1--b-core1', 'b-core1--c-core1'] },
      { group: 'Within a city', items: ['b-core1--b-agg1'] },
    ])
  })

  it('knows which stop of the tour is broken now', () => {
    const cut = { kind: 'link-cut', element: 'a-core1--b-core1' }
    expect(brokenOf(desk, [cut])).toEqual([4])
    expect(brokenOf(desk, [cut, { kind: 'site-dark', element: 'a' }])).toBeNull()
  })

  it('breaks two things of different places at once', () => {
    expect(twoAtOnce(desk).map((fault) => fault.element)).toEqual(['r1', 'transit'])
    expect(twoAtOnce({ ...desk, kinds: [] })).toEqual([])
  })

  it('shows a kind that it does not know by its name', () => {
    expect(faultWords('meteor').title).toBe('meteor')
  })
})
