/** From the first symptom to the all-clear: what was seen, what was told, and what people did. */

import { Button } from '@mantine/core'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'

import type { IncidentDetail } from '../../api/types'
import { entryNote, entryTone, entryWords } from '../../domain/incident'
import { count } from '../../domain/units'
import { Moment } from '../../ui/Time'
import css from './Incidents.module.css'

/** Entries that stand there at once: the first, and the last ones. */
const LAST = 12

export function Timeline({ incident }: { incident: IncidentDetail }) {
  const [isWhole, setWhole] = useState(false)
  const { timeline } = incident
  const hidden = isWhole ? 0 : Math.max(0, timeline.length - LAST - 1)
  return (
    <ol className={css.timeline} aria-label="Timeline">
      <li data-tone="bad">
        <span className={css.at}>
          <Moment at={incident.onset_until} style="time" />
        </span>
        <b>First symptom</b>
      </li>
      {timeline.map((entry, at) => {
        if (0 < at && at <= hidden) return at === 1 ? <Hidden key="hidden" /> : null
        return (
          <li key={entry.id} data-tone={entryTone(entry)}>
            <span className={css.at}>
              <Moment at={entry.at} style="time" />
            </span>
            <b>{entryWords(entry)}</b>
            {entry.is_told && <span className={css.told}>people were told</span>}
            {entryNote(entry) !== '' && <p>{entryNote(entry)}</p>}
            {entry.trace !== null && entry.trace_target !== null && (
              <Link
                to="/targets/$id"
                params={{ id: entry.trace_target }}
                search={{ trace: entry.trace }}
              >
                Trace {entry.trace}
              </Link>
            )}
          </li>
        )
      })}
    </ol>
  )

  function Hidden() {
    return (
      <li data-tone="muted">
        <span className={css.at} />
        <Button
          size="compact-xs"
          variant="default"
          onClick={() => {
            setWhole(true)
          }}
        >
          Show {count(hidden)} in between
        </Button>
      </li>
    )
  }
}
