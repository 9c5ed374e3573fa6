/** The shown span of a target's page: what the address says, and how the address is changed. */

import { useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback, useMemo } from 'react'

import { MINUTE_MS } from '../../domain/time'
import { RANGES_MS, type Range, type View } from '../../domain/view'
import { useMinute } from '../../ui/clock'

export interface Span {
  view: View
  /** The span that is named, if it is shown as it is. */
  range: Range | null
  /** It ends now, and goes on. */
  isLive: boolean
  /** Shows another stretch; `isSame` if it goes on from the last one, for the way back. */
  show: (view: View, isSame?: boolean) => void
  /** Shows the last so long. */
  showLast: (range: Range) => void
  /** Takes back all moving and stretching. */
  reset: () => void
}

const asText = (at: number) => new Date(at).toISOString().replace('.000', '')

export function useSpan(): Span {
  const { from, to, range = '1h' } = useSearch({ from: '/inside/targets/$id' })
  const navigate = useNavigate()
  const minute = useMinute()
  const end = to === undefined ? minute + MINUTE_MS : Date.parse(to)
  const begin = from === undefined ? end - RANGES_MS[range] : Date.parse(from)
  const view = useMemo(() => ({ from: Math.min(begin, end - MINUTE_MS), to: end }), [begin, end])
  const go = useCallback(
    (next: { range?: Range; from?: string; to?: string }, replace: boolean) => {
      void navigate({
        to: '.',
        search: (old) => ({ ...old, minute: undefined, from: undefined, to: undefined, ...next }),
        replace,
        resetScroll: false,
      })
    },
    [navigate],
  )
  return {
    view,
    range: from === undefined ? range : null,
    isLive: to === undefined,
    show: (next, isSame = false) => {
      const isNow = next.to >= minute + MINUTE_MS
      const isNamed = from === undefined && next.to - next.from === RANGES_MS[range]
      // At the present with a named length it is that named span again, and goes on.
      if (isNow && isNamed) go({}, isSame)
      else go({ from: asText(next.from), to: asText(next.to) }, isSame)
    },
    showLast: (next) => {
      go({ range: next === '1h' ? undefined : next }, false)
    },
    reset: () => {
      go({}, false)
    },
  }
}
