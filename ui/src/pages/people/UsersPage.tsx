/** Who may sign in, and what they may do. */

import {
  ActionIcon,
  Button,
  Menu,
  Modal,
  PasswordInput,
  SegmentedControl,
  TextInput,
} from '@mantine/core'
import { useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useUserChange, useUserCreate, useUserDelete } from '../../api/commands'
import { sessionQuery, usersQuery } from '../../api/queries'
import type { Role, User } from '../../api/types'
import { Confirm } from '../../ui/Confirm'
import { type Column, DataTable } from '../../ui/DataTable'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import form from '../../ui/form.module.css'
import { ROLES } from './roles'

export default function UsersPage() {
  const { data } = useSuspenseQuery(usersQuery)
  const [isCreating, setCreating] = useState(false)
  const [toDelete, setToDelete] = useState<User | null>(null)
  const remove = useUserDelete()
  const columns: readonly Column<User>[] = [
    {
      id: 'name',
      head: 'Name',
      by: (user) => user.name,
      card: 'title',
      cell: (user) => <b>{user.name}</b>,
    },
    { id: 'role', head: 'Role', by: (user) => user.role, cell: (user) => user.role },
    {
      id: 'state',
      head: 'State',
      cell: (user) => (user.is_disabled ? 'disabled' : 'may sign in'),
    },
    {
      id: 'created',
      head: 'Created',
      by: (user) => user.created_at,
      cell: (user) => <Moment at={user.created_at} style="day" />,
    },
    {
      id: 'menu',
      head: '',
      card: 'corner',
      width: '44px',
      cell: (user) => <UserMenu user={user} onDelete={setToDelete} />,
    },
  ]
  return (
    <>
      <PageHeader
        title="Users"
        lead="Viewers look. Operators also change targets and tiers. Admins may do everything."
        actions={
          <Button
            leftSection={<Icon name="plus" />}
            onClick={() => {
              setCreating(true)
            }}
          >
            Create user
          </Button>
        }
      />
      <Panel isFlush>
        <DataTable
          label="Users"
          columns={columns}
          rows={data.items}
          rowId={(user) => String(user.id)}
        />
      </Panel>
      <Modal
        opened={isCreating}
        onClose={() => {
          setCreating(false)
        }}
        title="Create user"
        size="sm"
      >
        <UserForm
          onDone={() => {
            setCreating(false)
          }}
        />
      </Modal>
      <Confirm
        title={`Delete ${toDelete?.name ?? ''}?`}
        verb="Delete user"
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
        The sessions of this person end at once. What they did stays in the audit.
      </Confirm>
    </>
  )
}

function UserMenu({ user, onDelete }: { user: User; onDelete: (user: User) => void }) {
  const change = useUserChange({ hasNoForm: true })
  const { data: session } = useQuery(sessionQuery)
  if (session?.user.id === user.id) return <span style={{ color: 'var(--ink-3)' }}>you</span>
  return (
    <Menu position="bottom-end" width={180}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions on ${user.name}`}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {ROLES.filter((role) => role !== user.role).map((role) => (
          <Menu.Item
            key={role}
            leftSection={<Icon name="users" />}
            onClick={() => {
              change.mutate({ id: user.id, role })
            }}
          >
            Make {role}
          </Menu.Item>
        ))}
        <Menu.Item
          leftSection={<Icon name={user.is_disabled ? 'play' : 'clock'} />}
          onClick={() => {
            change.mutate({ id: user.id, is_disabled: !user.is_disabled })
          }}
        >
          {user.is_disabled ? 'Enable' : 'Disable'}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item
          color="var(--bad)"
          leftSection={<Icon name="trash" />}
          onClick={() => {
            onDelete(user)
          }}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

function UserForm({ onDone }: { onDone: () => void }) {
  const [name, setName] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const [password, setPassword] = useState('')
  const create = useUserCreate()
  const problem = create.error instanceof Problem ? create.error : null
  const submit = (event: FormEvent) => {
    event.preventDefault()
    create.mutate({ name: name.trim(), role, password }, { onSuccess: onDone })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <TextInput
        label="Name"
        required
        withAsterisk={false}
        data-autofocus
        autoComplete="off"
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
      <PasswordInput
        label="First password"
        description="At least 12 characters; they can change it after signing in"
        required
        withAsterisk={false}
        minLength={12}
        autoComplete="new-password"
        value={password}
        error={problem?.reasonFor('password')}
        onChange={(event) => {
          setPassword(event.currentTarget.value)
        }}
      />
      <Failure error={create.error} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={create.isPending}>
          Create user
        </Button>
      </div>
    </form>
  )
}
