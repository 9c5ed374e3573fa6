import { describe, expect, it } from 'vitest'

import type { TraceHead, TraceHop } from '../api/types'
import { hopLoss, hopRows, hopWords, traceWords } from './trace'

const answer = (address: string) => ({
  address,
  received: 2,
  rtt_us_min: 1,
  rtt_us_mean: 2,
  rtt_us_max: 3,
  target: null,
  element: null,
})

const HOP: TraceHop = {
  flow: 0,
  hop: 3,
  sent: 6,
  received: 4,
  lost: 1,
  note: 'clean',
  is_target: false,
  refused_code: null,
  answers: [answer('192.0.2.1'), answer('192.0.2.2')],
}

describe('a hop', () => {
  it('has a row for each address, and one for silence', () => {
    expect(hopRows([HOP]).map(({ isFirst }) => isFirst)).toEqual([true, false])
    expect(hopRows([{ ...HOP, answers: [] }])[0]?.answer).toBeNull()
  })

  it('that limits its answers loses nothing, and one that loses does', () => {
    expect(hopWords({ ...HOP, note: 'rate_limited' })).toEqual({
      words: 'limits its answers: nothing is lost here',
      isBad: false,
    })
    expect(hopWords({ ...HOP, note: 'lossy' }).isBad).toBe(true)
    expect(hopWords({ ...HOP, refused_code: 13 }).words).toContain('13')
  })

  it('counts as lost what was not answered, not what is under way', () => {
    expect(hopLoss(HOP)).toBe('20 %')
  })
})

describe('a trace', () => {
  it('says its end, or why it has none', () => {
    const head = { state: 'done', end: 'reached', reason: '' } as TraceHead
    expect(traceWords(head).words).toBe('the target answers')
    expect(traceWords({ ...head, state: 'failed', end: null, reason: 'it broke' }).words).toBe(
      'failed: it broke',
    )
    expect(traceWords({ ...head, state: 'running', end: null }).isBad).toBe(false)
  })
})
