/** Keys for programs. */

import { Button, Modal, SegmentedControl, TextInput } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useApiKeyCreate, useApiKeyDelete } from '../../api/commands'
import { apiKeysQuery } from '../../api/queries'
import type { ApiKey, Role } from '../../api/types'
import { Confirm } from '../../ui/Confirm'
import { CopyBlock } from '../../ui/CopyBlock'
import { type Column, DataTable } from '../../ui/DataTable'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { Age, Moment } from '../../ui/Time'
import form from '../../ui/form.module.css'
import { ROLES } from './roles'

export default function ApiKeysPage() {
  const { data } = useSuspenseQuery(apiKeysQuery)
  const [isCreating, setCreating] = useState(false)
  const [toDelete, setToDelete] = useState<ApiKey | null>(null)
  const remove = useApiKeyDelete()
  const create = (
    <Button
      leftSection={<Icon name="plus" />}
      onClick={() => {
        setCreating(true)
      }}
    >
      Create API key
    </Button>
  )
  const columns: readonly Column<ApiKey>[] = [
    {
      id: 'name',
      head: 'Name',
      by: (key) => key.name,
      card: 'title',
      cell: (key) => <b>{key.name}</b>,
    },
    { id: 'role', head: 'Role', by: (key) => key.role, cell: (key) => key.role },
    {
      id: 'by',
      head: 'Created by',
      by: (key) => key.created_by,
      cell: (key) => key.created_by || 'the server',
    },
    {
      id: 'created',
      head: 'Created',
      by: (key) => key.created_at,
      cell: (key) => <Moment at={key.created_at} style="day" />,
    },
    {
      id: 'used',
      head: 'Last used',
      by: (key) => key.last_used_at ?? '',
      cell: (key) => (key.last_used_at ? <Age at={key.last_used_at} suffix=" ago" /> : 'never'),
    },
    {
      id: 'expires',
      head: 'Expires',
      by: (key) => key.expires_at ?? '~',
      cell: (key) => (key.expires_at ? <Moment at={key.expires_at} style="day" /> : 'never'),
    },
    {
      id: 'delete',
      head: '',
      card: 'corner',
      width: '90px',
      cell: (key) => (
        <Button
          size="compact-xs"
          variant="default"
          aria-label={`Delete ${key.name}`}
          onClick={() => {
            setToDelete(key)
          }}
        >
          Delete
        </Button>
      ),
    },
  ]
  return (
    <>
      <PageHeader
        title="API keys"
        lead={
          <>
            For programs that talk to <code>/api/v1</code>. A key is sent as{' '}
            <code>Authorization: Bearer</code>.
          </>
        }
        actions={data.items.length > 0 && create}
      />
      <Panel isFlush>
        <DataTable
          label="API keys"
          columns={columns}
          rows={data.items}
          rowId={(key) => String(key.id)}
          empty={
            <Empty title="No API keys yet" action={create}>
              A key lets a program do what its role may do, until it is deleted.
            </Empty>
          }
        />
      </Panel>
      <Modal
        opened={isCreating}
        onClose={() => {
          setCreating(false)
        }}
        title="Create API key"
        size="md"
      >
        <KeyForm
          onDone={() => {
            setCreating(false)
          }}
        />
      </Modal>
      <Confirm
        title={`Delete ${toDelete?.name ?? ''}?`}
        verb="Delete key"
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
        Programs that use it are refused at once.
      </Confirm>
    </>
  )
}

function KeyForm({ onDone }: { onDone: () => void }) {
  const [name, setName] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const create = useApiKeyCreate()
  const problem = create.error instanceof Problem ? create.error : null
  if (create.data) {
    return (
      <div className={form.form}>
        <p>This is the key of {create.data.name}. It is shown only now.</p>
        <CopyBlock text={create.data.key} label="API key" />
        <div className={form.actions}>
          <Button size="sm" onClick={onDone}>
            Done
          </Button>
        </div>
      </div>
    )
  }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate({ name: name.trim(), role })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <TextInput
        label="Name"
        description="The program that will use it"
        placeholder="grafana"
        required
        withAsterisk={false}
        data-autofocus
        value={name}
        error={problem?.reasonFor('name')}
        onChange={(event) => {
          setName(event.currentTarget.value)
        }}
      />
      <SegmentedControl
        aria-label="Role"
        value={role}
        onChange={(value) => {
          setRole(value as Role)
        }}
        data={[...ROLES]}
      />
      <Failure error={create.error} atPlace={['name']} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={create.isPending}>
          Create API key
        </Button>
      </div>
    </form>
  )
}
