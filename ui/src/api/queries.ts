/** What the console reads, as queries. The keys are the vocabulary of `live.ts`. */

import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'

import type { TargetFilter } from '../domain/filter'
import { type Track, type Tracks, tracksOf } from '../domain/history'
import { type IncidentFilter, incidentParams } from '../domain/incident'
import { LOOK_BACK_MS, STEP_MIN } from '../domain/metric'
import { type NetMap, merged } from '../domain/netmap'
import { MINUTE_MS, minuteOf } from '../domain/time'
import type { DeliveryState } from '../domain/webhook'
import { Problem, api, sent, sentJson, setCsrfToken } from './client'
import { readColumns } from './columns'
import { serverNow } from './serverTime'
import type { History, Metrics, Round, Session } from './types'

/** Rows a list asks for at once: some screens full, far below the server's limit of 500. */
export const TARGET_PAGE_LENGTH = 200
/** The worst targets that fit on a wall beside everything else. */
const TROUBLE_MAX = 8
/** Rows of an audit page. */
const AUDIT_PAGE_LENGTH = 100
/** Rows of a page of messages: each page that is shown is asked for anew, again and again. */
const DELIVERY_PAGE_LENGTH = 50
/** How soon it is seen that a message was taken, or was not. */
const DELIVERY_POLL_MS = 3_000
/** Rounds asked for at once, the server's limit: a minute of 12 rounds by forty agents. */
const ROUNDS_PER_PAGE = 500
/** Pages that are followed: four minutes of 12 rounds by a hundred agents. */
const ROUND_PAGES_MAX = 10
/** How old the counts of all may get without an event, also in a tab that nobody looks at. */
const OVERVIEW_POLL_MS = 30_000
/** As often as what is said of the cause changes usefully. */
const DIAGNOSIS_POLL_MS = 3_000

export const keys = {
  session: ['session'],
  overview: ['overview'],
  desk: ['desk'],
  diagnosis: ['diagnosis'],
  map: ['map'],
  topology: ['topology'],
  incidents: ['incidents'],
  incident: (id: number) => ['incident', id],
  traces: ['traces'],
  trace: (id: number) => ['trace', id],
  maintenance: ['maintenance'],
  targets: ['targets'],
  target: (id: number) => ['target', id],
  tiers: ['tiers'],
  agents: ['agents'],
  health: ['health'],
  users: ['users'],
  apiKeys: ['api-keys'],
  webhooks: ['webhooks'],
  webhook: (id: number) => ['webhook', id],
  deliveries: ['deliveries'],
  audit: ['audit'],
} as const

/** Who is signed in; null if nobody is. */
export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: async ({ signal }): Promise<Session | null> => {
    try {
      const session = await sent(api.GET('/api/v1/session', { signal }))
      setCsrfToken(session.csrf_token)
      return session
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return null
      throw error
    }
  },
  staleTime: Infinity,
})

export const overviewQuery = queryOptions({
  queryKey: keys.overview,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/overview', { signal })),
  refetchInterval: OVERVIEW_POLL_MS,
  // The window's title says how many are down while another tab is looked at.
  refetchIntervalInBackground: true,
})

/** What flaps changes by itself; everything else when somebody presses something. */
const DESK_POLL_MS = 2_000

/** The demo's fault desk; no other server has one. */
export const deskQuery = queryOptions({
  queryKey: keys.desk,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/demo/desk', { signal })),
  refetchInterval: DESK_POLL_MS,
})

/** What is the matter with the network. It is judged anew every second or so. */
export const diagnosisQuery = queryOptions({
  queryKey: keys.diagnosis,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/diagnosis', { signal })),
  refetchInterval: DIAGNOSIS_POLL_MS,
})

/** How old a map may get without an event. */
const MAP_POLL_MS = 10_000

/** The network as it is now; after the first time only what changed is sent. */
export const mapQuery = queryOptions({
  queryKey: [...keys.map, 'now'],
  queryFn: async ({ signal, client }): Promise<NetMap> => {
    const before = client.getQueryData<NetMap>([...keys.map, 'now'])
    const query = before === undefined ? {} : { after: before.version }
    return merged(before, await sent(api.GET('/api/v1/map', { params: { query }, signal })))
  },
  refetchInterval: MAP_POLL_MS,
  // It is put together here, and large.
  structuralSharing: false,
})

/** A minute is stored some time after it ended: until then what is known of it may change. */
const MINUTE_LATE_MS = 3 * MINUTE_MS

/** The network as it was at the start of a minute. */
export const mapAtQuery = (at: number | null) =>
  queryOptions({
    queryKey: [...keys.map, 'at', at],
    queryFn: async ({ signal, client }): Promise<NetMap> => {
      const query = { at: new Date(at ?? 0).toISOString() }
      const answer = await sent(api.GET('/api/v1/map', { params: { query }, signal }))
      // What it looks like is as it is now.
      const shape = client.getQueryData<NetMap>([...keys.map, 'now'])
      return merged(shape, { ...answer, is_whole: true })
    },
    enabled: at !== null,
    placeholderData: keepPreviousData,
    structuralSharing: false,
    staleTime: (query) => (query.state.dataUpdatedAt - (at ?? 0) < MINUTE_LATE_MS ? 0 : Infinity),
    gcTime: 5 * MINUTE_MS,
  })

/** The targets of a site or a device, the worst first. */
export const mapTargetsQuery = (of: string) =>
  queryOptions({
    queryKey: [...keys.map, 'targets', of],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/map/targets', { params: { query: { of } }, signal })),
    placeholderData: keepPreviousData,
  })

/** What is described of one kind. */
export const topologyQuery = (kind: string) =>
  queryOptions({
    queryKey: [...keys.topology, 'parts', kind],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/topology', { params: { query: { kind } }, signal })),
    structuralSharing: false,
  })

/** What is odd about what is described. */
export const topologyCheckQuery = queryOptions({
  queryKey: [...keys.topology, 'check'],
  queryFn: ({ signal }) => sent(api.GET('/api/v1/topology/check', { signal })),
})

/** Elements whose loss leaves targets that nobody reaches; on a large network it takes seconds. */
export const singlePointsQuery = queryOptions({
  queryKey: [...keys.topology, 'single-points'],
  queryFn: ({ signal }) => sent(api.GET('/api/v1/topology/single-points', { signal })),
})

export const whatIfQuery = (down: string | null) =>
  queryOptions({
    queryKey: [...keys.topology, 'what-if', down],
    queryFn: ({ signal }) =>
      sent(
        api.GET('/api/v1/topology/what-if', { params: { query: { down: down ?? '' } }, signal }),
      ),
    enabled: down !== null,
  })

/** Incidents that were open at some moment of a span: the marks of a time line. */
export const incidentsSinceQuery = (since: number) =>
  queryOptions({
    queryKey: [...keys.incidents, 'since', since],
    queryFn: ({ signal }) =>
      sent(
        api.GET('/api/v1/incidents', {
          params: { query: { since: new Date(since).toISOString(), limit: 200 } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  })

/** Rows of a page of incidents: some screens full. */
const INCIDENT_PAGE_LENGTH = 100
/** Figures of an open incident are brought up to date this often, without an event. */
const INCIDENT_POLL_MS = 15_000

export const incidentsQuery = (filter: IncidentFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.incidents, 'list', filter],
    queryFn: ({ signal, pageParam }) =>
      sent(
        api.GET('/api/v1/incidents', {
          params: {
            query: {
              ...incidentParams(filter, serverNow()),
              cursor: pageParam,
              limit: INCIDENT_PAGE_LENGTH,
            },
          },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: INCIDENT_POLL_MS,
  })

/** As many as fit beside what is broken. */
const LATEST_INCIDENTS = 5

/** The latest ones, also those that are over. */
export const latestIncidentsQuery = queryOptions({
  queryKey: [...keys.incidents, 'latest'],
  queryFn: ({ signal }) =>
    sent(
      api.GET('/api/v1/incidents', {
        params: { query: { state: 'open,resolved', limit: LATEST_INCIDENTS } },
        signal,
      }),
    ),
  refetchInterval: DIAGNOSIS_POLL_MS,
})

/** How many are open: for the navigation. */
export const openIncidentsQuery = queryOptions({
  queryKey: [...keys.incidents, 'open'],
  queryFn: ({ signal }) =>
    sent(api.GET('/api/v1/incidents', { params: { query: { limit: 1 } }, signal })),
  refetchInterval: OVERVIEW_POLL_MS,
})

export const incidentQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.incident(id), 'now'],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/incidents/{id}', { params: { path: { id } }, signal })),
    refetchInterval: INCIDENT_POLL_MS,
  })

/** What was believed of it, and when. */
export const incidentRevisionsQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.incident(id), 'revisions'],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/incidents/{id}/revisions', { params: { path: { id } }, signal })),
  })

/** Windows open and close by the clock, without an event. */
const MAINTENANCE_POLL_MS = 15_000

/** Windows that are open or planned, by their start. */
export const maintenanceQuery = queryOptions({
  queryKey: [...keys.maintenance, 'live'],
  queryFn: ({ signal }) => sent(api.GET('/api/v1/maintenance', { signal })),
  refetchInterval: MAINTENANCE_POLL_MS,
})

/** Windows that are over, the newest first. */
export const maintenancePastQuery = infiniteQueryOptions({
  queryKey: [...keys.maintenance, 'past'],
  queryFn: ({ signal, pageParam }) =>
    sent(
      api.GET('/api/v1/maintenance', {
        params: { query: { state: 'past', cursor: pageParam, limit: 50 } },
        signal,
      }),
    ),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next_cursor ?? undefined,
})

export const maintenanceWindowQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.maintenance, id, 'now'],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/maintenance/{id}', { params: { path: { id } }, signal })),
    refetchInterval: MAINTENANCE_POLL_MS,
  })

/** What a window silences, and when it is open next. */
export const maintenanceReachQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.maintenance, id, 'reach'],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/maintenance/{id}/preview', { params: { path: { id } }, signal })),
  })

/** When windows cover a target: the marks of its minutes. */
export const targetMaintenanceQuery = (id: number, since: string, until: string) =>
  queryOptions({
    queryKey: [...keys.maintenance, 'of', id, since, until],
    queryFn: ({ signal }) =>
      sent(
        api.GET('/api/v1/targets/{id}/maintenance', {
          params: { path: { id }, query: { since, until } },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  })

/** Whom an incident can be given to. */
export const assigneesQuery = queryOptions({
  queryKey: [...keys.users, 'assignees'],
  queryFn: ({ signal }) => sent(api.GET('/api/v1/incidents/assignees', { signal })),
})

/** The worst targets, for the overview. */
export const troubleQuery = queryOptions({
  queryKey: [...keys.targets, 'trouble'],
  queryFn: ({ signal }) =>
    sent(
      api.GET('/api/v1/targets', {
        params: {
          query: { verdict: 'down,degraded,unknown', sort: 'verdict', limit: TROUBLE_MAX },
        },
        signal,
      }),
    ),
})

export const targetsQuery = (filter: TargetFilter) =>
  infiniteQueryOptions({
    queryKey: [...keys.targets, 'list', filter],
    queryFn: ({ signal, pageParam }) =>
      sent(
        api.GET('/api/v1/targets', {
          params: { query: { ...filter, cursor: pageParam, limit: TARGET_PAGE_LENGTH } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  })

export const targetStatusQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.target(id), 'status'],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/targets/{id}/status', { params: { path: { id } }, signal })),
  })

export const targetChangesQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.target(id), 'changes'],
    queryFn: ({ signal }) =>
      sent(
        api.GET('/api/v1/targets/{id}/changes', {
          params: { path: { id }, query: { limit: 100 } },
          signal,
        }),
      ),
  })

/** What was said of one minute. */
export const targetMinuteQuery = (id: number, minute: number) =>
  queryOptions({
    queryKey: [...keys.target(id), 'minute', minute],
    queryFn: ({ signal }) =>
      history(id, { from: minute, to: minute + MINUTE_MS, level: '1m' }, signal),
    placeholderData: keepPreviousData,
  })

interface HistorySpan {
  from: number
  to: number
  /** Chosen by the server if left out: the finest with not too many values. */
  level?: string
}

function historyParams({ from, to, level }: HistorySpan) {
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), level }
}

function history(id: number, span: HistorySpan, signal: AbortSignal): Promise<History> {
  const params = { path: { id }, query: historyParams(span) }
  // Its other form, CSV, comes only if it is asked for.
  return sent(api.GET('/api/v1/targets/{id}/history', { params, signal })) as Promise<History>
}

/** Where the same is had as CSV: a link, so that the browser saves it. */
export function historyCsvUrl(id: number, span: HistorySpan): string {
  const { from, to, level } = historyParams(span)
  const query = new URLSearchParams({ from, to, format: 'csv' })
  if (level !== undefined) query.set('level', level)
  return `/api/v1/targets/${id}/history?${query.toString()}`
}

/** Up to this length values are minutes, and each new one is told as an event. */
const MINUTES_MS_MAX = 1440 * MINUTE_MS
/** A longer span is asked for anew as often as a column of it is new, but not more rarely. */
const LONG_COLUMNS = 1_000
const LONG_POLL_MS_MAX = 900_000

/** How often a long span that ends now is asked for anew; one that has ended is not. */
const longPollMs = (lengthMs: number, to: number | null) =>
  lengthMs > MINUTES_MS_MAX && to === null
    ? Math.min(lengthMs / LONG_COLUMNS, LONG_POLL_MS_MAX)
    : false

/** The history of a span that ends now (`to` null) or at a moment, in columns. */
export const targetTracksQuery = (
  id: number,
  lengthMs: number,
  to: number | null,
  level?: string,
) => {
  const isLong = lengthMs > MINUTES_MS_MAX
  return queryOptions({
    // Not among what each new minute makes old: a year does not change with a minute.
    queryKey: [...(isLong ? ['history', id] : keys.target(id)), 'tracks', lengthMs, to, level],
    queryFn: async ({ signal }): Promise<Tracks> => {
      const end = to ?? minuteOf(serverNow()) + MINUTE_MS
      const query = historyParams({ from: end - lengthMs, to: end, level })
      const params = { path: { id }, query }
      const asked = api.GET('/api/v1/targets/{id}/history', {
        params,
        signal,
        parseAs: 'arrayBuffer',
      })
      return readColumns(await sent<ArrayBuffer>(asked))
    },
    placeholderData: keepPreviousData,
    // Columns are not compared value by value.
    structuralSharing: false,
    refetchInterval: longPollMs(lengthMs, to),
  })
}

/**
 * What such a span adds up to, and the one so much earlier if `shiftMs` is given: percentiles of a
 * span do not follow from those of its columns.
 */
export const targetSumsQuery = (
  id: number,
  lengthMs: number,
  to: number | null,
  shiftMs: number | null,
) => {
  const isLong = lengthMs > MINUTES_MS_MAX
  return queryOptions({
    queryKey: [...(isLong ? ['history', id] : keys.target(id)), 'sums', lengthMs, to, shiftMs],
    queryFn: ({ signal }) => {
      const end = to ?? minuteOf(serverNow()) + MINUTE_MS
      const own = historyParams({ from: end - lengthMs, to: end })
      const query = { from: own.from, to: own.to }
      if (shiftMs === null) return summary(id, query, signal)
      const past = historyParams({ from: end - lengthMs - shiftMs, to: end - shiftMs })
      return summary(id, { ...query, compare_from: past.from, compare_to: past.to }, signal)
    },
    placeholderData: keepPreviousData,
    refetchInterval: longPollMs(lengthMs, to),
  })
}

interface SummaryParams {
  from: string
  to: string
  compare_from?: string
  compare_to?: string
}

const summary = (id: number, query: SummaryParams, signal: AbortSignal) =>
  sent(api.GET('/api/v1/targets/{id}/summary', { params: { path: { id }, query }, signal }))

/** How often the last hour of the rows of a list is asked for anew. */
const HOUR_POLL_MS = 60_000
/** Minutes that a row of a list shows. */
export const HOUR_MIN = 60

/** The last hour of several targets, all agents together, in one request. */
export const hourQuery = (ids: readonly number[]) =>
  queryOptions({
    queryKey: ['hour', ids],
    queryFn: async ({ signal }): Promise<ReadonlyMap<number, Track>> => {
      const to = minuteOf(serverNow()) + MINUTE_MS
      const query = {
        targets: ids.join(','),
        ...historyParams({ from: to - HOUR_MIN * MINUTE_MS, to, level: '1m' }),
      }
      const got = await sentJson(api.GET('/api/v1/history', { params: { query }, signal }))
      return new Map(
        got.targets.flatMap(({ target, series }) => {
          const [track] = tracksOf({ level: got.level, series })
          return track === undefined ? [] : [[target.id, track] as const]
        }),
      )
    },
    structuralSharing: false,
    refetchInterval: HOUR_POLL_MS,
  })

export interface Rounds {
  items: Round[]
  /** False if there are more than are shown here. */
  isWhole: boolean
}

/** The rounds that started in one minute, or since a minute that is not closed yet. */
export const roundsQuery = (id: number, from: number, lengthMin: number) =>
  queryOptions({
    queryKey: [...keys.target(id), 'rounds', from, lengthMin],
    queryFn: async ({ signal }): Promise<Rounds> => {
      const items: Round[] = []
      let cursor: string | undefined
      for (let page = 0; page < ROUND_PAGES_MAX; page += 1) {
        const query = {
          from: new Date(from).toISOString(),
          to: new Date(from + lengthMin * MINUTE_MS).toISOString(),
          limit: ROUNDS_PER_PAGE,
          cursor,
        }
        const got = await sentJson(
          api.GET('/api/v1/targets/{id}/rounds', { params: { path: { id }, query }, signal }),
        )
        items.push(...got.items)
        if (got.next_cursor === null) return { items, isWhole: true }
        cursor = got.next_cursor
      }
      return { items, isWhole: false }
    },
  })

/** Traces of one target that are shown: what happened lately. */
const TRACE_PAGE_LENGTH = 10
/** A trace under way is looked at again this often, if its events do not come. */
const TRACE_POLL_MS = 2_000

/** The last traces to a target, without their hops. */
export const targetTracesQuery = (target: number) =>
  queryOptions({
    queryKey: [...keys.traces, target],
    queryFn: ({ signal }) =>
      sent(
        api.GET('/api/v1/traces', {
          params: { query: { target, limit: TRACE_PAGE_LENGTH } },
          signal,
        }),
      ),
  })

export const targetPathsQuery = (target: number) =>
  queryOptions({
    queryKey: [...keys.traces, target, 'paths'],
    queryFn: ({ signal }) =>
      sent(
        api.GET('/api/v1/traces/paths', {
          params: { query: { target, limit: TRACE_PAGE_LENGTH } },
          signal,
        }),
      ),
  })

export const traceQuery = (id: number) =>
  queryOptions({
    queryKey: keys.trace(id),
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/traces/{id}', { params: { path: { id } }, signal })),
    refetchInterval: ({ state }) => (state.data?.ended_at === null ? TRACE_POLL_MS : false),
  })

export const tiersQuery = queryOptions({
  queryKey: keys.tiers,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/tiers', { signal })),
})

/** What so many targets of a tier cost, with the times that this server keeps its history for. */
export const planQuery = (query: {
  targets: number
  agents: number
  interval_s: number
  packets: number
  /** Days of a level, such as `rounds_days`, that are not those of the server. */
  [level: `${string}_days`]: number
}) =>
  queryOptions({
    queryKey: ['plan', query],
    queryFn: ({ signal }) => sent(api.GET('/api/v1/plan', { params: { query }, signal })),
    enabled: query.targets > 0 && query.agents > 0,
    // It is arithmetic: only a configuration and a new start change it.
    staleTime: Infinity,
    placeholderData: keepPreviousData,
  })

/** As often as a value of it is new. */
const METRICS_POLL_MS = STEP_MIN * MINUTE_MS

/** What an agent says of itself over the last day. */
export const agentMetricsQuery = (id: number) =>
  queryOptions({
    queryKey: ['agent-metrics', id],
    queryFn: ({ signal }): Promise<Metrics> => {
      const to = serverNow()
      const query = historyParams({ from: to - LOOK_BACK_MS, to, level: `${STEP_MIN}m` })
      // Its other form, CSV, comes only if it is asked for.
      const params = { path: { id }, query }
      return sent(api.GET('/api/v1/agents/{id}/metrics', { params, signal })) as Promise<Metrics>
    },
    refetchInterval: METRICS_POLL_MS,
  })

export const agentsQuery = queryOptions({
  queryKey: keys.agents,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/agents', { signal })),
  // Heartbeats come every 5 s; a change of state comes as an event at once.
  refetchInterval: 5_000,
})

export const healthQuery = queryOptions({
  queryKey: keys.health,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/health', { signal })),
  refetchInterval: 5_000,
})

export const usersQuery = queryOptions({
  queryKey: keys.users,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/users', { signal })),
})

export const apiKeysQuery = queryOptions({
  queryKey: keys.apiKeys,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/api-keys', { signal })),
})

export const webhooksQuery = queryOptions({
  queryKey: keys.webhooks,
  queryFn: ({ signal }) => sent(api.GET('/api/v1/webhooks', { signal })),
  refetchInterval: DELIVERY_POLL_MS,
})

export const webhookQuery = (id: number) =>
  queryOptions({
    queryKey: keys.webhook(id),
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/webhooks/{id}', { params: { path: { id } }, signal })),
    refetchInterval: DELIVERY_POLL_MS,
  })

/** What was sent to a webhook, newest first. */
export const deliveriesQuery = (id: number, state: DeliveryState | undefined) =>
  infiniteQueryOptions({
    queryKey: [...keys.deliveries, id, state],
    queryFn: ({ signal, pageParam }) =>
      sent(
        api.GET('/api/v1/webhooks/{id}/deliveries', {
          params: {
            path: { id },
            query: { state, cursor: pageParam, limit: DELIVERY_PAGE_LENGTH },
          },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: DELIVERY_POLL_MS,
  })

/** One message with its tries and its body; nothing for null. */
export const deliveryQuery = (id: number | null) =>
  queryOptions({
    queryKey: [...keys.deliveries, 'one', id],
    queryFn: ({ signal }) =>
      sent(api.GET('/api/v1/deliveries/{id}', { params: { path: { id: id ?? 0 } }, signal })),
    enabled: id !== null,
    refetchInterval: DELIVERY_POLL_MS,
  })

export const auditQuery = infiniteQueryOptions({
  queryKey: keys.audit,
  queryFn: ({ signal, pageParam }) =>
    sent(
      api.GET('/api/v1/audit', {
        params: { query: { cursor: pageParam, limit: AUDIT_PAGE_LENGTH } },
        signal,
      }),
    ),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next_cursor ?? undefined,
})
