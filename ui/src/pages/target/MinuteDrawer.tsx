/** One minute: what was said of it by each agent, and the rounds behind that. */

import { ActionIcon, Drawer } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import type { KeyboardEvent } from 'react'

import { roundsQuery, targetChangesQuery, targetMinuteQuery } from '../../api/queries'
import type { History, Round } from '../../api/types'
import { causeWords, flagWords, icmpErrorWords, notAskedWords } from '../../domain/cause'
import { LOSS_MARKS, lossStep } from '../../domain/loss'
import { MINUTE_MS, parseTime } from '../../domain/time'
import { puzzle } from '../../domain/reading'
import { NONE, loss, many, rtt } from '../../domain/units'
import { verdictMark } from '../../domain/verdict'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Moment } from '../../ui/Time'
import { MarkLabel } from '../../ui/Verdict'
import { useTimeText } from '../../ui/clock'
import css from './MinuteDrawer.module.css'

interface Props {
  id: number
  name: string
  minute: number | null
  onChoose: (at: number | null) => void
}

export function MinuteDrawer({ id, name, minute, onChoose }: Props) {
  const isPhone = useMediaQuery('(max-width: 760px)', false, { getInitialValueInEffect: false })
  const { text } = useTimeText()
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (step !== undefined && minute !== null) onChoose(minute + step * MINUTE_MS)
  }
  return (
    <Drawer
      opened={minute !== null}
      onClose={() => {
        onChoose(null)
      }}
      position={isPhone ? 'bottom' : 'right'}
      size={isPhone ? '82dvh' : 620}
      overlayProps={{ backgroundOpacity: isPhone ? 0.45 : 0.12 }}
      title={minute !== null && `${name}, ${text(minute, 'moment')}`}
      onKeyDown={onKeyDown}
    >
      {minute !== null && (
        <>
          <div className={css.step}>
            <Step label="Minute before" to={minute - MINUTE_MS} onChoose={onChoose} />
            <Step label="Next minute" to={minute + MINUTE_MS} onChoose={onChoose} />
          </div>
          <Said id={id} minute={minute} />
          <Turns id={id} minute={minute} />
          <Rounds id={id} minute={minute} />
        </>
      )}
    </Drawer>
  )
}

function Step({
  label,
  to,
  onChoose,
}: {
  label: string
  to: number
  onChoose: (at: number) => void
}) {
  return (
    <ActionIcon
      variant="default"
      size={30}
      aria-label={label}
      onClick={() => {
        onChoose(to)
      }}
    >
      <span
        style={{ display: 'inline-flex', rotate: label === 'Next minute' ? '0deg' : '180deg' }}
      >
        <Icon name="chevron" size={13} />
      </span>
    </ActionIcon>
  )
}

/** What was said of the minute, by everyone. */
function Said({ id, minute }: { id: number; minute: number }) {
  const { data, error } = useQuery(targetMinuteQuery(id, minute))
  if (error) return <Failure error={error} />
  return (
    <ul className={css.said} aria-label="What was said of this minute">
      {data?.series.map((one) => (
        <SaidBy key={one.agent?.id ?? 'all'} series={one} minute={minute} />
      ))}
    </ul>
  )
}

function SaidBy({ series, minute }: { series: History['series'][number]; minute: number }) {
  const truth = series.minutes.find((one) => parseTime(one.minute) === minute)
  if (truth === undefined) return null
  const explained = puzzle(truth)
  return (
    <li>
      <b>{series.agent?.name ?? 'Consensus'}</b>
      <MarkLabel mark={verdictMark(truth.verdict)} size="sm" />
      <span>
        {causeWords(truth.cause)}
        {truth.sent > 0 && `, ${truth.received} of ${truth.sent} packets answered`}
        {truth.not_asked > 0 && `, ${many(truth.not_asked, 'round')} not asked`}
        {explained !== null && <small>{explained}</small>}
        {truth.is_open && <small>Not closed yet: this is what is held right now.</small>}
        {truth.revision > 0 && (
          <small>
            Revised by late rounds
            {truth.said_first && `; first said ${verdictMark(truth.said_first).word}`}.
          </small>
        )}
      </span>
    </li>
  )
}

/** What turned within the minute, to the second: it may have been so for one moment only. */
function Turns({ id, minute }: { id: number; minute: number }) {
  const { data } = useQuery(targetChangesQuery(id))
  const isWithin = (at: number | null) => at !== null && minute <= at && at < minute + MINUTE_MS
  const turns = (data?.items ?? [])
    .filter((change) => change.kind === 'verdict')
    .filter((change) => isWithin(parseTime(change.at)))
    .toReversed()
  if (turns.length === 0) return null
  return (
    <ol className={css.turns} aria-label="What changed in this minute">
      {turns.map((change) => (
        <li key={`${change.at} ${change.agent?.id ?? 'all'} ${change.to}`}>
          <Moment at={change.at} style="time" />
          <b>{change.agent?.name ?? 'Consensus'}</b>
          <MarkLabel mark={verdictMark(change.to)} size="sm" />
          <span>{change.why}</span>
        </li>
      ))}
    </ol>
  )
}

function Rounds({ id, minute }: { id: number; minute: number }) {
  const { data, error, isPending } = useQuery(roundsQuery(id, minute, 1))
  const { bare, zone } = useTimeText()
  if (error) return <Failure error={error} />
  if (isPending) return <p className={css.calm}>Loading the rounds</p>
  if (data.items.length === 0) {
    return (
      <p className={css.calm}>
        <b>No rounds started in this minute.</b> Nobody asked, or what was asked has not arrived
        yet.
      </p>
    )
  }
  const items = [...data.items].sort((a, b) => a.at.localeCompare(b.at))
  return (
    <table className={css.rounds}>
      <caption>
        {many(items.length, 'round')} started in this minute
        {!data.isWhole && '; there are more, which only the API lists'}
      </caption>
      <thead>
        <tr>
          <th scope="col">{zone === 'utc' ? 'UTC' : 'Local'}</th>
          <th scope="col">Agent</th>
          <th scope="col">Answered</th>
          <th scope="col">Mean</th>
          <th scope="col">Min to max</th>
        </tr>
      </thead>
      <tbody>
        {items.map((round) => (
          <RoundRow
            key={`${round.agent.id} ${round.at}`}
            round={round}
            time={bare(parseTime(round.at) ?? 0, 'time')}
          />
        ))}
      </tbody>
    </table>
  )
}

function RoundRow({ round, time }: { round: Round; time: string }) {
  const notes = notesOf(round)
  return (
    <>
      <tr>
        <td>{time}</td>
        <td>{round.agent.name}</td>
        <td>{round.not_asked ? 'not asked' : <Packets round={round} />}</td>
        <td>{rtt(round.rtt_us_mean)}</td>
        <td>
          {round.rtt_us_min == null
            ? NONE
            : `${rtt(round.rtt_us_min)} to ${rtt(round.rtt_us_max)}`}
        </td>
      </tr>
      {notes.length > 0 && (
        <tr className={css.notes}>
          <td />
          <td colSpan={4}>{notes.join('; ')}</td>
        </tr>
      )}
    </>
  )
}

/** One dot for each packet, filled if it was answered, and the figure beside it. */
function Packets({ round }: { round: Round }) {
  const step = lossStep(round.sent, round.received)
  const colour = `var(--loss-${LOSS_MARKS.find((mark) => mark.step === step)?.step ?? 'none'})`
  return (
    <span className={css.packets} style={{ color: step === 'none' ? undefined : colour }}>
      <span className={css.dots} aria-hidden>
        {Array.from({ length: round.sent }, (_, i) => (
          <i key={i} data-answered={i < round.received || undefined} />
        ))}
      </span>
      {round.received} of {round.sent}
      <span className="visually-hidden">, loss {loss(round.sent, round.received)}</span>
    </span>
  )
}

function notesOf(round: Round): string[] {
  const notes: string[] = []
  if (round.not_asked) notes.push(`could not ask: ${notAskedWords(round.not_asked)}`)
  if (round.confirm_sent > 0) {
    notes.push(`confirm burst: ${round.confirm_received} of ${round.confirm_sent} answered`)
  }
  if (round.icmp_error) notes.push(icmpErrorWords(round.icmp_error))
  for (const flag of round.flags)
    if (flag !== 'icmp_error' || !round.icmp_error) notes.push(flagWords(flag))
  return notes
}
