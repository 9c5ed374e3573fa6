/** The last day of an agent in small lines: what it says of itself, and where it said nothing. */

import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import { agentMetricsQuery } from '../../api/queries'
import type { Agent } from '../../api/types'
import { FIGURES, STEP_MIN, type Spark, sparkOf, strokeOf } from '../../domain/metric'
import { NONE, bytes, lag, many } from '../../domain/units'
import { Icon } from '../../ui/Icon'
import css from './AgentHistory.module.css'

const WIDTH = 200
const HEIGHT = 34

type Unit = (typeof FIGURES)[number]['unit']

function words(unit: Unit, value: number | null): string {
  if (value === null) return NONE
  switch (unit) {
    case 'us':
      return lag(value)
    case 'bytes':
      return bytes(value)
    case 'percent':
      return `${value.toFixed(value < 10 ? 1 : 0)} %`
    case 'per_s':
      return `${value === 0 ? '0' : value.toPrecision(3)} a second`
  }
}

/** Nothing is asked before it is opened: a fleet has hundreds of agents. */
export function AgentHistory({ agent }: { agent: Agent }) {
  const [isOpen, setIsOpen] = useState(false)
  return (
    <section className={css.history} aria-label={`Last 24 hours of ${agent.name}`}>
      <button
        type="button"
        className={css.toggle}
        aria-expanded={isOpen}
        onClick={() => {
          setIsOpen(!isOpen)
        }}
      >
        <Icon name="chevron" size={14} />
        Last 24 hours
      </button>
      {isOpen && <Figures id={agent.id} />}
    </section>
  )
}

function Figures({ id }: { id: number }) {
  const { data, isError } = useQuery(agentMetricsQuery(id))
  if (isError) return <p className={css.note}>They cannot be read now.</p>
  if (data === undefined) return <p className={css.note}>Reading them…</p>
  if (data.series.length === 0) return <p className={css.note}>Nothing is kept of it yet.</p>
  return (
    <ul className={css.figures}>
      {FIGURES.map((figure) => {
        const spark = sparkOf(data.series, figure)
        return (
          spark && (
            <li key={figure.name}>
              <Line title={figure.title} unit={figure.unit} spark={spark} />
            </li>
          )
        )
      })}
    </ul>
  )
}

function Line({ title, unit, spark }: { title: string; unit: Unit; spark: Spark }) {
  const { path, blanks } = strokeOf(spark, WIDTH, HEIGHT)
  const [now, most] = [words(unit, spark.latest), words(unit, spark.most)]
  const count = spark.silent.filter(Boolean).length
  const silent = count > 0 ? `, nothing known for ${many(count * STEP_MIN, 'minute')}` : ''
  return (
    <figure className={css.figure}>
      <figcaption>
        {title} <strong>{now}</strong>
        <small>
          at most {most}
          {silent}
        </small>
      </figcaption>
      <svg viewBox={`0 -1 ${WIDTH} ${HEIGHT + 2}`} preserveAspectRatio="none" aria-hidden>
        {blanks.map(({ x, width }) => (
          <rect key={x} className={css.blank} x={x} y={0} width={width} height={HEIGHT} />
        ))}
        <path d={path} />
      </svg>
    </figure>
  )
}
