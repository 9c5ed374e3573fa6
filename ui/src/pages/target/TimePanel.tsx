/** The strips of all agents and the chart of one, on the same axis of time. */

import { ActionIcon, Button, SegmentedControl, useComputedColorScheme } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useMemo } from 'react'

import { roundsQuery, targetHistoryQuery } from '../../api/queries'
import type { History, Round, TargetStatus } from '../../api/types'
import { LatencyChart, LossLegend } from '../../charts/LatencyChart'
import { StateStrip, type StripRow, TimeAxis } from '../../charts/StateStrip'
import { MINUTE_MS, zoneOffsetMin } from '../../domain/time'
import {
  type Slot,
  axis,
  cells,
  slots,
  tally,
  tallyWords,
  ticks,
  withRounds,
} from '../../domain/timeline'
import { RANGES_MIN, type Range } from '../../paths'
import { Failure } from '../../ui/Failure'
import { Icon } from '../../ui/Icon'
import { Panel } from '../../ui/Panel'
import { useMinute, useTimeText } from '../../ui/clock'
import css from './TargetPage.module.css'

const CELLS = 60
/** Minutes before this one that may still be open: their rounds are drawn as they come. */
const OPEN_MIN = 3
const POLL_MS_MIN = 5_000
const NO_ROUNDS: readonly Round[] = []
const LAST = { '1h': 'Last 60 minutes', '6h': 'Last 6 hours', '24h': 'Last 24 hours' } as const
const LABEL_PX = 132
const LABEL_PHONE_PX = 34

interface Props {
  status: TargetStatus
  chosen: number | null
  onChoose: (at: number | null) => void
}

export function TimePanel({ status, chosen, onChoose }: Props) {
  const { to: toText, range = '1h', agent } = useSearch({ from: '/inside/targets/$id' })
  const navigate = useNavigate()
  const { zone, text } = useTimeText()
  const scheme = useComputedColorScheme()
  const isPhone = useMediaQuery('(max-width: 760px)', false, { getInitialValueInEffect: false })
  const minuteNow = useMinute()
  const lengthMin = RANGES_MIN[range]
  const to = toText === undefined ? null : Date.parse(toText)
  const history = useQuery(targetHistoryQuery(status.target.id, lengthMin, to))
  const end = to ?? minuteNow + MINUTE_MS
  const from = end - lengthMin * MINUTE_MS
  const recent = useQuery({
    ...roundsQuery(status.target.id, minuteNow - OPEN_MIN * MINUTE_MS, OPEN_MIN + 1),
    enabled: to === null,
    refetchInterval: Math.max(status.interval_s * 1000, POLL_MS_MIN),
    placeholderData: keepPreviousData,
  })
  const rounds = to === null ? recent.data?.items : undefined
  const { rows, chart } = useRows(status, history.data, rounds, { end, lengthMin, agent })
  const stepMin = { '1h': 10, '6h': 60, '24h': 180 }[range] * (isPhone ? 2 : 1)
  const tickAt = useMemo(
    () => ticks(from, end, stepMin, zoneOffsetMin(zone, from)),
    [from, end, stepMin, zone],
  )

  const look = (next: { range?: Range; to?: number | null }) => {
    void navigate({
      to: '.',
      search: (old) => ({
        ...old,
        minute: undefined,
        range: next.range === '1h' ? undefined : (next.range ?? old.range),
        to:
          next.to == null || next.to > minuteNow
            ? undefined
            : new Date(next.to).toISOString().replace('.000', ''),
      }),
    })
  }
  const choose = (slot: Pick<Slot, 'at' | 'lengthMin'>) => {
    if (slot.lengthMin === 1) onChoose(slot.at)
    // A slot of many minutes opens as the hour around it.
    else look({ range: '1h', to: slot.at + (slot.lengthMin / 2 + CELLS / 2) * MINUTE_MS })
  }
  return (
    <Panel
      title={to === null ? LAST[range] : `${text(from, 'moment')} to ${text(end, 'minute')}`}
      aside={<Span {...{ range, end, lengthMin, isLive: to === null, look }} />}
    >
      <Failure error={history.error} />
      <div
        className={css.time}
        style={{ ['--label-width' as string]: `${isPhone ? LABEL_PHONE_PX : LABEL_PX}px` }}
      >
        <StateStrip rows={rows} zone={zone} chosen={chosen} onChoose={choose} />
        <TimeAxis from={from} to={end} stepMin={stepMin} zone={zone} />
        {chart && (
          <>
            <div className={css.chartHead}>
              <h3>Round-trip time in ms, asked by {chart.name}</h3>
              <LossLegend />
            </div>
            <LatencyChart
              label={`Round-trip time as ${chart.name} sees it: ${tallyWords(tally(chart.row))}`}
              row={chart.row}
              from={from}
              to={end}
              tickAt={tickAt}
              zone={zone}
              scheme={scheme}
              gutterPx={isPhone ? LABEL_PHONE_PX : LABEL_PX}
              onChoose={(at) => {
                choose({ at, lengthMin: lengthMin / CELLS })
              }}
            />
          </>
        )}
      </div>
    </Panel>
  )
}

interface View {
  end: number
  lengthMin: number
  agent: number | undefined
}

/** Lays all series on the axis; consensus first, then the agents by name. */
function useRows(
  status: TargetStatus,
  history: History | undefined,
  rounds: readonly Round[] = NO_ROUNDS,
  { end, lengthMin, agent }: View,
) {
  return useMemo(() => {
    const starts = axis(end - MINUTE_MS, lengthMin)
    const series = (history?.series ?? [{ agent: null, minutes: [] }]).map((one) => ({
      agent: one.agent ?? null,
      row: withRounds(
        cells(one.minutes, starts),
        rounds.filter((round) => one.agent === null || round.agent.id === one.agent.id),
      ),
    }))
    const agents = series.filter((one) => one.agent !== null)
    // Of those who hold what all hold, one that has something to show.
    const seeing = status.agents.filter((one) => one.last_round_at !== null)
    const same = seeing.find((one) => one.verdict === status.consensus.verdict)
    const worst = (same ?? seeing[0])?.agent.id
    const charted =
      agents.find((one) => one.agent?.id === agent) ??
      agents.find((one) => one.agent?.id === worst) ??
      agents[0]
    const rows: StripRow[] = series.map((one) => ({
      id: String(one.agent?.id ?? 'all'),
      name: one.agent?.name ?? 'Consensus',
      slots: slots(one.row, lengthMin / CELLS),
      label: <RowLabel agent={one.agent} isCharted={one === charted} />,
    }))
    return {
      rows,
      chart: charted && { name: charted.agent?.name ?? '', row: charted.row },
    }
  }, [status.agents, status.consensus.verdict, history, rounds, end, lengthMin, agent])
}

function RowLabel({
  agent,
  isCharted,
}: {
  agent: { id: number; name: string } | null
  isCharted: boolean
}) {
  const navigate = useNavigate()
  if (agent === null) return <span className={css.rowLabel}>Consensus</span>
  return (
    <span className={css.rowLabel}>
      <button
        type="button"
        aria-pressed={isCharted}
        title={`Show the round-trip time that ${agent.name} sees`}
        onClick={() =>
          void navigate({
            to: '.',
            search: (old) => ({ ...old, agent: agent.id }),
            replace: true,
          })
        }
      >
        {agent.name}
      </button>
    </span>
  )
}

interface SpanProps {
  range: Range
  end: number
  lengthMin: number
  isLive: boolean
  look: (next: { range?: Range; to?: number | null }) => void
}

function Span({ range, end, lengthMin, isLive, look }: SpanProps) {
  const step = lengthMin * MINUTE_MS
  return (
    <div className={css.span}>
      <ActionIcon
        variant="default"
        size={26}
        aria-label="Earlier"
        onClick={() => {
          look({ to: end - step })
        }}
      >
        <span style={{ display: 'inline-flex', rotate: '180deg' }}>
          <Icon name="chevron" size={12} />
        </span>
      </ActionIcon>
      <ActionIcon
        variant="default"
        size={26}
        aria-label="Later"
        disabled={isLive}
        onClick={() => {
          look({ to: end + step })
        }}
      >
        <Icon name="chevron" size={12} />
      </ActionIcon>
      {!isLive && (
        <Button
          size="compact-xs"
          variant="default"
          onClick={() => {
            look({ to: null })
          }}
        >
          Now
        </Button>
      )}
      <SegmentedControl
        size="xs"
        aria-label="Span"
        value={range}
        data={['1h', '6h', '24h']}
        onChange={(next) => {
          look({ range: next as Range, to: isLive ? null : end })
        }}
      />
    </div>
  )
}
