/** What is described of the network: searched, checked, imported, exported, and asked. */

import { Button, Menu, SegmentedControl, TextInput } from '@mantine/core'
import { useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useDeferredValue, useState } from 'react'

import { mapQuery, singlePointsQuery, topologyCheckQuery, topologyQuery } from '../../api/queries'
import type { TopologyElement, TopologyTarget } from '../../api/types'
import type { NetMap } from '../../domain/netmap'
import { FORMATS, KINDS, type Kind, type TopologySearch } from '../../domain/topology'
import { count, many } from '../../domain/units'
import { VERDICTS, verdictMark } from '../../domain/verdict'
import { type Column, DataTable } from '../../ui/DataTable'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { MarkLabel } from '../../ui/Verdict'
import { Words } from '../../ui/Words'
import { useCan } from '../../ui/session'
import { About } from './About'
import { ImportTopology } from './ImportTopology'
import css from './TopologyPage.module.css'
import { WhatIf } from './WhatIf'

/** Rows that are drawn at once; the search finds the rest. */
const ROWS_STEP = 200
/** Sentences of a check that stand there at once. */
const ODD_MAX = 6

export default function TopologyPage() {
  const { data: map } = useSuspenseQuery(mapQuery)
  const search = useSearch({ from: '/inside/topology' })
  const navigate = useNavigate({ from: '/topology' })
  const mayWrite = useCan('topology_write')
  const set = (change: Partial<TopologySearch>) => {
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
  }
  const kind = search.kind ?? 'device'
  const isEmpty = map.devices.size === 0 && map.sites.size === 0
  const open = () => {
    set({ dialog: 'import' })
  }
  return (
    <>
      <PageHeader
        title="Topology"
        lead={
          isEmpty
            ? 'What hangs on what, so that a cause can be named.'
            : `${many(map.sites.size, 'site')}, ${many(map.devices.size, 'device')}, ${many(map.links.size, 'link')}; version ${map.topologyVersion}.`
        }
        actions={
          <>
            {!isEmpty && <Export />}
            {mayWrite && (
              <Button leftSection={<Icon name="upload" />} onClick={open}>
                Import
              </Button>
            )}
          </>
        }
      />
      {isEmpty ? (
        <Panel>
          <Empty
            title="The network is not described yet"
            action={mayWrite && <Button onClick={open}>Import a file</Button>}
          >
            A spreadsheet with devices, links and what each target stands behind is enough; so is
            a GraphML file of the Topology Zoo.
          </Empty>
        </Panel>
      ) : (
        <div className={css.page}>
          <Odd />
          <div className={css.bar}>
            <SegmentedControl
              aria-label="Kind"
              size="xs"
              className={css.kinds}
              value={kind}
              data={[
                ...KINDS.map((one) => ({ value: one.kind, label: one.label })),
                { value: 'points', label: 'Single points' },
              ]}
              onChange={(value) => {
                set({ kind: value as Kind | 'points' })
              }}
            />
            <TextInput
              aria-label="Search the topology"
              placeholder="Search"
              size="xs"
              leftSection={<Icon name="search" size={14} />}
              value={search.q ?? ''}
              onChange={(event) => {
                set({ q: event.currentTarget.value || undefined })
              }}
            />
          </div>
          <Panel isFlush>
            {kind === 'points' ? (
              <Points
                q={search.q ?? ''}
                onLose={(lose) => {
                  set({ lose })
                }}
              />
            ) : (
              <Parts key={kind} kind={kind} map={map} q={search.q ?? ''} set={set} />
            )}
          </Panel>
        </div>
      )}
      <ImportTopology
        isOpen={search.dialog === 'import' && mayWrite}
        onClose={() => {
          set({ dialog: undefined })
        }}
      />
      <WhatIf
        lose={search.lose ?? null}
        onClose={() => {
          set({ lose: undefined })
        }}
      />
      <About
        map={map}
        id={search.about ?? null}
        onClose={() => {
          set({ about: undefined })
        }}
        onLose={(lose) => {
          set({ lose, about: undefined })
        }}
      />
    </>
  )
}

function Export() {
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" rightSection={<Icon name="down" size={10} />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {FORMATS.map((format) => (
          <Menu.Item
            key={format}
            component="a"
            href={`/api/v1/topology/export?format=${format}`}
            download
          >
            {
              { csv: 'CSV', yaml: 'YAML', json: 'JSON', graphml: 'GraphML', topohub: 'topohub' }[
                format
              ]
            }
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}

/** What the check says of what is in force. */
function Odd() {
  const { data } = useQuery(topologyCheckQuery)
  const [isWhole, setWhole] = useState(false)
  const all = [...(data?.warnings ?? []), ...(data?.doubts ?? [])]
  if (all.length === 0) return null
  return (
    <section className={css.odd} aria-label="What is odd">
      <ul>
        {(isWhole ? all : all.slice(0, ODD_MAX)).map((text) => (
          <li key={text}>
            <Words text={text} />
          </li>
        ))}
      </ul>
      {all.length > ODD_MAX && !isWhole && (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => {
            setWhole(true)
          }}
        >
          Show all {count(all.length)}
        </Button>
      )}
    </section>
  )
}

type Part = TopologyElement & TopologyTarget

function Parts({
  kind,
  map,
  q,
  set,
}: {
  kind: Kind
  map: NetMap
  q: string
  set: (change: Partial<TopologySearch>) => void
}) {
  const { data, error } = useQuery(topologyQuery(kind))
  const words = useDeferredValue(q.trim().toLowerCase())
  const [shown, setShown] = useState(ROWS_STEP)
  if (error !== null) return <Failure error={error} />
  if (data === undefined) return <p className={css.wait}>Loading…</p>
  const all = (kind === 'target' ? data.targets : data.elements) as unknown as Part[]
  const rows = all.filter((part) => words === '' || textOf(part).includes(words))
  return (
    <>
      <DataTable
        label={KINDS.find((one) => one.kind === kind)?.label ?? kind}
        columns={columnsOf(kind, map, set)}
        rows={rows.slice(0, shown)}
        rowId={(row) => row.id}
        empty={
          <Empty title={all.length === 0 ? 'None is described' : 'Nothing is found'}>
            {all.length === 0 ? 'An import can add some.' : 'Search for less.'}
          </Empty>
        }
      />
      {rows.length > shown && (
        <div className={css.more}>
          <Button
            variant="default"
            onClick={() => {
              setShown((before) => before + ROWS_STEP)
            }}
          >
            Show more of {count(rows.length)}
          </Button>
        </div>
      )}
    </>
  )
}

function textOf(part: Part): string {
  const { id, name, role, site, device, ends, srlg } = part
  return [id, name, role, site, device, ...(ends ?? []), ...(srlg ?? [])].join(' ').toLowerCase()
}

function columnsOf(
  kind: Kind,
  map: NetMap,
  set: (change: Partial<TopologySearch>) => void,
): Column<Part>[] {
  const text = (id: string, head: string, of: (row: Part) => string): Column<Part> => ({
    id,
    head,
    by: of,
    cell: (row) => of(row) || '–',
  })
  const number = (id: string, head: string, of: (row: Part) => number | null): Column<Part> => ({
    id,
    head,
    isNumeric: true,
    by: (row) => of(row) ?? -1,
    cell: (row) => {
      const value = of(row)
      return value === null ? '–' : count(value)
    },
  })
  const marks = { site: map.sites, device: map.devices, link: map.links, upstream: map.devices }
  const states = kind in marks ? marks[kind as keyof typeof marks] : null
  const columns: Column<Part>[] = [
    {
      id: 'id',
      head: 'Name',
      card: 'title',
      by: (row) => row.id,
      cell: (row) =>
        kind === 'device' ? (
          <button
            type="button"
            className={css.open}
            onClick={() => {
              set({ about: row.id })
            }}
          >
            {row.id}
          </button>
        ) : (
          row.id
        ),
    },
  ]
  if (states !== null) {
    columns.push({
      id: 'state',
      head: 'State',
      card: 'corner',
      by: (row) => VERDICTS.indexOf(states.get(row.id)?.state ?? 'unknown'),
      cell: (row) => (
        <span title={states.get(row.id)?.why}>
          <MarkLabel mark={verdictMark(states.get(row.id)?.state ?? 'unknown')} size="sm" />
        </span>
      ),
    })
  }
  switch (kind) {
    case 'site':
      columns.push(
        text('at', 'Coordinates', ({ latitude, longitude }) =>
          typeof latitude === 'number' && typeof longitude === 'number'
            ? `${latitude.toFixed(3)}, ${longitude.toFixed(3)}`
            : '',
        ),
        number('devices', 'Devices', ({ id }) => map.shape.devicesOf.get(id)?.length ?? 0),
      )
      break
    case 'device':
      columns.push(
        text('role', 'Role', ({ role }) => role?.replace('_', ' ') ?? ''),
        text('site', 'Site', ({ site }) => site ?? ''),
        number('customers', 'Customers', ({ customers }) => customers ?? null),
      )
      break
    case 'link':
      columns.push(
        text('from', 'From', ({ ends }) => ends?.[0] ?? ''),
        text('to', 'To', ({ ends }) => ends?.[1] ?? ''),
        number('cost', 'Cost', ({ cost }) => cost ?? 1),
        text('srlg', 'Shared risks', ({ srlg }) => srlg?.join(', ') ?? ''),
      )
      break
    case 'upstream':
      columns.push(
        text('role', 'Role', ({ role }) => role ?? ''),
        text('device', 'At', ({ device }) => device ?? ''),
      )
      break
    case 'srlg':
      columns.push(text('role', 'Role', ({ role }) => role ?? ''))
      break
    case 'agent':
      columns.push(
        text('device', 'At', ({ device }) => device ?? ''),
        text('name', 'Called in the inventory', ({ id, name }) => name ?? id),
      )
      break
    case 'target':
      columns.push(
        text('device', 'Behind', ({ device }) => device ?? ''),
        number('weight', 'Weight', ({ weight }) => weight ?? 1),
      )
      break
  }
  if (kind !== 'agent' && kind !== 'target') {
    columns.push({
      id: 'lose',
      head: '',
      cell: (row) => (
        <Button
          size="compact-xs"
          variant="default"
          aria-label={`What if ${row.id} fails`}
          onClick={() => {
            set({ lose: row.id })
          }}
        >
          What if
        </Button>
      ),
    })
  }
  return columns
}

function Points({ q, onLose }: { q: string; onLose: (id: string) => void }) {
  const { data, error } = useQuery(singlePointsQuery)
  if (error !== null) return <Failure error={error} />
  if (data === undefined)
    return (
      <p className={css.wait}>Looking at each element: on a large network it takes seconds…</p>
    )
  const rows = data.single_points.filter(({ element }) =>
    element.toLowerCase().includes(q.trim().toLowerCase()),
  )
  return (
    <DataTable
      label="Single points of failure"
      rows={rows.slice(0, ROWS_STEP)}
      rowId={({ element }) => element}
      columns={[
        {
          id: 'element',
          head: 'Name',
          card: 'title',
          by: (row) => row.element,
          cell: (row) => row.element,
        },
        { id: 'kind', head: 'Kind', by: (row) => row.kind, cell: (row) => row.kind },
        {
          id: 'targets',
          head: 'Targets nobody reaches then',
          isNumeric: true,
          by: (row) => row.targets,
          cell: (row) => count(row.targets),
        },
        {
          id: 'weight',
          head: 'Weight',
          isNumeric: true,
          by: (row) => row.weight,
          cell: (row) => count(row.weight),
        },
        {
          id: 'lose',
          head: '',
          cell: (row) => (
            <Button
              size="compact-xs"
              variant="default"
              aria-label={`What if ${row.element} fails`}
              onClick={() => {
                onLose(row.element)
              }}
            >
              What if
            </Button>
          ),
        },
      ]}
      empty={
        <Empty title="There is no single point of failure">
          Whatever fails alone, somebody reaches every target.
        </Empty>
      }
    />
  )
}
