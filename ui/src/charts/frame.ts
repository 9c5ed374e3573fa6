/**
 * Where a moment is on the canvases that stand under each other: strips, chart and loss share one
 * axis, and one rule of rounding, so that a column is as wide in each.
 */

import type { Track } from '../domain/history'

export interface Frame {
  from: number
  to: number
  /** Left edge and width of the axis, in pixels of the canvas. */
  left: number
  width: number
}

export function xOf({ from, to, left, width }: Frame, at: number): number {
  return left + ((at - from) / (to - from)) * width
}

/** Returns the edges of a column in whole pixels, within the frame; null if it is outside. */
export function edgesOf(frame: Frame, at: number, lengthMs: number): [number, number] | null {
  const { left, width } = frame
  const begin = Math.max(Math.round(xOf(frame, at)), Math.round(left))
  const end = Math.min(Math.round(xOf(frame, at + lengthMs)), Math.round(left + width))
  return begin < end ? [begin, end] : null
}

/** Returns the first and the last column of a track that is within the frame. */
export function visible({ from, to }: Frame, track: Track): [number, number] {
  const first = Math.max(0, Math.floor((from - track.first) / track.stepMs))
  const last = Math.min(track.length - 1, Math.ceil((to - track.first) / track.stepMs) - 1)
  return [first, last]
}

export type Ink = (name: string) => string

/** Reads the colours of the page once, and keeps them. */
export function inkOf(element: HTMLElement): Ink {
  const style = getComputedStyle(element)
  const known = new Map<string, string>()
  return (name) => {
    let value = known.get(name)
    if (value === undefined) {
      value = style.getPropertyValue(name).trim()
      known.set(name, value)
    }
    return value
  }
}

/** Fills a box with the pattern of what is not known. */
export function hatch(
  ctx: CanvasRenderingContext2D,
  [left, right]: readonly [number, number],
  top: number,
  height: number,
  ink: Ink,
): void {
  const scale = devicePixelRatio
  ctx.save()
  ctx.beginPath()
  ctx.rect(left, top, right - left, height)
  ctx.clip()
  ctx.fillStyle = ink('--hatch-gap')
  ctx.fillRect(left, top, right - left, height)
  ctx.strokeStyle = ink('--hatch-ink')
  ctx.lineWidth = 1.1 * scale
  ctx.beginPath()
  const step = 5.5 * scale
  // From a multiple of the step, so that the pattern of neighbours goes on.
  for (let x = Math.floor((left - height) / step) * step; x < right; x += step) {
    ctx.moveTo(x, top + height)
    ctx.lineTo(x + height, top)
  }
  ctx.stroke()
  ctx.restore()
}

/** Makes a canvas as sharp as the screen and returns its pen; null where there is none to have. */
export function penOf(
  canvas: HTMLCanvasElement,
  widthPx: number,
  heightPx: number,
): CanvasRenderingContext2D | null {
  const scale = devicePixelRatio
  canvas.width = Math.round(widthPx * scale)
  canvas.height = Math.round(heightPx * scale)
  return canvas.getContext('2d')
}
