/** The worst targets with their reason: what to look at now. */

import { Link } from '@tanstack/react-router'

import type { Target } from '../../api/types'
import { many } from '../../domain/units'
import { verdictMark } from '../../domain/verdict'
import { Panel } from '../../ui/Panel'
import { Reason } from '../../ui/Reason'
import { Age } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import css from './lists.module.css'

export function TroubleList({ items, total }: { items: readonly Target[]; total: number }) {
  const rest = total - items.length
  return (
    <Panel
      title="Needs attention"
      isFlush
      aside={
        rest > 0 && (
          <Link to="/targets" search={{ verdict: 'down,degraded,unknown', sort: 'verdict' }}>
            {many(rest, 'more target')}
          </Link>
        )
      }
    >
      {items.length === 0 ? (
        <p className={css.calm}>Nothing is down, degraded or unknown.</p>
      ) : (
        <ul className={css.list}>
          {items.map((target) => (
            <li key={target.id}>
              <Link data-row to="/targets/$id" params={{ id: target.id }} className={css.trouble}>
                <MarkLabel mark={verdictMark(target.verdict, target.is_paused)} />
                <span className={css.name}>
                  <b>{target.name}</b>
                  <small>{target.address}</small>
                </span>
                <span className={css.why} title={target.why}>
                  <Reason {...target} />
                </span>
                <span className={css.age}>
                  <Age at={target.since} />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}
