/** The last hour of the rows that are seen: asked for in pieces, and only while they are seen. */

import { useQueries } from '@tanstack/react-query'

import { hourQuery } from '../../api/queries'
import type { Target } from '../../api/types'
import type { Track } from '../../domain/history'

/** Rows of one request: pieces of a fixed place in the list, so that scrolling asks each once. */
export const PIECE_ROWS = 25

/** Returns the ids of each piece of which at least a row is seen. */
export function seenPieces(
  ids: readonly number[],
  first: number,
  last: number,
): readonly (readonly number[])[] {
  if (ids.length === 0 || last < first) return []
  const pieces: number[][] = []
  const end = Math.min(last, ids.length - 1)
  for (let at = Math.floor(Math.max(0, first) / PIECE_ROWS); at * PIECE_ROWS <= end; at += 1)
    pieces.push(ids.slice(at * PIECE_ROWS, (at + 1) * PIECE_ROWS))
  return pieces
}

/** Returns the histories there are, by target. */
export function useHistories(
  items: readonly Target[],
  first: number,
  last: number,
): ReadonlyMap<number, Track> {
  const ids = items.map((target) => target.id)
  return useQueries({
    queries: seenPieces(ids, first, last).map((piece) => hourQuery(piece)),
    combine: joined,
  })
}

function joined(results: readonly { data?: ReadonlyMap<number, Track> }[]) {
  const all = new Map<number, Track>()
  for (const { data } of results) for (const [id, track] of data ?? []) all.set(id, track)
  return all
}
