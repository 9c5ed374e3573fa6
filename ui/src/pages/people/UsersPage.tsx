/** Who may sign in, and what they may do. */

import { ActionIcon, Button, Menu } from '@mantine/core'
import { useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { useUserChange, useUserDelete } from '../../api/commands'
import { sessionQuery, usersQuery } from '../../api/queries'
import type { User } from '../../api/types'
import { Confirm } from '../../ui/Confirm'
import { type Column, DataTable } from '../../ui/DataTable'
import { Icon } from '../../ui/Icon'
import { PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { CreateUser } from './CreateUser'
import { ResetPassword } from './ResetPassword'
import css from './UsersPage.module.css'
import { ROLES } from './roles'

export default function UsersPage() {
  const { data } = useSuspenseQuery(usersQuery)
  const [isCreating, setCreating] = useState(false)
  const [toReset, setToReset] = useState<User | null>(null)
  const [toDelete, setToDelete] = useState<User | null>(null)
  const change = useUserChange({ hasNoForm: true })
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
      by: (user) => String(user.is_disabled),
      cell: (user) =>
        user.is_disabled ? <span className={css.disabled}>disabled</span> : 'may sign in',
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
      cell: (user) => (
        <UserMenu
          user={user}
          onChange={change.mutate}
          onReset={setToReset}
          onDelete={setToDelete}
        />
      ),
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
      <CreateUser
        isOpen={isCreating}
        onClose={() => {
          setCreating(false)
        }}
      />
      <ResetPassword
        user={toReset}
        onClose={() => {
          setToReset(null)
        }}
      />
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

interface MenuProps {
  user: User
  onChange: (change: { id: number } & Partial<Pick<User, 'role' | 'is_disabled'>>) => void
  onReset: (user: User) => void
  onDelete: (user: User) => void
}

/** One's own account is changed in the menu of the account, and never taken away by oneself. */
function UserMenu({ user, onChange, onReset, onDelete }: MenuProps) {
  const { data: session } = useQuery(sessionQuery)
  if (session?.user.id === user.id) return <span className={css.self}>you</span>
  return (
    <Menu position="bottom-end" width={190}>
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
              onChange({ id: user.id, role })
            }}
          >
            Make {role}
          </Menu.Item>
        ))}
        <Menu.Item
          leftSection={<Icon name={user.is_disabled ? 'play' : 'clock'} />}
          onClick={() => {
            onChange({ id: user.id, is_disabled: !user.is_disabled })
          }}
        >
          {user.is_disabled ? 'Enable' : 'Disable'}
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name="key" />}
          onClick={() => {
            onReset(user)
          }}
        >
          Reset password
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
