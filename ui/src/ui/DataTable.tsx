/**
 * A table of some dozens of rows: sorted by its heads, walked by `j` and `k`, cards on a phone.
 *
 * Lists without a known end are not for it: see the list of targets.
 */

import {
  type ColumnDef,
  type RowData,
  createSortedRowModel,
  rowSortingFeature,
  sortFn_alphanumeric,
  sortFn_basic,
  tableFeatures,
  useTable,
} from '@tanstack/react-table'
import type { KeyboardEvent, ReactNode } from 'react'

import css from './DataTable.module.css'
import { Icon } from './Icon'

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric, basic: sortFn_basic },
})

export interface Column<T> {
  id: string
  head: string
  cell: (row: T) => ReactNode
  /** What the column is sorted by; without it, it is not. */
  by?: (row: T) => string | number
  isNumeric?: boolean
  /**
   * On a phone's card: `title` on top, `bare` without its head on a line of its own, `plain`
   * without its head beside others, `corner` beside the title.
   */
  card?: 'title' | 'bare' | 'plain' | 'corner'
  width?: string
}

interface Props<T> {
  label: string
  columns: readonly Column<T>[]
  rows: readonly T[]
  rowId: (row: T) => string
  onOpen?: (row: T) => void
  /** Another key on a row that has the focus. */
  onKey?: (row: T, event: KeyboardEvent) => void
  empty?: ReactNode
}

function definitions<T extends RowData>(
  columns: readonly Column<T>[],
): ColumnDef<typeof features, T>[] {
  return columns.map(({ id, head, by }) => ({
    id,
    header: head,
    accessorFn: by ?? (() => ''),
    enableSorting: by !== undefined,
    sortFn: 'basic' as const,
  }))
}

/** Moves the focus between rows; Enter on a row opens it. */
export function walkRows(event: KeyboardEvent<HTMLElement>): void {
  const step =
    event.key === 'j' || event.key === 'ArrowDown'
      ? 1
      : event.key === 'k' || event.key === 'ArrowUp'
        ? -1
        : 0
  const row = (event.target as HTMLElement).closest<HTMLElement>('[data-row]')
  if (step === 0 || row === null || event.metaKey || event.ctrlKey || event.altKey) return
  if ((event.target as HTMLElement).matches('input, textarea')) return
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-row]')]
  const next = rows[rows.indexOf(row) + step]
  if (next === undefined) return
  event.preventDefault()
  next.focus()
  next.scrollIntoView({ block: 'nearest' })
}

export function DataTable<T extends RowData>({
  label,
  columns,
  rows,
  rowId,
  onOpen,
  onKey,
  empty,
}: Props<T>) {
  const table = useTable({
    features,
    columns: definitions(columns),
    data: rows,
    getRowId: rowId,
  })
  if (rows.length === 0 && empty !== undefined) return <>{empty}</>
  const byId = new Map(columns.map((column) => [column.id, column]))
  return (
    // The arrows walk the rows of the table, whose rows take the focus themselves.
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions
    <div className={css.frame} onKeyDown={walkRows}>
      <table className={css.table} aria-label={label}>
        <thead>
          <tr>
            {table.getFlatHeaders().map((header) => {
              const column = byId.get(header.column.id)
              const sorted = header.column.getIsSorted()
              return (
                <th
                  key={header.id}
                  scope="col"
                  className={column?.isNumeric ? css.numeric : undefined}
                  style={{ width: column?.width }}
                  aria-sort={
                    sorted === 'asc' ? 'ascending' : sorted === 'desc' ? 'descending' : undefined
                  }
                >
                  {header.column.getCanSort() ? (
                    <button type="button" onClick={header.column.getToggleSortingHandler()}>
                      {column?.head}
                      <span className={css.arrow} data-sorted={sorted || undefined}>
                        <Icon name="down" size={10} />
                      </span>
                    </button>
                  ) : (
                    column?.head || <span className="visually-hidden">Actions</span>
                  )}
                </th>
              )
            })}
          </tr>
        </thead>
        <tbody>
          {table.getRowModel().rows.map((row) => (
            <tr
              key={row.id}
              data-row
              tabIndex={onOpen ? 0 : undefined}
              className={onOpen ? css.opens : undefined}
              onClick={
                onOpen &&
                ((event) => {
                  if ((event.target as HTMLElement).closest('a, button') === null)
                    onOpen(row.original)
                })
              }
              onKeyDown={
                onOpen &&
                ((event) => {
                  if (event.target !== event.currentTarget) return
                  if (event.key === 'Enter') onOpen(row.original)
                  else onKey?.(row.original, event)
                })
              }
            >
              {columns.map((column) => (
                <td
                  key={column.id}
                  data-head={column.head}
                  data-card={column.card}
                  className={column.isNumeric ? css.numeric : undefined}
                >
                  {column.cell(row.original)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
