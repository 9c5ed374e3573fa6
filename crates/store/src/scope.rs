//! On whose behalf a statement runs: the organisation that bounds it and the actor it is
//! recorded under. What an actor may do is decided by the server, not here.

use model::{AgentId, ApiKeyId, Name, OrgId, UserId};

/// The organisation that exists from the first start.
pub const ORG_DEFAULT: OrgId = OrgId(1);

/// The bounds of a call: nothing outside `org` is read or written, and changes carry `actor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub org: OrgId,
    pub actor: Actor,
}

/// Who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The software itself.
    System,
    User {
        id: UserId,
        name: Name,
    },
    ApiKey {
        id: ApiKeyId,
        name: Name,
    },
    Agent(AgentId),
}

impl Scope {
    pub fn system(org: OrgId) -> Scope {
        Scope { org, actor: Actor::System }
    }
}

impl Actor {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Actor::System => "system",
            Actor::User { .. } => "user",
            Actor::ApiKey { .. } => "api_key",
            Actor::Agent(_) => "agent",
        }
    }

    pub(crate) fn id(&self) -> Option<u32> {
        match self {
            Actor::System => None,
            Actor::User { id, .. } => Some(id.0),
            Actor::ApiKey { id, .. } => Some(id.0),
            Actor::Agent(id) => Some(id.0),
        }
    }

    /// Empty where the id says enough.
    pub(crate) fn name(&self) -> &str {
        match self {
            Actor::User { name, .. } | Actor::ApiKey { name, .. } => name.as_str(),
            Actor::System | Actor::Agent(_) => "",
        }
    }
}
