/** How the server fares, in words and marks. */

import { many } from './units'
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
