/** Maintenance in words: where a window stands, what it covers, when it is open. */

import type { Maintenance, MaintenanceBody, MaintenanceSpan, Occurrence } from '../api/types'
import { parseTime } from './time'
import type { Mark } from './verdict'

export function windowMark({ state }: Pick<Maintenance, 'state'>): Mark {
  switch (state) {
    case 'open':
      return { word: 'Open now', letter: 'M', icon: 'wave', tone: 'warn' }
    case 'planned':
      return { word: 'Planned', letter: 'P', icon: 'hourglass', tone: 'muted' }
    case 'over':
      return { word: 'Over', letter: 'O', icon: 'check', tone: 'muted' }
    case 'cancelled':
      return { word: 'Cancelled', letter: 'C', icon: 'pause', tone: 'muted' }
  }
}

/** What a window covers: `r2, target web1, tag vip`. */
export function coverWords(covers: Maintenance['covers']): string {
  return covers
    .map(({ kind, name }) =>
      kind === 'all' ? 'everything' : kind === 'element' ? name : `${kind} ${name}`,
    )
    .join(', ')
}

/** The occurrence that matters: the open one, else the next, else the last. */
export function occurrenceOf({ open, next, last }: Maintenance): Occurrence | null {
  return open ?? next ?? last
}

/** `2026-03-29T03:30:00+02:00` as `29 Mar 2026 03:30`, by the clock it was told by. */
export function localWords(text: string): string {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d)/.exec(text)
  if (match === null) return text
  const [, year, month, day, time] = match
  const name = MONTHS[Number(month) - 1] ?? ''
  return `${Number(day)} ${name} ${year ?? ''} ${time ?? ''}`
}

const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** The offset of such a text: `UTC+2`. */
export function offsetWords(text: string): string {
  const match = /([+-])(\d\d):(\d\d)(?::\d\d)?$/.exec(text)
  if (match === null) return 'UTC'
  const [, sign, hours, minutes] = match
  const rest = minutes === '00' ? '' : `:${minutes ?? ''}`
  return `UTC${sign === '-' ? '−' : '+'}${Number(hours)}${rest}`
}

/** Both ends by the window's clocks; the day once if it is one. */
export function spanWords({ start_local, end_local }: Occurrence): string {
  const [from, to] = [localWords(start_local), localWords(end_local)]
  const [offset, after] = [offsetWords(start_local), offsetWords(end_local)]
  const isOneDay = from.slice(0, -6) === to.slice(0, -6)
  const before = offset === after ? '' : ` ${offset}`
  return `${from}${before} to ${isOneDay ? to.slice(-5) : to} ${after}`
}

/** What a person enters. */
export interface Plan {
  title: string
  note: string
  elements: string[]
  targets: string[]
  tags: string[]
  isAll: boolean
  /** Clock times of the zone, as an input gives them: `2026-12-06T02:30`. */
  start: string
  end: string
  zone: string
  rule: string
  except: string[]
}

export function bodyOf(plan: Plan): MaintenanceBody {
  const of = (kind: 'element' | 'target' | 'tag', names: string[]) =>
    names.map((name) => ({ kind, name }))
  return {
    title: plan.title.trim(),
    note: plan.note.trim(),
    covers: plan.isAll
      ? [{ kind: 'all', name: '' }]
      : [...of('element', plan.elements), ...of('target', plan.targets), ...of('tag', plan.tags)],
    start: plan.start,
    end: plan.end,
    zone: plan.zone.trim(),
    rule: plan.rule.trim() === '' ? null : plan.rule.trim(),
    except: plan.rule.trim() === '' ? [] : plan.except,
  }
}

/** A moment as an input of the browser's own clock has it. */
export function inputTime(at: number): string {
  const date = new Date(at - new Date(at).getTimezoneOffset() * 60_000)
  return date.toISOString().slice(0, 16)
}

/** Rules that most windows have; any other is typed. */
export const RULES = [
  { value: '', label: 'Once' },
  { value: 'FREQ=DAILY', label: 'Every day' },
  { value: 'FREQ=WEEKLY', label: 'Every week' },
  { value: 'FREQ=WEEKLY;INTERVAL=2', label: 'Every second week' },
  { value: 'FREQ=MONTHLY', label: 'Every month, on that day' },
] as const

/** The part of a shown time that each span covers, of 1, left to right. */
export function laneOf(
  spans: readonly MaintenanceSpan[],
  { from, to }: { from: number; to: number },
): { span: MaintenanceSpan; left: number; width: number }[] {
  return spans.flatMap((span) => {
    const start = Math.max(parseTime(span.start) ?? from, from)
    const end = Math.min(parseTime(span.end) ?? to, to)
    if (end <= start) return []
    return [{ span, left: (start - from) / (to - from), width: (end - start) / (to - from) }]
  })
}
