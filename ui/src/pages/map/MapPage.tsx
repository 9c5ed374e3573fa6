/** The network: sites and links as they are, or were, on a map or as a table. */

import { Button, SegmentedControl, Select } from '@mantine/core'
import { useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useMemo } from 'react'

import { Problem } from '../../api/client'
import { mapAtQuery, mapQuery } from '../../api/queries'
import { layoutOf } from '../../domain/layout'
import type { MapSearch } from '../../domain/mapSearch'
import {
  type MapFilter,
  type NetMap,
  choices,
  focusOf,
  mapSentence,
  matching,
  stateCounts,
} from '../../domain/netmap'
import { parseTime } from '../../domain/time'
import { count } from '../../domain/units'
import { VERDICTS, verdictMark } from '../../domain/verdict'
import { SiteMap } from '../../map/SiteMap'
import { MarkShape } from '../../ui/Icon'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { useCan } from '../../ui/session'
import css from './MapPage.module.css'
import { MapPanel } from './MapPanel'
import { LinkTable, SiteTable } from './MapTables'
import { TimeSlider } from './TimeSlider'

export default function MapPage() {
  const { data: now } = useSuspenseQuery(mapQuery)
  const search = useSearch({ from: '/inside/map' })
  const navigate = useNavigate({ from: '/map' })
  const at = parseTime(search.at)
  const { data: then, isPlaceholderData, error } = useQuery(mapAtQuery(at))
  const map = at === null || error !== null ? now : (then ?? now)
  const isWaiting = at !== null && error === null && (isPlaceholderData || then === undefined)
  const set = (change: Partial<MapSearch>) => {
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
  }
  if (now.sites.size === 0) return <NoTopology />
  const isTable = search.view === 'table'
  return (
    <div className={css.page}>
      <PageHeader
        title={mapSentence(map)}
        lead={<Lead map={map} />}
        actions={
          <>
            <Link to="/wall" className={css.wall}>
              For a wall
            </Link>
            <SegmentedControl
              aria-label="Show as"
              size="xs"
              value={isTable ? 'table' : 'map'}
              data={[
                { value: 'map', label: 'Map' },
                { value: 'table', label: 'Table' },
              ]}
              onChange={(value) => {
                set({ view: value === 'table' ? 'table' : undefined })
              }}
            />
          </>
        }
      />
      <Filters map={map} search={search} set={set} />
      {search.incident !== undefined && <Focused map={map} search={search} set={set} />}
      {at !== null && error !== null && (
        <p className={css.refused} role="alert">
          {search.at} cannot be shown: {reasonOf(error)}. What is shown is as it is now.
        </p>
      )}
      {isTable ? (
        <Tables map={map} search={search} set={set} />
      ) : (
        <Stage map={map} search={search} set={set} isPast={map.isPast} isWaiting={isWaiting} />
      )}
      <TimeSlider
        at={at}
        map={map}
        incident={search.incident}
        isWaiting={isWaiting}
        onMove={(next) => {
          set({
            at: next === null ? undefined : new Date(next).toISOString().replace('.000', ''),
          })
        }}
      />
    </div>
  )
}

/** What the server says is the matter with the moment, if it says it. */
function reasonOf(error: Error): string {
  const reason = error instanceof Problem ? error.fields.at(0)?.reason : undefined
  return reason === undefined ? error.message : `it ${reason}`
}

interface Parts {
  map: NetMap
  search: MapSearch
  set: (change: Partial<MapSearch>) => void
}

function Lead({ map }: { map: NetMap }) {
  const links = stateCounts(map.links.values())
  const bad = [
    links.down > 0 && `${count(links.down)} down`,
    links.degraded > 0 && `${count(links.degraded)} degraded`,
    links.unknown > 0 && `${count(links.unknown)} unknown`,
  ].filter((part) => part !== false)
  return (
    <>
      {count(map.links.size)} {map.links.size === 1 ? 'link' : 'links'}
      {bad.length > 0 && `: ${bad.join(', ')}`}.
      {map.targetsOutside > 0 && (
        <> {count(map.targetsOutside)} targets stand nowhere on the map.</>
      )}
      {map.shape.unplaced > 0 && (
        <>
          {' '}
          {map.shape.unplaced === map.sites.size
            ? 'No site has coordinates, so this is a plan: give sites a '
            : `${count(map.shape.unplaced)} without coordinates are drawn beside their neighbours: give them a `}
          <code>latitude</code> and a <code>longitude</code> in the topology.
        </>
      )}
    </>
  )
}

function Filters({ map, search, set }: Parts) {
  // Tags and roles change with the network, not with its states.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const { tags, roles } = useMemo(() => choices(map), [map.shape])
  const counts = stateCounts(map.sites.values())
  return (
    <div className={css.filters} role="group" aria-label="Filters">
      <div className={css.states}>
        {VERDICTS.map((state) => {
          const mark = verdictMark(state)
          const isOn = search.state === state
          return (
            <button
              key={state}
              type="button"
              className={`${css.state} tone-${mark.tone}`}
              aria-pressed={isOn}
              onClick={() => {
                set({ state: isOn ? undefined : state })
              }}
            >
              <MarkShape icon={mark.icon} />
              {mark.word} <b>{count(counts[state])}</b>
            </button>
          )
        })}
      </div>
      {tags.length > 0 && (
        <Select
          aria-label="Tag"
          placeholder="Any tag"
          size="xs"
          w={140}
          clearable
          searchable
          data={tags}
          value={search.tag ?? null}
          onChange={(value) => {
            set({ tag: value ?? undefined })
          }}
        />
      )}
      {roles.length > 0 && (
        <Select
          aria-label="Role"
          placeholder="Any role"
          size="xs"
          w={140}
          clearable
          data={roles.map((role) => ({ value: role, label: role.replace('_', ' ') }))}
          value={search.role ?? null}
          onChange={(value) => {
            set({ role: value ?? undefined })
          }}
        />
      )}
    </div>
  )
}

/** Which incident the map is about. */
function Focused({ map, search, set }: Parts) {
  const incident = map.incidents.find(({ id }) => id === search.incident)
  return (
    <div className={css.focused} role="status">
      <p>
        <Link to="/incidents/$id" params={{ id: search.incident ?? 0 }}>
          #{search.incident}
        </Link>{' '}
        {incident === undefined ? 'is not open at this moment.' : incident.sentence}
      </p>
      <Button
        variant="default"
        onClick={() => {
          set({ incident: undefined })
        }}
      >
        Show everything
      </Button>
    </div>
  )
}

function Stage({
  map,
  search,
  set,
  isPast,
  isWaiting,
}: Parts & { isPast: boolean; isWaiting: boolean }) {
  const { shape, sites } = map
  // Laid out for the network, not for its states.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const layout = useMemo(() => layoutOf(sites.values(), shape.bundles), [shape])
  const filter: MapFilter = search
  const found = useMemo(() => matching(map, filter), [map, filter])
  const focus = useMemo(
    () => (search.incident === undefined ? null : focusOf(map, search.incident)),
    [map, search.incident],
  )
  const selected = search.site ?? null
  return (
    <div
      className={css.stage}
      data-past={isPast || undefined}
      data-waiting={isWaiting || undefined}
    >
      <div className={css.canvas}>
        <SiteMap
          map={map}
          layout={layout}
          matching={found}
          focus={focus}
          selected={selected}
          onSelect={(site) => {
            set({ site: site ?? undefined })
          }}
        />
        <Legend />
      </div>
      {selected !== null && (
        <MapPanel
          key={selected}
          map={map}
          selected={selected}
          onSelect={(site) => {
            set({ site: site ?? undefined })
          }}
        />
      )}
    </div>
  )
}

function Legend() {
  return (
    <dl className={css.legend} aria-label="Legend">
      <div>
        <dt>
          <svg width="26" height="8" aria-hidden>
            <path d="M1 4h24" stroke="var(--map-up)" strokeWidth="2" />
          </svg>
        </dt>
        <dd>answers pass</dd>
      </div>
      <div>
        <dt>
          <svg width="26" height="8" aria-hidden>
            <path
              d="M1 4h24"
              stroke="var(--ink-2)"
              strokeWidth="1.6"
              strokeDasharray="1 5"
              strokeLinecap="round"
            />
          </svg>
        </dt>
        <dd>unknown</dd>
      </div>
      <div>
        <dt>
          <svg width="26" height="8" aria-hidden>
            <path d="M1 4h24" stroke="var(--warn-fill)" strokeWidth="2.6" strokeDasharray="9 4" />
          </svg>
        </dt>
        <dd>degraded</dd>
      </div>
      <div>
        <dt>
          <svg width="26" height="8" aria-hidden>
            <path d="M1 4h24" stroke="var(--bad-fill)" strokeWidth="2.6" strokeDasharray="3 4" />
          </svg>
        </dt>
        <dd>down</dd>
      </div>
      <div>
        <dt>
          <svg width="18" height="18" aria-hidden>
            <circle cx="9" cy="9" r="8" fill="none" stroke="var(--bad-fill)" strokeWidth="1.2" />
            <circle cx="9" cy="9" r="5" fill="none" stroke="var(--bad-fill)" strokeWidth="1.8" />
          </svg>
        </dt>
        <dd>cause (dashed: one of several)</dd>
      </div>
      <div>
        <dt>
          <svg width="18" height="18" aria-hidden>
            <circle cx="9" cy="9" r="6.5" fill="none" stroke="var(--ink)" strokeWidth="1.4" />
          </svg>
        </dt>
        <dd>hit by it</dd>
      </div>
    </dl>
  )
}

function Tables({ map, search, set }: Parts) {
  const filter: MapFilter = search
  const found = matching(map, filter)
  const focus = search.incident === undefined ? null : focusOf(map, search.incident)
  const isLinks = search.of === 'links'
  return (
    <Panel
      isFlush
      title={
        <SegmentedControl
          aria-label="Rows"
          size="xs"
          value={isLinks ? 'links' : 'sites'}
          data={[
            { value: 'sites', label: `Sites ${count(map.sites.size)}` },
            { value: 'links', label: `Links ${count(map.links.size)}` },
          ]}
          onChange={(value) => {
            set({ of: value === 'links' ? 'links' : undefined })
          }}
        />
      }
    >
      {isLinks ? (
        <LinkTable map={map} found={found} focus={focus} />
      ) : (
        <SiteTable
          map={map}
          found={found}
          focus={focus}
          onOpen={(site) => {
            set({ site, view: undefined })
          }}
        />
      )}
    </Panel>
  )
}

function NoTopology() {
  const mayWrite = useCan('topology_write')
  return (
    <Panel>
      <Empty
        title="The network is not described yet"
        action={
          mayWrite && (
            <Link to="/topology" search={{ dialog: 'import' }}>
              Import the topology
            </Link>
          )
        }
      >
        A map shows sites, devices and links of the topology.{' '}
        {mayWrite ? (
          <>
            Describe them in a file and take it over with{' '}
            <code>faultline topology import network.csv</code>.
          </>
        ) : (
          'Ask an operator to describe it.'
        )}
      </Empty>
    </Panel>
  )
}
