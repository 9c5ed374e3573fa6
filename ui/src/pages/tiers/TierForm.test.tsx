// @vitest-environment happy-dom
import { fireEvent, screen } from '@testing-library/react'
import { beforeEach, expect, test, vi } from 'vitest'

/** What was asked; the client takes `fetch` when it is loaded, so it stands first. */
const server = vi.hoisted(() => {
  const held = { asked: [] as string[] }
  globalThis.fetch = (input) => {
    const { pathname, search, searchParams } = new URL((input as Request).url)
    held.asked.push(pathname + search)
    if (pathname === '/api/v1/agents') {
      return Promise.resolve(Response.json({ items: [{ id: 1 }, { id: 2 }, { id: 3 }] }))
    }
    if (pathname === '/api/v1/tiers') {
      return Promise.resolve(Response.json({ items: [], kept_days: { rounds: 14, minutes: 90 } }))
    }
    const pairs = Number(searchParams.get('targets')) * Number(searchParams.get('agents'))
    const packets_per_s =
      (pairs * Number(searchParams.get('packets'))) / Number(searchParams.get('interval_s'))
    return Promise.resolve(
      Response.json({
        together: { packets_per_s },
        disk_bytes: pairs * 256 * 1024 * (Number(searchParams.get('rounds_days') ?? 14) / 14),
      }),
    )
  }
  return held
})

import type { Tier } from '../../api/types'
import { STANDARD } from '../../domain/tier'
import { show } from '../../testing'
import { TierForm } from './TierForm'

const nothing = () => undefined

beforeEach(() => {
  server.asked.length = 0
})

test('a tier tells what it costs with all agents, and anew when the interval is changed', async () => {
  show(<TierForm tier={null} onDone={nothing} />)
  expect((await screen.findByText(/^With 3 agents/)).textContent).toBe(
    'With 3 agents: 500 packets/s together, about 750 MiB of disk once history is kept for its ' +
      'full time.',
  )
  fireEvent.change(screen.getByLabelText('Every'), { target: { value: '60' } })
  expect(await screen.findByText(/^With 3 agents: 250 packets/)).toBeDefined()
})

test('a tier that some agents ask is told with those and with its targets', async () => {
  const tier = { id: 7, name: 'gold', targets_total: 40, interval_s: 10, packets: 5 } as Tier
  const rules = { lost_raise: 7, lost_clear: 2, rtt_us_raise: 150_000, rtt_us_clear: 120_000 }
  const round = { gap_ms: 200, timeout_ms: 1000, payload_bytes: 56 }
  const some = { strategy: 'count', agent_count: 1 } as const
  const kept = { kept_days: { ...STANDARD.kept_days, rounds: 28 } }
  show(<TierForm tier={{ ...tier, ...rules, ...round, ...some, ...kept }} onDone={nothing} />)
  expect(await screen.findByText(/^With 1 agent: 20.0 packets/)).toBeDefined()
  expect(server.asked.filter((asked) => asked.startsWith('/api/v1/plan'))).toEqual([
    '/api/v1/plan?targets=40&agents=1&interval_s=10&packets=5&rounds_days=28',
  ])
})

test('what a tier keeps longer takes more disk at once, and no time is refused', async () => {
  show(<TierForm tier={null} onDone={nothing} />)
  expect((await screen.findByText(/^With 3 agents/)).textContent).toContain('about 750 MiB')
  const rounds = screen.getByLabelText('Every round')
  expect(await screen.findByPlaceholderText('14 days')).toBe(rounds)
  fireEvent.change(rounds, { target: { value: '28' } })
  expect(await screen.findByText(/about 1\.5 GiB of disk/)).toBeDefined()
  fireEvent.change(rounds, { target: { value: '0' } })
  expect(await screen.findByText('must be from 1 to 36500 days, or empty')).toBeDefined()
  expect(screen.queryByText(/^With 3 agents/)).toBeNull()
})
