/** The name of a row of state, which also shows and hides its line in the chart. */

import { useNavigate } from '@tanstack/react-router'

import { type LineStyle, traceShape } from '../../charts/lines'
import type { Series } from './lines'
import css from './TimePanel.module.css'

export function RowLabel({ series, all }: { series: Series; all: readonly Series[] }) {
  const navigate = useNavigate()
  const { id, name, isChosen, style } = series
  const toggle = () => {
    const next = all.filter((one) => (one.id === id ? !isChosen : one.isChosen))
    void navigate({
      to: '.',
      // Without any line there would be no chart: the last one stays.
      search: (old) => ({
        ...old,
        lines: next.length === 0 ? id : next.map((one) => one.id).join(','),
      }),
      replace: true,
      resetScroll: false,
    })
  }
  return (
    <button
      type="button"
      className={css.rowLabel}
      aria-pressed={isChosen}
      title={`${isChosen ? 'Hide' : 'Show'} the round-trip times of ${name}`}
      onClick={toggle}
    >
      <Swatch style={style} isShown={isChosen} />
      <span>{name}</span>
    </button>
  )
}

/** A piece of the line: its hue and its shape. */
export function Swatch({ style, isShown = true }: { style: LineStyle; isShown?: boolean }) {
  const path = shapePath(style)
  const colour = isShown ? `var(${style.ink})` : 'var(--line-strong)'
  return (
    <svg width="18" height="12" viewBox="0 0 18 12" aria-hidden className={css.swatch}>
      <path d="M0 6h18" stroke={colour} strokeWidth="1.8" />
      <path
        d={path}
        fill={style.shape === 'ring' ? 'var(--surface)' : colour}
        stroke={style.shape === 'ring' ? colour : 'var(--surface)'}
        strokeWidth="1.4"
        paintOrder="stroke"
      />
    </svg>
  )
}

/** The shape that the chart draws, as a path. */
function shapePath({ shape }: LineStyle): string {
  const parts: string[] = []
  const n = (value: number) => value.toFixed(2)
  traceShape(
    {
      moveTo: (x, y) => parts.push(`M${n(x)} ${n(y)}`),
      lineTo: (x, y) => parts.push(`L${n(x)} ${n(y)}`),
      closePath: () => parts.push('Z'),
      rect: (x, y, w, h) => parts.push(`M${n(x)} ${n(y)}h${n(w)}v${n(h)}h${n(-w)}Z`),
      arc: (x, y, r) =>
        parts.push(
          `A${n(r)} ${n(r)} 0 1 1 ${n(x - r)} ${n(y)}A${n(r)} ${n(r)} 0 1 1 ${n(x + r)} ${n(y)}Z`,
        ),
    },
    shape,
    9,
    6,
    3.6,
  )
  return parts.join('')
}
