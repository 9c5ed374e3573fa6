/** One target: what it is, since when, why, and the minutes and rounds behind that. */

import { useSuspenseQuery } from '@tanstack/react-query'
import { useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { useEffect } from 'react'

import { targetStatusQuery } from '../../api/queries'
import { verdictMark } from '../../domain/verdict'
import { TargetMaintenance } from '../../ui/MaintenanceMarks'
import { Panel } from '../../ui/Panel'
import { AgentTable } from './AgentTable'
import { ChangeList } from './ChangeList'
import { MinuteDrawer } from './MinuteDrawer'
import { TargetHead } from './TargetHead'
import css from './TargetPage.module.css'
import { TimePanel } from './TimePanel'
import { TracePanel } from './TracePanel'

/** A status is asked for as often as rounds come, within these bounds; changes come as events. */
const POLL_MS_MIN = 5_000
const POLL_MS_MAX = 30_000

export default function TargetPage() {
  const { id } = useParams({ from: '/inside/targets/$id' })
  const { minute, trace } = useSearch({ from: '/inside/targets/$id' })
  const navigate = useNavigate()
  const { data: status } = useSuspenseQuery({
    ...targetStatusQuery(id),
    refetchInterval: ({ state }) =>
      Math.min(Math.max((state.data?.interval_s ?? 0) * 1000, POLL_MS_MIN), POLL_MS_MAX),
  })
  const { target, consensus } = status
  const { word } = verdictMark(consensus.verdict, target.is_paused)
  useEffect(() => {
    document.title = `${word} · ${target.name} · Faultline`
  }, [word, target.name])
  const chooseMinute = (at: number | null) => {
    void navigate({
      to: '.',
      search: (old) => ({
        ...old,
        minute: at === null ? undefined : new Date(at).toISOString().replace('.000', ''),
      }),
      replace: true,
    })
  }
  return (
    <div className={css.page} data-wide>
      <TargetHead status={status} />
      <TargetMaintenance id={id} />
      <TimePanel
        key={id}
        status={status}
        opened={minute === undefined ? null : Date.parse(minute)}
        onOpen={chooseMinute}
      />
      <Panel title="What each agent sees" isFlush>
        <AgentTable status={status} />
      </Panel>
      <TracePanel
        key={`path ${id}`}
        status={status}
        chosen={trace}
        onChoose={(next) => {
          void navigate({
            to: '.',
            search: (old) => ({ ...old, trace: next }),
            replace: true,
            resetScroll: false,
          })
        }}
      />
      <Panel title="Verdict history" isFlush>
        <ChangeList id={id} />
      </Panel>
      <MinuteDrawer
        id={id}
        name={target.name}
        minute={minute === undefined ? null : Date.parse(minute)}
        onChoose={chooseMinute}
      />
    </div>
  )
}
