/** What stands at a site, or what connects two: devices, links, targets, incidents. */

import { ActionIcon } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'

import { mapTargetsQuery } from '../../api/queries'
import type { MapDevice, MapIncident } from '../../api/types'
import { type NetMap, bySeverity, worst } from '../../domain/netmap'
import { count, many } from '../../domain/units'
import { VERDICTS, type Verdict, verdictMark } from '../../domain/verdict'
import { Icon, MarkShape } from '../../ui/Icon'
import { MarkLabel } from '../../ui/Verdict'
import css from './MapPanel.module.css'

/** Targets that a panel names; the list of targets has all. */
const TARGETS_MAX = 40

interface Props {
  map: NetMap
  /** Id of a site, or of a bundle of links. */
  selected: string
  onSelect: (id: string | null) => void
}

export function MapPanel({ map, selected, onSelect }: Props) {
  const site = map.sites.get(selected)
  const bundle = map.shape.bundles.find(({ id }) => id === selected)
  const title = site?.id ?? (bundle === undefined ? selected : `${bundle.from} – ${bundle.to}`)
  return (
    <aside className={css.panel} aria-label={`About ${title}`}>
      <header className={css.head}>
        <h2>{title}</h2>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label="Close"
          onClick={() => {
            onSelect(null)
          }}
        >
          <Icon name="close" />
        </ActionIcon>
      </header>
      <div className={css.body}>
        {site !== undefined ? (
          <SiteBody map={map} id={site.id} onSelect={onSelect} />
        ) : bundle !== undefined ? (
          <LinksBody map={map} ids={bundle.links} />
        ) : (
          <p>It is not on the map any more.</p>
        )}
      </div>
    </aside>
  )
}

function SiteBody({
  map,
  id,
  onSelect,
}: {
  map: NetMap
  id: string
  onSelect: Props['onSelect']
}) {
  const site = map.sites.get(id)
  if (site === undefined) return null
  const devices = (map.shape.devicesOf.get(id) ?? [])
    .flatMap((device) => map.devices.get(device) ?? [])
    .sort(bySeverity)
  const links = (map.shape.linksOf.get(id) ?? [])
    .flatMap((link) => map.links.get(link) ?? [])
    .sort(bySeverity)
  const { targets } = site
  return (
    <>
      <Standing state={site.state} why={site.why} />
      <Incidents all={map.incidents.filter((one) => site.incidents?.includes(one.id))} />
      {targets !== undefined && targets !== null && (
        <ul className={css.counts} aria-label="Targets by state">
          {VERDICTS.filter((state) => targets[state] > 0).map((state) => {
            const mark = verdictMark(state)
            return (
              <li key={state} className={`tone-${mark.tone}`}>
                <MarkShape icon={mark.icon} size={14} />
                {count(targets[state])} {mark.word.toLowerCase()}
              </li>
            )
          })}
          {targets.paused > 0 && <li>{count(targets.paused)} paused</li>}
        </ul>
      )}
      <List title={many(devices.length, 'device')}>
        {devices.map((device) => (
          <Row
            key={device.id}
            name={device.id}
            note={[
              device.role?.replace('_', ' '),
              device.customers && `${count(device.customers)} customers`,
            ]
              .filter(Boolean)
              .join(', ')}
            state={device.state}
            why={device.why}
          />
        ))}
      </List>
      <List title={many(links.length, 'link')}>
        {links.map((link) => {
          const other = [link.from, link.to]
            .map((end) => map.shape.siteOfDevice.get(end))
            .find((end) => end !== id)
          return (
            <Row
              key={link.id}
              name={link.id}
              state={link.state}
              why={link.why}
              note={
                other !== undefined && (
                  <button
                    type="button"
                    onClick={() => {
                      onSelect(other)
                    }}
                  >
                    to {other}
                  </button>
                )
              }
            />
          )
        })}
      </List>
      {map.isPast ? null : <Targets of={id} />}
      {(site.agents ?? []).length > 0 && (
        <List title={many(site.agents?.length ?? 0, 'agent')}>
          {site.agents?.map((agent) => (
            <li key={agent} className={css.row}>
              <Link to="/agents">{agent}</Link>
            </li>
          ))}
        </List>
      )}
    </>
  )
}

/** What is told of one device. */
export function DeviceBody({ map, device }: { map: NetMap; device: MapDevice }) {
  const links = (map.shape.linksOf.get(device.site) ?? [])
    .flatMap((id) => map.links.get(id) ?? [])
    .filter(({ from, to }) => from === device.id || to === device.id)
    .sort(bySeverity)
  const named = device.incidents ?? []
  return (
    <>
      <Standing state={device.state} why={device.why} />
      <p className={css.note}>
        {[
          device.role?.replace('_', ' '),
          `at ${device.site}`,
          device.customers && `${count(device.customers)} customers`,
        ]
          .filter(Boolean)
          .join(', ')}
      </p>
      <Incidents all={map.incidents.filter(({ id }) => named.includes(id))} />
      <List title={many(links.length, 'link')}>
        {links.map((link) => (
          <Row
            key={link.id}
            name={link.id}
            state={link.state}
            why={link.why}
            note={`to ${link.from === device.id ? link.to : link.from}`}
          />
        ))}
      </List>
      <Targets of={device.id} />
    </>
  )
}

function LinksBody({ map, ids }: { map: NetMap; ids: readonly string[] }) {
  const links = ids.flatMap((id) => map.links.get(id) ?? []).sort(bySeverity)
  const named = new Set(links.flatMap((link) => link.incidents ?? []))
  const state = worst(links.map((link) => link.state))
  return (
    <>
      <Standing state={state} why={many(links.length, 'link')} />
      <Incidents all={map.incidents.filter((one) => named.has(one.id))} />
      <List title={many(links.length, 'link')}>
        {links.map((link) => (
          <Row
            key={link.id}
            name={link.id}
            state={link.state}
            why={link.why}
            note={[`${link.from} – ${link.to}`, ...(link.groups ?? [])].join(', ')}
          />
        ))}
      </List>
    </>
  )
}

function Standing({ state, why }: { state: Verdict; why: string }) {
  return (
    <div className={css.standing}>
      <MarkLabel mark={verdictMark(state)} size="lg" />
      <p>{why}</p>
    </div>
  )
}

function Incidents({ all }: { all: readonly MapIncident[] }) {
  if (all.length === 0) return null
  return (
    <ul className={css.incidents} aria-label="Open incidents">
      {all.map((incident) => (
        <li key={incident.id}>
          <Link to="/incidents/$id" params={{ id: incident.id }}>
            #{incident.id}
          </Link>{' '}
          {incident.sentence}
        </li>
      ))}
    </ul>
  )
}

export function List({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={css.list}>
      <h3>{title}</h3>
      <ul>{children}</ul>
    </section>
  )
}

function Row({
  name,
  note,
  state,
  why,
}: {
  name: string
  note?: ReactNode
  state: Verdict
  why: string
}) {
  const mark = verdictMark(state)
  return (
    <li className={`${css.row} tone-${mark.tone}`}>
      <MarkShape icon={mark.icon} size={15} />
      <div>
        <strong>{name}</strong> <span className="visually-hidden">{mark.word}</span>
        {note !== '' && note !== undefined && note !== false && (
          <span className={css.note}>{note}</span>
        )}
        <p>{why}</p>
      </div>
    </li>
  )
}

function Targets({ of }: { of: string }) {
  const { data } = useQuery(mapTargetsQuery(of))
  if (data === undefined || data.total === 0) return null
  return (
    <List title={many(data.total, 'target')}>
      {data.items.slice(0, TARGETS_MAX).map((target) => {
        const mark = verdictMark(target.verdict, target.is_paused)
        return (
          <li key={target.id} className={`${css.row} tone-${mark.tone}`}>
            <MarkShape icon={mark.icon} size={15} />
            <div>
              <Link to="/targets/$id" params={{ id: target.id }}>
                {target.name}
              </Link>{' '}
              <span className="visually-hidden">{mark.word}</span>
              <span className={css.note}>{target.device}</span>
            </div>
          </li>
        )
      })}
      {data.total > TARGETS_MAX && (
        <li className={css.row}>and {count(data.total - TARGETS_MAX)} more</li>
      )}
    </List>
  )
}
