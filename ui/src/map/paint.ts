/** Draws a map on a canvas. It knows nothing of React, and keeps what it drew for the pointer. */

import type { View } from '../domain/layout'
import {
  type Bundle,
  type Cluster,
  type Focus,
  type NetMap,
  type Point,
  bySeverity,
  worst,
} from '../domain/netmap'
import { type Verdict, verdictMark } from '../domain/verdict'
import type { Land } from './world'

/** Colours of the theme, as the canvas needs them. */
export interface Ink {
  sea: string
  land: string
  border: string
  ink: string
  ink2: string
  line: string
  surface: string
  accent: string
  fill: Record<Verdict, string>
  text: Record<Verdict, string>
  font: string
}

export interface Scene {
  map: NetMap
  view: View
  size: { width: number; height: number }
  /** Of the screen, for how it is drawn: 1, or more on a wall. */
  zoom: number
  lands: readonly Land[]
  clusters: readonly Cluster[]
  /** Cluster by site. */
  home: ReadonlyMap<string, number>
  matching: ReadonlySet<string> | null
  focus: Focus | null
  /** A site or a bundle. */
  selected: string | null
  guessed: ReadonlySet<string>
  ink: Ink
}

/** What was drawn where, for the pointer. */
export type Drawn =
  | { kind: 'sites'; sites: readonly string[]; at: Point; radius: number }
  | { kind: 'links'; bundles: readonly Bundle[]; from: Point; to: Point }

export function inkOf(element: Element): Ink {
  const style = getComputedStyle(element)
  const of = (name: string) => style.getPropertyValue(name).trim()
  return {
    sea: of('--map-sea'),
    land: of('--map-land'),
    border: of('--map-border'),
    ink: of('--ink'),
    ink2: of('--ink-2'),
    line: of('--line-strong'),
    surface: of('--surface'),
    accent: of('--accent'),
    fill: {
      up: of('--map-up'),
      degraded: of('--warn-fill'),
      down: of('--bad-fill'),
      unknown: of('--surface'),
    },
    text: { up: '#fff', degraded: '#1a1205', down: '#fff', unknown: of('--muted') },
    font: style.fontFamily,
  }
}

/** Where a point of the plane is on the screen. */
export function onScreen({ view, size }: Pick<Scene, 'view' | 'size'>, at: Point): Point {
  return {
    x: (at.x - view.x) * view.scale + size.width / 2,
    y: (at.y - view.y) * view.scale + size.height / 2,
  }
}

export function paintWorld(context: CanvasRenderingContext2D, scene: Scene, ratio: number): void {
  const { view, size, lands, ink } = scene
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

export function paintNetwork(
  context: CanvasRenderingContext2D,
  scene: Scene,
  ratio: number,
): readonly Drawn[] {
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, scene.size.width, scene.size.height)
  context.lineCap = 'round'
  const drawn: Drawn[] = []
  paintLinks(context, scene, drawn)
  paintSites(context, scene, drawn)
  context.globalAlpha = 1
  return drawn
}

interface Line {
  bundles: Bundle[]
  from: Point
  to: Point
  count: number
  state: Verdict
  isFaint: boolean
  isCause: boolean
  isSuspect: boolean
  isSelected: boolean
}

function linesOf(scene: Scene): Line[] {
  const { map, clusters, home, matching, focus, selected } = scene
  const lines = new Map<string, Line>()
  for (const bundle of map.shape.bundles) {
    const [a, b] = [home.get(bundle.from), home.get(bundle.to)]
    if (a === undefined || b === undefined || a === b) continue
    const key = a < b ? `${a} ${b}` : `${b} ${a}`
    const links = bundle.links.flatMap((id) => map.links.get(id) ?? [])
    const isOut =
      (matching !== null && !(matching.has(bundle.from) && matching.has(bundle.to))) ||
      (focus !== null && !bundle.links.some((id) => focus.links.has(id)))
    const state = worst(links.map((link) => link.state))
    const line = lines.get(key)
    const isCause = links.some((link) => link.part === 'cause')
    const isSuspect = links.some((link) => link.part === 'suspect')
    if (line !== undefined) {
      line.bundles.push(bundle)
      line.count += links.length
      line.state = worst([line.state, state])
      line.isFaint &&= isOut
      line.isCause ||= isCause
      line.isSuspect ||= isSuspect
      line.isSelected ||= bundle.id === selected
      continue
    }
    const [from, to] = [clusters[a], clusters[b]]
    if (from === undefined || to === undefined) continue
    lines.set(key, {
      bundles: [bundle],
      from: onScreen(scene, from.at),
      to: onScreen(scene, to.at),
      count: links.length,
      state,
      isFaint: isOut,
      isCause,
      isSuspect,
      isSelected: bundle.id === selected,
    })
  }
  const order = { up: 1, unknown: 0, degraded: 2, down: 3 }
  return [...lines.values()].sort((a, b) => order[a.state] - order[b.state])
}

const DASH: Record<Verdict, number[]> = {
  up: [],
  unknown: [1, 5],
  degraded: [9, 4],
  down: [3, 4],
}

function paintLinks(context: CanvasRenderingContext2D, scene: Scene, drawn: Drawn[]): void {
  const { size, zoom, ink } = scene
  for (const line of linesOf(scene)) {
    const { from, to, state } = line
    if (Math.max(from.x, to.x) < 0 || Math.min(from.x, to.x) > size.width) continue
    if (Math.max(from.y, to.y) < 0 || Math.min(from.y, to.y) > size.height) continue
    drawn.push({ kind: 'links', bundles: line.bundles, from, to })
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

function chip(context: CanvasRenderingContext2D, scene: Scene, at: Point, text: string): void {
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
  context: CanvasRenderingContext2D,
  { ink, zoom }: Pick<Scene, 'ink' | 'zoom'>,
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

interface Spot {
  id: string
  sites: readonly string[]
  at: Point
  state: Verdict
  radius: number
  isFaint: boolean
  part: 'cause' | 'suspect' | 'hit' | null
  isSelected: boolean
  links: number
}

function spotsOf(scene: Scene): Spot[] {
  const { map, clusters, matching, focus, selected, size, zoom } = scene
  const spots: Spot[] = []
  for (const cluster of clusters) {
    const at = onScreen(scene, cluster.at)
    if (at.x < -60 || at.x > size.width + 60 || at.y < -60 || at.y > size.height + 60) continue
    const sites = cluster.sites.flatMap((id) => map.sites.get(id) ?? [])
    const shown = sites.filter(
      ({ id }) =>
        (matching === null || matching.has(id)) && (focus === null || focus.sites.has(id)),
    )
    const of = shown.length === 0 ? sites : shown
    const state = worst(of.map((site) => site.state))
    const has = (part: string) => of.some((site) => site.part === part)
    const one = 7 + (state === 'down' || state === 'degraded' ? 1.5 : 0)
    spots.push({
      id: cluster.id,
      sites: cluster.sites,
      at,
      state,
      radius:
        (cluster.sites.length === 1 ? one : 9 + 2.1 * Math.log2(cluster.sites.length)) * zoom,
      isFaint: shown.length === 0,
      part: has('cause') ? 'cause' : has('suspect') ? 'suspect' : has('hit') ? 'hit' : null,
      isSelected: selected !== null && cluster.sites.includes(selected),
      links: cluster.sites.reduce((sum, id) => sum + (map.shape.linksOf.get(id)?.length ?? 0), 0),
    })
  }
  // The worst is drawn last, on top.
  return spots.sort((a, b) => bySeverity(b, a))
}

function ring(context: CanvasRenderingContext2D, at: Point, radius: number, dash: number[] = []) {
  context.beginPath()
  context.arc(at.x, at.y, radius, 0, Math.PI * 2)
  context.setLineDash(dash)
  context.stroke()
  context.setLineDash([])
}

function paintSites(context: CanvasRenderingContext2D, scene: Scene, drawn: Drawn[]): void {
  const { ink, zoom } = scene
  const spots = spotsOf(scene)
  for (const spot of spots) {
    const { at, radius, part } = spot
    drawn.push({ kind: 'sites', sites: spot.sites, at, radius })
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
function paintCluster(context: CanvasRenderingContext2D, scene: Scene, spot: Spot): void {
  const { ink, zoom, map } = scene
  const { at, radius } = spot
  context.beginPath()
  context.arc(at.x, at.y, radius, 0, Math.PI * 2)
  context.fillStyle = ink.surface
  context.fill()
  const counts: Record<Verdict, number> = { down: 0, degraded: 0, unknown: 0, up: 0 }
  for (const id of spot.sites) counts[map.sites.get(id)?.state ?? 'unknown'] += 1
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

function paintLabels(context: CanvasRenderingContext2D, scene: Scene, spots: Spot[]): void {
  const { ink, zoom, map } = scene
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
    const text = labelOf(map, spot)
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

function labelOf(map: NetMap, spot: Spot): string {
  const bad = spot.sites
    .flatMap((id) => map.sites.get(id) ?? [])
    .filter((site) => site.state === 'down' || site.state === 'degraded')
    .sort(bySeverity)
  const [first, second] = bad
  if (spot.sites.length === 1) return spot.id
  if (first === undefined) return ''
  return second === undefined ? first.id : `${first.id} +${bad.length - 1}`
}

/** What is under a point of the screen; sites before links. */
export function under(drawn: readonly Drawn[], at: Point, reach: number): Drawn | null {
  let found: Drawn | null = null
  let nearest = Infinity
  for (const one of drawn) {
    if (one.kind !== 'sites') continue
    const distance = Math.hypot(one.at.x - at.x, one.at.y - at.y) - one.radius
    if (distance < reach && distance < nearest) [found, nearest] = [one, distance]
  }
  if (found !== null) return found
  for (const one of drawn) {
    if (one.kind !== 'links') continue
    const distance = toSegment(at, one.from, one.to)
    if (distance < Math.min(reach, 8) && distance < nearest) [found, nearest] = [one, distance]
  }
  return found
}

function toSegment(p: Point, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y]
  const length = dx * dx + dy * dy
  const along = length === 0 ? 0 : ((p.x - a.x) * dx + (p.y - a.y) * dy) / length
  const t = Math.max(0, Math.min(1, along))
  return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy)
}
