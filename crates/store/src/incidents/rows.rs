//! The rows of incidents, and what is kept of them as JSON.

use model::{
    CauseCode, ElementKind, EntryKind, FaultMode, IncidentId, IncidentState, LogPosition,
    MaintenanceId, Name, Severity, TargetId, TraceId, UserId, UtcMicros,
};
use serde::{Deserialize, Serialize};

use crate::NewMessage;

/// Letters of what a person writes of an incident: a few screens.
pub const INCIDENT_NOTE_CHARS_MAX: usize = 4_000;

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
    /// Whether it is still seen, or was not seen to be over.
    pub is_followed: bool,
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
    pub maintenance: Option<Maintained>,
}

/// That an incident opened, or came back, inside of a maintenance window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maintained {
    pub window: MaintenanceId,
    /// Nobody outside was told of it since.
    pub is_silent: bool,
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
    /// The trace that it tells of, if that is still kept, and of which target it is.
    pub trace: Option<(TraceId, TargetId)>,
}

/// An incident with everything about it.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentFull {
    pub row: IncidentRow,
    pub body: IncidentBody,
    /// Agent and target of pairs that have to answer before it is over.
    pub pairs: Vec<(String, String)>,
    /// Oldest first.
    pub entries: Vec<IncidentEntry>,
}

impl IncidentFull {
    /// Names what a person sees of it: another one as soon as somebody did something to it, or it
    /// stands elsewhere. New figures alone leave it as it is.
    pub fn version(&self) -> u64 {
        let steps = self.entries.iter().filter(|entry| !entry.kind.is_detail());
        steps.map(|entry| entry.id).max().unwrap_or(0)
    }

    /// Who closed it, and when; `None` if it is not closed.
    pub fn closed_by(&self) -> Option<&IncidentEntry> {
        let is_closed = self.row.state == IncidentState::Closed;
        self.entries.iter().rfind(|entry| is_closed && entry.kind == EntryKind::Closed)
    }
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

/// In which order incidents are listed; the newest first among equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncidentSort {
    #[default]
    Newest,
    Oldest,
    /// The worst first.
    Severity,
    /// What hits the most weight first.
    Impact,
}

/// Which incidents; what is `None` or empty does not matter.
#[derive(Clone, Debug, Default)]
pub struct IncidentQuery {
    pub states: Vec<IncidentState>,
    pub severities: Vec<Severity>,
    /// Open at this moment or later.
    pub since: Option<UtcMicros>,
    /// Opened before this moment.
    pub until: Option<UtcMicros>,
    /// Found in its sentence, or its number.
    pub q: Option<String>,
    /// An element that it ever named.
    pub element: Option<String>,
    /// A target that it ever stood for.
    pub target: Option<String>,
    /// A user's name; empty for nobody's.
    pub owner: Option<String>,
    pub sort: IncidentSort,
    /// The `next` of the page before.
    pub after: Option<String>,
    pub limit: u32,
}

/// Some incidents.
#[derive(Clone, Debug, Default)]
pub struct IncidentPage {
    pub rows: Vec<IncidentRow>,
    pub next: Option<String>,
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
    /// What people outside are told beside incidents.
    pub tells: Vec<NewMessage>,
    /// What traces told of incidents that are written already.
    pub traced: Vec<IncidentTraced>,
}

/// What a trace told of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentTraced {
    pub incident: IncidentId,
    pub trace: TraceId,
    pub kind: EntryKind,
    pub at: UtcMicros,
    pub note: String,
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
    pub maintenance: Option<Maintained>,
}

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentStep {
    /// Its figures are newer, and nothing else.
    Refreshed,
    Revised,
    /// As revised, and more severe. Who closed it closed less: then it is open again, and only
    /// then the message is told.
    Worsened,
    Opened,
    Reopened,
    CauseChanged,
    Resolved,
    Merged {
        into: IncidentId,
    },
    /// It was silent, and is not back after the maintenance: that is told beside incidents, of all
    /// of a window at once.
    NotBack,
}

/// What a person does to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncidentAct {
    Acknowledge,
    /// Takes the acknowledgement back, whoever's it is.
    Unacknowledge,
    /// To a user, or to nobody.
    Assign(Option<(UserId, Name)>),
    Comment(String),
    Close {
        code: CauseCode,
        note: String,
        /// Also while it is still seen.
        is_forced: bool,
    },
    Reopen {
        note: String,
    },
}

/// Why a person cannot do that to an incident.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActRefused {
    #[error("{by} acknowledged it already, at {at}")]
    Acknowledged { by: String, at: UtcMicros },
    #[error("{by} closed it already, at {at} ({what})")]
    Closed { by: String, at: UtcMicros, what: String },
    /// It is not what the caller saw.
    #[error("since you read it, {by} {did} at {at}: read it again")]
    Changed { by: String, did: String, at: UtcMicros },
    #[error(
        "what it is about is still seen ({hits}): closed now it stays silent until that heals, \
         gets worse or has another cause; close it by force if that is meant"
    )]
    StillSeen { hits: String },
    #[error("it is open")]
    Open,
    #[error(
        "it is over since {at}: what it hit answers. If it fails again within ten minutes it is \
         reopened by itself, later it is a new incident"
    )]
    Over { at: UtcMicros },
    #[error("it is over: there is nothing to acknowledge")]
    Past,
}
