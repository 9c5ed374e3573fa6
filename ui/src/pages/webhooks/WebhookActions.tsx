/** What can be done with one webhook: in its row of the list, and on its own page. */

import { ActionIcon, Button, Menu, Modal } from '@mantine/core'
import { useState } from 'react'

import { useWebhookChange, useWebhookDelete, useWebhookSecret } from '../../api/commands'
import type { Webhook } from '../../api/types'
import { Confirm } from '../../ui/Confirm'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import form from '../../ui/form.module.css'
import { EditWebhook, Secret } from './WebhookForm'
import css from './Webhooks.module.css'
import type { Tests } from './useTests'

type Dialog = 'edit' | 'secret' | 'disable' | 'delete'

interface Props {
  hook: Webhook
  tests: Tests
  onDeleted?: () => void
}

export function WebhookActions({ hook, tests, onDeleted }: Props) {
  const [dialog, setDialog] = useState<Dialog | null>(null)
  const change = useWebhookChange({ hasNoForm: true })
  const close = () => {
    setDialog(null)
  }
  return (
    <div className={css.actions}>
      <Button
        size="compact-sm"
        variant="default"
        aria-label={`Test ${hook.name}`}
        loading={tests.told(hook.id) === 'under way'}
        onClick={() => {
          tests.run(hook.id)
        }}
      >
        Test
      </Button>
      <ActionsMenu
        hook={hook}
        onOpen={setDialog}
        onEnable={() => {
          change.mutate({ id: hook.id, is_disabled: false })
        }}
      />
      <EditWebhook hook={dialog === 'edit' ? hook : null} onClose={close} />
      <Modal
        opened={dialog === 'secret'}
        onClose={close}
        title={`New secret for ${hook.name}`}
        size="md"
      >
        <NewSecret hook={hook} onDone={close} />
      </Modal>
      <Disable hook={hook} isOpen={dialog === 'disable'} onClose={close} />
      <Delete hook={hook} isOpen={dialog === 'delete'} onClose={close} onDeleted={onDeleted} />
    </div>
  )
}

interface MenuProps {
  hook: Webhook
  onOpen: (dialog: Dialog) => void
  onEnable: () => void
}

function ActionsMenu({ hook, onOpen, onEnable }: MenuProps) {
  const open = (dialog: Dialog) => () => {
    onOpen(dialog)
  }
  return (
    <Menu position="bottom-end" width={190}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions on ${hook.name}`}>
          <Icon name="more" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<Icon name="edit" />} onClick={open('edit')}>
          Edit
        </Menu.Item>
        <Menu.Item
          leftSection={<Icon name={hook.is_disabled ? 'play' : 'clock'} />}
          onClick={hook.is_disabled ? onEnable : open('disable')}
        >
          {hook.is_disabled ? 'Enable' : 'Disable'}
        </Menu.Item>
        {hook.url !== null && (
          <Menu.Item leftSection={<Icon name="key" />} onClick={open('secret')}>
            New secret
          </Menu.Item>
        )}
        <Menu.Divider />
        <Menu.Item
          color="var(--bad)"
          leftSection={<Icon name="trash" />}
          onClick={open('delete')}
        >
          Delete
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}

interface DialogProps {
  hook: Webhook
  isOpen: boolean
  onClose: () => void
}

function Disable({ hook, isOpen, onClose }: DialogProps) {
  const change = useWebhookChange()
  return (
    <Confirm
      title={`Disable ${hook.name}?`}
      verb="Disable webhook"
      isOpen={isOpen}
      isBusy={change.isPending}
      error={change.error}
      onClose={onClose}
      onConfirm={() => {
        change.mutate({ id: hook.id, is_disabled: true }, { onSuccess: onClose })
      }}
    >
      Nothing is sent there until it is enabled again. What waits for it is given up.
    </Confirm>
  )
}

function Delete({ hook, isOpen, onClose, onDeleted }: DialogProps & Pick<Props, 'onDeleted'>) {
  const remove = useWebhookDelete()
  return (
    <Confirm
      title={`Delete ${hook.name}?`}
      verb="Delete webhook"
      isOpen={isOpen}
      isBusy={remove.isPending}
      error={remove.error}
      onClose={() => {
        remove.reset()
        onClose()
      }}
      onConfirm={() => {
        remove.mutate(hook.id, { onSuccess: onDeleted ?? onClose })
      }}
    >
      Nothing is sent there any more. What waits for it and the record of what it was sent go with
      it.
    </Confirm>
  )
}

function NewSecret({ hook, onDone }: { hook: Webhook; onDone: () => void }) {
  const renew = useWebhookSecret()
  if (renew.data) {
    return <Secret name={hook.name} secret={renew.data.secret} onDone={onDone} />
  }
  return (
    <div className={form.form}>
      <p>
        Every message is signed with the new secret at once, also those that wait. The receiver
        refuses them until it has it.
      </p>
      <Failure error={renew.error} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onDone} data-autofocus>
          Keep the old one
        </Button>
        <Button
          size="sm"
          loading={renew.isPending}
          onClick={() => {
            renew.mutate(hook.id)
          }}
        >
          Make a new secret
        </Button>
      </div>
    </div>
  )
}
