/** What the address of the map says. */

import { type Verdict, isVerdict } from './verdict'

export interface MapSearch {
  /** The incident that is looked at: what it does not concern is faint. */
  incident?: number
  tag?: string
  role?: string
  state?: Verdict
  /** The site, or the two sites of a bundle, whose panel is open. */
  site?: string
  /** The moment that is shown; now, if left out. */
  at?: string
  view?: 'table'
  /** Of the table: links instead of sites. */
  of?: 'links'
}

export function parseMapSearch(search: Record<string, unknown>): MapSearch {
  const text = (key: string) => {
    const value = search[key]
    // What was read once is read again: numbers, too.
    if (typeof value === 'number') return String(value)
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const incident = text('incident')
  const state = text('state')
  const at = Date.parse(text('at') ?? '')
  return {
    incident: incident !== undefined && /^\d{1,9}$/.test(incident) ? Number(incident) : undefined,
    tag: text('tag'),
    role: text('role'),
    state: state !== undefined && isVerdict(state) ? state : undefined,
    site: text('site'),
    at: Number.isNaN(at) ? undefined : new Date(at).toISOString().replace('.000', ''),
    view: search['view'] === 'table' ? 'table' : undefined,
    of: search['of'] === 'links' ? 'links' : undefined,
  }
}
