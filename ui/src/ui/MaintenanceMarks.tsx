/** What says on other pages that somebody works on something. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'

import { maintenanceQuery, targetMaintenanceQuery } from '../api/queries'
import { coverWords, laneOf, spanWords } from '../domain/maintenance'
import { MINUTE_MS, parseTime } from '../domain/time'
import type { View } from '../domain/view'
import css from './MaintenanceMarks.module.css'
import { useMinute, useNow, useTimeText } from './clock'
import { useCan } from './session'

/** Names the windows that are open: for the overview. */
export function OpenMaintenance() {
  const mayRead = useCan('maintenance_read')
  const { data } = useQuery({ ...maintenanceQuery, enabled: mayRead })
  const open = data?.items.filter((window) => window.state === 'open') ?? []
  if (open.length === 0) return null
  return (
    <ul className={css.notices} aria-label="Maintenance that is open">
      {open.map((window) => (
        <li key={window.id} className={css.notice}>
          <strong>In maintenance</strong>
          <Link to="/maintenance/$id" params={{ id: window.id }}>
            {window.title}
          </Link>
          <span>
            {coverWords(window.covers)}
            {window.open !== null && `, ${spanWords(window.open)}`}. What fails inside is told to
            nobody.
          </span>
        </li>
      ))}
    </ul>
  )
}

/** Names the windows that cover a target now. */
export function TargetMaintenance({ id }: { id: number }) {
  const mayRead = useCan('maintenance_read')
  const now = useNow()
  const minute = useMinute()
  const { text } = useTimeText()
  const [since, until] = [minute, minute + MINUTE_MS].map((at) => new Date(at).toISOString())
  const { data } = useQuery({
    ...targetMaintenanceQuery(id, since ?? '', until ?? ''),
    enabled: mayRead,
  })
  const open = (data?.items ?? []).filter(
    ({ start, end }) => (parseTime(start) ?? 0) <= now && (parseTime(end) ?? 0) > now,
  )
  if (open.length === 0) return null
  return (
    <ul className={css.notices} aria-label="Maintenance of this target">
      {open.map((span) => (
        <li key={span.maintenance} className={css.notice}>
          <strong>In maintenance</strong>
          <Link to="/maintenance/$id" params={{ id: span.maintenance }}>
            {span.title}
          </Link>
          <span>
            until {text(parseTime(span.end) ?? now, 'moment')}. It is recorded as always, and
            nobody is told.
          </span>
        </li>
      ))}
    </ul>
  )
}

interface LaneProps {
  id: number
  view: View
  widthPx: number
  gutterPx: number
}

/** When windows covered a target, on the axis of its history: there its minutes are marked. */
export function MaintenanceLane({ id, view, widthPx, gutterPx }: LaneProps) {
  const mayRead = useCan('maintenance_read')
  const { text } = useTimeText()
  // Whole minutes: a view that moves by pixels asks once for each.
  const from = Math.floor(view.from / MINUTE_MS) * MINUTE_MS
  const to = Math.ceil(view.to / MINUTE_MS) * MINUTE_MS
  const { data } = useQuery({
    ...targetMaintenanceQuery(id, new Date(from).toISOString(), new Date(to).toISOString()),
    enabled: mayRead,
  })
  const lane = laneOf(data?.items ?? [], view)
  if (lane.length === 0) return null
  const inner = Math.max(0, widthPx - gutterPx)
  return (
    <div className={css.lane} style={{ paddingLeft: gutterPx }}>
      <span className={css.laneName}>{gutterPx < 100 ? 'Mnt' : 'Maintenance'}</span>
      <div className={css.track} style={{ width: inner }}>
        {lane.map(({ span, left, width }) => (
          <Link
            key={`${String(span.maintenance)} ${span.start}`}
            to="/maintenance/$id"
            params={{ id: span.maintenance }}
            className="hatched"
            style={{ left: `${String(left * 100)}%`, width: `${String(width * 100)}%` }}
            aria-label={`Maintenance ${span.title}, ${text(parseTime(span.start) ?? 0, 'moment')} to ${text(parseTime(span.end) ?? 0, 'moment')}`}
            title={span.title}
          />
        ))}
      </div>
    </div>
  )
}
