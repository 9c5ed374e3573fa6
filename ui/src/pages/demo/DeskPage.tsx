/** The demo's fault desk: what is broken, what Faultline says of it, what else can be broken. */

import { Button } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'

import { useFaultsBreak, useFaultsMendAll } from '../../api/commands'
import { deskQuery } from '../../api/queries'
import { twoAtOnce } from '../../domain/desk'
import { many } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { PageHeader } from '../../ui/Panel'
import { useCan } from '../../ui/session'
import { Breaker } from './Breaker'
import css from './Desk.module.css'
import { Said } from './Said'
import { Tour } from './Tour'
import { Truth } from './Truth'

export default function DeskPage() {
  const { data: desk } = useSuspenseQuery(deskQuery)
  const mayBreak = useCan('topology_write')
  const begin = useFaultsBreak()
  const mend = useFaultsMendAll()
  const both = twoAtOnce(desk)
  return (
    <>
      <PageHeader
        title="Fault desk"
        lead="Break this made-up network, and see whether Faultline finds out what you did."
        actions={
          mayBreak && (
            <>
              {both.length > 0 && (
                <Button
                  variant="default"
                  leftSection={<Icon name="plus" />}
                  loading={begin.isPending}
                  onClick={() => {
                    begin.mutate(both)
                  }}
                >
                  Two at once
                </Button>
              )}
              <Button
                leftSection={<Icon name="wrench" />}
                disabled={desk.active.length === 0}
                loading={mend.isPending}
                onClick={() => {
                  mend.mutate()
                }}
              >
                Mend everything
              </Button>
            </>
          )
        }
      />
      <Failure error={begin.error ?? mend.error} />
      <p className="visually-hidden" role="status">
        {many(desk.active.length, 'fault')} now
      </p>
      <div className={css.mirror}>
        <Truth desk={desk} mayMend={mayBreak} />
        <Said />
      </div>
      <div className={css.columns}>
        <Tour desk={desk} mayBreak={mayBreak} />
        {mayBreak && (
          <div className={css.aside}>
            <Breaker desk={desk} />
          </div>
        )}
      </div>
      <p className={css.credit}>{desk.credit}</p>
    </>
  )
}
