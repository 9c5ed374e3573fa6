//! What speaks for and against a cause, as numbers that can be traced to rounds and facts.
//!
//! [`Evidence`] is structure; `text` turns it into sentences, and nothing else does.

use std::{collections::BTreeSet, sync::Arc};

use model::{ElementKind, FactKind, FaultMode, UtcMicros};

use super::{
    assess::Judgement,
    board::Board,
    noise,
    picture::Picture,
    report::RankedCause,
    rows::{Lot, Note, Row},
    score::Cover,
    text,
};
use crate::graph::ElementIx;

/// Pairs named as references of one piece; the others are in its counts.
pub const REFS_MAX: usize = 20;
/// Pieces of evidence of one cause.
const PIECES_MAX: usize = 12;

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub supports: bool,
    /// Natural logarithm of how much likelier it is with the cause than without.
    pub log_ratio: f64,
    pub source: Source,
    /// The pairs it rests on, at most [`REFS_MAX`].
    pub pairs: Vec<(ElementIx, ElementIx)>,
}

/// Where a piece comes from, with its counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Rounds over the element that were lost.
    Lost { element: ElementIx, lost: u32, rounds: u32, agents: u32, since: UtcMicros },
    /// Rounds to others behind the device, answered while targets behind it are out.
    Beside { device: ElementIx, rounds: u32, agents: u32, since: UtcMicros },
    /// Rounds over the element that were answered although it should be gone.
    Answered { element: ElementIx, rounds: u32, agents: u32, since: UtcMicros },
    /// Packets lost on rows that cross it.
    Loss { element: ElementIx, sent: u64, lost: u64, agents: u32 },
    /// Answers later than before.
    Delay { element: ElementIx, shifted: u32, steady: u32, us: i64 },
    /// Paths that left it, or that kept it.
    Changed { element: ElementIx, pairs: u32, at: UtcMicros },
    /// A report.
    Fact {
        fact: usize,
        kind: FactKind,
        element: ElementIx,
        end: Option<ElementIx>,
        at: UtcMicros,
        by: Option<Arc<str>>,
    },
    /// A heartbeat that is missing, or that says the gateway is gone, or that is fine.
    Agent { agent: ElementIx, note: AgentNote, since: UtcMicros },
}

/// What an agent said of itself, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentNote {
    Silent,
    NoGateway,
    Heard,
}

impl Source {
    /// Whether somebody reported it, rather than a round having shown it.
    pub fn is_fact(&self) -> bool {
        matches!(self, Source::Fact { .. } | Source::Agent { .. })
    }
}

/// The lots that a cover explains, with their rows.
pub(super) fn positive_lots<'a>(
    board: &'a Board,
    cover: &'a Cover,
) -> impl Iterator<Item = (&'a Row, &'a Lot)> + 'a {
    lots_with_ratio(board, cover).map(|(row, lot, _)| (row, lot))
}

fn lots_with_ratio<'a>(
    board: &'a Board,
    cover: &'a Cover,
) -> impl Iterator<Item = (&'a Row, &'a Lot, f64)> + 'a {
    cover.effects.iter().flat_map(move |effect| {
        let row = board.rows.get(effect.row as usize);
        row.into_iter().flat_map(move |row| {
            let lots = row.lots.iter().zip(&effect.lots);
            lots.filter(|(_, ratio)| 0.0 < **ratio).map(move |(lot, ratio)| (row, lot, *ratio))
        })
    })
}

/// Everything for and against a cover, the loudest first.
pub(super) fn of(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> Vec<Evidence> {
    let mut pieces = Vec::new();
    match cover.mode {
        FaultMode::Lossy => pieces.extend(loss(judgement, cover)),
        FaultMode::Slow => pieces.extend(delay(picture, judgement, cover)),
        FaultMode::Down | FaultMode::OneWay | FaultMode::Reroute | FaultMode::Flapping => {
            if cover.is_band() {
                let members = cover.fate.iter();
                pieces.extend(members.filter_map(|target| {
                    lost(judgement, cover, *target, |lot| lot.target == *target)
                }));
                pieces.extend(beside(picture, judgement, cover));
            } else {
                pieces.extend(lost(judgement, cover, cover.element, |_| true));
            }
            pieces.extend(answered(picture, judgement, cover));
        }
    }
    for effect in &cover.effects {
        let Some(row) = judgement.board.rows.get(effect.row as usize) else { continue };
        pieces.extend(noted(picture, row, effect.rest, cover.element));
    }
    pieces.extend(reported(picture, judgement, cover));
    pieces.sort_by(|a, b| b.log_ratio.abs().total_cmp(&a.log_ratio.abs()));
    pieces.truncate(PIECES_MAX);
    pieces
}

fn refs(picture: &Picture<'_>, pairs: impl Iterator<Item = usize>) -> Vec<(ElementIx, ElementIx)> {
    let pairs = pairs.filter_map(|at| picture.pair(at));
    first(pairs.map(|pair| (pair.agent, pair.target)).collect())
}

fn first(mut pairs: Vec<(ElementIx, ElementIx)>) -> Vec<(ElementIx, ElementIx)> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs.truncate(REFS_MAX);
    pairs
}

/// The lost rounds over an element: of those that a cover explains, the ones that count for it.
fn lost(
    judgement: &Judgement<'_>,
    cover: &Cover,
    element: ElementIx,
    counts: impl Fn(&Lot) -> bool,
) -> Option<Evidence> {
    let all = lots_with_ratio(judgement.board, cover).filter(|(_, lot, _)| counts(lot));
    let (lots, ratios): (Vec<(&Row, &Lot)>, Vec<f64>) =
        all.map(|(row, lot, ratio)| ((row, lot), ratio)).unzip();
    let asks = || lots.iter().flat_map(|(_, lot)| &lot.asks).filter(|ask| cover.onset <= ask.at);
    let dead = asks().filter(|ask| ask.is_dead());
    let lost_rounds = u32::try_from(dead.clone().count()).unwrap_or(u32::MAX);
    let rounds = u32::try_from(asks().count()).unwrap_or(u32::MAX);
    let agents: BTreeSet<ElementIx> = lots.iter().map(|(row, _)| row.agent).collect();
    let regimes = lots.iter().filter_map(|(_, lot)| lot.regime.dead_since());
    let since = regimes.chain(dead.map(|ask| ask.at)).filter(|at| cover.onset <= *at).min()?;
    Some(Evidence {
        supports: true,
        log_ratio: ratios.iter().sum(),
        source: Source::Lost {
            element,
            lost: lost_rounds,
            rounds,
            agents: u32::try_from(agents.len()).unwrap_or(u32::MAX),
            since,
        },
        pairs: first(lots.iter().map(|(row, lot)| (row.agent, lot.target)).collect()),
    })
}

/// What others behind the device of a band answer: that it is not the device.
fn beside(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> Option<Evidence> {
    let device = picture.topology.host(cover.element)?;
    let mut rounds = 0;
    let mut agents = BTreeSet::new();
    for effect in &cover.effects {
        let Some(row) = judgement.board.rows.get(effect.row as usize) else { continue };
        let quiet = row.quiet_since(cover.onset.0);
        if 0 < quiet {
            rounds += quiet;
            agents.insert(row.agent);
        }
    }
    (0 < rounds).then(|| Evidence {
        supports: true,
        log_ratio: -noise::good_ratio() * rounds as f64,
        source: Source::Beside {
            device,
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
            agents: u32::try_from(agents.len()).unwrap_or(u32::MAX),
            since: cover.onset,
        },
        pairs: Vec::new(),
    })
}

/// What was answered over a row that should be gone.
fn answered(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> Option<Evidence> {
    let mut rounds = 0;
    let mut ratio = 0.0;
    let mut agents = BTreeSet::new();
    let mut pairs = Vec::new();
    for effect in &cover.effects {
        let Some(row) = judgement.board.rows.get(effect.row as usize) else { continue };
        if row.set.is_none() {
            continue;
        }
        let against = effect.lots.iter().filter(|ratio| **ratio < 0.0).sum::<f64>();
        let sum = effect.rest.min(0.0) + against;
        if sum == 0.0 {
            continue;
        }
        rounds += if effect.rest < 0.0 { row.quiet_since(cover.onset.0) } else { 0 };
        for (lot, _) in row.lots.iter().zip(&effect.lots).filter(|(_, ratio)| **ratio < 0.0) {
            rounds += lot.asks.iter().filter(|ask| cover.onset <= ask.at && !ask.is_dead()).count();
            pairs.push(lot.pair);
        }
        ratio += sum.max(-noise_floor(effect.trust));
        agents.insert(row.agent);
    }
    let source = Source::Answered {
        element: cover.element,
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        agents: u32::try_from(agents.len()).unwrap_or(u32::MAX),
        since: cover.onset,
    };
    (0 < rounds).then(|| Evidence {
        supports: false,
        log_ratio: ratio,
        source,
        pairs: refs(picture, pairs.into_iter()),
    })
}

/// The most that a row can say against: its path may be another.
fn noise_floor(trust: f64) -> f64 {
    -(1.0 - trust).max(1e-6).ln()
}

fn loss(judgement: &Judgement<'_>, cover: &Cover) -> Vec<Evidence> {
    let mut pieces = Vec::new();
    for supports in [true, false] {
        let (mut sent, mut lost, mut ratio) = (0, 0, 0.0);
        let mut agents = BTreeSet::new();
        for effect in cover.effects.iter().filter(|effect| (0.0 < effect.rest) == supports) {
            let Some(row) = judgement.board.rows.get(effect.row as usize) else { continue };
            for ((of, gone), count) in &row.counts {
                sent += u64::from(*of) * u64::from(*count);
                lost += u64::from(*gone) * u64::from(*count);
            }
            ratio += super::score::row_value(effect.rest, effect.whole, effect.trust);
            agents.insert(row.agent);
        }
        let agents = u32::try_from(agents.len()).unwrap_or(u32::MAX);
        if 0 < sent {
            let source = Source::Loss { element: cover.element, sent, lost, agents };
            pieces.push(Evidence { supports, log_ratio: ratio, source, pairs: Vec::new() });
        }
    }
    pieces
}

fn delay(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> Option<Evidence> {
    let rows = cover.effects.iter().filter_map(|e| judgement.board.rows.get(e.row as usize));
    let rows: Vec<&Row> = rows.collect();
    let mut shifts: Vec<i64> =
        rows.iter().flat_map(|row| row.shifts_us.iter().map(|(_, us)| *us)).collect();
    shifts.sort_unstable();
    let shifted = rows.iter().flat_map(|row| row.shifts_us.iter().map(|(pair, _)| *pair));
    let source = Source::Delay {
        element: cover.element,
        shifted: u32::try_from(shifts.len()).unwrap_or(u32::MAX),
        steady: rows.iter().map(|row| row.steady).sum(),
        us: *shifts.get(shifts.len() / 2)?,
    };
    Some(Evidence { supports: true, log_ratio: cover.alone, source, pairs: refs(picture, shifted) })
}

/// What a row that is no round says.
fn noted(picture: &Picture<'_>, row: &Row, log_ratio: f64, element: ElementIx) -> Option<Evidence> {
    if log_ratio == 0.0 {
        return None;
    }
    let agent = |note, since| Source::Agent { agent: row.agent, note, since };
    let source = match row.note {
        Note::Rounds => return None,
        Note::Silent { since } => agent(AgentNote::Silent, since),
        Note::NoGateway { since } => agent(AgentNote::NoGateway, since),
        Note::Heard => agent(AgentNote::Heard, picture.now),
        Note::Changed { pairs, at } => Source::Changed { element, pairs, at },
        Note::Reach { fact } => {
            let told = picture.facts.get(fact)?;
            let end = told.agent;
            let (element, at, by) = (told.element, told.at, told.by.clone());
            Source::Fact { fact, kind: told.kind?, element, end, at, by }
        }
    };
    Some(Evidence { supports: 0.0 < log_ratio, log_ratio, source, pairs: Vec::new() })
}

/// Reports about the element and, of a device or group, about what belongs to it.
fn reported(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> Vec<Evidence> {
    let topology = picture.topology;
    let around = cover.fate.iter().flat_map(|member| {
        let is_device = topology.kind(*member) == ElementKind::Device;
        let links = topology.arcs(*member).iter().filter(move |_| is_device).map(|arc| arc.link);
        [*member].into_iter().chain(links)
    });
    let around: BTreeSet<ElementIx> = around.collect();
    let mut pieces = Vec::new();
    let when = (cover.onset, cover.healed_at.is_some());
    let told = judgement.telemetry.ratio(picture, cover.element, cover.mode, when);
    let facts: BTreeSet<usize> =
        around.iter().flat_map(|element| judgement.telemetry.facts(*element)).copied().collect();
    let facts: Vec<usize> = facts
        .into_iter()
        .filter(|at| picture.facts.get(*at).is_some_and(|fact| fact.agent.is_none()))
        .collect();
    let bad = facts.iter().filter(|at| {
        picture.facts.get(**at).and_then(|fact| fact.kind).is_some_and(FactKind::is_bad)
    });
    let share = told / bad.count().max(1) as f64;
    for at in facts {
        let Some(fact) = picture.facts.get(at) else { continue };
        let Some(kind) = fact.kind else { continue };
        let log_ratio = if kind.is_bad() { share } else { noise::good_ratio() * fact.weight };
        if log_ratio != 0.0 {
            pieces.push(Evidence {
                supports: 0.0 < log_ratio,
                log_ratio,
                source: Source::Fact {
                    fact: at,
                    kind,
                    element: fact.element,
                    end: fact.end,
                    at: fact.at,
                    by: fact.by.clone(),
                },
                pairs: Vec::new(),
            });
        }
    }
    pieces
}

/// What would tell the members of the first cause apart, or the first from the second; `None` if
/// nothing needs to be.
pub(super) fn to_disambiguate(
    picture: &Picture<'_>,
    first: &RankedCause,
    second: Option<ElementIx>,
) -> Option<String> {
    let topology = picture.topology;
    let others = if 1 < first.elements.len() {
        first.elements.clone()
    } else {
        let own = first.elements.first().copied()?;
        if 0.9 <= first.probability {
            return None;
        }
        [own].into_iter().chain(second).collect()
    };
    if 1 < first.elements.len() && first.kind == ElementKind::Target {
        return Some(text::undrawn(topology, &first.elements));
    }
    let kinds: Vec<(ElementKind, &str)> =
        others.iter().map(|ix| (topology.kind(*ix), topology.id(*ix))).collect();
    Some(text::next_look(&kinds))
}
