import { expect, test } from 'vitest'

import { bodyText, kindWords, testWords, webhookMarks } from './webhook'

const HOOK = { url: 'https://a.example', is_disabled: false, due: 0, dead: 0, last_sent_at: null }

test('a webhook says the worst first, and works only once something was taken', () => {
  const words = (change: object) => webhookMarks({ ...HOOK, ...change }).map(({ word }) => word)
  expect(words({})).toEqual(['Nothing sent yet'])
  expect(words({ last_sent_at: '2026-01-01T00:00:00Z' })).toEqual(['Works'])
  expect(words({ due: 3, dead: 1_200 })).toEqual(['1,200 given up', '3 waiting'])
  expect(words({ is_disabled: true, url: null })).toEqual(['Address unreadable', 'Disabled'])
})

test('a test says its answer and how long it took, or the reason', () => {
  const tries = [{ took_us: 3_100, status: 200 }]
  expect(testWords({ state: 'sent', reason: null, tries })).toBe('taken: 200 after 3.1 ms')
  const reason = 'no answer within 10 s'
  const none = [{ took_us: 10_000_000, status: null }]
  expect(testWords({ state: 'dead', reason, tries: none })).toBe(
    'not taken after 10.0 s: no answer within 10 s',
  )
})

test('kinds are words, and a body is read line by line', () => {
  expect(kindWords('incident.opened')).toBe('Incident opened')
  expect(bodyText('{"a":{"b":1}}')).toBe('{\n  "a": {\n    "b": 1\n  }\n}')
  expect(bodyText('not JSON')).toBe('not JSON')
})
