/** Gives a user a password that the server makes, and shows it this once. */

import { Button, Modal } from '@mantine/core'

import { useUserReset } from '../../api/commands'
import type { User } from '../../api/types'
import { CopyBlock } from '../../ui/CopyBlock'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'

export function ResetPassword({ user, onClose }: { user: User | null; onClose: () => void }) {
  return (
    <Modal
      opened={user !== null}
      onClose={onClose}
      // It is shown once: a stray click must not take it away.
      closeOnClickOutside={false}
      title={`New password for ${user?.name ?? ''}`}
      size="md"
    >
      {user && <Steps key={user.id} user={user} onDone={onClose} />}
    </Modal>
  )
}

function Steps({ user, onDone }: { user: User; onDone: () => void }) {
  const reset = useUserReset()
  return (
    <div className={form.form}>
      {reset.data ? (
        <>
          <p role="status">
            Tell {user.name} this password. It is shown only now; it can be changed after signing
            in.
          </p>
          <CopyBlock text={reset.data.password} label={`New password of ${user.name}`} />
          {user.is_disabled && (
            <p className={form.hint}>{user.name} is disabled and cannot sign in yet.</p>
          )}
        </>
      ) : (
        <p>
          The server makes a new password and shows it once. The old one no longer works, and{' '}
          {user.name} is signed out everywhere.
        </p>
      )}
      <Failure error={reset.error} />
      <div className={form.actions}>
        {reset.data ? (
          <Button size="sm" onClick={onDone}>
            Done
          </Button>
        ) : (
          <>
            <Button size="sm" variant="default" onClick={onDone}>
              Cancel
            </Button>
            <Button
              size="sm"
              loading={reset.isPending}
              onClick={() => {
                reset.mutate(user.id)
              }}
            >
              Reset password
            </Button>
          </>
        )}
      </div>
    </div>
  )
}
