import { describe, expect, it } from 'vitest'

import type { IncidentDetail, IncidentEntry } from '../api/types'
import {
  SEVERITIES,
  entryWords,
  headline,
  incidentParams,
  incidentText,
  isIncidentFiltered,
  parseIncidentFilter,
  severityMark,
  stateMark,
  toggleSeverity,
  worstImpact,
} from './incident'

const entry = (part: Partial<IncidentEntry>): IncidentEntry => ({
  id: 1,
  at: '2026-11-27T04:51:41Z',
  kind: 'opened',
  actor: null,
  note: '',
  is_told: false,
  trace: null,
  trace_target: null,
  ...part,
})

const INCIDENT: IncidentDetail = {
  id: 12,
  state: 'open',
  severity: 'critical',
  sentence: 'link r1--r2 is down, since 04:51:36 (probability 97.0 %)',
  opened_at: '2026-11-27T04:51:41Z',
  onset_after: '2026-11-27T04:51:30Z',
  onset_until: '2026-11-27T04:51:36Z',
  resolved_at: null,
  closed_at: null,
  close_code: null,
  closed_by: null,
  maintenance: null,
  is_silent: false,
  merged_into: null,
  is_seen: true,
  revision: 2,
  targets_down: 41,
  targets_degraded: 0,
  weight: 900,
  owner: 'ann',
  acknowledged_at: null,
  acknowledged_by: null,
  updated_at: '2026-11-27T04:52:00Z',
  version: 7,
  causes: [
    {
      elements: ['r1--r2'],
      kind: 'link',
      mode: 'down',
      loss_ppm: null,
      rtt_us_added: null,
      probability: 0.97,
      evidence: [{ supports: true, log_ratio: 8, text: '41 of 41 rounds lost', refs: [] }],
      to_disambiguate: null,
    },
  ],
  other_probability: 0.03,
  impact: {
    targets_down: 41,
    targets_degraded: 0,
    weight: 900,
    weight_total: 1000,
    devices: ['r2'],
    devices_total: 1,
    devices_exposed: [],
    devices_exposed_total: 0,
    customers: 0,
    services: 0,
  },
  suppressed: [],
  suppressed_total: 0,
  next_steps: ['Read the ports.'],
  timeline: [
    entry({}),
    entry({ id: 2, kind: 'revised', note: 'targets: 41 down' }),
    entry({ id: 3, kind: 'assigned', actor: 'bob', note: 'to ann' }),
  ],
  targets: [],
  inventory_version: 1,
  log_position: 1,
}

describe('an incident', () => {
  it('has a mark of its own for each severity, by shape and by word', () => {
    const marks = SEVERITIES.map(severityMark)
    expect(new Set(marks.map(({ icon }) => icon)).size).toBe(4)
    expect(new Set(marks.map(({ word }) => word)).size).toBe(4)
    expect(stateMark({ state: 'open', acknowledged_by: null }).word).toBe('Open')
    expect(stateMark({ state: 'open', acknowledged_by: 'ann' }).word).toBe('Acknowledged')
  })

  it('is headed by what is the matter, without what stands beside it', () => {
    expect(headline(INCIDENT.sentence)).toBe('link r1--r2 is down')
    expect(
      headline('r2 lost 50.0 % of packets, from 04:52:40 until 04:52:47 (probability 92.6 %)'),
    ).toBe('r2 lost 50.0 % of packets')
  })

  it('says who did what', () => {
    expect(entryWords(entry({ kind: 'acknowledged', actor: 'ann' }))).toBe('ann acknowledged it')
    expect(entryWords(entry({ kind: 'reopened' }))).toBe('It is back')
    expect(entryWords(entry({ kind: 'reopened', actor: 'ann' }))).toBe('ann reopened it')
  })

  it('is said to have hit what it hit at worst', () => {
    const over = { impact: { ...INCIDENT.impact, targets_down: 0 } }
    expect(worstImpact(over, [INCIDENT, over]).targets_down).toBe(41)
    expect(worstImpact(over, []).targets_down).toBe(0)
  })

  it('is copied as text with all that a ticket needs, in times with their zone', () => {
    const text = incidentText(INCIDENT, 'https://noc.example/incidents/12', 'utc')
    expect(text.split('\n')).toEqual([
      '#12 Critical: link r1--r2 is down, since 04:51:36 (probability 97.0 %)',
      'State: open, ann works on it',
      'Began: 27 Nov, 04:51:36 UTC',
      'Impact: Hits 41 targets down, 1 device down or cut off.',
      'Likely cause: r1--r2 down (97.0 %)',
      '  + 41 of 41 rounds lost',
      'Next steps:',
      '  1. Read the ports.',
      'Timeline:',
      '  27 Nov, 04:51:41 UTC  Opened',
      '  27 Nov, 04:51:41 UTC  bob assigned it to ann',
      'https://noc.example/incidents/12',
    ])
  })
})

describe('the filter of incidents', () => {
  it('is read from the address, and what it does not know is dropped', () => {
    const search = { show: 'over', severity: 'minor,x,critical', within: '7d', sort: 'nonsense' }
    const filter = parseIncidentFilter(search)
    expect(filter.severity).toBe('critical,minor')
    expect(filter.sort).toBeUndefined()
    expect(isIncidentFiltered(filter)).toBe(true)
    expect(isIncidentFiltered(parseIncidentFilter({ show: 'all', sort: 'impact' }))).toBe(false)
  })

  it('is told to the API: open ones if nothing is said', () => {
    expect(incidentParams({}, 0).state).toBe('open')
    expect(incidentParams({ show: 'over' }, 0).state).toBe('resolved,closed')
    expect(incidentParams({ show: 'all' }, 0).state).toBeUndefined()
    expect(incidentParams({ within: '1d' }, 86_400_000).since).toBe('1970-01-01T00:00:00.000Z')
  })

  it('adds and takes one severity', () => {
    expect(toggleSeverity(undefined, 'minor')).toBe('minor')
    expect(toggleSeverity('minor', 'critical')).toBe('critical,minor')
    expect(toggleSeverity('minor', 'minor')).toBeUndefined()
  })
})
