/** What a value of a history says, in words: for the readout, for ears, and for the tables. */

import { causeWords } from './cause'
import type { Minute, Sample } from './history'
import { MINUTE_MS, type Zone, bareTime, timeText } from './time'
import { count, duration, loss, rtt } from './units'
import { VERDICTS, type Verdict, verdictMark } from './verdict'

/**
 * Explains a minute whose colour its packets do not: Unknown although all that was asked was
 * answered. Null if nothing needs to be explained.
 */
export function puzzle({
  verdict,
  cause,
  sent,
  received,
  is_open,
}: Pick<Minute, 'verdict' | 'cause' | 'sent' | 'received' | 'is_open'>): string | null {
  if (verdict !== 'unknown' || is_open || received === 0) return null
  const all = received === sent ? 'every packet' : `${received} of ${sent} packets`
  return (
    `Unknown although ${all} that was asked was answered: a minute is as bad as its worst ` +
    `moment, and for a part of this one nobody could tell (${causeWords(cause)}).`
  )
}

const DAY_MS = 1440 * MINUTE_MS

/** Says the time that a value is of: a minute, a span within a day, or days. */
export function spanText(at: number, lengthMs: number, zone: Zone): string {
  const end = at + lengthMs
  if (lengthMs <= MINUTE_MS) return timeText(at, zone, 'dayMinute')
  if (lengthMs < DAY_MS) {
    return `${bareTime(at, zone, 'dayMinute')} to ${timeText(end, zone, 'minute')}`
  }
  // A table of days goes back for years.
  return `${bareTime(at, zone, 'yearMinute')} to ${timeText(end, zone, 'yearMinute')}`
}

function minutesText(minutes: number): string {
  return minutes < 120 ? `${count(minutes)} min` : duration(minutes * MINUTE_MS)
}

export function minutesOf({ minutes }: Sample): number {
  return minutes.up + minutes.degraded + minutes.down + minutes.unknown
}

/**
 * Says the state of a value. Of a longer one it says for how long it was so bad, since a column
 * has the colour of its worst minute.
 */
export function stateWords(sample: Sample): string {
  const all = minutesOf(sample)
  const own = sample.minutes[sample.verdict]
  const word = verdictMark(sample.verdict).word
  const cause = causeWords(sample.cause)
  const isWhole = own === all || all <= 1
  const why = sample.verdict === 'up' ? '' : `: ${cause}`
  const parts = [
    isWhole ? `${word}${why}` : `${word} for ${minutesText(own)} of ${minutesText(all)}${why}`,
  ]
  if (all <= 1 && sample.verdict === 'unknown' && sample.received > 0 && !sample.isOpen)
    parts.push('for a part of the minute, so it counts as unknown')
  if (sample.isOpen) parts.push('may still change')
  if (sample.isRevised) parts.push('revised by late rounds')
  return parts.join(', ')
}

/** Says the minutes of each verdict, worst first, leaving out what did not happen. */
export function tallyWords(minutes: Record<Verdict, number>): string {
  const parts = VERDICTS.filter((verdict) => minutes[verdict] > 0).map(
    (verdict) => `${minutesText(minutes[verdict])} ${verdict}`,
  )
  return parts.length === 0 ? 'nothing recorded yet' : parts.join(', ')
}

/** Says which part of the known time a target was up; null if nothing is known. */
export function upPart({ minutes }: Sample): number | null {
  const known = minutes.up + minutes.degraded + minutes.down
  return known === 0 ? null : minutes.up / known
}

/** Says a part of all, with as many digits as tell it from all: `99.98 %`. */
export function partText(part: number | null): string {
  if (part === null) return '–'
  const percent = part * 100
  if (percent === 100) return '100 %'
  // Rounding must never make a perfect record.
  return `${(Math.floor(percent * 100) / 100).toFixed(2)} %`
}

/** Says everything of one value in a sentence, as a screen reader is told it. */
export function sampleWords(sample: Sample): string {
  const parts = [stateWords(sample)]
  if (sample.p50 !== null) parts.push(`median ${rtt(sample.p50)}`)
  else if (sample.mean !== null) parts.push(`mean ${rtt(sample.mean)}`)
  if (sample.min !== null) parts.push(`${rtt(sample.min)} to ${rtt(sample.max)}`)
  if (sample.sent > 0) parts.push(`loss ${loss(sample.sent, sample.received)}`)
  return parts.join(', ')
}

/**
 * Says how one number stands to an earlier one: `+12 %`, `the same`; empty if either is unknown.
 */
export function changeText(now: number | null, before: number | null): string {
  if (now === null || before === null || before === 0) return ''
  const percent = Math.round((now / before - 1) * 100)
  if (percent === 0) return 'the same'
  return `${percent > 0 ? '+' : '−'}${count(Math.abs(percent))} %`
}
