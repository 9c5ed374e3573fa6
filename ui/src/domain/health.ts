/** How the server fares, in words and marks. */

import { LEVELS } from './tier'
import { bytes, many } from './units'
import type { Mark } from './verdict'

export type HealthStatus = 'ok' | 'degraded' | 'failing'

export interface HealthMark extends Pick<Mark, 'icon' | 'word'> {
  tone: 'good' | 'warn' | 'bad'
  /** The worst first. */
  order: number
}

export function healthMark(status: HealthStatus): HealthMark {
  switch (status) {
    case 'failing':
      return { word: 'Failing', icon: 'cross', tone: 'bad', order: 0 }
    case 'degraded':
      return { word: 'Needs attention', icon: 'wave', tone: 'warn', order: 1 }
    case 'ok':
      return { word: 'Ok', icon: 'check', tone: 'good', order: 2 }
  }
}

/** A part of what is kept, as an operator calls it. */
export function storageLabel(name: string): string {
  const level = LEVELS.find((known) => known.level === name)
  if (name === 'agent_1h') return 'Hours, each agent'
  if (level !== undefined) return level.label
  switch (name) {
    case 'agent_1d':
      return 'Days, each agent'
    case 'rest':
      return 'Unmerged, free, inventory'
    case 'log':
      return 'Log, until judged'
    default:
      return name
  }
}

/** When the disk is full, in a sentence. */
export function fullInWords(
  full: 'never' | 'later' | 'unknown',
  daysLeft: number,
  freeBytes: number,
): string {
  switch (full) {
    case 'never':
      return `All that is planned fits: ${bytes(freeBytes)} are free now.`
    case 'later':
      return daysLeft < 1
        ? 'The disk is full within a day at the present rate.'
        : `The disk is full after ${many(Math.floor(daysLeft), 'day')} at the present rate.`
    case 'unknown':
      return 'The database is on a disk that this server does not see.'
  }
}

/** What stands above the checks: a server that takes no results says so before all else. */
export function healthWords(health: {
  checks: readonly { status: HealthStatus }[]
  ingest: { is_open: boolean }
}): { title: string; lead: string } {
  const open = health.checks.filter((check) => check.status !== 'ok').length
  if (!health.ingest.is_open) {
    return {
      title: 'No results are taken',
      lead: 'Agents keep theirs and send them later; what is shown gets old until then. ',
    }
  }
  if (open === 0) return { title: 'The monitoring is well', lead: '' }
  return { title: `${many(open, 'check')} need${open === 1 ? 's' : ''} attention`, lead: '' }
}
