/** What was believed of it, and when: so that nobody has to guess why it changed. */

import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { incidentRevisionsQuery } from '../../api/queries'
import { percent } from '../../domain/diagnosis'
import { headline } from '../../domain/incident'
import { count } from '../../domain/units'
import { Failure } from '../../ui/Failure'
import { Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import css from './Incidents.module.css'

/** Beliefs that stand there at once: the last ones. */
const LAST = 5

export function Revisions({ id }: { id: number }) {
  const { data, error } = useQuery(incidentRevisionsQuery(id))
  const [isWhole, setWhole] = useState(false)
  const all = data?.items ?? []
  const shown = isWhole ? all : all.slice(-LAST)
  return (
    <Panel title="What we believed, and when">
      <Failure error={error} />
      {shown.length < all.length && (
        <Button
          size="compact-sm"
          variant="default"
          mb="sm"
          onClick={() => {
            setWhole(true)
          }}
        >
          Show all {count(all.length)}
        </Button>
      )}
      <ol className={css.beliefs}>
        {shown.map((belief) => (
          <li key={belief.revision}>
            <p>
              At <Moment at={belief.at} style="time" /> we believed:{' '}
              <b>{headline(belief.sentence)}</b>
              {belief.causes[0] && <> ({percent(belief.causes[0].probability)})</>}
            </p>
            {belief.revision > 1 && <p className={css.quiet}>{belief.why}</p>}
          </li>
        ))}
      </ol>
    </Panel>
  )
}
