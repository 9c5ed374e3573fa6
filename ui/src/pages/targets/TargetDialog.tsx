/** Adds a target, or edits one. */

import { Button, Modal, Select, TagsInput, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useTargetChange, useTargetCreate } from '../../api/commands'
import { tiersQuery } from '../../api/queries'
import type { Target } from '../../api/types'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'

interface Props {
  /** The one to edit; null to add one. */
  target: Target | null
  isOpen: boolean
  onClose: () => void
}

export function TargetDialog({ target, isOpen, onClose }: Props) {
  return (
    <Modal
      opened={isOpen}
      onClose={onClose}
      title={target ? `Edit ${target.name}` : 'Add target'}
      size="md"
    >
      <TargetForm key={target?.id} target={target} onDone={onClose} />
    </Modal>
  )
}

/** What a person would call an address until told otherwise. */
function nameOf(address: string): string {
  return address
    .trim()
    .replaceAll(':', '-')
    .replace(/^[^a-z0-9]+/i, '')
    .slice(0, 63)
}

function TargetForm({ target, onDone }: { target: Target | null; onDone: () => void }) {
  const { data: tiers } = useQuery(tiersQuery)
  const create = useTargetCreate()
  const change = useTargetChange()
  const [address, setAddress] = useState(target?.address ?? '')
  const [name, setName] = useState(target?.name ?? '')
  const [tier, setTier] = useState(target ? String(target.tier.id) : null)
  const [tags, setTags] = useState<string[]>([...(target?.tags ?? [])])
  const [note, setNote] = useState(target?.note ?? '')
  const command = target ? change : create
  const problem = command.error instanceof Problem ? command.error : null
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const body = {
      name: name.trim() === '' ? nameOf(address) : name.trim(),
      address: address.trim(),
      tags,
      note,
      ...(tier !== null && { tier_id: Number(tier) }),
    }
    if (target) change.mutate({ id: target.id, ...body }, { onSuccess: onDone })
    else create.mutate(body, { onSuccess: onDone })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <TextInput
        label="Address"
        description="IPv4, IPv6 or a DNS name"
        placeholder="192.0.2.1"
        required
        withAsterisk={false}
        data-autofocus
        spellCheck={false}
        autoCapitalize="none"
        value={address}
        error={problem?.reasonFor('address')}
        onChange={(event) => {
          setAddress(event.currentTarget.value)
        }}
      />
      <TextInput
        label="Name"
        description="Letters, digits, “-”, “_” and “.”; the address if left empty"
        placeholder={nameOf(address) || 'core1.fra'}
        spellCheck={false}
        autoCapitalize="none"
        value={name}
        error={problem?.reasonFor('name')}
        onChange={(event) => {
          setName(event.currentTarget.value)
        }}
      />
      <Select
        label="Tier"
        description="How often it is asked, and what counts as bad"
        placeholder={[...(tiers?.items ?? [])].sort((a, b) => a.id - b.id)[0]?.name ?? 'standard'}
        data={tiers?.items.map((one) => ({
          value: String(one.id),
          label: `${one.name}: ${one.packets} packets every ${one.interval_s} s`,
        }))}
        value={tier}
        error={problem?.reasonFor('tier_id')}
        onChange={setTier}
      />
      <TagsInput
        label="Tags"
        placeholder={tags.length === 0 ? 'Type and press Enter' : undefined}
        value={tags}
        error={problem?.reasonFor('tags')}
        onChange={setTags}
      />
      <TextInput
        label="Note"
        value={note}
        error={problem?.reasonFor('note')}
        onChange={(event) => {
          setNote(event.currentTarget.value)
        }}
      />
      <Failure error={command.error} atPlace={['address', 'name', 'tier_id', 'tags', 'note']} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={command.isPending}>
          {target ? 'Save' : 'Add target'}
        </Button>
      </div>
    </form>
  )
}
