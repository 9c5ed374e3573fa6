/** The server's time, once a second, and the zone in which times are shown. */

import { createContext, use, useCallback, useSyncExternalStore } from 'react'

import { Live, type LiveState } from '../api/live'
import { type Zone, bareTime, minuteOf, timeText } from '../domain/time'

export const LiveContext = createContext<Live | null>(null)

export function useLive(): LiveState {
  const live = use(LiveContext)
  if (live === null) throw new Error('LiveContext is missing')
  return useSyncExternalStore(live.subscribe, live.state)
}

const STEP_MS = 1_000

function subscribeSecond(listener: () => void): () => void {
  const timer = window.setInterval(listener, STEP_MS)
  return () => {
    window.clearInterval(timer)
  }
}

const readSecond = () => Math.floor(Date.now() / STEP_MS) * STEP_MS

/** Returns the server's time as well as this browser knows it, to the second. */
export function useNow(): number {
  const { offsetMs } = useLive()
  return useSyncExternalStore(subscribeSecond, readSecond) + offsetMs
}

/**
 * Returns the start of the server's minute under way: it changes once a minute, not every second.
 */
export function useMinute(): number {
  const { offsetMs } = useLive()
  return useSyncExternalStore(subscribeSecond, () => minuteOf(Date.now() + offsetMs))
}

const STORED = 'faultline-zone'
const zoneListeners = new Set<() => void>()

function readZone(): Zone {
  return localStorage.getItem(STORED) === 'local' ? 'local' : 'utc'
}

export function useZone(): [Zone, (zone: Zone) => void] {
  const subscribe = useCallback((listener: () => void) => {
    zoneListeners.add(listener)
    return () => zoneListeners.delete(listener)
  }, [])
  const zone = useSyncExternalStore(subscribe, readZone)
  const choose = useCallback((next: Zone) => {
    localStorage.setItem(STORED, next)
    for (const listener of zoneListeners) listener()
  }, [])
  return [zone, choose]
}

/** Returns the formatters of the chosen zone. */
export function useTimeText() {
  const [zone] = useZone()
  return {
    zone,
    text: (at: number, style: Parameters<typeof timeText>[2]) => timeText(at, zone, style),
    bare: (at: number, style: Parameters<typeof bareTime>[2]) => bareTime(at, zone, style),
  }
}
