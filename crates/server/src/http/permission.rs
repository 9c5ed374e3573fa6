//! Who may do what: a closed list of permissions, and the roles as a static table.
//!
//! It does not decide which route needs which permission: that is the table in
//! [`super::routes`].

use model::Role;

/// Something a caller may be allowed to do. Every route names one, or says why it needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// See targets, their verdicts, history and rounds, and the overview.
    TargetRead,
    /// Create, change, import and delete targets.
    TargetWrite,
    TierRead,
    TierWrite,
    /// See the topology, paths through it, and what is the matter with it.
    TopologyRead,
    /// Create, change, import and delete what the topology is made of.
    TopologyWrite,
    AgentRead,
    /// Create agents, make enrolment tokens, revoke certificates.
    AgentWrite,
    /// See incidents, what was believed of them when, and who works on them.
    IncidentRead,
    /// Acknowledge, assign, comment on, close and reopen incidents.
    IncidentManage,
    /// See what devices reported, in the list and beside the diagnosis. What a cause rests on is
    /// told with the cause.
    FactRead,
    /// Report of devices: all that a collector needs.
    FactWrite,
    /// See traces, under way and kept.
    TraceRead,
    /// Let an agent trace a target, and cancel it.
    TraceRun,
    /// See when somebody works on what, and what that silences.
    MaintenanceRead,
    /// Plan, change, end, extend and cancel maintenance windows.
    MaintenanceWrite,
    /// See the state of this server.
    HealthRead,
    /// See and change who may sign in: users whose role permits nothing that the caller may not.
    UserManage,
    /// See, create and delete API keys.
    ApiKeyManage,
    /// See and change where messages go, and see what became of them.
    WebhookManage,
    /// See who changed what.
    AuditRead,
    /// Take everything this server holds with oneself.
    BackupCreate,
}

impl Permission {
    pub const ALL: [Permission; 22] = [
        Permission::TargetRead,
        Permission::TargetWrite,
        Permission::TierRead,
        Permission::TierWrite,
        Permission::TopologyRead,
        Permission::TopologyWrite,
        Permission::AgentRead,
        Permission::AgentWrite,
        Permission::IncidentRead,
        Permission::IncidentManage,
        Permission::FactRead,
        Permission::FactWrite,
        Permission::TraceRead,
        Permission::TraceRun,
        Permission::MaintenanceRead,
        Permission::MaintenanceWrite,
        Permission::HealthRead,
        Permission::UserManage,
        Permission::ApiKeyManage,
        Permission::WebhookManage,
        Permission::AuditRead,
        Permission::BackupCreate,
    ];

    /// The name as the API says it and API keys list it.
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::TargetRead => "target_read",
            Permission::TargetWrite => "target_write",
            Permission::TierRead => "tier_read",
            Permission::TierWrite => "tier_write",
            Permission::TopologyRead => "topology_read",
            Permission::TopologyWrite => "topology_write",
            Permission::AgentRead => "agent_read",
            Permission::AgentWrite => "agent_write",
            Permission::IncidentRead => "incident_read",
            Permission::IncidentManage => "incident_manage",
            Permission::FactRead => "fact_read",
            Permission::FactWrite => "fact_write",
            Permission::TraceRead => "trace_read",
            Permission::TraceRun => "trace_run",
            Permission::MaintenanceRead => "maintenance_read",
            Permission::MaintenanceWrite => "maintenance_write",
            Permission::HealthRead => "health_read",
            Permission::UserManage => "user_manage",
            Permission::ApiKeyManage => "api_key_manage",
            Permission::WebhookManage => "webhook_manage",
            Permission::AuditRead => "audit_read",
            Permission::BackupCreate => "backup_create",
        }
    }

    pub fn parse(text: &str) -> Option<Permission> {
        Permission::ALL.into_iter().find(|permission| permission.as_str() == text)
    }
}

const VIEWER: &[Permission] = &[
    Permission::TargetRead,
    Permission::TierRead,
    Permission::TopologyRead,
    Permission::AgentRead,
    Permission::IncidentRead,
    Permission::FactRead,
    Permission::TraceRead,
    Permission::MaintenanceRead,
    Permission::HealthRead,
];

const OPERATOR: &[Permission] = &[
    Permission::TargetRead,
    Permission::TargetWrite,
    Permission::TierRead,
    Permission::TierWrite,
    Permission::TopologyRead,
    Permission::TopologyWrite,
    Permission::AgentRead,
    Permission::IncidentRead,
    Permission::IncidentManage,
    Permission::FactRead,
    Permission::FactWrite,
    Permission::TraceRead,
    Permission::TraceRun,
    Permission::MaintenanceRead,
    Permission::MaintenanceWrite,
    Permission::HealthRead,
];

/// Returns what a role may do.
pub fn permissions(role: Role) -> &'static [Permission] {
    match role {
        Role::Viewer => VIEWER,
        Role::Operator => OPERATOR,
        Role::Admin => &Permission::ALL,
    }
}

/// Returns whether `role` holds `permission`.
pub fn allows(role: Role, permission: Permission) -> bool {
    permissions(role).contains(&permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_can_do_all_that_the_one_below_can() {
        for permission in Permission::ALL {
            let [viewer, operator, admin] =
                [Role::Viewer, Role::Operator, Role::Admin].map(|role| allows(role, permission));
            assert!(viewer <= operator, "{permission:?}: viewer may, operator may not");
            assert!(operator <= admin, "{permission:?}: operator may, admin may not");
            assert!(admin, "{permission:?}: nobody may");
        }
    }
}
