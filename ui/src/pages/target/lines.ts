/** The series of a target as the page shows them: folded to columns, styled, some as lines. */

import { useQuery } from '@tanstack/react-query'
import { useSearch } from '@tanstack/react-router'
import { useMemo } from 'react'

import { targetSumsQuery, targetTracksQuery } from '../../api/queries'
import type { HistorySummary, Round, TargetStatus } from '../../api/types'
import type { Line } from '../../charts/LatencyChart'
import { lineStyle } from '../../charts/lines'
import { type Sample, type Track, type Tracks, fold, withRounds } from '../../domain/history'
import { MINUTE_MS } from '../../domain/time'
import { type Comparison, shiftOf } from '../../domain/view'
import type { Span } from './useSpan'

/** With more agents than these, one line is shown until others are chosen. */
const LINES_DEFAULT_MAX = 4

export interface Series extends Line {
  isChosen: boolean
}

export const CONSENSUS = 'all'

const idOf = (track: Track) => (track.agent === null ? CONSENSUS : String(track.agent.id))

/** Columns of a comparison move with time; they are asked for anew when one of so many is new. */
const PAST_COLUMNS = 1_440

export interface Past {
  tracks: readonly Track[]
  shiftMs: number
}

/** Asks for the same span so much earlier; null if nothing is compared or it is not there yet. */
export function usePast(
  id: number,
  comparison: Comparison | undefined,
  span: Span,
  level: string | undefined,
): Past | null {
  const { view } = span
  const length = view.to - view.from
  const shiftMs = comparison === undefined ? 0 : shiftOf(comparison, view)
  const step = Math.max(1, Math.ceil(length / PAST_COLUMNS / MINUTE_MS)) * MINUTE_MS
  const to = Math.ceil((view.to - shiftMs) / step) * step
  const { data } = useQuery({
    ...targetTracksQuery(id, length, to, level),
    enabled: comparison !== undefined && level !== undefined,
    placeholderData: undefined,
  })
  return useMemo(
    () => (comparison === undefined || data === undefined ? null : pastOf(data, shiftMs)),
    [comparison, data, shiftMs],
  )
}

/** Percentiles of a whole span; null if nothing tells them. */
export type Percentiles = Pick<Sample, 'p50' | 'p95'>

export interface Sums {
  /** By the ids of series. */
  now: ReadonlyMap<string, Percentiles>
  past: ReadonlyMap<string, Percentiles>
  /** What is left out of either, or told of another time. */
  notes: readonly string[]
}

/** Asks for what the span and what it is compared with add up to; null if it is not there yet. */
export function useSums(
  id: number,
  comparison: Comparison | undefined,
  { view, isLive }: Span,
): Sums | null {
  const shiftMs = comparison === undefined ? null : shiftOf(comparison, view)
  const query = targetSumsQuery(id, view.to - view.from, isLive ? null : view.to, shiftMs)
  const { data, isPlaceholderData } = useQuery(query)
  return useMemo(
    () => (data === undefined || isPlaceholderData ? null : sumsOf(data)),
    [data, isPlaceholderData],
  )
}

/** The sums by series, as the server tells them. */
export function sumsOf({ range, compared, series }: HistorySummary): Sums {
  const of = (pick: 'range' | 'compared') =>
    new Map(
      series.flatMap((one) => {
        const sum = one[pick]
        if (sum === null) return []
        const percentiles = { p50: sum.rtt_us_p50, p95: sum.rtt_us_p95 }
        return [[one.agent === null ? CONSENSUS : String(one.agent.id), percentiles] as const]
      }),
    )
  const notes = new Set([...range.notes, ...(compared?.notes ?? [])])
  return { now: of('range'), past: of('compared'), notes: [...notes] }
}

const pastOf = ({ tracks }: Tracks, shiftMs: number): Past => ({ tracks, shiftMs })

/** Agents that know less than this part of what all together know are not shown by themselves. */
const KNOWN_PART_MIN = 0.75

/** Whether all together are known for much longer than any agent: those are kept for less. */
function isLongerKnown(tracks: readonly Track[]): boolean {
  const known = ({ mean }: Track) => mean.reduce((n, us) => (Number.isNaN(us) ? n : n + 1), 0)
  const all = tracks.filter((track) => track.agent === null).map(known)
  const agents = tracks.filter((track) => track.agent !== null).map(known)
  return Math.max(0, ...agents) < KNOWN_PART_MIN * Math.max(0, ...all)
}

/** Which lines are shown: those the address names, or the ones that tell the most. */
export function chosenOf(
  named: string | undefined,
  status: Pick<TargetStatus, 'agents' | 'consensus'>,
  tracks: readonly Track[],
): ReadonlySet<string> {
  const known = new Set(tracks.map(idOf))
  const asked = (named ?? '').split(',').filter((line) => known.has(line))
  if (asked.length > 0) return new Set(asked)
  const agents = tracks.filter((track) => track.agent !== null).map(idOf)
  if (agents.length === 0 || isLongerKnown(tracks)) return new Set([CONSENSUS])
  if (agents.length <= LINES_DEFAULT_MAX) return new Set(agents)
  // Of those who hold what all hold, one that has something to show.
  const seeing = status.agents.filter((one) => one.last_round_at !== null)
  const same = seeing.find((one) => one.verdict === status.consensus.verdict)
  return new Set([String((same ?? seeing[0])?.agent.id ?? agents[0])])
}

export function useLines(
  status: TargetStatus,
  tracks: readonly Track[] | undefined,
  past: Past | null,
  rounds: readonly Round[] | undefined,
  group: number,
): readonly Series[] {
  const { lines } = useSearch({ from: '/inside/targets/$id' })
  const folded = useMemo(
    () => (tracks ?? []).map((track) => fold(withRounds(track, rounds ?? []), group)),
    [tracks, rounds, group],
  )
  const before = useMemo(
    () =>
      new Map(
        past?.tracks.map((track) => {
          const columns = fold(track, group)
          return [idOf(track), { ...columns, first: columns.first + past.shiftMs }] as const
        }),
      ),
    [past, group],
  )
  const chosen = chosenOf(lines, status, folded)
  const chosenText = [...chosen].sort().join(',')
  return useMemo(() => {
    const isChosen = new Set(chosenText.split(','))
    let place = 0
    return folded.map((track): Series => {
      const id = idOf(track)
      return {
        id,
        name: track.agent?.name ?? 'Consensus',
        style: lineStyle(track.agent === null ? null : place++),
        track,
        past: before.get(id) ?? null,
        isChosen: isChosen.has(id),
      }
    })
  }, [folded, before, chosenText])
}
