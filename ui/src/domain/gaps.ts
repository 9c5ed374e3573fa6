/** The times of which the monitoring knows too little, in one list. */

import { MINUTE_MS, parseTime } from './time'

export interface HealthGap {
  agent: { id: number; name: string } | null
  from: string
  to: string | null
  length_s: number
  cause: string
  /** In words, from the server. */
  why: string
  /** How many rounds an agent lost; null if the gap is of another kind. */
  rounds: number | null
}

export interface MissingRun {
  from: string
  minutes: number
}

export interface GapRow {
  id: string
  /** Who was away: an agent's name, or the server. */
  who: string
  cause: string
  /** What is known beside the cause; empty if that says all. */
  detail: string
  from: string
  /** Null while it lasts. */
  to: string | null
  lengthMs: number
  /** The longest of its kind: of the server, of the agents, of the minutes without a record. */
  isLargest: boolean
}

/** The server and the record are whole when one of them is not; an agent is one of several. */
export const SERVER = 'The server'
export const RECORD = 'The record'

/** Returns all of them, newest first; the longest of each kind is marked if there are several. */
export function gapRows(
  gaps: readonly HealthGap[],
  missing: readonly MissingRun[],
): readonly GapRow[] {
  const own = gaps.map((gap) => ({
    id: `${gap.agent?.id ?? 'server'} ${gap.from} ${gap.cause} ${gap.rounds ?? ''}`,
    kind: gap.agent === null ? SERVER : 'agent',
    who: gap.agent?.name ?? SERVER,
    cause: gap.cause,
    detail: gap.rounds === null ? '' : gap.why,
    from: gap.from,
    to: gap.to,
    lengthMs: gap.length_s * 1000,
  }))
  const record = missing.map(({ from, minutes }) => ({
    id: `record ${from}`,
    kind: RECORD,
    who: RECORD,
    cause: 'minutes_missing',
    detail: '',
    from,
    to: new Date((parseTime(from) ?? 0) + minutes * MINUTE_MS).toISOString(),
    lengthMs: minutes * MINUTE_MS,
  }))
  const all = [...own, ...record]
  const most = new Map<string, { lengthMs: number; count: number }>()
  for (const { kind, lengthMs } of all) {
    const before = most.get(kind) ?? { lengthMs: 0, count: 0 }
    const longer = Math.max(before.lengthMs, lengthMs)
    most.set(kind, { lengthMs: longer, count: before.count + 1 })
  }
  return all
    .toSorted((a, b) => (parseTime(b.from) ?? 0) - (parseTime(a.from) ?? 0))
    .map(({ kind, ...row }) => ({
      ...row,
      isLargest: (most.get(kind)?.count ?? 0) > 1 && most.get(kind)?.lengthMs === row.lengthMs,
    }))
}
