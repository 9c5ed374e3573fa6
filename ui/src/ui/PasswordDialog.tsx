/** Changes one's own password. */

import { Button, Modal } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../api/client'
import { usePasswordChange } from '../api/commands'
import { Failure } from './Failure'
import { PasswordField } from './PasswordField'
import css from './form.module.css'

export function PasswordDialog({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Change password" size="sm">
      <PasswordForm onDone={onClose} />
    </Modal>
  )
}

function PasswordForm({ onDone }: { onDone: () => void }) {
  const change = usePasswordChange()
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const [again, setAgain] = useState('')
  const isSame = next === again
  const reasons = change.error instanceof Problem ? change.error : null
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (isSame)
      change.mutate({ current_password: current, new_password: next }, { onSuccess: onDone })
  }
  return (
    <form className={css.form} onSubmit={submit}>
      <PasswordField
        label="Current password"
        autoComplete="current-password"
        required
        data-autofocus
        value={current}
        error={reasons?.reasonFor('current_password')}
        onChange={(event) => {
          setCurrent(event.currentTarget.value)
        }}
      />
      <PasswordField
        label="New password"
        description="At least 12 characters"
        minLength={12}
        autoComplete="new-password"
        required
        value={next}
        error={reasons?.reasonFor('new_password')}
        onChange={(event) => {
          setNext(event.currentTarget.value)
        }}
      />
      <PasswordField
        label="New password again"
        autoComplete="new-password"
        required
        value={again}
        error={again !== '' && !isSame ? 'is not the same' : undefined}
        onChange={(event) => {
          setAgain(event.currentTarget.value)
        }}
      />
      <Failure error={change.error} atPlace={['current_password', 'new_password']} />
      <div className={css.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button
          size="sm"
          type="submit"
          loading={change.isPending}
          disabled={!isSame || next === ''}
        >
          Change password
        </Button>
      </div>
    </form>
  )
}
