/** The tiers: how often targets are asked, and what counts as bad. */

import { ActionIcon, Button, Menu, Modal } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'

import { useTierDelete } from '../../api/commands'
import { tiersQuery } from '../../api/queries'
import type { Tier } from '../../api/types'
import { downWithinS, keptInWords, packetsPerSecond } from '../../domain/tier'
import { count, many, perSecond } from '../../domain/units'
import { Confirm } from '../../ui/Confirm'
import { type Column, DataTable } from '../../ui/DataTable'
import { Icon } from '../../ui/Icon'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { useCan } from '../../ui/session'
import { TierForm } from './TierForm'
import css from './TiersPage.module.css'

export default function TiersPage() {
  const { data } = useSuspenseQuery(tiersQuery)
  const mayWrite = useCan('tier_write')
  const [edited, setEdited] = useState<Tier | 'new' | null>(null)
  const [toDelete, setToDelete] = useState<Tier | null>(null)
  const remove = useTierDelete()
  const close = () => {
    setEdited(null)
  }
  const create = mayWrite && (
    <Button
      leftSection={<Icon name="plus" />}
      onClick={() => {
        setEdited('new')
      }}
    >
      Create tier
    </Button>
  )
  return (
    <>
      <PageHeader
        title="Tiers"
        lead="How often targets are asked, by which agents, and from when on loss or delay counts as degraded."
        actions={create}
      />
      <Panel isFlush>
        <DataTable
          label="Tiers"
          columns={columns(mayWrite, setEdited, setToDelete)}
          rows={data.items}
          rowId={(tier) => String(tier.id)}
          onOpen={mayWrite ? setEdited : undefined}
          empty={
            <Empty title="No tiers yet" action={create}>
              A target needs a tier: how often to ask it, and what counts as bad.
            </Empty>
          }
        />
      </Panel>
      <Modal
        opened={edited !== null}
        onClose={close}
        title={edited === 'new' || edited === null ? 'Create tier' : `Edit ${edited.name}`}
        size="lg"
      >
        {edited !== null && <TierForm tier={edited === 'new' ? null : edited} onDone={close} />}
      </Modal>
      <Confirm
        title={`Delete ${toDelete?.name ?? ''}?`}
        verb="Delete tier"
        isOpen={toDelete !== null}
        isBusy={remove.isPending}
        error={remove.error}
        onClose={() => {
          remove.reset()
          setToDelete(null)
        }}
        onConfirm={() => {
          if (toDelete === null) return
          remove.mutate(toDelete.id, {
            onSuccess: () => {
              setToDelete(null)
            },
          })
        }}
      >
        A tier that still has targets cannot be deleted: move them to another tier first.
      </Confirm>
    </>
  )
}

function columns(
  mayWrite: boolean,
  onEdit: (tier: Tier) => void,
  onDelete: (tier: Tier) => void,
): readonly Column<Tier>[] {
  const shown: Column<Tier>[] = [
    {
      id: 'name',
      head: 'Name',
      by: (tier) => tier.name,
      card: 'title',
      cell: (tier) => <b>{tier.name}</b>,
    },
    {
      id: 'round',
      head: 'A round',
      by: (tier) => tier.interval_s,
      cell: (tier) => (
        <span className={css.stack}>
          {many(tier.packets, 'packet')} every {tier.interval_s} s
          <small>
            {tier.gap_ms} ms apart, timeout {tier.timeout_ms} ms, {tier.payload_bytes} bytes
          </small>
        </span>
      ),
    },
    {
      id: 'agents',
      head: 'Asked by',
      cell: (tier) =>
        tier.strategy === 'all' ? 'every agent' : many(tier.agent_count ?? 0, 'agent'),
    },
    {
      id: 'loss',
      head: 'Degraded by loss',
      cell: (tier) => (
        <span className={css.stack}>
          {tier.lost_raise} of 100 or more
          <small>clears at {tier.lost_clear}</small>
        </span>
      ),
    },
    {
      id: 'rtt',
      head: 'Degraded by delay',
      cell: (tier) => (
        <span className={css.stack}>
          above {tier.rtt_us_raise / 1000} ms
          <small>clears at {tier.rtt_us_clear / 1000} ms</small>
        </span>
      ),
    },
    {
      id: 'down',
      head: 'Down within',
      isNumeric: true,
      by: downWithinS,
      cell: (tier) => `${Math.ceil(downWithinS(tier))} s`,
    },
    {
      id: 'kept',
      head: 'History kept',
      cell: (tier) => <KeptCell words={keptInWords(tier.kept_days)} />,
    },
    {
      id: 'targets',
      head: 'Targets',
      isNumeric: true,
      by: (tier) => tier.targets_total,
      cell: (tier) => (
        <span className={css.stack}>
          <Link to="/targets" search={{ tier: String(tier.id) }}>
            {count(tier.targets_total)}
          </Link>
          <small>{perSecond(packetsPerSecond(tier, tier.targets_total), 'packets')}</small>
        </span>
      ),
    },
  ]
  if (mayWrite) {
    shown.push({
      id: 'menu',
      head: '',
      card: 'corner',
      width: '44px',
      cell: (tier) => <TierMenu tier={tier} onEdit={onEdit} onDelete={onDelete} />,
    })
  }
  return shown
}

/** What a tier keeps for a time of its own; most keep nothing so. */
function KeptCell({ words }: { words: string[] }) {
  const [first, ...rest] = words
  if (first === undefined) return 'as the server'
  return (
    <span className={css.stack} title={words.join(', ')}>
      {first}
      <small>
        {rest.length === 0 ? 'the rest as the server' : `and ${many(rest.length, 'more level')}`}
      </small>
    </span>
  )
}

interface TierMenuProps {
  tier: Tier
  onEdit: (tier: Tier) => void
  onDelete: (tier: Tier) => void
}

function TierMenu({ tier, onEdit, onDelete }: TierMenuProps) {
  return (
    <Menu position="bottom-end" width={150}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions on ${tier.name}`}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          leftSection={<Icon name="edit" />}
          onClick={() => {
            onEdit(tier)
          }}
        >
          Edit
        </Menu.Item>
        <Menu.Item
          color="var(--bad)"
          leftSection={<Icon name="trash" />}
          onClick={() => {
            onDelete(tier)
          }}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
