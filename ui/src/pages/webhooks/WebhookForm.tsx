/** Creates a webhook, whose secret is shown once, or changes the name and address of one. */

import { Button, Modal, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'

import { Problem } from '../../api/client'
import { useWebhookChange, useWebhookCreate } from '../../api/commands'
import type { Webhook } from '../../api/types'
import { CopyBlock } from '../../ui/CopyBlock'
import { Failure } from '../../ui/Failure'
import form from '../../ui/form.module.css'

export function CreateWebhook({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal opened={isOpen} onClose={onClose} title="Create webhook" size="md">
      <CreateForm onDone={onClose} />
    </Modal>
  )
}

export function EditWebhook({ hook, onClose }: { hook: Webhook | null; onClose: () => void }) {
  return (
    <Modal opened={hook !== null} onClose={onClose} title={`Edit ${hook?.name ?? ''}`} size="md">
      {hook !== null && <EditForm hook={hook} onDone={onClose} />}
    </Modal>
  )
}

/** A secret, which the receiver needs now: it is never shown again. */
export function Secret({ name, secret, onDone }: Record<'name' | 'secret', string> & Done) {
  return (
    <div className={form.form}>
      <p>
        Messages to {name} are signed with this secret. It is shown only now: give it to the
        receiver, which checks the signature as Standard Webhooks says.
      </p>
      <CopyBlock text={secret} label={`Secret of ${name}`} />
      <div className={form.actions}>
        <Button size="sm" onClick={onDone}>
          Done
        </Button>
      </div>
    </div>
  )
}

interface Done {
  onDone: () => void
}

function CreateForm({ onDone }: Done) {
  const create = useWebhookCreate()
  if (create.data) {
    return <Secret name={create.data.name} secret={create.data.secret} onDone={onDone} />
  }
  return (
    <Fields
      verb="Create webhook"
      error={create.error}
      isBusy={create.isPending}
      onSubmit={create.mutate}
      onDone={onDone}
    />
  )
}

function EditForm({ hook, onDone }: { hook: Webhook } & Done) {
  const change = useWebhookChange()
  return (
    <Fields
      verb="Save"
      hook={hook}
      error={change.error}
      isBusy={change.isPending}
      onSubmit={({ name, url }) => {
        // An address that is not changed is not sent: one that cannot be read stays as it is.
        const isMoved = url !== (hook.url ?? '')
        change.mutate({ id: hook.id, name, ...(isMoved && { url }) }, { onSuccess: onDone })
      }}
      onDone={onDone}
    />
  )
}

interface FieldsProps extends Done {
  verb: string
  hook?: Webhook
  error: Error | null
  isBusy: boolean
  onSubmit: (body: { name: string; url: string }) => void
}

function Fields({ verb, hook, error, isBusy, onSubmit, onDone }: FieldsProps) {
  const [name, setName] = useState(hook?.name ?? '')
  const [url, setUrl] = useState(hook?.url ?? '')
  const problem = error instanceof Problem ? error : null
  const submit = (event: FormEvent) => {
    event.preventDefault()
    onSubmit({ name: name.trim(), url: url.trim() })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <TextInput
        label="Name"
        description="Who is told"
        placeholder="noc-chat"
        required
        withAsterisk={false}
        data-autofocus
        autoComplete="off"
        value={name}
        error={problem?.reasonFor('name')}
        onChange={(event) => {
          setName(event.currentTarget.value)
        }}
      />
      <TextInput
        label="Address"
        description="Each message is sent there with POST, as signed JSON"
        placeholder="https://noc.example.net/faultline"
        required={hook === undefined || hook.url !== null}
        withAsterisk={false}
        autoComplete="off"
        inputMode="url"
        value={url}
        error={problem?.reasonFor('url')}
        onChange={(event) => {
          setUrl(event.currentTarget.value)
        }}
      />
      <Failure error={error} atPlace={['name', 'url']} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={isBusy}>
          {verb}
        </Button>
      </div>
    </form>
  )
}
