/**
 * What stands around every page: where you are, whether it is live, whose clock it shows, who you
 * are.
 */

import { Drawer, UnstyledButton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useLocation } from '@tanstack/react-router'
import { useEffect, useState } from 'react'

import { openIncidentsQuery, overviewQuery, sessionQuery } from '../api/queries'
import { count } from '../domain/units'
import { NAV, NAV_ADMIN, NAV_DEMO, type NavEntry } from '../paths'
import { Account } from './Account'
import { Banners } from './Banners'
import { KeyHelp } from './KeyHelp'
import css from './Shell.module.css'
import { Icon } from './Icon'
import { useLive, useNow, useTimeText, useZone } from './clock'
import { useKeys } from './keys'

/** As many fit beside each other under a thumb. */
const TABS = 4
/** Pages that are not among them. */
const IN_MORE: readonly string[] = ['/map', '/topology', '/tiers', '/maintenance', '/health']

export function Shell() {
  const [isHelpOpen, setHelpOpen] = useState(false)
  const [isMenuOpen, setMenuOpen] = useState(false)
  const { pathname } = useLocation()
  const live = useLive()
  const { data: session } = useQuery(sessionQuery)
  const isDemo = session?.is_demo ?? false
  const entries = useAllowed(NAV)
  const demo = useAllowed(isDemo ? NAV_DEMO : [])
  const admin = useAllowed(NAV_ADMIN)
  useKeys(() => {
    setHelpOpen(true)
  })
  useTitle()
  const isStale = live.status === 'stale'
  return (
    <div className={css.shell} data-stale={isStale || undefined}>
      <a className={css.skip} href="#content">
        Skip to the content
      </a>
      <aside className={css.side}>
        <Brand />
        <nav aria-label="Pages" className={css.nav}>
          <NavList entries={entries} />
          {demo.length > 0 && <p className={css.navHead}>Demo</p>}
          <NavList entries={demo} />
          {admin.length > 0 && <p className={css.navHead}>Administration</p>}
          <NavList entries={admin} />
        </nav>
        <div className={css.foot}>
          <WallClock />
          <LiveState />
          <Account
            onHelp={() => {
              setHelpOpen(true)
            }}
          />
        </div>
      </aside>
      <section aria-label="Top" className={css.top}>
        <Brand />
        <LiveState />
      </section>
      <Banners />
      <main id="content" className={css.main} tabIndex={-1}>
        <Outlet />
      </main>
      <nav aria-label="Pages" className={css.tabs}>
        {tabsOf(entries, demo).map((entry) => (
          <Link
            key={entry.to}
            to={entry.to}
            activeOptions={{ exact: entry.to === '/' }}
            className={css.tab}
          >
            <Icon name={entry.icon} size={20} />
            {entry.label}
            {entry.to === '/incidents' && <OpenCount />}
          </Link>
        ))}
        <UnstyledButton
          className={css.tab}
          aria-expanded={isMenuOpen}
          onClick={() => {
            setMenuOpen(true)
          }}
        >
          <Icon name="menu" size={20} />
          More
        </UnstyledButton>
      </nav>
      <Drawer
        key={pathname}
        opened={isMenuOpen}
        onClose={() => {
          setMenuOpen(false)
        }}
        position="bottom"
        size="auto"
        title="More"
        radius="12px 12px 0 0"
        styles={{ content: { height: 'auto' } }}
      >
        {/* Following a link closes the sheet. */}
        {/* eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-static-element-interactions */}
        <div
          className={css.sheet}
          onClick={(event) => {
            if ((event.target as HTMLElement).closest('a') !== null) setMenuOpen(false)
          }}
        >
          <nav aria-label="More pages">
            <NavList entries={[...entries, ...demo, ...admin]} />
          </nav>
          <WallClock />
          <Account />
        </div>
      </Drawer>
      <KeyHelp
        isOpen={isHelpOpen}
        onClose={() => {
          setHelpOpen(false)
        }}
      />
    </div>
  )
}

/** The pages under a thumb; of a demo its desk is one of them. */
function tabsOf(entries: readonly NavEntry[], demo: readonly NavEntry[]): NavEntry[] {
  const shown = entries.filter((entry) => !IN_MORE.includes(entry.to))
  return [...shown.slice(0, TABS - demo.length), ...demo]
}

function useAllowed(entries: readonly NavEntry[]): NavEntry[] {
  const { data } = useQuery(sessionQuery)
  return entries.filter((entry) => data?.permissions.includes(entry.needs))
}

/** The window's title carries the count of what is down, for whoever looks at another tab. */
function useTitle() {
  const { data } = useQuery(overviewQuery)
  const { pathname } = useLocation()
  const page = [...NAV, ...NAV_ADMIN, ...NAV_DEMO].findLast((entry) =>
    pathname.startsWith(entry.to),
  )
  const down = data?.targets.down ?? 0
  useEffect(() => {
    document.title = `${down > 0 ? `${down} down · ` : ''}${page?.label ?? 'Overview'} · Faultline`
  }, [down, page])
}

function Brand() {
  return (
    <Link to="/" className={css.brand} aria-label="Faultline, overview">
      <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden>
        <path
          d="M1 13.5h5l2.2-7.5 3 11 2.3-6.5h2.2"
          fill="none"
          stroke="var(--accent)"
          strokeWidth="2"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
        <path
          d="M18 10.5h3"
          stroke="var(--accent)"
          strokeWidth="2"
          strokeLinecap="round"
          strokeDasharray=".1 3"
        />
      </svg>
      Faultline
    </Link>
  )
}

function NavList({ entries }: { entries: readonly NavEntry[] }) {
  return (
    <ul>
      {entries.map((entry) => (
        <li key={entry.to}>
          <Link
            to={entry.to}
            activeOptions={{ exact: entry.to === '/', includeSearch: false }}
            className={css.link}
          >
            <Icon name={entry.icon} />
            {entry.label}
            {entry.to === '/incidents' && <OpenCount />}
          </Link>
        </li>
      ))}
    </ul>
  )
}

/** How many incidents are open; loud while nobody acknowledged some of them. */
function OpenCount() {
  const { data } = useQuery(openIncidentsQuery)
  if (data === undefined || data.open === 0) return null
  return (
    <span className={css.open} data-loud={data.unacknowledged > 0 || undefined}>
      {count(data.open)}
      <span className="visually-hidden"> open</span>
    </span>
  )
}

function WallClock() {
  const now = useNow()
  const [zone, choose] = useZone()
  const { bare, text } = useTimeText()
  const name = text(now, 'time').split(' ').at(-1)
  return (
    <UnstyledButton
      className={css.clock}
      onClick={() => {
        choose(zone === 'utc' ? 'local' : 'utc')
      }}
      title={`Times are shown in ${zone === 'utc' ? 'UTC' : 'local time'}: press for ${zone === 'utc' ? 'local time' : 'UTC'}`}
    >
      <span className={css.clockTime}>{bare(now, 'time')}</span>
      <span className={css.clockZone}>{name}</span>
    </UnstyledButton>
  )
}

function LiveState() {
  const { status } = useLive()
  const words = { opening: 'Connecting', live: 'Live', stale: 'Not live' }[status]
  return (
    <span className={css.live} data-status={status} role="status">
      <span className={css.pulse} aria-hidden />
      {words}
    </span>
  )
}
