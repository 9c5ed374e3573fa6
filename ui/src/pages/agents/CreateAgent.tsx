/** Creates an agent and shows the command that enrols it. */

import { Button, Modal } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useAgentCreate } from '../../api/commands'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'
import { type AgentDraft, AgentFields } from './AgentFields'
import { TokenSteps } from './TokenSteps'

export function CreateAgent({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Create agent" size="lg">
      <CreateForm onDone={onClose} />
    </Modal>
  )
}

function CreateForm({ onDone }: { onDone: () => void }) {
  const create = useAgentCreate()
  const [draft, setDraft] = useState<AgentDraft>({ name: '', witnesses: [] })
  if (create.data) {
    return (
      <div className={form.form}>
        <TokenSteps agentId={create.data.agent.id} token={create.data} />
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
    create.mutate({ name: draft.name.trim(), witnesses: draft.witnesses })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <AgentFields
        draft={draft}
        problem={create.error instanceof Problem ? create.error : null}
        onChange={setDraft}
      />
      <Failure error={create.error} atPlace={['name', 'witnesses']} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={create.isPending}>
          Create agent
        </Button>
      </div>
    </form>
  )
}
