//! What a judgement says: causes with their probability, evidence, and impact.

use std::collections::BTreeSet;

use model::{ElementKind, FaultMode, UtcMicros};

use super::{
    assess::{Channel, Judgement},
    board::Board,
    class, evidence,
    impact::{self, Before},
    picture::{Pair, Picture},
    rows::{Lot, Note, Row},
    score::Cover,
    search::{self, Alternative, Search},
};
use crate::graph::ElementIx;

pub use super::evidence::{Evidence, Source};
pub use super::impact::Impact;

/// Causes that are said of one finding; further ones are in what is left.
const CAUSES_MAX: usize = 5;
/// A cause less likely than this is in what is left.
const PROBABILITY_MIN: f64 = 0.01;
/// Of one less likely than this nobody asks what looks the same.
const UNSAID_MAX: f64 = 1e-5;
/// A device or site that only one agent saw fail, without a fact, is at most this sure.
const LONE_WITNESS_MAX: f64 = 0.6;
/// A target of which not every agent has been heard since is at most this sure.
const PENDING_MAX: f64 = 0.45;
/// From here on an alert that a cause explains is suppressed.
pub const SUPPRESS_PROBABILITY: f64 = 0.8;
/// Whether a target is out or nothing is, is less sure than which of several causes it is.
const LONE_PART: f64 = 0.75;
/// Lost rounds of one finding that are kept with their time.
pub(super) const LOST_MAX: usize = 64;
/// Outages of a pair within the window that are more than one failure after another.
const FLAP_OUTAGES: usize = 3;
/// Share of explained pairs that were out as often as that, from which it flaps.
const FLAP_SHARE: f64 = 0.5;

/// What is the matter at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// Of when it is.
    pub at: UtcMicros,
    pub findings: Vec<Finding>,
    /// Agents whose rounds speak of themselves.
    pub blind: Vec<ElementIx>,
    /// Pairs of agent and target that are out, and nobody knows why.
    pub unexplained: Vec<(ElementIx, ElementIx)>,
    /// Facts of kinds that nobody knows; they count for nothing.
    pub facts_unknown: u32,
    /// The budget ran out: what is here is right as far as it goes.
    pub is_cut_short: bool,
}

/// One thing that is the matter.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The likeliest first.
    pub causes: Vec<RankedCause>,
    /// That it is none of them.
    pub other: f64,
    /// It began after the first moment and not after the second.
    pub onset: (UtcMicros, UtcMicros),
    pub impact: Impact,
    /// Targets whose alert it explains surely enough.
    pub suppressed: Vec<ElementIx>,
    /// That one of the causes named holds which explain at least as much as the first.
    pub explained: f64,
    /// Pairs it explains.
    pub pairs: Vec<(ElementIx, ElementIx)>,
    /// When rounds were lost of what it explains, the last first, as many as are counted.
    pub lost: Vec<UtcMicros>,
    /// Something of it was lost within the last two rounds, or it is nothing that loses rounds.
    pub is_fresh: bool,
    /// The work was announced: nobody is told.
    pub is_announced: bool,
    /// Something is still out; if not, what failed is only gone round.
    pub is_felt: bool,
    /// It works again.
    pub is_over: bool,
}

impl Assessment {
    /// Whether something that is the matter explains a pair.
    pub(super) fn explains(&self, pair: (ElementIx, ElementIx)) -> bool {
        let mut findings = self.findings.iter().filter(|finding| !finding.is_over);
        findings.any(|finding| finding.pairs.binary_search(&pair).is_ok())
    }
}

impl Finding {
    /// How much it matters: how likely its first cause is, and how much it explains.
    fn strength(&self) -> f64 {
        let probability = self.causes.first().map_or(0.0, |cause| cause.probability);
        probability * (1.0 + self.pairs.len() as f64).ln()
    }
}

impl Finding {
    /// Speaks of the same elements by other indices; whether a cause is left. The evidence is left
    /// out: the next assessment has its own.
    pub(super) fn translate(&mut self, to: &impl Fn(ElementIx) -> Option<ElementIx>) -> bool {
        let all = |elements: &mut Vec<ElementIx>| {
            *elements = elements.iter().filter_map(|element| to(*element)).collect();
        };
        for cause in &mut self.causes {
            all(&mut cause.elements);
            cause.evidence.clear();
        }
        self.causes.retain(|cause| !cause.elements.is_empty());
        for list in
            [&mut self.suppressed, &mut self.impact.devices, &mut self.impact.devices_exposed]
        {
            all(list);
        }
        let pair = |(agent, target): &(ElementIx, ElementIx)| to(*agent).zip(to(*target));
        self.pairs = self.pairs.iter().filter_map(pair).collect();
        self.pairs.sort_unstable();
        !self.causes.is_empty()
    }
}

/// A cause that could be, or a class of causes that nothing tells apart.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedCause {
    /// The likeliest first.
    pub elements: Vec<ElementIx>,
    /// Of the likeliest.
    pub kind: ElementKind,
    pub mode: FaultMode,
    /// Of what is lossy.
    pub loss_ppm: Option<u32>,
    /// Of what is slow.
    pub rtt_us_added: Option<i64>,
    pub probability: f64,
    pub evidence: Vec<Evidence>,
    /// What would tell the members apart, or this cause from the next.
    pub to_disambiguate: Option<String>,
}

/// Says it all.
pub(super) fn report(picture: &Picture<'_>, judgement: &Judgement<'_>) -> Assessment {
    let mut findings = Vec::new();
    let before = Before::default();
    let channels = [&judgement.outages, &judgement.losses, &judgement.delays];
    for channel in channels {
        for place in 0..channel.chosen.len() {
            findings.extend(finding(picture, judgement, &before, (channel, place)));
        }
    }
    for cover in &judgement.targets {
        findings.extend(target_finding(picture, judgement, &before, cover));
    }
    // The strongest first: it is read first.
    findings.sort_by(|a, b| b.strength().total_cmp(&a.strength()));
    suppress(picture, judgement, &mut findings);
    let pair = |at: &usize| picture.pair(*at).map(|pair| (pair.agent, pair.target));
    let mut blind: BTreeSet<ElementIx> =
        judgement.board.blind.iter().map(|blind| blind.agent).collect();
    for finding in &findings {
        blind.extend(blinded(picture, judgement.board, finding));
    }
    Assessment {
        at: picture.now,
        findings,
        blind: blind.into_iter().collect(),
        unexplained: judgement.unexplained.iter().filter_map(pair).collect(),
        facts_unknown: judgement.telemetry.unknown,
        is_cut_short: judgement.is_cut_short,
    }
}

/// Agents that a finding makes blind: they are its cause, or stand on what is down.
fn blinded(picture: &Picture<'_>, board: &Board, finding: &Finding) -> Vec<ElementIx> {
    let topology = picture.topology;
    let Some(cause) = finding.causes.first() else { return Vec::new() };
    if cause.mode != FaultMode::Down {
        return Vec::new();
    }
    let is_own = |kind| matches!(kind, ElementKind::Agent | ElementKind::AgentUplink);
    let fate: Vec<ElementIx> =
        cause.elements.first().into_iter().flat_map(|element| topology.fate(*element)).collect();
    let agents = topology.of_kind(ElementKind::Agent);
    let is_hit = |agent: &ElementIx| {
        let uplinks = topology.members(*agent).iter();
        let carried = uplinks.chain(topology.host(*agent).as_ref()).any(|ix| fate.contains(ix));
        fate.contains(agent) || carried || (is_own(cause.kind) && cause.elements.contains(agent))
    };
    agents.filter(is_hit).filter(|agent| board.asks(*agent)).collect()
}

fn finding(
    picture: &Picture<'_>,
    judgement: &Judgement<'_>,
    before: &Before,
    (channel, place): (&Channel, usize),
) -> Option<Finding> {
    let search = Search::of(&channel.covers, &channel.chosen);
    let chosen = channel.covers.get(*channel.chosen.get(place)?)?;
    let (alternatives, other) = search.alternatives(place);
    let scores: Vec<f64> = alternatives.iter().map(|alternative| alternative.score).collect();
    let (chances, _) = search::probabilities(&scores, other);
    let mut classes = classes(picture, judgement, channel, &alternatives, &chances);
    calibrate(&mut classes);
    let rows: BTreeSet<u32> = chosen.positive_rows().collect();
    let covers_all = |cover: &Cover| {
        let common = cover.positive_rows().filter(|row| rows.contains(row)).count();
        rows.len() * 9 <= common * 10
    };
    let covering: f64 =
        classes.iter().filter(|(_, cover, _)| covers_all(cover)).map(|(.., chance)| chance).sum();
    let mut causes = Vec::new();
    for (elements, cover, probability) in classes {
        if CAUSES_MAX <= causes.len() || (probability < PROBABILITY_MIN && !causes.is_empty()) {
            break;
        }
        causes.push(cause(picture, judgement, elements, cover, probability));
    }
    cap_lone_witness(judgement, chosen, &mut causes);
    cap_pending(picture, judgement, &mut causes);
    ask_next(picture, &mut causes);
    let said: f64 = causes.iter().map(|cause| cause.probability).sum();
    let is_lone = matches!(causes.as_slice(), [cause, ..] if cause.probability == LONE_WITNESS_MAX);
    let explained_by = if is_lone { LONE_WITNESS_MAX } else { covering };
    let pairs = explained(picture, judgement, chosen);
    let felt = felt_targets(judgement, chosen);
    Some(Finding {
        other: (1.0 - said).max(0.0),
        onset: chosen.onset_span(judgement.board),
        impact: impact::of(picture, judgement.board, before, chosen, &pairs),
        suppressed: Vec::new(),
        explained: explained_by,
        is_announced: causes.first().is_some_and(|cause| is_announced(picture, cause)),
        is_over: chosen.healed_at.is_some(),
        is_felt: chosen.healed_at.is_none()
            && (matches!(chosen.mode, FaultMode::Lossy | FaultMode::Slow) || felt),
        causes,
        pairs,
        lost: lost(judgement, chosen),
        is_fresh: is_fresh(picture, judgement, chosen),
    })
}

/// The alternatives by class, the likeliest first.
fn classes<'c>(
    picture: &Picture<'_>,
    judgement: &Judgement<'_>,
    channel: &'c Channel,
    alternatives: &[Alternative],
    chances: &[f64],
) -> Vec<(Vec<ElementIx>, &'c Cover, f64)> {
    let mut classes: Vec<(Vec<ElementIx>, &Cover, f64)> = Vec::new();
    let mut said: Vec<ElementIx> = Vec::new();
    for (alternative, chance) in alternatives.iter().zip(chances) {
        let Some(cover) = channel.covers.get(alternative.cover) else { continue };
        if cover.is_band() {
            classes.push((cover.fate.clone(), cover, *chance));
            continue;
        }
        let is_class = |(class, other, _): &&mut (Vec<ElementIx>, &Cover, f64)| {
            !other.is_band() && class.contains(&cover.element)
        };
        match classes.iter_mut().find(is_class) {
            Some((class, _, sum)) => {
                *sum += chance;
                // Members are said with the likeliest first.
                let place =
                    |ix: &ElementIx| said.iter().position(|s| s == ix).unwrap_or(said.len());
                class.sort_by_key(|ix| (place(ix), *ix != cover.element, *ix));
            }
            None if *chance < UNSAID_MAX => classes.push((vec![cover.element], cover, *chance)),
            None => {
                let mut class =
                    class::of(picture, judgement.board, &judgement.telemetry, cover.element);
                class.sort_by_key(|ix| *ix != cover.element);
                classes.push((class, cover, *chance));
            }
        }
        said.push(cover.element);
    }
    classes.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.1.element.cmp(&b.1.element)));
    classes
}

/// Turns weights into how often causes were right on generated failures: that it is none of those
/// listed was true less often than its weight says, by about the square root. How they share what
/// is left is not touched: of two that explain the same equally well neither is likelier for that.
fn calibrate(classes: &mut [(Vec<ElementIx>, &Cover, f64)]) {
    let listed: f64 = classes.iter().map(|(.., chance)| chance).sum();
    let scale = if 0.0 < listed { listed.sqrt() / listed } else { 1.0 };
    classes.iter_mut().for_each(|(.., chance)| *chance *= scale);
}

fn cause(
    picture: &Picture<'_>,
    judgement: &Judgement<'_>,
    elements: Vec<ElementIx>,
    cover: &Cover,
    probability: f64,
) -> RankedCause {
    let first = elements.first().copied().unwrap_or(cover.element);
    let mode = mode(picture, judgement, cover);
    let loss_ppm = (mode == FaultMode::Lossy).then(|| loss_ppm(judgement, cover));
    let rtt_us_added = (mode == FaultMode::Slow).then(|| rtt_us_added(judgement, cover));
    RankedCause {
        kind: picture.topology.kind(first),
        mode,
        loss_ppm,
        rtt_us_added,
        probability,
        evidence: evidence::of(picture, judgement, cover),
        to_disambiguate: None,
        elements,
    }
}

/// How it fails, from what became of what it explains.
fn mode(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> FaultMode {
    if cover.mode != FaultMode::Down {
        return cover.mode;
    }
    let lots: Vec<_> = evidence::positive_lots(judgement.board, cover).collect();
    let again = lots.iter().filter(|(_, lot)| FLAP_OUTAGES <= lot.regime.outages.len()).count();
    let is_flapping = 0 < again && FLAP_SHARE <= again as f64 / lots.len() as f64;
    let facts = judgement.telemetry.facts(cover.element).iter();
    let turns = facts.filter_map(|at| picture.facts.get(*at)?.kind);
    let is_turn = |kind: &model::FactKind| {
        matches!(kind, model::FactKind::InterfaceDown | model::FactKind::InterfaceUp)
    };
    if is_flapping || 3 <= turns.filter(is_turn).count() {
        return FaultMode::Flapping;
    }
    let is_out = lots.iter().any(|(_, lot)| lot.regime.is_dead);
    let is_gone_round = cover.effects.iter().filter(|effect| 0.0 < effect.rest).any(|effect| {
        let row = judgement.board.rows.get(effect.row as usize);
        row.is_some_and(|row| matches!(row.note, Note::Changed { .. }))
    });
    let is_carrier = matches!(
        picture.topology.kind(cover.element),
        ElementKind::Link
            | ElementKind::Lag
            | ElementKind::Interface
            | ElementKind::Device
            | ElementKind::Srlg
    );
    if cover.healed_at.is_none()
        && !is_out
        && is_carrier
        && (is_gone_round || cover.converged_us.is_some())
    {
        FaultMode::Reroute
    } else {
        FaultMode::Down
    }
}

/// The share of packets lost on the rows that cross it alone, as measured.
fn loss_ppm(judgement: &Judgement<'_>, cover: &Cover) -> u32 {
    let (mut sent, mut lost) = (0_u64, 0_u64);
    for effect in cover.effects.iter().filter(|effect| 0.0 < effect.rest) {
        let Some(row) = judgement.board.rows.get(effect.row as usize) else { continue };
        for ((of, gone), count) in &row.counts {
            sent += u64::from(*of) * u64::from(*count);
            lost += u64::from(*gone) * u64::from(*count);
        }
    }
    u32::try_from((lost * 1_000_000).checked_div(sent).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// The median of what the answers are later by.
fn rtt_us_added(judgement: &Judgement<'_>, cover: &Cover) -> i64 {
    let rows = cover.effects.iter().filter_map(|e| judgement.board.rows.get(e.row as usize));
    let mut shifts: Vec<i64> =
        rows.flat_map(|row| row.shifts_us.iter().map(|(_, shift)| *shift)).collect();
    shifts.sort_unstable();
    shifts.get(shifts.len() / 2).copied().unwrap_or(0)
}

/// One agent alone, without a fact, is not enough to be sure of a device or a site.
fn cap_lone_witness(judgement: &Judgement<'_>, chosen: &Cover, causes: &mut [RankedCause]) {
    let agents: BTreeSet<ElementIx> =
        evidence::positive_lots(judgement.board, chosen).map(|(row, _)| row.agent).collect();
    let has_fact = causes.first().is_some_and(|cause| {
        cause.evidence.iter().any(|piece| piece.supports && piece.source.is_fact())
    });
    if 1 < agents.len() || has_fact {
        return;
    }
    for cause in causes {
        if matches!(cause.kind, ElementKind::Device | ElementKind::Site) {
            cause.probability = cause.probability.min(LONE_WITNESS_MAX);
        }
    }
}

/// A target's other agents are heard first, unless they take longer than an interval.
fn cap_pending(picture: &Picture<'_>, judgement: &Judgement<'_>, causes: &mut [RankedCause]) {
    for cause in causes.iter_mut().filter(|cause| cause.kind == ElementKind::Target) {
        let pairs = cause.elements.iter().flat_map(|target| judgement.board.pairs_of(*target));
        let pairs = pairs.map(|at| *at as usize);
        let first = pairs.clone().filter_map(|at| judgement.board.regime_of(at)?.dead_since());
        let Some(first) = first.min() else { continue };
        let is_pending = |pair: &Pair<'_>| {
            let is_blind = judgement.board.blind.iter().any(|blind| blind.agent == pair.agent);
            let is_asked = pair.asks.last().is_none_or(|ask| first <= ask.at);
            !is_blind && !is_asked && picture.now.0 - first.0 <= pair.interval_us
        };
        if pairs.filter_map(|at| picture.pair(at)).any(|pair| is_pending(&pair)) {
            cause.probability = cause.probability.min(PENDING_MAX);
        }
    }
}

fn is_announced(picture: &Picture<'_>, cause: &RankedCause) -> bool {
    let Some(element) = cause.elements.first() else { return false };
    let fates = |work: ElementIx| {
        let fate = picture.topology.fate(work);
        fate.binary_search(element).is_ok()
    };
    picture
        .works
        .iter()
        .any(|work| work.from <= picture.now && picture.now < work.until && fates(work.element))
}

/// What to look at next.
fn ask_next(picture: &Picture<'_>, causes: &mut [RankedCause]) {
    let second = causes.get(1).and_then(|cause| cause.elements.first()).copied();
    let Some(first) = causes.first_mut() else { return };
    first.to_disambiguate = evidence::to_disambiguate(picture, first, second);
}

/// Pairs whose outage, loss or delay a cover explains.
fn explained(
    picture: &Picture<'_>,
    judgement: &Judgement<'_>,
    cover: &Cover,
) -> Vec<(ElementIx, ElementIx)> {
    let pair = |at: usize| picture.pair(at).map(|pair| (pair.agent, pair.target));
    let lots = evidence::positive_lots(judgement.board, cover);
    let mut pairs: Vec<(ElementIx, ElementIx)> =
        lots.map(|(row, lot)| (row.agent, lot.target)).collect();
    if cover.mode == FaultMode::Slow {
        let rows = cover.positive_rows().filter_map(|row| judgement.board.rows.get(row as usize));
        pairs.extend(rows.flat_map(|row| &row.shifts_us).filter_map(|(at, _)| pair(*at)));
    }
    if cover.mode == FaultMode::Lossy {
        let rows = cover.positive_rows().filter_map(|row| judgement.board.rows.get(row as usize));
        pairs.extend(rows.flat_map(Row::all_pairs).filter_map(pair));
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn lost(judgement: &Judgement<'_>, cover: &Cover) -> Vec<UtcMicros> {
    let lots = evidence::positive_lots(judgement.board, cover);
    let lost = lots.flat_map(|(_, lot)| &lot.asks).filter(|ask| ask.is_dead());
    let mut lost: Vec<UtcMicros> = lost.map(|ask| ask.at).collect();
    let latest_first = |a: &UtcMicros, b: &UtcMicros| b.cmp(a);
    if LOST_MAX < lost.len() {
        lost.select_nth_unstable_by(LOST_MAX, latest_first);
        lost.truncate(LOST_MAX);
    }
    lost.sort_unstable_by(latest_first);
    lost
}

/// Whether a pair lost one of its last two rounds, or nothing that it explains is a round.
fn is_fresh(picture: &Picture<'_>, judgement: &Judgement<'_>, cover: &Cover) -> bool {
    let mut lots = evidence::positive_lots(judgement.board, cover).peekable();
    lots.peek().is_none()
        || lots.any(|(_, lot)| {
            let dead = lot.asks.iter().rfind(|ask| ask.is_dead());
            dead.is_some_and(|ask| picture.now.0 - ask.at.0 <= 2 * lot.interval_us)
        })
}

/// Whether something it explains is still out.
fn felt_targets(judgement: &Judgement<'_>, cover: &Cover) -> bool {
    evidence::positive_lots(judgement.board, cover).any(|(_, lot)| lot.regime.is_dead)
        || cover.effects.iter().filter(|effect| 0.0 < effect.rest).any(|effect| {
            let row = judgement.board.rows.get(effect.row as usize);
            row.is_some_and(|row| matches!(row.note, Note::Silent { .. } | Note::NoGateway { .. }))
        })
}

/// What it says of a target that it stays out while others on its way are answered. It says
/// nothing against what carries it, but that it is chance becomes less likely with each round.
fn lasting(judgement: &Judgement<'_>, cover: &Cover) -> f64 {
    const FIRST: usize = 2;
    const ROUND: f64 = 2.5;
    const MAX: f64 = 10.0;
    let alone = |(row, lot): (&Row, &Lot)| {
        let since = lot.regime.dead_since()?;
        let dead = lot.asks.iter().filter(|ask| since <= ask.at && ask.is_dead());
        let alone = dead.filter(|ask| row.is_answered_in(ask.at.0 - lot.interval_us, ask.at.0));
        Some(alone.count())
    };
    let lots = evidence::positive_lots(judgement.board, cover);
    let rounds = lots.filter_map(alone).max().unwrap_or(0);
    (rounds.saturating_sub(FIRST) as f64 * ROUND).min(MAX)
}

fn target_finding(
    picture: &Picture<'_>,
    judgement: &Judgement<'_>,
    before: &Before,
    cover: &Cover,
) -> Option<Finding> {
    // Nothing else explains it: against it stands that nothing is wrong.
    let score = cover.score() + lasting(judgement, cover);
    let (chances, other) = search::probabilities(&[score * LONE_PART], 0.0);
    let mut cause = cause(picture, judgement, cover.fate.clone(), cover, *chances.first()?);
    cause.mode = FaultMode::Down;
    cap_pending(picture, judgement, std::slice::from_mut(&mut cause));
    let pairs = explained(picture, judgement, cover);
    Some(Finding {
        is_announced: is_announced(picture, &cause),
        causes: vec![cause],
        other,
        onset: cover.onset_span(judgement.board),
        impact: impact::of(picture, judgement.board, before, cover, &pairs),
        suppressed: Vec::new(),
        explained: 1.0 - other,
        pairs,
        lost: lost(judgement, cover),
        is_fresh: is_fresh(picture, judgement, cover),
        is_felt: true,
        is_over: false,
    })
}

/// Targets that are out and whose every outage is explained by causes that are sure enough: their
/// own alerts would say nothing new.
fn suppress(picture: &Picture<'_>, judgement: &Judgement<'_>, findings: &mut [Finding]) {
    let is_sure = |finding: &Finding| {
        finding.causes.first().is_some_and(|cause| {
            SUPPRESS_PROBABILITY <= finding.explained
                && cause.kind != ElementKind::Target
                && matches!(cause.mode, FaultMode::Down | FaultMode::OneWay | FaultMode::Flapping)
        })
    };
    let sure: Vec<bool> = findings.iter().map(is_sure).collect();
    let hit = findings.iter().zip(&sure).filter(|(_, sure)| **sure);
    let targets = hit.flat_map(|(finding, _)| finding.pairs.iter().map(|(_, target)| *target));
    let mut hit: Vec<ElementIx> = targets.collect();
    hit.sort_unstable();
    hit.dedup();
    for target in hit {
        let explains = |agent: ElementIx| {
            let of = |finding: &Finding| finding.pairs.binary_search(&(agent, target)).is_ok();
            findings.iter().zip(&sure).position(|(finding, sure)| *sure && of(finding))
        };
        let is_agents = |at: usize| {
            let cause = findings.get(at).and_then(|finding| finding.causes.first());
            cause.is_some_and(|cause| {
                matches!(cause.kind, ElementKind::Agent | ElementKind::AgentUplink)
            })
        };
        let (mut first, mut is_agents_only) = (None, true);
        let is_all = judgement.board.out_of(target).all(|at| {
            let agent = picture.pairs.get(at).map(|pair| pair.agent);
            let found = agent.and_then(explains);
            is_agents_only &= found.is_none_or(is_agents);
            first = [first, found].into_iter().flatten().min();
            found.is_some() || agent.is_none()
        });
        if !is_all || (is_agents_only && is_answering(picture, judgement.board, target)) {
            continue;
        }
        if let Some(finding) = first.and_then(|at| findings.get_mut(at)) {
            finding.suppressed.push(target);
        }
    }
}

/// Whether an agent that can see gets answers from a target.
fn is_answering(picture: &Picture<'_>, board: &Board, target: ElementIx) -> bool {
    board.pairs_of(target).iter().map(|at| *at as usize).any(|at| {
        let is_out = board.regime_of(at).is_some_and(|regime| regime.is_dead);
        !is_out
            && picture.pair(at).is_some_and(|pair| {
                let is_blind = board.blind.iter().any(|blind| blind.agent == pair.agent);
                !is_blind && pair.asks.last().is_some_and(|ask| !ask.is_dead())
            })
    })
}
