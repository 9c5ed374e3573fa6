//! The vocabulary of Faultline: ids, units, tiers, probes, rounds, verdicts.
//!
//! Everything here is a plain value. There is no clock, no socket, no randomness and no
//! serialisation format beyond a pinned text form for leaf values: a thing that arrives from
//! outside is parsed once into these types and trusted afterwards.

pub mod address;
pub mod capability;
pub mod gap;
pub mod id;
pub mod incident;
pub mod inventory;
pub mod kept;
pub mod maintenance;
pub mod metric;
pub mod name;
pub mod nearest;
pub mod plan;
pub mod recurrence;
pub mod role;
pub mod rollup;
pub mod round;
pub mod sketch;
pub mod tier;
pub mod time;
pub mod times;
pub mod topology;
mod trace;
pub mod verdict;

pub use address::{Address, AddressError, Hostname};
pub use capability::Capabilities;
pub use gap::{DropCause, Gap};
pub use id::{
    AgentId, ApiKeyId, IncidentId, MaintenanceId, OrgId, ProbeId, TargetId, TierId, TraceId,
    UserId, WebhookId,
};
pub use incident::{CauseCode, EntryKind, IncidentState, Severity};
pub use inventory::{AgentSpec, InventoryChange, ProbeSpec};
pub use kept::{Kept, KeptDays, KeptError};
pub use maintenance::{Amended, Cover, CoverKind, Occurrence, Window, WindowError, Zone};
pub use metric::{
    Count, CounterRollup, GaugeRollup, Labels, MetricBatch, MetricError, MetricKind, MetricName,
    MetricRollup, MetricSample, MetricSubject, MetricValue, Reading, Step,
};
pub use name::{Name, NameError};
pub use nearest::nearest;
pub use plan::Plan;
pub use recurrence::{Day, Rule, RuleError};
pub use role::Role;
pub use rollup::{Rollup, Span, StateMinutes, ToldRollup, Worst};
pub use round::{
    AgentEvent, Confirm, IcmpError, LogPosition, MonitorEvent, NameAnswer, NameSeen, NotAsked,
    Outcome, Round, RoundBatch, RoundFlags, Rtt, Subject, WITNESSES_MAX,
};
pub use sketch::{Scale, Sketch};
pub use tier::{LossRule, RttRule, Strategy, Tier, TierError};
pub use time::{Minute, Tick, UtcMicros};
pub use times::{RttSteps, Rtts, Times};
pub use topology::{ElementKind, ElementRole, FactKind, FaultMode, PathSource};
pub use trace::{
    HopAnswer, HopEnding, HopNote, TraceEnd, TraceHop, TraceOptions, TraceOptionsError,
    TraceProtocol, TraceState, TraceWhy,
};
pub use verdict::{
    AgentState, AgentStateChange, Cause, Decision, DecisionKind, Entity, MinuteCounts, MinuteTruth,
    NameChange, Verdict, VerdictChange, Wakeup, Why,
};
