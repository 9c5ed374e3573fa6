// @vitest-environment happy-dom
import { fireEvent, screen } from '@testing-library/react'
import { beforeEach, describe, expect, test, vi } from 'vitest'

import { type Minute, type Track, tracksOf } from '../domain/history'
import { MINUTE_MS } from '../domain/time'
import type { View } from '../domain/view'
import { show } from '../testing'
import { LatencyChart, type Line, topOf } from './LatencyChart'
import { worstLoss } from './LossLane'
import { StateStrip } from './StateStrip'
import { Surface } from './Surface'
import { edgesOf } from './frame'
import { lineStyle } from './lines'

const START = Date.parse('2026-11-21T06:00:00Z')
const VIEW = { from: START, to: START + 60 * MINUTE_MS }
/** The lane of the causes; the plot begins below it. */
const LANE_PX = 18

interface Text {
  text: string
  y: number
}

/** What was drawn: a canvas of the test has no pixels, so it keeps a record of the calls. */
interface Drawn {
  texts: Text[]
  dots: number
  boxes: { fill: unknown; x: number; y: number; width: number; height: number }[]
}

let drawn: Drawn

beforeEach(() => {
  drawn = { texts: [], dots: 0, boxes: [] }
  const pen: Record<string | symbol, unknown> = {
    measureText: (text: string) => ({ width: text.length * 6 }),
    fillText: (text: string, _: number, y: number) => drawn.texts.push({ text, y }),
    arc: () => (drawn.dots += 1),
    fillRect: (x: number, y: number, width: number, height: number) =>
      drawn.boxes.push({ fill: pen['fillStyle'], x, y, width, height }),
  }
  const context = new Proxy(pen, {
    get: (target, name) => target[name] ?? (() => undefined),
    set: (target, name, value) => {
      target[name] = value
      return true
    },
  })
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(context as never)
  // uPlot draws its own path in one piece; what it draws is not looked at here.
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

function minute(i: number, part: Partial<Minute> = {}): Minute {
  return {
    minute: new Date(START + i * MINUTE_MS).toISOString(),
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
}

const UNKNOWN: Partial<Minute> = {
  verdict: 'unknown',
  cause: 'monitor_down',
  sent: 0,
  received: 0,
  rtt_us_min: null,
  rtt_us_mean: null,
  rtt_us_max: null,
}

function track(part: (i: number) => Partial<Minute> | null): Track {
  const minutes = Array.from({ length: 60 }, (_, i) => {
    const own = part(i)
    return own === null ? [] : [minute(i, own)]
  }).flat()
  const [one] = tracksOf({
    level: '1m',
    series: [{ agent: { id: 1, name: 'fra1' }, minutes, buckets: [] }],
  })
  if (one === undefined) throw new Error('no track')
  return one
}

function line(of: Track): Line {
  return { id: '1', name: 'fra1', style: lineStyle(0), track: of, past: null }
}

async function chart(lines: readonly Line[]): Promise<Drawn> {
  show(
    <LatencyChart
      label="Round-trip time of core1: fra1"
      lines={lines}
      view={VIEW}
      tickAt={[]}
      widthPx={800}
      heightPx={200}
      gutterPx={40}
      scheme="light"
    />,
  )
  expect(screen.getByRole('img', { name: 'Round-trip time of core1: fra1' })).toBeDefined()
  // uPlot draws in the next microtask.
  await Promise.resolve()
  return drawn
}

const words = ({ texts }: Drawn) => texts.filter(({ text }) => /[a-z]/.test(text))

describe('the chart', () => {
  test('names a hole by its cause, in the lane above the plot', async () => {
    const found = words(await chart([line(track(() => UNKNOWN))]))
    expect(found.map(({ text }) => text)).toEqual(['monitor was down'])
    for (const { y } of found) expect(y).toBeLessThan(LANE_PX)
  })

  test('writes nothing onto a line: a hole between two stretches is named above as well', async () => {
    const holed = track((i) => (20 <= i && i < 40 ? UNKNOWN : {}))
    const found = words(await chart([line(holed)]))
    expect(found.length).toBe(1)
    for (const { y } of found) expect(y).toBeLessThan(LANE_PX)
  })

  test('names neighbouring holes of different causes apart, and none it has no room for', async () => {
    const causes = (i: number) => (i < 30 ? 'agent_offline' : i < 58 ? 'agent_blind' : 'silent')
    const found = words(await chart([line(track((i) => ({ ...UNKNOWN, cause: causes(i) })))]))
    expect(found.map(({ text }) => text)).toEqual(['agent offline', 'agent blind'])
  })

  test('draws a single answered minute among nothing as a dot', async () => {
    expect((await chart([line(track((i) => (i === 30 ? {} : UNKNOWN)))])).dots).toBe(1)
  })

  test('is not pressed to the ground by one packet that took a second', () => {
    const one = line(track((i) => (i === 30 ? { rtt_us_max: 1_000_000 } : {})))
    expect(topOf([one], VIEW)).toBeLessThan(2)
    const slow = line(track(() => ({ rtt_us_mean: 50_000, rtt_us_max: 60_000 })))
    expect(topOf([one, slow], VIEW)).toBeGreaterThan(60)
  })
})

describe('a strip', () => {
  const strip = (of: Track) => {
    show(<StateStrip track={of} view={VIEW} widthPx={600} heightPx={30} scheme="light" />)
    return drawn.boxes
  }

  test('tells a verdict by its height, from the same edges as every canvas of the axis', () => {
    const verdicts = ['up', 'degraded', 'down'] as const
    const boxes = strip(track((i) => (i < 3 ? { verdict: verdicts[i] } : null)))
    const bars = boxes.filter(({ y, height }) => y + height === 30 && height > 1)
    expect(bars.map(({ x, height }) => [x, height])).toEqual([
      [0, 11],
      [10, 21],
      [20, 30],
    ])
    const frame = { ...VIEW, left: 0, width: 600 }
    expect(edgesOf(frame, START + MINUTE_MS, MINUTE_MS)).toEqual([10, 20])
  })

  test('draws a column that is narrower than a pixel of no width as none, never beside itself', () => {
    const frame = { ...VIEW, left: 100, width: 10 }
    const edges = Array.from({ length: 60 }, (_, i) =>
      edgesOf(frame, START + i * MINUTE_MS, MINUTE_MS),
    )
    const drawnEdges = edges.filter((edge) => edge !== null)
    expect(drawnEdges[0]?.[0]).toBe(100)
    expect(drawnEdges.at(-1)?.[1]).toBe(110)
    drawnEdges.slice(1).forEach(([left], i) => expect(left).toBe(drawnEdges[i]?.[1]))
  })
})

test('the loss of several lines is that of the worst', () => {
  const [good, bad] = [track(() => ({})), track((i) => (i === 1 ? { received: 4 } : {}))]
  expect(worstLoss([good, bad], START)).toEqual({ sent: 10, received: 10 })
  expect(worstLoss([good, bad], START + MINUTE_MS)).toEqual({ sent: 10, received: 4 })
  expect(worstLoss([track(() => UNKNOWN)], START)).toEqual({ sent: 0, received: 0 })
})

describe('the cursor', () => {
  const surface = (cursor: number | null, view = VIEW) => {
    const calls = {
      onCursor: vi.fn(),
      onChoose: vi.fn(),
      onDraft: vi.fn(),
      onView: vi.fn(),
      onReset: vi.fn(),
      now: () => VIEW.to - 2 * MINUTE_MS,
    }
    show(
      <Surface
        {...calls}
        view={view}
        stepMs={MINUTE_MS}
        cursor={cursor}
        words="06:03 UTC: Consensus Up"
        opened={null}
        gutterPx={40}
      />,
    )
    const slider = screen.getByRole('slider', { name: 'Moment' })
    return { ...calls, slider, press: (key: string) => fireEvent.keyDown(slider, { key }) }
  }

  test('says what its column says', () => {
    const { slider } = surface(START + 3 * MINUTE_MS)
    expect(slider.getAttribute('aria-valuetext')).toBe('06:03 UTC: Consensus Up')
  })

  test('walks by columns, and stops at what has not begun', () => {
    const { press, onCursor } = surface(START + 3 * MINUTE_MS)
    const middle = (i: number) => START + (i + 0.5) * MINUTE_MS
    for (const key of ['ArrowLeft', 'ArrowRight', 'Home', 'End']) press(key)
    expect(onCursor.mock.calls.map(([at]) => at as number)).toEqual([2, 4, 0, 58].map(middle))
  })

  test('stays within what is shown where only the end of a column is', () => {
    const from = VIEW.from + 40_000
    const { press, onCursor } = surface(null, { from, to: VIEW.to })
    press('Home')
    expect(onCursor).toHaveBeenCalledWith(from, true)
  })

  test('opens, stretches, moves, and takes it all back', () => {
    const { press, onChoose, onView, onReset } = surface(START + 30 * MINUTE_MS)
    press('Enter')
    expect(onChoose).toHaveBeenCalledWith(START + 30.5 * MINUTE_MS)
    press('+')
    press('PageUp')
    const lengths = onView.mock.calls.map((call) => {
      const { from, to } = call[0] as View
      return (to - from) / MINUTE_MS
    })
    expect(lengths).toEqual([30, 60])
    press('0')
    expect(onReset).toHaveBeenCalledOnce()
  })
})
