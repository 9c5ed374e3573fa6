//! What can be read, against what must be there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use journal::{Disk, Journal, Options, Position};
use model::{Outcome, Subject};
use prost::Message as _;
use serde_json::Value;
use wire::{rounds::RoundRow, v1};

use super::{courier::Sent, place::Place};
use crate::{
    api::{items, number, text},
    report::Report,
    world::agent_name,
};

/// What a round is known by: packets sent and received, and its times in microseconds.
type Print = (u64, u64, u64, u64, u64);
/// How often each was found.
type Prints = BTreeMap<(u32, Print), usize>;

/// Every number that was acknowledged, each once, at its own probe.
pub(super) fn courier(place: &Place, sent: &Sent, report: &mut Report) -> anyhow::Result<()> {
    let mut expected = Prints::new();
    for (number, probe) in (0u64..).zip(&sent.probes) {
        expected.insert((*probe, (5, 5, number, number, number)), 1);
    }
    let what = format!(
        "rounds acknowledged to the courier, each once ({} sessions, {} batches resent)",
        sent.sessions, sent.resent
    );
    compare(&what, &expected, &readable(place, place.courier_id()?)?, report);
    Ok(())
}

/// Every round that an agent ever made durable: it has delivered all of them.
pub(super) fn agent(place: &Place, number: u32, report: &mut Report) -> anyhow::Result<()> {
    let name = agent_name(number);
    let mut expected = Prints::new();
    let mut batches = 0;
    for folder in journals(&place.spool(number))? {
        for rows in spooled(&folder)? {
            batches += 1;
            for row in rows {
                if let Subject::Probe(probe) = row.subject {
                    *expected.entry((probe.0, print_of(&row))).or_default() += 1;
                }
            }
        }
    }
    let what = format!("rounds that {name} made durable, each once ({batches} batches)");
    compare(&what, &expected, &readable(place, place.agent_id(&name)?)?, report);
    Ok(())
}

/// Nobody was called down: every target answered all the time.
pub(super) fn nothing_down(place: &Place, report: &mut Report) -> anyhow::Result<()> {
    let mut downs = 0;
    for (target, _) in place.probes()? {
        let changes = place.api.changes(target)?;
        downs += changes.iter().filter(|(.., to)| to == "down").count();
    }
    report.row("turned Down", "never", &downs.to_string(), downs == 0);
    Ok(())
}

fn compare(what: &str, expected: &Prints, found: &Prints, report: &mut Report) {
    let total = |prints: &Prints| prints.values().sum::<usize>();
    let beyond = |a: &Prints, b: &Prints| -> usize {
        a.iter().map(|(key, count)| count.saturating_sub(b.get(key).copied().unwrap_or(0))).sum()
    };
    let (missing, surplus) = (beyond(expected, found), beyond(found, expected));
    let is_good = missing == 0 && surplus == 0 && !expected.is_empty();
    let measured = format!("{}, {missing} missing, {surplus} too many", total(found));
    report.row(what, &total(expected).to_string(), &measured, is_good);
}

fn print_of(row: &RoundRow) -> Print {
    match row.outcome {
        Outcome::Asked { sent, received, rtt, .. } => {
            let time = |of: fn(model::Rtt) -> u32| rtt.map_or(0, |rtt| u64::from(of(rtt)));
            let (min, mean, max) = (time(|t| t.us_min), time(|t| t.us_mean), time(|t| t.us_max));
            (sent.into(), received.into(), min, mean, max)
        }
        Outcome::NotAsked(_) => (0, 0, 0, 0, 0),
    }
}

/// All rounds of an agent that the server shows.
fn readable(place: &Place, agent: u64) -> anyhow::Result<Prints> {
    let mut found = Prints::new();
    for (target, probe) in place.probes()? {
        let mut cursor = String::new();
        loop {
            let path = format!("/targets/{target}/rounds?agent={agent}&limit=500{cursor}");
            let page = place.api.get(&path)?;
            for round in items(&page) {
                *found.entry((probe, print_in(round))).or_default() += 1;
            }
            match text(&page, "/next_cursor") {
                next if next.is_empty() => break,
                next => cursor = format!("&cursor={next}"),
            }
        }
    }
    Ok(found)
}

fn print_in(round: &Value) -> Print {
    let field = |name| number(round, name);
    (
        field("/sent"),
        field("/received"),
        field("/rtt_us_min"),
        field("/rtt_us_mean"),
        field("/rtt_us_max"),
    )
}

/// The folders below a spool that hold segments.
fn journals(spool: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![spool.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let mut holds_segments = false;
        for entry in fs::read_dir(&folder).context("no spool")?.flatten() {
            let path = entry.path();
            holds_segments |= path.extension().is_some_and(|end| end == "seg");
            if path.is_dir() {
                folders.push(path);
            }
        }
        if holds_segments {
            found.push(folder);
        }
    }
    Ok(found)
}

/// The batches of a spool, as rows.
fn spooled(folder: &Path) -> anyhow::Result<Vec<Vec<RoundRow>>> {
    let (journal, recovery) = Journal::open(folder, Options::default(), Disk)?;
    if recovery.segments_damaged != 0 {
        bail!("a kill damaged a spool: {recovery:?}");
    }
    let mut batches = Vec::new();
    for record in journal.read_from(Position(0)) {
        let (_, bytes) = record?;
        let batch = v1::Batch::decode(bytes.as_slice()).context("a record is no batch")?;
        let payload = wire::open(&batch.payload_zstd).context("a batch cannot be opened")?;
        if let Some(v1::payload::Kind::Rounds(rounds)) = payload.kind {
            batches.push(wire::rounds::decode_rounds(&rounds).context("a batch is damaged")?);
        }
    }
    if journal.first() != Position(1) {
        bail!("the spool filled a segment: its oldest rounds are not known any more");
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_round_a_doubled_one_and_none_at_all_are_seen() {
        let prints = |counts: &[usize]| -> Prints {
            (0..).zip(counts).map(|(n, count)| ((1, (5, 5, n, n, n)), *count)).collect()
        };
        let is_good = |expected: &[usize], found: &[usize]| {
            let mut report = Report::new("a");
            compare("rounds", &prints(expected), &prints(found), &mut report);
            report.is_good()
        };
        assert!(is_good(&[1, 2], &[1, 2]));
        assert!(!is_good(&[1, 2], &[1, 1]));
        assert!(!is_good(&[1, 2], &[1, 3]));
        assert!(!is_good(&[1, 0], &[0, 1]));
        assert!(!is_good(&[], &[]));
    }
}
