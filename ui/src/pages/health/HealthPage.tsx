/** How the monitoring itself fares: nobody should trust a watcher that is not watched. */

import { useSuspenseQuery } from '@tanstack/react-query'

import { healthQuery } from '../../api/queries'
import type { Health } from '../../api/types'
import { causeWords } from '../../domain/cause'
import { parseTime } from '../../domain/time'
import { NONE, bytes, count, duration, many, perSecond, share } from '../../domain/units'
import { MarkShape } from '../../ui/Icon'
import { Empty, Fact, Facts, PageHeader, Panel } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { Words } from '../../ui/Words'
import css from './HealthPage.module.css'

export default function HealthPage() {
  const { data: health } = useSuspenseQuery(healthQuery)
  const failing = health.checks.filter((check) => check.status !== 'ok')
  return (
    <>
      <PageHeader
        title={
          failing.length === 0
            ? 'The monitoring is well'
            : `${many(failing.length, 'check')} need${failing.length === 1 ? 's' : ''} attention`
        }
        lead={`Faultline ${health.version}, up for ${duration(health.uptime_s * 1000)}.`}
      />
      <div className={css.page}>
        <Panel title="Checks" isFlush>
          <ul className={css.checks}>
            {[...failing, ...health.checks.filter((check) => check.status === 'ok')].map(
              (check) => (
                <li
                  key={check.name}
                  className={check.status === 'ok' ? 'tone-good' : 'tone-warn'}
                >
                  <MarkShape icon={check.status === 'ok' ? 'check' : 'wave'} />
                  <b>{check.name}</b>
                  <span>
                    <Words text={check.detail} />
                    {check.remedy !== '' && (
                      <small>
                        <Words text={check.remedy} />
                      </small>
                    )}
                  </span>
                  <span className="visually-hidden">{check.status}</span>
                </li>
              ),
            )}
          </ul>
        </Panel>
        <Recorded health={health} />
        <Panel title="Intake">
          <Facts>
            <Fact label="Lag" hint="from accepted to judged">
              {health.ingest.lag_ms.toFixed(health.ingest.lag_ms < 10 ? 1 : 0)} ms
            </Fact>
            <Fact label="Rounds" hint={`in ${perSecond(health.ingest.batches_per_s, 'batches')}`}>
              {perSecond(health.ingest.rounds_per_s, 'rounds')}
            </Fact>
            <Fact label="Refused">{count(health.ingest.refused_total)}</Fact>
            <Fact label="Duplicates" hint="counted once">
              {count(health.ingest.duplicates_total)}
            </Fact>
            <Fact label="Log" hint={many(health.log.segments, 'segment')}>
              {bytes(health.log.bytes)}
            </Fact>
            <Fact
              label="Log position"
              hint={`${count(health.log.depth_records)} past the checkpoint`}
            >
              {count(health.log.position)}
            </Fact>
          </Facts>
        </Panel>
        <Host health={health} />
      </div>
    </>
  )
}

function Recorded({ health }: { health: Health }) {
  const { history, gaps } = health
  return (
    <Panel title="History" isFlush>
      <div className={css.padded}>
        <Facts>
          <Fact label="Newest round">
            {history.freshness_s == null
              ? 'none yet'
              : `${duration(history.freshness_s * 1000)} ago`}
          </Fact>
          <Fact label="Newest minute">
            {history.newest_minute === null ? (
              NONE
            ) : (
              <Moment at={history.newest_minute} style="minute" />
            )}
          </Fact>
          <Fact label="Missing minutes" hint="of the last 24 hours">
            {count(history.missing_minutes_24h)}
          </Fact>
          <Fact label="Largest gap">
            {history.largest_gap_s === 0 ? 'none' : duration(history.largest_gap_s * 1000)}
          </Fact>
        </Facts>
      </div>
      {gaps.length === 0 ? (
        <Empty title="No gaps">
          In the last 7 days the monitoring had no break that it knows of.
        </Empty>
      ) : (
        <ul className={css.gaps} aria-label="Gaps">
          {gaps.map((gap) => (
            <li key={gap.from}>
              <span className={`${css.swatch} hatched`} aria-hidden />
              <Moment at={gap.from} />
              <span>{duration((parseTime(gap.to) ?? 0) - (parseTime(gap.from) ?? 0))}</span>
              <span>{causeWords(gap.cause)}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

function Host({ health }: { health: Health }) {
  const { memory, disk, database, load } = health
  return (
    <Panel title="Host">
      <div className={css.host}>
        <Meter
          label="Disk"
          used={disk.total_bytes - disk.free_bytes}
          total={disk.total_bytes}
          words={`${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)}`}
        />
        <Meter
          label="Memory"
          used={memory.total_bytes - memory.available_bytes}
          total={memory.total_bytes}
          words={`${bytes(memory.available_bytes)} free of ${bytes(memory.total_bytes)}`}
        />
      </div>
      <Facts>
        <Fact label="This process">{bytes(memory.rss_bytes)}</Fact>
        <Fact label="Load" hint="over 1, 5, 15 minutes">
          {load.map((value) => value.toFixed(2)).join('  ')}
        </Fact>
        <Fact
          label="Database"
          hint={`${database.engine} ${database.version}, schema ${database.schema_version}`}
        >
          {bytes(database.size_bytes)}
        </Fact>
        <Fact label="Commit" hint="95 of 100 are faster">
          {database.latency_ms_p95.toFixed(1)} ms
        </Fact>
        <Fact label="Data">
          <code>{disk.path}</code>
        </Fact>
        <Fact label="Started">
          <Moment at={health.started_at} />
        </Fact>
      </Facts>
    </Panel>
  )
}

function Meter({
  label,
  used,
  total,
  words,
}: {
  label: string
  used: number
  total: number
  words: string
}) {
  const part = total === 0 ? 0 : used / total
  const tone = part > 0.95 ? 'bad' : part > 0.85 ? 'warn' : 'muted'
  return (
    <div className={`${css.meter} tone-${tone}`}>
      <span>{label}</span>
      <b>{share(used, total)}</b>
      <div className={css.track}>
        <div style={{ width: `${part * 100}%` }} />
      </div>
      <small>{words}</small>
    </div>
  )
}
