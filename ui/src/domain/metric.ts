/** What an agent says of itself over time, as small lines: values, the most, and where none is. */

import { MINUTE_MS } from './time'

/** The part of a series that a line is made of. */
export interface Samples {
  name: string
  labels: Readonly<Record<string, string>>
  buckets: readonly {
    start: string
    max: number | null
    rate_per_s: number | null
    cause: string | null
    is_open: boolean
  }[]
}

/** A small line: of each bucket its value; null where nothing is known. */
export interface Spark {
  values: readonly (number | null)[]
  most: number | null
  /** Of now, or null if nothing is known of it. */
  latest: number | null
  /** Of each value: whether its time is over and the agent said nothing in it. */
  silent: readonly boolean[]
}

/** One figure of an agent: which series it is, and what of it. */
export interface Figure {
  title: string
  name: string
  stat?: string
  /** A counter's rate times this: 100 makes microseconds of a second per cent. */
  scale: number
}

/** Loads that matter at night: late packets, what waits, what is lost, and what it costs. */
export const FIGURES: readonly (Figure & { unit: 'us' | 'bytes' | 'percent' | 'per_s' })[] = [
  {
    title: 'Worst send lag',
    name: 'agent_send_lag_seconds',
    stat: 'max',
    scale: 1e6,
    unit: 'us',
  },
  { title: 'Spool', name: 'agent_spool_bytes', scale: 1, unit: 'bytes' },
  { title: 'Kernel drops', name: 'agent_kernel_drops_total', scale: 1, unit: 'per_s' },
  { title: 'Rounds', name: 'agent_rounds_total', scale: 1, unit: 'per_s' },
  { title: 'CPU', name: 'agent_cpu_microseconds_total', scale: 1e-4, unit: 'percent' },
  { title: 'Memory', name: 'agent_memory_bytes', scale: 1, unit: 'bytes' },
]

/** Nothing is missing of what was never there, or is not kept any more. */
const BEFORE_OR_GONE: ReadonlySet<string> = new Set(['not_yet', 'expired'])

/** Returns the line of a figure; null if the agent has no such series. */
export function sparkOf(all: readonly Samples[], figure: Figure): Spark | null {
  const series = all.find(
    ({ name, labels }) =>
      name === figure.name && (figure.stat === undefined || labels['stat'] === figure.stat),
  )
  if (series === undefined) return null
  const values = series.buckets.map(({ max, rate_per_s }) => {
    const value = max ?? rate_per_s
    return value === null ? null : value * figure.scale
  })
  const known = values.filter((value) => value !== null)
  return {
    values,
    most: known.length === 0 ? null : Math.max(...known),
    latest: values.at(-1) ?? values.at(-2) ?? null,
    silent: series.buckets.map(
      ({ cause, is_open }) => cause !== null && !is_open && !BEFORE_OR_GONE.has(cause),
    ),
  }
}

export interface Stroke {
  /** Where the line goes, as SVG says it; a value alone is a short dash. */
  path: string
  /** Boxes of what is not known, from left to right. */
  blanks: readonly { x: number; width: number }[]
}

/** Draws a line into a box; a range without a value is empty, hatched where nobody spoke. */
export function strokeOf({ values, silent, most }: Spark, width: number, height: number): Stroke {
  const step = width / Math.max(1, values.length)
  const top = Math.max(most ?? 0, Number.MIN_VALUE)
  const blanks: { x: number; width: number }[] = []
  let path = ''
  let isDrawing = false
  values.forEach((value, i) => {
    const x = i * step
    if (value === null) {
      isDrawing = false
      if (silent[i] !== true) return
      const last = blanks.at(-1)
      if (last !== undefined && last.x + last.width > x - step / 2) last.width += step
      else blanks.push({ x, width: step })
      return
    }
    const y = height - (value / top) * height
    path += `${isDrawing ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}H${(x + step).toFixed(1)}`
    isDrawing = true
  })
  return { path, blanks }
}

/** How long the small lines look back, and of how many minutes each value of them is. */
export const LOOK_BACK_MS = 1440 * MINUTE_MS
export const STEP_MIN = 5
