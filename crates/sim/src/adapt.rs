//! How the simulated agent and server call the real rooms.

use std::net::IpAddr;

use engine::Engine;
use model::{Entity, Minute, NotAsked, Outcome, Round, Subject, Tick, UtcMicros};
use sense::{Config, Key, Prober, RoundRecord, icmp};
use wire::rounds::RoundRow;

use crate::{
    Defect,
    rng::Rng,
    server::{Entry, Heard},
};

/// Makes a prober whose identifier and key are drawn, like those of a process.
pub(crate) fn prober(rng: &mut Rng) -> Prober {
    let mut key = [0; 16];
    for half in key.chunks_exact_mut(8) {
        half.copy_from_slice(&rng.next().to_le_bytes());
    }
    let ident = u16::try_from(rng.between(1, u64::from(u16::MAX))).unwrap_or(1);
    Prober::new(Config { ident }, Key::new(key))
}

/// Sends what is due. `carry` gets each packet that left, and the answer its destination would
/// give.
pub(crate) fn transmit(
    prober: &mut Prober,
    may_send: bool,
    now: Tick,
    mut carry: impl FnMut(IpAddr, Vec<u8>),
) {
    let mut packet = Vec::new();
    while let Some(transmit) = prober.poll_transmit(now, &mut packet) {
        if may_send {
            prober.handle_sent(transmit.token, Ok(now));
            carry(transmit.to, reply(&packet));
        } else {
            prober.handle_sent(transmit.token, Err(NotAsked::Permission));
        }
    }
}

/// What a host answers to an ICMPv4 echo request: the same, with another type (RFC 792).
pub(crate) fn reply(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    if let Some((header, _)) = reply.split_first_chunk_mut::<4>() {
        *header = [0; 4];
    }
    let [high, low] = icmp::checksum(&reply).to_be_bytes();
    if let Some((header, _)) = reply.split_first_chunk_mut::<4>() {
        *header = [0, 0, high, low];
    }
    reply
}

/// Closes rounds into the bytes of a batch.
pub(crate) fn seal(rounds: &[RoundRecord]) -> Vec<u8> {
    let rows: Vec<RoundRow> = rounds
        .iter()
        .map(|record| RoundRow {
            subject: record.subject,
            due_tick: record.due,
            outcome: record.outcome,
            flags: record.flags,
            icmp_error: record.icmp_error,
            address: record.address,
        })
        .collect();
    let rounds = wire::rounds::encode_rounds(&rows);
    let payload = wire::v1::Payload { kind: Some(wire::v1::payload::Kind::Rounds(rounds)) };
    wire::seal(&payload).unwrap_or_default()
}

/// Opens the bytes of a batch and places its rounds on the server's time.
pub(crate) fn open(payload_zstd: &[u8], offset_us: i64) -> Vec<Round> {
    let payload = wire::open(payload_zstd).unwrap_or_default();
    let Some(wire::v1::payload::Kind::Rounds(rounds)) = payload.kind else {
        return Vec::new();
    };
    let rows = wire::rounds::decode_rounds(&rounds).unwrap_or_default();
    let place = |row: RoundRow| Round {
        subject: row.subject,
        at: UtcMicros(i64::try_from(row.due_tick.0).unwrap_or(i64::MAX).saturating_add(offset_us)),
        outcome: row.outcome,
        flags: row.flags,
        icmp_error: row.icmp_error,
    };
    rows.into_iter().map(place).collect()
}

/// Packets of one pair that the engine heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeardSent {
    /// In rounds up to the last closed minute, each batch once.
    pub(crate) once: u64,
    /// In all rounds, each batch once.
    pub(crate) all_time: u64,
}

/// Counts packets in the log, each (agent, epoch, seq) once.
pub(crate) fn heard_sent(log: &[Entry], entity: Entity, last: Minute) -> HeardSent {
    let mut seen = std::collections::BTreeSet::new();
    let mut heard = HeardSent::default();
    for entry in log {
        let Heard::Batch { batch, epoch, seq } = &entry.heard else {
            continue;
        };
        if Some(batch.agent) != entity.agent() || !seen.insert((*epoch, *seq)) {
            continue;
        }
        for round in &batch.rounds {
            if let Outcome::Asked { sent, .. } = round.outcome
                && round.subject == Subject::Probe(entity.probe())
            {
                heard.all_time += u64::from(sent);
                if round.at.minute() <= last {
                    heard.once += u64::from(sent);
                }
            }
        }
    }
    heard
}

/// Builds the mistake in, if it is one of the engine's.
pub(crate) fn with_defect(engine: Engine, defect: Option<Defect>) -> Engine {
    match defect {
        #[cfg(feature = "defects")]
        Some(Defect::Engine(defect)) => engine.with_defect(defect),
        Some(
            Defect::AckBeforeDurable
            | Defect::DedupeLost
            | Defect::StartForgotten
            | Defect::IncidentsForgotten
            | Defect::NoticeTwice
            | Defect::AllSuppressed
            | Defect::RootBlamed,
        )
        | None => engine,
    }
}
