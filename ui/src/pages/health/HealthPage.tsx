/** How the monitoring itself fares: nobody should trust a watcher that is not watched. */

import { useSuspenseQuery } from '@tanstack/react-query'

import { healthQuery } from '../../api/queries'
import type { Health } from '../../api/types'
import { healthMark, healthWords } from '../../domain/health'
import { causeWords } from '../../domain/cause'
import { type GapRow, gapRows } from '../../domain/gaps'
import { NONE, bytes, count, duration, many, perSecond, share } from '../../domain/units'
import { type Column, DataTable } from '../../ui/DataTable'
import { MarkShape } from '../../ui/Icon'
import { Empty, Fact, Facts, PageHeader, Panel, Tag } from '../../ui/Panel'
import { Moment } from '../../ui/Time'
import { Words } from '../../ui/Words'
import { Storage } from './Storage'
import css from './HealthPage.module.css'

export default function HealthPage() {
  const { data: health } = useSuspenseQuery(healthQuery)
  const { title, lead } = healthWords(health)
  return (
    <>
      <PageHeader
        title={title}
        lead={`${lead}Faultline ${health.version}, up for ${duration(health.uptime_s * 1000)}.`}
      />
      <div className={css.page}>
        <div className={css.column}>
          <Panel title="Checks" isFlush>
            <ul className={css.checks}>
              {[...health.checks]
                .sort((a, b) => healthMark(a.status).order - healthMark(b.status).order)
                .map((check) => (
                  <li key={check.name} className={`tone-${healthMark(check.status).tone}`}>
                    <MarkShape icon={healthMark(check.status).icon} />
                    <b>{check.name}</b>
                    <span>
                      <Words text={check.detail} />
                      {check.remedy !== '' && (
                        <small>
                          <Words text={check.remedy} />
                        </small>
                      )}
                    </span>
                    <span className="visually-hidden">{healthMark(check.status).word}</span>
                  </li>
                ))}
            </ul>
          </Panel>
          <Panel title="Intake">
            <Facts>
              <Fact label="Lag" hint="from accepted to judged">
                {health.ingest.lag_ms.toFixed(health.ingest.lag_ms < 10 ? 1 : 0)} ms
              </Fact>
              <Fact
                label="Rounds"
                hint={`in ${perSecond(health.ingest.batches_per_s, 'batches')}`}
              >
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
        </div>
        <div className={css.column}>
          <Recorded health={health} />
          <Host health={health} />
        </div>
      </div>
      <div className={css.column}>
        {health.storage !== null && (
          <Storage storage={health.storage} freeBytes={health.disk.free_bytes} />
        )}
        <Gaps health={health} />
      </div>
    </>
  )
}

function Recorded({ health }: { health: Health }) {
  const { history } = health
  return (
    <Panel title="History">
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
        <Fact label="Largest gap" hint="of the server or the record">
          {history.largest_gap_s === 0 ? 'none' : duration(history.largest_gap_s * 1000)}
        </Fact>
        <Fact label="Longest outage" hint="of one agent, 7 days">
          {history.largest_outage_s === 0 ? 'none' : duration(history.largest_outage_s * 1000)}
        </Fact>
      </Facts>
    </Panel>
  )
}

const GAP_COLUMNS: readonly Column<GapRow>[] = [
  {
    id: 'who',
    head: 'Who',
    by: (row) => row.who,
    card: 'title',
    cell: (row) => <Who row={row} />,
  },
  {
    id: 'what',
    head: 'What',
    by: (row) => row.cause,
    cell: (row) =>
      row.detail === '' ? (
        causeWords(row.cause)
      ) : (
        <>
          {causeWords(row.cause)}: <Words text={row.detail} />
        </>
      ),
  },
  {
    id: 'from',
    head: 'From',
    by: (row) => row.from,
    cell: (row) => <Moment at={row.from} />,
  },
  {
    id: 'to',
    head: 'To',
    by: (row) => row.to ?? '~',
    cell: (row) => (row.to === null ? <b>still going on</b> : <Moment at={row.to} />),
  },
  {
    id: 'length',
    head: 'Length',
    isNumeric: true,
    by: (row) => row.lengthMs,
    cell: (row) => (
      <span className={css.length}>
        {row.isLargest && <Tag>longest</Tag>}
        {duration(row.lengthMs)}
      </span>
    ),
  },
]

function Who({ row }: { row: GapRow }) {
  return (
    <span className={css.who}>
      <span className={`${css.swatch} hatched`} aria-hidden />
      <b>{row.who}</b>
    </span>
  )
}

/** Every time that a report of these days must not call healthy. */
function Gaps({ health }: { health: Health }) {
  const rows = gapRows(health.gaps, health.history.missing)
  return (
    <Panel title="Gaps of the last 7 days" isFlush>
      <DataTable
        label="Gaps"
        columns={GAP_COLUMNS}
        rows={rows}
        rowId={(row) => row.id}
        empty={
          <Empty title="No gaps">
            In the last 7 days the server did not stop, no agent was away or blind or lost a
            result, and of the last 24 hours every minute is on record.
          </Empty>
        }
      />
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
        <Fact label="Data" isWide>
          <code>{disk.path}</code>
        </Fact>
        <Fact label="Database at" isWide>
          <code>{database.place}</code>
        </Fact>
        <Fact label="Started" isWide>
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
