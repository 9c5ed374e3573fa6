//! An assignment as frames: whole, in parts below the size of a frame.

use std::net::IpAddr;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use wire::{limits, v1};

use crate::conductor::AgentAssignment;

/// The parts of one assignment, and a digest of what they say apart from the version.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) digest: [u8; 32],
    pub(super) parts: Vec<v1::AssignmentPart>,
}

/// Cuts an assignment into parts; tiers and witnesses go with the first.
///
/// Probes beyond the contract's million are left out: the agent could not ask them.
pub(super) fn parts(assignment: &AgentAssignment, witnesses: &[IpAddr]) -> Parts {
    let tiers = assignment.tiers.iter().take(limits::TIERS_MAX).map(|tier| v1::TierSpec {
        tier_id: tier.id.0,
        interval_ms: in_ms(tier.interval),
        packets: tier.packets.into(),
        gap_ms: in_ms(tier.gap),
        timeout_ms: in_ms(tier.timeout),
        payload_bytes: tier.payload_bytes.into(),
    });
    let mut first = v1::AssignmentPart {
        tiers: tiers.collect(),
        witnesses: witnesses.iter().map(ToString::to_string).collect(),
        ..v1::AssignmentPart::default()
    };
    let mut parts = Vec::new();
    for chunk in assignment.probes.chunks(limits::PART_PROBES_MAX) {
        let probes = chunk.iter().map(|(probe, tier, address)| v1::ProbeSpec {
            probe_id: probe.0,
            tier_id: tier.0,
            address: address.to_string(),
        });
        parts.push(v1::AssignmentPart { probes: probes.collect(), ..std::mem::take(&mut first) });
        if parts.len() == limits::PARTS_MAX as usize {
            break;
        }
    }
    if parts.is_empty() {
        parts.push(first);
    }
    let mut digest = Sha256::new();
    for part in &parts {
        digest.update(part.encode_length_delimited_to_vec());
    }
    let count = u32::try_from(parts.len()).unwrap_or(limits::PARTS_MAX);
    for (index, part) in (0..).zip(&mut parts) {
        part.version = assignment.version;
        part.part = index;
        part.parts = count;
    }
    Parts { digest: digest.finalize().into(), parts }
}

fn in_ms(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use model::{Address, Name, ProbeId, Tier, TierId};

    use super::*;

    fn assignment(version: u64, probes: u32) -> AgentAssignment {
        let address = Address::parse(&format!("{}example", "a.".repeat(120))).unwrap();
        AgentAssignment {
            version,
            tiers: vec![Tier::standard(TierId(1), Name::parse("standard").unwrap())],
            probes: (1..=probes).map(|n| (ProbeId(n), TierId(1), address.clone())).collect(),
        }
    }

    #[test]
    fn a_large_assignment_goes_in_parts_that_fit_a_frame() {
        let cut = parts(&assignment(7, 4_001), &[]);
        let shape: Vec<_> = cut.parts.iter().map(|p| (p.part, p.parts, p.probes.len())).collect();
        assert_eq!(shape, [(0, 3, 2_000), (1, 3, 2_000), (2, 3, 1)]);
        assert_eq!(cut.parts.iter().map(|p| p.tiers.len()).collect::<Vec<_>>(), [1, 0, 0]);
        assert!(cut.parts.iter().all(|p| p.version == 7));
        assert!(cut.parts.iter().all(|p| p.encoded_len() < limits::FRAME_BYTES_MAX));
    }

    #[test]
    fn an_empty_assignment_is_one_part() {
        let cut = parts(&AgentAssignment { probes: Vec::new(), ..assignment(1, 0) }, &[]);
        assert_eq!((cut.parts.len(), cut.parts[0].parts), (1, 1));
    }

    #[test]
    fn the_digest_changes_with_what_is_to_be_asked_and_not_with_the_version() {
        let digest = |version, probes| parts(&assignment(version, probes), &[]).digest;
        assert_eq!(digest(1, 5), digest(2, 5));
        assert_ne!(digest(1, 5), digest(1, 6));
        let witness = [IpAddr::from([192, 0, 2, 1])];
        assert_ne!(digest(1, 5), parts(&assignment(1, 5), &witness).digest);
    }
}
