/** What can be done about an incident. */

import { ActionIcon, Button, CopyButton, Menu, Modal, Select, Textarea } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { type IncidentAct, useIncidentAct } from '../../api/commands'
import { assigneesQuery, sessionQuery } from '../../api/queries'
import type { IncidentDetail } from '../../api/types'
import { hitSentence } from '../../domain/diagnosis'
import { CAUSE_CODES, type CauseCode, incidentText } from '../../domain/incident'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { useZone } from '../../ui/clock'
import form from '../../ui/form.module.css'
import css from './Incidents.module.css'

interface Props {
  incident: IncidentDetail
  mayManage: boolean
}

type Dialog = 'assign' | 'close' | 'reopen'

export function IncidentActions({ incident, mayManage }: Props) {
  const [dialog, setDialog] = useState<Dialog | null>(null)
  const act = useIncidentAct({ hasNoForm: true })
  const { id, version } = incident
  const close = () => {
    setDialog(null)
  }
  const isWaiting = incident.state === 'open' && incident.acknowledged_by === null
  return (
    <>
      {mayManage && isWaiting && (
        <Button
          loading={act.isPending}
          onClick={() => {
            act.mutate({ id, act: 'acknowledge' })
          }}
        >
          Acknowledge
        </Button>
      )}
      {mayManage && (
        <Button
          variant="default"
          onClick={() => {
            setDialog('assign')
          }}
        >
          Assign
        </Button>
      )}
      {mayManage && (
        <Button
          variant="default"
          onClick={() => {
            setDialog(incident.state === 'closed' ? 'reopen' : 'close')
          }}
        >
          {incident.state === 'closed' ? 'Reopen' : 'Close'}
        </Button>
      )}
      <CopyAsText incident={incident} />
      <More
        incident={incident}
        mayManage={mayManage}
        onUnacknowledge={() => {
          act.mutate({ id, act: 'unacknowledge', version })
        }}
      />
      <Modal opened={dialog === 'assign'} onClose={close} title={`Assign #${id}`} size="sm">
        <Assign incident={incident} onDone={close} />
      </Modal>
      <Modal opened={dialog === 'close'} onClose={close} title={`Close #${id}`} size="md">
        <Close incident={incident} onDone={close} />
      </Modal>
      <Modal opened={dialog === 'reopen'} onClose={close} title={`Reopen #${id}`} size="md">
        <Reopen incident={incident} onDone={close} />
      </Modal>
    </>
  )
}

function CopyAsText({ incident }: { incident: IncidentDetail }) {
  const [zone] = useZone()
  const text = incidentText(incident, `${location.origin}/incidents/${incident.id}`, zone)
  return (
    <CopyButton value={text} timeout={2000}>
      {({ copied, copy }) => (
        <Button
          variant="default"
          onClick={copy}
          leftSection={<Icon name="copy" size={14} />}
          aria-live="polite"
        >
          {copied ? 'Copied' : 'Copy as text'}
        </Button>
      )}
    </CopyButton>
  )
}

function More({ incident, mayManage, onUnacknowledge }: Props & { onUnacknowledge: () => void }) {
  const mayTakeBack = mayManage && incident.acknowledged_by !== null
  return (
    <Menu position="bottom-end" width={260}>
      <Menu.Target>
        <ActionIcon variant="default" size={34} aria-label={`More of #${incident.id}`}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          component="a"
          href={`/api/v1/incidents/${incident.id}/report`}
          download={`incident-${incident.id}.md`}
        >
          Post-mortem as Markdown
        </Menu.Item>
        <Menu.Item
          component="a"
          href={`/api/v1/incidents/${incident.id}/case`}
          download={`incident-${incident.id}.json`}
        >
          Case file for faultline diagnose
        </Menu.Item>
        {mayTakeBack && (
          <>
            <Menu.Divider />
            <Menu.Item onClick={onUnacknowledge}>Take the acknowledgement back</Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  )
}

interface DialogProps {
  incident: IncidentDetail
  onDone: () => void
}

function Assign({ incident, onDone }: DialogProps) {
  const { data: people, error } = useQuery(assigneesQuery)
  const { data: session } = useQuery(sessionQuery)
  const [owner, setOwner] = useState<string | null>(incident.owner)
  const act = useIncidentAct()
  const give = (to: string | null) => {
    const { id, version } = incident
    act.mutate({ id, act: 'assign', owner: to, version }, { onSuccess: onDone })
  }
  const me = session?.user.name
  return (
    <div className={form.form}>
      <Select
        label="Who works on it"
        placeholder="Nobody"
        clearable
        searchable
        data={people?.items ?? []}
        value={owner}
        onChange={setOwner}
      />
      <Failure error={error ?? act.error} />
      <div className={form.actions}>
        {me !== undefined && me !== incident.owner && people?.items.includes(me) && (
          <Button
            size="sm"
            variant="default"
            onClick={() => {
              give(me)
            }}
          >
            Take it myself
          </Button>
        )}
        <Button
          size="sm"
          loading={act.isPending}
          onClick={() => {
            give(owner)
          }}
        >
          Assign
        </Button>
      </div>
    </div>
  )
}

function Close({ incident, onDone }: DialogProps) {
  const [code, setCode] = useState<CauseCode | null>(null)
  const [note, setNote] = useState('')
  const act = useIncidentAct()
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (code === null) return
    const { id, version, is_seen: force } = incident
    const did: IncidentAct = { act: 'close', code, note: note.trim(), force, version }
    act.mutate({ id, ...did }, { onSuccess: onDone })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      {incident.is_seen && (
        <p className={css.warning}>
          It is still seen: {hitSentence(incident.impact)} Closed now it stays silent until it
          heals, gets worse or has another cause.
        </p>
      )}
      <Select
        label="What it was"
        placeholder="Choose"
        data={CAUSE_CODES.map(({ value, label }) => ({ value, label }))}
        value={code}
        allowDeselect={false}
        data-autofocus
        onChange={(value) => {
          setCode(value)
        }}
      />
      <Textarea
        label="Note"
        placeholder="What was found and repaired"
        autosize
        minRows={2}
        maxRows={10}
        maxLength={4000}
        value={note}
        onChange={(event) => {
          setNote(event.currentTarget.value)
        }}
      />
      <Failure error={act.error} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" disabled={code === null} loading={act.isPending}>
          {incident.is_seen ? 'Close it all the same' : 'Close incident'}
        </Button>
      </div>
    </form>
  )
}

function Reopen({ incident, onDone }: DialogProps) {
  const [note, setNote] = useState('')
  const act = useIncidentAct()
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const { id, version } = incident
    act.mutate({ id, act: 'reopen', note: note.trim(), version }, { onSuccess: onDone })
  }
  return (
    <form className={form.form} onSubmit={submit}>
      <p>
        {incident.is_seen
          ? 'It is still seen: it is open again, and goes on until it heals.'
          : 'It is over: its closing is taken back, and it is resolved.'}
      </p>
      <Textarea
        label="Note"
        autosize
        minRows={2}
        maxLength={4000}
        value={note}
        data-autofocus
        onChange={(event) => {
          setNote(event.currentTarget.value)
        }}
      />
      <Failure error={act.error} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone}>
          Cancel
        </Button>
        <Button size="sm" type="submit" loading={act.isPending}>
          Reopen incident
        </Button>
      </div>
    </form>
  )
}
