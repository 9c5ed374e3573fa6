/** The guided tour: five faults, what to click, what to watch, what Faultline should say. */

import { Button } from '@mantine/core'

import { useFaultsBreak, useFaultsMend } from '../../api/commands'
import type { Desk, DeskStop } from '../../api/types'
import { brokenOf } from '../../domain/desk'
import { Failure } from '../../ui/Failure'
import { Panel } from '../../ui/Panel'
import css from './Desk.module.css'

export function Tour({ desk, mayBreak }: { desk: Desk; mayBreak: boolean }) {
  return (
    <Panel
      title="A tour in five faults"
      aside={`Routing goes round a failure after ${desk.convergence_s} s`}
      isFlush
    >
      <ol className={css.tour}>
        {desk.tour.map((stop, index) => (
          <TourStop
            key={stop.title}
            desk={desk}
            stop={stop}
            number={index + 1}
            mayBreak={mayBreak}
          />
        ))}
      </ol>
    </Panel>
  )
}

interface Props {
  desk: Desk
  stop: DeskStop
  number: number
  mayBreak: boolean
}

function TourStop({ desk, stop, number, mayBreak }: Props) {
  const begin = useFaultsBreak()
  const mend = useFaultsMend()
  const broken = brokenOf(desk, stop.faults)
  return (
    <li className={css.stop} data-broken={broken !== null || undefined}>
      <span className={css.number} aria-hidden>
        {number}
      </span>
      <div className={css.story}>
        <h3>{stop.title}</h3>
        <p>{stop.story}</p>
        <dl className={css.look}>
          <dt>Watch</dt>
          <dd>{stop.watch}</dd>
          <dt>It should say</dt>
          <dd>{stop.says}</dd>
        </dl>
        <Failure error={begin.error ?? mend.error} />
      </div>
      {mayBreak && (
        <Button
          size="compact-md"
          className={css.act}
          variant={broken === null ? 'light' : 'default'}
          loading={begin.isPending || mend.isPending}
          aria-label={`${broken === null ? 'Break it' : 'Mend it'}: ${stop.title}`}
          onClick={() => {
            if (broken === null) begin.mutate(stop.faults)
            else mend.mutate(broken)
          }}
        >
          {broken === null ? 'Break it' : 'Mend it'}
        </Button>
      )}
    </li>
  )
}
