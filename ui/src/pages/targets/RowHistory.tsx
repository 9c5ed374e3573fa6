/** The last hour of a target in a row of the list: state by the minute, and round-trip times. */

import { memo, useLayoutEffect, useRef } from 'react'

import { inkOf, penOf, visible, xOf } from '../../charts/frame'
import { drawStrip } from '../../charts/StateStrip'
import { type Track, total } from '../../domain/history'
import { tallyWords } from '../../domain/reading'
import { rtt } from '../../domain/units'
import type { View } from '../../domain/view'
import css from './TargetsPage.module.css'

interface Props {
  track: Track | undefined
  view: View
  /** Changes when the colours do. */
  scheme: string
}

/** Two pixels a minute. */
const WIDTH_PX = 120
const STRIP_PX = 13
const GAP_PX = 3
const SPARK_PX = 14

export const RowHistory = memo(function RowHistory({ track, view, scheme }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useLayoutEffect(() => {
    const element = canvas.current
    const ctx = element && penOf(element, WIDTH_PX, STRIP_PX + GAP_PX + SPARK_PX)
    if (!element || !ctx || track === undefined) return
    const ink = inkOf(element)
    drawStrip(ctx, { track, view, widthPx: WIDTH_PX, heightPx: STRIP_PX }, ink)
    ctx.strokeStyle = ink('--line-1')
    drawSpark(ctx, track, view)
  }, [track, view, scheme])
  if (track === undefined) return <span className={css.spark} />
  const sum = total(track, view.from, view.to)
  const newest = newestOf(track)
  const words = sum === null ? 'nothing recorded' : tallyWords(sum.minutes)
  const mean = sum?.mean == null ? '' : `, mean ${rtt(sum.mean)}`
  return (
    <span className={css.hour} title={`Last hour: ${words}${mean}`}>
      <canvas
        ref={canvas}
        className={css.spark}
        style={{ width: WIDTH_PX, height: STRIP_PX + GAP_PX + SPARK_PX }}
        role="img"
        aria-label={`Last hour: ${words}${mean}`}
      />
      <small aria-hidden>{newest === null ? '' : rtt(newest)}</small>
    </span>
  )
})

/** Minutes that may pass without a round before there is no newest one: the last are still open. */
const NEWEST_MIN = 5

/** Returns the newest mean there is; null if nothing came back lately. */
function newestOf(track: Track): number | null {
  for (let i = track.length - 1; i >= track.length - NEWEST_MIN; i -= 1) {
    const mean = track.mean[i] ?? Number.NaN
    if (!Number.isNaN(mean)) return mean
    // Asked and not answered: what was before says nothing of now.
    if ((track.sent[i] ?? 0) > 0) return null
  }
  return null
}

/** The means on a scale of their own, from zero: how even they are, not how large. */
function drawSpark(ctx: CanvasRenderingContext2D, track: Track, view: View): void {
  const scale = devicePixelRatio
  const frame = { ...view, left: 0, width: Math.round(WIDTH_PX * scale) }
  const [first, last] = visible(frame, track)
  let most = 0
  for (let i = first; i <= last; i += 1) most = Math.max(most, track.mean[i] || 0)
  if (most === 0) return
  const [ground, height] = [(STRIP_PX + GAP_PX + SPARK_PX - 1) * scale, (SPARK_PX - 2) * scale]
  ctx.lineWidth = 1.25 * scale
  ctx.lineJoin = 'round'
  ctx.lineCap = 'round'
  ctx.beginPath()
  let isDown = false
  for (let i = first; i <= last; i += 1) {
    const mean = track.mean[i] ?? Number.NaN
    if (Number.isNaN(mean)) {
      // Where nothing was asked the line goes on; where nothing came back it breaks.
      if ((track.sent[i] ?? 0) > 0) isDown = false
      continue
    }
    const x = xOf(frame, track.first + (i + 0.5) * track.stepMs)
    const y = ground - (mean / (most * 1.1)) * height
    if (isDown) ctx.lineTo(x, y)
    else ctx.moveTo(x, y)
    isDown = true
  }
  ctx.stroke()
}
