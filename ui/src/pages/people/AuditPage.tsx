/** Who changed what, newest first. */

import { Button } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useSuspenseInfiniteQuery } from '@tanstack/react-query'

import { auditQuery } from '../../api/queries'
import type { AuditEntry } from '../../api/types'
import { type Column, DataTable } from '../../ui/DataTable'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import css from './AuditPage.module.css'

/** Says what differs between two records: one line for each field. */
function differences(before: unknown, after: unknown): string[] {
  const fields = (value: unknown) =>
    (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const [old, now] = [fields(before), fields(after)]
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].sort()
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  return names
    .filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]))
    .map((name) => {
      if (!(name in old)) return `${name}: ${text(now[name])}`
      if (!(name in now)) return `${name}: was ${text(old[name])}`
      return `${name}: ${text(old[name])} → ${text(now[name])}`
    })
}

/** On a phone folded to one line, so that a page of entries stays a page. */
function Change({ lines }: { lines: readonly string[] }) {
  const isPhone = useMediaQuery('(max-width: 760px)', false, { getInitialValueInEffect: false })
  const list = (
    <ul className={css.change}>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  )
  if (!isPhone || lines.length < 2) return list
  return (
    <details>
      <summary className={css.folded}>{lines.join(', ')}</summary>
      {list}
    </details>
  )
}

const COLUMNS: readonly Column<AuditEntry>[] = [
  {
    id: 'at',
    head: 'When',
    width: '200px',
    card: 'plain',
    cell: (entry) => <Moment at={entry.at} />,
  },
  { id: 'actor', head: 'Who', width: '15%', card: 'plain', cell: (entry) => entry.actor },
  {
    id: 'action',
    head: 'What',
    width: '15%',
    card: 'plain',
    cell: (entry) => <code>{entry.action}</code>,
  },
  {
    id: 'object',
    head: 'Of',
    width: '20%',
    card: 'title',
    cell: (entry) => <b>{entry.object}</b>,
  },
  {
    id: 'change',
    head: 'Change',
    card: 'bare',
    cell: (entry) => <Change lines={differences(entry.before, entry.after)} />,
  },
]

export default function AuditPage() {
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage } =
    useSuspenseInfiniteQuery(auditQuery)
  return (
    <>
      <PageHeader title="Audit" lead="Every change that a person or a program made here." />
      <Panel isFlush>
        <DataTable
          label="Audit"
          columns={COLUMNS}
          rows={data.pages.flatMap((page) => page.items)}
          rowId={(entry) => String(entry.id)}
          empty={
            <Empty title="Nothing was changed yet">
              Each change stands here with who made it.
            </Empty>
          }
        />
      </Panel>
      {hasNextPage && (
        <Button
          mt="md"
          variant="default"
          loading={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
        >
          Earlier changes
        </Button>
      )}
    </>
  )
}
