import { expect, test } from 'vitest'

import type { HistorySummary, TargetStatus } from '../../api/types'
import { type Track, tracksOf } from '../../domain/history'
import { MINUTE_MS } from '../../domain/time'
import { CONSENSUS, chosenOf, sumsOf } from './lines'

const START = Date.parse('2026-11-21T06:00:00Z')

/** A track of 20 minutes, of which the last `known` have a time; agent 0 is all together. */
function track(agent: number, known = 20): Track {
  const minutes = Array.from({ length: 20 }, (_, i) => ({
    minute: new Date(START + i * MINUTE_MS).toISOString(),
    verdict: 'up' as const,
    cause: 'answering',
    rounds: 2,
    not_asked: 0,
    sent: 10,
    received: 10,
    rtt_us_mean: i < 20 - known ? null : 1_000,
    revision: 0,
    is_open: false,
  }))
  const of = agent === 0 ? null : { id: agent, name: `agent${agent}` }
  const [one] = tracksOf({ level: '1m', series: [{ agent: of, minutes, buckets: [] }] })
  if (one === undefined) throw new Error('no track')
  return one
}

function status(worst = 'up'): Pick<TargetStatus, 'agents' | 'consensus'> {
  const pair = (id: number, verdict: string) => ({
    agent: { id, name: `agent${id}`, state: 'online', since: '' },
    verdict,
    last_round_at: '2026-11-21T06:19:00Z',
  })
  const agents = [1, 2, 3, 4, 5, 6].map((id) => pair(id, id === 5 ? worst : 'up'))
  return { agents, consensus: { verdict: worst } } as unknown as TargetStatus
}

const few = [track(0), track(1), track(2)]
const many = [track(0), ...[1, 2, 3, 4, 5, 6].map((id) => track(id))]

test('the address says which lines are shown, as far as there are such', () => {
  expect([...chosenOf('all,2,9', status(), few)]).toEqual([CONSENSUS, '2'])
})

test('without a word few agents are all shown, of many the one that holds what all hold', () => {
  expect([...chosenOf(undefined, status(), few)]).toEqual(['1', '2'])
  expect([...chosenOf(undefined, status('down'), many)]).toEqual(['5'])
  expect([...chosenOf('9', status(), few)]).toEqual(['1', '2'])
})

test('where agents are kept for less than all together, all together are shown', () => {
  expect([...chosenOf(undefined, status(), [track(0), track(1, 10)])]).toEqual([CONSENSUS])
  expect([...chosenOf(undefined, status(), [track(0), track(1, 18)])]).toEqual(['1'])
  expect([...chosenOf(undefined, status(), [track(0)])]).toEqual([CONSENSUS])
})

test('percentiles of a whole span are those of the server, each agent by its own', () => {
  const sum = (us: number | null) => ({ rtt_us_p50: us, rtt_us_p95: us === null ? null : us * 2 })
  const answer = {
    range: { notes: ['of whole days'] },
    compared: { notes: ['of whole days', 'there are too many'] },
    series: [
      { agent: null, range: sum(900), compared: sum(null) },
      { agent: { id: 7, name: 'fra1' }, range: sum(800), compared: null },
    ],
  }
  const told = sumsOf(answer as unknown as HistorySummary)
  expect(told.now.get(CONSENSUS)).toEqual({ p50: 900, p95: 1800 })
  expect(told.now.get('7')).toEqual({ p50: 800, p95: 1600 })
  expect(told.past.get(CONSENSUS)).toEqual({ p50: null, p95: null })
  expect(told.past.has('7')).toBe(false)
  expect(told.notes).toEqual(['of whole days', 'there are too many'])
})
