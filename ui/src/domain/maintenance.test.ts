import { describe, expect, it } from 'vitest'

import { bodyOf, coverWords, laneOf, localWords, offsetWords, spanWords } from './maintenance'

const occurrence = (start_local: string, end_local: string) => ({
  start: '',
  end: '',
  start_local,
  end_local,
  is_clock_changed: false,
})

describe('maintenance in words', () => {
  it('tells times by the clocks of the window, with their offset', () => {
    expect(localWords('2026-03-29T03:30:00+02:00')).toBe('29 Mar 2026 03:30')
    expect(offsetWords('2026-03-29T03:30:00+02:00')).toBe('UTC+2')
    expect(offsetWords('2026-03-29T03:30:00-03:30')).toBe('UTC−3:30')
    expect(offsetWords('2026-03-29T03:30:00+00:00')).toBe('UTC+0')
  })

  it('names the day once, and both offsets where the clocks change', () => {
    const one = occurrence('2026-03-22T02:30:00+01:00', '2026-03-22T04:30:00+01:00')
    expect(spanWords(one)).toBe('22 Mar 2026 02:30 to 04:30 UTC+1')
    const bent = occurrence('2026-10-25T02:30:00+02:00', '2026-10-25T03:30:00+01:00')
    expect(spanWords(bent)).toBe('25 Oct 2026 02:30 UTC+2 to 03:30 UTC+1')
    const night = occurrence('2026-12-24T23:00:00+01:00', '2026-12-25T01:00:00+01:00')
    expect(spanWords(night)).toBe('24 Dec 2026 23:00 to 25 Dec 2026 01:00 UTC+1')
  })

  it('says what is covered', () => {
    expect(
      coverWords([
        { kind: 'element', name: 'r2' },
        { kind: 'tag', name: 'vip' },
      ]),
    ).toBe('r2, tag vip')
    expect(coverWords([{ kind: 'all', name: '' }])).toBe('everything')
  })
})

describe('a plan', () => {
  const plan = {
    title: ' fan tray ',
    note: '',
    elements: ['r2'],
    targets: [],
    tags: ['vip'],
    isAll: false,
    start: '2026-12-06T02:30',
    end: '2026-12-06T04:30',
    zone: 'Europe/Berlin',
    rule: '',
    except: ['2026-12-27'],
  }

  it('leaves days out only of a window that recurs', () => {
    expect(bodyOf(plan)).toMatchObject({ title: 'fan tray', rule: null, except: [] })
    expect(bodyOf({ ...plan, rule: 'FREQ=WEEKLY' }).except).toEqual(['2026-12-27'])
  })

  it('covers everything alone', () => {
    expect(bodyOf(plan).covers).toHaveLength(2)
    expect(bodyOf({ ...plan, isAll: true }).covers).toEqual([{ kind: 'all', name: '' }])
  })
})

describe('the lane of a chart', () => {
  it('clips what is beyond and leaves out what is not in it', () => {
    const span = (start: string, end: string) => ({ maintenance: 1, title: 't', start, end })
    const [from, to] = [Date.parse('2026-01-01T00:00:00Z'), Date.parse('2026-01-01T10:00:00Z')]
    const spans = [
      span('2025-12-31T23:00:00Z', '2026-01-01T01:00:00Z'),
      span('2026-01-01T05:00:00Z', '2026-01-01T06:00:00Z'),
      span('2026-01-01T10:00:00Z', '2026-01-01T11:00:00Z'),
    ]
    const lane = laneOf(spans, { from, to }).map(({ left, width }) => [left, width])
    expect(lane).toEqual([
      [0, 0.1],
      [0.5, 0.1],
    ])
  })
})
