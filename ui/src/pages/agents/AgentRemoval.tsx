/** Cuts an agent off: by revoking its certificate, or for good. */

import { useAgentDelete, useAgentRevoke } from '../../api/commands'
import type { Agent } from '../../api/types'
import { Confirm } from '../../ui/Confirm'

export interface Removal {
  agent: Agent
  kind: 'revoke' | 'delete'
}

export function AgentRemoval({
  removal,
  onClose,
}: {
  removal: Removal | null
  onClose: () => void
}) {
  const revoke = useAgentRevoke()
  const remove = useAgentDelete()
  const isDelete = removal?.kind === 'delete'
  const command = isDelete ? remove : revoke
  const name = removal?.agent.name ?? ''
  return (
    <Confirm
      title={isDelete ? `Delete ${name}?` : `Revoke the certificate of ${name}?`}
      verb={isDelete ? 'Delete agent' : 'Revoke'}
      isOpen={removal !== null}
      isBusy={command.isPending}
      error={command.error}
      onClose={() => {
        command.reset()
        onClose()
      }}
      onConfirm={() => {
        if (removal !== null) command.mutate(removal.agent.id, { onSuccess: onClose })
      }}
    >
      {isDelete
        ? 'It is cut off at once. Targets that only it asks become unknown.'
        : 'It is cut off at once and judges nobody until it is enrolled again with a new token.'}
    </Confirm>
  )
}
