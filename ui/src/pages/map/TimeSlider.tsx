/** The last day of the map: any minute of it, and incidents played again. */

import { ActionIcon, Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useEffect, useEffectEvent, useState } from 'react'

import { incidentsSinceQuery } from '../../api/queries'
import type { NetMap } from '../../domain/netmap'
import { MINUTE_MS, minuteOf, parseTime } from '../../domain/time'
import { duration } from '../../domain/units'
import { Icon } from '../../ui/Icon'
import { useMinute, useTimeText } from '../../ui/clock'
import css from './TimeSlider.module.css'

const LENGTH_MIN = 24 * 60
/** How fast a day is played: so many of the clock's milliseconds for each minute of it. */
const STEP_MS = 350
/** Before an incident began: what was well then is seen, too. */
const LEAD_MS = 3 * MINUTE_MS

interface Props {
  at: number | null
  map: NetMap
  incident: number | undefined
  /** The moment's map is not there yet: what is shown is another one. */
  isWaiting: boolean
  onMove: (at: number | null) => void
}

export function TimeSlider({ at, map, incident, isWaiting, onMove }: Props) {
  const now = useMinute()
  const { text } = useTimeText()
  const from = now - LENGTH_MIN * MINUTE_MS
  const { data } = useQuery(incidentsSinceQuery(from - (from % (15 * MINUTE_MS))))
  const [until, setUntil] = useState<number | null>(null)
  const isPlaying = until !== null && at !== null
  const step = useEffectEvent(() => {
    if (at === null || until === null || isWaiting) return
    const next = at + MINUTE_MS
    if (next >= now) {
      setUntil(null)
      onMove(null)
    } else if (next > until) {
      setUntil(null)
    } else {
      onMove(next)
    }
  })
  useEffect(() => {
    if (!isPlaying) return
    const timer = window.setInterval(step, STEP_MS)
    return () => {
      window.clearInterval(timer)
    }
  }, [isPlaying])
  const incidents = data?.items ?? []
  const chosen = incidents.find(({ id }) => id === incident)
  const play = () => {
    if (isPlaying) {
      setUntil(null)
      return
    }
    if (chosen !== undefined && at === null) {
      const begun = parseTime(chosen.onset_until) ?? now
      const ended = parseTime(chosen.resolved_at ?? chosen.closed_at)
      onMove(Math.max(from, minuteOf(begun) - LEAD_MS))
      setUntil(ended === null ? now : ended + LEAD_MS)
      return
    }
    if (at === null) onMove(now - 60 * MINUTE_MS)
    setUntil(now)
  }
  const shown = at ?? now
  const value = Math.max(0, Math.min(LENGTH_MIN, Math.round((shown - from) / MINUTE_MS)))
  const words = at === null ? 'Now' : text(at, 'minute')
  return (
    <section className={css.slider} aria-label="Time" data-past={at !== null || undefined}>
      <ActionIcon
        variant="default"
        size="lg"
        aria-label={isPlaying ? 'Pause' : 'Play'}
        onClick={play}
      >
        <Icon name={isPlaying ? 'pause' : 'play'} size={14} />
      </ActionIcon>
      <div className={css.track}>
        <div className={css.marks} aria-hidden>
          {incidents.map(({ id, severity, onset_until, resolved_at, closed_at }) => {
            const begun = Math.max(from, parseTime(onset_until) ?? from)
            const ended = parseTime(resolved_at ?? closed_at) ?? now
            const part = (ms: number) => `${((ms / MINUTE_MS / LENGTH_MIN) * 100).toFixed(2)}%`
            return (
              <span
                key={id}
                data-severity={severity}
                data-chosen={id === incident || undefined}
                style={{ left: part(begun - from), width: part(Math.max(0, ended - begun)) }}
              />
            )
          })}
        </div>
        <input
          type="range"
          aria-label="Moment of the last 24 hours"
          aria-valuetext={words}
          min={0}
          max={LENGTH_MIN}
          step={1}
          value={value}
          onChange={(event) => {
            const minute = Number(event.currentTarget.value)
            setUntil(null)
            onMove(minute >= LENGTH_MIN ? null : from + minute * MINUTE_MS)
          }}
        />
      </div>
      <output className={css.words}>
        {at === null ? (
          <strong>Now</strong>
        ) : (
          <>
            <strong>{words}</strong>
            <span>{map.isUnrecorded ? 'nothing was recorded' : `${duration(now - at)} ago`}</span>
          </>
        )}
      </output>
      {at !== null && (
        <Button
          variant="default"
          onClick={() => {
            setUntil(null)
            onMove(null)
          }}
        >
          Back to now
        </Button>
      )}
    </section>
  )
}
