/** What it could be, how surely, what speaks for it and against it, and what would tell. */

import { Link } from '@tanstack/react-router'

import type { DiagnosisCause, IncidentDetail } from '../../api/types'
import { namesOf, percent } from '../../domain/diagnosis'
import { beganAt } from '../../domain/incident'
import { MINUTE_MS } from '../../domain/time'
import { count } from '../../domain/units'
import css from './Incidents.module.css'

/** Pieces of evidence of each side; the loudest come first. */
const EVIDENCE_MAX = 6
/** Links to targets under one piece of evidence; the others are counted. */
const LINKS_MAX = 6
/** How much of a target's history is shown around the beginning. */
const BEFORE_MS = 15 * MINUTE_MS
const AFTER_MS = 45 * MINUTE_MS

export function CauseCards({ incident }: { incident: IncidentDetail }) {
  const [first, ...others] = incident.causes
  if (first === undefined) return <p className={css.quiet}>Nothing is known of its cause.</p>
  return (
    <div className={css.causes}>
      <Certainty causes={incident.causes} other={incident.other_probability} />
      {first.to_disambiguate !== null && (
        <p className={css.tell}>
          <b>To be sure:</b> {first.to_disambiguate}
        </p>
      )}
      <Evidence cause={first} incident={incident} />
      {others
        .filter((cause) => cause.evidence.length > 0)
        .map((cause) => (
          <details key={`${cause.elements.join()} ${cause.mode}`} className={css.other}>
            <summary>
              What speaks for {namesOf(cause.elements)} instead ({percent(cause.probability)})
            </summary>
            <Evidence cause={cause} incident={incident} />
          </details>
        ))}
    </div>
  )
}

/** A bar a cause, as long as it is likely. */
function Certainty({ causes, other }: { causes: readonly DiagnosisCause[]; other: number }) {
  const rows = [
    ...causes.map((cause) => ({
      key: `${cause.elements.join()} ${cause.mode}`,
      name: cause.elements.join(' or '),
      what: `${cause.kind.replace('_', ' ')}, ${cause.mode.replace('_', ' ')}`,
      share: cause.probability,
    })),
    { key: 'other', name: 'something else', what: '', share: other },
  ]
  return (
    <ul className={css.certainty} aria-label="How likely each cause is">
      {rows.map(({ key, name, what, share }) => (
        <li key={key}>
          <span className={css.cause}>
            {name} {what !== '' && <small>{what}</small>}
          </span>
          <span className={css.share}>{percent(share)}</span>
          <span className={css.meter} aria-hidden>
            <span style={{ width: `${share * 100}%` }} />
          </span>
        </li>
      ))}
    </ul>
  )
}

function Evidence({ cause, incident }: { cause: DiagnosisCause; incident: IncidentDetail }) {
  const side = (supports: boolean) =>
    cause.evidence
      .filter((piece) => piece.supports === supports)
      .toSorted((a, b) => Math.abs(b.log_ratio) - Math.abs(a.log_ratio))
      .slice(0, EVIDENCE_MAX)
  const sides = [
    { word: 'What speaks for it', tone: 'bad', pieces: side(true) },
    { word: 'What speaks against it', tone: 'good', pieces: side(false) },
  ] as const
  return sides.map(
    ({ word, tone, pieces }) =>
      pieces.length > 0 && (
        <section key={word} className={`${css.side} tone-${tone}`}>
          <h3>{word}</h3>
          <ul>
            {pieces.map((piece) => (
              <li key={piece.text}>
                {piece.text}
                <Seen refs={piece.refs} incident={incident} />
              </li>
            ))}
          </ul>
        </section>
      ),
  )
}

/** The histories that a piece of evidence was read from, each one click away. */
function Seen({
  refs,
  incident,
}: {
  refs: DiagnosisCause['evidence'][number]['refs']
  incident: IncidentDetail
}) {
  const names = [...new Set(refs.map(({ target }) => target))]
  if (names.length === 0) return null
  return (
    <span className={css.refs}>
      {names.slice(0, LINKS_MAX).map((name) => (
        <TargetLink key={name} name={name} incident={incident} />
      ))}
      {names.length > LINKS_MAX && <span>and {count(names.length - LINKS_MAX)} more</span>}
    </span>
  )
}

/** A target by its name; what is there no more is a name only. */
export function TargetLink({ name, incident }: { name: string; incident: IncidentDetail }) {
  const target = incident.targets.find((one) => one.name === name)
  if (target === undefined) return <span>{name}</span>
  const began = beganAt(incident)
  const moment = (at: number) => new Date(at).toISOString()
  return (
    <Link
      to="/targets/$id"
      params={{ id: target.id }}
      search={{ from: moment(began - BEFORE_MS), to: moment(began + AFTER_MS) }}
    >
      {name}
    </Link>
  )
}
