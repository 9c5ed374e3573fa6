/**
 * Where the events come from: one connection for all pages of this browser, or the page's own.
 *
 * A browser opens six connections to a host. A wall of seven windows that each hold one for events
 * would leave none for what they show, so a shared worker holds one for all of them; where there is
 * no shared worker (old phones) each page has its own.
 */

export const EVENT_KINDS = [
  'verdict',
  'agent',
  'inventory',
  'incident',
  'trace',
  'minute',
  'tick',
  'resync',
] as const

/**
 * Silence after which a stream is not live any more. The server sends a tick well below this.
 */
export const STALE_AFTER_MS = 15_000

export const LIVE_URL = '/api/v1/live'

/** What the source says; the data of an event is its JSON text. */
export type SourceMessage = { kind: 'open' } | { kind: 'refused' } | SourceEvent

export interface SourceEvent {
  kind: (typeof EVENT_KINDS)[number]
  data: string
}

/** What a page asks of the worker. */
export type PageMessage = 'open' | 'close'

export interface LiveSource {
  /** It was refused for good, as by a session that ended: it must be opened anew. */
  isRefused: () => boolean
  close: () => void
}

/** Opens the events; `hear` gets `open` first, also on a connection that others opened. */
export function openSource(hear: (message: SourceMessage) => void): LiveSource {
  return typeof SharedWorker === 'undefined' ? ownSource(hear) : sharedSource(hear)
}

/** Listens on one connection. */
export function listen(source: EventSource, hear: (message: SourceMessage) => void): void {
  source.onopen = () => {
    hear({ kind: 'open' })
  }
  source.onerror = () => {
    // Anything else the browser mends by itself.
    if (source.readyState === EventSource.CLOSED) hear({ kind: 'refused' })
  }
  for (const kind of EVENT_KINDS) {
    source.addEventListener(kind, (message: MessageEvent<string>) => {
      hear({ kind, data: message.data })
    })
  }
}

function ownSource(hear: (message: SourceMessage) => void): LiveSource {
  const source = new EventSource(LIVE_URL)
  listen(source, hear)
  return {
    isRefused: () => source.readyState === EventSource.CLOSED,
    close: () => {
      source.close()
    },
  }
}

function sharedSource(hear: (message: SourceMessage) => void): LiveSource {
  const worker = new SharedWorker(new URL('./liveWorker.ts', import.meta.url), {
    type: 'module',
    name: 'faultline-live',
  })
  let isRefused = false
  let isClosed = false
  worker.onerror = () => {
    isRefused = true
  }
  worker.port.onmessage = ({ data }: MessageEvent<SourceMessage>) => {
    if (isClosed) return
    isRefused = data.kind === 'refused'
    hear(data)
  }
  const ask = (message: PageMessage) => {
    worker.port.postMessage(message)
  }
  ask('open')
  return {
    isRefused: () => isRefused,
    close: () => {
      isClosed = true
      ask('close')
      worker.port.close()
    },
  }
}
