/** What would be lost without an element. Nothing is changed by asking. */

import { Modal } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'

import { whatIfQuery } from '../../api/queries'
import { count } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import { Fact, Facts } from '../../ui/Panel'
import css from './TopologyPage.module.css'

/** Names that stand there; how many there are is said. */
const NAMES_MAX = 12

export function WhatIf({ lose, onClose }: { lose: string | null; onClose: () => void }) {
  return (
    <Modal
      opened={lose !== null}
      onClose={onClose}
      title={`What if ${lose ?? ''} fails`}
      size="lg"
    >
      <Answer lose={lose} />
    </Modal>
  )
}

function Answer({ lose }: { lose: string | null }) {
  const { data, error } = useQuery(whatIfQuery(lose))
  if (error !== null) return <Failure error={error} />
  if (data === undefined) return <p>Walking through the network…</p>
  const share = data.weight_total === 0 ? 0 : (data.weight / data.weight_total) * 100
  const lists = [
    { title: 'Targets that nobody reaches', of: data.targets_lost },
    { title: 'Devices down or cut off', of: data.devices },
    { title: 'One failure from being cut off', of: data.devices_exposed },
    { title: 'Agents that see nothing', of: data.agents_blind },
  ].filter(({ of }) => of.total > 0)
  return (
    <div className={css.answer}>
      <p className={css.sentence}>{data.sentence}</p>
      <Facts>
        <Fact label="Targets lost">{count(data.targets_lost.total)}</Fact>
        <Fact label="Weight" hint={`${share.toFixed(1)} % of all`}>
          {count(data.weight)}
        </Fact>
        <Fact label="Customers">{count(data.customers)}</Fact>
        <Fact label="Rerouted">{count(data.targets_rerouted)}</Fact>
      </Facts>
      {lists.map(({ title, of }) => (
        <section key={title}>
          <h3>
            {title}: {count(of.total)}
          </h3>
          <p>
            {of.ids.slice(0, NAMES_MAX).join(', ')}
            {of.total > NAMES_MAX && ` and ${count(of.total - NAMES_MAX)} more`}
          </p>
        </section>
      ))}
      <p className={css.quiet}>It looks at links, devices and needs, not at capacity.</p>
    </div>
  )
}
