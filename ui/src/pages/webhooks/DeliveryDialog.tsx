/** One message: each try to deliver it, and what is sent to the byte. */

import { Button, Modal } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'

import { useDeliveryAgain } from '../../api/commands'
import { deliveryQuery } from '../../api/queries'
import type { DeliveryDetail } from '../../api/types'
import { lag } from '../../domain/units'
import { bodyText, deliveryMark, kindWords } from '../../domain/webhook'
import { Failure } from '../../ui/Failure'
import { Fact, Facts } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import form from '../../ui/form.module.css'
import { IncidentLink, Until } from './Deliveries'
import css from './Webhooks.module.css'

export function DeliveryDialog({ id, onClose }: { id: number | null; onClose: () => void }) {
  const { data, error } = useQuery(deliveryQuery(id))
  return (
    <Modal
      opened={id !== null}
      onClose={onClose}
      title={data === undefined ? 'Message' : kindWords(data.kind)}
      size="lg"
    >
      <Failure error={error} />
      {data !== undefined && <Detail delivery={data} onClose={onClose} />}
    </Modal>
  )
}

function Detail({ delivery, onClose }: { delivery: DeliveryDetail; onClose: () => void }) {
  const again = useDeliveryAgain()
  return (
    <div className={css.detail}>
      <Facts>
        <Fact label="State">
          <MarkLabel mark={deliveryMark(delivery.state)} />
        </Fact>
        {delivery.state === 'due' && (
          <Fact label="Next try">
            <Until at={delivery.next_at} />
          </Fact>
        )}
        <Fact label="Happened" isWide>
          <Moment at={delivery.created_at} />
        </Fact>
        {delivery.incident !== null && (
          <Fact label="Incident">
            <IncidentLink id={delivery.incident} />
          </Fact>
        )}
        <Fact label="Message id" hint="the same at each try" isWide>
          <code>{delivery.message}</code>
        </Fact>
      </Facts>
      <section>
        <h3>Tries</h3>
        <Tries delivery={delivery} />
      </section>
      <section>
        <h3>Body</h3>
        {/* It scrolls, so that it must be reached by keyboard. */}
        {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
        <pre className={css.body} tabIndex={0} aria-label="Body">
          {bodyText(delivery.body)}
        </pre>
      </section>
      <Failure error={again.error} />
      <div className={form.actions}>
        <Button size="sm" variant="default" onClick={onClose}>
          Close
        </Button>
        <Button
          size="sm"
          loading={again.isPending}
          onClick={() => {
            again.mutate(delivery.id)
          }}
        >
          {delivery.state === 'due' ? 'Try now' : 'Send again'}
        </Button>
      </div>
    </div>
  )
}

function Tries({ delivery: { reason, tries } }: { delivery: DeliveryDetail }) {
  if (tries.length === 0) return <p className={css.reason}>{reason ?? 'Not tried yet.'}</p>
  return (
    // It scrolls, so that it must be reached by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <ol className={css.tries} tabIndex={0} aria-label="Tries">
      {tries.map((tried) => (
        <li key={tried.at}>
          <Moment at={tried.at} />
          <span className={css.took}>{lag(tried.took_us)}</span>
          <span className={css.reason}>{tried.reason ?? `taken: ${tried.status ?? ''}`}</span>
        </li>
      ))}
    </ol>
  )
}
