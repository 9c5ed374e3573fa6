//! The judgement: from a picture to causes.
//!
//! 1 - Rounds of silent and blind agents speak of the agent, not of the network.
//! 2 - Outages first: every element on a row with a lost round, and every element of which
//!     something bad was reported, is weighed; so are sites, groups and LAGs of which at least two
//!     members are.
//! 3 - Loss and delay next, on rounds that no outage explains.
//! 4 - A target is a cause of its own when nothing else on its path explains it and a second round
//!     or a second agent confirms it.
//! 5 - What nothing explains is said to be unexplained.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use model::{ElementKind, FaultMode, UtcMicros};

use super::{
    board::{Board, Gone, Sum},
    class,
    noise::LEVELS,
    picture::Picture,
    prior, rows,
    score::{self, ALTERNATIVE_MIN, Cover, Scorer},
    search::Search,
    targets::{self, Dead},
    telemetry::Telemetry,
};
use crate::graph::ElementIx;

/// Elements weighed in one channel: the worst ones, if there are more.
const CANDIDATES_MAX: usize = 400;
/// The share of pairs that lose a round of the window by noise, at least and at most.
const NOISE_MIN: f64 = 0.005;
const NOISE_MAX: f64 = 0.03;
/// Standard deviations by which lost rounds exceed noise on what is worth a look.
const BEYOND_NOISE: f64 = 3.0;
/// The score of a cause that surely explains what it explains.
const SURE: f64 = 20.0;
/// So many times thinner than over what explains it, lost rounds do not speak for an element.
const THINNER: f64 = 2.0;
/// A row whose loss says less than this is quiet.
const LOSSY_ROW_MIN: f64 = 2.5;

/// An element whose rows say less than this for every level of loss is whole.
const LOSS_SUM_MIN: f64 = -20.0;

/// One channel's covers with what was chosen of them.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) covers: Vec<Cover>,
    pub(super) chosen: Vec<usize>,
}

impl Channel {
    /// Whether a chosen cover says anything of a row.
    fn touches(&self, row: u32) -> bool {
        let mut chosen = self.chosen.iter().filter_map(|at| self.covers.get(*at));
        chosen.any(|cover| cover.effects.binary_search_by_key(&row, |effect| effect.row).is_ok())
    }
}

/// Everything that the text and the impact are made of.
#[derive(Debug)]
pub(super) struct Judgement<'b> {
    pub(super) board: &'b Board,
    pub(super) telemetry: Telemetry,
    pub(super) outages: Channel,
    pub(super) losses: Channel,
    pub(super) delays: Channel,
    pub(super) targets: Vec<Cover>,
    /// Pairs that are out and explained by nothing.
    pub(super) unexplained: Vec<usize>,
    pub(super) is_cut_short: bool,
}

/// Judges, within a budget of covers weighed (`None` is no limit).
pub(super) fn judge<'b>(
    picture: &Picture<'_>,
    board: &'b Board,
    budget: Option<u64>,
) -> Judgement<'b> {
    let telemetry = Telemetry::new(picture);
    let scorer = Scorer { picture, board, telemetry: &telemetry };
    let mut is_cut_short = false;
    let mut chosen = |covers: Vec<Cover>| {
        let search = Search::run(&covers, budget);
        is_cut_short |= search.is_cut_short;
        let best = search.chosen;
        Channel { covers, chosen: best }
    };
    let mut outages = chosen(outage_covers(&scorer));
    adopt(&scorer, &mut outages);
    let losses = chosen(loss_covers(&scorer, &outages));
    let delays = chosen(delay_covers(&scorer, &outages));
    let (targets, unexplained) = leftovers(&scorer, &[&outages, &losses]);
    Judgement { outages, losses, delays, targets, unexplained, is_cut_short, board, telemetry }
}

/// Lets what was chosen explain all that it can, and leaves out targets that nothing is left for.
fn adopt(scorer: &Scorer<'_, '_>, outages: &mut Channel) {
    let is_target = |ix: ElementIx| scorer.picture.topology.kind(ix) == ElementKind::Target;
    for at in &outages.chosen {
        if let Some(cover) = outages.covers.get_mut(*at).filter(|cover| !is_target(cover.element)) {
            scorer.adopt(cover);
        }
    }
    let Channel { covers, chosen } = outages;
    let carriers: Vec<&Cover> = chosen
        .iter()
        .filter_map(|at| covers.get(*at))
        .filter(|cover| !is_target(cover.element))
        .collect();
    let is_left = |cover: &Cover| {
        cover.effects.iter().any(|effect| {
            let lots = effect.lots.iter().enumerate().filter(|(_, ratio)| 0.0 < **ratio);
            lots.map(|(lot, _)| lot)
                .any(|lot| !carriers.iter().any(|carrier| carrier.explains(effect.row, lot)))
        })
    };
    let stays: Vec<bool> = chosen
        .iter()
        .map(|at| covers.get(*at).is_some_and(|cover| !is_target(cover.element) || is_left(cover)))
        .collect();
    let mut stays = stays.into_iter();
    chosen.retain(|_| stays.next().unwrap_or(true));
}

/// Sorts covers by what they explain and leaves the hopeless out.
fn kept(mut covers: Vec<Cover>) -> Vec<Cover> {
    covers.retain(|cover| ALTERNATIVE_MIN < cover.score());
    covers.sort_by(|a, b| b.score().total_cmp(&a.score()).then(a.element.cmp(&b.element)));
    covers
}

/// How suspicious the rows make each element that they cross, by element.
fn crossed<'r>(
    scorer: &Scorer<'_, '_>,
    rows: impl Iterator<Item = (&'r rows::Row, f64)>,
) -> Vec<f64> {
    let mut suspicion = vec![0.0; scorer.picture.topology.elements().len()];
    let mut add = |element: ElementIx, weight: f64| {
        suspicion.get_mut(element.index()).into_iter().for_each(|sum: &mut f64| *sum += weight);
    };
    for (row, weight) in rows {
        let set = row.set.and_then(|set| scorer.picture.paths.get(set));
        for crossing in set.into_iter().flat_map(|set| &set.crossings) {
            add(crossing.element, weight * crossing.share);
        }
        for (element, ratio) in row.fixed.iter().filter(|(_, ratio)| 0.0 < *ratio) {
            add(*element, *ratio);
        }
    }
    suspicion
}

/// Those of the elements crossed that are worth a look.
fn suspects(suspicion: &[f64], is_worth: impl Fn(ElementIx) -> bool) -> BTreeMap<ElementIx, f64> {
    let all = suspicion.iter().zip(0..).filter(|(sum, _)| 0.0 < **sum);
    let all = all.map(|(sum, at)| (ElementIx(at), *sum));
    all.filter(|(element, _)| is_worth(*element)).collect()
}

/// The most suspicious elements, and the composites of which at least two members are among them.
fn candidates(scorer: &Scorer<'_, '_>, suspicion: &BTreeMap<ElementIx, f64>) -> Vec<ElementIx> {
    let topology = scorer.picture.topology;
    let rows_of = |ix: ElementIx| scorer.board.rows_count(ix);
    let mut all: Vec<(ElementIx, f64)> = suspicion
        .iter()
        .filter(|(ix, _)| topology.kind(**ix) != ElementKind::Target)
        .map(|(ix, weight)| (*ix, weight / (rows_of(*ix).max(1) as f64).sqrt()))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(CANDIDATES_MAX);
    let mut elements: Vec<ElementIx> = all.into_iter().map(|(ix, _)| ix).collect();
    let mut members: BTreeMap<ElementIx, u32> = BTreeMap::new();
    for element in elements.iter().filter_map(|ix| topology.get(*ix)) {
        for group in element.groups.iter().copied().chain(element.site) {
            *members.entry(group).or_default() += 1;
        }
    }
    let known: BTreeSet<ElementIx> = elements.iter().copied().collect();
    let groups = members.into_iter().filter(|(group, count)| 2 <= *count && !known.contains(group));
    elements.extend(groups.map(|(group, _)| group));
    elements
}

/// Elements with more lost rounds on them than noise would lose, or with something that speaks for
/// them beside rounds.
fn outage_suspicion(scorer: &Scorer<'_, '_>) -> BTreeMap<ElementIx, f64> {
    let Scorer { picture, board, telemetry } = scorer;
    let noise = noise_share(board);
    let sums = board.sums().iter().zip(0..).map(|(sum, at)| (ElementIx(at), sum));
    let beyond = sums.filter(|(_, sum)| is_beyond_noise(sum, noise)).map(|(ix, _)| ix);
    let noted = board.noted().keys().copied();
    let noted = noted.filter(|element| scorer.noted(*element).any(|ratio| 0.0 < ratio));
    let mut suspicion: BTreeMap<ElementIx, f64> = beyond
        .chain(noted)
        .collect::<BTreeSet<ElementIx>>()
        .into_iter()
        .map(|element| (element, scorer.suspicion(element)))
        .filter(|(_, sum)| 0.0 < *sum)
        .collect();
    for element in telemetry.suspects(picture) {
        *suspicion.entry(element).or_default() += 3.0;
        if let Some(ends) = picture.topology.get(element).and_then(|e| e.ends) {
            for node in ends.map(|end| picture.topology.node_of(end)) {
                *suspicion.entry(node).or_default() += 1.0;
            }
        }
    }
    suspicion
}

/// The share of pairs that noise took a round from: over all rows that lost so few that nothing
/// on their way is broken.
fn noise_share(board: &Board) -> f64 {
    let Sum { lots, pairs } = board.noise;
    (lots as f64 / pairs.max(1) as f64).clamp(NOISE_MIN, NOISE_MAX)
}

/// Whether more pairs over an element lost rounds than noise would take.
fn is_beyond_noise(sum: &Sum, noise: f64) -> bool {
    let lots = sum.lots as f64 / rows::SHARE_ONE;
    let expected = noise * sum.pairs as f64 / rows::SHARE_ONE;
    let spread = (expected * (1.0 - noise)).max(noise).sqrt();
    BEYOND_NOISE * spread < lots - expected
}

/// Whether it is the one agent there is, or its uplink, and that agent is heard and its gateway
/// answers it. Of several, one that loses alone may be sick all the same; of one nothing says so,
/// and what it does not reach is behind its gateway.
fn is_well(scorer: &Scorer<'_, '_>, element: ElementIx) -> bool {
    let Scorer { picture, board, .. } = scorer;
    let mut agents = picture.beats.chunk_by(|a, b| a.agent == b.agent);
    let (Some([beat, ..]), None) = (agents.next(), agents.next()) else { return false };
    let is_own =
        matches!(picture.topology.kind(element), ElementKind::Agent | ElementKind::AgentUplink);
    is_own && class::is_heard(board, beat.agent)
}

fn outage_covers(scorer: &Scorer<'_, '_>) -> Vec<Cover> {
    let suspicion = outage_suspicion(scorer);
    let mut elements = candidates(scorer, &suspicion);
    elements.retain(|element| !is_well(scorer, *element));
    let mut covers = weighed(scorer, elements);
    let targets = dead_lots(scorer, &[]);
    let all: Vec<Dead<'_>> = dead(&targets).collect();
    let bands = targets::bands(scorer, &all).into_iter();
    let among_good = bands.filter(|band| band.is_among_good(scorer));
    covers.extend(among_good.filter_map(|band| band.cover(scorer, ALTERNATIVE_MIN)));
    let confirmed = all.iter().filter(|dead| is_confirmed(dead));
    let confirmed = confirmed.take(CANDIDATES_MAX);
    covers.extend(confirmed.filter_map(|dead| dead.cover(scorer, ALTERNATIVE_MIN)));
    kept(covers)
}

/// Weighs elements, given the most suspicious first, and passes over those that what was weighed
/// before leaves nothing to.
fn weighed(scorer: &Scorer<'_, '_>, elements: Vec<ElementIx>) -> Vec<Cover> {
    let noise = noise_share(scorer.board);
    let mut taken = Taken(vec![Explained::default(); scorer.board.rows.len()]);
    let mut covers = Vec::new();
    for element in elements {
        if taken.leaves_nothing(scorer, element, noise) {
            continue;
        }
        if let Some(cover) = scorer.down(element) {
            taken.add(scorer.board, &cover);
            covers.push(cover);
        }
    }
    covers
}

/// What is surely explained of each row.
struct Taken(Vec<Explained>);

#[derive(Clone, Copy, Default)]
struct Explained {
    lots: u32,
    /// Of the pairs over what explains them, the share that it explains.
    share: f64,
}

impl Taken {
    fn add(&mut self, board: &Board, cover: &Cover) {
        if cover.score() < SURE {
            return;
        }
        let mut lots: Vec<(u32, u32)> = Vec::new();
        let (mut sum, mut pairs) = (0.0, 0.0);
        for effect in &cover.effects {
            let Some(row) = board.rows.get(effect.row as usize) else { continue };
            let mine = effect.lots.iter().filter(|ratio| 0.0 < **ratio).count() as u32;
            lots.push((effect.row, mine));
            sum += f64::from(mine);
            pairs += row.pairs() as f64;
        }
        let share = sum / f64::max(pairs, 1.0);
        for (row, lots) in lots.into_iter().filter(|(_, lots)| 0 < *lots) {
            if let Some(known) = self.0.get_mut(row as usize) {
                known.lots = known.lots.max(lots);
                known.share = known.share.max(share);
            }
        }
    }

    /// Whether what crosses an element lost no more than noise takes beside what is explained, and
    /// is out so thinly that the element could not explain it half as well. What something beside
    /// rounds speaks of, and groups, are always looked at.
    fn leaves_nothing(&self, scorer: &Scorer<'_, '_>, element: ElementIx, noise: f64) -> bool {
        let is_group = 1 < scorer.picture.topology.fate(element).len();
        let is_told = !scorer.telemetry.facts(element).is_empty();
        if is_group || is_told || scorer.noted(element).any(|ratio| 0.0 < ratio) {
            return false;
        }
        let sum = scorer.board.sums().get(element.index()).copied().unwrap_or_default();
        let (mut left, mut densest) = (sum, 0.0);
        for (cross, row) in scorer.board.loud_over(element) {
            let Some(known) = self.0.get(cross.row as usize) else { continue };
            let lots = i64::from(known.lots).min(row.lots.len() as i64);
            left.lots -= rows::part_of(&cross.of) * lots;
            densest = f64::max(densest, known.share);
        }
        let all = sum.lots;
        let density = all as f64 / left.pairs.max(1) as f64;
        density * THINNER < densest && !is_beyond_noise(&left, noise)
    }
}

fn loss_covers(scorer: &Scorer<'_, '_>, outages: &Channel) -> Vec<Cover> {
    let board = scorer.board;
    let loudest = |row: &rows::Row| board.lossy(row).into_iter().fold(0.0, f64::max);
    let bad = board.kept_rows().iter().filter(|row| board.losses.is_beyond(&row.counted));
    let bad = bad.map(|row| (row, loudest(row))).filter(|(_, ratio)| LOSSY_ROW_MIN < *ratio);
    let suspicion = crossed(scorer, bad);
    let is_hopeful = |element| loss_sums(scorer, element).iter().any(|sum| LOSS_SUM_MIN < *sum);
    let mut suspicion = suspects(&suspicion, is_hopeful);
    for element in scorer.telemetry.suspects(scorer.picture) {
        *suspicion.entry(element).or_default() += 3.0;
    }
    let elements = ailing(scorer, &suspicion, outages);
    kept(elements.filter_map(|element| scorer.lossy(element)).collect())
}

/// What all rows over an element say of each level of loss, as if every flow crossed it.
fn loss_sums(scorer: &Scorer<'_, '_>, element: ElementIx) -> [f64; LEVELS.len()] {
    let mut sums = [0.0; LEVELS.len()];
    for row in scorer.board.rows_of(element) {
        let Some(row) = scorer.board.rows.get(row as usize) else { continue };
        let Some(set) = row.set.and_then(|set| scorer.picture.paths.get(set)) else { continue };
        let trust = score::trust(set.source);
        let values = scorer.board.lossy(row).map(|ratio| score::row_value(ratio, None, trust));
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
    sums
}

fn delay_covers(scorer: &Scorer<'_, '_>, outages: &Channel) -> Vec<Cover> {
    // Who goes another way answers later: no delay of its own.
    let mut chosen = outages.chosen.iter().filter_map(|at| outages.covers.get(*at));
    if chosen.any(|cover| cover.converged_us.is_some()) {
        return Vec::new();
    }
    let shifted = scorer.board.shifted.iter();
    let shifted = shifted.filter_map(|row| scorer.board.rows.get(*row as usize));
    let suspicion = crossed(scorer, shifted.map(|row| (row, row.shifts_us.len() as f64)));
    let suspicion = suspects(&suspicion, |_| true);
    let elements = ailing(scorer, &suspicion, outages);
    kept(elements.map(|element| scorer.slow(element)).collect())
}

/// What may lose or delay a part of its packets: nothing that is down, and no several that replace
/// each other, as packets cross one of them.
fn ailing<'a>(
    scorer: &'a Scorer<'_, '_>,
    suspicion: &BTreeMap<ElementIx, f64>,
    outages: &'a Channel,
) -> impl Iterator<Item = ElementIx> + 'a {
    let elements = candidates(scorer, suspicion).into_iter();
    let elements = elements.filter(|element| !is_chosen(outages, *element));
    elements.filter(|element| !scorer.picture.topology.is_together(*element))
}

fn is_chosen(channel: &Channel, element: ElementIx) -> bool {
    let chosen = channel.chosen.iter().filter_map(|at| channel.covers.get(*at));
    chosen.map(|cover| &cover.fate).any(|fate| fate.binary_search(&element).is_ok())
}

/// Pairs that are out, by target.
struct DeadLots {
    lots: Vec<Gone>,
    of: Vec<(ElementIx, Range<usize>)>,
}

/// Pairs that are out now and that no chosen cover explains, by target.
fn dead_lots(scorer: &Scorer<'_, '_>, channels: &[&Channel]) -> DeadLots {
    let mut dead = DeadLots { lots: Vec::new(), of: Vec::new() };
    for gone in scorer.board.dead() {
        let is_explained = |channel: &&Channel| {
            channel.touches(gone.row)
                && scorer.board.lot_of(gone).is_some_and(|(_, at)| explains(channel, gone.row, at))
        };
        if channels.iter().any(is_explained) {
            continue;
        }
        dead.lots.push(*gone);
        let end = dead.lots.len();
        match dead.of.last_mut().filter(|(of, _)| *of == gone.target) {
            Some((_, range)) => range.end = end,
            None => dead.of.push((gone.target, end - 1..end)),
        }
    }
    dead
}

/// A second agent or a second round says so too.
fn is_confirmed(dead: &Dead<'_>) -> bool {
    let first = dead.lots.first().map(|gone| gone.pair);
    dead.lots.iter().any(|gone| 1 < gone.lost || Some(gone.pair) != first)
}

fn dead(dead: &DeadLots) -> impl Iterator<Item = Dead<'_>> {
    dead.of.iter().map(|(target, range)| Dead {
        target: *target,
        lots: dead.lots.get(range.clone()).unwrap_or(&[]),
    })
}

/// Pairs that are out and that no chosen cover explains: targets on their own, and the rest.
fn leftovers(scorer: &Scorer<'_, '_>, channels: &[&Channel]) -> (Vec<Cover>, Vec<usize>) {
    let left = dead_lots(scorer, channels);
    let confirmed = dead(&left).filter(is_confirmed);
    let confirmed: Vec<Dead<'_>> = confirmed.collect();
    let bands = targets::bands(scorer, &confirmed);
    let single = confirmed.iter().filter(|dead| !bands.iter().any(|band| band.has(dead.target)));
    let covers = bands.iter().filter_map(|band| band.cover(scorer, prior::TARGET));
    let covers = covers.chain(single.filter_map(|dead| dead.cover(scorer, prior::TARGET)));
    // Nothing else explains it: it need not be likely, only not denied.
    let covers: Vec<Cover> = covers.filter(|cover| prior::TARGET < cover.score()).collect();
    let is_told =
        |target: &ElementIx| covers.iter().any(|cover| cover.fate.binary_search(target).is_ok());
    let rest = dead(&left).filter(|dead| !is_told(&dead.target));
    let pairs = rest.flat_map(|dead| dead.lots.iter().map(|gone| gone.pair as usize));
    let unexplained: BTreeSet<usize> = pairs.collect();
    (covers, unexplained.into_iter().collect())
}

/// Whether a chosen cover explains a lot.
pub(super) fn explains(channel: &Channel, row: u32, lot: usize) -> bool {
    let chosen = channel.chosen.iter().filter_map(|at| channel.covers.get(*at));
    chosen.into_iter().any(|cover| cover.explains(row, lot))
}

impl Scorer<'_, '_> {
    /// What speaks for or against an element beside rounds.
    fn noted(&self, element: ElementIx) -> impl Iterator<Item = f64> + '_ {
        let rows = self.board.noted().get(&element).into_iter().flatten();
        let rows = rows.filter_map(|row| self.board.rows.get(*row as usize));
        let fixed = rows.flat_map(|row| &row.fixed);
        fixed.filter(move |(of, _)| *of == element).map(|(_, ratio)| *ratio)
    }

    /// How suspicious rows that lost rounds, and what is no round, make an element.
    fn suspicion(&self, element: ElementIx) -> f64 {
        let mut sum: f64 = self.noted(element).filter(|ratio| 0.0 < *ratio).sum();
        for (cross, row) in self.board.loud_over(element).filter(|(_, row)| row.is_bad) {
            sum += (0.2 + f64::from(row.dead)) * cross.of.share;
        }
        sum
    }
}

impl Cover {
    pub(super) fn explains(&self, row: u32, lot: usize) -> bool {
        let at = self.effects.binary_search_by_key(&row, |effect| effect.row);
        let effect = at.ok().and_then(|at| self.effects.get(at));
        effect.is_some_and(|effect| {
            if self.mode == FaultMode::Lossy {
                0.0 < effect.rest
            } else {
                effect.lots.get(lot).is_some_and(|ratio| 0.0 < *ratio)
            }
        })
    }

    /// The last good and the first bad moment of what it explains.
    pub(super) fn onset_span(&self, board: &Board) -> (UtcMicros, UtcMicros) {
        let mut last_good: Option<UtcMicros> = None;
        let mut first_bad = self.onset;
        let mut seen = false;
        for effect in &self.effects {
            let Some(row) = board.rows.get(effect.row as usize) else { continue };
            for (lot, _) in row.lots.iter().zip(&effect.lots).filter(|(_, ratio)| 0.0 < **ratio) {
                let outage = lot.regime.outages.last().map(|(from, _)| *from);
                let dead = lot.asks.iter().find(|ask| ask.is_dead()).map(|ask| ask.at);
                let Some(first) = outage.or(dead).filter(|at| self.onset <= *at) else { continue };
                first_bad = if seen { first_bad.min(first) } else { first };
                seen = true;
            }
        }
        for effect in &self.effects {
            let Some(row) = board.rows.get(effect.row as usize) else { continue };
            let good = row.lots.iter().zip(&effect.lots).filter(|(_, ratio)| 0.0 < **ratio);
            let good = good.filter_map(|(lot, _)| lot.regime.good_before);
            last_good = last_good.max(good.filter(|at| *at <= first_bad).max());
        }
        (last_good.unwrap_or(first_bad), first_bad)
    }
}
