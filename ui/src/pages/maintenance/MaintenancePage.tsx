/** Maintenance: what is open now, what is planned, and what is over. */

import { Button } from '@mantine/core'
import { useInfiniteQuery, useSuspenseQuery } from '@tanstack/react-query'
import { Link, getRouteApi, useNavigate } from '@tanstack/react-router'

import { maintenancePastQuery, maintenanceQuery } from '../../api/queries'
import type { Maintenance } from '../../api/types'
import { coverWords, occurrenceOf, spanWords, windowMark } from '../../domain/maintenance'
import { many } from '../../domain/units'
import { type Column, DataTable } from '../../ui/DataTable'
import { Icon } from '../../ui/Icon'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { MarkLabel } from '../../ui/Verdict'
import { useCan } from '../../ui/session'
import css from './Maintenance.module.css'
import { PlanDialog } from './PlanForm'

const COLUMNS: readonly Column<Maintenance>[] = [
  {
    id: 'state',
    head: 'State',
    width: '126px',
    card: 'bare',
    cell: (window) => <MarkLabel mark={windowMark(window)} />,
  },
  {
    id: 'title',
    head: 'What',
    card: 'title',
    cell: (window) => (
      <span className={css.what}>
        <Link to="/maintenance/$id" params={{ id: window.id }} className={css.name}>
          {window.title}
        </Link>
        <small>
          #{window.id} · {coverWords(window.covers)}
        </small>
      </span>
    ),
  },
  {
    id: 'when',
    head: 'When',
    width: '36%',
    cell: (window) => <When window={window} />,
  },
  {
    id: 'by',
    head: 'By',
    width: '130px',
    cell: (window) => window.created_by ?? 'Faultline',
  },
]

function When({ window }: { window: Maintenance }) {
  const occurrence = occurrenceOf(window)
  return (
    <span className={css.what}>
      {occurrence === null ? 'never' : spanWords(occurrence)}
      <small>
        {window.zone}
        {window.rule !== null && ` · ${window.rule}`}
      </small>
    </span>
  )
}

const route = getRouteApi('/inside/maintenance')

export default function MaintenancePage() {
  const { dialog } = route.useSearch()
  const navigate = useNavigate()
  const mayPlan = useCan('maintenance_write')
  const { data } = useSuspenseQuery(maintenanceQuery)
  const past = useInfiniteQuery(maintenancePastQuery)
  const open = data.items.filter((window) => window.state === 'open')
  const planned = data.items.filter((window) => window.state !== 'open')
  const over = past.data?.pages.flatMap((page) => page.items) ?? []
  const show = (next?: 'plan') =>
    void navigate({ to: '/maintenance', search: { dialog: next }, replace: next === undefined })
  const plan = mayPlan && (
    <Button
      leftSection={<Icon name="plus" />}
      onClick={() => {
        show('plan')
      }}
    >
      Plan maintenance
    </Button>
  )
  const isEmpty = data.items.length + over.length === 0
  return (
    <>
      <PageHeader title="Maintenance" lead={sentence(open.length)} actions={!isEmpty && plan} />
      <div className={css.page}>
        {isEmpty && (
          <Panel>
            <Empty title="Nothing is planned" action={plan}>
              A window says what somebody works on, and when. While it is open nobody is told of
              what fails because of it; everything is recorded all the same, and afterwards one
              message says what did not come back.
            </Empty>
          </Panel>
        )}
        <Windows label="Open now" rows={open} />
        <Windows label="Planned" rows={planned} />
        <Windows label="Past" rows={over} />
        {past.hasNextPage && (
          <Button
            variant="default"
            loading={past.isFetchingNextPage}
            onClick={() => void past.fetchNextPage()}
          >
            Earlier ones
          </Button>
        )}
      </div>
      <PlanDialog
        isOpen={dialog === 'plan' && mayPlan}
        onClose={() => {
          show()
        }}
      />
    </>
  )
}

function sentence(open: number): string {
  return open === 0
    ? 'No window is open: everything is told.'
    : `${many(open, 'window')} open: what fails inside is recorded, and told to nobody.`
}

function Windows({ label, rows }: { label: string; rows: Maintenance[] }) {
  const navigate = useNavigate()
  if (rows.length === 0) return null
  return (
    <Panel title={label} isFlush>
      <DataTable
        label={label}
        columns={COLUMNS}
        rows={rows}
        rowId={(window) => String(window.id)}
        onOpen={({ id }) => void navigate({ to: '/maintenance/$id', params: { id } })}
        empty={null}
      />
    </Panel>
  )
}
