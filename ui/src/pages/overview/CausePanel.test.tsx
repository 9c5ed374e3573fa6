// @vitest-environment happy-dom

import { QueryClient } from '@tanstack/react-query'
import { screen } from '@testing-library/react'
import { describe, expect, it } from 'vitest'

import { Live } from '../../api/live'
import type { Diagnosis, DiagnosisIncident } from '../../api/types'
import { show } from '../../testing'
import { LiveContext } from '../../ui/clock'
import { CauseContent } from './CausePanel'

const NOTHING: Diagnosis = {
  state: 'judged',
  missing: [],
  targets_outside: 0,
  at: '2026-11-21T05:54:33Z',
  at_us: 0,
  log_position: 7,
  inventory_version: 3,
  evidence_since: '2026-11-21T05:00:00Z',
  pairs: 12,
  rounds: 80,
  took_us: 900,
  incidents: [],
  blind_agents: [],
  unexplained: [],
  unexplained_total: 0,
  facts: [],
  facts_total: 0,
  contradictions: [],
  is_cut_short: false,
}

const CUT: DiagnosisIncident = {
  id: 'i1',
  incident: null,
  revision: 1,
  state: 'open',
  sentence: 'link r1--r2 is down, since 05:53:10 (probability 97.0 %)',
  causes: [
    {
      elements: ['r1--r2'],
      kind: 'link',
      mode: 'down',
      loss_ppm: null,
      rtt_us_added: null,
      probability: 0.97,
      evidence: [
        { supports: true, log_ratio: 9, text: '41 of 41 rounds over r1--r2 lost', refs: [] },
        { supports: false, log_ratio: -1, text: '1 round answered all the same', refs: [] },
      ],
      to_disambiguate: 'read the ports at both ends of r1--r2',
    },
  ],
  other_probability: 0.03,
  onset_us: [0, 1],
  since: '2026-11-21T05:53:10Z',
  impact: {
    targets_down: 41,
    targets_degraded: 0,
    weight: 41,
    weight_total: 100,
    devices: ['r2'],
    devices_total: 1,
    devices_exposed: [],
    devices_exposed_total: 0,
    customers: 1200,
    services: 0,
  },
  suppressed: [],
  suppressed_total: 0,
}

function showIt(diagnosis: Diagnosis) {
  show(
    <LiveContext value={new Live(new QueryClient())}>
      <CauseContent diagnosis={diagnosis} />
    </LiveContext>,
  )
}

describe('the likely cause', () => {
  it('says what is missing when there is no topology', () => {
    const missing = ['there is no topology: describe the network']
    showIt({ ...NOTHING, state: 'no_topology', missing })
    expect(screen.getByText('No cause can be named yet')).toBeTruthy()
    expect(screen.getByText(/there is no topology/)).toBeTruthy()
  })

  it('says that nothing is the matter, and of how much', () => {
    showIt(NOTHING)
    expect(screen.getByText(/as far as 12 pairs/)).toBeTruthy()
  })

  it('shows the sentence, both sides of the evidence and whom it hits', () => {
    const over = { ...CUT, id: 'i2', state: 'resolved', sentence: 'device r9 is down' }
    showIt({ ...NOTHING, incidents: [CUT, over] })
    expect(screen.getByRole('heading', { name: CUT.sentence })).toBeTruthy()
    expect(screen.getByText(/Hits 41 targets down, 1 device down or cut off/)).toBeTruthy()
    expect(screen.getByText('41 of 41 rounds over r1--r2 lost')).toBeTruthy()
    expect(screen.getByText('Against')).toBeTruthy()
    expect(screen.getByText('read the ports at both ends of r1--r2')).toBeTruthy()
    expect(screen.queryByText(over.sentence)).toBeNull()
  })
})
