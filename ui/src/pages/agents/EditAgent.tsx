/** Renames an agent, and says whom it asks to know that it sees. */

import { Button, Modal } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useAgentChange } from '../../api/commands'
import type { Agent } from '../../api/types'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'
import { AgentFields } from './AgentFields'

export function EditAgent({ agent, onClose }: { agent: Agent | null; onClose: () => void }) {
  return (
    <Modal
      opened={agent !== null}
      onClose={onClose}
      title={`Edit ${agent?.name ?? ''}`}
      size="lg"
    >
      {agent && <EditForm key={agent.id} agent={agent} onDone={onClose} />}
    </Modal>
  )
}

function EditForm({ agent, onDone }: { agent: Agent; onDone: () => void }) {
  const change = useAgentChange()
  const [draft, setDraft] = useState({ name: agent.name, witnesses: agent.witnesses })
  const submit = (event: FormEvent) => {
    event.preventDefault()
    change.mutate(
      { id: agent.id, name: draft.name.trim(), witnesses: draft.witnesses },
      { onSuccess: onDone },
    )
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <AgentFields
        draft={draft}
        problem={change.error instanceof Problem ? change.error : null}
        onChange={setDraft}
      />
      <Failure error={change.error} atPlace={['name', 'witnesses']} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={change.isPending}>
          Save
        </Button>
      </div>
    </form>
  )
}
