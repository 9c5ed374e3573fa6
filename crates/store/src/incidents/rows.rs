//! The rows of incidents, and what is kept of them as JSON.

use model::{
    CauseCode, ElementKind, EntryKind, FaultMode, IncidentId, IncidentState, LogPosition, Name,
    Severity, UserId, UtcMicros,
};
use serde::{Deserialize, Serialize};

use crate::NewMessage;

/// What is believed of an incident, with what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentBody {
    /// The likeliest first.
    pub causes: Vec<CauseBody>,
    /// That it is none of them.
    pub other_probability: f64,
    pub impact: ImpactBody,
    /// Targets whose alert it stands for; some of them.
    pub suppressed: Vec<SuppressedBody>,
    pub suppressed_total: usize,
}

/// A cause, or a class of causes that nothing observed tells apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseBody {
    pub elements: Vec<String>,
    pub kind: ElementKind,
    pub mode: FaultMode,
    pub loss_ppm: Option<u32>,
    pub rtt_us_added: Option<i64>,
    pub probability: f64,
    pub evidence: Vec<EvidenceBody>,
    pub to_disambiguate: Option<String>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceBody {
    pub supports: bool,
    pub log_ratio: f64,
    pub text: String,
    /// Agent and target of pairs it rests on.
    pub refs: Vec<(String, String)>,
}

/// Whom it hits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactBody {
    pub targets_down: u32,
    pub targets_degraded: u32,
    pub weight: u64,
    pub weight_total: u64,
    pub devices: Vec<String>,
    pub devices_total: usize,
    pub devices_exposed: Vec<String>,
    pub devices_exposed_total: usize,
    pub customers: u64,
    pub services: u64,
}

/// A target that nobody is told of by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressedBody {
    pub target: String,
    pub reason: String,
}

/// An incident as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentRow {
    pub id: IncidentId,
    pub state: IncidentState,
    pub severity: Severity,
    pub opened_at: UtcMicros,
    /// It began after the first and not after the second.
    pub onset: (UtcMicros, UtcMicros),
    pub resolved_at: Option<UtcMicros>,
    pub closed_at: Option<UtcMicros>,
    pub close_code: Option<CauseCode>,
    pub merged_into: Option<IncidentId>,
    pub revision: u32,
    pub sentence: String,
    pub targets_down: u32,
    pub targets_degraded: u32,
    pub weight: u64,
    /// Empty for nobody.
    pub owner: String,
    pub acknowledged_at: Option<UtcMicros>,
    /// Empty for nobody.
    pub acknowledged_by: String,
    pub inventory_version: u64,
    pub log_position: LogPosition,
    pub updated_at: UtcMicros,
}

/// What happened to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentEntry {
    pub id: u64,
    pub at: UtcMicros,
    pub kind: EntryKind,
    pub actor_kind: String,
    pub actor_name: String,
    pub note: String,
    /// Whether people outside were told.
    pub is_told: bool,
}

/// An incident with everything about it.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentFull {
    pub row: IncidentRow,
    pub body: IncidentBody,
    /// Oldest first.
    pub entries: Vec<IncidentEntry>,
}

/// What was believed from some moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentRevision {
    pub revision: u32,
    pub at: UtcMicros,
    /// What changed.
    pub why: String,
    pub sentence: String,
    pub body: IncidentBody,
    pub inventory_version: u64,
    pub log_position: LogPosition,
}

/// Which incidents; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct IncidentQuery {
    pub state: Option<IncidentState>,
    /// Open at this moment or later.
    pub since: Option<UtcMicros>,
    /// An element that it ever named.
    pub element: Option<String>,
    /// A target that it ever stood for.
    pub target: Option<String>,
    /// A user's name; empty for nobody's.
    pub owner: Option<String>,
    /// Those before this one.
    pub before: Option<IncidentId>,
    pub limit: u32,
}

/// Some incidents, newest first.
#[derive(Clone, Debug, Default)]
pub struct IncidentPage {
    pub rows: Vec<IncidentRow>,
    pub next: Option<IncidentId>,
    /// Of all, whatever is asked for.
    pub open: u64,
    pub unacknowledged: u64,
}

/// What a process goes on with.
#[derive(Clone, Debug, Default)]
pub struct IncidentsKept {
    /// The number of the next incident.
    pub next: u32,
    /// Those that are followed and those that were resolved lately, oldest first.
    pub incidents: Vec<IncidentKept>,
}

/// An incident that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentKept {
    pub row: IncidentRow,
    pub is_followed: bool,
    pub body: IncidentBody,
    /// Agent and target of pairs that have to answer before it is over.
    pub pairs: Vec<(String, String)>,
}

/// What one judgement changes: written as a whole, and once.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentTurn {
    /// Which process judged, and its how manieth turn this is.
    pub run: u64,
    pub turn: u64,
    /// When.
    pub at: UtcMicros,
    pub inventory_version: u64,
    pub log_position: LogPosition,
    /// The number of the next incident after it.
    pub next: u32,
    pub saves: Vec<IncidentSave>,
}

/// One incident as a judgement leaves it.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentSave {
    pub id: IncidentId,
    pub step: IncidentStep,
    /// What is said of the step in the timeline.
    pub note: String,
    pub revision: u32,
    pub severity: Severity,
    pub onset: (UtcMicros, UtcMicros),
    pub sentence: String,
    pub body: IncidentBody,
    pub pairs: Vec<(String, String)>,
    /// What people outside are told of it.
    pub message: Option<NewMessage>,
}

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentStep {
    /// Its figures are newer, and nothing else.
    Refreshed,
    Revised,
    Opened,
    Reopened,
    CauseChanged,
    Resolved,
    /// Into another, if people know that.
    Merged {
        into: Option<IncidentId>,
    },
}

/// What a person does to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentAct {
    Acknowledge,
    /// To a user, or to nobody.
    Assign(Option<(UserId, Name)>),
    Comment(String),
    Close {
        code: CauseCode,
        note: String,
    },
    Reopen {
        note: String,
    },
}
