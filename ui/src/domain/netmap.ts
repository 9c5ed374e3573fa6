/**
 * The network as a map shows it: what came from the server put together, bundled and collapsed for
 * a scale, filtered, and ordered. Pure: no canvas, no clock.
 */

import type { MapAnswer, MapDevice, MapIncident, MapLink, MapSite } from '../api/types'
import type { Verdict } from './verdict'

/** A place in the plane that the map is drawn in; y grows downward. */
export interface Point {
  x: number
  y: number
}

/** What does not change with verdicts: who is where. A new one only with a new topology. */
export interface Shape {
  siteOfDevice: ReadonlyMap<string, string>
  devicesOf: ReadonlyMap<string, readonly string[]>
  /** Between two sites, both ends known; links within a site are not among them. */
  bundles: readonly Bundle[]
  /** Links that end at a site, and those within it. */
  linksOf: ReadonlyMap<string, readonly string[]>
  /** How many sites have no coordinates. */
  unplaced: number
}

/** Parallel links between two sites. */
export interface Bundle {
  id: string
  from: string
  to: string
  links: readonly string[]
}

export interface NetMap {
  version: string
  at: string
  isPast: boolean
  isUnrecorded: boolean
  topologyVersion: number
  targetsOutside: number
  sites: ReadonlyMap<string, MapSite>
  devices: ReadonlyMap<string, MapDevice>
  links: ReadonlyMap<string, MapLink>
  incidents: readonly MapIncident[]
  shape: Shape
}

/** Puts an answer in the place of what it is newer than. */
export function merged(before: NetMap | undefined, answer: MapAnswer): NetMap {
  const head = {
    version: answer.version,
    at: answer.at,
    isPast: answer.is_past,
    isUnrecorded: answer.is_unrecorded,
    topologyVersion: answer.topology_version,
    targetsOutside: answer.targets_outside,
    incidents: answer.incidents,
  }
  const isWhole = answer.is_whole || before === undefined
  const { sites, devices, links } = {
    sites: over(isWhole ? undefined : before.sites, answer.sites),
    devices: over(isWhole ? undefined : before.devices, answer.devices),
    links: over(isWhole ? undefined : before.links, answer.links),
  }
  // The same network keeps its shape, so that nothing is laid out anew for a verdict.
  const isSame =
    before !== undefined && before.topologyVersion === answer.topology_version && !isOther()
  function isOther() {
    return before?.sites.size !== sites.size || before.links.size !== links.size
  }
  const shape = isSame ? before.shape : shapeOf(sites, devices, links)
  return { ...head, sites, devices, links, shape }
}

function over<T extends { id: string }>(
  before: ReadonlyMap<string, T> | undefined,
  newer: readonly T[],
): ReadonlyMap<string, T> {
  if (before !== undefined && newer.length === 0) return before
  const all = new Map(before)
  for (const one of newer) all.set(one.id, one)
  return all
}

function shapeOf(
  sites: ReadonlyMap<string, MapSite>,
  devices: ReadonlyMap<string, MapDevice>,
  links: ReadonlyMap<string, MapLink>,
): Shape {
  const siteOfDevice = new Map<string, string>()
  const devicesOf = new Map<string, string[]>()
  for (const device of devices.values()) {
    siteOfDevice.set(device.id, device.site)
    push(devicesOf, device.site, device.id)
  }
  const linksOf = new Map<string, string[]>()
  const between = new Map<string, { from: string; to: string; links: string[] }>()
  for (const link of links.values()) {
    const [a, b] = [siteOfDevice.get(link.from), siteOfDevice.get(link.to)]
    if (a === undefined || b === undefined) continue
    push(linksOf, a, link.id)
    if (a === b) continue
    push(linksOf, b, link.id)
    const [from, to] = a < b ? [a, b] : [b, a]
    const id = bundleId(from, to)
    const bundle = between.get(id)
    if (bundle === undefined) between.set(id, { from, to, links: [link.id] })
    else bundle.links.push(link.id)
  }
  let unplaced = 0
  for (const site of sites.values()) if (typeof site.latitude !== 'number') unplaced += 1
  const bundles = [...between].map(([id, bundle]) => ({ id, ...bundle }))
  return { siteOfDevice, devicesOf, bundles, linksOf, unplaced }
}

/** What two sites are called together; ids have no line ends. */
function bundleId(from: string, to: string): string {
  return `${from}\n${to}`
}

function push(all: Map<string, string[]>, key: string, value: string) {
  const list = all.get(key)
  if (list === undefined) all.set(key, [value])
  else list.push(value)
}

const RANK: Record<Verdict, number> = { down: 3, degraded: 2, up: 1, unknown: 0 }

/**
 * The state of several together: the worst that is known. Only if nothing is known of any, nothing
 * is known of all.
 */
export function worst(states: Iterable<Verdict>): Verdict {
  let found: Verdict = 'unknown'
  for (const state of states) if (RANK[state] > RANK[found]) found = state
  return found
}

/** Worst first: how sites are listed, walked by the keyboard and drawn on top of each other. */
export function bySeverity(a: { state: Verdict; id: string }, b: { state: Verdict; id: string }) {
  const order = { down: 0, degraded: 1, unknown: 2, up: 3 }
  return order[a.state] - order[b.state] || a.id.localeCompare(b.id, 'en', { numeric: true })
}

/** Sites that are near each other at some scale, drawn as one. */
export interface Cluster {
  /** Of its first site. */
  id: string
  at: Point
  sites: readonly string[]
}

/**
 * Collapses what is nearer to each other than `near`. Stable: the same points give the same
 * clusters, whatever their states are.
 */
export function clustersOf(places: ReadonlyMap<string, Point>, near: number): readonly Cluster[] {
  const cells = new Map<string, { x: number; y: number; sites: string[]; at: Point }[]>()
  const all: { x: number; y: number; sites: string[]; at: Point }[] = []
  for (const [id, at] of places) {
    const [column, row] = [Math.floor(at.x / near), Math.floor(at.y / near)]
    let home
    search: for (let dx = -1; dx <= 1; dx += 1) {
      for (let dy = -1; dy <= 1; dy += 1) {
        for (const cluster of cells.get(`${column + dx} ${row + dy}`) ?? []) {
          if (Math.hypot(cluster.at.x - at.x, cluster.at.y - at.y) < near) {
            home = cluster
            break search
          }
        }
      }
    }
    if (home !== undefined) {
      home.sites.push(id)
      home.x += at.x
      home.y += at.y
      continue
    }
    const cluster = { x: at.x, y: at.y, sites: [id], at }
    all.push(cluster)
    const key = `${column} ${row}`
    const cell = cells.get(key)
    if (cell === undefined) cells.set(key, [cluster])
    else cell.push(cluster)
  }
  return all.map(({ x, y, sites }) => ({
    id: sites[0] ?? '',
    at: { x: x / sites.length, y: y / sites.length },
    sites,
  }))
}

/** What is asked for of a map; what is left out does not matter. */
export interface MapFilter {
  tag?: string
  role?: string
  state?: Verdict
}

/** The sites that a filter asks for; null for all. */
export function matching(map: NetMap, filter: MapFilter): ReadonlySet<string> | null {
  const { tag, role, state } = filter
  if (tag === undefined && role === undefined && state === undefined) return null
  const found = new Set<string>()
  for (const site of map.sites.values()) {
    if (tag !== undefined && !(site.tags ?? []).includes(tag)) continue
    if (state !== undefined && site.state !== state) continue
    const devices = map.shape.devicesOf.get(site.id) ?? []
    if (role !== undefined && !devices.some((id) => map.devices.get(id)?.role === role)) continue
    found.add(site.id)
  }
  return found
}

/** What one can filter by, in the order of the alphabet. */
export function choices(map: NetMap): { tags: string[]; roles: string[] } {
  const tags = new Set<string>()
  const roles = new Set<string>()
  for (const site of map.sites.values()) for (const tag of site.tags ?? []) tags.add(tag)
  for (const { role } of map.devices.values()) if (typeof role === 'string') roles.add(role)
  return { tags: [...tags].sort(), roles: [...roles].sort() }
}

/** How many sites are in which state. */
export function stateCounts(sites: Iterable<{ state: Verdict }>): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { down: 0, degraded: 0, unknown: 0, up: 0 }
  for (const { state } of sites) counts[state] += 1
  return counts
}

/** What an incident concerns of the map: its sites and links. */
export interface Focus {
  sites: ReadonlySet<string>
  links: ReadonlySet<string>
}

export function focusOf(map: NetMap, incident: number): Focus {
  const of = (all: Iterable<{ id: string; incidents?: number[] }>) => {
    const ids = new Set<string>()
    for (const one of all) if (one.incidents?.includes(incident)) ids.add(one.id)
    return ids
  }
  const links = of(map.links.values())
  const sites = of(map.sites.values())
  for (const id of links) {
    const link = map.links.get(id)
    for (const end of link === undefined ? [] : [link.from, link.to]) {
      const site = map.shape.siteOfDevice.get(end)
      if (site !== undefined) sites.add(site)
    }
  }
  return { sites, links }
}

/** "39 sites up, 1 down": what stands above a map and what is read aloud. */
export function mapSentence(map: NetMap): string {
  const counts = stateCounts(map.sites.values())
  const { size } = map.sites
  if (size === 0) return 'No site is described yet'
  const bad = (['down', 'degraded', 'unknown'] as const)
    .filter((state) => counts[state] > 0)
    .map((state) => `${counts[state]} ${state}`)
  if (bad.length === 0) return size === 1 ? 'The site is up' : `All ${size} sites are up`
  return `${size} ${size === 1 ? 'site' : 'sites'}: ${bad.join(', ')}, ${counts.up} up`
}
