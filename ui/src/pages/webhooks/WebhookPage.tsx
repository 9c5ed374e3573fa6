/** One webhook, and every message that it was sent. */

import { useSuspenseQuery } from '@tanstack/react-query'
import { Link, getRouteApi, useNavigate } from '@tanstack/react-router'

import { webhookQuery } from '../../api/queries'
import { Fact, Facts, PageHeader, Panel } from '../../ui/Panel'
import { Age, Moment } from '../../ui/Time'
import { Deliveries } from './Deliveries'
import { DeliveryDialog } from './DeliveryDialog'
import { State, TestAnswer } from './State'
import { WebhookActions } from './WebhookActions'
import css from './Webhooks.module.css'
import { useTests } from './useTests'

const route = getRouteApi('/inside/webhooks/$id')

export default function WebhookPage() {
  const { id } = route.useParams()
  const { state, delivery } = route.useSearch()
  const { data: hook } = useSuspenseQuery(webhookQuery(id))
  const tests = useTests()
  const go = useNavigate()
  const navigate = route.useNavigate()
  const told = tests.told(id)
  return (
    <>
      <Link to="/webhooks" className={css.back}>
        All webhooks
      </Link>
      <PageHeader
        title={hook.name}
        lead={
          <>
            <span className={css.address}>{hook.url ?? unreadable}</span>
            <TestAnswer told={told} />
          </>
        }
        actions={
          <WebhookActions
            hook={hook}
            tests={tests}
            onDeleted={() => void go({ to: '/webhooks' })}
          />
        }
      />
      <div className={css.page}>
        <Panel>
          <Facts>
            <Fact label="State" isWide>
              <State hook={hook} />
            </Fact>
            <Fact label="Last taken">
              {hook.last_sent_at ? <Age at={hook.last_sent_at} suffix=" ago" /> : 'never'}
            </Fact>
            <Fact label="Created" isWide>
              <Moment at={hook.created_at} style="day" />
            </Fact>
          </Facts>
        </Panel>
        <Deliveries
          id={id}
          state={state}
          onState={(next) => void navigate({ search: { state: next }, replace: true })}
          onOpen={(opened) => void navigate({ search: { state, delivery: opened } })}
        />
      </div>
      <DeliveryDialog
        id={delivery ?? null}
        onClose={() => void navigate({ search: { state } })}
      />
    </>
  )
}

const unreadable =
  'The address cannot be read: it was stored under another master key. Delete this webhook and create it anew.'
