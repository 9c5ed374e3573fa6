/** Whom it hits, and of whom nobody is told by themselves. */

import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { incidentRevisionsQuery } from '../../api/queries'
import type { IncidentDetail } from '../../api/types'
import { namesOf } from '../../domain/diagnosis'
import { worstImpact } from '../../domain/incident'
import { count, many } from '../../domain/units'
import { Fact, Facts, Panel } from '../../ui/Panel'
import { TargetLink } from './CauseCards'
import css from './Incidents.module.css'

/** Targets of one reason that stand there at once. */
const FEW = 12

export function Impact({ incident }: { incident: IncidentDetail }) {
  const { suppressed, suppressed_total } = incident
  const { data: beliefs } = useQuery(incidentRevisionsQuery(incident.id))
  // What is over hits nobody now: what it did hit is asked for.
  const impact = incident.is_seen ? incident.impact : worstImpact(incident, beliefs?.items ?? [])
  return (
    <Panel
      title={incident.is_seen ? 'Affected' : 'Affected at worst'}
      aside={suppressed_total > 0 && `${many(suppressed_total, 'target')} under this incident`}
    >
      <Facts>
        <Fact label="Targets down">{count(impact.targets_down)}</Fact>
        <Fact label="Degraded">{count(impact.targets_degraded)}</Fact>
        {impact.weight_total > 0 && (
          <Fact label="Weight" hint={`of ${count(impact.weight_total)}`}>
            {count(impact.weight)}
          </Fact>
        )}
        {impact.customers > 0 && <Fact label="Customers">{count(impact.customers)}</Fact>}
        {impact.services > 0 && <Fact label="Services">{count(impact.services)}</Fact>}
        {impact.devices_total > 0 && (
          <Fact label="Devices down or cut off" isWide>
            {namesOf(impact.devices)}
          </Fact>
        )}
        {impact.devices_exposed_total > 0 && (
          <Fact label="Cut off by one failure more" isWide>
            {namesOf(impact.devices_exposed)}
          </Fact>
        )}
      </Facts>
      {suppressed.length > 0 && <Suppressed incident={incident} />}
    </Panel>
  )
}

function Suppressed({ incident }: { incident: IncidentDetail }) {
  const [isWhole, setWhole] = useState(false)
  const { suppressed, suppressed_total } = incident
  const groups = new Map<string, IncidentDetail['suppressed']>()
  for (const one of suppressed) {
    groups.set(one.reason, [...(groups.get(one.reason) ?? []), one])
  }
  const unnamed = suppressed_total - suppressed.length
  const isLong = [...groups.values()].some((group) => group.length > FEW)
  return (
    <section className={css.suppressed}>
      <h3>Nobody is told of these by themselves</h3>
      {[...groups].map(([reason, group]) => (
        <div key={reason}>
          <p>{reason}</p>
          <ul>
            {(isWhole ? group : group.slice(0, FEW)).map(({ target }) => (
              <li key={target}>
                <TargetLink name={target} incident={incident} />
              </li>
            ))}
          </ul>
        </div>
      ))}
      {isLong && !isWhole && (
        <Button
          size="compact-sm"
          variant="default"
          onClick={() => {
            setWhole(true)
          }}
        >
          Show all {count(suppressed.length)}
        </Button>
      )}
      {(isWhole || !isLong) && unnamed > 0 && (
        <p className={css.quiet}>And {count(unnamed)} more.</p>
      )}
    </section>
  )
}
