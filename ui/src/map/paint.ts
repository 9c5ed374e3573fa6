/** Draws what was planned of a map on a canvas: of a page, or of a worker. */

import type { Point } from '../domain/netmap'
import { type Verdict, verdictMark } from '../domain/verdict'
import type { Plan, Spot } from './plan'
import type { Land } from './world'

export type Canvas = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D

export function paintWorld(
  context: Canvas,
  scene: Plan,
  lands: readonly Land[],
  ratio: number,
): void {
  const { view, size, ink } = scene
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.fillStyle = ink.sea
  context.fillRect(0, 0, size.width, size.height)
  const { scale } = view
  const [x, y] = [size.width / 2 - view.x * scale, size.height / 2 - view.y * scale]
  context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y)
  const [w, h] = [size.width / 2 / scale, size.height / 2 / scale]
  context.fillStyle = ink.land
  context.strokeStyle = ink.border
  context.lineWidth = 0.8 / scale
  context.lineJoin = 'round'
  for (const { path, box } of lands) {
    if (box.x > view.x + w || box.x + box.width < view.x - w) continue
    if (box.y > view.y + h || box.y + box.height < view.y - h) continue
    context.fill(path)
    context.stroke(path)
  }
}

const FAINT = 0.16

export function paintNetwork(context: Canvas, scene: Plan, ratio: number): void {
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, scene.size.width, scene.size.height)
  context.lineCap = 'round'
  paintLinks(context, scene)
  paintSites(context, scene)
  context.globalAlpha = 1
}

const DASH: Record<Verdict, number[]> = {
  up: [],
  unknown: [1, 5],
  degraded: [9, 4],
  down: [3, 4],
}

function paintLinks(context: Canvas, scene: Plan): void {
  const { zoom, ink } = scene
  for (const line of scene.lines) {
    const { from, to, state } = line
    const isBad = state === 'down' || state === 'degraded'
    const width = (isBad ? 2.4 : 1.3) + Math.min(2.2, Math.log2(line.count) * 0.8)
    context.globalAlpha = line.isFaint ? FAINT : 1
    const stroke = () => {
      context.beginPath()
      context.moveTo(from.x, from.y)
      context.lineTo(to.x, to.y)
      context.stroke()
    }
    if (line.isSelected || line.isCause || line.isSuspect) {
      context.setLineDash(line.isSuspect && !line.isSelected ? [2, 6] : [])
      context.strokeStyle = line.isSelected ? ink.accent : ink.fill.down
      context.globalAlpha *= line.isSelected ? 0.55 : 0.3
      context.lineWidth = (width + 7) * zoom
      stroke()
      context.globalAlpha = line.isFaint ? FAINT : 1
    }
    context.setLineDash(DASH[state].map((length) => length * zoom))
    context.strokeStyle =
      state === 'unknown' ? ink.ink2 : state === 'up' ? ink.fill.up : ink.fill[state]
    if (state === 'unknown' && !line.isFaint) context.globalAlpha = 0.55
    if (state === 'up' && !line.isFaint) context.globalAlpha = 0.55
    context.lineWidth = width * zoom
    stroke()
    context.setLineDash([])
    context.globalAlpha = line.isFaint ? FAINT : 1
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 }
    if (Math.hypot(from.x - to.x, from.y - to.y) < 34 * zoom) continue
    if (isBad || line.isCause || line.isSuspect) {
      shape(context, scene, middle, 7.5 * zoom, isBad ? state : 'unknown')
    } else if (line.count > 1 && !line.isFaint) {
      chip(context, scene, middle, `×${line.count}`)
    }
  }
}

function chip(context: Canvas, scene: Plan, at: Point, text: string): void {
  const { ink, zoom } = scene
  context.font = `600 ${10 * zoom}px ${ink.font}`
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.lineWidth = 4 * zoom
  context.strokeStyle = ink.land
  context.strokeText(text, at.x, at.y)
  context.fillStyle = ink.ink2
  context.fillText(text, at.x, at.y)
}

/** A mark: colour, shape and letter say the same. */
export function shape(
  context: Canvas,
  { ink, zoom }: Pick<Plan, 'ink' | 'zoom'>,
  { x, y }: Point,
  radius: number,
  state: Verdict,
): void {
  context.beginPath()
  if (state === 'down') {
    const side = radius * 0.94
    context.rect(x - side, y - side, side * 2, side * 2)
  } else if (state === 'degraded') {
    const reach = radius * 1.28
    context.moveTo(x, y - reach)
    context.lineTo(x + reach, y)
    context.lineTo(x, y + reach)
    context.lineTo(x - reach, y)
    context.closePath()
  } else {
    context.arc(x, y, radius, 0, Math.PI * 2)
  }
  context.fillStyle = ink.fill[state]
  context.fill()
  context.lineWidth = 1.6 * zoom
  if (state === 'unknown') {
    context.setLineDash([2.6 * zoom, 1.8 * zoom])
    context.strokeStyle = ink.text.unknown
  } else {
    context.strokeStyle = ink.surface
  }
  context.stroke()
  context.setLineDash([])
  context.fillStyle = ink.text[state]
  context.font = `700 ${radius * 1.3}px ${ink.font}`
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.fillText(verdictMark(state).letter, x, y + radius * 0.06)
}

function ring(context: Canvas, at: Point, radius: number, dash: number[] = []) {
  context.beginPath()
  context.arc(at.x, at.y, radius, 0, Math.PI * 2)
  context.setLineDash(dash)
  context.stroke()
  context.setLineDash([])
}

function paintSites(context: Canvas, scene: Plan): void {
  const { ink, zoom, spots } = scene
  for (const spot of spots) {
    const { at, radius, part } = spot
    context.globalAlpha = spot.isFaint ? FAINT : 1
    if (part === 'cause' || part === 'suspect') {
      context.strokeStyle = ink.fill.down
      context.lineWidth = 2 * zoom
      ring(context, at, radius + 5 * zoom, part === 'suspect' ? [3, 3] : [])
      context.lineWidth = 1 * zoom
      ring(context, at, radius + 9 * zoom, part === 'suspect' ? [3, 3] : [])
    } else if (part === 'hit') {
      context.strokeStyle = ink.ink
      context.lineWidth = 1.5 * zoom
      ring(context, at, radius + 4.5 * zoom)
    }
    if (spot.isSelected) {
      context.strokeStyle = ink.accent
      context.lineWidth = 3 * zoom
      ring(context, at, radius + 6 * zoom)
    }
    if (spot.sites.length === 1) shape(context, scene, at, radius, spot.state)
    else paintCluster(context, scene, spot)
  }
  paintLabels(context, scene, spots)
}

const RING_ORDER: readonly Verdict[] = ['down', 'degraded', 'unknown', 'up']

/** Several sites: how many, a ring that says how many of them are what, and the worst of them. */
function paintCluster(context: Canvas, scene: Plan, spot: Spot): void {
  const { ink, zoom } = scene
  const { at, radius, counts } = spot
  context.beginPath()
  context.arc(at.x, at.y, radius, 0, Math.PI * 2)
  context.fillStyle = ink.surface
  context.fill()
  let turn = -Math.PI / 2
  context.lineCap = 'butt'
  context.lineWidth = 3.4 * zoom
  for (const state of RING_ORDER) {
    if (counts[state] === 0) continue
    const part = (counts[state] / spot.sites.length) * Math.PI * 2
    context.beginPath()
    context.arc(at.x, at.y, radius, turn, turn + part)
    context.strokeStyle = state === 'unknown' ? ink.line : ink.fill[state]
    context.stroke()
    turn += part
  }
  context.lineCap = 'round'
  context.fillStyle = ink.ink
  context.font = `650 ${Math.max(11 * zoom, radius * 0.82)}px ${ink.font}`
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.fillText(String(spot.sites.length), at.x, at.y + 0.5)
  if (spot.state === 'up' || spot.state === 'unknown') return
  const badge = { x: at.x + radius * 0.78, y: at.y - radius * 0.78 }
  shape(context, scene, badge, 6.5 * zoom, spot.state)
}

/** More names than this say nothing. */
const LABELS_MAX = 220

function paintLabels(context: Canvas, scene: Plan, spots: readonly Spot[]): void {
  const { ink, zoom } = scene
  const taken: { left: number; top: number; right: number; bottom: number }[] = spots.map(
    ({ at, radius }) => ({
      left: at.x - radius,
      right: at.x + radius,
      top: at.y - radius,
      bottom: at.y + radius,
    }),
  )
  const rank = (spot: Spot) =>
    (spot.isSelected ? 1e6 : 0) +
    (spot.part === 'cause' || spot.part === 'suspect' ? 1e5 : 0) +
    (spot.state === 'down' ? 5e4 : spot.state === 'degraded' ? 2e4 : 0) +
    spot.links
  const ordered = spots
    .filter((spot) => !spot.isFaint)
    .sort((a, b) => rank(b) - rank(a) || (a.id < b.id ? -1 : 1))
    .slice(0, LABELS_MAX)
  context.globalAlpha = 1
  context.textAlign = 'left'
  context.textBaseline = 'middle'
  context.lineJoin = 'round'
  for (const spot of ordered) {
    const isLoud = spot.state === 'down' || spot.state === 'degraded' || spot.isSelected
    const px = (isLoud ? 12.5 : 11.5) * zoom
    context.font = `${isLoud ? 650 : 500} ${px}px ${ink.font}`
    const text = spot.label
    if (text === '') continue
    const width = context.measureText(text).width
    const gap = spot.radius + (spot.part === null ? 5 : 12) * zoom
    const half = px * 0.62
    const own = (box: (typeof taken)[number]) =>
      box.left === spot.at.x - spot.radius && box.top === spot.at.y - spot.radius
    const options = [
      { x: spot.at.x + gap, y: spot.at.y },
      { x: spot.at.x - gap - width, y: spot.at.y },
      { x: spot.at.x - width / 2, y: spot.at.y + gap + half },
      { x: spot.at.x - width / 2, y: spot.at.y - gap - half },
    ]
    const place = options.find(({ x, y }) =>
      taken.every(
        (box) =>
          own(box) ||
          x > box.right + 2 ||
          x + width < box.left - 2 ||
          y - half > box.bottom ||
          y + half < box.top,
      ),
    )
    const at = place ?? (isLoud ? options[0] : undefined)
    if (at === undefined) continue
    taken.push({ left: at.x, right: at.x + width, top: at.y - half, bottom: at.y + half })
    context.lineWidth = 3.5 * zoom
    context.strokeStyle = ink.land
    context.strokeText(text, at.x, at.y)
    context.fillStyle = isLoud ? ink.ink : ink.ink2
    context.fillText(text, at.x, at.y)
  }
}
