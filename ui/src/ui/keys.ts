/** The keys that work on every page. Keys of a list live with the list. */

import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useEffect, useEffectEvent } from 'react'

import { sessionQuery } from '../api/queries'
import { NAV, NAV_ADMIN, NAV_DEMO } from '../paths'

/** The second key of `g t` must follow within this. */
const CHORD_MS = 1_200

/** Marks the field that `/` goes to. */
export const SEARCH_FIELD = { 'data-search-field': true } as const

export const KEYS: readonly { keys: readonly string[]; does: string }[] = [
  { keys: ['/'], does: 'search targets' },
  ...NAV.map((entry) => ({ keys: ['g', entry.key], does: `go to ${entry.label}` })),
  { keys: ['j'], does: 'next row' },
  { keys: ['k'], does: 'row before' },
  { keys: ['Enter'], does: 'open the row' },
  { keys: ['a'], does: 'acknowledge the incident of the row' },
  { keys: ['←', '→'], does: 'column before, next column (in a history)' },
  { keys: ['+', '−'], does: 'look closer, wider (in a history)' },
  { keys: ['PgUp', 'PgDn'], does: 'earlier, later (in a history)' },
  { keys: ['0'], does: 'take that back (in a history)' },
  { keys: ['Esc'], does: 'close what is open' },
  { keys: ['?'], does: 'show this' },
]

let chordBegunAt = -CHORD_MS

/** Whether `g` was pressed just before: then a key goes somewhere, and does nothing to a row. */
export function isInChord(event: { timeStamp: number }): boolean {
  return event.timeStamp - chordBegunAt < CHORD_MS
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    target.closest('input, textarea, select, [contenteditable]') !== null
  )
}

export function useKeys(onHelp: () => void): void {
  const navigate = useNavigate()
  const { data: session } = useQuery(sessionQuery)
  const onKey = useEffectEvent((event: KeyboardEvent, chordAt: number): number => {
    if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return 0
    if (document.querySelector('[aria-modal="true"]') !== null) return 0
    if (event.key === 'g') return event.timeStamp
    if (event.timeStamp - chordAt < CHORD_MS) {
      const demo = session?.is_demo === true ? NAV_DEMO : []
      const entry = [...NAV, ...NAV_ADMIN, ...demo].find(({ key }) => key === event.key)
      if (entry !== undefined) void navigate({ to: entry.to })
      return 0
    }
    if (event.key === '?') onHelp()
    if (event.key === '/') {
      event.preventDefault()
      void focusSearch(() => navigate({ to: '/targets' }))
    }
    if (event.key === 'j' && document.activeElement === document.body) {
      document.querySelector<HTMLElement>('#content [data-row]')?.focus()
    }
    return 0
  })
  useEffect(() => {
    let chordAt = -CHORD_MS
    const listener = (event: KeyboardEvent) => {
      chordAt = onKey(event, chordAt) || -CHORD_MS
      chordBegunAt = chordAt
    }
    document.addEventListener('keydown', listener)
    return () => {
      document.removeEventListener('keydown', listener)
    }
  }, [])
}

async function focusSearch(goToTargets: () => Promise<void>): Promise<void> {
  const field = () => document.querySelector<HTMLInputElement>('[data-search-field]')
  if (field() === null) await goToTargets()
  requestAnimationFrame(() => {
    field()?.focus()
    field()?.select()
  })
}
