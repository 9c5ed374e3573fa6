/** What changed last, newest first. */

import { Link } from '@tanstack/react-router'

import type { Change } from '../../api/types'
import { parseTime } from '../../domain/time'
import { changeMark } from '../../domain/verdict'
import { Icon } from '../../ui/Icon'
import { useTimeText } from '../../ui/clock'
import { MarkLabel } from '../../ui/Verdict'
import css from './lists.module.css'

/** Beyond this a time of day alone would be taken for today's. */
const TODAY_MS = 20 * 3_600_000

export function ChangeFeed({ changes, now }: { changes: readonly Change[]; now: number }) {
  const { bare, text } = useTimeText()
  if (changes.length === 0) {
    return (
      <p className={css.calm}>
        Nothing has changed yet. Changes of verdicts and agents stand here.
      </p>
    )
  }
  return (
    <ol className={css.list}>
      {changes.map((change) => {
        const at = parseTime(change.at) ?? 0
        const who = change.target?.name ?? change.agent?.name
        return (
          <li
            key={`${change.at} ${change.kind} ${change.target?.id} ${change.agent?.id} ${change.to}`}
            className={css.change}
          >
            <time className={css.time} dateTime={change.at} title={text(at, 'moment')}>
              {bare(at, now - at < TODAY_MS ? 'time' : 'moment')}
            </time>
            {change.target ? (
              <Link className={css.who} to="/targets/$id" params={{ id: change.target.id }}>
                {who}
              </Link>
            ) : (
              <Link className={css.who} to="/agents">
                agent {who}
              </Link>
            )}
            <span className={css.turn}>
              <span className={css.from}>{changeMark(change.kind, change.from).word}</span>
              <Icon name="arrow" size={12} />
              <MarkLabel mark={changeMark(change.kind, change.to)} size="sm" />
            </span>
            <span className={css.why} title={change.why}>
              {change.target && change.agent && <b>{change.agent.name}: </b>}
              {change.why}
            </span>
          </li>
        )
      })}
    </ol>
  )
}
