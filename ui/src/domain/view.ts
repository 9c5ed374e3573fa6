/** The shown stretch of time, and how it is moved and stretched. */

import { MINUTE_MS, minuteOf } from './time'

export interface View {
  from: number
  to: number
}

const DAY_MS = 1440 * MINUTE_MS
/** Below this a minute is wider than a thumb. */
export const VIEW_MS_MIN = 10 * MINUTE_MS
/** As long as anything is kept. */
export const VIEW_MS_MAX = 5 * 366 * DAY_MS

/** The spans that are one press away. Months and years have the days that people count. */
export const RANGES_MS = {
  '1h': 60 * MINUTE_MS,
  '6h': 360 * MINUTE_MS,
  '24h': DAY_MS,
  '7d': 7 * DAY_MS,
  '30d': 30 * DAY_MS,
  '90d': 90 * DAY_MS,
  '1y': 365 * DAY_MS,
  '5y': 5 * 365 * DAY_MS,
} as const
export type Range = keyof typeof RANGES_MS
export const RANGES = Object.keys(RANGES_MS) as readonly Range[]

export const RANGE_WORDS: Record<Range, string> = {
  '1h': 'Last 60 minutes',
  '6h': 'Last 6 hours',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  '90d': 'Last 90 days',
  '1y': 'Last year',
  '5y': 'Last 5 years',
}

/** What a view can be laid over: itself so much earlier. */
export const COMPARISONS = ['day', 'week', 'month', 'before'] as const
export type Comparison = (typeof COMPARISONS)[number]

export const COMPARISON_WORDS: Record<Comparison, string> = {
  day: 'a day before',
  week: 'a week before',
  month: '4 weeks before',
  before: 'the span before',
}

/** Returns by how much a comparison goes back. Four weeks, so that weekdays meet weekdays. */
export function shiftOf(comparison: Comparison, { from, to }: View): number {
  switch (comparison) {
    case 'day':
      return DAY_MS
    case 'week':
      return 7 * DAY_MS
    case 'month':
      return 28 * DAY_MS
    case 'before':
      return to - from
  }
}

/** Brings a view into what there is: whole minutes, no future, neither too short nor too long. */
export function settled({ from, to }: View, now: number): View {
  const end = minuteOf(now) + MINUTE_MS
  const length = Math.min(Math.max(to - from, VIEW_MS_MIN), VIEW_MS_MAX)
  // What became longer or shorter keeps its middle.
  const begin = from + (to - from - length) / 2
  const last = Math.min(begin + length, end)
  const round = (at: number) => Math.round(at / MINUTE_MS) * MINUTE_MS
  return { from: round(last - length), to: round(last) }
}

/** Stretches a view by `factor` around a moment that keeps its place. */
export function zoomed({ from, to }: View, at: number, factor: number): View {
  const length = Math.min(Math.max((to - from) * factor, VIEW_MS_MIN), VIEW_MS_MAX)
  const part = (at - from) / (to - from)
  return { from: at - part * length, to: at + (1 - part) * length }
}

/** Moves a view, but not beyond the present. */
export function moved({ from, to }: View, ms: number, now: number): View {
  const by = Math.min(ms, minuteOf(now) + MINUTE_MS - to)
  return { from: from + by, to: to + by }
}
