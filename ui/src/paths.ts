/** The addresses of the console's pages, and what a person must be allowed to see them. */

import type { Permission } from './domain/permission'
import type { IconName } from './ui/Icon'

export const paths = {
  overview: '/',
  map: '/map',
  topology: '/topology',
  wall: '/wall',
  incidents: '/incidents',
  incident: '/incidents/$id',
  maintenance: '/maintenance',
  maintenanceWindow: '/maintenance/$id',
  targets: '/targets',
  target: '/targets/$id',
  agents: '/agents',
  tiers: '/tiers',
  health: '/health',
  users: '/users',
  apiKeys: '/api-keys',
  webhooks: '/webhooks',
  webhook: '/webhooks/$id',
  audit: '/audit',
  desk: '/demo',
  signIn: '/sign-in',
} as const

export interface NavEntry {
  to:
    | '/'
    | '/map'
    | '/topology'
    | '/incidents'
    | '/maintenance'
    | '/targets'
    | '/agents'
    | '/tiers'
    | '/health'
    | '/users'
    | '/api-keys'
    | '/webhooks'
    | '/audit'
    | '/demo'
  label: string
  icon: IconName
  /** Pressed after `g`. */
  key: string
  needs: Permission
}

export const NAV: readonly NavEntry[] = [
  { to: paths.overview, label: 'Overview', icon: 'overview', key: 'o', needs: 'target_read' },
  {
    to: paths.incidents,
    label: 'Incidents',
    icon: 'incidents',
    key: 'n',
    needs: 'incident_read',
  },
  { to: paths.map, label: 'Map', icon: 'map', key: 'p', needs: 'topology_read' },
  { to: paths.targets, label: 'Targets', icon: 'targets', key: 't', needs: 'target_read' },
  {
    to: paths.maintenance,
    label: 'Maintenance',
    icon: 'wrench',
    key: 'm',
    needs: 'maintenance_read',
  },
  {
    to: paths.topology,
    label: 'Topology',
    icon: 'topology',
    key: 'y',
    needs: 'topology_read',
  },
  { to: paths.agents, label: 'Agents', icon: 'agents', key: 'a', needs: 'agent_read' },
  { to: paths.tiers, label: 'Tiers', icon: 'tiers', key: 'i', needs: 'tier_read' },
  { to: paths.health, label: 'Health', icon: 'health', key: 'h', needs: 'health_read' },
]

/** What only a demo has. */
export const NAV_DEMO: readonly NavEntry[] = [
  { to: paths.desk, label: 'Fault desk', icon: 'fault', key: 'f', needs: 'topology_read' },
]

export const NAV_ADMIN: readonly NavEntry[] = [
  { to: paths.users, label: 'Users', icon: 'users', key: 'u', needs: 'user_manage' },
  { to: paths.apiKeys, label: 'API keys', icon: 'key', key: 'k', needs: 'api_key_manage' },
  { to: paths.webhooks, label: 'Webhooks', icon: 'bell', key: 'w', needs: 'webhook_manage' },
  { to: paths.audit, label: 'Audit', icon: 'audit', key: 'l', needs: 'audit_read' },
]
