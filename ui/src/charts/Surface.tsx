/**
 * What lies over strips, chart and loss alike: the cursor that they share, and all that moves the
 * shown time. For the keyboard and for ears it is a slider whose value is what the column says.
 */

import { type KeyboardEvent, useRef } from 'react'

import { type View, moved, settled, zoomed } from '../domain/view'
import css from './Surface.module.css'
import { type GestureCalls, useGestures } from './useGestures'

interface Props extends GestureCalls {
  view: View
  /** The length of a column. */
  stepMs: number
  /** The column looked at: its start; null if none is. */
  cursor: number | null
  /** What that column says. */
  words: string
  /** The start of the minute that is open beside the chart. */
  opened: number | null
  gutterPx: number
}

const FAR = 10

export function Surface(props: Props) {
  const { view, stepMs, cursor, words, opened, gutterPx } = props
  const { onCursor, onChoose, onView, onReset, now } = props
  const element = useRef<HTMLDivElement>(null)
  const { chosen, handlers } = useGestures(element, view, props)
  const length = view.to - view.from
  const first = Math.floor(view.from / stepMs)
  const last = Math.min(Math.ceil(view.to / stepMs) - 1, Math.floor(now() / stepMs))
  const column = cursor === null ? last : Math.floor(cursor / stepMs)
  const middle = (column + 0.5) * stepMs
  // Of the columns at both ends a part is shown, and their middle may lie outside.
  const shown = (at: number) => Math.min(Math.max(at, view.from), view.to - 1)

  const look = (next: number) => {
    onCursor(shown((Math.min(Math.max(next, first), last) + 0.5) * stepMs), true)
  }
  const stretch = (factor: number) => {
    onView(settled(zoomed(view, cursor === null ? view.to : middle, factor), now()), true)
  }
  const move = (part: number) => {
    onView(settled(moved(view, length * part, now()), now()), true)
  }
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return
    const step = event.shiftKey ? FAR : 1
    const acts: Record<string, () => void> = {
      ArrowLeft: () => look(column - step),
      ArrowDown: () => look(column - step),
      ArrowRight: () => look(column + step),
      ArrowUp: () => look(column + step),
      Home: () => look(first),
      End: () => look(last),
      PageUp: () => move(-0.5),
      PageDown: () => move(0.5),
      '+': () => stretch(0.5),
      '=': () => stretch(0.5),
      '-': () => stretch(2),
      '0': onReset,
      Enter: () => onChoose(middle),
      ' ': () => onChoose(middle),
      Escape: () => onCursor(null, false),
    }
    const act = acts[event.key]
    if (act === undefined) return
    event.preventDefault()
    act()
  }
  const left = (at: number) => `${((at - view.from) / length) * 100}%`
  return (
    <div
      ref={element}
      className={css.surface}
      style={{ left: gutterPx }}
      role="slider"
      tabIndex={0}
      aria-label="Moment"
      aria-valuemin={first}
      aria-valuemax={Math.max(first, last)}
      aria-valuenow={Math.min(Math.max(column, first), Math.max(first, last))}
      aria-valuetext={words}
      aria-keyshortcuts="+ - 0 PageUp PageDown Enter"
      onKeyDown={onKeyDown}
      {...handlers}
    >
      {opened !== null && view.from <= opened && opened < view.to && (
        <span
          className={css.opened}
          style={{ left: left(opened), width: `${(60_000 / length) * 100}%` }}
        />
      )}
      {cursor !== null && first <= column && column * stepMs < view.to && (
        <span className={css.cursor} style={{ left: left(shown(middle)) }} />
      )}
      {chosen !== null && (
        <span
          className={css.chosen}
          style={{
            left: left(Math.max(chosen.from, view.from)),
            width: `${((Math.min(chosen.to, view.to) - Math.max(chosen.from, view.from)) / length) * 100}%`,
          }}
        />
      )}
    </div>
  )
}
