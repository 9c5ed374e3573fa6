/** The rows: a window onto a list of any length, fetched as it is scrolled. */

import { ActionIcon, Menu, useComputedColorScheme } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import type { UseInfiniteQueryResult } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useWindowVirtualizer } from '@tanstack/react-virtual'
import {
  type KeyboardEvent,
  type ReactNode,
  useDeferredValue,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react'

import { useTargetChange } from '../../api/commands'
import type { Target } from '../../api/types'
import type { Sort, TargetFilter } from '../../domain/filter'
import { HOUR_MIN } from '../../api/queries'
import { MINUTE_MS } from '../../domain/time'
import { verdictMark } from '../../domain/verdict'
import { Icon } from '../../ui/Icon'
import { Reason } from '../../ui/Reason'
import { Age } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useMinute } from '../../ui/clock'
import { RowHistory } from './RowHistory'
import { useHistories } from './useHistories'
import css from './TargetsPage.module.css'

const ROW_PX = 40
const CARD_PX = 124
/** Rows drawn beyond the window, so that fast scrolling shows no holes. */
const OVERSCAN = 12
/** The next page is asked for when this many rows are left. */
const AHEAD = 60

interface Props {
  query: UseInfiniteQueryResult<{ pages: { items: Target[]; total: number }[] }>
  filter: TargetFilter
  mayWrite: boolean
  onEdit: (target: Target) => void
  onDelete: (target: Target) => void
}

export function TargetList({ query, filter, mayWrite, onEdit, onDelete }: Props) {
  const body = useRef<HTMLDivElement>(null)
  const [bodyTop, setBodyTop] = useState(0)
  const navigate = useNavigate()
  const isPhone = useMediaQuery('(max-width: 760px)', false, { getInitialValueInEffect: false })
  const { data } = query
  const items = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data])
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query
  const rows = useWindowVirtualizer({
    count: items.length + (hasNextPage ? 1 : 0),
    scrollMargin: bodyTop,
    estimateSize: () => (isPhone ? CARD_PX : ROW_PX),
    overscan: OVERSCAN,
  })
  const shown = rows.getVirtualItems()
  const last = shown.at(-1)?.index ?? 0
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && last >= items.length - AHEAD) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage, last, items.length])
  const first = shown[0]?.index ?? 0
  const histories = useHistories(items, useDeferredValue(first), useDeferredValue(last))
  const scheme = useComputedColorScheme()
  const minute = useMinute()
  const hour = useMemo(
    () => ({ from: minute + MINUTE_MS - HOUR_MIN * MINUTE_MS, to: minute + MINUTE_MS }),
    [minute],
  )
  useLayoutEffect(() => {
    rows.measure()
    const top = body.current?.getBoundingClientRect().top ?? 0
    setBodyTop(top + window.scrollY)
  }, [isPhone, rows])

  const open = (target: Target) =>
    void navigate({ to: '/targets/$id', params: { id: target.id } })
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('[data-row]')
    if (row === null || event.metaKey || event.ctrlKey || event.altKey) return
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key] ?? 0
    const next = Number(row.dataset['index']) + step
    if (step === 0 || next < 0 || next >= items.length) return
    event.preventDefault()
    rows.scrollToIndex(next)
    requestAnimationFrame(() => {
      body.current?.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus()
    })
  }
  return (
    <div className={css.frame}>
      {/* eslint-disable-next-line jsx-a11y/interactive-supports-focus -- its rows take the focus */}
      <div
        role="grid"
        aria-label="Targets"
        aria-rowcount={query.data?.pages[0]?.total ?? -1}
        onKeyDown={onKeyDown}
      >
        <Head sort={filter.sort ?? 'name'} />
        <div
          ref={body}
          className={css.body}
          role="rowgroup"
          style={{ height: rows.getTotalSize() }}
        >
          {shown.map((virtual) => {
            const target = items[virtual.index]
            return (
              <div
                key={target?.id ?? 'loading'}
                className={css.row}
                role="row"
                aria-rowindex={virtual.index + 2}
                data-row
                data-index={virtual.index}
                tabIndex={target ? 0 : -1}
                style={{
                  height: virtual.size,
                  transform: `translateY(${virtual.start - bodyTop}px)`,
                }}
                onClick={(event) => {
                  const isPlain =
                    (event.target as HTMLElement).closest('a, button, [role="menu"]') === null
                  if (target && isPlain) open(target)
                }}
                onKeyDown={(event) => {
                  if (target && event.key === 'Enter' && event.target === event.currentTarget)
                    open(target)
                }}
              >
                {target ? (
                  <Cells
                    target={target}
                    hour={
                      <RowHistory track={histories.get(target.id)} view={hour} scheme={scheme} />
                    }
                    menu={mayWrite && <RowMenu {...{ target, onEdit, onDelete }} />}
                  />
                ) : (
                  <div role="gridcell" className={css.loading}>
                    Loading
                  </div>
                )}
              </div>
            )
          })}
        </div>
      </div>
    </div>
  )
}

function Cells({ target, hour, menu }: { target: Target; hour: ReactNode; menu: ReactNode }) {
  return (
    <>
      <div role="gridcell" className={css.verdict}>
        <MarkLabel mark={verdictMark(target.verdict, target.is_paused)} />
      </div>
      <div role="gridcell" className={css.name} title={target.name}>
        <Link to="/targets/$id" params={{ id: target.id }} className={css.name} tabIndex={-1}>
          {target.name}
        </Link>
      </div>
      <div role="gridcell" className={css.address} title={target.address}>
        {target.address}
      </div>
      <div role="gridcell" className={css.past}>
        {hour}
      </div>
      <div role="gridcell" className={`${css.why} ${css.wide}`} title={target.why}>
        <Reason {...target} />
      </div>
      <div role="gridcell" className={css.since}>
        <Age at={target.since} />
      </div>
      <div role="gridcell" className={`${css.tier} ${css.wide}`}>
        {target.tier.name}
      </div>
      <div role="gridcell" className={css.menu}>
        {menu}
      </div>
    </>
  )
}

const HEADS: readonly { label: string; sort?: Sort; back?: Sort; isWide?: boolean }[] = [
  { label: 'Verdict', sort: 'verdict' },
  { label: 'Name', sort: 'name', back: '-name' },
  { label: 'Address', sort: 'address' },
  { label: 'Last hour' },
  { label: 'Why', isWide: true },
  { label: 'Since', sort: 'since' },
  { label: 'Tier', isWide: true },
]

function Head({ sort }: { sort: Sort }) {
  const navigate = useNavigate({ from: '/targets' })
  const choose = (next: Sort) => {
    void navigate({
      to: '/targets',
      search: (old) => ({ ...old, sort: next === 'name' ? undefined : next }),
      replace: true,
    })
  }
  return (
    <div role="row" className={css.head} aria-rowindex={1}>
      {HEADS.map(({ label, sort: by, back, isWide }) => {
        const isSorted = sort === by || (back !== undefined && sort === back)
        const order = sort === back ? 'descending' : 'ascending'
        return (
          <div
            key={label}
            role="columnheader"
            className={isWide ? css.wide : undefined}
            aria-sort={isSorted ? order : undefined}
          >
            {by === undefined ? (
              label
            ) : (
              <button
                type="button"
                data-sorted={isSorted || undefined}
                onClick={() => {
                  choose(sort === by && back !== undefined ? back : by)
                }}
              >
                {label}
                {isSorted && (
                  <span
                    style={{
                      display: 'inline-flex',
                      rotate: order === 'descending' ? '0deg' : '180deg',
                    }}
                  >
                    <Icon name="down" size={10} />
                  </span>
                )}
              </button>
            )}
          </div>
        )
      })}
      <div role="columnheader">
        <span className="visually-hidden">Actions</span>
      </div>
    </div>
  )
}

interface RowMenuProps {
  target: Target
  onEdit: (target: Target) => void
  onDelete: (target: Target) => void
}

function RowMenu({ target, onEdit, onDelete }: RowMenuProps) {
  const change = useTargetChange({ hasNoForm: true })
  return (
    <Menu position="bottom-end" withinPortal width={170}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions on ${target.name}`}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          leftSection={<Icon name="edit" />}
          onClick={() => {
            onEdit(target)
          }}
        >
          Edit
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name={target.is_paused ? 'play' : 'clock'} />}
          onClick={() => {
            change.mutate({ id: target.id, is_paused: !target.is_paused })
          }}
        >
          {target.is_paused ? 'Resume' : 'Pause'}
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name="trash" />}
          color="var(--bad)"
          onClick={() => {
            onDelete(target)
          }}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
