/** One window: when it is open, what it silences, and what can be done about it. */

import { Button, Menu } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'
import { Link, getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'

import { useMaintenanceCancel, useMaintenanceEnd, useMaintenanceExtend } from '../../api/commands'
import { maintenanceReachQuery, maintenanceWindowQuery } from '../../api/queries'
import type { Maintenance } from '../../api/types'
import { coverWords, occurrenceOf, spanWords, windowMark } from '../../domain/maintenance'
import { parseTime } from '../../domain/time'
import { Confirm } from '../../ui/Confirm'
import { Failure } from '../../ui/Failure'
import { Fact, Facts, PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useCan } from '../../ui/session'
import css from './Maintenance.module.css'
import { PreviewView } from './PreviewView'

const route = getRouteApi('/inside/maintenance/$id')

export default function WindowPage() {
  const { id } = route.useParams()
  const { data: window } = useSuspenseQuery(maintenanceWindowQuery(id))
  const { data: reach } = useSuspenseQuery(maintenanceReachQuery(id))
  const mayChange = useCan('maintenance_write')
  return (
    <>
      <Link to="/maintenance" className={css.back}>
        All maintenance
      </Link>
      <PageHeader
        title={window.title}
        lead={
          <span className={css.lead}>
            <MarkLabel mark={windowMark(window)} />
            <span>#{window.id}</span>
            <span>covers {coverWords(window.covers)}</span>
          </span>
        }
        actions={mayChange && <Actions window={window} />}
      />
      <div className={css.page}>
        <Panel>
          {window.note !== '' && <p className={css.note}>{window.note}</p>}
          <Times window={window} />
        </Panel>
        <Panel title="What it does">
          <PreviewView preview={reach} />
        </Panel>
      </div>
    </>
  )
}

function Times({ window }: { window: Maintenance }) {
  const occurrence = occurrenceOf(window)
  const label = window.open !== null ? 'Open' : window.next !== null ? 'Next' : 'Last'
  return (
    <Facts>
      <Fact label={label} isWide>
        {occurrence === null ? 'never' : spanWords(occurrence)}
      </Fact>
      <Fact label="Zone">{window.zone}</Fact>
      <Fact label="Repeats" isWide>
        {window.rule ?? 'once'}
      </Fact>
      {window.except.length > 0 && (
        <Fact label="Not on" isWide>
          {window.except.join(', ')}
        </Fact>
      )}
      <Fact label="Planned by" hint={<Moment at={window.created_at} style="day" />}>
        {window.created_by ?? 'Faultline'}
      </Fact>
      {window.cancelled_at !== null && (
        <Fact label="Cancelled" isWide>
          <Moment at={window.cancelled_at} />
        </Fact>
      )}
    </Facts>
  )
}

const EXTENSIONS = [
  { minutes: 15, label: 'by 15 min' },
  { minutes: 30, label: 'by 30 min' },
  { minutes: 60, label: 'by 1 h' },
  { minutes: 240, label: 'by 4 h' },
] as const

function Actions({ window }: { window: Maintenance }) {
  const [dialog, setDialog] = useState<'end' | 'cancel' | null>(null)
  const extend = useMaintenanceExtend()
  const end = useMaintenanceEnd()
  const cancel = useMaintenanceCancel()
  const close = () => {
    setDialog(null)
    end.reset()
    cancel.reset()
  }
  const until = parseTime(window.open?.end)
  const mayCancel = window.state === 'open' || window.state === 'planned'
  return (
    <div className={css.actions}>
      <Failure error={extend.error} />
      {until !== null && (
        <>
          <Menu position="bottom-end">
            <Menu.Target>
              <Button size="sm" variant="default" loading={extend.isPending}>
                Extend
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              {EXTENSIONS.map(({ minutes, label }) => (
                <Menu.Item
                  key={minutes}
                  onClick={() => {
                    const longer = new Date(until + minutes * 60_000).toISOString()
                    extend.mutate({ id: window.id, until: longer })
                  }}
                >
                  {label}
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
          <Button
            size="sm"
            onClick={() => {
              setDialog('end')
            }}
          >
            End now
          </Button>
        </>
      )}
      {mayCancel && (
        <Button
          size="sm"
          variant="default"
          onClick={() => {
            setDialog('cancel')
          }}
        >
          Cancel it
        </Button>
      )}
      <Confirm
        title={`End ${window.title} now?`}
        verb="End now"
        isOpen={dialog === 'end'}
        isBusy={end.isPending}
        error={end.error}
        onClose={close}
        onConfirm={() => {
          end.mutate(window.id, { onSuccess: close })
        }}
      >
        What fails from now on is told. A minute later one message says what did not come back, if
        anything did not.
      </Confirm>
      <Confirm
        title={`Cancel ${window.title}?`}
        verb="Cancel it"
        isOpen={dialog === 'cancel'}
        isBusy={cancel.isPending}
        error={cancel.error}
        onClose={close}
        onConfirm={() => {
          cancel.mutate(window.id, { onSuccess: close })
        }}
      >
        There is nothing more of it{window.rule !== null && ', of this and of all times to come'}.
        It stays in the list.
      </Confirm>
    </div>
  )
}
