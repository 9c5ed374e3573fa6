//! Entries as bytes: protobuf messages of this crate's own, so that fields can be added.
//!
//! Values are parsed into the model when they are read: what does not parse is an error that
//! names what, never a guess.

use std::time::Duration;

use bytes::Bytes;
use model::{
    Address, AgentEvent, AgentId, AgentSpec, Capabilities, DropCause, Gap, InventoryChange,
    LossRule, MonitorEvent, Name, OrgId, ProbeId, ProbeSpec, RttRule, Strategy, TargetId, Tier,
    TierId, UtcMicros,
};
use prost::{Message, Oneof};

use super::{BatchBody, Body, LogEntry, metrics::MetricsRecord};

/// Why an entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("an entry is no message of this log")]
    Message(#[from] prost::DecodeError),
    #[error("an entry has no valid {what}")]
    Value { what: &'static str },
}

pub(super) fn bad(what: &'static str) -> RecordError {
    RecordError::Value { what }
}

#[derive(Clone, PartialEq, Message)]
struct EntryRecord {
    #[prost(int64, tag = "1")]
    now_us: i64,
    #[prost(oneof = "BodyRecord", tags = "2, 3, 4, 5, 6, 7")]
    body: Option<BodyRecord>,
}

#[derive(Clone, PartialEq, Oneof)]
enum BodyRecord {
    #[prost(message, tag = "2")]
    Batch(BatchRecord),
    #[prost(message, tag = "3")]
    Agent(AgentEventRecord),
    #[prost(message, tag = "4")]
    Inventory(InventoryRecord),
    #[prost(message, tag = "5")]
    Monitor(MonitorRecord),
    #[prost(message, tag = "6")]
    Tick(TickRecord),
    #[prost(message, tag = "7")]
    Metrics(MetricsRecord),
}

#[derive(Clone, PartialEq, Message)]
struct BatchRecord {
    #[prost(uint32, tag = "1")]
    agent: u32,
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    seq: u64,
    #[prost(sint64, tag = "4")]
    offset_us: i64,
    #[prost(bytes = "bytes", tag = "5")]
    payload_zstd: Bytes,
    #[prost(message, repeated, tag = "6")]
    gaps: Vec<GapRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct GapRecord {
    #[prost(int64, tag = "1")]
    from_us: i64,
    #[prost(int64, tag = "2")]
    to_us: i64,
    #[prost(uint64, tag = "3")]
    rounds: u64,
    #[prost(string, tag = "4")]
    cause: String,
}

#[derive(Clone, PartialEq, Message)]
struct AgentEventRecord {
    #[prost(uint32, tag = "1")]
    agent: u32,
    /// 1 heartbeat, 2 disconnected, 3 hello.
    #[prost(uint32, tag = "2")]
    event: u32,
    /// Of a hello.
    #[prost(uint32, tag = "3")]
    capabilities: u32,
}

#[derive(Clone, PartialEq, Message)]
struct InventoryRecord {
    #[prost(uint64, optional, tag = "1")]
    version: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<ChangeRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ChangeRecord {
    #[prost(oneof = "ChangeKindRecord", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<ChangeKindRecord>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ChangeKindRecord {
    #[prost(message, tag = "1")]
    TierSet(TierRecord),
    #[prost(uint32, tag = "2")]
    TierRemoved(u32),
    #[prost(message, tag = "3")]
    ProbeSet(ProbeRecord),
    #[prost(uint32, tag = "4")]
    ProbeRemoved(u32),
    #[prost(message, tag = "5")]
    AgentSet(AgentRecord),
    #[prost(uint32, tag = "6")]
    AgentRemoved(u32),
}

#[derive(Clone, PartialEq, Message)]
struct TierRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    interval_us: u64,
    #[prost(uint32, tag = "4")]
    packets: u32,
    #[prost(uint64, tag = "5")]
    gap_us: u64,
    #[prost(uint64, tag = "6")]
    timeout_us: u64,
    #[prost(uint32, tag = "7")]
    payload_bytes: u32,
    /// 0 is every agent.
    #[prost(uint32, tag = "8")]
    agent_count: u32,
    #[prost(uint32, tag = "9")]
    lost_raise: u32,
    #[prost(uint32, tag = "10")]
    lost_clear: u32,
    #[prost(uint32, tag = "11")]
    rtt_us_raise: u32,
    #[prost(uint32, tag = "12")]
    rtt_us_clear: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ProbeRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint32, tag = "2")]
    org: u32,
    #[prost(uint32, tag = "3")]
    target: u32,
    #[prost(string, tag = "4")]
    target_name: String,
    #[prost(string, tag = "5")]
    address: String,
    #[prost(uint32, tag = "6")]
    tier: u32,
    #[prost(bool, tag = "7")]
    paused: bool,
}

#[derive(Clone, PartialEq, Message)]
struct AgentRecord {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(uint32, tag = "2")]
    org: u32,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(bool, tag = "4")]
    is_active: bool,
}

#[derive(Clone, PartialEq, Message)]
struct MonitorRecord {
    /// 1 started, 2 clock stepped forward, 3 clock stepped backward.
    #[prost(uint32, tag = "1")]
    event: u32,
    #[prost(int64, optional, tag = "2")]
    down_since_us: Option<i64>,
    #[prost(uint64, tag = "3")]
    stepped_us: u64,
}

#[derive(Clone, PartialEq, Message)]
struct TickRecord {}

/// Writes an entry as bytes.
pub(crate) fn encode(now: UtcMicros, body: &Body) -> Vec<u8> {
    let body = match body {
        Body::Batch(batch) => BodyRecord::Batch(BatchRecord {
            agent: batch.agent.0,
            epoch: batch.epoch,
            seq: batch.seq,
            offset_us: batch.offset_us,
            payload_zstd: batch.payload_zstd.clone(),
            gaps: batch.gaps.iter().map(GapRecord::from).collect(),
        }),
        Body::Agent { agent, event } => {
            let (event, capabilities) = match event {
                AgentEvent::Heartbeat => (1, 0),
                AgentEvent::Disconnected => (2, 0),
                AgentEvent::Hello(capabilities) => (3, capabilities.0.into()),
            };
            BodyRecord::Agent(AgentEventRecord { agent: agent.0, event, capabilities })
        }
        Body::Inventory { version, changes } => BodyRecord::Inventory(InventoryRecord {
            version: *version,
            changes: changes.iter().map(|c| ChangeRecord { kind: Some(c.into()) }).collect(),
        }),
        Body::Monitor(event) => BodyRecord::Monitor(MonitorRecord::from(*event)),
        Body::Metrics(batch) => BodyRecord::Metrics(batch.into()),
        Body::Tick => BodyRecord::Tick(TickRecord {}),
    };
    EntryRecord { now_us: now.0, body: Some(body) }.encode_to_vec()
}

/// Reads an entry back.
///
/// # Errors
///
/// [`RecordError`] naming what is not valid.
pub(crate) fn decode(bytes: Bytes) -> Result<LogEntry, RecordError> {
    let record = EntryRecord::decode(bytes)?;
    let body = match record.body.ok_or(bad("kind"))? {
        BodyRecord::Batch(batch) => Body::Batch(BatchBody {
            agent: AgentId(batch.agent),
            epoch: batch.epoch,
            seq: batch.seq,
            offset_us: batch.offset_us,
            payload_zstd: batch.payload_zstd,
            gaps: batch.gaps.into_iter().map(Gap::try_from).collect::<Result<_, _>>()?,
        }),
        BodyRecord::Agent(record) => {
            let event = match record.event {
                1 => AgentEvent::Heartbeat,
                2 => AgentEvent::Disconnected,
                3 => AgentEvent::Hello(capabilities(record.capabilities)?),
                _ => return Err(bad("agent event")),
            };
            Body::Agent { agent: AgentId(record.agent), event }
        }
        BodyRecord::Inventory(record) => {
            let kinds = record.changes.into_iter();
            let changes = kinds.map(|c| c.kind.ok_or(bad("change"))?.try_into());
            Body::Inventory {
                version: record.version,
                changes: changes.collect::<Result<_, RecordError>>()?,
            }
        }
        BodyRecord::Monitor(record) => Body::Monitor(record.try_into()?),
        BodyRecord::Metrics(record) => Body::Metrics(record.try_into()?),
        BodyRecord::Tick(TickRecord {}) => Body::Tick,
    };
    Ok(LogEntry { now: UtcMicros(record.now_us), body })
}

impl From<&Gap> for GapRecord {
    fn from(gap: &Gap) -> GapRecord {
        GapRecord {
            from_us: gap.from.0,
            to_us: gap.to.0,
            rounds: gap.rounds,
            cause: gap.cause.as_str().to_owned(),
        }
    }
}

impl TryFrom<GapRecord> for Gap {
    type Error = RecordError;

    fn try_from(record: GapRecord) -> Result<Gap, RecordError> {
        Ok(Gap {
            from: UtcMicros(record.from_us),
            to: UtcMicros(record.to_us),
            rounds: record.rounds,
            cause: DropCause::parse(&record.cause).ok_or(bad("cause of a gap"))?,
        })
    }
}

impl From<MonitorEvent> for MonitorRecord {
    fn from(event: MonitorEvent) -> MonitorRecord {
        match event {
            MonitorEvent::Started { down_since } => {
                MonitorRecord { event: 1, down_since_us: down_since.map(|at| at.0), stepped_us: 0 }
            }
            MonitorEvent::ClockStepped { forward, by } => MonitorRecord {
                event: if forward { 2 } else { 3 },
                down_since_us: None,
                stepped_us: in_us(by),
            },
        }
    }
}

impl TryFrom<MonitorRecord> for MonitorEvent {
    type Error = RecordError;

    fn try_from(record: MonitorRecord) -> Result<MonitorEvent, RecordError> {
        let by = Duration::from_micros(record.stepped_us);
        match record.event {
            1 => Ok(MonitorEvent::Started { down_since: record.down_since_us.map(UtcMicros) }),
            2 => Ok(MonitorEvent::ClockStepped { forward: true, by }),
            3 => Ok(MonitorEvent::ClockStepped { forward: false, by }),
            _ => Err(bad("monitor event")),
        }
    }
}

impl From<&InventoryChange> for ChangeKindRecord {
    fn from(change: &InventoryChange) -> ChangeKindRecord {
        match change {
            InventoryChange::TierSet(tier) => ChangeKindRecord::TierSet(tier.into()),
            InventoryChange::TierRemoved(id) => ChangeKindRecord::TierRemoved(id.0),
            InventoryChange::ProbeSet(probe) => ChangeKindRecord::ProbeSet(ProbeRecord {
                id: probe.id.0,
                org: probe.org.0,
                target: probe.target.0,
                target_name: probe.target_name.to_string(),
                address: probe.address.to_string(),
                tier: probe.tier.0,
                paused: probe.paused,
            }),
            InventoryChange::ProbeRemoved(id) => ChangeKindRecord::ProbeRemoved(id.0),
            InventoryChange::AgentSet(agent) => ChangeKindRecord::AgentSet(AgentRecord {
                id: agent.id.0,
                org: agent.org.0,
                name: agent.name.to_string(),
                is_active: agent.is_active,
            }),
            InventoryChange::AgentRemoved(id) => ChangeKindRecord::AgentRemoved(id.0),
        }
    }
}

impl TryFrom<ChangeKindRecord> for InventoryChange {
    type Error = RecordError;

    fn try_from(record: ChangeKindRecord) -> Result<InventoryChange, RecordError> {
        Ok(match record {
            ChangeKindRecord::TierSet(tier) => InventoryChange::TierSet(tier.try_into()?),
            ChangeKindRecord::TierRemoved(id) => InventoryChange::TierRemoved(TierId(id)),
            ChangeKindRecord::ProbeSet(probe) => InventoryChange::ProbeSet(ProbeSpec {
                id: ProbeId(probe.id),
                org: OrgId(probe.org),
                target: TargetId(probe.target),
                target_name: name(&probe.target_name)?,
                address: Address::parse(&probe.address).map_err(|_| bad("address"))?,
                tier: TierId(probe.tier),
                paused: probe.paused,
            }),
            ChangeKindRecord::ProbeRemoved(id) => InventoryChange::ProbeRemoved(ProbeId(id)),
            ChangeKindRecord::AgentSet(agent) => InventoryChange::AgentSet(AgentSpec {
                id: AgentId(agent.id),
                org: OrgId(agent.org),
                name: name(&agent.name)?,
                is_active: agent.is_active,
            }),
            ChangeKindRecord::AgentRemoved(id) => InventoryChange::AgentRemoved(AgentId(id)),
        })
    }
}

impl From<&Tier> for TierRecord {
    fn from(tier: &Tier) -> TierRecord {
        TierRecord {
            id: tier.id.0,
            name: tier.name.to_string(),
            interval_us: in_us(tier.interval),
            packets: tier.packets.into(),
            gap_us: in_us(tier.gap),
            timeout_us: in_us(tier.timeout),
            payload_bytes: tier.payload_bytes.into(),
            agent_count: match tier.strategy {
                Strategy::All => 0,
                Strategy::Count(count) => count.into(),
            },
            lost_raise: tier.loss.lost_raise.into(),
            lost_clear: tier.loss.lost_clear.into(),
            rtt_us_raise: tier.rtt.us_raise,
            rtt_us_clear: tier.rtt.us_clear,
        }
    }
}

impl TryFrom<TierRecord> for Tier {
    type Error = RecordError;

    fn try_from(record: TierRecord) -> Result<Tier, RecordError> {
        let byte = |value: u32| u8::try_from(value).map_err(|_| bad("tier"));
        let tier = Tier {
            id: TierId(record.id),
            name: name(&record.name)?,
            interval: Duration::from_micros(record.interval_us),
            packets: byte(record.packets)?,
            gap: Duration::from_micros(record.gap_us),
            timeout: Duration::from_micros(record.timeout_us),
            payload_bytes: u16::try_from(record.payload_bytes).map_err(|_| bad("tier"))?,
            strategy: match byte(record.agent_count)? {
                0 => Strategy::All,
                count => Strategy::Count(count),
            },
            loss: LossRule {
                lost_raise: byte(record.lost_raise)?,
                lost_clear: byte(record.lost_clear)?,
            },
            rtt: RttRule { us_raise: record.rtt_us_raise, us_clear: record.rtt_us_clear },
        };
        tier.check().map_err(|_| bad("tier"))?;
        Ok(tier)
    }
}

/// A bit without a meaning was written by a newer version, which was refused before.
fn capabilities(bits: u32) -> Result<Capabilities, RecordError> {
    let bits = u8::try_from(bits).ok().filter(|bits| bits & !Capabilities::KNOWN.0 == 0);
    bits.map(Capabilities).ok_or(bad("capabilities"))
}

fn name(text: &str) -> Result<Name, RecordError> {
    Name::parse(text).map_err(|_| bad("name"))
}

fn in_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use model::{
        Count, Labels, MetricBatch, MetricName, MetricSample, MetricSubject, MetricValue, Reading,
    };

    use super::*;

    fn changes() -> Vec<InventoryChange> {
        let name = |text: &str| Name::parse(text).unwrap();
        let tier = Tier::standard(TierId(1), name("standard"));
        let counted = Tier { strategy: Strategy::Count(2), ..tier.clone() };
        let probe = |address: &str, paused| ProbeSpec {
            id: ProbeId(9),
            org: OrgId(1),
            target: TargetId(8),
            target_name: name("core1"),
            address: Address::parse(address).unwrap(),
            tier: TierId(1),
            paused,
        };
        vec![
            InventoryChange::TierSet(tier),
            InventoryChange::TierSet(counted),
            InventoryChange::TierRemoved(TierId(3)),
            InventoryChange::ProbeSet(probe("2001:db8::1", true)),
            InventoryChange::ProbeSet(probe("core1.example.net", false)),
            InventoryChange::ProbeRemoved(ProbeId(4)),
            InventoryChange::AgentSet(AgentSpec {
                id: AgentId(5),
                org: OrgId(1),
                name: name("fra1"),
                is_active: true,
            }),
            InventoryChange::AgentRemoved(AgentId(6)),
        ]
    }

    fn metrics() -> MetricBatch {
        let sample = |name: &str, labels: Labels, value| MetricSample {
            name: MetricName::parse(name).unwrap(),
            labels,
            at: UtcMicros(-7),
            value,
        };
        let labels = Labels::new([("stat", "p\"50")]).unwrap();
        let gauge = MetricValue::Gauge(Reading::new(0.25).unwrap());
        let count = Count { total: u64::MAX, epoch: u32::MAX, is_32_bit: true };
        MetricBatch {
            subject: MetricSubject::Agent(AgentId(3)),
            samples: vec![
                sample("agent_send_lag_seconds", labels, gauge),
                sample("agent_rounds_total", Labels::default(), MetricValue::Counter(count)),
            ],
        }
    }

    #[test]
    fn every_entry_reads_back_as_it_was_written() {
        let by = Duration::from_secs(3600);
        let batch = BatchBody {
            agent: AgentId(7),
            epoch: 2,
            seq: 3,
            offset_us: -5,
            payload_zstd: Bytes::from_static(b"payload"),
            gaps: vec![Gap {
                from: UtcMicros(-1),
                to: UtcMicros(7),
                rounds: 9,
                cause: DropCause::Size,
            }],
        };
        let bodies = [
            Body::Batch(batch),
            Body::Agent { agent: AgentId(1), event: AgentEvent::Heartbeat },
            Body::Agent { agent: AgentId(1), event: AgentEvent::Disconnected },
            Body::Agent { agent: AgentId(1), event: AgentEvent::Hello(Capabilities::ICMP_V6) },
            Body::Inventory { version: Some(12), changes: changes() },
            Body::Inventory { version: None, changes: Vec::new() },
            Body::Monitor(MonitorEvent::Started { down_since: None }),
            Body::Monitor(MonitorEvent::Started { down_since: Some(UtcMicros(4)) }),
            Body::Monitor(MonitorEvent::ClockStepped { forward: true, by }),
            Body::Monitor(MonitorEvent::ClockStepped { forward: false, by }),
            Body::Metrics(metrics()),
            Body::Tick,
        ];
        for body in bodies {
            let entry = decode(encode(UtcMicros(-9), &body).into()).unwrap();
            assert_eq!(entry, LogEntry { now: UtcMicros(-9), body });
        }
    }

    #[test]
    fn what_does_not_parse_is_named() {
        let record = |body| EntryRecord { now_us: 0, body }.encode_to_vec();
        let no_kind = decode(record(None).into()).unwrap_err();
        assert_eq!(no_kind.to_string(), "an entry has no valid kind");
        let event = BodyRecord::Agent(AgentEventRecord { agent: 1, event: 9, capabilities: 0 });
        let bad_event = decode(record(Some(event)).into()).unwrap_err();
        assert_eq!(bad_event.to_string(), "an entry has no valid agent event");
        assert!(matches!(decode(Bytes::from_static(&[0xff; 9])), Err(RecordError::Message(_))));
    }
}
