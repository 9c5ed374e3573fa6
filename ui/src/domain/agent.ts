/** What is wrong with an agent, in words, with what to do about it. */

import { bytes, duration, lag, many, offset } from './units'
import type { AgentState } from './verdict'

export interface AgentVitals {
  state: AgentState
  state_why: string
  backlog_batches: number
  backlog_bytes: number
  send_lag_us_max: number
  kernel_drops: number
  socket_errors: number
  clock_offset_ms: number
  impediment?: string | null
  rival?: { from: string | null; hostname: string; last_at: string } | null
  certificate?: { not_after: string; status: string } | null
}

export interface Concern {
  /** `bad` stops it from working, `warn` bends what it says. */
  tone: 'bad' | 'warn'
  what: string
  remedy: string | null
}

/**
 * Above this an agent's clock is shown as wrong. Its rounds are placed on the server's clock
 * anyway.
 */
export const CLOCK_OFFSET_MS_MAX = 1000
/** Above this an agent marks its own rounds doubtful. */
export const SEND_LAG_US_MAX = 100_000
/** More batches than this waiting are more than a second's hiccup. */
const BACKLOG_BATCHES_MAX = 10
/** A copy knocks every 15 seconds: one that has not for this long was stopped. */
const RIVAL_SHOWN_MS = 300_000
const RENEWAL_DUE_MS = 7 * 86_400_000

export function agentConcerns(agent: AgentVitals, now: number): Concern[] {
  const concerns: Concern[] = []
  const add = (tone: Concern['tone'], what: string, remedy: string | null) => {
    concerns.push({ tone, what, remedy })
  }
  if (agent.impediment) add('bad', agent.impediment, null)
  if (agent.rival && now - Date.parse(agent.rival.last_at) < RIVAL_SHOWN_MS) {
    add(
      'bad',
      `a second process with its identity is refused: ${agent.rival.from ?? 'unknown'} (host ${agent.rival.hostname})`,
      'a state directory was copied: stop the copy, or enroll it as an agent of its own',
    )
  }
  if (agent.certificate?.status === 'revoked') {
    add('bad', 'its certificate is revoked', 'make a new token and enroll it again')
  } else if (agent.certificate) {
    const left = Date.parse(agent.certificate.not_after) - now
    if (left <= 0)
      add('bad', 'its certificate has expired', 'make a new token and enroll it again')
    else if (left < RENEWAL_DUE_MS) {
      add(
        'warn',
        `its certificate expires in ${duration(left)}`,
        'it renews by itself while it is connected',
      )
    }
  }
  if (Math.abs(agent.clock_offset_ms) > CLOCK_OFFSET_MS_MAX) {
    add(
      'warn',
      `its clock is off by ${offset(agent.clock_offset_ms)}`,
      'run an NTP client on its host',
    )
  }
  if (agent.backlog_batches > BACKLOG_BATCHES_MAX) {
    const size = `${many(agent.backlog_batches, 'batch', 'batches')}, ${bytes(agent.backlog_bytes)}`
    add('warn', `its backlog waits to be delivered: ${size}`, null)
  }
  if (agent.send_lag_us_max > SEND_LAG_US_MAX) {
    add(
      'warn',
      `it sends up to ${lag(agent.send_lag_us_max)} late: rounds are doubtful`,
      'give its host more CPU',
    )
  }
  return concerns
}
