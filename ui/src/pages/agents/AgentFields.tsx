/** What a person says of an agent: its name, and whom it asks to know that it sees. */

import { TagsInput, TextInput } from '@mantine/core'

import type { Problem } from '../../api/client'

/** Witnesses that an agent may have, as the server allows. */
const WITNESSES_MAX = 8

export interface AgentDraft {
  name: string
  witnesses: string[]
}

interface Props {
  draft: AgentDraft
  problem: Problem | null
  onChange: (draft: AgentDraft) => void
}

export function AgentFields({ draft, problem, onChange }: Props) {
  return (
    <>
      <TextInput
        label="Name"
        description="Where it stands, for example its point of presence"
        placeholder="pop-north"
        required
        withAsterisk={false}
        data-autofocus
        spellCheck={false}
        autoCapitalize="none"
        value={draft.name}
        error={problem?.reasonFor('name')}
        onChange={(event) => {
          onChange({ ...draft, name: event.currentTarget.value })
        }}
      />
      <TagsInput
        label="Witnesses"
        description="Addresses beyond its own network that practically always answer. When they fall silent together with everything else, the agent is blind and judges nobody. Its gateway is a witness by itself: the agent reads it from its host’s routes."
        placeholder={draft.witnesses.length === 0 ? 'Type an address and press Enter' : undefined}
        maxTags={WITNESSES_MAX}
        acceptValueOnBlur
        value={draft.witnesses}
        error={problem?.reasonFor('witnesses')}
        onChange={(witnesses) => {
          onChange({ ...draft, witnesses })
        }}
      />
    </>
  )
}
