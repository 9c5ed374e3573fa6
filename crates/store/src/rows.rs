//! The rows that the store takes and gives: plain values, every one of them legal.
//!
//! No row carries a secret in the clear; hashes appear only in rows made for comparing them.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{
    Address, AgentId, AgentState, ApiKeyId, Cause, Decision, Gap, Hostname, InventoryChange,
    KeptDays, Labels, LogPosition, MetricBatch, MetricKind, MetricName, Minute, MinuteTruth, Name,
    OrgId, ProbeId, Role, Round, RoundBatch, Sketch, TargetId, Tier, TierId, ToldRollup, UserId,
    UtcMicros, Verdict,
};

use crate::chunks::{MetricRecord, MinuteRecord, Record as _, RoundRecord};

/// SHA-256 of a secret that its owner shows: a session, a key, an enrolment token.
pub type TokenHash = [u8; 32];

/// A thing's id with the name people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref<Id> {
    pub id: Id,
    pub name: Name,
}

pub type TierRef = Ref<TierId>;
pub type TargetRef = Ref<TargetId>;
pub type AgentRef = Ref<AgentId>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub name: Name,
    pub role: Role,
    pub is_active: bool,
    pub created_at: UtcMicros,
    pub updated_at: UtcMicros,
}

/// A user with what a password is checked against.
#[derive(Clone, Debug)]
pub struct UserCredential {
    pub user: UserRow,
    pub password_hash: String,
}

#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: Name,
    pub role: Role,
    pub password_hash: String,
}

/// What to change; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    pub name: Option<Name>,
    pub role: Option<Role>,
    pub is_active: Option<bool>,
}

#[derive(Clone, Debug)]
pub struct NewSession {
    pub token_hash: TokenHash,
    pub user: UserId,
    pub csrf_token: String,
    pub expires_at: UtcMicros,
}

#[derive(Clone, Debug)]
pub struct SessionRow {
    pub org: OrgId,
    pub user: UserRow,
    pub csrf_token: String,
    pub created_at: UtcMicros,
    pub last_seen_at: UtcMicros,
    pub expires_at: UtcMicros,
}

#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub name: Name,
    pub key_hash: TokenHash,
    pub role: Role,
    /// A subset of the role's permissions, as the server writes it; `None` is all of them.
    pub permissions: Option<String>,
    pub expires_at: Option<UtcMicros>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    pub id: ApiKeyId,
    pub name: Name,
    pub role: Role,
    pub permissions: Option<String>,
    pub created_by: String,
    pub created_at: UtcMicros,
    pub expires_at: Option<UtcMicros>,
    pub last_used_at: Option<UtcMicros>,
}

/// Something that was done, for the audit. Never a secret in it.
#[derive(Clone, Debug)]
pub struct AuditEntry<'a> {
    /// Object and verb, for example `target.create`.
    pub action: &'a str,
    pub object_kind: &'a str,
    pub object_id: Option<u32>,
    pub object_name: &'a str,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub id: u64,
    pub at: UtcMicros,
    pub actor_kind: String,
    pub actor_id: Option<u32>,
    pub actor_name: String,
    pub action: String,
    pub object_kind: String,
    pub object_id: Option<u32>,
    pub object_name: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
}

/// The result of a change of the inventory: the row as it is now, and what others must hear.
///
/// If nothing changed, `version` is the present one and `changes` is empty.
#[derive(Clone, Debug)]
pub struct Changed<T> {
    pub row: T,
    pub version: u64,
    pub changes: Vec<InventoryChange>,
}

/// One element of a topology, or where one target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyPart {
    /// `element` or `target`.
    pub section: String,
    pub id: String,
    pub kind: String,
    /// Everything that is said of it, as JSON.
    pub body: String,
}

/// A topology as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyRow {
    /// Of the inventory, at the last change; 0 before the first.
    pub version: u64,
    pub updated_at: Option<UtcMicros>,
    /// By section and id.
    pub parts: Vec<TopologyPart>,
}

/// A change of a topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyEdit {
    /// The version that it was made on.
    pub basis: u64,
    pub sets: Vec<TopologyPart>,
    /// Section and id.
    pub removes: Vec<(String, String)>,
    /// As the audit says it.
    pub action: &'static str,
    /// The one part that it is about; `None` for many.
    pub name: Option<String>,
    /// That part as it was.
    pub before: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierRow {
    pub tier: Tier,
    /// For how long the history of its targets is kept.
    pub kept: KeptDays,
    pub targets_total: u64,
    pub created_at: UtcMicros,
    pub updated_at: UtcMicros,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRow {
    pub id: TargetId,
    pub name: Name,
    pub address: Address,
    pub tier: TierRef,
    /// Of the tier: how often it is asked.
    pub interval: Duration,
    pub tags: Vec<Name>,
    pub note: String,
    pub is_paused: bool,
    pub probe: ProbeId,
    /// What all agents together hold.
    pub verdict: Verdict,
    pub cause: Cause,
    pub why: String,
    pub since: UtcMicros,
    pub created_at: UtcMicros,
    pub updated_at: UtcMicros,
}

#[derive(Clone, Debug)]
pub struct NewTarget {
    pub name: Name,
    pub address: Address,
    /// `None`: the oldest tier.
    pub tier: Option<TierId>,
    pub tags: Vec<Name>,
    pub note: String,
    pub is_paused: bool,
}

/// What to change; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct TargetPatch {
    pub name: Option<Name>,
    pub address: Option<Address>,
    pub tier: Option<TierId>,
    pub tags: Option<Vec<Name>>,
    pub note: Option<String>,
    pub is_paused: Option<bool>,
    /// What follows from it for the topology, in the same transaction.
    pub topology: Option<TopologyEdit>,
}

/// One row of an import: created if the name is new, updated otherwise. `None` keeps.
#[derive(Clone, Debug)]
pub struct ImportRow {
    pub name: Name,
    pub address: Address,
    pub tier: Option<Name>,
    pub tags: Option<Vec<Name>>,
    pub note: Option<String>,
    pub is_paused: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportAction {
    Create,
    Update,
    Unchanged,
    Fail,
}

/// What became of one row of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportResult {
    pub action: ImportAction,
    /// The field at fault and the reason; empty unless it failed.
    pub field: &'static str,
    pub reason: String,
}

/// The order of a list of targets. Each is total: names are unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSort {
    /// Bytewise.
    #[default]
    Name,
    NameDesc,
    /// Worst first, then by name.
    Verdict,
    /// The newest change of verdict first.
    Since,
    /// IPv4 by number, then IPv6, then DNS names.
    Address,
}

#[derive(Clone, Debug, Default)]
pub struct TargetQuery {
    /// Part of name, address or note, in any case.
    pub q: Option<String>,
    /// Empty: all.
    pub verdicts: Vec<Verdict>,
    pub tier: Option<TierId>,
    pub tag: Option<Name>,
    pub sort: TargetSort,
    /// The `next` of a page with the same order.
    pub after: Option<String>,
    pub limit: u32,
}

#[derive(Clone, Debug)]
pub struct TargetPage {
    pub rows: Vec<TargetRow>,
    /// Letters, digits and `-_.` only.
    pub next: Option<String>,
    /// Of all pages.
    pub total: u64,
}

/// How many targets are held to be what. Paused ones count as nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetCounts {
    pub total: u64,
    pub up: u64,
    pub degraded: u64,
    pub down: u64,
    pub unknown: u64,
    pub paused: u64,
}

/// What an agent says of itself when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentHello {
    pub version: String,
    pub os: String,
    pub hostname: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    pub id: AgentId,
    pub name: Name,
    pub is_paused: bool,
    /// Its certificates were revoked and it has not enrolled again.
    pub is_revoked: bool,
    pub witnesses: Vec<IpAddr>,
    pub hello: Option<AgentHello>,
    pub last_seen_at: Option<UtcMicros>,
    pub state: AgentState,
    pub state_since: UtcMicros,
    pub state_why: String,
    /// The one that expires last.
    pub certificate: Option<CertificateRow>,
    pub created_at: UtcMicros,
    pub updated_at: UtcMicros,
}

#[derive(Clone, Debug)]
pub struct NewAgent {
    pub name: Name,
    pub witnesses: Vec<IpAddr>,
}

/// What to change; `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct AgentPatch {
    pub name: Option<Name>,
    pub is_paused: Option<bool>,
    pub witnesses: Option<Vec<IpAddr>>,
    /// What follows from it for the topology, in the same transaction.
    pub topology: Option<TopologyEdit>,
}

#[derive(Clone, Debug)]
pub struct NewCertificate {
    pub agent: AgentId,
    /// Lower-case hexadecimal.
    pub serial: String,
    pub not_before: UtcMicros,
    pub not_after: UtcMicros,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRow {
    pub serial: String,
    pub agent: AgentId,
    pub not_before: UtcMicros,
    pub not_after: UtcMicros,
    pub revoked_at: Option<UtcMicros>,
}

/// What is known of a certificate's serial. Expiry is in the certificate itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStatus {
    Active { org: OrgId, agent: AgentId },
    Revoked { org: OrgId, agent: AgentId },
    Unknown,
}

/// The newest batch of an agent's epoch that the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Highwater {
    pub agent: AgentId,
    pub epoch: u64,
    pub seq: u64,
}

/// Everything that one turn of the engine leaves behind: stored together or not at all.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    /// Up to which the log is applied. A commit at or below the stored one changes nothing.
    pub position: LogPosition,
    /// The inventory as the engine knew it.
    pub inventory_version: u64,
    pub decisions: &'a [Decision],
    /// Rounds of the gateway and of witnesses are not kept.
    pub rounds: &'a [RoundBatch],
    pub highwaters: &'a [Highwater],
    /// What the batches of this turn told that their agents lost.
    pub gaps: &'a [AgentGap],
    pub metrics: &'a [MetricBatch],
    /// The engine's state at `position`.
    pub checkpoint: Option<&'a [u8]>,
}

/// How far the store has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub position: LogPosition,
    pub inventory_version: u64,
    /// The last sign of life of the server; `None` before the first.
    pub alive_at: Option<UtcMicros>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub position: LogPosition,
    pub bytes: Vec<u8>,
    pub at: UtcMicros,
}

/// A new epoch for an agent. Higher than any it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochGrant {
    pub epoch: u64,
    /// The agent had another spool before: wiped, or its identity was copied.
    pub is_new_spool: bool,
}

/// What is known of an agent's epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochKnown {
    /// The newest granted, when, and the spool that it was granted to.
    pub epoch: u64,
    pub granted_at: UtcMicros,
    pub spool_id: Vec<u8>,
    /// The newest that this spool is known to have taken; 0 if none.
    pub used: u64,
}

/// Something that an agent lost, named by the batch that told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentGap {
    pub agent: AgentId,
    pub epoch: u64,
    pub seq: u64,
    /// Of the batch's, from 0.
    pub part: u32,
    pub gap: Gap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentGapRow {
    pub agent: AgentRef,
    pub gap: Gap,
}

/// What agents lost of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentGaps {
    /// The newest first.
    pub rows: Vec<AgentGapRow>,
    /// There are more than fit into one answer: those that ended before this are not in it.
    pub known_from: Option<UtcMicros>,
}

/// Whose history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// All agents together, and each of them.
    Each,
    /// All agents together only.
    Together,
}

impl Who {
    /// The agent in the key of a series: 0 for all together, `None` for any.
    pub(crate) fn agent(self) -> Option<u32> {
        match self {
            Who::Each => None,
            Who::Together => Some(0),
        }
    }
}

/// A time in which the monitoring itself did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonitorGap {
    pub from: UtcMicros,
    pub to: UtcMicros,
    pub cause: Cause,
}

/// A time in which an agent judged nobody: offline or blind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentOutage {
    pub agent: AgentRef,
    pub state: AgentState,
    pub from: UtcMicros,
    /// `None` while it lasts.
    pub to: Option<UtcMicros>,
    pub why: String,
}

/// What may go.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// A tier with times of its own keeps so many days before this.
    pub now: UtcMicros,
    pub rounds_before: UtcMicros,
    pub minutes_before: UtcMicros,
    pub rollups_before: RollupsBefore,
    /// Ended verdict spans, agent events and monitor gaps.
    pub changes_before: UtcMicros,
    /// Incidents that are over, with everything about them.
    pub incidents_before: UtcMicros,
    /// Facts that were not seen since.
    pub facts_before: UtcMicros,
    /// The audit log, and of deleted things their names and their place in the change log.
    pub audit_before: UtcMicros,
    /// Highwaters that were not raised since: older than anything a spool still holds.
    pub highwaters_before: UtcMicros,
}

/// Up to when roll-ups are forgotten.
#[derive(Clone, Copy, Debug)]
pub struct RollupsBefore {
    /// What each agent recorded.
    pub pair_fives: UtcMicros,
    /// Also its days.
    pub pair_hours: UtcMicros,
    /// All agents together.
    pub all_fives: UtcMicros,
    pub all_hours: UtcMicros,
    pub all_days: UtcMicros,
}

impl RollupsBefore {
    /// The oldest of them.
    pub fn oldest(&self) -> UtcMicros {
        let RollupsBefore { pair_fives, pair_hours, all_fives, all_hours, all_days } = *self;
        pair_fives.min(pair_hours).min(all_fives).min(all_hours).min(all_days)
    }
}

/// What one step of a sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    pub rounds: u64,
    pub minutes: u64,
    /// Of metrics.
    pub samples: u64,
    pub rollups: u64,
    pub changes: u64,
    pub audited: u64,
    /// Nothing was left to delete.
    pub is_done: bool,
}

impl Retained {
    /// Counts records of a kind of chunks.
    pub(crate) fn add(&mut self, kind: u8, records: u64) {
        let count = match kind {
            RoundRecord::KIND => &mut self.rounds,
            MinuteRecord::KIND => &mut self.minutes,
            MetricRecord::KIND => &mut self.samples,
            _ => &mut self.rollups,
        };
        *count = count.saturating_add(records);
    }
}

/// What is kept of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Rounds, or minutes.
    pub records: u64,
    /// Of chunks, or of the tail.
    pub bytes: u64,
    pub chunks: u64,
}

/// What is kept of the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistorySize {
    pub rounds: Kept,
    pub minutes: Kept,
    /// Roll-ups of what each agent recorded.
    pub pair_fives: Kept,
    pub pair_hours: Kept,
    pub pair_days: Kept,
    /// Roll-ups of all agents together.
    pub all_fives: Kept,
    pub all_hours: Kept,
    pub all_days: Kept,
    pub metrics: Kept,
    /// Roll-ups of metrics.
    pub metric_fives: Kept,
    pub metric_hours: Kept,
    pub metric_days: Kept,
    /// Not in chunks yet.
    pub tail: Kept,
}

/// What one step of [`crate::Store::compact`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Records that went from the tail into chunks.
    pub sealed: u64,
    /// Chunks that became part of others.
    pub merged: u64,
    /// Hours and days of a group of targets that were rolled up.
    pub rolled: u64,
    /// Damaged chunks of roll-ups that are made anew, all of them or in part.
    pub rebuilt: u64,
    /// Nothing was left to do.
    pub is_done: bool,
}

/// One change of a verdict, of an agent's state, or of what a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    pub at: UtcMicros,
    /// `None` for a change of an agent.
    pub target: Option<TargetRef>,
    /// `None` for a consensus.
    pub agent: Option<AgentRef>,
    pub kind: ChangeKind,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Verdict {
        from: Verdict,
        to: Verdict,
        cause: Cause,
    },
    Agent {
        from: AgentState,
        to: AgentState,
    },
    /// As one agent found it.
    Name {
        name: Hostname,
        from: IpAddr,
        to: IpAddr,
    },
}

/// The stored minutes of one entity, oldest first. A minute that is not there was not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinuteSeries {
    /// `None` is the consensus.
    pub agent: Option<AgentRef>,
    pub minutes: Vec<MinuteTruth>,
}

/// The roll-ups of one entity, by the first minute of their span. One that is not there has nothing
/// that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupSeries {
    /// `None` is the consensus.
    pub agent: Option<AgentRef>,
    pub rollups: BTreeMap<Minute, ToldRollup>,
}

/// How often each mean of a round was seen in some days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayMeans {
    pub means: Sketch,
    /// Days with answers of which nothing was counted: they were rolled up by a version before.
    pub uncounted: u32,
}

/// A series of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSeries {
    pub id: u32,
    pub name: MetricName,
    pub labels: Labels,
    pub kind: MetricKind,
}

#[derive(Clone, Debug)]
pub struct RoundQuery {
    pub probe: ProbeId,
    /// `None`: all.
    pub agent: Option<AgentId>,
    pub from: UtcMicros,
    /// Excluded.
    pub to: UtcMicros,
    pub after: Option<RoundCursor>,
    pub limit: u32,
}

/// A place between two rounds of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoundCursor {
    pub at: UtcMicros,
    pub agent: AgentId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundRow {
    pub agent: AgentRef,
    pub round: Round,
}

#[derive(Clone, Debug)]
pub struct RoundPage {
    pub rows: Vec<RoundRow>,
    pub next: Option<RoundCursor>,
    /// Rounds that were decoded for it: those of the page, and what lies beside them.
    pub decoded: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    pub newest_round_at: Option<UtcMicros>,
    pub newest_minute: Option<Minute>,
}

/// Minutes of a range in which nothing at all was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinuteGaps {
    /// Runs of them, oldest first: the first minute of each, and how many.
    pub runs: Vec<(Minute, u32)>,
}

impl MinuteGaps {
    pub fn missing(&self) -> u32 {
        self.runs.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The length of the longest run, in minutes.
    pub fn largest(&self) -> u32 {
        self.runs.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }
}
