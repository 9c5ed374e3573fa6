/**
 * The network on a wall: the map, what is open, what changed, and how fresh all of it is. Nobody
 * touches it; what is old must look old from across the room.
 */

import { useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useEffect, useMemo, useState } from 'react'

import { mapQuery, openIncidentsQuery, overviewQuery } from '../../api/queries'
import type { MapIncident, Overview } from '../../api/types'
import { layoutOf } from '../../domain/layout'
import { severityMark } from '../../domain/incident'
import { mapSentence } from '../../domain/netmap'
import { parseTime, zoneName } from '../../domain/time'
import { count, durationShort } from '../../domain/units'
import { VERDICTS, changeMark, verdictMark } from '../../domain/verdict'
import { SiteMap } from '../../map/SiteMap'
import { MarkShape } from '../../ui/Icon'
import { useLive, useNow, useTimeText } from '../../ui/clock'
import css from './WallPage.module.css'

const route = getRouteApi('/wall')

/** Incidents and changes that are read from across a room; the rest is a number. */
const INCIDENTS_MAX = 6
const CHANGES_MAX = 9
const HOUR_MS = 3_600_000
/** A map that was not brought up to date for so long is old, whatever the connection says. */
const OLD_MS = 25_000
/** Judging that is further behind than this shows the past. */
const LAG_S_MAX = 60
/** Of the screen's height: the smallest letters of the map, and a little more. */
const LETTERS = 0.0158
/** The smallest letters that the map draws, in pixels. */
const SMALLEST_PX = 8.45

export default function WallPage() {
  const { data: map, dataUpdatedAt } = useSuspenseQuery(mapQuery)
  const { data: overview } = useSuspenseQuery(overviewQuery)
  const { data: open } = useQuery(openIncidentsQuery)
  const { theme } = route.useSearch()
  const live = useLive()
  const now = useNow()
  const height = useHeight()
  const { bare, zone } = useTimeText()
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const layout = useMemo(() => layoutOf(map.sites.values(), map.shape.bundles), [map.shape])
  const age = now - live.offsetMs - dataUpdatedAt
  const why =
    live.status === 'stale'
      ? 'The server is not heard'
      : age > OLD_MS
        ? 'The map is not brought up to date'
        : !overview.is_intake_open
          ? 'The server takes no results'
          : overview.ingest_lag_s > LAG_S_MAX
            ? `Judging is ${durationShort(overview.ingest_lag_s * 1_000)} behind`
            : null
  useAwake()
  useEffect(() => {
    const { down } = overview.targets
    document.title = `${down > 0 ? `${down} down · ` : ''}Wall · Faultline`
  }, [overview.targets])
  return (
    <main
      className={css.wall}
      data-mantine-color-scheme={theme ?? 'dark'}
      data-stale={why !== null || undefined}
    >
      <section className={css.map} aria-label="Map">
        <SiteMap
          map={map}
          layout={layout}
          zoom={Math.max(1, (LETTERS * height) / SMALLEST_PX)}
          isStill
        />
      </section>
      <div className={css.side}>
        <header className={css.head}>
          <p className={css.clock}>
            {bare(now, 'time')} <span>{zoneName(zone, now)}</span>
          </p>
          <p className={css.fresh} role="status" data-old={why !== null || undefined}>
            {why === null ? 'Live' : why}
            <span>
              {' '}
              · as of {bare(dataUpdatedAt + live.offsetMs, 'time')}
              {why !== null && `, ${durationShort(Math.max(0, age))} ago`}
            </span>
          </p>
        </header>
        <h1 className={css.title}>{mapSentence(map)}</h1>
        <Counts overview={overview} />
        <Incidents all={map.incidents} total={open?.open ?? map.incidents.length} now={now} />
        <Changes overview={overview} now={now} />
      </div>
      {why !== null && (
        <p className={css.banner} role="alert">
          {why}: what is shown is of {bare(dataUpdatedAt + live.offsetMs, 'time')}
        </p>
      )}
    </main>
  )
}

function useHeight(): number {
  const [height, setHeight] = useState(window.innerHeight)
  useEffect(() => {
    const measure = () => {
      setHeight(window.innerHeight)
    }
    window.addEventListener('resize', measure)
    return () => {
      window.removeEventListener('resize', measure)
    }
  }, [])
  return height
}

/** Keeps the screen on, where a browser can. */
function useAwake(): void {
  useEffect(() => {
    let lock: { release: () => Promise<void> } | null = null
    let isGone = false
    const ask = () => {
      if (document.hidden || !('wakeLock' in navigator)) return
      navigator.wakeLock.request('screen').then(
        (got) => {
          if (isGone) void got.release()
          else lock = got
        },
        // Refused, as on a battery that is low: the screen then does as it is set to.
        () => undefined,
      )
    }
    ask()
    document.addEventListener('visibilitychange', ask)
    return () => {
      isGone = true
      document.removeEventListener('visibilitychange', ask)
      void lock?.release()
    }
  }, [])
}

function Counts({ overview }: { overview: Overview }) {
  return (
    <ul className={css.counts} aria-label="Targets">
      {VERDICTS.map((verdict) => {
        const mark = verdictMark(verdict)
        return (
          <li
            key={verdict}
            className={`tone-${mark.tone}`}
            data-none={overview.targets[verdict] === 0 || undefined}
          >
            <MarkShape icon={mark.icon} size={28} />
            <b>{count(overview.targets[verdict])}</b>
            <span>{mark.word.toLowerCase()}</span>
          </li>
        )
      })}
    </ul>
  )
}

function Incidents({
  all,
  total,
  now,
}: {
  all: readonly MapIncident[]
  total: number
  now: number
}) {
  return (
    <section className={css.part} aria-label="Open incidents">
      <h2>{total === 0 ? 'No open incident' : `${count(total)} open`}</h2>
      <ol>
        {all.slice(0, INCIDENTS_MAX).map((incident) => {
          const mark = severityMark(incident.severity as Parameters<typeof severityMark>[0])
          const opened = parseTime(incident.opened_at) ?? now
          return (
            <li key={incident.id} className={`${css.incident} tone-${mark.tone}`}>
              <MarkShape icon={mark.icon} size={26} />
              <p>
                <span>
                  #{incident.id} {mark.word}, {durationShort(now - opened)}
                </span>
                {incident.sentence.replace(/,? \(probability.*\)$/, '')}
              </p>
            </li>
          )
        })}
      </ol>
      {total > INCIDENTS_MAX && (
        <p className={css.rest}>and {count(total - INCIDENTS_MAX)} more</p>
      )}
    </section>
  )
}

function Changes({ overview, now }: { overview: Overview; now: number }) {
  const { bare } = useTimeText()
  const recent = overview.changes.filter(({ at }) => now - (parseTime(at) ?? 0) < HOUR_MS)
  return (
    <section className={css.part} aria-label="Changed in the last hour">
      <h2>{recent.length === 0 ? 'Nothing changed in the last hour' : 'Last hour'}</h2>
      <ol>
        {recent.slice(0, CHANGES_MAX).map((change, at) => {
          const mark = changeMark(change.kind, change.to)
          return (
            <li key={at} className={`${css.change} tone-${mark.tone}`}>
              <time>{bare(parseTime(change.at) ?? 0, 'minute')}</time>
              <MarkShape icon={mark.icon} size={20} />
              <b>{change.target?.name ?? change.agent?.name}</b>
              <span>{mark.word.toLowerCase()}</span>
            </li>
          )
        })}
      </ol>
    </section>
  )
}
