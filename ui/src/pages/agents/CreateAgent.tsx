/** Creates an agent and shows the command that enrols it. */

import { Button, Modal, TagsInput, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useAgentCreate } from '../../api/commands'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'
import { TokenSteps } from './TokenSteps'

/** Witnesses that an agent may have, as the server allows. */
const WITNESSES_MAX = 8

export function CreateAgent({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Create agent" size="lg">
      <CreateForm onDone={onClose} />
    </Modal>
  )
}

function CreateForm({ onDone }: { onDone: () => void }) {
  const create = useAgentCreate()
  const [name, setName] = useState('')
  const [witnesses, setWitnesses] = useState<string[]>([])
  const problem = create.error instanceof Problem ? create.error : null
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
    create.mutate({ name: name.trim(), witnesses })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <TextInput
        label="Name"
        description="Where it stands, for example its point of presence"
        placeholder="pop-north"
        required
        withAsterisk={false}
        data-autofocus
        spellCheck={false}
        autoCapitalize="none"
        value={name}
        error={problem?.reasonFor('name')}
        onChange={(event) => {
          setName(event.currentTarget.value)
        }}
      />
      <TagsInput
        label="Witnesses"
        description="Addresses beyond its own network that practically always answer. When they fall silent together with everything else, the agent is blind and judges nobody."
        placeholder={witnesses.length === 0 ? 'Type an address and press Enter' : undefined}
        maxTags={WITNESSES_MAX}
        value={witnesses}
        error={problem?.reasonFor('witnesses')}
        onChange={setWitnesses}
      />
      <Failure error={create.error} />
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
