/** The way to the target: traced from an agent on request, hop by hop as it is found. */

import { Button, NativeSelect, UnstyledButton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { useTraceCancel, useTraceRun } from '../../api/commands'
import { targetPathsQuery, targetTracesQuery, traceQuery } from '../../api/queries'
import type { TargetStatus, TraceHead } from '../../api/types'
import {
  type HopRow,
  hopLoss,
  hopRows,
  hopWords,
  isUnderWay,
  pathWords,
  traceWords,
  wayWords,
} from '../../domain/trace'
import { NONE, rtt } from '../../domain/units'
import { type Column, DataTable } from '../../ui/DataTable'
import { Failure } from '../../ui/Failure'
import { Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { useCan } from '../../ui/session'
import css from './TracePanel.module.css'

const WAYS = [
  { value: 'icmp', label: 'ICMP' },
  { value: 'udp', label: 'UDP' },
] as const
const FLOWS = [1, 4, 8]

export function TracePanel({
  status,
  chosen,
  onChoose,
}: {
  status: TargetStatus
  /** The trace that is shown; the last one if none is chosen. */
  chosen: number | undefined
  onChoose: (trace: number) => void
}) {
  const mayRead = useCan('trace_read')
  const mayRun = useCan('trace_run')
  if (!mayRead) return null
  return (
    <Panel title="Path" isFlush>
      {mayRun && <TraceForm status={status} onBegun={onChoose} />}
      <Traces target={status.target.id} chosen={chosen} onChoose={onChoose} mayRun={mayRun} />
      <Paths target={status.target.id} onChoose={onChoose} />
    </Panel>
  )
}

function TraceForm({
  status,
  onBegun,
}: {
  status: TargetStatus
  onBegun: (trace: number) => void
}) {
  const agents = status.agents.map(({ agent }) => agent)
  const [agent, setAgent] = useState('')
  const [protocol, setProtocol] = useState<'icmp' | 'udp'>('icmp')
  const [flows, setFlows] = useState(1)
  const run = useTraceRun()
  const from = agents.find(({ id }) => String(id) === agent) ?? agents[0]
  if (from === undefined) {
    return <p className={css.calm}>No agent is assigned, so there is nobody to trace it.</p>
  }
  return (
    <>
      <form
        className={css.form}
        onSubmit={(event) => {
          event.preventDefault()
          run.mutate(
            { agent: from.id, target: status.target.id, protocol, flows },
            {
              onSuccess: ({ id }) => {
                onBegun(id)
              },
            },
          )
        }}
      >
        <NativeSelect
          size="xs"
          aria-label="Agent that traces"
          value={String(from.id)}
          data={agents.map(({ id, name }) => ({ value: String(id), label: name }))}
          onChange={(event) => {
            setAgent(event.currentTarget.value)
          }}
        />
        <NativeSelect
          size="xs"
          aria-label="Kind of packets"
          value={protocol}
          data={WAYS}
          onChange={(event) => {
            setProtocol(event.currentTarget.value === 'udp' ? 'udp' : 'icmp')
          }}
        />
        <NativeSelect
          size="xs"
          aria-label="Flows"
          value={String(flows)}
          data={FLOWS.map((n) => ({
            value: String(n),
            label: n === 1 ? '1 flow' : `${n} flows`,
          }))}
          onChange={(event) => {
            setFlows(Number(event.currentTarget.value))
          }}
        />
        <Button type="submit" size="compact-sm" loading={run.isPending}>
          Trace from {from.name}
        </Button>
        <p>Several flows show where equal ways part.</p>
      </form>
      {run.error && <Failure error={run.error} />}
    </>
  )
}

function Traces({
  target,
  chosen,
  onChoose,
  mayRun,
}: {
  target: number
  chosen: number | undefined
  onChoose: (trace: number) => void
  mayRun: boolean
}) {
  const { data, error } = useQuery(targetTracesQuery(target))
  if (error) return <Failure error={error} />
  const items = data?.items ?? []
  const shown = chosen ?? items[0]?.id
  if (shown === undefined) {
    return data && <p className={css.calm}>The way to it has not been traced yet.</p>
  }
  return (
    <>
      <TraceTable id={shown} mayRun={mayRun} />
      {items.length > 0 && (
        <ul className={css.list} aria-label="Traces to this target">
          {items.map((trace) => (
            <TraceLine
              key={trace.id}
              trace={trace}
              isShown={trace.id === shown}
              onChoose={onChoose}
            />
          ))}
        </ul>
      )}
    </>
  )
}

function TraceLine({
  trace,
  isShown,
  onChoose,
}: {
  trace: TraceHead
  isShown: boolean
  onChoose: (trace: number) => void
}) {
  const { words, isBad } = traceWords(trace)
  return (
    <li aria-current={isShown || undefined}>
      <UnstyledButton
        onClick={() => {
          onChoose(trace.id)
        }}
      >
        <Moment at={trace.created_at} />
      </UnstyledButton>
      <span>
        from {trace.agent.name}, {trace.protocol.toUpperCase()}
        {trace.why_note !== '' && `, by itself: ${trace.why_note}`}
      </span>
      <span className={isBad ? css.bad : undefined}>{words}</span>
    </li>
  )
}

/** Which ways packets took, as traces saw them: a change is told, and what it was before. */
function Paths({ target, onChoose }: { target: number; onChoose: (trace: number) => void }) {
  const { data, error } = useQuery(targetPathsQuery(target))
  if (error) return <Failure error={error} />
  const items = data?.items ?? []
  if (items.length === 0) return null
  return (
    <ul className={css.list} aria-label="Paths to this target">
      {items.map((path) => (
        <li key={path.id} aria-current={path.is_latest || undefined}>
          <UnstyledButton
            aria-label={`Trace ${path.trace}, which saw it last`}
            onClick={() => {
              onChoose(path.trace)
            }}
          >
            <Moment at={path.since} />
          </UnstyledButton>
          <span>
            from {path.agent.name}: {wayWords(path)}
          </span>
          <span>{pathWords(path)}</span>
        </li>
      ))}
    </ul>
  )
}

function TraceTable({ id, mayRun }: { id: number; mayRun: boolean }) {
  const { data: trace, error } = useQuery(traceQuery(id))
  const cancel = useTraceCancel()
  if (error) return <Failure error={error} />
  if (trace === undefined) return null
  const { words, isBad } = traceWords(trace)
  const columns = trace.flows > 1 ? [FLOW, ...COLUMNS] : COLUMNS
  return (
    <>
      <div className={css.head}>
        <b>From {trace.agent.name}</b>
        <p>
          to <span className="mono">{trace.traced ?? trace.address}</span> by{' '}
          {trace.protocol.toUpperCase()}, <Moment at={trace.created_at} />
        </p>
        <p data-bad={isBad || undefined} role="status">
          {words}
        </p>
        {trace.why_note !== '' && <p>Made by itself: {trace.why_note}</p>}
        {mayRun && isUnderWay(trace) && (
          <Button
            size="compact-xs"
            variant="default"
            loading={cancel.isPending}
            onClick={() => {
              cancel.mutate(id)
            }}
          >
            Cancel
          </Button>
        )}
      </div>
      {trace.hops.length > 0 && (
        <DataTable
          label="Hops"
          columns={columns}
          rows={hopRows(trace.hops)}
          rowId={(row) => row.key}
        />
      )}
    </>
  )
}

const FLOW: Column<HopRow> = {
  id: 'flow',
  head: 'Flow',
  isNumeric: true,
  cell: ({ hop, isFirst }) => (isFirst ? hop.flow + 1 : ''),
  width: '5%',
}

const COLUMNS: readonly Column<HopRow>[] = [
  {
    id: 'hop',
    head: 'Hop',
    isNumeric: true,
    card: 'corner',
    width: '5%',
    cell: ({ hop, isFirst }) => (isFirst ? hop.hop : ''),
  },
  {
    id: 'address',
    head: 'Address',
    card: 'title',
    width: '26%',
    cell: ({ answer }) => (
      <span className={css.who}>
        <span className="mono">{answer?.address ?? '*'}</span>
        {answer?.target && (
          <small>
            {answer.target.name}
            {answer.element !== null && ` at ${answer.element}`}
          </small>
        )}
      </span>
    ),
  },
  {
    id: 'loss',
    head: 'Unanswered',
    isNumeric: true,
    cell: ({ hop, isFirst }) =>
      isFirst ? (
        <span className={hopWords(hop).isBad ? css.bad : undefined}>{hopLoss(hop)}</span>
      ) : (
        ''
      ),
  },
  {
    id: 'sent',
    head: 'Sent',
    isNumeric: true,
    cell: ({ hop, isFirst }) => (isFirst ? hop.sent : ''),
  },
  {
    id: 'best',
    head: 'Best',
    isNumeric: true,
    cell: ({ answer }) => (answer === null ? NONE : rtt(answer.rtt_us_min)),
  },
  {
    id: 'mean',
    head: 'Mean',
    isNumeric: true,
    cell: ({ answer }) => (answer === null ? NONE : rtt(answer.rtt_us_mean)),
  },
  {
    id: 'worst',
    head: 'Worst',
    isNumeric: true,
    cell: ({ answer }) => (answer === null ? NONE : rtt(answer.rtt_us_max)),
  },
  {
    id: 'note',
    head: 'What it means',
    card: 'bare',
    cell: ({ hop, isFirst }) => {
      if (!isFirst) return 'answered too'
      const { words, isBad } = hopWords(hop)
      return <span className={isBad ? css.bad : undefined}>{words}</span>
    },
  },
]
