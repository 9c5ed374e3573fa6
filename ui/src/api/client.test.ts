import { expect, test } from 'vitest'

import { Problem } from './client'

const refused = new Problem(
  422,
  {
    detail: 'the fields in `errors` cannot be accepted',
    errors: [
      { field: 'address', reason: 'looks like an IPv4 address but is none' },
      { field: 'kept_days.rounds', reason: 'is at least 1' },
    ],
  },
  'refused',
)

test('a refusal is told by its fields in plain words, and not twice', () => {
  expect(refused.words()).toBe(
    'address: looks like an IPv4 address but is none; kept_days.rounds: is at least 1',
  )
  expect(refused.words(['address'])).toBe('kept_days.rounds: is at least 1')
  expect(refused.words(['address', 'kept_days'])).toBe(
    'Nothing was saved: see what is marked above.',
  )
  const busy = new Problem(503, { detail: 'the server is busy' }, 'refused')
  expect(busy.words(['address'])).toBe('the server is busy')
})
