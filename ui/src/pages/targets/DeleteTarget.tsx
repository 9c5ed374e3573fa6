/** Deletes one target, after saying what goes with it. */

import { useTargetDelete } from '../../api/commands'
import type { Target } from '../../api/types'
import { Confirm } from '../../ui/Confirm'

interface Props {
  target: Target | null
  onClose: () => void
  onDeleted?: () => void
}

export function DeleteTarget({ target, onClose, onDeleted }: Props) {
  const remove = useTargetDelete()
  return (
    <Confirm
      title={`Delete ${target?.name ?? 'target'}?`}
      verb="Delete target"
      isOpen={target !== null}
      isBusy={remove.isPending}
      error={remove.error}
      onClose={() => {
        remove.reset()
        onClose()
      }}
      onConfirm={() => {
        if (target === null) return
        remove.mutate(target.id, {
          onSuccess: () => {
            onClose()
            onDeleted?.()
          },
        })
      }}
    >
      It is no longer asked, and its page with its history is gone. To keep the history, pause it
      instead.
    </Confirm>
  )
}
