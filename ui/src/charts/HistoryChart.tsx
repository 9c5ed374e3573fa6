/**
 * Everything that shares one axis of time: a strip of state for each row, the round-trip times of
 * the chosen lines, their loss, and over all of them one cursor.
 */

import { type ReactNode, useMemo } from 'react'

import type { Track } from '../domain/history'
import { type Tick, timeTicks } from '../domain/ticks'
import type { Zone } from '../domain/time'
import type { View } from '../domain/view'
import css from './HistoryChart.module.css'
import { LatencyChart, type Line } from './LatencyChart'
import { LossLane } from './LossLane'
import { StateStrip } from './StateStrip'
import { Surface } from './Surface'
import type { GestureCalls } from './useGestures'

export interface StripRow {
  id: string
  label: ReactNode
  track: Track
  /** Of another time than the axis: what is compared with. */
  isPast?: boolean
}

interface Props extends GestureCalls {
  label: string
  rows: readonly StripRow[]
  lines: readonly Line[]
  view: View
  zone: Zone
  /** Of all of it, with the gutter. */
  widthPx: number
  gutterPx: number
  isPhone: boolean
  scheme: string
  stepMs: number
  cursor: number | null
  words: string
  opened: number | null
}

/** Room that the text of a tick needs. */
const TICK_PX = 74
/** So near to the right edge a text would be cut. */
const EDGE_PX = 12
const STRIP_PX = 30
const LOSS_PX = 34
/** A wall is looked at from afar, a phone has no room. */
const CHART_PX = { phone: 170, desk: 230, wall: 340 } as const
const WALL_FROM_PX = 1500

export function HistoryChart(props: Props) {
  const { label, rows, lines, view, zone, widthPx, gutterPx, isPhone, scheme } = props
  const plotPx = Math.max(0, widthPx - gutterPx)
  const ticks = useMemo(
    () => timeTicks(view.from, view.to, Math.floor(plotPx / TICK_PX), zone),
    [view, plotPx, zone],
  )
  const tickAt = useMemo(() => ticks.map((tick) => tick.at), [ticks])
  const tracks = useMemo(() => lines.map((line) => line.track), [lines])
  const chartPx = CHART_PX[isPhone ? 'phone' : widthPx > WALL_FROM_PX ? 'wall' : 'desk']
  const strip = { view, widthPx: plotPx, heightPx: STRIP_PX, scheme }
  return (
    <div className={css.stack} style={{ ['--label-width' as string]: `${gutterPx}px` }}>
      {rows.map((row) => (
        <div key={row.id} className={css.row}>
          <div className={css.label}>{row.label}</div>
          <StateStrip track={row.track} isFaint={row.isPast ?? false} {...strip} />
        </div>
      ))}
      <Axis ticks={ticks} view={view} widthPx={plotPx} />
      {lines.length > 0 && (
        <>
          <div className={css.head} aria-hidden>
            Round-trip time, ms
          </div>
          <LatencyChart
            {...{ label, lines, view, tickAt, widthPx, gutterPx, scheme }}
            heightPx={chartPx}
          />
          <div className={css.row}>
            <div className={css.lossLabel} aria-hidden>
              Loss
            </div>
            <LossLane
              tracks={tracks}
              view={view}
              widthPx={plotPx}
              heightPx={LOSS_PX}
              scheme={scheme}
            />
          </div>
        </>
      )}
      <Surface {...props} />
    </div>
  )
}

/** The times between the strips and the chart. */
function Axis({
  ticks,
  view: { from, to },
  widthPx,
}: {
  ticks: readonly Tick[]
  view: View
  widthPx: number
}) {
  const xOf = (at: number) => ((at - from) / (to - from)) * widthPx
  return (
    <div className={css.axis} aria-hidden>
      {ticks
        .filter(({ at }) => xOf(at) < widthPx - EDGE_PX)
        .map(({ at, text }) => (
          <span key={at} style={{ left: xOf(at) }}>
            {text}
          </span>
        ))}
    </div>
  )
}
