/** The map as tables: the same sites and links with the same states and reasons. */

import { useState } from 'react'
import { Button } from '@mantine/core'
import { Link } from '@tanstack/react-router'

import type { MapLink, MapSite } from '../../api/types'
import { type Focus, type NetMap, bySeverity } from '../../domain/netmap'
import { count } from '../../domain/units'
import { VERDICTS, verdictMark } from '../../domain/verdict'
import { type Column, DataTable } from '../../ui/DataTable'
import { Empty } from '../../ui/Panel'
import { MarkLabel } from '../../ui/Verdict'
import css from './MapPage.module.css'

/** Rows that are shown at once: more are no table for a person, and slow. */
const ROWS_STEP = 250

export function SiteTable({
  map,
  found,
  focus,
  onOpen,
}: {
  map: NetMap
  found: ReadonlySet<string> | null
  focus: Focus | null
  onOpen: (site: string) => void
}) {
  const rows = [...map.sites.values()]
    .filter(
      ({ id }) => (found === null || found.has(id)) && (focus === null || focus.sites.has(id)),
    )
    .sort(bySeverity)
  const columns: Column<MapSite>[] = [
    {
      id: 'id',
      head: 'Site',
      card: 'title',
      by: (row) => row.id,
      cell: (row) => (
        <button
          type="button"
          className={css.open}
          onClick={() => {
            onOpen(row.id)
          }}
        >
          {row.id}
        </button>
      ),
    },
    {
      id: 'state',
      head: 'State',
      card: 'corner',
      by: (row) => VERDICTS.indexOf(row.state),
      cell: (row) => <MarkLabel mark={verdictMark(row.state)} size="sm" />,
    },
    { id: 'why', head: 'Why', card: 'bare', cell: (row) => row.why },
    {
      id: 'devices',
      head: 'Devices',
      isNumeric: true,
      by: (row) => map.shape.devicesOf.get(row.id)?.length ?? 0,
      cell: (row) => count(map.shape.devicesOf.get(row.id)?.length ?? 0),
    },
    {
      id: 'links',
      head: 'Links',
      isNumeric: true,
      by: (row) => map.shape.linksOf.get(row.id)?.length ?? 0,
      cell: (row) => count(map.shape.linksOf.get(row.id)?.length ?? 0),
    },
    {
      id: 'down',
      head: 'Targets down',
      isNumeric: true,
      by: (row) => row.targets?.down ?? 0,
      cell: (row) => count(row.targets?.down ?? 0),
    },
    {
      id: 'targets',
      head: 'Targets',
      isNumeric: true,
      by: (row) => targetsOf(row),
      cell: (row) => count(targetsOf(row)),
    },
    {
      id: 'incidents',
      head: 'Incidents',
      cell: (row) => <Incidents of={row} />,
    },
  ]
  return <Rows label="Sites" columns={columns} rows={rows} />
}

export function targetsOf({ targets }: { targets?: MapSite['targets'] }): number {
  if (targets === undefined || targets === null) return 0
  return targets.up + targets.degraded + targets.down + targets.unknown + targets.paused
}

export function Incidents({ of }: { of: { incidents?: number[] } }) {
  const all = of.incidents ?? []
  if (all.length === 0) return <>–</>
  return (
    <span className={css.numbers}>
      {all.slice(0, 5).map((id) => (
        <Link key={id} to="/incidents/$id" params={{ id }}>
          #{id}
        </Link>
      ))}
    </span>
  )
}

export function LinkTable({
  map,
  found,
  focus,
}: {
  map: NetMap
  found: ReadonlySet<string> | null
  focus: Focus | null
}) {
  const isFound = (link: MapLink) => {
    if (focus !== null && !focus.links.has(link.id)) return false
    if (found === null) return true
    const ends = [link.from, link.to].map((end) => map.shape.siteOfDevice.get(end) ?? '')
    return ends.some((site) => found.has(site))
  }
  const rows = [...map.links.values()].filter(isFound).sort(bySeverity)
  const columns: Column<MapLink>[] = [
    { id: 'id', head: 'Link', card: 'title', by: (row) => row.id, cell: (row) => row.id },
    {
      id: 'state',
      head: 'State',
      card: 'corner',
      by: (row) => VERDICTS.indexOf(row.state),
      cell: (row) => <MarkLabel mark={verdictMark(row.state)} size="sm" />,
    },
    { id: 'why', head: 'Why', card: 'bare', cell: (row) => row.why },
    { id: 'from', head: 'From', by: (row) => row.from, cell: (row) => row.from },
    { id: 'to', head: 'To', by: (row) => row.to, cell: (row) => row.to },
    { id: 'incidents', head: 'Incidents', cell: (row) => <Incidents of={row} /> },
  ]
  return <Rows label="Links" columns={columns} rows={rows} />
}

function Rows<T extends { id: string }>({
  label,
  columns,
  rows,
}: {
  label: string
  columns: readonly Column<T>[]
  rows: readonly T[]
}) {
  const [shown, setShown] = useState(ROWS_STEP)
  return (
    <>
      <DataTable
        label={label}
        columns={columns}
        rows={rows.slice(0, shown)}
        rowId={(row) => row.id}
        empty={<Empty title="Nothing is found">Take a filter away to see more.</Empty>}
      />
      {rows.length > shown && (
        <div className={css.more}>
          <Button
            variant="default"
            onClick={() => {
              setShown((before) => before + ROWS_STEP)
            }}
          >
            Show more of {count(rows.length)}, the worst first
          </Button>
        </div>
      )}
    </>
  )
}
