/** All targets: searched, filtered, sorted; the address carries all of it. */

import { Button } from '@mantine/core'
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'

import { REFETCH_PAGES_MAX } from '../../api/live'
import { targetsQuery } from '../../api/queries'
import type { Target } from '../../api/types'
import { type TargetFilter, isFiltered } from '../../domain/filter'
import { count, many } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Empty, PageHeader } from '../../ui/Panel'
import { useCan } from '../../ui/session'
import { DeleteTarget } from './DeleteTarget'
import { FilterBar } from './FilterBar'
import { ImportDialog } from './ImportDialog'
import { TargetDialog } from './TargetDialog'
import { TargetList } from './TargetList'
import css from './TargetsPage.module.css'

export default function TargetsPage() {
  const { dialog, ...filter } = useSearch({ from: '/inside/targets' })
  const navigate = useNavigate()
  const mayWrite = useCan('target_write')
  const [toEdit, setToEdit] = useState<Target | null>(null)
  const [toDelete, setToDelete] = useState<Target | null>(null)
  const list = useInfiniteQuery(targetsQuery(filter))
  const total = list.data?.pages[0]?.total
  const close = () => {
    void navigate({ to: '.', search: (old) => ({ ...old, dialog: undefined }), replace: true })
  }
  return (
    <>
      <PageHeader
        title="Targets"
        lead={
          total === undefined
            ? 'Loading'
            : isFiltered(filter)
              ? `${many(total, 'target')} of this filter`
              : many(total, 'target')
        }
        actions={mayWrite && <Actions />}
      />
      <FilterBar filter={filter} />
      <Failure error={list.error} />
      {list.data !== undefined && REFETCH_PAGES_MAX < list.data.pages.length && (
        <LongList filter={filter} />
      )}
      {total === 0 ? (
        <NoTargets isFiltered={isFiltered(filter)} mayWrite={mayWrite} />
      ) : (
        <TargetList
          query={list}
          filter={filter}
          mayWrite={mayWrite}
          onEdit={setToEdit}
          onDelete={setToDelete}
        />
      )}
      {mayWrite && (
        <>
          <TargetDialog target={null} isOpen={dialog === 'add'} onClose={close} />
          <ImportDialog isOpen={dialog === 'import'} onClose={close} />
          <TargetDialog
            target={toEdit}
            isOpen={toEdit !== null}
            onClose={() => {
              setToEdit(null)
            }}
          />
          <DeleteTarget
            target={toDelete}
            onClose={() => {
              setToDelete(null)
            }}
          />
        </>
      )}
      {total !== undefined && total > 0 && (
        <p className={css.count} role="status">
          {count(list.data?.pages.reduce((sum, page) => sum + page.items.length, 0) ?? 0)} of{' '}
          {count(total)} loaded
        </p>
      )}
    </>
  )
}

function Actions() {
  return (
    <>
      <Button
        variant="default"
        leftSection={<Icon name="upload" />}
        renderRoot={(props) => (
          <Link
            from="/targets"
            to="/targets"
            search={(old) => ({ ...old, dialog: 'import' })}
            {...props}
          />
        )}
      >
        Import
      </Button>
      <Button
        leftSection={<Icon name="plus" />}
        renderRoot={(props) => (
          <Link
            from="/targets"
            to="/targets"
            search={(old) => ({ ...old, dialog: 'add' })}
            {...props}
          />
        )}
      >
        Add target
      </Button>
    </>
  )
}

function NoTargets({
  isFiltered: isNarrow,
  mayWrite,
}: {
  isFiltered: boolean
  mayWrite: boolean
}) {
  if (isNarrow) {
    return (
      <Empty title="No target matches" action={<Link to="/targets">Show all targets</Link>}>
        Nothing has this text, verdict, tier and tag together.
      </Empty>
    )
  }
  return (
    <Empty title="No targets yet" action={mayWrite && <Actions />}>
      {mayWrite
        ? 'Add the first address, or import a list of them as CSV or JSON.'
        : 'Someone with the role operator or admin can add the first address.'}
    </Empty>
  )
}

/** So many rows are not all read anew at each event: say what of them may be old. */
function LongList({ filter }: { filter: TargetFilter }) {
  const client = useQueryClient()
  return (
    <p className={css.long}>
      <Icon name="clock" size={14} />
      <span>
        This far down the list a new verdict is shown in its row at once, but who belongs here and
        in which order is as it was when the list was opened.
      </span>
      <Button
        size="compact-xs"
        variant="default"
        onClick={() => void client.resetQueries({ queryKey: targetsQuery(filter).queryKey })}
      >
        Open it anew
      </Button>
    </p>
  )
}
