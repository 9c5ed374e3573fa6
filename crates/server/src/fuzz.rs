//! The decoders of this crate as a fuzzer calls them: bytes in, a property that must hold, and
//! whether the bytes were taken. They panic if the property breaks. Nothing else calls them.

use http::{HeaderMap, HeaderName, HeaderValue};
use model::{
    AgentEvent, AgentId, Capabilities, DropCause, Gap, InventoryChange, Labels, MetricBatch,
    MetricName, MetricSample, MetricSubject, MetricValue, MonitorEvent, Name, Reading, Tier,
    TierId, UtcMicros,
};

use crate::{
    app::import::{self, RawRow},
    authority, http as api,
    log::{self, BatchBody, Body},
};

/// An entry of the log: what is read is written as the same.
pub fn log_entry(bytes: &[u8]) -> bool {
    let Ok(entry) = log::decode(bytes.to_vec().into()) else { return false };
    let written = log::encode(entry.now, &entry.body);
    let again = log::decode(written.into());
    assert_eq!(again.ok(), Some(entry), "written and read");
    true
}

/// Entries as the log writes them.
pub fn log_entry_seeds() -> Vec<Vec<u8>> {
    let batch = BatchBody {
        agent: AgentId(7),
        epoch: 2,
        seq: 3,
        offset_us: -5,
        payload_zstd: bytes::Bytes::from_static(b"payload"),
        gaps: vec![Gap { from: UtcMicros(1), to: UtcMicros(2), rounds: 3, cause: DropCause::Size }],
    };
    let mut changes = vec![InventoryChange::AgentRemoved(AgentId(6))];
    if let Ok(name) = Name::parse("standard") {
        changes.push(InventoryChange::TierSet(Tier::standard(TierId(1), name)));
    }
    let down_since = Some(UtcMicros(4));
    let bodies = [
        Body::Batch(batch),
        Body::Agent { agent: AgentId(1), event: AgentEvent::Heartbeat },
        Body::Agent { agent: AgentId(1), event: AgentEvent::Hello(Capabilities::ICMP_V4) },
        Body::Inventory { version: Some(12), changes },
        Body::Monitor(MonitorEvent::Started { down_since }),
        Body::Metrics(MetricBatch {
            subject: MetricSubject::Agent(AgentId(1)),
            samples: samples(),
        }),
        Body::Tick,
    ];
    bodies.iter().map(|body| log::encode(UtcMicros(9), body)).collect()
}

fn samples() -> Vec<MetricSample> {
    let name = MetricName::parse("agent_probes").ok();
    let value = MetricValue::Gauge(Reading::from(7));
    let sample = |name| MetricSample { name, labels: Labels::default(), at: UtcMicros(1), value };
    name.map(sample).into_iter().collect()
}

/// A CSV import.
pub fn csv_import(bytes: &[u8]) -> bool {
    import::read_csv(bytes).is_ok_and(|rows| check_rows(&rows))
}

/// A JSON import.
pub fn json_import(bytes: &[u8]) -> bool {
    api::import_rows(bytes).is_ok_and(|rows| check_rows(&rows))
}

/// A row is taken with what it says, or refused with a reason.
fn check_rows(rows: &[RawRow]) -> bool {
    assert!(rows.len() <= import::ROWS_MAX, "too many rows");
    for row in rows {
        match import::parse_row(row) {
            Ok(good) => assert_eq!(good.name.as_str(), row.name, "another name"),
            Err(reasons) => assert!(!reasons.is_empty(), "refused without a reason: {row:?}"),
        }
    }
    true
}

/// Headers of a request, a line each: who it says it is from, and for whom it asks.
pub fn headers(bytes: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':').map(<[u8]>::trim_ascii);
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    api::is_understood(&headers)
}

/// A request for a certificate, from somebody who showed a token.
pub fn certificate_request(bytes: &[u8]) -> bool {
    authority::parse_request(bytes).is_ok()
}
