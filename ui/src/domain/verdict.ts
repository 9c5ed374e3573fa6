/**
 * What is held to be true of a probe or of an agent, and how it is shown.
 *
 * `verdictMark` and `agentMark` are the only homes of colour, icon, letter and word.
 * They never say it by colour alone: every tone has its own shape and its own word.
 */

export type Verdict = 'up' | 'degraded' | 'down' | 'unknown'

export type AgentState = 'never_seen' | 'online' | 'offline' | 'blind' | 'awaited'

/** `muted` is drawn grey and hatched: it is neither health nor failure. */
export type Tone = 'good' | 'warn' | 'bad' | 'muted'

export type Icon =
  | 'check'
  | 'wave'
  | 'cross'
  | 'question'
  | 'pause'
  | 'eye-off'
  | 'plug'
  | 'hourglass'
  | 'octagon'
  | 'triangle'
  | 'shield'

export interface Mark {
  word: string
  /** Where there is room for one character only. */
  letter: string
  icon: Icon
  tone: Tone
}

/** Worst first: the order in which people want to read them. */
export const VERDICTS: readonly Verdict[] = ['down', 'degraded', 'unknown', 'up']

export function verdictMark(verdict: Verdict, isPaused = false): Mark {
  if (isPaused) return { word: 'Paused', letter: 'P', icon: 'pause', tone: 'muted' }
  switch (verdict) {
    case 'up':
      return { word: 'Up', letter: 'U', icon: 'check', tone: 'good' }
    case 'degraded':
      return { word: 'Degraded', letter: '~', icon: 'wave', tone: 'warn' }
    case 'down':
      return { word: 'Down', letter: 'D', icon: 'cross', tone: 'bad' }
    case 'unknown':
      return { word: 'Unknown', letter: '?', icon: 'question', tone: 'muted' }
  }
}

export function agentMark(state: AgentState, isPaused = false): Mark {
  if (isPaused) return { word: 'Paused', letter: 'P', icon: 'pause', tone: 'muted' }
  switch (state) {
    case 'online':
      return { word: 'Online', letter: 'O', icon: 'check', tone: 'good' }
    case 'blind':
      return { word: 'Blind', letter: 'B', icon: 'eye-off', tone: 'warn' }
    case 'offline':
      return { word: 'Offline', letter: 'X', icon: 'plug', tone: 'bad' }
    case 'awaited':
      return { word: 'Awaited', letter: 'A', icon: 'question', tone: 'muted' }
    case 'never_seen':
      return { word: 'Never seen', letter: 'N', icon: 'hourglass', tone: 'muted' }
  }
}

export function isVerdict(text: string): text is Verdict {
  return (VERDICTS as readonly string[]).includes(text)
}

export function isAgentState(text: string): text is AgentState {
  return ['never_seen', 'online', 'offline', 'blind', 'awaited'].includes(text)
}

/** Returns the mark of either end of a change, whose kind says which vocabulary it uses. */
export function changeMark(kind: string, state: string): Mark {
  if (kind === 'agent' && isAgentState(state)) return agentMark(state)
  return verdictMark(isVerdict(state) ? state : 'unknown')
}
