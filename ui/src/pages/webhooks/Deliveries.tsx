/** What was sent to one webhook, newest first. */

import { Button, SegmentedControl } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'

import { deliveriesQuery } from '../../api/queries'
import type { Delivery } from '../../api/types'
import { parseTime } from '../../domain/time'
import { NONE, count, duration } from '../../domain/units'
import { type DeliveryState, deliveryMark, kindWords } from '../../domain/webhook'
import { type Column, DataTable } from '../../ui/DataTable'
import { Failure } from '../../ui/Failure'
import { Empty, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useNow } from '../../ui/clock'
import css from './Webhooks.module.css'

const FILTERS = [
  { value: 'all', label: 'All' },
  { value: 'due', label: 'Waiting' },
  { value: 'dead', label: 'Given up' },
] as const

const COLUMNS: readonly Column<Delivery>[] = [
  {
    id: 'when',
    head: 'When',
    width: '190px',
    card: 'corner',
    cell: (delivery) => (
      <span className={css.when}>
        <Moment at={delivery.created_at} />
      </span>
    ),
  },
  {
    id: 'what',
    head: 'What happened',
    card: 'title',
    cell: (delivery) => (
      <>
        <b>{kindWords(delivery.kind)}</b> <IncidentLink id={delivery.incident} />
      </>
    ),
  },
  {
    id: 'state',
    head: 'State',
    width: '110px',
    cell: (delivery) => <MarkLabel mark={deliveryMark(delivery.state)} />,
  },
  {
    id: 'tries',
    head: 'Tries',
    width: '64px',
    isNumeric: true,
    cell: (delivery) => count(delivery.tries_total),
  },
  {
    id: 'next',
    head: 'Next try',
    width: '110px',
    cell: (delivery) => <Until at={delivery.next_at} />,
  },
  {
    id: 'reason',
    head: 'Reason',
    width: '38%',
    card: 'bare',
    cell: (delivery) => <span className={css.reason}>{delivery.reason ?? ''}</span>,
  },
]

/** The incident that a message tells of, if it is one. */
export function IncidentLink({ id }: { id: number | null }) {
  if (id === null) return null
  return (
    <Link to="/incidents/$id" params={{ id }}>
      #{id}
    </Link>
  )
}

export function Until({ at }: { at: string | null }) {
  const now = useNow()
  const moment = parseTime(at)
  if (moment === null) return NONE
  return moment <= now ? 'now' : `in ${duration(moment - now)}`
}

interface Props {
  id: number
  state: DeliveryState | undefined
  onState: (state: DeliveryState | undefined) => void
  onOpen: (id: number) => void
}

export function Deliveries({ id, state, onState, onOpen }: Props) {
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    deliveriesQuery(id, state),
  )
  const filter = (
    <SegmentedControl
      size="xs"
      aria-label="Which messages"
      value={state ?? 'all'}
      onChange={(value) => {
        onState(value === 'due' || value === 'dead' ? value : undefined)
      }}
      data={[...FILTERS]}
    />
  )
  return (
    <>
      <Panel title="Messages" aside={filter} isFlush>
        <Failure error={error} />
        {data !== undefined && (
          <DataTable
            label="Messages"
            columns={COLUMNS}
            rows={data.pages.flatMap((page) => page.items)}
            rowId={(delivery) => String(delivery.id)}
            onOpen={(delivery) => {
              onOpen(delivery.id)
            }}
            empty={<Nothing state={state} />}
          />
        )}
      </Panel>
      {hasNextPage && (
        <Button
          variant="default"
          style={{ justifySelf: 'start' }}
          loading={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
        >
          Earlier messages
        </Button>
      )}
    </>
  )
}

function Nothing({ state }: { state: DeliveryState | undefined }) {
  switch (state) {
    case 'dead':
      return <Empty title="Nothing was given up" />
    case 'due':
      return <Empty title="Nothing waits" />
    default:
      return (
        <Empty title="Nothing was sent yet">
          Each message stands here with its tries. Press Test to send one now.
        </Empty>
      )
  }
}
