/**
 * The spans of verdicts, newest first: what was held, from when, for how long, and why. Between
 * them, what the target's name stood for.
 */

import { useQuery } from '@tanstack/react-query'

import { targetChangesQuery } from '../../api/queries'
import type { TargetChange } from '../../api/types'
import { parseTime } from '../../domain/time'
import { duration } from '../../domain/units'
import { verdictMark } from '../../domain/verdict'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import css from './TargetPage.module.css'

export function ChangeList({ id }: { id: number }) {
  const { data, error } = useQuery(targetChangesQuery(id))
  if (error) return <Failure error={error} />
  const items = data?.items ?? []
  if (data && items.length === 0) {
    return <p className={css.calm}>Nothing has changed yet.</p>
  }
  return (
    <ol className={css.changes}>
      {items.map((change, i) => {
        if (change.kind === 'name') return <NameChange key={nameKey(change)} change={change} />
        const who = change.agent?.id ?? null
        // The list is newest first: the span ended where the same entity's next change stands.
        const next = items
          .slice(0, i)
          .findLast((other) => other.kind === 'verdict' && (other.agent?.id ?? null) === who)
        const heldMs = next && (parseTime(next.at) ?? 0) - (parseTime(change.at) ?? 0)
        return (
          <li key={`${change.at} ${who} ${change.to}`}>
            <Moment at={change.at} />
            <span className={css.turn}>
              {verdictMark(change.from).word}
              <Icon name="arrow" size={12} />
              <MarkLabel mark={verdictMark(change.to)} size="sm" />
            </span>
            <span>{change.agent ? change.agent.name : <b>Consensus</b>}</span>
            <span className={css.whyCell}>{change.why}</span>
            <span className={css.held}>
              {heldMs === undefined ? 'still held' : `for ${duration(heldMs)}`}
            </span>
          </li>
        )
      })}
    </ol>
  )
}

type NameTurn = Extract<TargetChange, { kind: 'name' }>

const nameKey = ({ at, agent, to }: NameTurn) => `${at} ${agent.id} ${to}`

function NameChange({ change }: { change: NameTurn }) {
  return (
    <li>
      <Moment at={change.at} />
      <span className={css.turn}>New address</span>
      <span>{change.agent.name}</span>
      <span className={css.whyCell}>
        {change.name} now answers {change.to} (was {change.from}), since <Moment at={change.at} />
      </span>
    </li>
  )
}
