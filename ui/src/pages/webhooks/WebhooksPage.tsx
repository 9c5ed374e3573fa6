/** Who is told of what happens. */

import { Button } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'

import { webhooksQuery } from '../../api/queries'
import type { Webhook } from '../../api/types'
import { type Column, DataTable } from '../../ui/DataTable'
import { Icon } from '../../ui/Icon'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { Age } from '../../ui/Time'
import { State, TestAnswer } from './State'
import { WebhookActions } from './WebhookActions'
import { CreateWebhook } from './WebhookForm'
import css from './Webhooks.module.css'
import { type Tests, useTests } from './useTests'

const columns = (tests: Tests): readonly Column<Webhook>[] => [
  {
    id: 'name',
    head: 'Name',
    by: (hook) => hook.name,
    card: 'title',
    cell: (hook) => (
      <Link to="/webhooks/$id" params={{ id: hook.id }} className={css.name}>
        {hook.name}
      </Link>
    ),
  },
  {
    id: 'address',
    head: 'Address',
    card: 'bare',
    width: '34%',
    cell: (hook) => <span className={css.address}>{hook.url ?? 'cannot be read'}</span>,
  },
  {
    id: 'state',
    head: 'State',
    card: 'bare',
    width: '32%',
    cell: (hook) => (
      <>
        <State hook={hook} />
        <TestAnswer told={tests.told(hook.id)} />
      </>
    ),
  },
  {
    id: 'taken',
    head: 'Last taken',
    by: (hook) => hook.last_sent_at ?? '',
    cell: (hook) => (hook.last_sent_at ? <Age at={hook.last_sent_at} suffix=" ago" /> : 'never'),
  },
  {
    id: 'actions',
    head: '',
    card: 'corner',
    width: '110px',
    cell: (hook) => <WebhookActions hook={hook} tests={tests} />,
  },
]

export default function WebhooksPage() {
  const { data } = useSuspenseQuery(webhooksQuery)
  const [isCreating, setCreating] = useState(false)
  const tests = useTests()
  const navigate = useNavigate()
  const create = (
    <Button
      leftSection={<Icon name="plus" />}
      onClick={() => {
        setCreating(true)
      }}
    >
      Create webhook
    </Button>
  )
  return (
    <>
      <PageHeader
        title="Webhooks"
        lead="Addresses that are told what happens, with signed JSON. What cannot be delivered is tried again for about a day."
        actions={data.items.length > 0 && create}
      />
      <Panel isFlush>
        <DataTable
          label="Webhooks"
          columns={columns(tests)}
          rows={data.items}
          rowId={(hook) => String(hook.id)}
          onOpen={(hook) => void navigate({ to: '/webhooks/$id', params: { id: hook.id } })}
          empty={
            <Empty title="Nobody is told yet" action={create}>
              A webhook is an address of yours that takes JSON with POST: a script, a ticket
              system, a gateway to a chat. Enter it, give it the secret, and press Test: you see
              at once whether a message arrives.
            </Empty>
          }
        />
      </Panel>
      <CreateWebhook
        isOpen={isCreating}
        onClose={() => {
          setCreating(false)
        }}
      />
    </>
  )
}
