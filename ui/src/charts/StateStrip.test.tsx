// @vitest-environment happy-dom
import { fireEvent, screen, within } from '@testing-library/react'
import { expect, test, vi } from 'vitest'

import { MINUTE_MS } from '../domain/time'
import { type Minute, type Slot, cells, slots } from '../domain/timeline'
import type { Verdict } from '../domain/verdict'
import { show } from '../testing'
import { StateStrip } from './StateStrip'

const START = Date.parse('2026-11-21T06:00:00Z')

/** A row of minutes, one letter each: up, degraded, down, unknown, or a dash for not over yet. */
function row(letters: string): Slot[] {
  const verdicts: Record<string, Verdict> = {
    U: 'up',
    '~': 'degraded',
    D: 'down',
    '?': 'unknown',
  }
  const starts = [...letters].map((_, i) => START + i * MINUTE_MS)
  const minutes = [...letters].flatMap((letter, i): Minute[] => {
    const verdict = verdicts[letter]
    if (verdict === undefined) return []
    const isKnown = verdict !== 'unknown'
    const minute: Minute = {
      minute: new Date(starts[i] ?? 0).toISOString(),
      verdict,
      cause: isKnown ? 'answering' : 'agent_offline',
      rounds: isKnown ? 2 : 0,
      not_asked: 0,
      sent: isKnown ? 10 : 0,
      received: verdict === 'up' ? 10 : 0,
      rtt_us_mean: verdict === 'up' ? 1_234 : null,
      revision: 0,
      is_open: false,
    }
    return [minute]
  })
  return slots(cells(minutes, starts), 1)
}

function strip(chosen: number | null = null) {
  const onChoose = vi.fn()
  show(
    <StateStrip
      rows={[
        { id: 'all', name: 'Consensus', label: 'Consensus', slots: row('UUD?-') },
        { id: '1', name: 'fra1', label: 'fra1', slots: row('UU~?-') },
      ]}
      zone="utc"
      chosen={chosen}
      onChoose={onChoose}
    />,
  )
  const cell = (name: string, column: number) => {
    const found = within(screen.getByRole('row', { name })).getAllByRole('gridcell')[column]
    if (found === undefined) throw new Error(`no cell ${column} in ${name}`)
    return found
  }
  const press = (key: string) => {
    fireEvent.keyDown(document.activeElement ?? document.body, { key })
  }
  return { onChoose, cell, press }
}

test('one cell of the grid takes the tab key: the newest, or the chosen minute', () => {
  strip()
  const stops = screen.getAllByRole('gridcell').filter((cell) => cell.tabIndex === 0)
  expect(stops.map((cell) => cell.dataset['at'])).toEqual(['0/4'])
})

test('the chosen minute is selected in every row', () => {
  const { cell } = strip(START + 2 * MINUTE_MS)
  expect(cell('Consensus', 2).getAttribute('aria-selected')).toBe('true')
  expect(cell('fra1', 2).getAttribute('aria-selected')).toBe('true')
  expect(cell('Consensus', 2).tabIndex).toBe(0)
})

test('arrows, Home and End walk the cells and stop at the edges', () => {
  const { cell, press } = strip()
  cell('Consensus', 4).focus()
  const walk: [string, string, number][] = [
    ['ArrowRight', 'Consensus', 4],
    ['ArrowLeft', 'Consensus', 3],
    ['ArrowDown', 'fra1', 3],
    ['ArrowDown', 'fra1', 3],
    ['Home', 'fra1', 0],
    ['ArrowLeft', 'fra1', 0],
    ['ArrowUp', 'Consensus', 0],
    ['End', 'Consensus', 4],
  ]
  for (const [key, name, column] of walk) {
    press(key)
    expect(document.activeElement, `after ${key}`).toBe(cell(name, column))
  }
})

test('Enter, space and a click open a minute', () => {
  const { cell, press, onChoose } = strip()
  cell('fra1', 2).focus()
  press('Enter')
  press(' ')
  fireEvent.click(cell('fra1', 1))
  expect(onChoose.mock.calls.map(([slot]) => (slot as Slot).at)).toEqual(
    [2, 2, 1].map((n) => START + n * MINUTE_MS),
  )
})

test('each cell says in words what its colour says', () => {
  const { cell } = strip()
  expect(cell('Consensus', 0).getAttribute('aria-label')).toBe(
    '06:00 UTC: Up, answers within limits, loss 0 %, mean 1.23 ms',
  )
  expect(cell('Consensus', 3).getAttribute('aria-label')).toBe(
    '06:03 UTC: Unknown, agent offline',
  )
  expect(cell('Consensus', 4).getAttribute('aria-label')).toBe('06:04 UTC: not over yet')
})
