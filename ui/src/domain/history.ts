/**
 * A history in columns: one number a value, so that five years are folded and drawn between two
 * frames. What the values mean is what the server says; folding follows the server's rules.
 */

import { MINUTE_MS } from './time'
import type { Verdict } from './verdict'

export const LEVEL_MS = {
  '1m': MINUTE_MS,
  '5m': 5 * MINUTE_MS,
  '1h': 60 * MINUTE_MS,
  '1d': 1440 * MINUTE_MS,
} as const
export type Level = keyof typeof LEVEL_MS

interface Counts {
  verdict: Verdict
  cause: string
  rounds: number
  not_asked: number
  sent: number
  received: number
  rtt_us_min?: number | null
  rtt_us_mean?: number | null
  rtt_us_max?: number | null
  /** Some of it may still change. */
  is_open: boolean
}

export interface Minute extends Counts {
  minute: string
  revision: number
  said_first?: Verdict | null
}

export interface Bucket extends Counts {
  start: string
  minutes_up: number
  minutes_degraded: number
  minutes_down: number
  minutes_unknown: number
  rtt_us_p50?: number | null
  rtt_us_p95?: number | null
}

export interface AgentRef {
  id: number
  name: string
}

export interface SeriesAnswer {
  agent: AgentRef | null
  minutes: readonly Minute[]
  buckets: readonly Bucket[]
}

export interface HistoryAnswer {
  level: string
  series: readonly SeriesAnswer[]
}

/** In the order of badness, as the server has it: a longer span is as bad as its worst part. */
export const BY_BADNESS: readonly Verdict[] = ['up', 'unknown', 'degraded', 'down']
const UNTOLD = 255
const IS_OPEN = 1
const IS_REVISED = 2

/** What all agents together saw, or one of them: value `i` is of `first + i * stepMs` on. */
export interface Track {
  agent: AgentRef | null
  first: number
  stepMs: number
  length: number
  /** How many values of the server's are in one. */
  group: number
  /** Place in [`BY_BADNESS`]; [`UNTOLD`] where nothing is told. */
  verdict: Uint8Array
  /** Place in `causes`. */
  cause: Uint16Array
  causes: readonly string[]
  flags: Uint8Array
  /** Minutes of each verdict, four a value, in the order of [`BY_BADNESS`]. */
  minutes: Uint32Array
  sent: Float64Array
  received: Float64Array
  notAsked: Float64Array
  /** Microseconds; NaN where there is none. */
  min: Float64Array
  mean: Float64Array
  max: Float64Array
  p50: Float64Array
  p95: Float64Array
}

export interface Tracks {
  level: string
  tracks: Track[]
}

/** One value, or what several add up to, for those who read it. */
export interface Sample {
  at: number
  lengthMs: number
  verdict: Verdict
  cause: string
  minutes: Record<Verdict, number>
  sent: number
  received: number
  notAsked: number
  min: number | null
  mean: number | null
  max: number | null
  p50: number | null
  p95: number | null
  isOpen: boolean
  isRevised: boolean
}

function emptyTrack(
  of: Pick<Track, 'agent' | 'first' | 'stepMs' | 'length' | 'group' | 'causes'>,
): Track {
  const { length } = of
  const times = () => new Float64Array(length).fill(Number.NaN)
  return {
    ...of,
    verdict: new Uint8Array(length).fill(UNTOLD),
    cause: new Uint16Array(length),
    flags: new Uint8Array(length),
    minutes: new Uint32Array(length * 4),
    sent: new Float64Array(length),
    received: new Float64Array(length),
    notAsked: new Float64Array(length),
    min: times(),
    mean: times(),
    max: times(),
    p50: times(),
    p95: times(),
  }
}

const isLevel = (text: string): text is Level => text in LEVEL_MS

/** Lays out an answer of the server: the consensus first, then each agent. */
export function tracksOf({ level, series }: HistoryAnswer): Track[] {
  const stepMs = isLevel(level) ? LEVEL_MS[level] : MINUTE_MS
  return series.map(({ agent, minutes, buckets }) => {
    const values: readonly (Minute | Bucket)[] = minutes.length > 0 ? minutes : buckets
    const start = (value: Minute | Bucket) =>
      Date.parse('minute' in value ? value.minute : value.start)
    const first = values[0] === undefined ? 0 : start(values[0])
    const last = values.at(-1)
    const length = last === undefined ? 0 : Math.round((start(last) - first) / stepMs) + 1
    const codes = new Map<string, number>()
    const causes: string[] = []
    const track = emptyTrack({ agent, first, stepMs, length, group: 1, causes })
    for (const value of values) {
      const i = Math.round((start(value) - first) / stepMs)
      let code = codes.get(value.cause)
      if (code === undefined) {
        code = causes.push(value.cause) - 1
        codes.set(value.cause, code)
      }
      put(track, i, value, code)
    }
    return track
  })
}

/** Columns of a track as it is kept: more than any screen has, so that no page ever folds more. */
const COLUMNS_KEPT_MAX = 4_000

/** Reads an answer as it comes from the server. */
export function readTracks(body: ArrayBuffer): Tracks {
  const answer = JSON.parse(new TextDecoder().decode(body)) as HistoryAnswer
  const tracks = tracksOf(answer).map((track) => {
    const { length, stepMs } = track
    return fold(track, groupOf(length * stepMs, stepMs, COLUMNS_KEPT_MAX))
  })
  return { level: answer.level, tracks }
}

function put(track: Track, i: number, value: Minute | Bucket, cause: number): void {
  const us = (time: number | null | undefined) => time ?? Number.NaN
  const verdict = BY_BADNESS.indexOf(value.verdict)
  track.verdict[i] = verdict
  track.cause[i] = cause
  track.sent[i] = value.sent
  track.received[i] = value.received
  track.notAsked[i] = value.not_asked
  track.min[i] = us(value.rtt_us_min)
  track.mean[i] = us(value.rtt_us_mean)
  track.max[i] = us(value.rtt_us_max)
  let flags = value.is_open ? IS_OPEN : 0
  if ('minute' in value) {
    track.minutes[i * 4 + verdict] = 1
    if (value.revision > 0) flags |= IS_REVISED
  } else {
    const { minutes_up, minutes_unknown, minutes_degraded, minutes_down } = value
    track.minutes.set([minutes_up, minutes_unknown, minutes_degraded, minutes_down], i * 4)
    track.p50[i] = us(value.rtt_us_p50)
    track.p95[i] = us(value.rtt_us_p95)
  }
  track.flags[i] = flags
}

const HOUR_MIN = 60
const DAY_MIN = 24 * HOUR_MIN
/** Lengths that people count in, in minutes: a day is a whole number of each up to itself. */
const COLUMNS_MIN: readonly number[] = [
  ...[1, 2, 3, 5, 10, 15, 20, 30],
  ...[1, 2, 3, 4, 6, 8, 12].map((hours) => hours * HOUR_MIN),
  ...[1, 2, 7, 14, 28].map((days) => days * DAY_MIN),
]

/**
 * Returns how many values make one column, so that there are at most `columnsMax` of them and a
 * column is as long as people count.
 */
export function groupOf(spanMs: number, stepMs: number, columnsMax: number): number {
  const fits = (minutes: number) => {
    const columnMs = minutes * MINUTE_MS
    return columnMs % stepMs === 0 && spanMs / columnMs <= Math.max(1, columnsMax)
  }
  const minutes = COLUMNS_MIN.find(fits) ?? COLUMNS_MIN.at(-1) ?? DAY_MIN
  return Math.max(1, (minutes * MINUTE_MS) / stepMs)
}

/**
 * Folds `group` values into one, from a whole multiple of their length since 1970 on.
 *
 * 1 - It is as bad as its worst part, with the cause of the first part that was as bad.
 * 2 - Minutes and packets are sums; the mean is that of all answered packets.
 * 3 - The median is the mean of the medians and p95 the highest: it can only look worse.
 */
export function fold(track: Track, group: number): Track {
  if (group <= 1 || track.length === 0) return track
  const stepMs = track.stepMs * group
  const first = Math.floor(track.first / stepMs) * stepMs
  const skip = Math.round((track.first - first) / track.stepMs)
  const length = Math.ceil((skip + track.length) / group)
  const { agent, causes } = track
  const folded = emptyTrack({ agent, first, stepMs, length, group: track.group * group, causes })
  foldState(track, folded, group, skip)
  for (const [name, sign] of EXTREMES) foldExtreme(track[name], folded[name], group, skip, sign)
  for (const name of ['sent', 'received', 'notAsked'] as const)
    foldSum(track[name], folded[name], group, skip)
  for (const name of ['mean', 'p50'] as const)
    foldMean(track[name], track.received, folded[name], group, skip)
  return folded
}

const EXTREMES = [
  ['min', -1],
  ['max', 1],
  ['p95', 1],
] as const

// One column of numbers at a time: so they are added as fast as they are read.

function foldState(track: Track, folded: Track, group: number, skip: number): void {
  const { verdict, cause, flags, minutes, length } = track
  for (let i = 0; i < length; i += 1) {
    const own = verdict[i] as number
    if (own === UNTOLD) continue
    const c = ((i + skip) / group) | 0
    const worst = folded.verdict[c] as number
    if (worst === UNTOLD || worst < own) {
      folded.verdict[c] = own
      folded.cause[c] = cause[i] as number
    }
    folded.flags[c] = (folded.flags[c] as number) | (flags[i] as number)
    for (let v = 0; v < 4; v += 1) {
      folded.minutes[c * 4 + v] =
        (folded.minutes[c * 4 + v] as number) + (minutes[i * 4 + v] as number)
    }
  }
}

function foldSum(from: Float64Array, to: Float64Array, group: number, skip: number): void {
  for (let i = 0; i < from.length; i += 1) {
    const c = ((i + skip) / group) | 0
    to[c] = (to[c] as number) + (from[i] as number)
  }
}

function foldExtreme(
  from: Float64Array,
  to: Float64Array,
  group: number,
  skip: number,
  sign: 1 | -1,
): void {
  for (let i = 0; i < from.length; i += 1) {
    const next = from[i] as number
    if (Number.isNaN(next)) continue
    const c = ((i + skip) / group) | 0
    const now = to[c] as number
    if (Number.isNaN(now) || sign * now < sign * next) to[c] = next
  }
}

function foldMean(
  from: Float64Array,
  weights: Float64Array,
  to: Float64Array,
  group: number,
  skip: number,
): void {
  const sums = new Float64Array(to.length)
  const all = new Float64Array(to.length)
  for (let i = 0; i < from.length; i += 1) {
    const next = from[i] as number
    if (Number.isNaN(next)) continue
    const c = ((i + skip) / group) | 0
    const weight = weights[i] as number
    sums[c] = (sums[c] as number) + next * weight
    all[c] = (all[c] as number) + weight
  }
  for (let c = 0; c < to.length; c += 1) {
    if ((all[c] as number) > 0) to[c] = (sums[c] as number) / (all[c] as number)
  }
}

function add(to: Float64Array | Uint32Array, i: number, more = 0): void {
  to[i] = (to[i] ?? 0) + more
}

function extreme(of: Float64Array, i: number, next = Number.NaN, sign: 1 | -1): void {
  if (Number.isNaN(next)) return
  const now = of[i] ?? Number.NaN
  if (Number.isNaN(now) || sign * now < sign * next) of[i] = next
}

function weigh(
  of: Float64Array,
  weights: Float64Array,
  i: number,
  next = Number.NaN,
  weight: number,
): void {
  if (Number.isNaN(next) || weight === 0) return
  const before = weights[i] ?? 0
  const now = before === 0 ? 0 : (of[i] ?? 0)
  of[i] = (now * before + next * weight) / (before + weight)
  weights[i] = before + weight
}

/** Returns the place of the value that holds a moment; -1 if there is none. */
export function indexAt(track: Track, at: number): number {
  const i = Math.floor((at - track.first) / track.stepMs)
  return 0 <= i && i < track.length && track.verdict[i] !== UNTOLD ? i : -1
}

const known = (value: number | undefined) =>
  value === undefined || Number.isNaN(value) ? null : value

/** Returns one value; null where nothing is told. */
export function sampleAt(track: Track, i: number): Sample | null {
  const verdict = BY_BADNESS[track.verdict[i] ?? UNTOLD]
  if (verdict === undefined) return null
  const flags = track.flags[i] ?? 0
  const minutes = (v: number) => track.minutes[i * 4 + v] ?? 0
  return {
    at: track.first + i * track.stepMs,
    lengthMs: track.stepMs,
    verdict,
    cause: track.causes[track.cause[i] ?? 0] ?? '',
    minutes: { up: minutes(0), unknown: minutes(1), degraded: minutes(2), down: minutes(3) },
    sent: track.sent[i] ?? 0,
    received: track.received[i] ?? 0,
    notAsked: track.notAsked[i] ?? 0,
    min: known(track.min[i]),
    mean: known(track.mean[i]),
    max: known(track.max[i]),
    p50: known(track.p50[i]),
    p95: known(track.p95[i]),
    isOpen: (flags & IS_OPEN) !== 0,
    isRevised: (flags & IS_REVISED) !== 0,
  }
}

/** Returns what the values that begin from `from` to before `to` add up to; null if none does. */
export function total(track: Track, from: number, to: number): Sample | null {
  const begin = Math.max(0, Math.ceil((from - track.first) / track.stepMs))
  const end = Math.min(track.length, Math.ceil((to - track.first) / track.stepMs))
  if (end <= begin) return null
  // One column of all of them, by the rules of [`fold`].
  const part: Track = {
    ...track,
    first: 0,
    length: end - begin,
    verdict: track.verdict.subarray(begin, end),
    cause: track.cause.subarray(begin, end),
    flags: track.flags.subarray(begin, end),
    minutes: track.minutes.subarray(begin * 4, end * 4),
    sent: track.sent.subarray(begin, end),
    received: track.received.subarray(begin, end),
    notAsked: track.notAsked.subarray(begin, end),
    min: track.min.subarray(begin, end),
    mean: track.mean.subarray(begin, end),
    max: track.max.subarray(begin, end),
    p50: track.p50.subarray(begin, end),
    p95: track.p95.subarray(begin, end),
  }
  const sum = sampleAt(fold(part, end - begin), 0)
  return sum && { ...sum, at: track.first + begin * track.stepMs }
}

/** A stretch without evidence, and why there is none. */
export interface Hole {
  from: number
  to: number
  cause: string
}

/** Whether nobody knows anything of a value: Unknown, and no packet came back. */
export function isBlank(track: Track, i: number): boolean {
  return track.verdict[i] === BY_BADNESS.indexOf('unknown') && track.received[i] === 0
}

/**
 * Returns the stretches in which none of the tracks knows anything, with the cause of the first of
 * them; neighbours with one cause are one stretch.
 */
export function holes(tracks: readonly Track[]): Hole[] {
  const [lead, ...others] = tracks
  if (lead === undefined) return []
  const found: Hole[] = []
  for (let i = 0; i < lead.length; i += 1) {
    const from = lead.first + i * lead.stepMs
    const isAll = others.every((other) => isBlank(other, indexAt(other, from)))
    if (!isBlank(lead, i) || !isAll) continue
    const cause = lead.causes[lead.cause[i] ?? 0] ?? ''
    const last = found.at(-1)
    if (last?.to === from && last.cause === cause) last.to = from + lead.stepMs
    else found.push({ from, to: from + lead.stepMs, cause })
  }
  return found
}

/** What a round adds to its minute. */
export interface RoundCounts {
  agent: { id: number }
  at: string
  sent: number
  received: number
  rtt_us_min?: number | null
  rtt_us_mean?: number | null
  rtt_us_max?: number | null
  not_asked?: string | null
}

/**
 * Fills the minutes that are not closed yet with the rounds that came in so far, so that a chart
 * lives between two closings. What is closed stays as the server counted it.
 */
export function withRounds(track: Track, rounds: readonly RoundCounts[]): Track {
  if (track.stepMs !== MINUTE_MS || rounds.length === 0) return track
  const open = new Set<number>()
  const found: { i: number; round: RoundCounts }[] = []
  for (const round of rounds) {
    if (track.agent !== null && track.agent.id !== round.agent.id) continue
    const i = indexAt(track, Date.parse(round.at))
    const isOpen = i !== -1 && ((track.flags[i] ?? 0) & IS_OPEN) !== 0
    if (!isOpen || (track.sent[i] ?? 0) > 0) continue
    open.add(i)
    found.push({ i, round })
  }
  if (open.size === 0) return track
  const filled: Track = {
    ...track,
    sent: track.sent.slice(),
    received: track.received.slice(),
    notAsked: track.notAsked.slice(),
    min: track.min.slice(),
    mean: track.mean.slice(),
    max: track.max.slice(),
  }
  const weights = new Float64Array(track.length)
  for (const { i, round } of found) {
    add(filled.sent, i, round.sent)
    add(filled.received, i, round.received)
    add(filled.notAsked, i, round.not_asked ? 1 : 0)
    extreme(filled.min, i, round.rtt_us_min ?? Number.NaN, -1)
    extreme(filled.max, i, round.rtt_us_max ?? Number.NaN, 1)
    weigh(filled.mean, weights, i, round.rtt_us_mean ?? Number.NaN, round.received)
  }
  return filled
}
