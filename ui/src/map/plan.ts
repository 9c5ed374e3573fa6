/**
 * What is to be drawn of a map, before it is drawn: places on the screen, states, names. It is made
 * where the data is and drawn where there is time, so it holds plain values only.
 */

import type { View } from '../domain/layout'
import {
  type Bundle,
  type Cluster,
  type Focus,
  type NetMap,
  type Point,
  bySeverity,
  stateCounts,
  worst,
} from '../domain/netmap'
import type { Verdict } from '../domain/verdict'

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
  hasLand: boolean
  clusters: readonly Cluster[]
  /** Cluster by site. */
  home: ReadonlyMap<string, number>
  matching: ReadonlySet<string> | null
  focus: Focus | null
  /** A site or a bundle. */
  selected: string | null
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
export function onScreen({ view, size }: Pick<Plan, 'view' | 'size'>, at: Point): Point {
  return {
    x: (at.x - view.x) * view.scale + size.width / 2,
    y: (at.y - view.y) * view.scale + size.height / 2,
  }
}

/** Everything that a painter needs. */
export interface Plan {
  view: View
  size: { width: number; height: number }
  zoom: number
  ink: Ink
  /** Whether there is a world behind it. */
  hasLand: boolean
  lines: readonly Line[]
  spots: readonly Spot[]
}

export function planOf(scene: Scene): Plan {
  const { view, size, zoom, ink, hasLand } = scene
  return { view, size, zoom, ink, hasLand, lines: linesOf(scene), spots: spotsOf(scene) }
}

export interface Line {
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
  const { width, height } = scene.size
  return [...lines.values()]
    .filter(({ from, to }) => {
      if (Math.max(from.x, to.x) < 0 || Math.min(from.x, to.x) > width) return false
      return Math.max(from.y, to.y) >= 0 && Math.min(from.y, to.y) <= height
    })
    .sort((a, b) => order[a.state] - order[b.state])
}

export interface Spot {
  id: string
  sites: readonly string[]
  at: Point
  state: Verdict
  radius: number
  isFaint: boolean
  part: 'cause' | 'suspect' | 'hit' | null
  isSelected: boolean
  links: number
  /** Of its sites. */
  counts: Record<Verdict, number>
  label: string
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
      counts: stateCounts(sites),
      label: labelOf(sites),
    })
  }
  // The worst is drawn last, on top.
  return spots.sort((a, b) => bySeverity(b, a))
}

function labelOf(sites: readonly { id: string; state: Verdict }[]): string {
  const bad = sites
    .filter((site) => site.state === 'down' || site.state === 'degraded')
    .sort(bySeverity)
  const [first, second] = bad
  if (sites.length === 1) return sites[0]?.id ?? ''
  if (first === undefined) return ''
  return second === undefined ? first.id : `${first.id} +${bad.length - 1}`
}

export function drawnOf(plan: Plan): readonly Drawn[] {
  const lines = plan.lines.map(({ bundles, from, to }) => ({
    kind: 'links' as const,
    bundles,
    from,
    to,
  }))
  const spots = plan.spots.map(({ sites, at, radius }) => ({
    kind: 'sites' as const,
    sites,
    at,
    radius,
  }))
  return [...lines, ...spots]
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
