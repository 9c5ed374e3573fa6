/** Creates a user with a first password. */

import { Button, Modal, SegmentedControl, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useUserCreate } from '../../api/commands'
import type { Role } from '../../api/types'
import { Failure } from '../../ui/Failure'
import { PasswordField } from '../../ui/PasswordField'
import form from '../../ui/form.module.css'
import { ROLES } from './roles'

export function CreateUser({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Create user" size="sm">
      <UserForm onDone={onClose} />
    </Modal>
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
      <PasswordField
        label="First password"
        description="At least 12 characters; they can change it after signing in"
        required
        minLength={12}
        autoComplete="new-password"
        value={password}
        error={problem?.reasonFor('password')}
        onChange={(event) => {
          setPassword(event.currentTarget.value)
        }}
      />
      <Failure error={create.error} atPlace={['name', 'password']} />
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
