/**
 * The land behind a map: Natural Earth (public domain) from the program itself, so that no request
 * leaves this server. Loaded when a map is opened; the finer one when one looks closer.
 */

import { feature } from 'topojson-client'
import type { GeometryCollection, GeometryObject, Topology } from 'topojson-specification'

import { type Box, boxOf, mercator } from '../domain/layout'
import type { Point } from '../domain/netmap'

/** One country as a path in the plane of `mercator`. */
export interface Land {
  path: Path2D
  box: Box
}

export type Detail = 'coarse' | 'fine'

/** Looking closer than this shows the corners of the coarse one. */
export const FINE_FROM_SCALE = 2_500

/** A turn of the event loop makes so many corners into paths; more would be felt. */
const CORNERS_PER_TURN = 6_000

const known = new Map<Detail, Promise<readonly Land[]>>()

export function worldOf(detail: Detail): Promise<readonly Land[]> {
  const found = known.get(detail)
  if (found !== undefined) return found
  const made = load(detail)
  known.set(detail, made)
  // What could not be loaded is asked for again the next time.
  made.catch(() => known.delete(detail))
  return made
}

async function load(detail: Detail): Promise<readonly Land[]> {
  const file =
    detail === 'fine'
      ? await import('world-atlas/countries-50m.json')
      : await import('world-atlas/countries-110m.json')
  const topology = file.default as unknown as Topology<{ countries: GeometryCollection }>
  const lands: Land[] = []
  let corners = 0
  for (const geometry of topology.objects.countries.geometries) {
    const country = feature(topology, geometry as GeometryObject)
    if (country.type !== 'Feature') continue
    const shape = country.geometry
    const polygons =
      shape.type === 'Polygon'
        ? [shape.coordinates]
        : shape.type === 'MultiPolygon'
          ? shape.coordinates
          : []
    // Each island by itself, so that only what is in view is drawn.
    for (const polygon of polygons) {
      const rings = polygon.map((ring) =>
        ring.map(([longitude = 0, latitude = 0]) => mercator(longitude, latitude)),
      )
      const path = new Path2D()
      for (const ring of rings) trace(path, ring)
      lands.push({ path, box: boxOf(rings[0] ?? []) })
      corners += rings.reduce((sum, ring) => sum + ring.length, 0)
    }
    if (corners > CORNERS_PER_TURN) {
      corners = 0
      await new Promise((resolve) => setTimeout(resolve, 0))
    }
  }
  return lands
}

function trace(path: Path2D, ring: readonly Point[]): void {
  ring.forEach(({ x, y }, index) => {
    if (index === 0) path.moveTo(x, y)
    else path.lineTo(x, y)
  })
  path.closePath()
}
