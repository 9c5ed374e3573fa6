/** What each assigned agent holds of the target, and on what evidence. */

import { Link } from '@tanstack/react-router'

import type { PairStatus, TargetStatus } from '../../api/types'
import { NONE, loss, rtt } from '../../domain/units'
import { VERDICTS, agentMark, verdictMark } from '../../domain/verdict'
import { pairWords } from '../../domain/waiting'
import { type Column, DataTable } from '../../ui/DataTable'
import { Empty } from '../../ui/Panel'
import { Reason } from '../../ui/Reason'
import { Age } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useNow, useTimeText } from '../../ui/clock'
import css from './TargetPage.module.css'

/** A pair with the status it is part of: what is true of it depends on the rest. */
type Row = PairStatus & { status: TargetStatus }

const COLUMNS: readonly Column<Row>[] = [
  {
    id: 'agent',
    head: 'Agent',
    by: (row) => row.agent.name,
    card: 'title',
    width: '15%',
    cell: (row) => (
      <span className={css.stack}>
        <b>{row.agent.name}</b>
        {row.agent.state !== 'online' && (
          <MarkLabel mark={agentMark(row.agent.state)} size="sm" />
        )}
      </span>
    ),
  },
  {
    id: 'verdict',
    head: 'Verdict',
    // The worst first.
    by: (row) => VERDICTS.indexOf(row.verdict),
    card: 'bare',
    width: '13%',
    cell: (row) => (
      <span className={css.stack}>
        <MarkLabel mark={verdictMark(row.verdict)} />
        <small>
          for <Age at={row.since} />
        </small>
      </span>
    ),
  },
  {
    id: 'why',
    head: 'Why',
    card: 'bare',
    cell: (row) => <Why pair={row} />,
  },
  {
    id: 'loss',
    head: 'Loss of last 100',
    isNumeric: true,
    by: (row) => row.window_lost,
    cell: (row) =>
      row.window_packets === 0 ? (
        NONE
      ) : (
        <span className={css.stack}>
          <span className={row.window_lost > 0 ? css.bad : undefined}>
            {loss(row.window_packets, row.window_packets - row.window_lost)}
          </span>
          <small>
            {row.window_lost} of {row.window_packets}
          </small>
        </span>
      ),
  },
  {
    id: 'rtt',
    head: 'Round trip',
    isNumeric: true,
    by: (row) => row.rtt_us_mean ?? Number.MAX_SAFE_INTEGER,
    cell: (row) => rtt(row.rtt_us_mean),
  },
  {
    id: 'last',
    head: 'Last round',
    isNumeric: true,
    by: (row) => row.last_round_at ?? '',
    cell: (row) =>
      row.last_round_at ? <Age at={row.last_round_at} suffix=" ago" /> : 'none yet',
  },
]

function Why({ pair }: { pair: Row }) {
  const now = useNow()
  const { zone } = useTimeText()
  const { why, note } = pairWords(pair, pair.status, now, zone)
  return (
    <span className={css.whyCell}>
      {why === pair.why ? <Reason {...pair} /> : why}
      {note !== null && <em>{note}</em>}
    </span>
  )
}

export function AgentTable({ status }: { status: TargetStatus }) {
  return (
    <DataTable
      label="What each agent sees"
      columns={COLUMNS}
      rows={status.agents.map((pair) => ({ ...pair, status }))}
      rowId={(row) => String(row.agent.id)}
      empty={
        <Empty title="No agent is assigned" action={<Link to="/agents">See the agents</Link>}>
          Nobody asks this target, so it stays unknown. An agent that is online and may send is
          assigned by itself.
        </Empty>
      }
    />
  )
}
