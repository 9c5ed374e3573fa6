/**
 * Makes a new token for an agent that exists: after a lost token, a new host, a revoked
 * certificate.
 */

import { Button, Modal } from '@mantine/core'

import { useAgentToken } from '../../api/commands'
import type { Agent } from '../../api/types'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'
import { TokenSteps } from './TokenSteps'

export function NewToken({ agent, onClose }: { agent: Agent | null; onClose: () => void }) {
  return (
    <Modal
      opened={agent !== null}
      onClose={onClose}
      title={`New token for ${agent?.name ?? ''}`}
      size="lg"
    >
      {agent && <TokenForm key={agent.id} agent={agent} onDone={onClose} />}
    </Modal>
  )
}

function TokenForm({ agent, onDone }: { agent: Agent; onDone: () => void }) {
  const make = useAgentToken()
  return (
    <div className={form.form}>
      {make.data ? (
        <TokenSteps agentId={agent.id} token={make.data} />
      ) : (
        <p>
          Whoever types the token within 10 minutes becomes {agent.name}. A host that is enrolled
          as {agent.name} already keeps working until then.
        </p>
      )}
      <Failure error={make.error} />
      <div className={form.actions}>
        {make.data ? (
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
              loading={make.isPending}
              onClick={() => {
                make.mutate(agent.id)
              }}
            >
              Make token
            </Button>
          </>
        )}
      </div>
    </div>
  )
}
