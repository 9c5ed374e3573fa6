import { describe, expect, it, test } from 'vitest'

import {
  type Bucket,
  type Minute,
  type SeriesAnswer,
  type Track,
  fold,
  groupOf,
  holes,
  indexAt,
  readTracks,
  sampleAt,
  total,
  tracksOf,
  withRounds,
} from './history'
import { changeText, partText, puzzle, sampleWords, stateWords, upPart } from './reading'
import { MINUTE_MS } from './time'
import { timeTicks } from './ticks'
import { VERDICTS, type Verdict } from './verdict'
import { VIEW_MS_MAX, VIEW_MS_MIN, moved, settled, shiftOf, zoomed } from './view'

const NOON = Date.UTC(2026, 0, 1, 12)
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const LETTERS: Record<string, Verdict> = { U: 'up', '~': 'degraded', D: 'down', '?': 'unknown' }

function minute(at: number, part: Partial<Minute> = {}): Minute {
  const isHeard = part.verdict === undefined || part.verdict !== 'unknown'
  return {
    minute: new Date(at).toISOString(),
    verdict: 'up',
    cause: isHeard ? 'answering' : 'agent_offline',
    rounds: 2,
    not_asked: 0,
    sent: isHeard ? 10 : 0,
    received: part.verdict === 'down' || !isHeard ? 0 : 10,
    rtt_us_min: isHeard ? 900 : null,
    rtt_us_mean: isHeard ? 1_000 : null,
    rtt_us_max: isHeard ? 1_200 : null,
    revision: 0,
    is_open: false,
    ...part,
  }
}

function trackOf(series: Partial<SeriesAnswer>, level = '1m'): Track {
  const [track] = tracksOf({
    level,
    series: [{ agent: null, minutes: [], buckets: [], ...series }],
  })
  if (track === undefined) throw new Error('no track')
  return track
}

/** A track of minutes, one letter each, that begins at `NOON`. */
const track = (letters: string, part: (i: number) => Partial<Minute> = () => ({})) =>
  trackOf({
    minutes: [...letters].map((letter, i) =>
      minute(NOON + i * MINUTE_MS, { verdict: LETTERS[letter], ...part(i) }),
    ),
  })

const verdicts = (of: Track) =>
  Array.from({ length: of.length }, (_, i) => sampleAt(of, i)?.verdict ?? null)

describe('a history in columns', () => {
  it('keeps every value of a minute, and null where there is none', () => {
    const one = track('U?', (i) => (i === 1 ? { revision: 2 } : {}))
    expect(sampleAt(one, 0)).toMatchObject({
      at: NOON,
      lengthMs: MINUTE_MS,
      verdict: 'up',
      minutes: { up: 1, degraded: 0, down: 0, unknown: 0 },
      sent: 10,
      mean: 1_000,
      p50: null,
      isRevised: false,
    })
    expect(sampleAt(one, 1)).toMatchObject({
      cause: 'agent_offline',
      mean: null,
      isRevised: true,
    })
    expect(sampleAt(one, 2)).toBeNull()
  })

  it('keeps the quantiles and the minutes of a bucket', () => {
    const { minute: start, revision: _, ...counts } = minute(NOON, { verdict: 'down' })
    const bucket: Bucket = {
      ...counts,
      start,
      minutes_up: 50,
      minutes_degraded: 4,
      minutes_down: 1,
      minutes_unknown: 5,
      rtt_us_p50: 950,
      rtt_us_p95: 1_150,
    }
    const sample = sampleAt(trackOf({ buckets: [bucket] }, '1h'), 0)
    expect(sample).toMatchObject({ lengthMs: HOUR_MS, p50: 950, p95: 1_150 })
    expect(sample?.minutes).toEqual({ up: 50, degraded: 4, down: 1, unknown: 5 })
  })

  it('leaves a hole in the answer untold', () => {
    const one = trackOf({ minutes: [minute(NOON), minute(NOON + 2 * MINUTE_MS)] })
    expect(verdicts(one)).toEqual(['up', null, 'up'])
    expect(indexAt(one, NOON + MINUTE_MS)).toBe(-1)
    expect(indexAt(one, NOON + 2 * MINUTE_MS + 59_999)).toBe(2)
    expect(indexAt(one, NOON - 1)).toBe(-1)
  })
})

describe('folding', () => {
  it('is as bad as the worst part, with the cause of the first that was as bad', () => {
    const folded = fold(
      track('U?UD~D', (i) => (i === 5 ? { cause: 'later' } : {})),
      3,
    )
    expect(verdicts(folded)).toEqual(['unknown', 'down'])
    expect(sampleAt(folded, 1)?.cause).toBe('answering')
    expect(sampleAt(folded, 1)?.minutes).toEqual({ up: 0, degraded: 1, down: 2, unknown: 0 })
  })

  it('begins at whole multiples of its length', () => {
    const late = trackOf({ minutes: [2, 3, 4].map((m) => minute(NOON + m * MINUTE_MS)) })
    const folded = fold(late, 3)
    expect(folded.first).toBe(NOON)
    expect(sampleAt(folded, 0)?.minutes.up).toBe(1)
    expect(sampleAt(folded, 1)?.minutes.up).toBe(2)
  })

  it('weighs means by what was answered, and keeps the extremes', () => {
    const slow = { received: 2, rtt_us_min: 2_000, rtt_us_mean: 4_000, rtt_us_max: 9_000 }
    const sample = sampleAt(
      fold(
        track('UU?', (i) => (i === 1 ? slow : {})),
        3,
      ),
      0,
    )
    expect(sample).toMatchObject({ min: 900, mean: 1_500, max: 9_000, sent: 20, received: 12 })
  })

  it('makes no more columns than there is room for, of a length that people count in', () => {
    const cases: [number, number, number, number][] = [
      [HOUR_MS, MINUTE_MS, 500, 1],
      [DAY_MS, MINUTE_MS, 500, 3],
      [DAY_MS, MINUTE_MS, 170, 10],
      [7 * DAY_MS, 5 * MINUTE_MS, 510, 4],
      [90 * DAY_MS, HOUR_MS, 500, 6],
      [5 * 365 * DAY_MS, DAY_MS, 1_000, 2],
      [5 * 365 * DAY_MS, HOUR_MS, 1_000, 48],
    ]
    for (const [span, step, room, group] of cases) {
      expect(groupOf(span, step, room), `${span} in ${room}`).toBe(group)
    }
  })

  it('keeps no more columns of an answer than a screen can show', () => {
    const hours = Array.from({ length: 9_000 }, (__, i): Bucket => {
      const { minute: start, revision: _, ...counts } = minute(NOON + i * HOUR_MS)
      const own = { minutes_up: 60, minutes_degraded: 0, minutes_down: 0, minutes_unknown: 0 }
      return { ...counts, ...own, start }
    })
    const answer = { level: '1h', series: [{ agent: null, minutes: [], buckets: hours }] }
    const body = new TextEncoder().encode(JSON.stringify(answer)).buffer
    const { level, tracks } = readTracks(body)
    expect(level).toBe('1h')
    expect(tracks[0]?.length).toBeLessThanOrEqual(4_001)
    expect(tracks[0]?.stepMs).toBe(3 * HOUR_MS)
  })

  it('totals what begins within a span, by the same rules', () => {
    const one = track('UD?U')
    expect(total(one, NOON + MINUTE_MS, NOON + 3 * MINUTE_MS)).toMatchObject({
      at: NOON + MINUTE_MS,
      verdict: 'down',
      minutes: { up: 0, degraded: 0, down: 1, unknown: 1 },
    })
    expect(total(one, NOON + HOUR_MS, NOON + 2 * HOUR_MS)).toBeNull()
  })

  it('folds five years of hours without losing a minute', () => {
    const hours = 5 * 365 * 24
    const years: Track = {
      ...track('U'),
      stepMs: HOUR_MS,
      length: hours,
      ...Object.fromEntries(
        (['sent', 'received', 'notAsked', 'min', 'mean', 'max', 'p50', 'p95'] as const).map(
          (name) => [name, new Float64Array(hours).fill(10)],
        ),
      ),
      verdict: new Uint8Array(hours),
      cause: new Uint16Array(hours),
      flags: new Uint8Array(hours),
      minutes: new Uint32Array(hours * 4).fill(15),
    }
    const folded = fold(years, 48)
    expect(folded.length).toBeLessThanOrEqual(hours / 48 + 1)
    expect(total(folded, 0, NOON * 2)?.minutes.up).toBe(hours * 15)
  })
})

describe('holes', () => {
  const found = (...tracks: Track[]) =>
    holes(tracks).map((hole) => [hole.cause, (hole.to - hole.from) / MINUTE_MS])

  it('join neighbours of one cause and keep causes apart', () => {
    const causes = ['monitor_down', 'monitor_down', 'agent_blind', 'answering', 'agent_blind']
    const one = track('???U?', (i) => ({ cause: causes[i] }))
    expect(found(one)).toEqual([
      ['monitor_down', 2],
      ['agent_blind', 1],
      ['agent_blind', 1],
    ])
  })

  it('are only where no line knows anything', () => {
    expect(found(track('??U'), track('?UU'))).toEqual([['agent_offline', 1]])
    expect(found(track('?U'), track('U?'))).toEqual([])
    expect(found()).toEqual([])
  })

  it('are not where packets came back, whatever the minute is called', () => {
    expect(found(track('?', () => ({ sent: 10, received: 10 })))).toEqual([])
  })
})

test('an open minute is filled with its rounds, a closed one is left alone', () => {
  const open = track('UU', (i) =>
    i === 1 ? { is_open: true, rounds: 0, sent: 0, received: 0, rtt_us_mean: null } : {},
  )
  const round = (at: number, received: number, mean: number | null, agent = 1) => ({
    agent: { id: agent },
    at: new Date(at).toISOString(),
    sent: 5,
    received,
    rtt_us_min: mean && mean - 100,
    rtt_us_mean: mean,
    rtt_us_max: mean && mean + 100,
    not_asked: null,
  })
  const filled = withRounds(open, [
    round(NOON + 30_000, 0, null),
    round(NOON + MINUTE_MS + 1_000, 5, 1_000),
    round(NOON + MINUTE_MS + 31_000, 0, null),
  ])
  expect(sampleAt(filled, 0)?.sent).toBe(10)
  expect(sampleAt(filled, 1)).toMatchObject({ sent: 10, received: 5, mean: 1_000 })
  const ofAgent = { ...open, agent: { id: 2, name: 'fra1' } }
  expect(withRounds(ofAgent, [round(NOON + MINUTE_MS, 5, 1_000)])).toBe(ofAgent)
})

describe('words of a value', () => {
  const words = (letters: string, part?: (i: number) => Partial<Minute>) => {
    const sample = sampleAt(fold(track(letters, part), letters.length), 0)
    return sample === null ? '' : stateWords(sample)
  }

  it('say for how long it was as bad as its colour', () => {
    expect(words('U')).toBe('Up')
    expect(words('D', () => ({ cause: 'no_answer' }))).toBe('Down: no answer')
    expect(words('UU?')).toBe('Unknown for 1 min of 3 min: agent offline')
    expect(words('???')).toBe('Unknown: agent offline')
  })

  it('explain a minute whose colour its packets do not', () => {
    expect(words('?', () => ({ sent: 10, received: 10 }))).toBe(
      'Unknown: agent offline, for a part of the minute, so it counts as unknown',
    )
    const away = minute(NOON, { verdict: 'unknown', sent: 10, received: 10 })
    expect(puzzle(away)).toMatch(/^Unknown although every packet .* \(agent offline\)\.$/)
    expect(puzzle({ ...away, received: 9 })).toContain('9 of 10 packets')
    expect(puzzle({ ...away, sent: 0, received: 0 })).toBeNull()
    expect(puzzle({ ...away, is_open: true })).toBeNull()
    expect(puzzle(minute(NOON))).toBeNull()
  })

  it('tell a screen reader the figures, too', () => {
    const sample = sampleAt(track('U'), 0)
    expect(sample && sampleWords(sample)).toBe('Up, mean 1.00 ms, 0.900 ms to 1.20 ms, loss 0 %')
  })

  it('count the known time only, and never round up to a perfect record', () => {
    const part = (letters: string) => {
      const sample = sampleAt(fold(track(letters), letters.length), 0)
      return sample && upPart(sample)
    }
    expect(part('UU??')).toBe(1)
    expect(part('UUUD')).toBe(0.75)
    expect(part('??')).toBeNull()
    expect(partText(0.999_999)).toBe('99.99 %')
    expect(partText(1)).toBe('100 %')
  })

  it('say how a number changed', () => {
    expect(changeText(110, 100)).toBe('+10 %')
    expect(changeText(90, 100)).toBe('−10 %')
    expect(changeText(100, 100)).toBe('the same')
    expect(changeText(100, null)).toBe('')
  })
})

describe('the shown span', () => {
  const now = NOON + 30_000

  it('is whole minutes, and ends with the minute under way', () => {
    const view = settled({ from: NOON - HOUR_MS + 12_345, to: NOON + HOUR_MS }, now)
    expect(view.to).toBe(NOON + MINUTE_MS)
    expect(view.from % MINUTE_MS).toBe(0)
  })

  it('is neither too short nor too long', () => {
    const short = settled({ from: NOON - 2 * HOUR_MS, to: NOON - 2 * HOUR_MS + 1 }, now)
    expect(short.to - short.from).toBe(VIEW_MS_MIN)
    const long = settled({ from: NOON - 2 * VIEW_MS_MAX, to: NOON }, now)
    expect(long.to - long.from).toBe(VIEW_MS_MAX)
  })

  it('is stretched around a moment that keeps its place', () => {
    const view = { from: NOON - 4 * HOUR_MS, to: NOON }
    expect(zoomed(view, NOON - HOUR_MS, 0.5)).toEqual({
      from: NOON - 2.5 * HOUR_MS,
      to: NOON - 0.5 * HOUR_MS,
    })
  })

  it('is moved, but not beyond the present', () => {
    const view = { from: NOON - 2 * HOUR_MS, to: NOON - HOUR_MS }
    expect(moved(view, -HOUR_MS, now).to).toBe(NOON - 2 * HOUR_MS)
    expect(moved(view, 5 * HOUR_MS, now).to).toBe(NOON + MINUTE_MS)
  })

  it('is compared with so much earlier, weekdays with weekdays', () => {
    const view = { from: NOON - HOUR_MS, to: NOON }
    expect(shiftOf('month', view) % (7 * DAY_MS)).toBe(0)
    expect(shiftOf('before', view)).toBe(HOUR_MS)
  })
})

describe('ticks', () => {
  const texts = (from: number, to: number, max: number, zone: 'utc' | 'local' = 'utc') =>
    timeTicks(from, to, max, zone).map((tick) => tick.text)

  it('are round times, and midnight is its day', () => {
    expect(texts(NOON - 25 * MINUTE_MS, NOON, 4)).toEqual(['11:40', '11:50'])
    expect(texts(NOON - DAY_MS, NOON, 4)).toEqual(['12:00', '18:00', '1 Jan', '06:00'])
  })

  it('are days, Mondays, months and years of longer spans', () => {
    expect(texts(NOON, NOON + 4 * DAY_MS, 4)).toEqual(['2 Jan', '3 Jan', '4 Jan', '5 Jan'])
    expect(texts(NOON, NOON + 30 * DAY_MS, 6)).toEqual(['5 Jan', '12 Jan', '19 Jan', '26 Jan'])
    expect(texts(NOON - 5 * DAY_MS, NOON + 100 * DAY_MS, 5)).toEqual([
      '2026',
      'Feb',
      'Mar',
      'Apr',
    ])
    expect(texts(NOON - 4 * 365 * DAY_MS, NOON, 5)).toEqual(['2023', '2024', '2025', '2026'])
  })

  it('are those of the shown zone', () => {
    const [first] = timeTicks(NOON, NOON + 5 * DAY_MS, 5, 'local')
    expect(first?.at).toBe(Date.UTC(2026, 0, 1, 23))
  })

  it('stay round hours over a clock change', () => {
    const from = Date.UTC(2026, 9, 24, 21)
    expect(texts(from, from + 28 * HOUR_MS, 5, 'local')).toEqual([
      '25 Oct',
      '06:00',
      '12:00',
      '18:00',
      '26 Oct',
    ])
  })

  it('never are more than there is room for', () => {
    for (const span of [HOUR_MS, DAY_MS, 8 * DAY_MS, 95 * DAY_MS, VIEW_MS_MAX]) {
      for (const max of [3, 7, 14, 30]) {
        expect(texts(NOON - span, NOON, max).length).toBeLessThanOrEqual(max + 1)
      }
    }
  })
})

test('the verdicts of a history are those that have a mark', () => {
  expect(Object.values(LETTERS).toSorted()).toEqual(VERDICTS.toSorted())
})
