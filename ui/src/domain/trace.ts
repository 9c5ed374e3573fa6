/** What a trace says, in words. */

import type { Trace, TraceHead, TraceHop, TracedPath } from '../api/types'
import { loss } from './units'

/** One row of the table of hops: an address that answered, or the silence in its place. */
export interface HopRow {
  key: string
  hop: TraceHop
  /** The first row of its hop: it alone says what is of the hop. */
  isFirst: boolean
  answer: TraceHop['answers'][number] | null
}

export function hopRows(hops: readonly TraceHop[]): HopRow[] {
  return hops.flatMap((hop): HopRow[] => {
    const key = `${hop.flow}/${hop.hop}`
    if (hop.answers.length === 0) return [{ key, hop, isFirst: true, answer: null }]
    return hop.answers.map((answer, i) => ({
      key: `${key} ${answer.address}`,
      hop,
      isFirst: i === 0,
      answer,
    }))
  })
}

/** What the losses of a hop mean, and whether they are the path's. */
export function hopWords(hop: TraceHop): { words: string; isBad: boolean } {
  if (hop.refused_code !== null) {
    return { words: `refuses to pass it on (code ${hop.refused_code})`, isBad: true }
  }
  const target = hop.is_target ? 'the target' : ''
  switch (hop.note) {
    case 'rate_limited':
      return { words: 'limits its answers: nothing is lost here', isBad: false }
    case 'silent':
      return { words: 'answers nothing, and passes on', isBad: false }
    case 'lossy':
      return { words: hop.is_target ? 'loses' : 'loses, as all behind it', isBad: true }
    case 'unclear':
      return { words: 'too few packets to say', isBad: false }
    case 'dark':
      return { words: 'no answer, nor from behind', isBad: true }
    case 'waiting':
    case 'clean':
      return { words: target, isBad: false }
  }
}

/** How much of what was sent to a hop is not answered; those under way are not counted. */
export function hopLoss(hop: TraceHop): string {
  return loss(hop.received + hop.lost, hop.received)
}

/** How a trace stands. */
export function traceWords(trace: TraceHead): { words: string; isBad: boolean } {
  const why = trace.reason === '' ? '' : `: ${trace.reason}`
  switch (trace.state) {
    case 'ordered':
    case 'running':
      return { words: 'under way', isBad: false }
    case 'done':
      switch (trace.end) {
        case 'reached':
          return { words: 'the target answers', isBad: false }
        case 'unreachable':
          return { words: `refused on the way${why}`, isBad: true }
        case 'silent':
          return { words: 'the target does not answer', isBad: true }
        case 'not_asked':
          return { words: `nothing could be sent${why}`, isBad: true }
        case null:
          return { words: 'done', isBad: false }
      }
      break
    case 'cancelled':
      return { words: trace.reason === '' ? 'cancelled' : trace.reason, isBad: false }
    case 'expired':
      return { words: `expired${why}`, isBad: true }
    case 'failed':
      return { words: `failed${why}`, isBad: true }
  }
}

/** Whether it can still change. */
export function isUnderWay(trace: Pick<Trace, 'ended_at'>): boolean {
  return trace.ended_at === null
}

/** The hops of a path by what stands there; a hop that nobody answers is a star. */
export function wayWords({ hops }: TracedPath): string {
  const names = hops.map(({ answers }) => {
    const of = answers.map((answer) => answer.element ?? answer.target?.name ?? answer.address)
    return of.length === 0 ? '*' : [...new Set(of)].join('/')
  })
  return names.join(' › ')
}

/** What a path is other in than the one before it. */
export function pathWords({ change, seen_count }: TracedPath): string {
  const at = change.indexOf(' changed ')
  if (0 <= at) return change.slice(at + ' changed '.length)
  return seen_count === 1 ? 'seen once' : `seen ${seen_count} times`
}
