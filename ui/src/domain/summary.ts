/** The state of the whole fleet in one sentence: what a wall says to a room. */

import { count, many } from './units'

export interface TargetCounts {
  total: number
  up: number
  degraded: number
  down: number
  unknown: number
  paused: number
}

/** Judging this far behind is no longer live, and is said. */
const LAG_SHOWN_S = 2

/** What a page must say before its verdicts are believed; empty if they are live. */
export function intakeSentence(overview: {
  is_intake_open: boolean
  ingest_lag_s: number
}): string {
  if (!overview.is_intake_open) return 'No results are taken now: the Health page says why. '
  if (overview.ingest_lag_s < LAG_SHOWN_S) return ''
  return `Judging is ${count(overview.ingest_lag_s)} s behind. `
}

export function fleetSentence(targets: TargetCounts): string {
  if (targets.total === 0) return 'Nothing is watched yet.'
  const bad = [
    targets.down > 0 && `${count(targets.down)} down`,
    targets.degraded > 0 && `${count(targets.degraded)} degraded`,
    targets.unknown > 0 && `${count(targets.unknown)} unknown`,
  ].filter((part) => part !== false)
  const watched = targets.total - targets.paused
  if (watched === 0) return `All ${many(targets.total, 'target')} are paused.`
  if (bad.length === 0)
    return watched === 1 ? 'The one target is up.' : `All ${count(watched)} targets are up.`
  return `${bad.join(', ')} of ${many(targets.total, 'target')}.`
}
