/**
 * One row of state: a column for each value, as bad as the worst in it.
 *
 * A verdict is told by height and pattern as well as by colour: Up is low, Degraded higher, Down
 * full, Unknown hatched. The words stand in the readout and in the tables; a canvas has none.
 */

import { memo, useLayoutEffect, useRef } from 'react'

import { BY_BADNESS, type Track, sampleAt } from '../domain/history'
import type { View } from '../domain/view'
import { type Ink, edgesOf, hatch, inkOf, penOf, visible } from './frame'
import css from './StateStrip.module.css'

interface Props {
  track: Track
  view: View
  widthPx: number
  heightPx: number
  isFaint?: boolean
  /** Changes when the colours do. */
  scheme: string
}

const HEIGHT = { up: 0.38, degraded: 0.7, down: 1 } as const
const FILL = { up: '--good-fill', degraded: '--warn-fill', down: '--bad-fill' } as const
/** Columns narrower than this stand side by side without a gap. */
const GAP_FROM_PX = 5
/** What may still change is drawn lighter, and what was before the first round hardly at all. */
const OPEN_ALPHA = 0.55
const BEFORE_ALPHA = 0.35

export const StateStrip = memo(function StateStrip(props: Props) {
  const { widthPx, heightPx, isFaint = false } = props
  const canvas = useRef<HTMLCanvasElement>(null)
  useLayoutEffect(() => {
    const element = canvas.current
    const ctx = element && penOf(element, widthPx, heightPx)
    if (element && ctx) draw(ctx, props, inkOf(element))
  })
  return (
    <canvas
      ref={canvas}
      className={css.strip}
      style={{ width: widthPx, height: heightPx, opacity: isFaint ? 0.55 : 1 }}
      aria-hidden
    />
  )
})

function draw(
  ctx: CanvasRenderingContext2D,
  { track, view, widthPx, heightPx }: Omit<Props, 'scheme' | 'isFaint'>,
  ink: Ink,
): void {
  const scale = devicePixelRatio
  const frame = { ...view, left: 0, width: Math.round(widthPx * scale) }
  const height = Math.round(heightPx * scale)
  const columnPx = (track.stepMs / (view.to - view.from)) * widthPx
  const gap = columnPx >= GAP_FROM_PX ? Math.round(scale) : 0
  ctx.fillStyle = ink('--line')
  ctx.fillRect(0, height - Math.round(scale), frame.width, Math.round(scale))
  const [first, last] = visible(frame, track)
  for (let i = first; i <= last; i += 1) {
    const sample = sampleAt(track, i)
    const edges = sample && edgesOf(frame, sample.at, sample.lengthMs)
    if (!edges) continue
    const box: [number, number] = [edges[0], Math.max(edges[0] + 1, edges[1] - gap)]
    ctx.globalAlpha = sample.isOpen ? OPEN_ALPHA : sample.cause === 'not_yet' ? BEFORE_ALPHA : 1
    const bar = (verdict: keyof typeof HEIGHT) => {
      const part = Math.round(height * HEIGHT[verdict])
      ctx.fillStyle = ink(FILL[verdict])
      ctx.fillRect(box[0], height - part, box[1] - box[0], part)
    }
    if (sample.verdict === 'unknown') {
      hatch(ctx, box, 0, height, ink)
      // Of a longer column some minutes may be known all the same: it stands on their foot.
      if (sample.minutes.up > 0) bar('up')
    } else bar(sample.verdict)
    ctx.globalAlpha = 1
  }
}

/** Draws a row of state where there is room for a few pixels only, as in a list. */
export { draw as drawStrip }

export function StateLegend() {
  const words = { up: 'up', degraded: 'degraded', down: 'down', unknown: 'unknown' }
  return (
    <ul className={css.legend} aria-label="State">
      {BY_BADNESS.map((verdict) => (
        <li key={verdict}>
          <i data-verdict={verdict} className={verdict === 'unknown' ? 'hatched' : undefined} />
          {words[verdict]}
        </li>
      ))}
    </ul>
  )
}
