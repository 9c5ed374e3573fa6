/** Asks before something that cannot be undone, and says what it will do. */

import { Button, Group, Modal } from '@mantine/core'
import type { ReactNode } from 'react'

import { Failure } from './Failure'

interface Props {
  title: string
  verb: string
  children: ReactNode
  isOpen: boolean
  isBusy: boolean
  error: Error | null
  onConfirm: () => void
  onClose: () => void
}

export function Confirm({
  title,
  verb,
  children,
  isOpen,
  isBusy,
  error,
  onConfirm,
  onClose,
}: Props) {
  return (
    <Modal opened={isOpen} onClose={onClose} title={title} size="md">
      <div style={{ display: 'grid', gap: 16 }}>
        <div style={{ color: 'var(--ink-2)' }}>{children}</div>
        <Failure error={error} />
        <Group justify="flex-end" gap="xs">
          <Button size="sm" variant="default" onClick={onClose} data-autofocus>
            Keep it
          </Button>
          <Button size="sm" color="red.8" onClick={onConfirm} loading={isBusy}>
            {verb}
          </Button>
        </Group>
      </div>
    </Modal>
  )
}
