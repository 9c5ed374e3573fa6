/**
 * The pages: each is a file of its own in the bundle, loaded with its queries when it is opened.
 */

import type { QueryClient } from '@tanstack/react-query'
import {
  Outlet,
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  notFound,
  redirect,
} from '@tanstack/react-router'

import type { Live } from './api/live'
import {
  agentsQuery,
  apiKeysQuery,
  auditQuery,
  deskQuery,
  healthQuery,
  incidentQuery,
  incidentsQuery,
  mapQuery,
  maintenancePastQuery,
  maintenanceQuery,
  maintenanceReachQuery,
  maintenanceWindowQuery,
  overviewQuery,
  sessionQuery,
  targetStatusQuery,
  targetsQuery,
  tiersQuery,
  troubleQuery,
  usersQuery,
  webhookQuery,
  webhooksQuery,
} from './api/queries'
import { type TargetFilter, parseFilter } from './domain/filter'
import { type IncidentFilter, parseIncidentFilter } from './domain/incident'
import { parseMapSearch } from './domain/mapSearch'
import { parseTopologySearch } from './domain/topology'
import { COMPARISONS, type Comparison, RANGES, type Range } from './domain/view'
import type { DeliveryState } from './domain/webhook'
import { PageFailure } from './ui/Failure'
import { Shell } from './ui/Shell'
import { NotFound } from './ui/NotFound'
import { paths } from './paths'

interface Context {
  queryClient: QueryClient
  live: Live
}

const rootRoute = createRootRouteWithContext<Context>()({
  component: Outlet,
  errorComponent: PageFailure,
})

const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: paths.signIn,
  validateSearch: (search: Record<string, unknown>): { next?: string } => ({
    next: typeof search['next'] === 'string' ? search['next'] : undefined,
  }),
  beforeLoad: async ({ context, search }) => {
    context.live.stop()
    if ((await context.queryClient.ensureQueryData(sessionQuery)) !== null) {
      throw redirect({ href: localPath(search.next) })
    }
  },
  component: lazyRouteComponent(() => import('./pages/session/SignInPage')),
})

/** Returns where to go after signing in: only ever a path of this console. */
function localPath(next: string | undefined): string {
  return next !== undefined && /^\/(?![/\\])/.test(next) ? next : paths.overview
}

const insideRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: 'inside',
  beforeLoad: async ({ context, location }) => {
    if ((await context.queryClient.ensureQueryData(sessionQuery)) === null) {
      const next = location.href === paths.overview ? undefined : location.href
      throw redirect({ to: paths.signIn, search: { next } })
    }
    context.live.start()
  },
  component: Shell,
})

const overviewRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.overview,
  loader: ({ context: { queryClient } }) =>
    Promise.all([
      queryClient.ensureQueryData(overviewQuery),
      queryClient.ensureQueryData(troubleQuery),
      queryClient.ensureQueryData(agentsQuery),
    ]),
  component: lazyRouteComponent(() => import('./pages/overview/OverviewPage')),
})

/** A dialog is part of the address, so that a link can open it and Back closes it. */
function dialogOf<T extends string>(
  search: Record<string, unknown>,
  known: readonly T[],
): T | undefined {
  return known.find((name) => name === search['dialog'])
}

const mapRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.map,
  validateSearch: parseMapSearch,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(mapQuery),
  component: lazyRouteComponent(() => import('./pages/map/MapPage')),
})

const topologyRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.topology,
  validateSearch: parseTopologySearch,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(mapQuery),
  component: lazyRouteComponent(() => import('./pages/topology/TopologyPage')),
})

/** Without navigation: nobody presses anything on a wall. */
const wallRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: paths.wall,
  beforeLoad: async ({ context, location }) => {
    if ((await context.queryClient.ensureQueryData(sessionQuery)) === null) {
      throw redirect({ to: paths.signIn, search: { next: location.href } })
    }
    context.live.start()
  },
  validateSearch: (search: Record<string, unknown>): { theme?: 'light' } => ({
    theme: search['theme'] === 'light' ? 'light' : undefined,
  }),
  loader: ({ context: { queryClient } }) =>
    Promise.all([
      queryClient.ensureQueryData(mapQuery),
      queryClient.ensureQueryData(overviewQuery),
    ]),
  component: lazyRouteComponent(() => import('./pages/wall/WallPage')),
})

const incidentsRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.incidents,
  validateSearch: (search: Record<string, unknown>): IncidentFilter =>
    parseIncidentFilter(search),
  loaderDeps: ({ search }) => search,
  loader: ({ context: { queryClient }, deps }) =>
    queryClient.ensureInfiniteQueryData(incidentsQuery(deps)),
  component: lazyRouteComponent(() => import('./pages/incidents/IncidentsPage')),
})

const incidentRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.incident,
  parseParams: ({ id }) => ({ id: Number.parseInt(id, 10) }),
  stringifyParams: ({ id }) => ({ id: String(id) }),
  loader: ({ context: { queryClient }, params }) =>
    queryClient.ensureQueryData(incidentQuery(params.id)),
  component: lazyRouteComponent(() => import('./pages/incidents/IncidentPage')),
})

const maintenanceRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.maintenance,
  validateSearch: (search: Record<string, unknown>): { dialog?: 'plan' } => ({
    dialog: dialogOf(search, ['plan']),
  }),
  loader: ({ context: { queryClient } }) =>
    Promise.all([
      queryClient.ensureQueryData(maintenanceQuery),
      queryClient.ensureInfiniteQueryData(maintenancePastQuery),
    ]),
  component: lazyRouteComponent(() => import('./pages/maintenance/MaintenancePage')),
})

const maintenanceWindowRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.maintenanceWindow,
  parseParams: ({ id }) => ({ id: Number.parseInt(id, 10) }),
  stringifyParams: ({ id }) => ({ id: String(id) }),
  loader: ({ context: { queryClient }, params }) =>
    Promise.all([
      queryClient.ensureQueryData(maintenanceWindowQuery(params.id)),
      queryClient.ensureQueryData(maintenanceReachQuery(params.id)),
    ]),
  component: lazyRouteComponent(() => import('./pages/maintenance/WindowPage')),
})

const targetsRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.targets,
  validateSearch: (
    search: Record<string, unknown>,
  ): TargetFilter & { dialog?: 'add' | 'import' } => ({
    ...parseFilter(search),
    dialog: dialogOf(search, ['add', 'import']),
  }),
  loaderDeps: ({ search: { dialog: _, ...filter } }) => filter,
  loader: ({ context: { queryClient }, deps }) => {
    void queryClient.prefetchInfiniteQuery(targetsQuery(deps))
    return queryClient.ensureQueryData(tiersQuery)
  },
  component: lazyRouteComponent(() => import('./pages/targets/TargetsPage')),
})

interface TargetSearch {
  /** The minute whose rounds are shown. */
  minute?: string
  /** How long a span is shown, if `from` does not say. */
  range?: Range
  /** Both ends of the shown span; without `to` it ends now. */
  from?: string
  to?: string
  /** The lines of the chart: ids of agents, or `all` for all together, joined by commas. */
  lines?: string
  /** What the span is laid over. */
  vs?: Comparison
  /** The values as a table, too. */
  table?: 'shown'
  /** The trace whose hops are shown. */
  trace?: number
  dialog?: 'edit'
}

const targetRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.target,
  parseParams: ({ id }) => ({ id: Number.parseInt(id, 10) }),
  stringifyParams: ({ id }) => ({ id: String(id) }),
  validateSearch: (search: Record<string, unknown>): TargetSearch => {
    const moment = (key: string) => {
      const at = Date.parse(String(search[key] ?? ''))
      return Number.isNaN(at) ? undefined : new Date(at).toISOString().replace('.000', '')
    }
    const range = RANGES.find((known) => known === search['range'])
    const lines = String(search['lines'] ?? '')
      .split(',')
      .filter((line) => /^(all|\d+)$/.test(line))
    return {
      minute: moment('minute'),
      range: range === '1h' ? undefined : range,
      from: moment('from'),
      to: moment('to'),
      lines: lines.length === 0 ? undefined : lines.join(','),
      vs: COMPARISONS.find((known) => known === search['vs']),
      table: search['table'] === 'shown' ? 'shown' : undefined,
      trace: /^\d{1,10}$/.test(String(search['trace'])) ? Number(search['trace']) : undefined,
      dialog: dialogOf(search, ['edit']),
    }
  },
  loader: ({ context: { queryClient }, params }) =>
    queryClient.ensureQueryData(targetStatusQuery(params.id)),
  component: lazyRouteComponent(() => import('./pages/target/TargetPage')),
})

const agentsRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.agents,
  validateSearch: (search: Record<string, unknown>): { dialog?: 'create' } => ({
    dialog: dialogOf(search, ['create']),
  }),
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(agentsQuery),
  component: lazyRouteComponent(() => import('./pages/agents/AgentsPage')),
})

const tiersRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.tiers,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(tiersQuery),
  component: lazyRouteComponent(() => import('./pages/tiers/TiersPage')),
})

const healthRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.health,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(healthQuery),
  component: lazyRouteComponent(() => import('./pages/health/HealthPage')),
})

const usersRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.users,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(usersQuery),
  component: lazyRouteComponent(() => import('./pages/people/UsersPage')),
})

const apiKeysRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.apiKeys,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(apiKeysQuery),
  component: lazyRouteComponent(() => import('./pages/people/ApiKeysPage')),
})

const webhooksRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.webhooks,
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(webhooksQuery),
  component: lazyRouteComponent(() => import('./pages/webhooks/WebhooksPage')),
})

interface WebhookSearch {
  /** Only messages in this state. */
  state?: DeliveryState
  /** The message that is open. */
  delivery?: number
}

const webhookRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.webhook,
  parseParams: ({ id }) => ({ id: Number.parseInt(id, 10) }),
  stringifyParams: ({ id }) => ({ id: String(id) }),
  validateSearch: (search: Record<string, unknown>): WebhookSearch => {
    const delivery = Number.parseInt(String(search['delivery'] ?? ''), 10)
    return {
      state: (['due', 'dead'] as const).find((state) => state === search['state']),
      delivery: Number.isNaN(delivery) ? undefined : delivery,
    }
  },
  loader: ({ context: { queryClient }, params }) =>
    queryClient.ensureQueryData(webhookQuery(params.id)),
  component: lazyRouteComponent(() => import('./pages/webhooks/WebhookPage')),
})

const auditRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.audit,
  loader: ({ context: { queryClient } }) => queryClient.ensureInfiniteQueryData(auditQuery),
  component: lazyRouteComponent(() => import('./pages/people/AuditPage')),
})

/** Only a demo has a fault desk: elsewhere there is no such page. */
const deskRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: paths.desk,
  beforeLoad: async ({ context: { queryClient } }) => {
    const session = await queryClient.ensureQueryData(sessionQuery)
    if (session?.is_demo !== true) throw notFound()
  },
  loader: ({ context: { queryClient } }) => queryClient.ensureQueryData(deskQuery),
  component: lazyRouteComponent(() => import('./pages/demo/DeskPage')),
})

/** The overview has the shortest address; people also type its name. */
const overviewNamedRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: '/overview',
  beforeLoad: () => {
    throw redirect({ to: paths.overview, replace: true })
  },
})

/** Every other address: within the navigation, so that one is never lost. */
const unknownRoute = createRoute({
  getParentRoute: () => insideRoute,
  path: '$',
  component: NotFound,
})

const routeTree = rootRoute.addChildren([
  signInRoute,
  wallRoute,
  insideRoute.addChildren([
    overviewRoute,
    mapRoute,
    topologyRoute,
    incidentsRoute,
    incidentRoute,
    maintenanceRoute,
    maintenanceWindowRoute,
    targetsRoute,
    targetRoute,
    agentsRoute,
    tiersRoute,
    healthRoute,
    usersRoute,
    apiKeysRoute,
    webhooksRoute,
    webhookRoute,
    auditRoute,
    deskRoute,
    overviewNamedRoute,
    unknownRoute,
  ]),
])

/** Plain `?key=value`: addresses are read, typed and pasted by people. */
function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text))
}

function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(search)) {
    if (value !== undefined && value !== null) params.set(key, String(value))
  }
  const text = params.toString().replaceAll('%2C', ',').replaceAll('%3A', ':')
  return text === '' ? '' : `?${text}`
}

export function consoleRouter(queryClient: QueryClient, live: Live) {
  return createRouter({
    routeTree,
    context: { queryClient, live },
    parseSearch,
    stringifySearch,
    defaultPreload: 'intent',
    defaultPreloadStaleTime: 0,
    defaultErrorComponent: PageFailure,
    defaultNotFoundComponent: NotFound,
    scrollRestoration: true,
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof consoleRouter>
  }
}
