/** What incidents are, in words and marks, and the filters of their list as in the URL. */

import type { Incident, IncidentDetail, IncidentEntry } from '../api/types'
import { hitSentence, namesOf, percent } from './diagnosis'
import { type Zone, parseTime, timeText } from './time'
import { duration, many } from './units'
import type { Mark } from './verdict'

export type Severity = Incident['severity']
export type IncidentState = Incident['state']
export type CauseCode = NonNullable<Incident['close_code']>

/** Worst first. */
export const SEVERITIES: readonly Severity[] = ['critical', 'major', 'minor', 'warning']

export function severityMark(severity: Severity): Mark {
  switch (severity) {
    case 'critical':
      return { word: 'Critical', letter: 'C', icon: 'octagon', tone: 'bad' }
    case 'major':
      return { word: 'Major', letter: 'M', icon: 'triangle', tone: 'bad' }
    case 'minor':
      return { word: 'Minor', letter: 'm', icon: 'wave', tone: 'warn' }
    case 'warning':
      return { word: 'Warning', letter: 'W', icon: 'shield', tone: 'warn' }
  }
}

/** Where it stands; what nobody looks at yet is the loudest. */
export function stateMark({
  state,
  acknowledged_by,
}: Pick<Incident, 'state' | 'acknowledged_by'>): Mark {
  switch (state) {
    case 'open':
      return acknowledged_by === null
        ? { word: 'Open', letter: 'O', icon: 'cross', tone: 'bad' }
        : { word: 'Acknowledged', letter: 'A', icon: 'hourglass', tone: 'warn' }
    case 'resolved':
      return { word: 'Resolved', letter: 'R', icon: 'check', tone: 'good' }
    case 'closed':
      return { word: 'Closed', letter: 'X', icon: 'pause', tone: 'muted' }
  }
}

/** What somebody who closes one can say that it was. */
export const CAUSE_CODES: readonly { value: CauseCode; label: string }[] = [
  { value: 'line', label: 'Line: cable, fibre or radio path' },
  { value: 'hardware', label: 'Hardware: a device or a part of one' },
  { value: 'power', label: 'Power' },
  { value: 'software', label: 'Software' },
  { value: 'configuration', label: 'Configuration: somebody changed something' },
  { value: 'overload', label: 'Overload' },
  { value: 'third_party', label: 'Third party: a transit, a carrier, a landlord' },
  { value: 'maintenance', label: 'Maintenance: planned work' },
  { value: 'false_alarm', label: 'False alarm: there was nothing' },
  { value: 'unknown', label: 'Unknown' },
]

export function causeWords(code: CauseCode): string {
  return code.replace('_', ' ')
}

/** When it began, as well as it is known: the first symptom. */
export function beganAt(incident: Pick<Incident, 'onset_until'>): number {
  return parseTime(incident.onset_until) ?? 0
}

/** When it was over: seen to be, or said to be. Null while it is open. */
export function endedAt(
  incident: Pick<Incident, 'state' | 'resolved_at' | 'closed_at'>,
): number | null {
  if (incident.state === 'open') return null
  return parseTime(incident.resolved_at) ?? parseTime(incident.closed_at)
}

/** What it hit when it hit most: at its end it hits nobody. */
export function worstImpact(
  incident: Pick<IncidentDetail, 'impact'>,
  beliefs: readonly Pick<IncidentDetail, 'impact'>[],
): IncidentDetail['impact'] {
  return [incident, ...beliefs]
    .map(({ impact }) => impact)
    .reduce((worst, impact) =>
      impact.targets_down > worst.targets_down ||
      (impact.targets_down === worst.targets_down &&
        impact.targets_degraded > worst.targets_degraded)
        ? impact
        : worst,
    )
}

/** Whom a row of the list says that it hits; nothing of one that is over, which hits nobody. */
export function hitWords(
  incident: Pick<Incident, 'is_seen' | 'targets_down' | 'targets_degraded'>,
): string {
  if (!incident.is_seen) return ''
  const parts = []
  if (incident.targets_down > 0) parts.push(`${many(incident.targets_down, 'target')} down`)
  if (incident.targets_degraded > 0) {
    parts.push(`${many(incident.targets_degraded, 'target')} degraded`)
  }
  return ` · ${parts.length === 0 ? 'nobody cut off' : parts.join(', ')}`
}

/** The sentence without what stands beside it: since when, and how surely. */
export function headline(sentence: string): string {
  return sentence
    .replace(/\s*\(probability [^)]*\)/, '')
    .replace(/,? since \d\d:\d\d:\d\d/, '')
    .replace(/,? from \d\d:\d\d:\d\d until \d\d:\d\d:\d\d/, '')
    .trim()
}

/** Who did what, as the timeline says it. */
export function entryWords({ kind, actor, note }: IncidentEntry): string {
  const who = actor ?? 'Faultline'
  switch (kind) {
    case 'opened':
      return 'Opened'
    case 'revised':
      return 'Revised'
    case 'cause_changed':
      return 'Another cause'
    case 'merged':
      return 'Merged'
    case 'resolved':
      return 'All clear'
    case 'reopened':
      return actor === null ? 'It is back' : `${who} reopened it`
    case 'acknowledged':
      return `${who} acknowledged it`
    case 'unacknowledged':
      return `${who} took the acknowledgement back`
    case 'assigned':
      return `${who} assigned it ${note}`
    case 'commented':
      return `${who} wrote`
    case 'closed':
      return `${who} closed it`
    case 'not_back':
      return 'Not back after maintenance'
    case 'traced':
      return 'Traced'
    case 'path_changed':
      return 'Another path'
  }
}

/** What is told beside those words. */
export function entryNote(entry: IncidentEntry): string {
  return entry.kind === 'assigned' ? '' : entry.note
}

export type EntryTone = 'bad' | 'warn' | 'good' | 'muted' | 'person'

export function entryTone({ kind, actor }: IncidentEntry): EntryTone {
  if (kind === 'resolved' || kind === 'merged') return 'good'
  if (actor !== null) return 'person'
  if (kind === 'opened' || kind === 'reopened' || kind === 'not_back') return 'bad'
  return kind === 'cause_changed' ? 'warn' : 'muted'
}

/** All that a ticket needs, as plain text. */
export function incidentText(incident: IncidentDetail, url: string, zone: Zone): string {
  const time = (at: string | null) => {
    const moment = parseTime(at)
    return moment === null ? '–' : timeText(moment, zone, 'moment')
  }
  const [first, ...others] = incident.causes
  const lines = [
    `#${incident.id} ${severityMark(incident.severity).word}: ${incident.sentence}`,
    `State: ${stateMark(incident).word.toLowerCase()}${incident.owner === null ? '' : `, ${incident.owner} works on it`}`,
    `Began: ${time(incident.onset_until)}`,
    ...(incident.resolved_at === null ? [] : [`Over: ${time(incident.resolved_at)}`]),
    `Impact: ${hitSentence(incident.impact)}`,
  ]
  if (first !== undefined) {
    lines.push(
      `Likely cause: ${namesOf(first.elements)} ${first.mode.replace('_', ' ')} (${percent(first.probability)})`,
      ...first.evidence.map((piece) => `  ${piece.supports ? '+' : '-'} ${piece.text}`),
    )
  }
  for (const other of others) {
    lines.push(
      `or: ${namesOf(other.elements)} ${other.mode.replace('_', ' ')} (${percent(other.probability)})`,
    )
  }
  if (incident.next_steps.length > 0) {
    lines.push('Next steps:', ...incident.next_steps.map((step, at) => `  ${at + 1}. ${step}`))
  }
  lines.push(
    'Timeline:',
    ...incident.timeline
      .filter((entry) => entry.kind !== 'revised')
      .map((entry) => {
        const note = entryNote(entry)
        return `  ${time(entry.at)}  ${entryWords(entry)}${note === '' ? '' : `: ${note}`}`
      }),
    url,
  )
  return lines.join('\n')
}

/** How long it lasted, or lasts. */
export function lasted(incident: Incident, now: number): string {
  return duration((endedAt(incident) ?? now) - beganAt(incident))
}

export const INCIDENT_SORTS = ['-opened', 'severity', 'impact', 'opened'] as const
export type IncidentSort = (typeof INCIDENT_SORTS)[number]

/** How far back a list looks. */
export const WITHIN = ['1d', '7d', '30d', '365d'] as const
export type Within = (typeof WITHIN)[number]

/** Which incidents: open ones if nothing is said. */
export interface IncidentFilter {
  show?: 'all' | 'over'
  /** Severities joined by commas, worst first. */
  severity?: string
  q?: string
  /** A user's name; `-` for nobody. */
  owner?: string
  within?: Within
  sort?: IncidentSort
  /** An element or a target that it named. */
  element?: string
  target?: string
}

export function parseIncidentFilter(search: Record<string, unknown>): IncidentFilter {
  const text = (key: string) => {
    const value = search[key]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const severities = splitSeverities(text('severity'))
  const sort = INCIDENT_SORTS.find((known) => known === search['sort'])
  return {
    show: (['all', 'over'] as const).find((known) => known === search['show']),
    severity: severities.length === 0 ? undefined : severities.join(','),
    q: text('q'),
    owner: text('owner'),
    within: WITHIN.find((known) => known === search['within']),
    sort: sort === '-opened' ? undefined : sort,
    element: text('element'),
    target: text('target'),
  }
}

/** Returns the severities a filter names, worst first; what is none is dropped. */
export function splitSeverities(text: string | undefined): Severity[] {
  const named = (text ?? '').split(',')
  return SEVERITIES.filter((severity) => named.includes(severity))
}

export function toggleSeverity(text: string | undefined, severity: Severity): string | undefined {
  const now = splitSeverities(text)
  const next = SEVERITIES.filter((one) => now.includes(one) !== (one === severity))
  return next.length === 0 ? undefined : next.join(',')
}

/** Whether it leaves any out beside those that are over. */
export function isIncidentFiltered({ sort: _, show: __, ...filter }: IncidentFilter): boolean {
  return Object.values(filter).some((part) => part !== undefined)
}

const DAY_MS = 86_400_000

/** The same as the API asks for it. */
export function incidentParams(filter: IncidentFilter, now: number) {
  const { show, within, ...rest } = filter
  const days = within === undefined ? null : Number.parseInt(within, 10)
  return {
    ...rest,
    state: show === 'all' ? undefined : show === 'over' ? 'resolved,closed' : 'open',
    since: days === null ? undefined : new Date(now - days * DAY_MS).toISOString(),
  }
}
