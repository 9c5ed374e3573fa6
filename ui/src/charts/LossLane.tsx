/**
 * The share of packets that did not come back, as bars of its own under the round-trip times: of
 * several lines the worst. Small losses are drawn larger than they are, so that 1 % is seen.
 */

import { memo, useLayoutEffect, useRef } from 'react'

import { type Track, indexAt } from '../domain/history'
import { LOSS_MARKS, lossStep } from '../domain/loss'
import type { View } from '../domain/view'
import css from './LossLane.module.css'
import { edgesOf, inkOf, penOf, visible } from './frame'

interface Props {
  tracks: readonly Track[]
  view: View
  widthPx: number
  heightPx: number
  scheme: string
}

/** The worst of several at one column: what was sent and what came back. */
export function worstLoss(
  tracks: readonly Track[],
  at: number,
): { sent: number; received: number } {
  let worst = { sent: 0, received: 0 }
  for (const track of tracks) {
    const i = indexAt(track, at)
    const [sent, received] = [track.sent[i] ?? 0, track.received[i] ?? 0]
    const lost = sent - received
    if (sent > 0 && (worst.sent === 0 || lost / sent > 1 - worst.received / worst.sent))
      worst = { sent, received }
  }
  return worst
}

export const LossLane = memo(function LossLane(props: Props) {
  const { tracks, view, widthPx, heightPx } = props
  const canvas = useRef<HTMLCanvasElement>(null)
  useLayoutEffect(() => {
    const element = canvas.current
    const ctx = element && penOf(element, widthPx, heightPx)
    const lead = tracks[0]
    if (!element || !ctx || lead === undefined) return
    const ink = inkOf(element)
    const scale = devicePixelRatio
    const frame = { ...view, left: 0, width: Math.round(widthPx * scale) }
    const height = Math.round(heightPx * scale)
    ctx.fillStyle = ink('--line')
    ctx.fillRect(0, height - Math.round(scale), frame.width, Math.round(scale))
    const [first, last] = visible(frame, lead)
    for (let i = first; i <= last; i += 1) {
      const at = lead.first + i * lead.stepMs
      const { sent, received } = worstLoss(tracks, at)
      const step = lossStep(sent, received)
      const edges = edgesOf(frame, at, lead.stepMs)
      if (step === 'none' || edges === null) continue
      const bar = Math.max(scale, Math.sqrt(1 - received / sent) * height)
      const wide = Math.max(edges[1] - edges[0], Math.round(scale))
      ctx.fillStyle = ink(`--loss-${step}`)
      ctx.fillRect(edges[0], height - bar, wide, bar)
    }
  })
  return (
    <canvas
      ref={canvas}
      className={css.lane}
      style={{ width: widthPx, height: heightPx }}
      aria-hidden
    />
  )
})

export function LossLegend() {
  return (
    <ul className={css.legend} aria-label="Loss">
      {LOSS_MARKS.filter((mark) => mark.step !== 'none').map((mark) => (
        <li key={mark.step}>
          <i style={{ background: `var(--loss-${mark.step})`, height: mark.heightPx }} />
          {mark.words}
        </li>
      ))}
    </ul>
  )
}
