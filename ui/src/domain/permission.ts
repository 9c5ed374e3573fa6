/** What the signed-in person may do. The server decides; this only hides what it would refuse. */

export type Permission =
  | 'target_read'
  | 'target_write'
  | 'tier_read'
  | 'tier_write'
  | 'topology_read'
  | 'topology_write'
  | 'agent_read'
  | 'agent_write'
  | 'incident_read'
  | 'incident_manage'
  | 'health_read'
  | 'user_manage'
  | 'api_key_manage'
  | 'webhook_manage'
  | 'audit_read'
  | 'backup_create'
