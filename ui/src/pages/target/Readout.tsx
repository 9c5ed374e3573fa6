/** What all agents together say at the cursor; without one, of the whole span. */

import { Button } from '@mantine/core'

import { indexAt, sampleAt, total } from '../../domain/history'
import { partText, spanText, stateWords, tallyWords, upPart } from '../../domain/reading'
import { MINUTE_MS } from '../../domain/time'
import { verdictMark } from '../../domain/verdict'
import type { View } from '../../domain/view'
import { MarkShape } from '../../ui/Icon'
import { useTimeText } from '../../ui/clock'
import type { Series } from './lines'
import css from './TimePanel.module.css'

interface Props {
  series: readonly Series[]
  view: View
  at: number | null
  columnMs: number
  /** It was set by a key or a finger, which have no click of their own. */
  isPinned: boolean
  onOpen: (at: number) => void
}

export function Readout({ series, view, at, columnMs, isPinned, onOpen }: Props) {
  const { zone } = useTimeText()
  const [lead, ...agents] = series
  if (lead === undefined) return null
  if (at === null) return <Whole lead={lead} view={view} />
  const sample = sampleAt(lead.track, indexAt(lead.track, at))
  const mark = sample && verdictMark(sample.verdict)
  return (
    <p className={css.readout}>
      <b>{spanText(at, columnMs, zone)}</b>
      {sample && mark ? (
        <span className={`${css.said} tone-${mark.tone}`}>
          <MarkShape icon={mark.icon} size={14} />
          <span>{stateWords(sample)}</span>
        </span>
      ) : (
        <span className={css.hint}>nothing recorded</span>
      )}
      {agents.map((one) => {
        const own = sampleAt(one.track, indexAt(one.track, at))
        // Whoever says the same says nothing new.
        if (own === null || own.verdict === 'up' || own.verdict === sample?.verdict) return null
        return (
          <span key={one.id} className={css.hint}>
            {one.name}: {stateWords(own)}
          </span>
        )
      })}
      {isPinned && (
        <Button
          size="compact-xs"
          variant="default"
          onClick={() => {
            onOpen(at)
          }}
        >
          {columnMs === MINUTE_MS ? 'Open the minute' : 'Look closer'}
        </Button>
      )}
    </p>
  )
}

function Whole({ lead, view }: { lead: Series; view: View }) {
  const sum = total(lead.track, view.from, view.to)
  const part = sum && upPart(sum)
  return (
    <p className={css.readout}>
      {sum !== null && part !== null && <b>{partText(part)} up</b>}
      <span className={css.said}>
        {sum === null ? 'nothing recorded' : tallyWords(sum.minutes)}
      </span>
      <span className={`${css.hint} ${css.keys}`}>
        drag to look closer, double-click to go back, Ctrl and wheel to stretch, Shift and drag to
        move
      </span>
    </p>
  )
}
