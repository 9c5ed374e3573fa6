/** The whole fleet at a glance: what a wall shows and what an engineer opens first. */

import { Button } from '@mantine/core'
import { useSuspenseQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'

import { agentsQuery, overviewQuery, troubleQuery } from '../../api/queries'
import type { Overview } from '../../api/types'
import { fleetSentence, intakeSentence } from '../../domain/summary'
import { parseTime, zoneName } from '../../domain/time'
import { count, many, share } from '../../domain/units'
import { VERDICTS, verdictMark } from '../../domain/verdict'
import { MarkShape } from '../../ui/Icon'
import { OpenMaintenance } from '../../ui/MaintenanceMarks'
import { Empty, PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { useTimeText } from '../../ui/clock'
import { useCan } from '../../ui/session'
import { AgentStrip } from './AgentStrip'
import { CausePanel } from './CausePanel'
import { ChangeFeed } from './ChangeFeed'
import css from './OverviewPage.module.css'
import { TroubleList } from './TroubleList'

export default function OverviewPage() {
  const { data: overview } = useSuspenseQuery(overviewQuery)
  const { data: trouble } = useSuspenseQuery(troubleQuery)
  const { data: agents } = useSuspenseQuery(agentsQuery)
  const { targets } = overview
  const mayRead = useCan('topology_read')
  const { zone } = useTimeText()
  const now = parseTime(overview.as_of) ?? 0
  return (
    <>
      <PageHeader
        title={fleetSentence(targets)}
        lead={
          <>
            {intakeSentence(overview)}
            {targets.paused > 0 && `${count(targets.paused)} paused. `}
            {count(overview.agents.online)} of {many(overview.agents.total, 'agent')} online. As
            of <Moment at={overview.as_of} style="time" />.
          </>
        }
      />
      <OpenMaintenance />
      {targets.total === 0 ? <FirstTarget /> : <Tiles targets={targets} />}
      {targets.total > 0 && mayRead && <CausePanel />}
      <AgentStrip agents={agents.items} />
      <div className={css.columns} data-single={targets.total === 0 || undefined}>
        {targets.total > 0 && <TroubleList items={trouble.items} total={trouble.total} />}
        <div className={css.feed}>
          <Panel title="What changed last" aside={zoneName(zone, now)} isFlush>
            <ChangeFeed changes={overview.changes} now={now} />
          </Panel>
        </div>
      </div>
    </>
  )
}

function Tiles({ targets }: { targets: Overview['targets'] }) {
  return (
    <>
      <ul className={css.tiles} aria-label="Targets by verdict">
        {VERDICTS.map((verdict) => {
          const mark = verdictMark(verdict)
          const value = targets[verdict]
          return (
            <li key={verdict}>
              <Link
                to="/targets"
                search={{ verdict }}
                className={`${css.tile} tone-${mark.tone}`}
                data-loud={(value > 0 && verdict !== 'up') || undefined}
              >
                <span className={css.word}>
                  <MarkShape icon={mark.icon} size={18} />
                  {mark.word}
                </span>
                <span className={css.number}>{count(value)}</span>
                <span className={css.share}>{share(value, targets.total)} of all</span>
              </Link>
            </li>
          )
        })}
      </ul>
      <div className={css.bar} aria-hidden>
        {VERDICTS.filter((verdict) => targets[verdict] > 0).map((verdict) => (
          <span
            key={verdict}
            className={`tone-${verdictMark(verdict).tone} ${verdict === 'unknown' ? 'hatched' : ''}`}
            style={{ flexGrow: targets[verdict] }}
          />
        ))}
      </div>
    </>
  )
}

function FirstTarget() {
  const mayAdd = useCan('target_write')
  return (
    <Panel>
      <Empty
        title="No targets yet"
        action={
          mayAdd && (
            <Button
              size="sm"
              renderRoot={(props) => <Link to="/targets" search={{ dialog: 'add' }} {...props} />}
            >
              Add the first address
            </Button>
          )
        }
      >
        A target is an address that should answer: a router, an uplink, a customer’s CPE. Within
        half a minute of adding one you see whether it does.
      </Empty>
    </Panel>
  )
}
