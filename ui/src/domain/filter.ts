/** The filters of the target list, as they stand in the URL. */

import { VERDICTS, isVerdict, type Verdict } from './verdict'

export const SORTS = ['name', '-name', 'verdict', 'since', 'address'] as const
export type Sort = (typeof SORTS)[number]

export interface TargetFilter {
  q?: string
  /** Verdicts joined by commas, worst first. */
  verdict?: string
  /** A tier's id. */
  tier?: string
  tag?: string
  sort?: Sort
}

export function parseFilter(search: Record<string, unknown>): TargetFilter {
  const text = (key: string) => {
    const value = search[key]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const sort = SORTS.find((s) => s === search['sort'])
  const verdicts = splitVerdicts(text('verdict'))
  return {
    q: text('q'),
    verdict: verdicts.length === 0 ? undefined : verdicts.join(','),
    tier: text('tier'),
    tag: text('tag'),
    sort: sort === 'name' ? undefined : sort,
  }
}

/** Returns the verdicts a filter names, worst first; what is none is dropped. */
export function splitVerdicts(text: string | undefined): Verdict[] {
  const named = (text ?? '').split(',').filter(isVerdict)
  return VERDICTS.filter((verdict) => named.includes(verdict))
}

/** Adds or takes one verdict. */
export function toggleVerdict(text: string | undefined, verdict: Verdict): string | undefined {
  const now = splitVerdicts(text)
  const next = now.includes(verdict) ? now.filter((v) => v !== verdict) : [...now, verdict]
  return next.length === 0 ? undefined : VERDICTS.filter((v) => next.includes(v)).join(',')
}

export function isFiltered(filter: TargetFilter): boolean {
  return [filter.q, filter.verdict, filter.tier, filter.tag].some((part) => part !== undefined)
}
