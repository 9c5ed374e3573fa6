/** The shown values of one series, one a row, newest first: what the drawings show, to be read. */

import { Button, NativeSelect } from '@mantine/core'
import { useState } from 'react'

import { type Sample, sampleAt } from '../../domain/history'
import { spanText, stateWords } from '../../domain/reading'
import { NONE, count, loss, rtt } from '../../domain/units'
import type { View } from '../../domain/view'
import { useTimeText } from '../../ui/clock'
import type { Series } from './lines'
import css from './TimePanel.module.css'

const PAGE_ROWS = 60

export function ValueTable({ series, view }: { series: readonly Series[]; view: View }) {
  const [chosen, setChosen] = useState<string | null>(null)
  const [page, setPage] = useState(0)
  const one =
    series.find(({ id }) => id === chosen) ?? series.find(({ isChosen }) => isChosen) ?? series[0]
  if (one === undefined) return null
  const samples = samplesOf(one, view)
  const pages = Math.max(1, Math.ceil(samples.length / PAGE_ROWS))
  const here = Math.min(page, pages - 1)
  return (
    <section aria-label="Values" className={css.values}>
      <div className={css.group}>
        <NativeSelect
          size="xs"
          aria-label="Values of"
          value={one.id}
          data={series.map(({ id, name }) => ({ value: id, label: name }))}
          onChange={(event) => {
            setChosen(event.currentTarget.value)
            setPage(0)
          }}
        />
        <Button
          size="compact-sm"
          variant="default"
          disabled={here === 0}
          onClick={() => {
            setPage(here - 1)
          }}
        >
          Newer
        </Button>
        <Button
          size="compact-sm"
          variant="default"
          disabled={here === pages - 1}
          onClick={() => {
            setPage(here + 1)
          }}
        >
          Older
        </Button>
        <span className={css.hint}>
          page {here + 1} of {pages}, {count(samples.length)} values
        </span>
      </div>
      <div className={css.scroll}>
        <table className={css.lines} aria-label={`Values of ${one.name}`}>
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">State</th>
              <th scope="col">Median</th>
              <th scope="col">Mean</th>
              <th scope="col">p95</th>
              <th scope="col">Fastest to slowest</th>
              <th scope="col">Loss</th>
            </tr>
          </thead>
          <tbody>
            {samples.slice(here * PAGE_ROWS, (here + 1) * PAGE_ROWS).map((sample) => (
              <Row key={sample.at} sample={sample} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

function samplesOf({ track }: Series, { from, to }: View): Sample[] {
  const samples: Sample[] = []
  for (let i = track.length - 1; i >= 0; i -= 1) {
    const at = track.first + i * track.stepMs
    const sample = from < at + track.stepMs && at < to ? sampleAt(track, i) : null
    if (sample !== null) samples.push(sample)
  }
  return samples
}

function Row({ sample }: { sample: Sample }) {
  const { zone } = useTimeText()
  const { at, lengthMs, min, max, sent, received } = sample
  return (
    <tr>
      <th scope="row">{spanText(at, lengthMs, zone)}</th>
      <td data-head="State">{stateWords(sample)}</td>
      <td data-head="Median">{rtt(sample.p50)}</td>
      <td data-head="Mean">{rtt(sample.mean)}</td>
      <td data-head="p95">{rtt(sample.p95)}</td>
      <td data-head="Fastest to slowest">{min === null ? NONE : `${rtt(min)} to ${rtt(max)}`}</td>
      <td data-head="Loss">
        {loss(sent, received)}
        {sent > 0 && received < sent && (
          <small>{`${count(sent - received)} of ${count(sent)}`}</small>
        )}
      </td>
    </tr>
  )
}
