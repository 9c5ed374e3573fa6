/**
 * What the server says happened makes queries old, at most once a second.
 *
 * Events carry ids, not bodies, so nothing shown ever comes from here but freshness. It also says
 * how far this browser's clock is from the server's, so that ages are right on a wrong clock.
 */

import type {
  InfiniteData,
  Query,
  QueryClient,
  QueryFilters,
  QueryKey,
  RefetchOptions,
} from '@tanstack/react-query'

import { type LiveSource, STALE_AFTER_MS, type SourceMessage, openSource } from './liveSource'
import { keys } from './queries'
import { setServerOffset } from './serverTime'
import type { IncidentEvent, Target, TickEvent, TraceEvent, VerdictEvent } from './types'

/** Silence after which the stream is taken for dead and opened anew: TCP may not notice. */
const REOPEN_AFTER_MS = 30_000
/** Pause before a refused stream is asked for again. */
const RETRY_AFTER_MS = 3_000
/** Events within this time make queries old together. */
const FLUSH_MS = 1_000
/**
 * Lists with more pages than this are patched in place; fetching all pages anew would be a storm.
 */
export const REFETCH_PAGES_MAX = 3
/** Whoever shows when something was heard last is told this often that it is still so. */
const TOLD_EVERY_MS = 1_000
/** The map of the past does not change. */
const MAP_NOW = [...keys.map, 'now'] as const
/** What stands at a site that is open beside the map. */
const MAP_TARGETS = [...keys.map, 'targets'] as const
/** A page in the background stops listening after this; the last one ends the connection. */
const HIDDEN_MAX_MS = 2_000

export interface LiveState {
  /** `opening` before the first event; `stale` when nothing was heard for long. */
  status: 'opening' | 'live' | 'stale'
  /** When something was last heard, by this browser's clock. */
  heardAt: number
  /** Add this to the browser's clock to get the server's. */
  offsetMs: number
}

type TargetPages = InfiniteData<{ items: Target[]; next_cursor?: string | null; total: number }>

function isLongList(query: Query): boolean {
  const pages = (query.state.data as Partial<TargetPages> | undefined)?.pages
  return Array.isArray(pages) && pages.length > REFETCH_PAGES_MAX
}

export class Live {
  #state: LiveState = { status: 'opening', heardAt: Date.now(), offsetMs: 0 }
  #listeners = new Set<() => void>()
  #source: LiveSource | null = null
  #old = new Map<string, QueryKey>()
  #flushTimer: number | undefined
  #watchTimer: number | undefined
  #hiddenTimer: number | undefined
  #openedAt = 0
  #toldAt = 0

  constructor(private readonly client: QueryClient) {}

  start(): void {
    if (this.#watchTimer !== undefined) return
    this.#set({ status: 'opening', heardAt: Date.now() })
    this.#open()
    this.#watchTimer = window.setInterval(() => {
      this.#watch()
    }, 1_000)
    document.addEventListener('visibilitychange', this.#onVisibility)
    // A page kept for the back button hears nothing, and must not keep a connection.
    window.addEventListener('pagehide', this.#onHide)
    window.addEventListener('pageshow', this.#onVisibility)
  }

  stop(): void {
    window.clearInterval(this.#watchTimer)
    window.clearTimeout(this.#flushTimer)
    window.clearTimeout(this.#hiddenTimer)
    document.removeEventListener('visibilitychange', this.#onVisibility)
    window.removeEventListener('pagehide', this.#onHide)
    window.removeEventListener('pageshow', this.#onVisibility)
    this.#watchTimer = undefined
    this.#flushTimer = undefined
    this.#close()
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  state = (): LiveState => this.#state

  #open(): void {
    this.#close()
    this.#openedAt = Date.now()
    this.#source = openSource((message) => {
      this.#handle(message)
    })
  }

  #close(): void {
    if (this.#source === null) return
    this.#source.close()
    this.#source = null
  }

  #handle(message: SourceMessage): void {
    if (message.kind === 'refused') return
    if (message.kind === 'open') {
      // A new stream has no Last-Event-ID. What happened since the queries were made is unknown,
      // at the first opening too.
      this.#resync()
      this.#heard()
      return
    }
    const data: unknown = JSON.parse(message.data)
    this.#heard(message.kind === 'tick' ? (data as TickEvent).at : undefined)
    switch (message.kind) {
      case 'verdict': {
        const event = data as VerdictEvent
        if (event.agent === null) this.#patch(event)
        this.#age(keys.target(event.target), keys.overview, MAP_NOW, MAP_TARGETS)
        break
      }
      case 'agent':
        this.#age(keys.agents, keys.overview, keys.health)
        break
      case 'inventory':
        this.#age(
          keys.overview,
          keys.targets,
          keys.tiers,
          keys.agents,
          ['target'],
          MAP_NOW,
          MAP_TARGETS,
          keys.topology,
        )
        break
      case 'incident':
        this.#age(keys.incidents, keys.incident((data as IncidentEvent).incident), MAP_NOW)
        break
      case 'trace':
        this.#age(keys.traces, keys.trace((data as TraceEvent).trace))
        break
      case 'minute':
        this.#age(['target'], keys.health)
        break
      case 'resync':
        this.#resync()
        break
    }
  }

  #resync(): void {
    this.#makeOld({ predicate: (query) => query.queryKey[0] !== keys.session[0] })
  }

  /** Shows a new verdict in the loaded rows at once; short lists are also fetched anew. */
  #patch(event: VerdictEvent): void {
    const patch = (target: Target): Target =>
      target.id === event.target
        ? { ...target, verdict: event.to, since: event.at, why: '' }
        : target
    for (const [queryKey, data] of this.client.getQueriesData<TargetPages>({
      queryKey: [...keys.targets, 'list'],
    })) {
      if (data === undefined) continue
      if (data.pages.length <= REFETCH_PAGES_MAX) {
        this.#age(queryKey)
      } else if (data.pages.some((page) => page.items.some((item) => item.id === event.target))) {
        const pages = data.pages.map((page) => ({ ...page, items: page.items.map(patch) }))
        this.client.setQueryData<TargetPages>(queryKey, { ...data, pages })
      }
    }
    this.#age([...keys.targets, 'trouble'])
  }

  #age(...old: readonly QueryKey[]): void {
    for (const key of old) this.#old.set(JSON.stringify(key), key)
    this.#flushTimer ??= window.setTimeout(() => {
      this.#flushTimer = undefined
      const due = [...this.#old.values()]
      this.#old.clear()
      for (const queryKey of due) {
        // A large map takes longer than the next event: begun anew each time, it would never come.
        this.#makeOld({ queryKey }, { cancelRefetch: queryKey[0] !== keys.map[0] })
      }
    }, FLUSH_MS)
  }

  /**
   * Queries in use are fetched anew, but for long lists: those wait until they are opened again.
   */
  #makeOld(filters: QueryFilters, options: RefetchOptions = {}): void {
    const predicate = (query: Query) => !isLongList(query) && (filters.predicate?.(query) ?? true)
    void this.client.invalidateQueries({ ...filters, refetchType: 'none' })
    void this.client.refetchQueries({ ...filters, predicate, type: 'active' }, options)
  }

  #heard(serverTime?: string): void {
    const now = Date.now()
    const at = serverTime === undefined ? Number.NaN : Date.parse(serverTime)
    const offsetMs = Number.isNaN(at) ? this.#state.offsetMs : at - now
    setServerOffset(offsetMs)
    const isSame = this.#state.status === 'live' && offsetMs === this.#state.offsetMs
    // A hundred events a second are not a hundred pages drawn anew.
    if (isSame && now - this.#toldAt < TOLD_EVERY_MS) {
      this.#state.heardAt = now
      return
    }
    this.#toldAt = now
    this.#set({ status: 'live', heardAt: now, offsetMs })
  }

  #watch(): void {
    const silence = Date.now() - this.#state.heardAt
    if (silence > STALE_AFTER_MS && this.#state.status !== 'stale') this.#set({ status: 'stale' })
    if (document.hidden && this.#source === null) return
    // A refused stream is closed for good by the browser.
    const isDead = this.#source === null || this.#source.isRefused()
    const patience = isDead ? RETRY_AFTER_MS : REOPEN_AFTER_MS
    if (Math.min(silence, Date.now() - this.#openedAt) > patience) this.#open()
  }

  #onHide = (): void => {
    this.#close()
  }

  #onVisibility = (): void => {
    window.clearTimeout(this.#hiddenTimer)
    if (document.hidden) {
      this.#hiddenTimer = window.setTimeout(() => {
        this.#close()
      }, HIDDEN_MAX_MS)
    } else if (this.#source === null && this.#watchTimer !== undefined) {
      this.#open()
    }
  }

  #set(change: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...change }
    for (const listener of this.#listeners) listener()
  }
}
