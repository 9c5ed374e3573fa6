/**
 * Round-trip time over time: for each line the band from fastest to slowest and the median, or the
 * mean where no median is known; p95 if there is one line; hatching with its cause where nobody
 * knows anything. Causes are written in a lane of their own, so that no text ever stands on a line.
 *
 * A canvas says nothing to a screen reader: the readout and the tables say the same in words.
 */

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { memo, useEffect, useRef } from 'react'

import { causeWords } from '../domain/cause'
import { type Hole, type Track, holes, indexAt, isBlank } from '../domain/history'
import type { View } from '../domain/view'
import css from './LatencyChart.module.css'
import { type Frame, type Ink, edgesOf, hatch, inkOf, visible, xOf } from './frame'
import { type LineStyle, traceShape } from './lines'

export interface Line {
  id: string
  name: string
  style: LineStyle
  track: Track
  /** The same so much earlier, moved onto this axis; null if nothing is compared. */
  past: Track | null
}

interface Props {
  label: string
  lines: readonly Line[]
  view: View
  tickAt: readonly number[]
  widthPx: number
  heightPx: number
  /** Room for the axis, so that the plot stands under the strips. */
  gutterPx: number
  /** Changes when the colours do. */
  scheme: string
}

/** The lane of the causes, above the plot. */
const LANE_PX = 18
const LINE_PX = 1.7
const SHAPE_PX = 3.4
/** A shape stands on the line about this often. */
const SHAPE_EVERY_PX = 170
/** Of the slowest packets, what is above this part of them may leave the plot at the top. */
const SHOWN_PART = 0.98

/** The one value a line goes through: the median, or the mean where there is none. */
function centre(track: Track, i: number): number {
  const median = track.p50[i] ?? Number.NaN
  return Number.isNaN(median) ? (track.mean[i] ?? Number.NaN) : median
}

/**
 * Returns the top of the axis in milliseconds: room for every line and nearly every packet. One
 * packet of a thousand that took a second must not press all others to the ground.
 */
export function topOf(lines: readonly Line[], view: View): number {
  let most = 0
  const slowest: number[] = []
  for (const line of lines) {
    for (const track of line.past === null ? [line.track] : [line.track, line.past]) {
      const [first, last] = visible({ ...view, left: 0, width: 1 }, track)
      for (let i = first; i <= last; i += 1) {
        const value = centre(track, i)
        if (Number.isNaN(value)) continue
        most = Math.max(most, value)
        slowest.push(track.p95[i] || value, track.max[i] || value)
      }
    }
  }
  slowest.sort((a, b) => a - b)
  const shown = slowest[Math.floor((slowest.length - 1) * SHOWN_PART)] ?? 1000
  return Math.max((Math.max(most, shown) / 1000) * 1.12, 0.2)
}

function frameOf(plot: uPlot, { view }: Props): Frame {
  return { ...view, left: plot.bbox.left, width: plot.bbox.width }
}

function drawTicks(
  { ctx, bbox }: uPlot,
  frame: Frame,
  tickAt: readonly number[],
  ink: Ink,
): void {
  ctx.save()
  ctx.strokeStyle = ink('--line')
  ctx.lineWidth = devicePixelRatio
  ctx.beginPath()
  for (const at of tickAt) {
    const x = Math.round(xOf(frame, at)) + 0.5
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
  }
  ctx.stroke()
  ctx.restore()
}

function drawHole({ ctx, bbox }: uPlot, frame: Frame, hole: Hole, ink: Ink): void {
  const edges = edgesOf(frame, hole.from, hole.to - hole.from)
  if (edges === null) return
  const lane = LANE_PX * devicePixelRatio
  const top = bbox.top - lane
  hatch(ctx, edges, top, bbox.height + lane, ink)
  const words = causeWords(hole.cause)
  ctx.save()
  ctx.font = `${11.5 * devicePixelRatio}px ${ink('--font')}`
  const room = 6 * devicePixelRatio
  const length = ctx.measureText(words).width + 2 * room
  if (length <= edges[1] - edges[0]) {
    // In the middle of what is seen of it.
    const x = (edges[0] + edges[1] - length) / 2
    ctx.fillStyle = ink('--hatch-gap')
    ctx.fillRect(x, top, length, lane)
    ctx.fillStyle = ink('--ink-2')
    ctx.textBaseline = 'middle'
    // The axis was written with its own, and would leave it behind.
    ctx.textAlign = 'left'
    ctx.fillText(words, x + room, top + lane / 2)
  }
  ctx.restore()
}

interface Pen {
  ctx: CanvasRenderingContext2D
  frame: Frame
  y: (us: number) => number
}

/** Cuts a track into stretches of columns that belong together. */
function stretches(track: Track, frame: Frame): number[][] {
  const [first, last] = visible(frame, track)
  const found: number[][] = []
  let now: number[] = []
  // One more on either side, so that a line goes on to the edge.
  for (let i = Math.max(0, first - 1); i <= Math.min(track.length - 1, last + 1); i += 1) {
    if (!Number.isNaN(centre(track, i))) now.push(i)
    else if (isBlank(track, i) || (track.sent[i] ?? 0) > 0) {
      // Nobody knows, or nothing came back: there is no line. Where nothing was due, it goes on.
      if (now.length > 0) found.push(now)
      now = []
    }
  }
  if (now.length > 0) found.push(now)
  return found
}

const middle = (track: Track, i: number) => track.first + (i + 0.5) * track.stepMs

function trace(
  { ctx, frame, y }: Pen,
  track: Track,
  stretch: readonly number[],
  value: (i: number) => number,
): void {
  stretch.forEach((i, place) => {
    const x = xOf(frame, middle(track, i))
    if (place === 0) ctx.moveTo(x, y(value(i)))
    else ctx.lineTo(x, y(value(i)))
  })
}

function drawBand(pen: Pen, track: Track, stretch: readonly number[]): void {
  const { ctx } = pen
  ctx.beginPath()
  trace(pen, track, stretch, (i) => track.max[i] ?? 0)
  for (const i of stretch.toReversed()) {
    ctx.lineTo(xOf(pen.frame, middle(track, i)), pen.y(track.min[i] ?? 0))
  }
  ctx.closePath()
  ctx.fill()
}

function drawLine(pen: Pen, line: Line, isAlone: boolean, ink: Ink): void {
  const { ctx, frame } = pen
  const { track, past } = line
  const scale = devicePixelRatio
  const colour = ink(line.style.ink)
  ctx.lineJoin = 'round'
  ctx.lineCap = 'round'
  ctx.strokeStyle = colour
  ctx.fillStyle = colour
  const parts = stretches(track, frame)
  // The band of all agents together spans from the nearest to the farthest: it must not shout.
  ctx.globalAlpha = track.agent === null ? 0.07 : isAlone && past === null ? 0.17 : 0.1
  for (const part of parts) drawBand(pen, track, part)
  if (past !== null) {
    ctx.globalAlpha = 0.75
    ctx.lineWidth = 1.3 * scale
    ctx.setLineDash([5 * scale, 4 * scale])
    ctx.beginPath()
    for (const part of stretches(past, frame)) trace(pen, past, part, (i) => centre(past, i))
    ctx.stroke()
    ctx.setLineDash([])
  } else if (isAlone) {
    ctx.globalAlpha = 0.65
    ctx.lineWidth = scale
    ctx.beginPath()
    for (const part of parts) {
      const known = part.filter((i) => !Number.isNaN(track.p95[i]))
      trace(pen, track, known, (i) => track.p95[i] ?? 0)
    }
    ctx.stroke()
  }
  ctx.globalAlpha = 1
  ctx.lineWidth = LINE_PX * scale
  ctx.beginPath()
  for (const part of parts) {
    trace(pen, track, part, (i) => centre(track, i))
    // A single value among nothing is a dot: no line can show it.
    const [only] = part
    if (part.length === 1 && only !== undefined) {
      const [x, y] = [xOf(frame, middle(track, only)), pen.y(centre(track, only))]
      ctx.moveTo(x + 1, y)
      ctx.arc(x, y, 1, 0, Math.PI * 2)
    }
  }
  ctx.stroke()
}

/** The shapes by which lines are told apart without their hue. */
function drawShapes(pen: Pen, line: Line, place: number, ink: Ink): void {
  const { ctx, frame, y } = pen
  const scale = devicePixelRatio
  const count = Math.max(1, Math.floor(frame.width / (SHAPE_EVERY_PX * scale)))
  ctx.beginPath()
  for (let n = 0; n < count; n += 1) {
    // Each line has its own phase: shapes of lines that lie on each other do not.
    const part = (n + 0.3 + (place % 5) * 0.12) / count
    const i = indexAt(line.track, frame.from + part * (frame.to - frame.from))
    const value = i === -1 ? Number.NaN : centre(line.track, i)
    if (Number.isNaN(value)) continue
    const x = xOf(frame, middle(line.track, i))
    traceShape(ctx, line.style.shape, x, y(value), SHAPE_PX * scale)
  }
  const isRing = line.style.shape === 'ring'
  ctx.lineWidth = (isRing ? 1.6 : 1.4) * scale
  ctx.strokeStyle = isRing ? ink(line.style.ink) : ink('--surface')
  ctx.fillStyle = isRing ? ink('--surface') : ink(line.style.ink)
  ctx.stroke()
  ctx.fill()
}

function drawLines(plot: uPlot, props: Props, ink: Ink): void {
  const { ctx, bbox } = plot
  const y = (us: number) => plot.valToPos(us / 1000, 'y', true)
  const pen = { ctx, frame: frameOf(plot, props), y }
  const { lines } = props
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  for (const line of lines) drawLine(pen, line, lines.length === 1, ink)
  if (lines.length > 1) lines.forEach((line, place) => drawShapes(pen, line, place, ink))
  ctx.restore()
}

/** Values of the axis, with as many digits as the step between them needs. */
function axisValues(_: uPlot, splits: number[]): string[] {
  const step = (splits[1] ?? 1) - (splits[0] ?? 0)
  const digits = [0, 1, 2].find((n) => Math.abs(step - Number(step.toFixed(n))) < step / 100) ?? 3
  return splits.map((value) => value.toFixed(digits))
}

/** What is drawn is read from the props; uPlot only has to know the corners. */
function corners({ lines, view }: Props): uPlot.AlignedData {
  return [
    [view.from / 1000, view.to / 1000],
    [0, topOf(lines, view)],
  ]
}

function optionsOf(props: () => Props, ink: Ink): uPlot.Options {
  const { widthPx, heightPx, gutterPx } = props()
  return {
    width: widthPx,
    height: heightPx,
    padding: [LANE_PX, 0, 6, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: () => [props().view.from / 1000, props().view.to / 1000] },
      y: { range: (_, __, max) => [0, max] },
    },
    axes: [
      { show: false },
      {
        size: gutterPx,
        gap: 6,
        stroke: ink('--ink-3'),
        font: `12px ${ink('--font')}`,
        grid: { stroke: ink('--line'), width: 1 },
        ticks: { show: false },
        space: 34,
        values: axisValues,
      },
    ],
    series: [{}, { stroke: 'transparent', width: 0, points: { show: false } }],
    hooks: {
      drawClear: [
        (plot) => {
          const frame = frameOf(plot, props())
          drawTicks(plot, frame, props().tickAt, ink)
          for (const hole of holes(props().lines.map((line) => line.track)))
            drawHole(plot, frame, hole, ink)
        },
      ],
      draw: [
        (plot) => {
          drawLines(plot, props(), ink)
        },
      ],
    },
  }
}

export const LatencyChart = memo(function LatencyChart(props: Props) {
  const { label, lines, view, tickAt, widthPx, heightPx, gutterPx, scheme } = props
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  useEffect(() => {
    latest.current = props
  })
  useEffect(() => {
    const element = host.current
    if (element === null) return
    const now = () => latest.current
    const chart = new uPlot(optionsOf(now, inkOf(element)), corners(now()), element)
    plot.current = chart
    return () => {
      chart.destroy()
      plot.current = null
    }
  }, [scheme, gutterPx])
  useEffect(() => {
    plot.current?.setSize({ width: widthPx, height: heightPx })
  }, [widthPx, heightPx])
  useEffect(() => {
    plot.current?.setData(corners(latest.current))
  }, [lines, view, tickAt])
  return <div ref={host} className={css.plot} role="img" aria-label={label} />
})
