import { describe, expect, it } from 'vitest'

import type { MapAnswer } from '../api/types'
import { boxOf, fitted, layoutOf, mercator, zoomed } from './layout'
import { parseMapSearch } from './mapSearch'
import { clustersOf, focusOf, mapSentence, matching, merged, worst } from './netmap'
import type { Verdict } from './verdict'

const answer = (change: Partial<MapAnswer> = {}): MapAnswer => ({
  version: '7',
  is_whole: true,
  at: '2026-11-21T05:54:00Z',
  is_past: false,
  is_unrecorded: false,
  topology_version: 3,
  targets_outside: 0,
  sites: [site('fra', 'up', [50, 8]), site('ber', 'down', [52, 13]), site('ham', 'up')],
  devices: [device('r1', 'fra'), device('r2', 'ber'), device('r3', 'ham'), device('r4', 'fra')],
  links: [
    link('a', 'r1', 'r2', 'down'),
    link('b', 'r2', 'r1', 'up'),
    link('c', 'r1', 'r4', 'up'),
    link('d', 'r3', 'r4', 'up'),
  ],
  incidents: [],
  ...change,
})

function site(id: string, state: Verdict, at?: [number, number]) {
  const place = at === undefined ? {} : { latitude: at[0], longitude: at[1] }
  return { id, kind: 'site', state, why: '', tags: id === 'fra' ? ['core'] : [], ...place }
}

const device = (id: string, site: string) => ({
  id,
  kind: 'device',
  role: id === 'r2' ? 'core' : 'access',
  site,
  state: 'up' as const,
  why: '',
})

const link = (id: string, from: string, to: string, state: Verdict) => ({
  id,
  kind: 'link',
  from,
  to,
  state,
  why: '',
})

describe('a map', () => {
  it('bundles parallel links, whichever way they were written, and none within a site', () => {
    const { shape } = merged(undefined, answer())
    expect(shape.bundles.map(({ from, to, links }) => [from, to, links])).toEqual([
      ['ber', 'fra', ['a', 'b']],
      ['fra', 'ham', ['d']],
    ])
    expect(shape.linksOf.get('fra')).toEqual(['a', 'b', 'c', 'd'])
    expect(shape.unplaced).toBe(1)
  })

  it('takes what changed and keeps the rest, with its shape', () => {
    const before = merged(undefined, answer())
    const change = answer({
      version: '8',
      is_whole: false,
      sites: [site('ber', 'up', [52, 13])],
      devices: [],
      links: [],
    })
    const after = merged(before, change)
    expect(after.sites.get('ber')?.state).toBe('up')
    expect(after.sites.get('fra')).toBe(before.sites.get('fra'))
    expect(after.links).toBe(before.links)
    expect(after.shape).toBe(before.shape)
    expect(merged(after, answer({ topology_version: 4, sites: [] })).sites.size).toBe(0)
  })

  it('is as bad as the worst that is known', () => {
    expect(worst(['up', 'unknown'])).toBe('up')
    expect(worst(['up', 'unknown', 'degraded'])).toBe('degraded')
    expect(worst(['down', 'up'])).toBe('down')
    expect(worst(['unknown'])).toBe('unknown')
    expect(worst([])).toBe('unknown')
    expect(mapSentence(merged(undefined, answer()))).toBe('3 sites: 1 down, 2 up')
  })

  it('is filtered by tag, role and state', () => {
    const map = merged(undefined, answer())
    expect(matching(map, {})).toBeNull()
    expect([...(matching(map, { tag: 'core' }) ?? [])]).toEqual(['fra'])
    expect([...(matching(map, { role: 'core' }) ?? [])]).toEqual(['ber'])
    expect([...(matching(map, { state: 'up', role: 'core' }) ?? [])]).toEqual([])
  })

  it('shows of an incident what it names, and both ends of a link', () => {
    const named = { ...link('a', 'r1', 'r2', 'down'), incidents: [4] }
    const map = merged(undefined, answer({ links: [named] }))
    const { sites, links } = focusOf(map, 4)
    expect([...sites].sort()).toEqual(['ber', 'fra'])
    expect([...links]).toEqual(['a'])
    expect(focusOf(map, 5).sites.size).toBe(0)
  })
})

describe('a layout', () => {
  it('puts sites where they are, and beside their neighbours who do not say', () => {
    const { sites, shape } = merged(undefined, answer())
    const layout = layoutOf(sites.values(), shape.bundles)
    expect(layout.places.get('fra')).toEqual(mercator(8, 50))
    expect([...layout.guessed]).toEqual(['ham'])
    expect(layout.places.size).toBe(3)
    const again = layoutOf([...sites.values()].reverse(), [...shape.bundles].reverse())
    expect(again.places.get('ham')).toEqual(layout.places.get('ham'))
  })

  it('is a plan that stays the same where nobody says', () => {
    const sites = ['c', 'a', 'b', 'alone'].map((id) => site(id, 'up'))
    const bundles = [
      { id: '1', from: 'a', to: 'b', links: [] },
      { id: '2', from: 'b', to: 'c', links: [] },
    ]
    const layout = layoutOf(sites, bundles)
    expect(layout.isPlan).toBe(true)
    expect(layout.places.size).toBe(4)
    const again = layoutOf([...sites].reverse(), bundles)
    for (const [id, at] of layout.places) expect(again.places.get(id)).toEqual(at)
    expect(layoutOf([], []).isPlan).toBe(false)
  })

  it('collapses what is near, and nothing that is far', () => {
    const places = new Map([
      ['a', { x: 0, y: 0 }],
      ['b', { x: 0.9, y: 0 }],
      ['c', { x: 5, y: 5 }],
    ])
    expect(clustersOf(places, 1).map(({ sites }) => sites)).toEqual([['a', 'b'], ['c']])
    expect(clustersOf(places, 0.5)).toHaveLength(3)
    expect(clustersOf(places, 1)[0]?.at).toEqual({ x: 0.45, y: 0 })
  })

  it('keeps what is under the pointer when one looks closer', () => {
    const size = { width: 800, height: 600 }
    const view = fitted(boxOf([mercator(8, 50), mercator(13, 52)]), size.width, size.height)
    const at = { x: 100, y: 500 }
    const plane = (of: typeof view) => ({
      x: of.x + (at.x - 400) / of.scale,
      y: of.y + (at.y - 300) / of.scale,
    })
    const closer = zoomed(view, 2, at, size)
    expect(closer.scale).toBeCloseTo(view.scale * 2)
    expect(plane(closer).x).toBeCloseTo(plane(view).x)
    expect(plane(closer).y).toBeCloseTo(plane(view).y)
  })
})

describe('the address of a map', () => {
  it('takes what it knows and leaves out the rest', () => {
    expect(parseMapSearch({ incident: '12', state: 'down', at: '2026-11-21T05:54:00Z' })).toEqual(
      {
        incident: 12,
        state: 'down',
        at: '2026-11-21T05:54:00Z',
      },
    )
    expect(parseMapSearch({ ...parseMapSearch({ incident: '12' }) })).toEqual({ incident: 12 })
    expect(parseMapSearch({ incident: '-1', state: 'bad', at: 'x', view: 'globe' })).toEqual({})
  })
})
