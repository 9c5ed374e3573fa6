import { expect, test } from 'vitest'

import { PIECE_ROWS, seenPieces } from './useHistories'

const ids = Array.from({ length: 120 }, (_, i) => i + 1)

test('pieces have a fixed place, so that scrolling asks each once', () => {
  const [near, far] = [seenPieces(ids, 3, 20), seenPieces(ids, 7, 24)]
  expect(near).toEqual(far)
  expect(near).toEqual([ids.slice(0, PIECE_ROWS)])
  expect(seenPieces(ids, 20, 30)).toEqual([ids.slice(0, 25), ids.slice(25, 50)])
})

test('the last piece is as long as the list, and nothing seen is nothing asked', () => {
  expect(seenPieces(ids, 110, 400)).toEqual([ids.slice(100)])
  expect(seenPieces([], 0, 10)).toEqual([])
  expect(seenPieces(ids, 5, 4)).toEqual([])
})

test('no piece is longer than the server tells at once', () => {
  expect(PIECE_ROWS).toBeLessThanOrEqual(50)
})
