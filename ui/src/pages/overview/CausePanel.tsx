/** What failed, how surely, what speaks for it and against it, and whom it hits. */

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'

import { diagnosisQuery } from '../../api/queries'
import type { Diagnosis, DiagnosisCause, DiagnosisIncident } from '../../api/types'
import { hitSentence, namesOf, percent } from '../../domain/diagnosis'
import { many } from '../../domain/units'
import { Empty, Panel } from '../../ui/Panel'
import { Age, Moment } from '../../ui/Time'
import css from './CausePanel.module.css'

/** Causes in full; the others are a line each. */
const FULL_MAX = 3
/** And so many as a line; the others are counted. */
const LINES_MAX = 20
/** Pieces of evidence of each side that are shown; the loudest come first. */
const EVIDENCE_MAX = 4

export function CausePanel() {
  const { data } = useQuery(diagnosisQuery)
  if (data === undefined) return null
  return (
    <Panel
      title="Likely cause"
      aside={
        data.at !== null && (
          <>
            judged at <Moment at={data.at} style="time" />
          </>
        )
      }
    >
      <CauseContent diagnosis={data} />
    </Panel>
  )
}

export function CauseContent({ diagnosis }: { diagnosis: Diagnosis }) {
  const open = diagnosis.incidents.filter((incident) => incident.state === 'open')
  const isMissing = diagnosis.state !== 'judged'
  if (isMissing) {
    return (
      <Empty title="No cause can be named yet">
        {diagnosis.missing.map((sentence) => (
          <span key={sentence}>{sentence}. </span>
        ))}
      </Empty>
    )
  }
  return (
    <div className={css.causes}>
      {open.length === 0 && diagnosis.pairs > 0 && (
        <p>
          Nothing is the matter with the network, as far as {many(diagnosis.pairs, 'pair')} of
          agents and targets show.
        </p>
      )}
      {open.length === 0 && diagnosis.pairs === 0 && (
        <p>Unknown: nobody has asked a target of the topology in the last minutes.</p>
      )}
      {diagnosis.is_cut_short && (
        <p>The time for judging ran out: what is here is right as far as it goes.</p>
      )}
      {open.slice(0, FULL_MAX).map((incident) => (
        <Incident key={incident.id} incident={incident} />
      ))}
      {open.slice(FULL_MAX, FULL_MAX + LINES_MAX).map((incident) => (
        <p key={incident.id}>{incident.sentence}</p>
      ))}
      {open.length > FULL_MAX + LINES_MAX && (
        <p>And {open.length - FULL_MAX - LINES_MAX} more.</p>
      )}
      {diagnosis.blind_agents.length > 0 && (
        <p>Agents that see nothing: {namesOf(diagnosis.blind_agents)}.</p>
      )}
      {diagnosis.unexplained_total > 0 && (
        <p>
          {many(diagnosis.unexplained_total, 'pair')} of agent and target get no answer, and
          nothing explains it yet.
        </p>
      )}
      {diagnosis.missing.map((sentence) => (
        <p key={sentence} className={css.quiet}>
          {sentence}
        </p>
      ))}
    </div>
  )
}

function Incident({ incident }: { incident: DiagnosisIncident }) {
  const [first, ...others] = incident.causes
  return (
    <article className={css.incident} aria-label={incident.sentence}>
      <h3>
        {incident.incident === null ? (
          incident.sentence
        ) : (
          <Link to="/incidents/$id" params={{ id: incident.incident }}>
            {incident.sentence}
          </Link>
        )}
      </h3>
      <p>
        {hitSentence(incident.impact)} Since <Moment at={incident.since} style="time" /> (
        <Age at={incident.since} suffix=" ago" />
        ).
      </p>
      {first !== undefined && <Evidence cause={first} />}
      {others.map((cause) => (
        <p key={cause.elements.join()} className={css.quiet}>
          or {namesOf(cause.elements)} ({cause.mode.replace('_', ' ')}),{' '}
          {percent(cause.probability)}
        </p>
      ))}
    </article>
  )
}

function Evidence({ cause }: { cause: DiagnosisCause }) {
  const side = (supports: boolean) =>
    cause.evidence.filter((piece) => piece.supports === supports).slice(0, EVIDENCE_MAX)
  const sides = [
    { word: 'For', pieces: side(true) },
    { word: 'Against', pieces: side(false) },
  ]
  return (
    <dl className={css.evidence}>
      {sides
        .filter(({ pieces }) => pieces.length > 0)
        .map(({ word, pieces }) => (
          <div key={word}>
            <dt>{word}</dt>
            <dd>
              <ul>
                {pieces.map((piece) => (
                  <li key={piece.text}>{piece.text}</li>
                ))}
              </ul>
            </dd>
          </div>
        ))}
      {cause.to_disambiguate !== null && (
        <div>
          <dt>To be sure</dt>
          <dd>{cause.to_disambiguate}</dd>
        </div>
      )}
    </dl>
  )
}
