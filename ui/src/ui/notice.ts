/** The one thing that a person is told beside the page: a command that was refused. */

import { useSyncExternalStore } from 'react'

let notice: string | null = null
const listeners = new Set<() => void>()

export function tell(text: string | null): void {
  notice = text
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Returns what was told last and not put away. */
export function useNotice(): string | null {
  return useSyncExternalStore(subscribe, () => notice)
}
