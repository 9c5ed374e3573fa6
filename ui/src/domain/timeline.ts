/** Minutes of several series on one axis, so that rows under each other mean the same moment. */

import { causeWords } from './cause'
import { MINUTE_MS, minuteOf } from './time'
import type { Verdict } from './verdict'

export interface Minute {
  minute: string
  verdict: Verdict
  cause: string
  rounds: number
  not_asked: number
  sent: number
  received: number
  rtt_us_min?: number | null
  rtt_us_mean?: number | null
  rtt_us_max?: number | null
  revision: number
  said_first?: Verdict | null
  /** Not closed yet: the verdict held right now, without counts. */
  is_open: boolean
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

export interface Cell {
  /** Start of the minute, in milliseconds since 1970. */
  at: number
  /** Null where the server said nothing yet: the minute is not over. */
  truth: Minute | null
}

/** A stretch without evidence, and why there is none. */
export interface Hole {
  from: number
  to: number
  cause: string
}

/** Returns the starts of the `length` minutes that end with the one that holds `to`. */
export function axis(to: number, length: number): number[] {
  const last = minuteOf(to)
  return Array.from({ length }, (_, i) => last - (length - 1 - i) * MINUTE_MS)
}

/** Lays the minutes of a series on an axis. */
export function cells(minutes: readonly Minute[], starts: readonly number[]): Cell[] {
  const byStart = new Map(minutes.map((m) => [minuteOf(Date.parse(m.minute)), m]))
  return starts.map((at) => ({ at, truth: byStart.get(at) ?? null }))
}

/** Returns the stretches of Unknown; neighbours with one cause are one stretch. */
export function holes(row: readonly Cell[]): Hole[] {
  const found: Hole[] = []
  for (const cell of row) {
    if (cell.truth?.verdict !== 'unknown') continue
    const last = found.at(-1)
    if (last !== undefined && last.to === cell.at && last.cause === cell.truth.cause) {
      last.to = cell.at + MINUTE_MS
    } else {
      found.push({ from: cell.at, to: cell.at + MINUTE_MS, cause: cell.truth.cause })
    }
  }
  return found
}

/** Counts the minutes of each verdict; those not over yet are in none. */
export function tally(row: readonly Cell[]): Record<Verdict, number> {
  const sum = { up: 0, degraded: 0, down: 0, unknown: 0 }
  for (const cell of row) if (cell.truth !== null) sum[cell.truth.verdict] += 1
  return sum
}

/** Says a tally in words, worst first, leaving out what did not happen. */
export function tallyWords(sum: Record<Verdict, number>): string {
  const parts = (['down', 'degraded', 'unknown', 'up'] as const)
    .filter((verdict) => sum[verdict] > 0)
    .map((verdict) => `${sum[verdict]} min ${verdict}`)
  return parts.length === 0 ? 'nothing recorded yet' : parts.join(', ')
}

/**
 * Explains a minute whose colour its packets do not: Unknown although all that was asked was
 * answered. Null if nothing needs to be explained.
 */
export function puzzle({ verdict, cause, sent, received, is_open }: Minute): string | null {
  if (verdict !== 'unknown' || is_open || received === 0) return null
  const all = received === sent ? 'every packet' : `${received} of ${sent} packets`
  return (
    `Unknown although ${all} that was asked was answered: a minute is as bad as its worst ` +
    `moment, and for a part of this one nobody could tell (${causeWords(cause)}).`
  )
}

/** One cell of a strip: a minute, or the worst of several neighbours. */
export interface Slot {
  at: number
  lengthMin: number
  worst: Minute | null
  /** Whether late rounds changed what was first said of it. */
  isRevised: boolean
  /** Whether a part of it may still change. */
  isOpen: boolean
}

const BADNESS: Record<Verdict, number> = { up: 0, unknown: 1, degraded: 2, down: 3 }

/** Folds cells into slots of `lengthMin`: a slot is as bad as its worst minute. */
export function slots(row: readonly Cell[], lengthMin: number): Slot[] {
  const found: Slot[] = []
  for (let i = 0; i < row.length; i += lengthMin) {
    const part = row.slice(i, i + lengthMin)
    let worst: Minute | null = null
    for (const { truth } of part) {
      if (truth !== null && (worst === null || BADNESS[worst.verdict] < BADNESS[truth.verdict]))
        worst = truth
    }
    const isRevised = part.some(({ truth }) => truth !== null && truth.revision > 0)
    const isOpen = part.some(({ truth }) => truth === null || truth.is_open)
    found.push({ at: part[0]?.at ?? 0, lengthMin, worst, isRevised, isOpen })
  }
  return found
}

/**
 * Fills the minutes that are not closed yet with the rounds that came in so far, so that a chart
 * lives between two closings. What is closed stays as the server counted it.
 */
export function withRounds(row: readonly Cell[], rounds: readonly RoundCounts[]): Cell[] {
  return row.map((cell) => {
    if (cell.truth?.is_open !== true || cell.truth.sent > 0) return cell
    const mine = rounds.filter((round) => minuteOf(Date.parse(round.at)) === cell.at)
    if (mine.length === 0) return cell
    const sum = (pick: (round: RoundCounts) => number) =>
      mine.reduce((all, round) => all + pick(round), 0)
    const answered = mine.filter((round) => round.received > 0)
    const received = sum((round) => round.received)
    const weighted = sum((round) => (round.rtt_us_mean ?? 0) * round.received)
    const extreme = (
      pick: (round: RoundCounts) => number | null | undefined,
      of: (...all: number[]) => number,
    ) => (answered.length === 0 ? null : of(...answered.map((round) => pick(round) ?? 0)))
    const truth: Minute = {
      ...cell.truth,
      rounds: mine.filter((round) => !round.not_asked).length,
      not_asked: mine.filter((round) => round.not_asked).length,
      sent: sum((round) => round.sent),
      received,
      rtt_us_min: extreme((round) => round.rtt_us_min, Math.min),
      rtt_us_mean: received === 0 ? null : Math.round(weighted / received),
      rtt_us_max: extreme((round) => round.rtt_us_max, Math.max),
    }
    return { ...cell, truth }
  })
}

/**
 * Returns the moments of an axis that get a label: every `stepMin` minutes of the hour or the day.
 */
export function ticks(
  from: number,
  to: number,
  stepMin: number,
  zoneOffsetMin: number,
): number[] {
  const step = stepMin * MINUTE_MS
  const shift = zoneOffsetMin * MINUTE_MS
  const found: number[] = []
  for (let at = Math.ceil((from + shift) / step) * step - shift; at < to; at += step)
    found.push(at)
  return found
}
