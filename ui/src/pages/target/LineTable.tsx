/** Every series in figures: at the cursor, or of the whole span; beside it what it is laid over. */

import type { ReactNode } from 'react'

import { type Sample, indexAt, sampleAt, total } from '../../domain/history'
import { changeText, partText, stateWords, tallyWords, upPart } from '../../domain/reading'
import { NONE, loss, rtt } from '../../domain/units'
import { verdictMark } from '../../domain/verdict'
import { COMPARISON_WORDS, type Comparison, type View } from '../../domain/view'
import { MarkShape } from '../../ui/Icon'
import { Swatch } from './RowLabel'
import type { Percentiles, Series, Sums } from './lines'
import css from './TimePanel.module.css'

interface Props {
  series: readonly Series[]
  view: View
  at: number | null
  comparison: Comparison | undefined
  /** Of the whole span; null while the view is another, or they are not there yet. */
  sums: Sums | null
}

export function LineTable({ series, view, at, comparison, sums }: Props) {
  const of = (track: Series['track'] | null, whole: Percentiles | undefined) => {
    if (track === null) return null
    if (at !== null) return sampleAt(track, indexAt(track, at))
    const sample = total(track, view.from, view.to)
    return sample && { ...sample, ...whole }
  }
  const before = comparison && COMPARISON_WORDS[comparison]
  return (
    <div className={css.scroll}>
      <table className={css.lines}>
        <caption className="visually-hidden">
          {at === null ? 'The whole span' : 'At the cursor'}
          {before && `, and ${before}`}
        </caption>
        <thead>
          <tr>
            <th scope="col">
              {at === null ? 'Whole span' : 'At the cursor'}
              {before !== undefined && <small>was: {before}</small>}
            </th>
            <th scope="col">State</th>
            <th scope="col">Round trip</th>
            <th scope="col">p95</th>
            <th scope="col">Fastest to slowest</th>
            <th scope="col">Loss</th>
          </tr>
        </thead>
        <tbody>
          {series.map((one) => (
            <tr key={one.id} data-shown={one.isChosen || undefined}>
              <th scope="row">
                <Swatch style={one.style} isShown={one.isChosen} />
                {one.name}
              </th>
              <Cells
                now={of(one.track, sums?.now.get(one.id))}
                before={before === undefined ? undefined : of(one.past, sums?.past.get(one.id))}
                isWhole={at === null}
              />
            </tr>
          ))}
        </tbody>
      </table>
      {at === null &&
        sums?.notes.map((note) => (
          <p key={note} className={css.note}>
            {note}
          </p>
        ))}
    </div>
  )
}

interface CellsProps {
  now: Sample | null
  /** Undefined if nothing is compared, null if there is nothing of it. */
  before: Sample | null | undefined
  isWhole: boolean
}

function Cells({ now, before, isWhole }: CellsProps) {
  const pair = (own: ReactNode, text: (sample: Sample) => string, change = '') => (
    <>
      {own}
      {before !== undefined && (
        <small>
          was {before === null ? NONE : text(before)}
          {change !== '' && `, ${change}`}
        </small>
      )}
    </>
  )
  if (now === null) return <td colSpan={5}>nothing recorded</td>
  return (
    <>
      <td data-head="State">
        {pair(<State sample={now} isWhole={isWhole} />, (old) =>
          isWhole ? `${partText(upPart(old))} up` : stateWords(old),
        )}
      </td>
      <td data-head="Round trip">
        {pair(rtt(middleOf(now)), (old) => rtt(middleOf(old)), changeOf(now, before, middleOf))}
      </td>
      <td data-head="p95">
        {pair(
          rtt(now.p95),
          (old) => rtt(old.p95),
          changeOf(now, before, (one) => one.p95),
        )}
      </td>
      <td data-head="Fastest to slowest">{pair(rangeOf(now), rangeOf)}</td>
      <td data-head="Loss">
        {pair(loss(now.sent, now.received), (old) => loss(old.sent, old.received))}
      </td>
    </>
  )
}

/** The median, or the mean where there is none. */
const middleOf = ({ p50, mean }: Sample) => p50 ?? mean

const rangeOf = ({ min, max }: Sample) => (min === null ? NONE : `${rtt(min)} to ${rtt(max)}`)

function changeOf(
  now: Sample,
  before: Sample | null | undefined,
  pick: (sample: Sample) => number | null,
): string {
  return before ? changeText(pick(now), pick(before)) : ''
}

function State({ sample, isWhole }: { sample: Sample; isWhole: boolean }) {
  if (isWhole) {
    return (
      <span className={css.said}>
        <b>{partText(upPart(sample))} up</b> {tallyWords(sample.minutes)}
      </span>
    )
  }
  const mark = verdictMark(sample.verdict)
  return (
    <span className={`${css.said} tone-${mark.tone}`}>
      <MarkShape icon={mark.icon} size={13} />
      <span>{stateWords(sample)}</span>
    </span>
  )
}
