//! What to ask: received in parts, kept on disk, so that a restarted agent goes on by itself.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use model::{Address, ProbeId, TierId, WITNESSES_MAX};
use prost::Message;
use sense::{Assignment, ProbeTask, TierTiming};
use wire::{limits, rounds::is_probe_handle, v1};

use crate::files;

/// A million probes with names of ordinary length.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Why a part of an assignment is not taken. The assignment before it stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PartError {
    #[error("an assignment has 1 to {max} parts; this one has {parts}", max = limits::PARTS_MAX)]
    Parts { parts: u32 },
    #[error("part {part} of {parts} of an assignment breaks a limit")]
    Limit { part: u32, parts: u32 },
}

/// An assignment that is complete and understood.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) assignment: Assignment,
    /// Probes that cannot be asked, with the reason; at most as many as the contract allows.
    pub(crate) refused: Vec<String>,
}

/// Where the newest assignment is kept.
pub(crate) fn path_of(state_dir: &Path) -> PathBuf {
    state_dir.join("assignment.pb")
}

/// Collects the parts of one version. A part of another version starts over.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    version: u64,
    parts: BTreeMap<u32, v1::AssignmentPart>,
}

impl Collector {
    /// Takes a part; gives all of them, in order, when the last one is there.
    pub(crate) fn handle_part(
        &mut self,
        part: v1::AssignmentPart,
    ) -> Result<Option<Vec<v1::AssignmentPart>>, PartError> {
        let (index, parts) = (part.part, part.parts);
        if !(1..=limits::PARTS_MAX).contains(&parts) {
            return Err(PartError::Parts { parts });
        }
        let is_within = index < parts
            && part.probes.len() <= limits::PART_PROBES_MAX
            && part.tiers.len() <= limits::TIERS_MAX
            && part.witnesses.len() <= WITNESSES_MAX;
        if !is_within {
            return Err(PartError::Limit { part: index, parts });
        }
        let is_same = |first: &v1::AssignmentPart| first.parts == parts;
        if self.version != part.version || !self.parts.values().next().is_none_or(is_same) {
            self.parts.clear();
            self.version = part.version;
        }
        self.parts.insert(index, part);
        let is_complete = self.parts.len() == usize::try_from(parts).unwrap_or(usize::MAX);
        Ok(is_complete.then(|| std::mem::take(&mut self.parts).into_values().collect()))
    }
}

/// Turns the parts of one version into what is asked.
pub(crate) fn accept(parts: &[v1::AssignmentPart]) -> Accepted {
    let mut assignment = Assignment {
        version: parts.first().map_or(0, |part| part.version),
        ..Assignment::default()
    };
    let mut refused = Vec::new();
    for part in parts {
        assignment.tiers.extend(part.tiers.iter().filter_map(tier_of));
        for probe in &part.probes {
            match probe_of(probe) {
                Ok(task) => assignment.probes.push(task),
                Err(reason) if refused.len() < limits::APPLIED_REFUSED_MAX => {
                    let text = format!("probe {}: {reason}", probe.probe_id);
                    refused.push(crate::limited(&text).to_owned());
                }
                Err(_) => (),
            }
        }
        let witnesses = part.witnesses.iter().filter_map(|w| w.parse::<IpAddr>().ok());
        assignment.witnesses.extend(witnesses);
    }
    assignment.witnesses.truncate(WITNESSES_MAX);
    let room = limits::APPLIED_REFUSED_MAX.saturating_sub(refused.len());
    let more = assignment.refusals().into_iter().take(room);
    refused.extend(more.map(|r| format!("probe {}: {}", r.probe, r.reason)));
    Accepted { assignment, refused }
}

/// A timing out of all range is left out; its probes are then refused for want of a tier.
fn tier_of(tier: &v1::TierSpec) -> Option<TierTiming> {
    let ms = |ms: u32| Duration::from_millis(ms.into());
    Some(TierTiming {
        id: TierId(tier.tier_id),
        interval: ms(tier.interval_ms),
        packets: u8::try_from(tier.packets).ok()?,
        gap: ms(tier.gap_ms),
        timeout: ms(tier.timeout_ms),
        payload_bytes: u16::try_from(tier.payload_bytes).ok()?,
    })
}

fn probe_of(probe: &v1::ProbeSpec) -> Result<ProbeTask, String> {
    let id = ProbeId(probe.probe_id);
    if !is_probe_handle(id) {
        return Err("this id is none of a probe".to_owned());
    }
    let address = Address::parse(&probe.address).map_err(|e| e.to_string())?;
    Ok(ProbeTask { id, tier: TierId(probe.tier_id), address })
}

/// Keeps the parts for the next start, if that could read them: no more than [`FILE_BYTES_MAX`].
pub(crate) fn store(path: &Path, parts: &[v1::AssignmentPart]) -> io::Result<()> {
    let length = |part: &v1::AssignmentPart| {
        let bytes = part.encoded_len();
        (bytes + prost::length_delimiter_len(bytes)) as u64
    };
    let bytes = parts.iter().map(length).sum::<u64>();
    if FILE_BYTES_MAX < bytes {
        let reason = format!("it has {bytes} bytes, and {FILE_BYTES_MAX} at most are kept");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    let mut bytes = Vec::new();
    for part in parts {
        part.encode_length_delimited(&mut bytes).map_err(io::Error::other)?;
    }
    files::write_atomic(path, &bytes, files::SECRET)
}

/// Reads the parts that were kept; `None` if there are none.
pub(crate) fn load(path: &Path) -> io::Result<Option<Vec<v1::AssignmentPart>>> {
    let bytes = match files::read_limited(path, FILE_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    parts_of(&bytes)
}

/// Reads the parts of one version out of the bytes of a file.
pub(crate) fn parts_of(bytes: &[u8]) -> io::Result<Option<Vec<v1::AssignmentPart>>> {
    let mut rest = bytes;
    let mut collector = Collector::default();
    while !rest.is_empty() {
        let part = v1::AssignmentPart::decode_length_delimited(&mut rest);
        let part = part.map_err(io::Error::other)?;
        if let Some(parts) = collector.handle_part(part).map_err(io::Error::other)? {
            return Ok(Some(parts));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(version: u64, part: u32, parts: u32, probe: u32, address: &str) -> v1::AssignmentPart {
        let tier = v1::TierSpec {
            tier_id: 1,
            interval_ms: 30_000,
            packets: 5,
            gap_ms: 200,
            timeout_ms: 1_000,
            payload_bytes: 56,
        };
        v1::AssignmentPart {
            version,
            part,
            parts,
            tiers: if part == 0 { vec![tier] } else { Vec::new() },
            probes: vec![v1::ProbeSpec {
                probe_id: probe,
                tier_id: 1,
                address: address.to_owned(),
            }],
            witnesses: vec!["192.0.2.53".to_owned()],
        }
    }

    #[test]
    fn an_assignment_is_whole_or_not_there() {
        let mut collector = Collector::default();
        assert_eq!(collector.handle_part(part(1, 1, 2, 9, "::1")), Ok(None));
        // A newer version overtakes; its parts come in any order and twice.
        assert_eq!(collector.handle_part(part(2, 1, 2, 2, "192.0.2.2")), Ok(None));
        assert_eq!(collector.handle_part(part(2, 1, 2, 2, "192.0.2.2")), Ok(None));
        let parts = collector.handle_part(part(2, 0, 2, 1, "192.0.2.1")).expect("legal");
        let parts = parts.expect("complete");
        let accepted = accept(&parts);
        assert_eq!(accepted.refused, Vec::<String>::new());
        assert_eq!(accepted.assignment.version, 2);
        let ids: Vec<u32> = accepted.assignment.probes.iter().map(|p| p.id.0).collect();
        assert_eq!(ids, [1, 2]);

        let dir = tempfile::tempdir().expect("a directory");
        let path = path_of(dir.path());
        assert_eq!(load(&path).expect("reads"), None);
        store(&path, &parts).expect("writes");
        assert_eq!(load(&path).expect("reads"), Some(parts));
    }

    #[test]
    fn what_the_next_start_could_not_read_is_not_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = path_of(dir.path());
        let kept = vec![part(1, 0, 1, 1, "192.0.2.1")];
        store(&path, &kept).expect("writes");
        let long = "x".repeat(usize::try_from(FILE_BYTES_MAX).expect("fits"));
        let error = store(&path, &[part(2, 0, 1, 1, &long)]).expect_err("is refused");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(load(&path).expect("reads"), Some(kept));
    }

    #[test]
    fn one_bad_probe_does_not_stop_the_others() {
        let bad = part(3, 0, 1, 0, "192.0.2.1");
        let mut whole = part(3, 0, 1, 5, "192.0.2.1");
        whole.probes.extend(bad.probes);
        whole.probes.extend(part(3, 0, 1, 6, "not an address").probes);
        let accepted = accept(&[whole]);
        assert_eq!(accepted.assignment.probes.len(), 1);
        assert_eq!(accepted.refused.len(), 2);
        assert!(accepted.refused[1].starts_with("probe 6: neither"));
    }

    #[test]
    fn limits_are_kept() {
        let mut collector = Collector::default();
        let parts = limits::PARTS_MAX + 1;
        assert_eq!(
            collector.handle_part(part(1, 0, 0, 1, "::1")),
            Err(PartError::Parts { parts: 0 })
        );
        assert!(collector.handle_part(part(1, 0, parts, 1, "::1")).is_err());
        assert!(collector.handle_part(part(1, 2, 2, 1, "::1")).is_err());
    }
}
