import { describe, expect, it, test } from 'vitest'

import { agentConcerns, type AgentVitals } from './agent'
import { causeWords, icmpErrorWords, notAskedWords } from './cause'
import { fullInWords, healthMark, healthWords, type HealthStatus, storageLabel } from './health'
import { isFiltered, parseFilter, toggleVerdict } from './filter'
import { RECORD, SERVER, gapRows } from './gaps'
import { importType } from './importing'
import { lossStep } from './loss'
import { fleetSentence, intakeSentence } from './summary'
import { STANDARD, bitsPerSecond, checkTier, downWithinS, packetsPerSecond } from './tier'
import { bareTime, parseTime, timeText, whenText, zoneName } from './time'
import * as units from './units'
import { VERDICTS, agentMark, changeMark, verdictMark, type AgentState } from './verdict'
import { consensusWords, pairWords, type HeldTarget } from './waiting'

describe('intake', () => {
  const said = (is_intake_open: boolean, ingest_lag_s: number) =>
    intakeSentence({ is_intake_open, ingest_lag_s })

  it('says when verdicts are not live', () => {
    expect(said(true, 0)).toBe('')
    expect(said(true, 1)).toBe('')
    expect(said(true, 12)).toBe('Judging is 12 s behind. ')
    expect(said(false, 12)).toMatch(/^No results are taken now/)
  })
})

describe('health', () => {
  it('says when the disk is full, or that it never is', () => {
    expect(fullInWords('never', 0, 2 * 1024 ** 3)).toMatch(/fits: 2\.0 GiB are free/)
    expect(fullInWords('later', 0.4, 0)).toMatch(/within a day/)
    expect(fullInWords('later', 12.9, 0)).toMatch(/full after 12 days/)
    expect(fullInWords('unknown', 0, 0)).toMatch(/does not see/)
  })

  it('names each part of what is kept', () => {
    const names = ['rounds', 'agent_1h', 'agent_1d', 'rest', 'log', 'something new']
    expect(names.map(storageLabel)).toEqual([
      'Every round',
      'Hours, each agent',
      'Days, each agent',
      'Unmerged, free, inventory',
      'Log, until judged',
      'something new',
    ])
  })

  const words = (statuses: HealthStatus[], is_open = true) =>
    healthWords({ checks: statuses.map((status) => ({ status })), ingest: { is_open } }).title

  it('says first that no results are taken', () => {
    expect(words(['ok', 'ok'])).toBe('The monitoring is well')
    expect(words(['ok', 'degraded'])).toBe('1 check needs attention')
    expect(words(['failing', 'degraded'])).toBe('2 checks need attention')
    expect(words(['failing', 'degraded'], false)).toBe('No results are taken')
  })

  it('puts the worst first', () => {
    const order = (['failing', 'degraded', 'ok'] as const).map((s) => healthMark(s).order)
    expect(order).toEqual([0, 1, 2])
  })
})

describe('marks', () => {
  const states: AgentState[] = ['never_seen', 'online', 'offline', 'blind', 'awaited']
  const marks = {
    verdicts: VERDICTS.map((v) => verdictMark(v)),
    agents: states.map((s) => agentMark(s)),
  }

  it.each(Object.entries(marks))('tells %s apart without colour', (_, list) => {
    for (const part of ['word', 'letter', 'icon'] as const) {
      expect(new Set(list.map((mark) => mark[part])).size).toBe(list.length)
    }
  })

  it('draws what is not known as neither health nor failure', () => {
    expect(verdictMark('unknown').tone).toBe('muted')
    expect(verdictMark('up', true).word).toBe('Paused')
  })

  it('reads both ends of a change in its own vocabulary', () => {
    expect(changeMark('agent', 'blind').word).toBe('Blind')
    expect(changeMark('verdict', 'down').word).toBe('Down')
    expect(changeMark('verdict', 'something new').word).toBe('Unknown')
  })
})

test.each([
  [null, '–'],
  [0, '0.000 ms'],
  [87, '0.087 ms'],
  [1234, '1.23 ms'],
  [12_340, '12.3 ms'],
  [182_400, '182 ms'],
  [1_200_000, '1,200 ms'],
])('rtt %s is %s', (us, expected) => {
  expect(units.rtt(us)).toBe(expected)
})

test.each([
  [0, 0, '–'],
  [100, 100, '0 %'],
  [100, 93, '7 %'],
  [1000, 999, '0.1 %'],
  [5, 0, '100 %'],
])('loss of %s sent and %s received is %s', (sent, received, expected) => {
  expect(units.loss(sent, received)).toBe(expected)
})

test.each([
  [-5, '0 s'],
  [8_000, '8 s'],
  [252_000, '4 min 12 s'],
  [600_000, '10 min'],
  [11_100_000, '3 h 5 min'],
  [1_051_200_000, '12 d'],
  [100_800_000, '1 d 4 h'],
])('duration %s is %s', (ms, expected) => {
  expect(units.duration(ms)).toBe(expected)
})

test('other units', () => {
  expect(units.bytes(0)).toBe('0 B')
  expect(units.bytes(18_400_000)).toBe('17.5 MiB')
  expect(units.lag(84)).toBe('84 µs')
  expect(units.lag(1240)).toBe('1.2 ms')
  expect(units.offset(-12)).toBe('−12 ms')
  expect(units.offset(1420)).toBe('+1.4 s')
  expect(units.durationShort(7_300_000)).toBe('2h')
  expect(units.many(1, 'batch', 'batches')).toBe('1 batch')
  expect(units.perSecond(0.166, 'rounds')).toBe('0.17 rounds/s')
  expect(units.perSecond(1200.4, 'packets')).toBe('1,200 packets/s')
  expect(units.share(1, 1000)).toBe('< 1 %')
  expect(units.share(999, 1000)).toBe('99.9 %')
  expect(units.share(0, 0)).toBe('–')
})

describe('time', () => {
  const at = Date.UTC(2026, 6, 3, 22, 5, 9)

  it('names its zone', () => {
    expect(timeText(at, 'utc', 'time')).toBe('22:05:09 UTC')
    expect(timeText(at, 'local', 'minute')).toBe('00:05 UTC+2')
    expect(zoneName('local', Date.UTC(2026, 0, 1))).toBe('UTC+1')
  })

  it('says the day of what was not today', () => {
    const hour = 3_600_000
    expect(whenText(at, at + hour, 'utc')).toBe('22:05 UTC')
    expect(whenText(at, at + 2 * hour, 'utc')).toBe('03 Jul, 22:05 UTC')
    expect(whenText(at, at + 2 * hour, 'local')).toBe('00:05 UTC+2')
  })

  it('says midnight as 00', () => {
    expect(bareTime(Date.UTC(2026, 0, 1), 'utc', 'minute')).toBe('00:00')
  })

  it('reads the times of the API', () => {
    expect(parseTime('2026-07-03T22:05:09.000000Z')).toBe(at)
    expect(parseTime(null)).toBeNull()
    expect(parseTime('never')).toBeNull()
  })
})

test('loss steps: nothing asked is no loss, and all lost is its own step', () => {
  expect(lossStep(0, 0)).toBe('none')
  expect(lossStep(10, 10)).toBe('none')
  expect(lossStep(10, 9)).toBe('some')
  expect(lossStep(10, 7)).toBe('much')
  expect(lossStep(10, 1)).toBe('most')
  expect(lossStep(10, 0)).toBe('all')
})

describe('tier', () => {
  const tier = { ...STANDARD, name: 'standard' }

  it('accepts the standard', () => {
    expect(checkTier(tier)).toEqual({})
  })

  it.each([
    ['interval_s', { interval_s: 4 }],
    ['packets', { packets: 0 }],
    ['packets', { packets: 2.5 }],
    ['lost_clear', { lost_clear: 7 }],
    ['rtt_us_clear', { rtt_us_clear: 150_001 }],
    ['agent_count', { strategy: 'count' as const, agent_count: null }],
    ['name', { name: '-x' }],
    ['interval_s', { interval_s: 5, packets: 20, gap_ms: 1000 }],
  ])('names %s', (field, change) => {
    expect(Object.keys(checkTier({ ...tier, ...change }))).toEqual([field])
  })

  it('adds up what is sent', () => {
    expect(packetsPerSecond(tier, 600)).toBe(100)
    expect(bitsPerSecond(tier, 600)).toBe(67_200)
    expect(downWithinS(tier)).toBe(33.2)
  })
})

describe('filter', () => {
  it('keeps what it knows and drops the rest', () => {
    const filter = parseFilter({
      q: 'fra',
      verdict: 'up,nonsense,down',
      sort: 'sideways',
      tag: '',
    })
    expect(filter).toEqual({ q: 'fra', verdict: 'down,up' })
    expect(isFiltered(filter)).toBe(true)
    expect(isFiltered({ sort: 'since' })).toBe(false)
  })

  it('adds and takes a verdict', () => {
    expect(toggleVerdict(undefined, 'up')).toBe('up')
    expect(toggleVerdict('up', 'down')).toBe('down,up')
    expect(toggleVerdict('down', 'down')).toBeUndefined()
  })
})

test('cause words', () => {
  expect(causeWords('not_asked_no_route')).toBe('not asked: no route')
  expect(causeWords('a_new_one')).toBe('a new one')
  expect(notAskedWords('no_route')).toBe('no route')
  expect(icmpErrorWords({ type: 3, code: 1, source: '192.0.2.1' })).toBe(
    'host unreachable, says 192.0.2.1',
  )
  expect(icmpErrorWords({ type: 1, code: 0, source: '2001:db8::1' })).toBe(
    'no route, says 2001:db8::1',
  )
  expect(icmpErrorWords({ type: 5, code: 2, source: '192.0.2.1' })).toBe(
    'ICMP type 5 code 2, says 192.0.2.1',
  )
})

test('the fleet in one sentence', () => {
  const none = { total: 0, up: 0, degraded: 0, down: 0, unknown: 0, paused: 0 }
  expect(fleetSentence(none)).toBe('Nothing is watched yet.')
  expect(fleetSentence({ ...none, total: 1, up: 1 })).toBe('The one target is up.')
  expect(fleetSentence({ ...none, total: 12, up: 10, paused: 2 })).toBe('All 10 targets are up.')
  expect(fleetSentence({ ...none, total: 3, paused: 3 })).toBe('All 3 targets are paused.')
  expect(fleetSentence({ ...none, total: 1248, up: 1240, down: 3, unknown: 5 })).toBe(
    '3 down, 5 unknown of 1,248 targets.',
  )
})

test('concerns of an agent name what is wrong and what to do', () => {
  const well: AgentVitals = {
    state: 'online',
    state_why: '',
    backlog_batches: 0,
    backlog_bytes: 0,
    send_lag_us_max: 900,
    kernel_drops: 0,
    socket_errors: 0,
    clock_offset_ms: 3,
    impediment: null,
    certificate: { not_after: '2026-06-01T00:00:00Z', status: 'active' },
  }
  const now = Date.UTC(2026, 4, 1)
  expect(agentConcerns(well, now)).toEqual([])
  expect(agentConcerns({ ...well, send_lag_us_max: 100_000 }, now)).toEqual([])
  const ill = {
    ...well,
    clock_offset_ms: -1420,
    impediment: 'may not send',
    send_lag_us_max: 101_000,
  }
  expect(agentConcerns(ill, now).map((c) => c.what)).toEqual([
    'may not send',
    'its clock is off by −1.4 s',
    'it sends up to 101 ms late: rounds are doubtful',
  ])
  expect(agentConcerns(well, Date.UTC(2026, 4, 30))[0]?.what).toBe(
    'its certificate expires in 2 d',
  )
  expect(agentConcerns(well, Date.UTC(2026, 6, 1))[0]?.tone).toBe('bad')
  const rival = { from: '192.0.2.9:5000', hostname: 'pop-b', last_at: '2026-05-01T00:00:00Z' }
  expect(agentConcerns({ ...well, rival }, now + 60_000)[0]?.what).toBe(
    'a second process with its identity is refused: 192.0.2.9:5000 (host pop-b)',
  )
  expect(agentConcerns({ ...well, rival }, now + 600_000)).toEqual([])
})

test('an array is JSON, all else is CSV', () => {
  expect(importType('\n [{"name":"a"}]')).toBe('application/json')
  expect(importType('name,address\n')).toBe('text/csv')
})

describe('gaps', () => {
  const gap = (agent: string | null, from: string, to: string | null, length_s: number) => ({
    agent: agent === null ? null : { id: agent.length, name: agent },
    from: `2026-11-21T${from}:00Z`,
    to: to === null ? null : `2026-11-21T${to}:00Z`,
    length_s,
    cause: agent === null ? 'monitor_down' : 'agent_offline',
    why: '',
    rounds: null as number | null,
  })

  it('are one list, newest first, with the longest of each kind marked', () => {
    const rows = gapRows(
      [
        gap('fra1', '08:00', null, 600),
        gap(null, '07:00', '07:30', 1800),
        gap('ams2-b', '05:00', '05:05', 300),
      ],
      [
        { from: '2026-11-21T06:00:00Z', minutes: 3 },
        { from: '2026-11-21T04:00:00Z', minutes: 2 },
      ],
    )
    expect(
      rows.map(({ who, to, lengthMs, isLargest }) => [who, to, lengthMs, isLargest]),
    ).toEqual([
      ['fra1', null, 600_000, true],
      // A single one is not the longest of anything.
      [SERVER, '2026-11-21T07:30:00Z', 1_800_000, false],
      [RECORD, '2026-11-21T06:03:00.000Z', 180_000, true],
      ['ams2-b', '2026-11-21T05:05:00Z', 300_000, false],
      [RECORD, '2026-11-21T04:02:00.000Z', 120_000, false],
    ])
  })

  it('say how much an agent lost and why', () => {
    const why = '1234 rounds lost: its spool was full'
    const lost = { ...gap('fra1', '08:00', '08:10', 600), cause: 'dropped', why, rounds: 1234 }
    expect(gapRows([lost], [])[0]).toMatchObject({ who: 'fra1', cause: 'dropped', detail: why })
  })
})

describe('between a restart and the first round', () => {
  const at = (time: string) => `2026-11-21T${time}Z`
  const pair = (state: AgentState, back: string, last: string | null, cause = 'answering') => ({
    agent: { name: 'fra1', state, since: at(back) },
    verdict: cause === 'answering' ? ('up' as const) : ('unknown' as const),
    cause,
    why: 'as it was held',
    last_round_at: last && at(last),
  })
  const status = (server: string, ...agents: ReturnType<typeof pair>[]): HeldTarget => ({
    target: { is_paused: false },
    consensus: agents[0] ?? pair('online', server, null),
    agents,
    interval_s: 30,
    server_since: at(server),
  })
  const now = Date.parse(at('12:00:10'))
  const words = (held: HeldTarget) => {
    const [first] = held.agents
    return first && pairWords(first, held, now, 'utc')
  }

  it('an agent that is back is not said to be offline', () => {
    const held = status('11:00:00', pair('online', '12:00:00', '11:50:00', 'agent_offline'))
    const why = 'fra1 is online again since 12:00:00 UTC; its first round is due within 25 s'
    expect(words(held)).toEqual({ why, note: null })
    expect(consensusWords(held, now, 'utc').why).toBe(
      'fra1 is online again since 12:00:00 UTC; the first round is due within 25 s',
    )
  })

  it('what is held over a restart of the server says so', () => {
    const held = status('12:00:05', pair('online', '09:00:00', '11:59:00'))
    const note =
      'Held from before the server came back at 12:00:05 UTC; its first round is due within 30 s.'
    expect(words(held)).toEqual({ why: 'as it was held', note })
    expect(consensusWords(held, now, 'utc').note).toContain('the first round is due within 30 s')
  })

  it.each([
    ['its first round came', status('11:00:00', pair('online', '12:00:00', '12:00:03'))],
    ['the round before still speaks', status('12:00:05', pair('online', '09:00:00', '11:59:50'))],
    ['the agent is away', status('11:00:00', pair('offline', '11:59:00', null, 'agent_offline'))],
    ['the round is overdue', status('11:00:00', pair('online', '11:59:00', '11:50:00'))],
  ])('nothing is added when %s', (_, held) => {
    expect(words(held)).toEqual({ why: 'as it was held', note: null })
    expect(consensusWords(held, now, 'utc').note).toBeNull()
  })

  it('one agent that has seen it speaks for all', () => {
    const held = status(
      '11:00:00',
      pair('online', '12:00:00', '11:00:10', 'agent_offline'),
      pair('online', '11:30:00', '12:00:02'),
    )
    expect(consensusWords(held, now, 'utc')).toEqual({ why: 'as it was held', note: null })
  })
})
