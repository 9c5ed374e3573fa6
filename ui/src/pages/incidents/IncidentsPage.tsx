/** All incidents: filtered, sorted; the address carries all of it. Open ones come first. */

import { Button } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { Link, getRouteApi, useNavigate } from '@tanstack/react-router'

import { useIncidentAct } from '../../api/commands'
import { incidentsQuery } from '../../api/queries'
import type { Incident } from '../../api/types'
import {
  type IncidentFilter,
  headline,
  hitWords,
  isIncidentFiltered,
  lasted,
  severityMark,
  stateMark,
} from '../../domain/incident'
import { count, many } from '../../domain/units'
import { type Column, DataTable } from '../../ui/DataTable'
import { Failure } from '../../ui/Failure'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useNow } from '../../ui/clock'
import { isInChord } from '../../ui/keys'
import { useCan } from '../../ui/session'
import { IncidentFilters } from './IncidentFilters'
import css from './Incidents.module.css'

const COLUMNS: readonly Column<Incident>[] = [
  {
    id: 'severity',
    head: 'Severity',
    width: '112px',
    card: 'bare',
    cell: (incident) => <MarkLabel mark={severityMark(incident.severity)} />,
  },
  {
    id: 'cause',
    head: 'What',
    card: 'title',
    cell: (incident) => (
      <span className={css.what}>
        <Link to="/incidents/$id" params={{ id: incident.id }} className={css.name}>
          {headline(incident.sentence)}
        </Link>
        <small>
          #{incident.id}
          {hitWords(incident)}
          {incident.is_silent && ' · in maintenance: nobody was told'}
        </small>
      </span>
    ),
  },
  {
    id: 'since',
    head: 'Since',
    width: '190px',
    cell: (incident) => (
      <span className={css.when}>
        <Moment at={incident.onset_until} />
      </span>
    ),
  },
  {
    id: 'lasted',
    head: 'Lasts',
    width: '110px',
    cell: (incident) => <Lasted incident={incident} />,
  },
  {
    id: 'state',
    head: 'State',
    width: '150px',
    cell: (incident) => <MarkLabel mark={stateMark(incident)} />,
  },
  {
    id: 'owner',
    head: 'Owner',
    width: '130px',
    cell: (incident) => incident.owner ?? <span className={css.quiet}>nobody</span>,
  },
]

function Lasted({ incident }: { incident: Incident }) {
  const now = useNow()
  return <>{lasted(incident, now)}</>
}

const route = getRouteApi('/inside/incidents')

export default function IncidentsPage() {
  const filter = route.useSearch()
  const navigate = useNavigate()
  const mayManage = useCan('incident_manage')
  const act = useIncidentAct({ hasNoForm: true })
  const { data, error, hasNextPage, isFetchingNextPage, fetchNextPage } = useInfiniteQuery(
    incidentsQuery(filter),
  )
  const first = data?.pages[0]
  return (
    <>
      <PageHeader
        title="Incidents"
        lead={first === undefined ? 'Loading' : openSentence(first.open, first.unacknowledged)}
      />
      <IncidentFilters filter={filter} />
      <Failure error={error} />
      {data !== undefined && (
        <Panel isFlush>
          <DataTable
            label="Incidents"
            columns={COLUMNS}
            rows={data.pages.flatMap((page) => page.items)}
            rowId={(incident) => String(incident.id)}
            onOpen={({ id }) => void navigate({ to: '/incidents/$id', params: { id } })}
            onKey={({ id, state, acknowledged_by }, event) => {
              const isDue = mayManage && state === 'open' && acknowledged_by === null
              if (event.key !== 'a' || event.ctrlKey || event.metaKey || event.altKey) return
              if (isDue && !isInChord(event)) act.mutate({ id, act: 'acknowledge' })
            }}
            empty={<Nothing filter={filter} />}
          />
        </Panel>
      )}
      {hasNextPage && (
        <Button
          variant="default"
          mt="md"
          loading={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
        >
          More incidents
        </Button>
      )}
    </>
  )
}

function openSentence(open: number, unacknowledged: number): string {
  if (open === 0) return 'Nothing is open.'
  const waiting =
    unacknowledged === 0
      ? `somebody looks at ${open === 1 ? 'it' : 'each'}`
      : unacknowledged === open
        ? `nobody looks at ${open === 1 ? 'it' : 'them'} yet`
        : `nobody looks at ${count(unacknowledged)} of them yet`
  return `${many(open, 'incident')} open: ${waiting}.`
}

function Nothing({ filter }: { filter: IncidentFilter }) {
  if (isIncidentFiltered(filter)) {
    return (
      <Empty
        title="No incident of this filter"
        action={
          <Button
            size="sm"
            variant="default"
            renderRoot={(props) => <Link to="/incidents" search={{ show: 'all' }} {...props} />}
          >
            Show all incidents
          </Button>
        }
      />
    )
  }
  if (filter.show === undefined) {
    return (
      <Empty
        title="Nothing is open"
        action={
          <Button
            size="sm"
            variant="default"
            renderRoot={(props) => <Link to="/incidents" search={{ show: 'all' }} {...props} />}
          >
            Show past ones
          </Button>
        }
      >
        When something fails, its cause stands here once, with everything behind it: one incident
        for one cause.
      </Empty>
    )
  }
  return (
    <Empty title="No incident yet">
      Incidents follow from what agents report and from the topology: describe the network with{' '}
      <code>faultline topology import</code>, and each failure is told here once, with its cause.
    </Empty>
  )
}
