/**
 * What is true between a restart and the first round after it: what is held then was concluded
 * before, and a person who reads it must be told so.
 */

import { type Zone, parseTime, timeText } from './time'
import { type AgentState, type Verdict, agentMark } from './verdict'

export interface HeldPair {
  agent: { name: string; state: AgentState; since: string }
  verdict: Verdict
  cause: string
  why: string
  last_round_at: string | null
}

export interface HeldTarget {
  target: { is_paused: boolean }
  consensus: { verdict: Verdict; cause: string; why: string }
  agents: readonly HeldPair[]
  interval_s: number
  server_since: string
}

/** The reason to show, and what to add to it. */
export interface Words {
  why: string
  /** What the reason cannot know: that it is from before a restart. */
  note: string | null
}

interface Waiting {
  since: number
  dueAt: number
  isOfServer: boolean
}

/** A round takes its timeout, its confirm burst and its way here after it was due. */
const ROUND_MS = 5_000

/**
 * Returns since when a pair waits for its first round; null if it does not.
 *
 * 1 - The agent is online or, after a start of the server, awaited, and it or the server came back
 *     after the pair's newest round.
 * 2 - That round speaks no longer: its interval is over, and no other has come.
 * 3 - The first round is not overdue: after that, the server says `silent` by itself.
 */
function waiting(
  pair: HeldPair,
  { target, interval_s, server_since }: HeldTarget,
  now: number,
): Waiting | null {
  if (target.is_paused || !['online', 'awaited'].includes(pair.agent.state)) return null
  const backAt = parseTime(pair.agent.since) ?? 0
  const serverAt = parseTime(server_since) ?? 0
  const since = Math.max(backAt, serverAt)
  const lastAt = parseTime(pair.last_round_at)
  const evidenceMs = interval_s * 1000 + ROUND_MS
  if (lastAt !== null && (lastAt >= since || now < lastAt + evidenceMs)) return null
  const dueAt = since + evidenceMs
  return now < dueAt ? { since, dueAt, isOfServer: serverAt > backAt } : null
}

function due(at: number, now: number): string {
  return `within ${Math.max(1, Math.ceil((at - now) / 1000))} s`
}

export function pairWords(pair: HeldPair, status: HeldTarget, now: number, zone: Zone): Words {
  const found = waiting(pair, status, now)
  if (found === null) return { why: pair.why, note: null }
  const at = timeText(found.since, zone, 'time')
  const first = `its first round is due ${due(found.dueAt, now)}`
  if (pair.cause === 'agent_offline' && !found.isOfServer) {
    const word = agentMark(pair.agent.state).word.toLowerCase()
    return { why: `${pair.agent.name} is ${word} again since ${at}; ${first}`, note: null }
  }
  if (pair.last_round_at === null) return { why: pair.why, note: `${first}.` }
  const who = found.isOfServer ? 'the server' : pair.agent.name
  return { why: pair.why, note: `Held from before ${who} came back at ${at}; ${first}.` }
}

/** As [`pairWords`], for all agents together: only if every one of them waits. */
export function consensusWords(status: HeldTarget, now: number, zone: Zone): Words {
  const { consensus, agents } = status
  const held = { why: consensus.why, note: null }
  const all = agents.map((pair) => waiting(pair, status, now))
  const found = all.filter((one) => one !== null)
  if (found.length === 0 || found.length < all.length) return held
  const first = `the first round is due ${due(Math.min(...found.map((one) => one.dueAt)), now)}`
  const at = timeText(Math.min(...found.map((one) => one.since)), zone, 'time')
  if (consensus.cause === 'agent_offline' && found.every((one) => !one.isOfServer)) {
    const names = agents.map((pair) => pair.agent.name).join(', ')
    const verb = agents.length === 1 ? 'is' : 'are'
    return { why: `${names} ${verb} online again since ${at}; ${first}`, note: null }
  }
  if (agents.every((pair) => pair.last_round_at === null)) {
    return { why: consensus.why, note: `${first[0]?.toUpperCase()}${first.slice(1)}.` }
  }
  const who = found.some((one) => one.isOfServer) ? 'the server' : 'its agents'
  return { why: consensus.why, note: `Held from before ${who} came back at ${at}; ${first}.` }
}
