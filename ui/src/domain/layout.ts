/**
 * Where sites are drawn: by their coordinates, beside their neighbours if they have none, and as a
 * plan of its own if nobody has. Always the same for the same network, whatever its states are.
 */

import type { MapSite } from '../api/types'
import type { Bundle, Point } from './netmap'

/** Up to so many sites a plan is relaxed; beyond, it would take too long at once. */
const RELAXED_MAX = 150
const ROUNDS = 90
/** The angle that leaves no rows and no gaps. */
const GOLDEN = Math.PI * (3 - Math.sqrt(5))
/** The part of the plane that a plan without coordinates fills. */
const PLAN = { x: 0.3, y: 0.3, size: 0.4 }

/** Latitudes beyond are no place for a site, and endless in this projection. */
const LATITUDE_MAX = 84

/** Web Mercator into a square of side 1. */
export function mercator(longitude: number, latitude: number): Point {
  const clamped = Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitude))
  const phi = (clamped * Math.PI) / 180
  return {
    x: (longitude + 180) / 360,
    y: 0.5 - Math.log(Math.tan(Math.PI / 4 + phi / 2)) / (2 * Math.PI),
  }
}

export interface Layout {
  places: ReadonlyMap<string, Point>
  /** Sites that are not where they are: nobody said where. */
  guessed: ReadonlySet<string>
  /** Nobody has coordinates: there is no world behind them. */
  isPlan: boolean
}

export function layoutOf(sites: Iterable<MapSite>, bundles: readonly Bundle[]): Layout {
  const places = new Map<string, Point>()
  const rest: string[] = []
  for (const { id, latitude, longitude } of sites) {
    if (typeof latitude !== 'number' || typeof longitude !== 'number') rest.push(id)
    else places.set(id, mercator(longitude, latitude))
  }
  rest.sort()
  if (places.size === 0) {
    return { places: planOf(rest, bundles), guessed: new Set(), isPlan: rest.length > 0 }
  }
  settleBeside(places, rest, bundles)
  return { places, guessed: new Set(rest), isPlan: false }
}

function neighboursOf(bundles: readonly Bundle[]): Map<string, string[]> {
  const all = new Map<string, string[]>()
  const add = (from: string, to: string) => {
    const list = all.get(from)
    if (list === undefined) all.set(from, [to])
    else list.push(to)
  }
  for (const { from, to } of bundles) {
    add(from, to)
    add(to, from)
  }
  for (const list of all.values()) list.sort()
  return all
}

/** Puts who has no coordinates near those who have, each in a direction of its own. */
function settleBeside(
  places: Map<string, Point>,
  rest: readonly string[],
  bundles: readonly Bundle[],
): void {
  const neighbours = neighboursOf(bundles)
  const box = boxOf(places.values())
  const step = Math.max(box.width, box.height, 0.002) / 14
  let left = rest
  let turn = 0
  while (left.length > 0) {
    const next: string[] = []
    for (const id of left) {
      const known = (neighbours.get(id) ?? []).flatMap((other) => places.get(other) ?? [])
      if (known.length === 0) {
        next.push(id)
        continue
      }
      turn += 1
      const x = known.reduce((sum, at) => sum + at.x, 0) / known.length
      const y = known.reduce((sum, at) => sum + at.y, 0) / known.length
      places.set(id, {
        x: x + Math.cos(turn * GOLDEN) * step,
        y: y + Math.sin(turn * GOLDEN) * step,
      })
    }
    if (next.length === left.length) break
    left = next
  }
  // Linked to nobody that has a place: in rows below all.
  const columns = Math.max(1, Math.ceil(Math.sqrt(left.length * 4)))
  left
    .filter((id) => !places.has(id))
    .forEach((id, index) => {
      places.set(id, {
        x: box.x + (index % columns) * step,
        y: box.y + box.height + (2 + Math.floor(index / columns)) * step,
      })
    })
}

/** A plan: who is linked to many in the middle, neighbours near each other. */
function planOf(ids: readonly string[], bundles: readonly Bundle[]): Map<string, Point> {
  const neighbours = neighboursOf(bundles)
  const degree = (id: string) => neighbours.get(id)?.length ?? 0
  const order: string[] = []
  const seen = new Set<string>()
  const roots = [...ids].sort((a, b) => degree(b) - degree(a) || (a < b ? -1 : 1))
  for (const root of roots) {
    const queue = seen.has(root) ? [] : [root]
    seen.add(root)
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      order.push(id)
      for (const next of neighbours.get(id) ?? []) {
        if (!seen.has(next)) {
          seen.add(next)
          queue.push(next)
        }
      }
    }
  }
  const points = order.map((_, index) => {
    const radius = 0.5 * Math.sqrt((index + 0.3) / Math.max(1, order.length))
    return {
      x: 0.5 + radius * Math.cos(index * GOLDEN),
      y: 0.5 + radius * Math.sin(index * GOLDEN),
    }
  })
  if (order.length <= RELAXED_MAX) relax(order, points, bundles)
  const box = boxOf(points)
  const scale = PLAN.size / Math.max(box.width, box.height, 1e-9)
  return new Map(
    order.flatMap((id, index) => {
      const at = points[index]
      if (at === undefined) return []
      const place = { x: PLAN.x + (at.x - box.x) * scale, y: PLAN.y + (at.y - box.y) * scale }
      return [[id, place] as const]
    }),
  )
}

/** Lets links pull and sites push, so many times and no more (Fruchterman and Reingold, 1991). */
function relax(order: readonly string[], points: Point[], bundles: readonly Bundle[]): void {
  const index = new Map(order.map((id, at) => [id, at]))
  const pairs = bundles.flatMap(({ from, to }) => {
    const [a, b] = [index.get(from), index.get(to)]
    return a === undefined || b === undefined ? [] : [[a, b] as const]
  })
  const ideal = 0.9 / Math.sqrt(Math.max(1, order.length))
  for (let round = 0; round < ROUNDS; round += 1) {
    const moves = points.map(() => ({ x: 0, y: 0 }))
    const move = (a: number, b: number, force: (distance: number) => number) => {
      const [p, q, m, n] = [points[a], points[b], moves[a], moves[b]]
      if (p === undefined || q === undefined || m === undefined || n === undefined) return
      const [dx, dy] = [p.x - q.x, p.y - q.y]
      const distance = Math.max(1e-4, Math.hypot(dx, dy))
      const push = force(distance) / distance
      m.x += dx * push
      m.y += dy * push
      n.x -= dx * push
      n.y -= dy * push
    }
    for (let a = 0; a < points.length; a += 1) {
      for (let b = a + 1; b < points.length; b += 1) move(a, b, (d) => (ideal * ideal) / d)
    }
    for (const [a, b] of pairs) move(a, b, (d) => -(d * d) / ideal)
    const heat = 0.06 * (1 - round / ROUNDS)
    moves.forEach(({ x, y }, at) => {
      const point = points[at]
      const length = Math.hypot(x, y)
      if (point === undefined || length === 0) return
      const step = Math.min(length, heat) / length
      points[at] = { x: point.x + x * step, y: point.y + y * step }
    })
  }
}

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

export function boxOf(points: Iterable<Point>): Box {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity]
  for (const { x, y } of points) {
    left = Math.min(left, x)
    right = Math.max(right, x)
    top = Math.min(top, y)
    bottom = Math.max(bottom, y)
  }
  if (left > right) return { x: 0, y: 0, width: 1, height: 1 }
  return { x: left, y: top, width: right - left, height: bottom - top }
}

/** What of the plane is seen: its middle, and how many pixels its side is long. */
export interface View {
  x: number
  y: number
  scale: number
}

export const SCALE_MAX = 3_000_000

/** The view in which a part of the plane is seen whole. */
export function fitted(box: Box, width: number, height: number): View {
  const margin = Math.min(width, height) < 420 ? 36 : 64
  const [w, h] = [Math.max(1, width - 2 * margin), Math.max(1, height - 2 * margin)]
  const scale = Math.min(w / Math.max(box.width, 2e-4), h / Math.max(box.height, 2e-4))
  return {
    x: box.x + box.width / 2,
    y: box.y + box.height / 2,
    scale: Math.max(width * 0.5, Math.min(SCALE_MAX, scale)),
  }
}

/** Looks closer or wider, and what is at a point of the screen stays there. */
export function zoomed(
  view: View,
  factor: number,
  at: Point,
  size: { width: number; height: number },
): View {
  const scale = Math.max(size.width * 0.5, Math.min(SCALE_MAX, view.scale * factor))
  const [dx, dy] = [at.x - size.width / 2, at.y - size.height / 2]
  return {
    x: view.x + dx / view.scale - dx / scale,
    y: view.y + dy / view.scale - dy / scale,
    scale,
  }
}
