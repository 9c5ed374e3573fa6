//! Grown networks: how long a judgement takes, what it needs, and how often it is right.

use std::collections::BTreeMap;

use anyhow::Context;
use engine::{
    case::Case,
    graph::{PathBook, Topology},
    rca::{self, Assessment, Board, Picture},
};
use model::UtcMicros;
use serde_json::json;

use sim::{
    Rng as Dice,
    grow::{self, Size},
    hash,
};

use crate::{
    Args,
    scenario::{self, Cell, Failure, Phase, Scenario},
    score::{Answer, Tally, share},
};

const SECOND_US: i64 = 1_000_000;
/// Judgements of one scenario that are measured, a second apart, after the first: before the last
/// rounds, so that rounds come in each of these seconds.
const MEASURED_S: std::ops::Range<i64> = 3..8;

fn cells() -> Vec<Cell> {
    let cell = |failure, has_telemetry| Cell { failure, phase: Phase::Computed, has_telemetry };
    let plain = [
        Failure::Nothing,
        Failure::Access,
        Failure::Device,
        Failure::Link,
        Failure::TwoLinks,
        Failure::Site,
        Failure::Conduit,
        Failure::Upstream,
        Failure::AgentBlind,
        Failure::Lossy(10),
    ];
    let reported = [Failure::Device, Failure::Link, Failure::Site, Failure::Conduit];
    let plain = plain.into_iter().map(|failure| cell(failure, false));
    plain.chain(reported.into_iter().map(|failure| cell(failure, true))).collect()
}

/// Judgements of one cell.
#[derive(Default)]
struct Measured {
    tally: Tally,
    /// Milliseconds from the rounds of the last second on, when everything before was judged: what
    /// they change in the picture is in it.
    times: Vec<f64>,
    /// And from nothing, before those.
    times_anew: Vec<f64>,
    unseen: u32,
    cut_short: u32,
}

pub(crate) fn run(size: Size, args: &Args) -> anyhow::Result<()> {
    let Args { scenarios, seed, json: is_json, .. } = *args;
    let is_asked = |cell: &Cell| {
        let name = format!("{:?}", cell.failure);
        args.failure.as_ref().is_none_or(|asked| asked.eq_ignore_ascii_case(&name))
    };
    let dice = Dice::new(seed);
    let started = cpu_ms();
    let topology = grow::grow(size, &dice)?;
    let grown_ms = cpu_ms() - started;
    // Paths are computed once and stay: a running server has them.
    let mut book = PathBook::default();
    let mut measured: BTreeMap<Cell, Measured> = BTreeMap::new();
    let mut first_ms = None;
    for cell in cells().into_iter().filter(is_asked) {
        let result = measured.entry(cell).or_default();
        for nth in 0..scenarios {
            let mut dice = dice.fork(hash(&format!("{cell:?} {nth}")));
            let Some(scenario) = scenario::draw(&topology, cell, &mut dice) else {
                result.unseen += 1;
                continue;
            };
            // The first one computes the paths; it is measured by itself.
            if first_ms.is_none() {
                first_ms = Some(judge(&topology, &scenario, &mut book).1);
            }
            let (assessment, anew_ms, times) = judge(&topology, &scenario, &mut book);
            result.times_anew.push(anew_ms);
            result.times.extend(times);
            result.cut_short += u32::from(assessment.is_cut_short);
            result.tally.count(&scenario, &answer(&assessment));
        }
    }
    print(&measured, is_json);
    let sorted = |of: fn(&Measured) -> &Vec<f64>| {
        let mut all: Vec<f64> = measured.values().flat_map(of).copied().collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (all, anew) = (sorted(|result| &result.times), sorted(|result| &result.times_anew));
    let summary = json!({
        "summary": true, "size": format!("{size:?}"), "elements": topology.elements().len(),
        "sets": book.sets().len(), "topology_ms": grown_ms, "first_ms": first_ms,
        "judge_ms_p50": quantile(&all, 0.5), "judge_ms_p99": quantile(&all, 0.99),
        "anew_ms_p50": quantile(&anew, 0.5), "anew_ms_p99": quantile(&anew, 0.99),
        "rss_bytes_peak": rss_bytes_peak()?,
    });
    println!("{summary}");
    Ok(())
}

/// Judges what is seen of a scenario some seconds before its end, with an empty board, then every
/// second, and at its end; says how long the first took, and each of the seconds.
fn judge(
    topology: &Topology,
    scenario: &Scenario,
    book: &mut PathBook,
) -> (Assessment, f64, Vec<f64>) {
    let case = &scenario.case;
    let now = case.steps.last().copied().unwrap_or_default();
    let mut board = Board::default();
    let mut at = |before_s: i64| {
        let now = UtcMicros(now.0 - before_s * SECOND_US);
        judge_at(case, topology, book, &mut board, now)
    };
    let (_, anew_ms) = at(MEASURED_S.end);
    let times = MEASURED_S.rev().map(|before_s| at(before_s).1).collect();
    let (assessment, _) = at(0);
    (assessment, anew_ms, times)
}

fn judge_at(
    case: &Case,
    topology: &Topology,
    book: &mut PathBook,
    board: &mut Board,
    now: UtcMicros,
) -> (Assessment, f64) {
    let started = cpu_ms();
    let mut picture = Picture {
        now,
        topology,
        paths: book,
        pairs: &case.seen,
        facts: &case.facts,
        beats: &case.beats,
        heartbeat_us: case.heartbeat_us,
        works: &case.works,
    };
    let assessment = rca::assess(&mut picture, board, None);
    (assessment, cpu_ms() - started)
}

/// The causes that open an incident, as they are read: the strongest first.
fn answer(assessment: &Assessment) -> Answer {
    let causes = assessment.findings.iter().filter_map(|finding| finding.causes.first());
    let causes = causes.filter(|cause| rca::OPEN_PROBABILITY <= cause.probability);
    causes.map(|cause| cause.elements.clone()).collect()
}

fn print(measured: &BTreeMap<Cell, Measured>, is_json: bool) {
    for (cell, result) in measured {
        let mut times = result.times.clone();
        times.sort_by(f64::total_cmp);
        let mut anew = result.times_anew.clone();
        anew.sort_by(f64::total_cmp);
        let tally = &result.tally;
        let (top1, low, high) = share(tally.class_top1, tally.scenarios);
        let part = |part: u32, of: u32| f64::from(part) / f64::from(of.max(1));
        let (precision, recall) = (part(tally.right, tally.said), part(tally.found, tally.broken));
        let failure = format!("{:?}", cell.failure);
        if is_json {
            let line = json!({
                "failure": failure, "telemetry": cell.has_telemetry, "scenarios": tally.scenarios,
                "unseen": result.unseen, "class_top1": top1, "class_top1_95": [low, high],
                "precision": precision, "recall": recall, "said": tally.said,
                "cut_short": result.cut_short, "ms_p50": quantile(&times, 0.5),
                "ms_max": times.last(), "anew_ms_p50": quantile(&anew, 0.5),
            });
            println!("{line}");
            continue;
        }
        println!(
            "{failure:11} {:5} n {:3} unseen {:2}  class {top1:.3} [{low:.3} {high:.3}]  precision \
             {precision:.3}  recall {recall:.3}  said {:.2}  ms p50 {:.1} max {:.1}  anew {:.1}",
            if cell.has_telemetry { "facts" } else { "" },
            tally.scenarios,
            result.unseen,
            part(tally.said, tally.scenarios),
            quantile(&times, 0.5),
            times.last().copied().unwrap_or(f64::NAN),
            quantile(&anew, 0.5),
        );
    }
}

/// What this thread has had of a core: others share the machine.
fn cpu_ms() -> f64 {
    // The kernel counts what a thread had when it gives way.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ns.unwrap_or(f64::NAN) / 1e6
}

/// Of sorted values, the nearest rank.
fn quantile(sorted: &[f64], of: f64) -> f64 {
    let rank = (sorted.len() as f64 * of).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The most memory that this process had.
fn rss_bytes_peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmHWM")?;
    Ok(kib.trim().parse::<u64>()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change that makes causes of many rows or many targets worse is seen here and not only by
    /// whoever runs the bench.
    #[test]
    fn what_failed_in_a_grown_network_is_named() {
        let dice = Dice::new(3);
        let topology = grow::grow(Size::S, &dice).expect("a network");
        let mut book = PathBook::default();
        for failure in [
            Failure::Access,
            Failure::Device,
            Failure::Link,
            Failure::Site,
            Failure::Upstream,
            Failure::AgentBlind,
        ] {
            let cell = Cell { failure, phase: Phase::Computed, has_telemetry: false };
            let mut tally = Tally::default();
            for nth in 0..4 {
                let mut dice = dice.fork(hash(&format!("{cell:?} {nth}")));
                if let Some(scenario) = scenario::draw(&topology, cell, &mut dice) {
                    let (assessment, ..) = judge(&topology, &scenario, &mut book);
                    tally.count(&scenario, &answer(&assessment));
                }
            }
            assert!(0 < tally.scenarios, "{failure:?} was seen");
            assert_eq!(tally.class_top1, tally.scenarios, "{failure:?}");
        }
    }
}
