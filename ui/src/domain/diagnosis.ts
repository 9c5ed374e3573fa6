/** What a diagnosis says, in words. */

import type { DiagnosisImpact } from '../api/types'
import { count, many } from './units'

/** Names in one sentence; the others are a number. */
const NAMES_MAX = 6

/** `a, b, c and 4 more`. */
export function namesOf(names: string[]): string {
  const said = names.slice(0, NAMES_MAX).join(', ')
  const more = names.length - NAMES_MAX
  return more > 0 ? `${said} and ${count(more)} more` : said
}

/** A probability as people say it: never more sure than the judgement is. */
export function percent(probability: number): string {
  return `${(Math.floor(probability * 1000) / 10).toFixed(1)} %`
}

/** Whom it hits, in one sentence or two. */
export function hitSentence(impact: DiagnosisImpact): string {
  const parts = []
  if (impact.targets_down > 0) parts.push(`${many(impact.targets_down, 'target')} down`)
  if (impact.targets_degraded > 0) {
    parts.push(`${many(impact.targets_degraded, 'target')} degraded`)
  }
  if (impact.devices_total > 0) {
    parts.push(`${many(impact.devices_total, 'device')} down or cut off`)
  }
  if (impact.customers > 0) parts.push(`${many(impact.customers, 'customer')} behind them`)
  const hits = parts.length > 0 ? `Hits ${parts.join(', ')}.` : 'Nobody is cut off.'
  const exposed = impact.devices_exposed_total
  const next = exposed > 0 ? ` One failure more cuts off ${many(exposed, 'device')}.` : ''
  return `${hits}${next}`
}
