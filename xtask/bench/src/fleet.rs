//! What an agent would have measured: seeded, made and encoded before anything is sent.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use model::{Confirm, Outcome, ProbeId, RoundFlags, Rtt, Subject, Tick};
use wire::{rounds::RoundRow, v1};

/// The fast tier: the most that a fleet of a size sends.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How long after its first packet a round is known: five packets of 200 ms and 1 s of patience.
const ROUND_SPAN: Duration = Duration::from_millis(1800);
/// The agent's clock at the beginning of the play. Any value that is not small will do.
pub const TICK_BEGIN_US: u64 = 1 << 40;
const PACKETS: u8 = 5;
/// Results of a batch at most.
const BATCH_ROUNDS_MAX: usize = 1_000;
/// One packet of so many is lost, one batch of so many is late.
const LOST_ONE_IN: u64 = 200;
const LATE_ONE_IN: u64 = 100;
/// How late.
const LATE: Duration = Duration::from_secs(10);

/// A payload and when it is to be sent, since the beginning.
#[derive(Debug)]
pub struct Parcel {
    pub at: Duration,
    pub payload_zstd: Vec<u8>,
}

/// All that one agent will send, in its order.
#[derive(Debug)]
pub struct Fleet {
    pub parcels: Vec<Parcel>,
    results: u64,
}

impl Fleet {
    /// Makes `rounds` rounds of each probe, spread evenly over the interval.
    ///
    /// # Errors
    ///
    /// If a second's rounds do not fit the limits of a batch.
    pub fn new(probes: &[u32], rounds: u32, seed: u64) -> anyhow::Result<Fleet> {
        Fleet::of(probes, rounds, INTERVAL, seed)
    }

    /// The same for a tier of another interval.
    ///
    /// # Errors
    ///
    /// As [`Fleet::new`].
    pub fn of(probes: &[u32], rounds: u32, interval: Duration, seed: u64) -> anyhow::Result<Fleet> {
        let mut chance = Chance(seed.max(1));
        let bases_us: Vec<f64> = probes.iter().map(|_| chance.base_rtt_us()).collect();
        let interval_us = u64::try_from(interval.as_micros())?;
        let mut seconds: BTreeMap<u64, Vec<RoundRow>> = BTreeMap::new();
        for round in 0..u64::from(rounds) {
            for (index, (probe, base_us)) in (0..).zip(probes.iter().zip(&bases_us)) {
                let phase_us = interval_us * index / probes.len() as u64;
                let due_us = round * interval_us + phase_us;
                let row = chance.round(*probe, TICK_BEGIN_US + due_us, *base_us);
                seconds.entry(due_us / 1_000_000).or_default().push(row);
            }
        }
        let mut parcels = Vec::new();
        for (second, rows) in &seconds {
            for rows in rows.chunks(BATCH_ROUNDS_MAX) {
                let kind = v1::payload::Kind::Rounds(wire::rounds::encode_rounds(rows));
                let payload = v1::Payload { kind: Some(kind) };
                let late = if chance.one_in(LATE_ONE_IN) { LATE } else { Duration::ZERO };
                parcels.push(Parcel {
                    at: Duration::from_secs(second + 1) + ROUND_SPAN + late,
                    payload_zstd: wire::seal(&payload).context("cannot seal a payload")?,
                });
            }
        }
        parcels.sort_by_key(|parcel| parcel.at);
        Ok(Fleet { parcels, results: u64::from(rounds) * probes.len() as u64 })
    }

    /// Rounds in all.
    pub fn results(&self) -> u64 {
        self.results
    }
}

/// xorshift64*: the same seed gives the same fleet.
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// Evenly among the numbers below `count`, for counts far below 2^64.
    pub fn below(&mut self, count: u64) -> u64 {
        self.next() % count.max(1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Above 0, at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    /// Lognormal around 20 ms: most are near, some are on the other side of the world.
    pub fn base_rtt_us(&mut self) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        (normal * 0.8 + 20_000f64.ln()).exp().clamp(100.0, 900_000.0)
    }

    /// A round of five packets: jitter above the base, some packets lost.
    pub fn round(&mut self, probe: u32, due_us: u64, base_us: f64) -> RoundRow {
        let mut times = Vec::with_capacity(usize::from(PACKETS));
        for _ in 0..PACKETS {
            if !self.one_in(LOST_ONE_IN) {
                // Jitter only ever adds: queues have no other effect.
                times.push((base_us - self.unit().ln() * 300.0) as u32);
            }
        }
        let received = times.len() as u8;
        let sum: u64 = times.iter().map(|time| u64::from(*time)).sum();
        let rtt = times.iter().min().zip(times.iter().max()).map(|(min, max)| Rtt {
            us_min: *min,
            us_mean: (sum / u64::from(received.max(1))) as u32,
            us_max: *max,
        });
        let confirm =
            if received == 0 { Confirm { sent: 3, received: 3 } } else { Confirm::default() };
        RoundRow {
            subject: Subject::Probe(ProbeId(probe)),
            due_tick: Tick(due_us),
            outcome: Outcome::Asked { sent: PACKETS, received, rtt, confirm },
            flags: RoundFlags::default(),
            icmp_error: None,
            address: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_repeats_with_its_seed_and_is_complete() {
        let make = |seed| Fleet::new(&[1, 2, 3], 40, seed).expect("a fleet");
        let (one, same, other) = (make(1), make(1), make(2));
        let bytes = |fleet: &Fleet| -> Vec<Vec<u8>> {
            fleet.parcels.iter().map(|parcel| parcel.payload_zstd.clone()).collect()
        };
        assert_eq!(bytes(&one), bytes(&same));
        assert_ne!(bytes(&one), bytes(&other));
        let mut rows = 0;
        for parcel in &one.parcels {
            let payload = wire::open(&parcel.payload_zstd).expect("opens");
            let Some(v1::payload::Kind::Rounds(rounds)) = payload.kind else { panic!("rounds") };
            rows += wire::rounds::decode_rounds(&rounds).expect("decodes").len() as u64;
        }
        assert_eq!((rows, one.results()), (120, 120));
    }
}
