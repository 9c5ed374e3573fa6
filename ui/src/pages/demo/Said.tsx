/** What Faultline says is the matter, beside what is. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'

import { latestIncidentsQuery } from '../../api/queries'
import { headline, severityMark, stateMark } from '../../domain/incident'
import { Panel } from '../../ui/Panel'
import { Age } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import css from './Desk.module.css'

export function Said() {
  const { data } = useQuery(latestIncidentsQuery)
  const items = data?.items ?? []
  return (
    <Panel title="What Faultline says" aside={<Link to="/incidents">All incidents</Link>} isFlush>
      {items.length === 0 ? (
        <p className={css.nothing}>
          {data === undefined ? 'One moment.' : 'No incident: everything answers.'}
        </p>
      ) : (
        <ul className={css.facts} aria-live="polite">
          {items.map((incident) => (
            <li key={incident.id} className={css.fact}>
              <span className={css.mark}>
                <MarkLabel
                  mark={
                    incident.state === 'open'
                      ? severityMark(incident.severity)
                      : stateMark(incident)
                  }
                />
              </span>
              <span className={css.words}>
                <Link to="/incidents/$id" params={{ id: incident.id }} className={css.incident}>
                  {headline(incident.sentence)}
                </Link>
                <small>
                  #{incident.id} · since <Age at={incident.onset_until} />
                </small>
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}
