//! What the engine and the agents need to know of the inventory, as changes.

use crate::{Address, AgentId, Name, OrgId, ProbeId, TargetId, Tier, TierId};

/// One probe of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    pub id: ProbeId,
    pub org: OrgId,
    pub target: TargetId,
    pub target_name: Name,
    pub address: Address,
    pub tier: TierId,
    /// Paused by a person: not asked, and its minutes are Unknown with that cause.
    pub paused: bool,
}

/// One agent, as far as judging and assigning need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpec {
    pub id: AgentId,
    pub org: OrgId,
    pub name: Name,
    /// Paused by a person or revoked: gets no assignment and judges nobody.
    pub is_active: bool,
}

/// A change of the inventory, in the order of its versions.
///
/// `…Set` creates or replaces; applying one twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryChange {
    TierSet(Tier),
    TierRemoved(TierId),
    ProbeSet(ProbeSpec),
    ProbeRemoved(ProbeId),
    AgentSet(AgentSpec),
    AgentRemoved(AgentId),
}
