/** What the history takes now, beside what the plan says that it takes in the end. */

import type { Health } from '../../api/types'
import { fullInWords, storageLabel } from '../../domain/health'
import { parseTime } from '../../domain/time'
import { bytes } from '../../domain/units'
import { useNow } from '../../ui/clock'
import { Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import css from './Storage.module.css'

const DAY_MS = 86_400_000
/** Within this an operator has to do something. */
const SOON_DAYS = 30

interface Props {
  storage: NonNullable<Health['storage']>
  /** What the disk has left now. */
  freeBytes: number
}

export function Storage({ storage, freeBytes }: Props) {
  const now = useNow()
  const fullAt = parseTime(storage.full_at)
  const daysLeft = fullAt === null ? 0 : (fullAt - now) / DAY_MS
  const isSoon = storage.full === 'later' && daysLeft <= SOON_DAYS
  return (
    <Panel
      title="What is kept"
      aside={`${bytes(storage.used_bytes)} of ${bytes(storage.planned_bytes)} planned`}
    >
      <p className={`${css.full} tone-${isSoon ? 'warn' : 'muted'}`}>
        {fullInWords(storage.full, daysLeft, freeBytes)}
      </p>
      <ul className={css.levels}>
        {storage.levels.map(({ name, used_bytes, planned_bytes }) => (
          <li key={name}>
            <span>{storageLabel(name)}</span>
            <div className={css.track} aria-hidden>
              <div style={{ width: `${shareOf(used_bytes, planned_bytes) * 100}%` }} />
            </div>
            <b>{bytes(used_bytes)}</b>
            <small>{planned_bytes === 0 ? 'none planned' : `of ${bytes(planned_bytes)}`}</small>
          </li>
        ))}
      </ul>
      <p className={css.note}>
        Planned for the present inventory once each level has been kept for its full time; used as
        of <Moment at={storage.measured_at} style="minute" />.
      </p>
    </Panel>
  )
}

/** How much of the plan is there; more than was planned fills the whole track. */
function shareOf(used: number, planned: number): number {
  return planned === 0 ? 0 : Math.min(1, used / planned)
}
