/** One incident: what is the matter, how surely, whom it hits, and who does what about it. */

import { useQuery, useSuspenseQuery } from '@tanstack/react-query'
import { Link, getRouteApi } from '@tanstack/react-router'

import { incidentQuery, incidentRevisionsQuery } from '../../api/queries'
import type { IncidentDetail } from '../../api/types'
import { hitSentence, percent } from '../../domain/diagnosis'
import {
  causeWords,
  endedAt,
  headline,
  lasted,
  severityMark,
  stateMark,
  worstImpact,
} from '../../domain/incident'
import { parseTime } from '../../domain/time'
import { duration } from '../../domain/units'
import { Fact, Facts, PageHeader, Panel } from '../../ui/Panel'
import { Age, Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useNow } from '../../ui/clock'
import { useCan } from '../../ui/session'
import { CommentForm } from './CommentForm'
import { CauseCards } from './CauseCards'
import { IncidentActions } from './IncidentActions'
import css from './Incidents.module.css'
import { Impact } from './Impact'
import { Revisions } from './Revisions'
import { Timeline } from './Timeline'

const route = getRouteApi('/inside/incidents/$id')

export default function IncidentPage() {
  const { id } = route.useParams()
  const { data: incident } = useSuspenseQuery(incidentQuery(id))
  const mayManage = useCan('incident_manage')
  const maySeeMap = useCan('topology_read')
  const [cause] = incident.causes
  return (
    <>
      <Link to="/incidents" className={css.back}>
        All incidents
      </Link>
      <PageHeader
        title={headline(incident.sentence)}
        lead={
          <span className={css.lead}>
            <MarkLabel mark={severityMark(incident.severity)} />
            <MarkLabel mark={stateMark(incident)} />
            <span>#{incident.id}</span>
            {cause !== undefined && <span>probability {percent(cause.probability)}</span>}
            {maySeeMap && (
              <Link to="/map" search={{ incident: incident.id }}>
                Show on the map
              </Link>
            )}
          </span>
        }
        actions={<IncidentActions incident={incident} mayManage={mayManage} />}
      />
      <div className={css.page}>
        <Standing incident={incident} />
        <div className={css.columns}>
          <div className={css.column}>
            <Panel title="Cause">
              <CauseCards incident={incident} />
            </Panel>
            <div className={css.last}>
              <Impact incident={incident} />
            </div>
          </div>
          <div className={css.column}>
            {incident.next_steps.length > 0 && incident.state === 'open' && (
              <Panel title="Next steps">
                <ol className={css.steps}>
                  {incident.next_steps.map((step) => (
                    <li key={step}>{step}</li>
                  ))}
                </ol>
              </Panel>
            )}
            <Panel title="Timeline">
              <Timeline incident={incident} />
              {mayManage && <CommentForm id={incident.id} />}
            </Panel>
            <Revisions id={incident.id} />
          </div>
        </div>
      </div>
    </>
  )
}

/** What an engineer wants to know in the first second. */
function Standing({ incident }: { incident: IncidentDetail }) {
  const now = useNow()
  const isOver = endedAt(incident) !== null
  const { data: beliefs } = useQuery(incidentRevisionsQuery(incident.id))
  const hits = incident.is_seen
    ? hitSentence(incident.impact)
    : `At worst: ${hitSentence(worstImpact(incident, beliefs?.items ?? []))}`
  const [after, until] = [parseTime(incident.onset_after), parseTime(incident.onset_until)]
  return (
    <Panel>
      <p className={css.hits}>{hits}</p>
      {incident.state === 'closed' && incident.is_seen && (
        <p className={css.warning}>
          It is still seen. Closed as it is, it stays silent until it heals, gets worse or has
          another cause.
        </p>
      )}
      {incident.maintenance !== null && (
        <p className={incident.is_silent ? css.warning : undefined}>
          {incident.is_silent
            ? 'Nobody was told: it failed inside of '
            : 'It failed inside of a maintenance window: '}
          <Link to="/maintenance/$id" params={{ id: incident.maintenance }}>
            maintenance #{incident.maintenance}
          </Link>
          {incident.is_silent
            ? '. What is not back a minute after its end is told then.'
            : '. It is told as any other now.'}
        </p>
      )}
      {incident.merged_into !== null && (
        <p>
          It turned out to be a part of{' '}
          <Link to="/incidents/$id" params={{ id: incident.merged_into }}>
            #{incident.merged_into}
          </Link>
          .
        </p>
      )}
      <Facts>
        <Fact
          label="Began"
          isWide
          hint={
            after !== null && until !== null && until - after >= 1_000
              ? `within the ${duration(until - after)} before`
              : undefined
          }
        >
          <Moment at={incident.onset_until} />
        </Fact>
        <Fact label={isOver ? 'Lasted' : 'Lasts'}>{lasted(incident, now)}</Fact>
        <Fact label={incident.is_silent ? 'Opened' : 'Told'} isWide>
          <Moment at={incident.opened_at} />
        </Fact>
        {incident.resolved_at !== null && (
          <Fact label="Over" isWide>
            <Moment at={incident.resolved_at} />
          </Fact>
        )}
        {incident.close_code !== null && (
          <Fact label="Closed as" hint={incident.closed_by ?? undefined}>
            {causeWords(incident.close_code)}
          </Fact>
        )}
        <Fact label="Owner">{incident.owner ?? 'nobody'}</Fact>
        <Fact label="Acknowledged">
          {incident.acknowledged_by === null ? (
            'by nobody'
          ) : (
            <>
              {incident.acknowledged_by}, <Age at={incident.acknowledged_at} isShort /> ago
            </>
          )}
        </Fact>
      </Facts>
    </Panel>
  )
}
