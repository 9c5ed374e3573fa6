// @vitest-environment happy-dom
import { screen } from '@testing-library/react'
import { beforeEach, expect, test, vi } from 'vitest'

import { MINUTE_MS } from '../domain/time'
import { type Cell, type Minute } from '../domain/timeline'
import { show } from '../testing'
import { LatencyChart } from './LatencyChart'

const START = Date.parse('2026-11-21T06:00:00Z')

/** What was drawn: a canvas of the test has no pixels, so it keeps a record of the strokes. */
interface Drawn {
  texts: string[]
  dots: number
  strokes: Set<unknown>
}

let drawn: Drawn

beforeEach(() => {
  drawn = { texts: [], dots: 0, strokes: new Set() }
  const pen: Record<string | symbol, unknown> = {
    measureText: (text: string) => ({ width: text.length * 6 }),
    fillText: (text: string) => drawn.texts.push(text),
    arc: () => (drawn.dots += 1),
    stroke: () => drawn.strokes.add(pen['strokeStyle']),
  }
  const context = new Proxy(pen, {
    get: (target, name) => target[name] ?? (() => undefined),
    set: (target, name, value) => {
      target[name] = value
      return true
    },
  })
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(context as never)
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(800)
  // uPlot draws its path in one piece; what it draws is not looked at here.
  vi.stubGlobal(
    'Path2D',
    class {
      moveTo() {}
      lineTo() {}
      rect() {}
      arc() {}
      closePath() {}
      addPath() {}
    },
  )
})

function minute(at: number, part: Partial<Minute>): Cell {
  const truth: Minute = {
    minute: new Date(at).toISOString(),
    verdict: 'up',
    cause: 'answering',
    rounds: 2,
    not_asked: 0,
    sent: 10,
    received: 10,
    rtt_us_min: 900,
    rtt_us_mean: 1_000,
    rtt_us_max: 1_200,
    revision: 0,
    is_open: false,
    ...part,
  }
  return { at, truth }
}

const NOTHING: Partial<Minute> = {
  verdict: 'unknown',
  rounds: 0,
  sent: 0,
  received: 0,
  rtt_us_min: null,
  rtt_us_mean: null,
  rtt_us_max: null,
}

async function chart(row: Cell[]): Promise<Drawn> {
  show(
    <LatencyChart
      label="Round-trip time as fra1 sees it"
      row={row}
      from={START}
      to={START + 60 * MINUTE_MS}
      tickAt={[]}
      zone="utc"
      scheme="light"
      gutterPx={40}
      onChoose={() => undefined}
    />,
  )
  expect(screen.getByRole('img', { name: 'Round-trip time as fra1 sees it' })).toBeDefined()
  // uPlot draws in the next microtask.
  await Promise.resolve()
  return drawn
}

const hour = (cell: (at: number, i: number) => Cell) =>
  Array.from({ length: 60 }, (_, i) => cell(START + i * MINUTE_MS, i))

test('nothing on record yet: an empty frame, no line and no zero', async () => {
  const { texts, dots } = await chart(hour((at) => ({ at, truth: null })))
  expect(dots).toBe(0)
  expect(texts.filter((text) => /[a-z]/.test(text))).toEqual([])
})

test('an hour without evidence is hatched and named by its cause', async () => {
  const row = hour((at) => minute(at, { ...NOTHING, cause: 'monitor_down' }))
  const { texts, dots } = await chart(row)
  expect(texts).toContain('monitor was down')
  expect(dots).toBe(0)
})

test('neighbouring holes of different causes are named apart', async () => {
  const row = hour((at, i) =>
    minute(at, { ...NOTHING, cause: i < 30 ? 'agent_offline' : 'agent_blind' }),
  )
  const { texts } = await chart(row)
  expect(texts).toEqual(expect.arrayContaining(['agent offline', 'agent blind']))
})

test('a single answered minute among nothing is a dot: no line can show it', async () => {
  const row = hour((at, i) => (i === 30 ? minute(at, {}) : { at, truth: null }))
  expect((await chart(row)).dots).toBe(1)
})
