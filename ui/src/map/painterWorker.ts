/** Draws what a page sends; of several plans that wait only the last. */

import { type Painter, type PainterMessage, painterOn } from './painter'

let painter: Painter | null = null
let next: Extract<PainterMessage, { kind: 'plan' }> | null = null
let timer: ReturnType<typeof setTimeout> | undefined

self.onmessage = ({ data }: MessageEvent<PainterMessage>) => {
  if (data.kind === 'canvases') {
    painter = painterOn(data.ground, data.top)
    return
  }
  next = data
  // After what has come meanwhile.
  timer ??= setTimeout(() => {
    timer = undefined
    if (next !== null) painter?.paint(next.plan, next.ratio)
  }, 0)
}
