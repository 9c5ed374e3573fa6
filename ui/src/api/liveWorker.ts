/**
 * Holds the one event stream of all pages of this browser, as long as any of them listens.
 *
 * It passes on what it hears and keeps nothing: what an event means is each page's business.
 */

import {
  LIVE_URL,
  type PageMessage,
  STALE_AFTER_MS,
  type SourceMessage,
  listen,
} from './liveSource'

/** A page that finds its events silent opens anew; the others must not pay for each such page. */
const REOPEN_PAUSE_MS = 2_000

const ports = new Set<MessagePort>()
let source: EventSource | null = null
let openedAt = 0
let heardAt = 0

function tell(message: SourceMessage): void {
  heardAt = Date.now()
  for (const port of ports) port.postMessage(message)
}

function open(): void {
  source?.close()
  source = new EventSource(LIVE_URL)
  openedAt = Date.now()
  listen(source, tell)
}

function handle(port: MessagePort, message: PageMessage): void {
  if (message === 'close') {
    ports.delete(port)
    port.close()
    if (ports.size === 0) {
      source?.close()
      source = null
    }
    return
  }
  ports.add(port)
  const now = Date.now()
  const isHeard = source?.readyState === EventSource.OPEN && now - heardAt < STALE_AFTER_MS
  const say = (told: SourceMessage) => {
    port.postMessage(told)
  }
  if (isHeard) say({ kind: 'open' })
  else if (source === null || now - openedAt > REOPEN_PAUSE_MS) open()
  else if (source.readyState === EventSource.CLOSED) say({ kind: 'refused' })
  // Else it is being opened, and every page will be told.
}

/** The scope of a shared worker, as far as it is used here. */
interface SharedScope {
  onconnect: ((event: MessageEvent) => void) | null
}

const scope = globalThis as unknown as SharedScope
scope.onconnect = ({ ports: [port] }) => {
  if (port === undefined) return
  port.onmessage = ({ data }: MessageEvent<PageMessage>) => {
    handle(port, data)
  }
}
