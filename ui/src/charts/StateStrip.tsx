/**
 * Sixty cells a row, one row for each series, all on one axis of time.
 *
 * A verdict is told by height and pattern as well as by colour: Up is low, Degraded higher, Down
 * full, Unknown hatched. It is a grid for the keyboard: arrows walk it, Enter opens a cell.
 */

import { type KeyboardEvent, type ReactNode, memo, useState } from 'react'

import { causeWords } from '../domain/cause'
import { MINUTE_MS, type Zone, bareTime, timeText, zoneOffsetMin } from '../domain/time'
import { type Slot, ticks } from '../domain/timeline'
import { loss, rtt } from '../domain/units'
import { verdictMark } from '../domain/verdict'
import css from './StateStrip.module.css'

export interface StripRow {
  id: string
  label: ReactNode
  name: string
  slots: readonly Slot[]
}

interface Props {
  rows: readonly StripRow[]
  zone: Zone
  /** The start of the chosen minute. */
  chosen: number | null
  onChoose: (slot: Slot) => void
}

export function StateStrip({ rows, zone, chosen, onChoose }: Props) {
  const length = rows[0]?.slots.length ?? 0
  const chosenColumn = columnOf(rows[0]?.slots, chosen)
  const [focus, setFocus] = useState<{ row: number; column: number } | null>(null)
  const at = focus ?? { row: 0, column: chosenColumn ?? length - 1 }

  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const step: [number, number] | undefined = {
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      Home: [0, -length],
      End: [0, length],
    }[event.key] as [number, number] | undefined
    if (step === undefined) return
    event.preventDefault()
    const row = Math.min(Math.max(at.row + step[0], 0), rows.length - 1)
    const column = Math.min(Math.max(at.column + step[1], 0), length - 1)
    setFocus({ row, column })
    event.currentTarget.querySelector<HTMLElement>(`[data-at="${row}/${column}"]`)?.focus()
  }
  return (
    // eslint-disable-next-line jsx-a11y/interactive-supports-focus -- its cells take the focus
    <div role="grid" aria-label="State over time" className={css.grid} onKeyDown={onKeyDown}>
      {rows.map((row, index) => (
        <Row
          key={row.id}
          row={row}
          index={index}
          zone={zone}
          chosenColumn={chosenColumn}
          focusColumn={at.row === index ? at.column : null}
          onChoose={onChoose}
        />
      ))}
    </div>
  )
}

function columnOf(row: readonly Slot[] | undefined, at: number | null): number | null {
  if (row === undefined || at === null) return null
  const found = row.findIndex(
    (slot) => slot.at <= at && at < slot.at + slot.lengthMin * MINUTE_MS,
  )
  return found === -1 ? null : found
}

interface RowProps {
  row: StripRow
  index: number
  zone: Zone
  chosenColumn: number | null
  focusColumn: number | null
  onChoose: (slot: Slot) => void
}

const Row = memo(function Row({
  row,
  index,
  zone,
  chosenColumn,
  focusColumn,
  onChoose,
}: RowProps) {
  return (
    <div role="row" aria-label={row.name} className={css.row}>
      <div role="rowheader" className={css.label}>
        {row.label}
      </div>
      <div role="presentation" className={css.cells}>
        {row.slots.map((slot, column) => (
          <div
            key={slot.at}
            role="gridcell"
            tabIndex={focusColumn === column ? 0 : -1}
            aria-label={describe(slot, zone)}
            aria-selected={chosenColumn === column}
            title={describe(slot, zone)}
            data-at={`${index}/${column}`}
            data-verdict={slot.worst?.verdict ?? 'none'}
            data-revised={slot.isRevised || undefined}
            data-open={slot.isOpen || undefined}
            data-before={slot.worst?.cause === 'not_yet' || undefined}
            className={css.cell}
            onClick={() => {
              onChoose(slot)
            }}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' && event.key !== ' ') return
              event.preventDefault()
              onChoose(slot)
            }}
          >
            <span className={slot.worst?.verdict === 'unknown' ? 'hatched' : undefined} />
          </div>
        ))}
      </div>
    </div>
  )
})

/** Says a cell in words: for ears, and for the pointer that rests on it. */
function describe(slot: Slot, zone: Zone): string {
  const end = slot.at + slot.lengthMin * MINUTE_MS
  const when =
    slot.lengthMin === 1
      ? timeText(slot.at, zone, 'minute')
      : `${bareTime(slot.at, zone, 'minute')} to ${timeText(end, zone, 'minute')}`
  const { worst } = slot
  if (worst === null) return `${when}: not over yet`
  const parts = [`${when}: ${verdictMark(worst.verdict).word}, ${causeWords(worst.cause)}`]
  if (worst.sent > 0) parts.push(`loss ${loss(worst.sent, worst.received)}`)
  if (worst.received > 0) parts.push(`mean ${rtt(worst.rtt_us_mean)}`)
  if (slot.isOpen) parts.push('not closed yet')
  if (slot.isRevised) parts.push('revised by late rounds')
  return parts.join(', ')
}

/** The times under the strips and over the chart. */
export function TimeAxis({
  from,
  to,
  stepMin,
  zone,
}: {
  from: number
  to: number
  stepMin: number
  zone: Zone
}) {
  return (
    <div className={css.axis} aria-hidden>
      {ticks(from, to, stepMin, zoneOffsetMin(zone, from)).map((at) => (
        <span key={at} style={{ left: `${((at - from) / (to - from)) * 100}%` }}>
          {bareTime(at, zone, 'minute')}
        </span>
      ))}
    </div>
  )
}
