/**
 * The history of the target: state of all and of each agent, round-trip times and loss on one axis
 * of time, which is moved and stretched; what it says at the cursor, and all of it as a table.
 */

import { useComputedColorScheme } from '@mantine/core'
import { useElementSize, useMediaQuery } from '@mantine/hooks'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useSearch } from '@tanstack/react-router'
import { useMemo, useState } from 'react'

import { roundsQuery, targetTracksQuery } from '../../api/queries'
import type { TargetStatus } from '../../api/types'
import { HistoryChart } from '../../charts/HistoryChart'
import { LossLegend } from '../../charts/LossLane'
import { StateLegend } from '../../charts/StateStrip'
import { groupOf, indexAt, sampleAt } from '../../domain/history'
import { sampleWords, spanText } from '../../domain/reading'
import { MINUTE_MS } from '../../domain/time'
import { duration } from '../../domain/units'
import { COMPARISON_WORDS, RANGE_WORDS, type View, settled } from '../../domain/view'
import { Failure } from '../../ui/Failure'
import { MaintenanceLane } from '../../ui/MaintenanceMarks'
import { Panel } from '../../ui/Panel'
import { useMinute, useTimeText } from '../../ui/clock'
import { LineTable } from './LineTable'
import { Readout } from './Readout'
import { RowLabel } from './RowLabel'
import css from './TimePanel.module.css'
import { TimeTools } from './TimeTools'
import { ValueTable } from './ValueTable'
import { usePast, useSums, useLines } from './lines'
import { useSpan } from './useSpan'

/** A column is at least so wide: what is narrower is folded into it, and the worst is shown. */
const COLUMN_PX_MIN = 2
/** Minutes before this one that may still be open: their rounds are drawn as they come. */
const OPEN_MIN = 3
const POLL_MS_MIN = 5_000
const LABEL_PX = 132
const LABEL_PHONE_PX = 34
/** A column that is opened is shown with as many of its neighbours, but an hour at least. */
const AROUND = 6
const AROUND_MS_MIN = 30 * MINUTE_MS

interface Props {
  status: TargetStatus
  /** The minute whose rounds are shown beside the page. */
  opened: number | null
  onOpen: (at: number | null) => void
}

export function TimePanel({ status, opened, onOpen }: Props) {
  const { id, name } = status.target
  const { vs, table } = useSearch({ from: '/inside/targets/$id' })
  const { zone, text } = useTimeText()
  const scheme = useComputedColorScheme()
  const isPhone = useMediaQuery('(max-width: 760px)', false, { getInitialValueInEffect: false })
  const minuteNow = useMinute()
  const { ref, width } = useElementSize()
  const span = useSpan()
  const [draft, setDraft] = useState<View | null>(null)
  const view = draft ?? span.view
  const [cursor, setCursor] = useState<{ at: number; isPinned: boolean } | null>(null)

  const length = span.view.to - span.view.from
  const asked = useQuery(targetTracksQuery(id, length, span.isLive ? null : span.view.to))
  const level = asked.data?.level
  const rounds = useQuery({
    ...roundsQuery(id, minuteNow - OPEN_MIN * MINUTE_MS, OPEN_MIN + 1),
    enabled: span.isLive && level === '1m',
    refetchInterval: Math.max(status.interval_s * 1000, POLL_MS_MIN),
    placeholderData: keepPreviousData,
  })
  const past = usePast(id, vs, span, level)
  const sums = useSums(id, vs, span)

  const gutterPx = isPhone ? LABEL_PHONE_PX : LABEL_PX
  const widthPx = Math.floor(width)
  const stepMs = asked.data?.tracks[0]?.stepMs ?? MINUTE_MS
  const group = groupOf(
    view.to - view.from,
    stepMs,
    Math.max(1, widthPx - gutterPx) / COLUMN_PX_MIN,
  )
  const series = useLines(status, asked.data?.tracks, past, rounds.data?.items, group)
  const lines = useMemo(() => series.filter((one) => one.isChosen), [series])
  const columnMs = stepMs * group
  // What was looked at may have left the view.
  const isSeen = cursor !== null && view.from <= cursor.at && cursor.at < view.to
  const at = isSeen ? Math.floor(cursor.at / columnMs) * columnMs : null
  const open = (moment: number) => {
    const start = Math.floor(moment / columnMs) * columnMs
    if (columnMs === MINUTE_MS) {
      onOpen(start)
      return
    }
    const around = Math.max(AROUND * columnMs, AROUND_MS_MIN)
    const middle = start + columnMs / 2
    span.show(settled({ from: middle - around, to: middle + around }, minuteNow))
  }
  const rows = useMemo(
    () =>
      series.flatMap((one) => {
        const own = {
          id: one.id,
          label: <RowLabel series={one} all={series} />,
          track: one.track,
        }
        if (one.id !== 'all' || one.past === null) return [own]
        const label = <span className={css.past}>{vs && COMPARISON_WORDS[vs]}</span>
        return [own, { id: 'past', label, track: one.past, isPast: true }]
      }),
    [series, vs],
  )
  const words = useMemo(() => {
    if (at === null) return 'no moment chosen'
    const said = series.flatMap((one) => {
      const sample = sampleAt(one.track, indexAt(one.track, at))
      return sample === null ? [] : [`${one.name} ${sampleWords(sample)}`]
    })
    return `${spanText(at, columnMs, zone)}: ${said.join('; ') || 'nothing recorded'}`
  }, [at, series, columnMs, zone])
  const isNamed = span.range !== null && span.isLive
  const title = isNamed
    ? RANGE_WORDS[span.range ?? '1h']
    : `${text(view.from, 'dayMinute')} to ${text(view.to, 'dayMinute')}`
  return (
    <Panel
      title={title}
      aside={
        asked.data !== undefined && (
          <span className={css.step}>each column {duration(columnMs)}</span>
        )
      }
    >
      <TimeTools id={id} span={span} level={level} isPhone={isPhone} />
      <Failure error={asked.error} />
      <div ref={ref} className={css.time} data-loading={asked.isPlaceholderData || undefined}>
        {asked.isPending && <p className={css.hint}>Reading the history</p>}
        {widthPx > 0 && asked.data !== undefined && (
          <>
            <Readout
              series={series}
              view={view}
              at={at}
              columnMs={columnMs}
              isPinned={cursor?.isPinned ?? false}
              onOpen={open}
            />
            <HistoryChart
              label={`Round-trip time of ${name}: ${lines.map((line) => line.name).join(', ')}`}
              {...{ rows, lines, view, zone, widthPx, gutterPx, isPhone, scheme }}
              stepMs={columnMs}
              cursor={at}
              words={words}
              opened={opened}
              now={() => minuteNow}
              onCursor={(moment, isPinned) => {
                setCursor(moment === null ? null : { at: moment, isPinned })
              }}
              onChoose={open}
              onDraft={setDraft}
              onView={span.show}
              onReset={span.reset}
            />
            <MaintenanceLane {...{ id, view, widthPx, gutterPx }} />
          </>
        )}
      </div>
      <div className={css.legends}>
        <StateLegend />
        <LossLegend />
      </div>
      {series.length > 0 && (
        <LineTable
          {...{ series, view, at }}
          comparison={vs}
          sums={draft === null ? sums : null}
        />
      )}
      {table === 'shown' && <ValueTable key={`${length}`} series={series} view={view} />}
    </Panel>
  )
}
