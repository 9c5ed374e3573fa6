//! `cargo xtask bench rca`: how often the cause that is named is the one that broke.
//!
//! Failures are drawn on every topology of a folder, each is judged by the real engine and by
//! simpler methods on the same rows. Half of the topologies, chosen by their names, were used to
//! set the engine's numbers; both halves are reported.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

mod baselines;
mod net;
mod paths;
mod quiet;
mod scenario;
mod score;
mod sized;
mod story;
mod write;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Parser;
use engine::{case::Player, graph::ElementIx, rca::text};
use serde_json::{Value, json};

use sim::{Rng as Dice, hash};

use crate::{
    net::Net,
    scenario::{Cell, Failure, Phase, Scenario},
    score::{Answer, Tally, share},
};

/// Bins of the calibration.
const BINS: usize = 10;
/// Thresholds that SCORE is given; its best one counts.
const THRESHOLDS: [f64; 4] = [0.5, 0.6, 0.7, 0.8];

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench rca")]
struct Args {
    /// Folder of GraphML and topohub files.
    #[arg(long, required_unless_present_any = ["case", "size", "paths", "quiet"])]
    topologies: Option<PathBuf>,
    /// Grow a network of this size instead, and measure time and memory too.
    #[arg(long, ignore_case = true, conflicts_with = "topologies")]
    size: Option<sim::grow::Size>,
    /// Of a grown network, only this kind of failure: `access`, `agentblind`.
    #[arg(long, requires = "size")]
    failure: Option<String>,
    /// Only play so many hours of 100,000 targets with nothing broken and packets lost by chance,
    /// and count what people are told.
    #[arg(long, value_name = "HOURS")]
    quiet: Option<f64>,
    /// Only judge this case file, and say what each cause explains.
    #[arg(long)]
    case: Option<PathBuf>,
    /// Only measure how fast paths follow a link that changed, and how long a judgement takes.
    #[arg(long)]
    paths: bool,
    /// Scenarios on each topology, in each cell.
    #[arg(long, default_value_t = 10)]
    scenarios: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON, one object a line, the last the summary.
    #[arg(long)]
    json: bool,
    /// Only batches with 0 to 3 faults, and how often what was said first was right.
    #[arg(long, requires = "topologies")]
    batches: bool,
    /// Only the engine, no baselines.
    #[arg(long)]
    only_engine: bool,
    /// Judge each failure every ten seconds from before it until after it healed, and count what
    /// people are told.
    #[arg(long, requires = "size")]
    stories: bool,
    /// Say each message of each story.
    #[arg(long, requires = "stories")]
    say: bool,
    /// Say which scenarios were judged wrongly, and write them here as case files.
    #[arg(long, value_name = "DIR")]
    write_wrong: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn cells() -> Vec<Cell> {
    let cell = |failure, phase, has_telemetry| Cell { failure, phase, has_telemetry };
    let mut cells = Vec::new();
    for failure in [Failure::Link, Failure::Device, Failure::TwoLinks] {
        for has_telemetry in [false, true] {
            cells.push(cell(failure, Phase::Transient, has_telemetry));
        }
        cells.push(cell(failure, Phase::Computed, false));
    }
    for failure in [Failure::Link, Failure::Device] {
        cells.push(cell(failure, Phase::Rerouted, false));
        for phase in [Phase::Wrong, Phase::Skewed, Phase::Limited] {
            cells.push(cell(failure, phase, false));
        }
    }
    for has_telemetry in [false, true] {
        cells.push(cell(Failure::Device, Phase::Rerouted, has_telemetry));
        cells.push(cell(Failure::Device, Phase::Stale, has_telemetry));
    }
    for percent in [5, 10, 20, 50] {
        cells.push(cell(Failure::Lossy(percent), Phase::Transient, false));
    }
    for failure in [Failure::AgentBlind, Failure::AgentDead, Failure::Nothing] {
        cells.push(cell(failure, Phase::Transient, false));
    }
    cells.sort();
    cells.dedup();
    cells
}

/// Nothing to three links or devices at once.
fn batches() -> Vec<Cell> {
    let cells = (0..=3).flat_map(|count| {
        let cell = move |(phase, has_telemetry)| Cell {
            failure: Failure::Many(count),
            phase,
            has_telemetry,
        };
        [(Phase::Transient, false), (Phase::Transient, true), (Phase::Computed, false)].map(cell)
    });
    cells.collect()
}

/// How often what is said with a probability is right, in steps of it: answers, right ones, and the
/// sum of the probabilities; by half.
type Bins = BTreeMap<&'static str, [(u32, u32, f64); BINS]>;

/// Results by half, cell and method.
type Results = BTreeMap<(&'static str, Cell, String), Tally>;

fn run(args: &Args) -> anyhow::Result<()> {
    if args.paths {
        anyhow::ensure!(paths::run(args.seed)?, "slower than its figure");
        return Ok(());
    }
    if let Some(hours) = args.quiet {
        return quiet::run(hours, args.seed);
    }
    if let Some(file) = &args.case {
        return judge(file);
    }
    if let (Some(size), true) = (args.size, args.stories) {
        return story::run(size, args);
    }
    if let Some(size) = args.size {
        return sized::run(size, args);
    }
    let folder = args.topologies.as_deref().unwrap_or(std::path::Path::new("."));
    let nets = net::load(folder)?;
    anyhow::ensure!(!nets.is_empty(), "no topology of 15 to 200 nodes in that folder");
    let mut results = Results::new();
    let mut bins = Bins::new();
    for net in &nets {
        let half = if hash(&net.name).is_multiple_of(2) { "tuning" } else { "acceptance" };
        for cell in if args.batches { batches() } else { cells() } {
            experiment(args, net, half, cell, &mut results, &mut bins)?;
        }
    }
    print(args, nets.len(), &results, &bins);
    Ok(())
}

/// Says what the engine says of one case.
fn judge(file: &std::path::Path) -> anyhow::Result<()> {
    let case = engine::case::Case::read(&std::fs::read(file)?)?;
    let mut player = Player::new(&case, None);
    let mut messages = 0;
    while let Some(step) = player.step() {
        println!("{}: {:?}", step.at, step.messages);
        let counted = step.messages.iter().filter(|message| message.change.is_counted());
        messages += counted.count() as u32;
        let expected = case.expected.iter();
        for line in expected.flat_map(|expected| {
            expected.differences(&case.topology, player.incidents(), &step.assessment, messages)
        }) {
            println!("  differs: {line}");
        }
        for finding in &step.assessment.findings {
            println!("  {}", text::headline(&case.topology, finding));
            for cause in &finding.causes {
                let names = text::names(&case.topology, &cause.elements);
                println!("    {names} {} {:.3}", cause.mode, cause.probability);
                for piece in &cause.evidence {
                    println!(
                        "      {:+.1} {}",
                        piece.log_ratio,
                        text::evidence(&case.topology, piece)
                    );
                }
            }
        }
    }
    Ok(())
}

fn experiment(
    args: &Args,
    net: &Net,
    half: &'static str,
    cell: Cell,
    results: &mut Results,
    bins: &mut Bins,
) -> anyhow::Result<()> {
    for nth in 0..args.scenarios {
        let purpose = hash(&format!("{cell:?} {nth}"));
        let mut dice = Dice::new(args.seed ^ hash(&net.name)).fork(purpose);
        let topology = net.topology(&mut dice)?;
        let Some(scenario) = scenario::draw(&topology, cell, &mut dice) else { continue };
        let mut tally = |method: &str, answer: &Answer| {
            let tally = results.entry((half, cell, method.to_owned())).or_default();
            tally.count(&scenario, answer)
        };
        let (answer, probability, judged) = engine_answer(&scenario);
        let is_right = tally("engine", &answer);
        if let Some(folder) = args.write_wrong.as_ref().filter(|_| !is_right)
            && !scenario.broken.is_empty()
        {
            show(net, cell, nth, &scenario, &answer, probability);
            let name = format!("{:?}-{:?}-{}", cell.failure, cell.phase, cell.has_telemetry);
            let name = format!("{name}-{}-{nth}.json", net.name);
            std::fs::write(folder.join(name), write::case(&scenario).to_string())?;
        }
        if !args.only_engine {
            tally("parents", &baselines::parents(&scenario));
            tally("cover", &baselines::cover(&scenario));
            tally("votes", &baselines::votes(&scenario));
            for threshold in THRESHOLDS {
                let answer = baselines::risk_groups(&scenario, threshold);
                tally(&format!("score {threshold}"), &answer);
            }
        }
        if let Some(probability) = probability {
            let bins = bins.entry(half).or_default();
            let at = ((probability * BINS as f64) as usize).min(BINS - 1);
            bins[at].0 += 1;
            bins[at].1 += u32::from(is_right);
            bins[at].2 += probability;
        }
        let tally = results.entry((half, cell, "engine".to_owned())).or_default();
        tally.messages += judged.messages;
        tally.suppressed += judged.suppressed;
        tally.suppressed_wrongly += judged.suppressed_wrongly;
    }
    Ok(())
}

/// What else the engine did.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) messages: u32,
    pub(crate) suppressed: u32,
    pub(crate) suppressed_wrongly: u32,
}

fn engine_answer(scenario: &Scenario) -> (Answer, Option<f64>, Judged) {
    let mut player = Player::new(&scenario.case, None);
    let mut judged = Judged::default();
    while let Some(step) = player.step() {
        let counted = step.messages.iter().filter(|message| message.change.is_counted());
        judged.messages += counted.count() as u32;
    }
    let mut causes: Vec<_> = player
        .incidents()
        .list()
        .filter_map(|incident| {
            let cause = incident.finding.causes.first()?;
            Some((incident.finding.pairs.len(), cause.probability, cause.elements.clone()))
        })
        .collect();
    causes.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    for target in player.incidents().list().flat_map(|incident| &incident.finding.suppressed) {
        let is_behind =
            scenario.rows.iter().filter(|(_, of, ..)| of == target).any(|(_, _, path, _)| {
                scenario.broken.iter().any(|element| path.contains(element))
            });
        judged.suppressed += 1;
        judged.suppressed_wrongly += u32::from(!is_behind);
    }
    let probability = causes.first().map(|(_, probability, _)| *probability);
    (causes.into_iter().map(|(.., elements)| elements).collect(), probability, judged)
}

fn show(net: &Net, cell: Cell, nth: u32, scenario: &Scenario, answer: &Answer, p: Option<f64>) {
    let names = |elements: &[ElementIx]| -> Vec<String> {
        elements.iter().map(|ix| scenario.case.topology.id(*ix).to_owned()).collect()
    };
    let said: Vec<_> = answer.iter().map(|elements| names(elements)).collect();
    let bad = scenario.rows.iter().filter(|(.., is_bad)| *is_bad).count();
    println!(
        "wrong {} {cell:?} #{nth}: broke {:?}, said {said:?} at {p:?}; {bad} of {} rows bad",
        net.name,
        names(&scenario.broken),
        scenario.rows.len(),
    );
}

fn print(args: &Args, nets: usize, results: &Results, bins: &Bins) {
    for ((half, cell, method), tally) in results {
        let Tally { scenarios, class_top1, exact, found, broken, right, said, .. } = tally;
        let (top1, low, high) = share(*class_top1, *scenarios);
        let of = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        if args.json {
            let line = json!({
                "half": half, "failure": format!("{:?}", cell.failure),
                "phase": format!("{:?}", cell.phase), "telemetry": cell.has_telemetry,
                "method": method, "scenarios": scenarios, "class_top1": top1,
                "class_top1_95": [low, high], "exact": of(*exact, *scenarios),
                "precision": of(*right, *said), "recall": of(*found, *broken),
                "causes_said": said, "on_network": tally.on_network, "messages": tally.messages,
                "suppressed": tally.suppressed, "suppressed_wrongly": tally.suppressed_wrongly,
            });
            println!("{line}");
            continue;
        }
        println!(
            "{half:10} {:11} {:10} {:5} {method:10} n {scenarios:5}  class {top1:.3} [{low:.3} \
             {high:.3}]  exact {:.3}  precision {:.3}  recall {:.3}  said {:.2}  wrongly \
             suppressed {}/{}",
            format!("{:?}", cell.failure),
            format!("{:?}", cell.phase),
            if cell.has_telemetry { "facts" } else { "" },
            of(*exact, *scenarios),
            of(*right, *said),
            of(*found, *broken),
            of(*said, *scenarios),
            tally.suppressed_wrongly,
            tally.suppressed,
        );
    }
    let said: serde_json::Map<String, Value> =
        bins.iter().map(|(half, bins)| ((*half).to_owned(), calibration(bins))).collect();
    println!("{}", json!({ "summary": true, "topologies": nets, "calibration": said }));
}

/// The mean distance between what was said and what was, over all answers; and both by step.
fn calibration(bins: &[(u32, u32, f64); BINS]) -> Value {
    let all: u32 = bins.iter().map(|(count, ..)| count).sum();
    let answered = || bins.iter().filter(|(count, ..)| 0 < *count);
    let error: f64 =
        answered().map(|(_, right, sum)| (f64::from(*right) - sum).abs() / f64::from(all)).sum();
    let table: Vec<Value> = answered()
        .map(|(count, right, sum)| {
            let of = f64::from(*count);
            json!({ "answers": count, "said": sum / of, "was": f64::from(*right) / of })
        })
        .collect();
    json!({ "error": error, "steps": table })
}
