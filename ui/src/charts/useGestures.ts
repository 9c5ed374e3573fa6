/**
 * Pointer, wheel and fingers on an axis of time. It knows pixels and moments; what they lead to is
 * the caller's business.
 *
 * - drag: choose a stretch; shift and drag: move; click: choose a column; double click: back
 * - one finger sideways: move; two fingers: stretch; tap: look at a column
 * - pinch on a pad, or Ctrl and wheel: stretch; wheel sideways, or shift and wheel: move
 */

import {
  type PointerEvent,
  type RefObject,
  useEffect,
  useEffectEvent,
  useRef,
  useState,
} from 'react'

import { type View, moved, settled, zoomed } from '../domain/view'

/** A hand shakes: less than this is a click. */
const DRAG_PX = 5
/** A second click within this makes it a double one. */
const CLICK_MS = 220
/** A wheel that rests this long has arrived. */
const WHEEL_MS = 220
const WHEEL_ZOOM = 0.0025
const WHEEL_LINE_PX = 16

export interface GestureCalls {
  /** A moment to look at; null if the pointer left. */
  onCursor: (at: number | null, isPinned: boolean) => void
  /** A click on a moment. */
  onChoose: (at: number) => void
  /** While it moves: to be drawn, not yet to be asked for. */
  onDraft: (view: View | null) => void
  /** Where it came to rest; `isSame` if it goes on from the rest before. */
  onView: (view: View, isSame: boolean) => void
  onReset: () => void
  now: () => number
}

interface Touch {
  startX: number
  x: number
}

interface Drag {
  kind: 'choose' | 'move' | 'stretch'
  view: View
  isMoved: boolean
}

export function useGestures(
  element: RefObject<HTMLElement | null>,
  view: View,
  calls: GestureCalls,
) {
  const [chosen, setChosen] = useState<View | null>(null)
  const touches = useRef(new Map<number, Touch>())
  const drag = useRef<Drag | null>(null)
  const draft = useRef<View | null>(null)
  const clickTimer = useRef<number | undefined>(undefined)
  const wheelTimer = useRef<number | undefined>(undefined)

  const atOf = (x: number, of: View) => {
    const box = element.current?.getBoundingClientRect()
    if (box === undefined || box.width === 0) return of.from
    return of.from + ((x - box.left) / box.width) * (of.to - of.from)
  }
  const setDraft = (next: View | null) => {
    draft.current = next
    calls.onDraft(next)
  }

  const follow = (of: Drag) => {
    const width = element.current?.getBoundingClientRect().width ?? 1
    const [one, two] = [...touches.current.values()]
    if (one === undefined) return
    if (of.kind === 'choose') {
      const [a, b] = [atOf(one.startX, view), atOf(one.x, view)]
      setChosen({ from: Math.min(a, b), to: Math.max(a, b) })
      return
    }
    let next = of.view
    let shiftPx = one.x - one.startX
    if (two !== undefined) {
      const before = Math.max(Math.abs(one.startX - two.startX), 10)
      const after = Math.max(Math.abs(one.x - two.x), 10)
      next = zoomed(next, atOf((one.startX + two.startX) / 2, of.view), before / after)
      shiftPx = (one.x + two.x - one.startX - two.startX) / 2
    }
    setDraft(moved(next, (-shiftPx / width) * (next.to - next.from), calls.now()))
  }

  const onPointerDown = (event: PointerEvent<HTMLElement>) => {
    if (event.button !== 0) return
    const isTouch = event.pointerType === 'touch'
    event.currentTarget.setPointerCapture(event.pointerId)
    // What was moved so far is where the next finger begins.
    const base = draft.current ?? view
    for (const touch of touches.current.values()) touch.startX = touch.x
    touches.current.set(event.pointerId, { startX: event.clientX, x: event.clientX })
    const kind =
      touches.current.size > 1 ? 'stretch' : isTouch || event.shiftKey ? 'move' : 'choose'
    drag.current = { kind, view: base, isMoved: touches.current.size > 1 }
  }
  const onPointerMove = (event: PointerEvent<HTMLElement>) => {
    const touch = touches.current.get(event.pointerId)
    if (touch === undefined || drag.current === null) {
      if (event.pointerType !== 'touch') calls.onCursor(atOf(event.clientX, view), false)
      return
    }
    touch.x = event.clientX
    drag.current.isMoved ||= Math.abs(touch.x - touch.startX) > DRAG_PX
    if (drag.current.isMoved) follow(drag.current)
  }
  const end = (event: PointerEvent<HTMLElement>, isKept: boolean) => {
    const touch = touches.current.get(event.pointerId)
    const ended = drag.current
    touches.current.delete(event.pointerId)
    if (touch === undefined || ended === null) return
    if (touches.current.size > 0) {
      // Fingers seldom lift together: the one that stays moves what was stretched so far.
      for (const rest of touches.current.values()) rest.startX = rest.x
      drag.current = { kind: 'move', view: draft.current ?? view, isMoved: true }
      return
    }
    drag.current = null
    setChosen(null)
    const rest = draft.current
    setDraft(null)
    if (!isKept) return
    if (!ended.isMoved) {
      const at = atOf(touch.x, view)
      if (event.pointerType === 'touch') calls.onCursor(at, true)
      else {
        window.clearTimeout(clickTimer.current)
        clickTimer.current = window.setTimeout(() => {
          calls.onChoose(at)
        }, CLICK_MS)
      }
    } else if (ended.kind === 'choose') {
      const [a, b] = [atOf(touch.startX, view), atOf(touch.x, view)]
      calls.onView(settled({ from: Math.min(a, b), to: Math.max(a, b) }, calls.now()), false)
    } else if (rest !== null) calls.onView(settled(rest, calls.now()), false)
  }

  const onWheel = useEffectEvent((event: WheelEvent) => {
    const isStretch = event.ctrlKey || event.metaKey
    const line = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? WHEEL_LINE_PX : 1
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)
    // Up and down alone is the page's.
    if (!isStretch && !isSideways) return
    event.preventDefault()
    const of = draft.current ?? view
    const width = element.current?.getBoundingClientRect().width ?? 1
    const sideways = (event.deltaX === 0 ? event.deltaY : event.deltaX) * line
    const next = isStretch
      ? zoomed(of, atOf(event.clientX, of), Math.exp(event.deltaY * line * WHEEL_ZOOM))
      : moved(of, (sideways / width) * (of.to - of.from), calls.now())
    setDraft(next)
    window.clearTimeout(wheelTimer.current)
    wheelTimer.current = window.setTimeout(() => {
      const rest = draft.current
      setDraft(null)
      if (rest !== null) calls.onView(settled(rest, calls.now()), true)
    }, WHEEL_MS)
  })
  useEffect(() => {
    const target = element.current
    if (target === null) return
    // React listens passively, and the page would be zoomed as well.
    target.addEventListener('wheel', onWheel, { passive: false })
    return () => {
      target.removeEventListener('wheel', onWheel)
      window.clearTimeout(clickTimer.current)
      window.clearTimeout(wheelTimer.current)
    }
  }, [element])

  return {
    /** The stretch that is being chosen. */
    chosen,
    handlers: {
      onPointerDown,
      onPointerMove,
      onPointerUp: (event: PointerEvent<HTMLElement>) => {
        end(event, true)
      },
      onPointerCancel: (event: PointerEvent<HTMLElement>) => {
        end(event, false)
      },
      onPointerLeave: (event: PointerEvent<HTMLElement>) => {
        if (event.pointerType !== 'touch' && drag.current === null) calls.onCursor(null, false)
      },
      onDoubleClick: () => {
        window.clearTimeout(clickTimer.current)
        calls.onReset()
      },
    },
  }
}
