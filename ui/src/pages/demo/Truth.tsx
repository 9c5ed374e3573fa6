/** What is really broken: what Faultline is not told. */

import { Button } from '@mantine/core'

import { useFaultMend } from '../../api/commands'
import type { Desk, DeskFault } from '../../api/types'
import { faultWords } from '../../domain/desk'
import { Icon } from '../../ui/Icon'
import { Panel, Tag } from '../../ui/Panel'
import { Age } from '../../ui/Time'
import css from './Desk.module.css'

export function Truth({ desk, mayMend }: { desk: Desk; mayMend: boolean }) {
  return (
    <Panel title="What is true" aside="Faultline is not told" isFlush>
      {desk.active.length === 0 ? (
        <p className={css.nothing}>Nothing is broken.</p>
      ) : (
        <ul className={css.facts}>
          {desk.active.map((fault) => (
            <Broken key={fault.id} fault={fault} mayMend={mayMend} />
          ))}
        </ul>
      )}
    </Panel>
  )
}

function Broken({ fault, mayMend }: { fault: DeskFault; mayMend: boolean }) {
  const mend = useFaultMend()
  return (
    <li className={css.fact}>
      <span className={`${css.glyph} tone-${fault.is_bad_now ? 'bad' : 'muted'}`}>
        <Icon name={faultWords(fault.kind).icon} />
      </span>
      <span className={css.words}>
        {fault.words}
        <small>
          since <Age at={fault.since} />
          {!fault.is_bad_now && (
            <>
              {' '}
              <Tag>up for a moment</Tag>
            </>
          )}
        </small>
      </span>
      {mayMend && (
        <Button
          size="compact-sm"
          variant="default"
          loading={mend.isPending}
          aria-label={`Mend: ${fault.words}`}
          onClick={() => {
            mend.mutate(fault.id)
          }}
        >
          Mend
        </Button>
      )}
    </li>
  )
}
