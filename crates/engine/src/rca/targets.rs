//! Targets as causes: one by itself, and a band of several behind one device that went out in the
//! same moment.
//!
//! What a band shares is not drawn: a switch behind the device, a power strip, or nothing at all.
//! That others behind the same device answer round after round is why it is not the device. How
//! many of a device's targets share it nobody knows, so each number is as likely as another.

use model::{FaultMode, UtcMicros};

use super::{
    board::{Board, Gone},
    noise, prior,
    rows::Row,
    score::{CERTAIN, Cover, Effect, LOT_MAX, Scorer, lot_ratio, quiet_ratio, row_value},
    ways::Span,
};
use crate::graph::ElementIx;

/// An answered round this shortly before a lost one may have been on its way when it broke.
const IN_FLIGHT_US: i64 = 2_000_000;
/// Answers of others behind the device that speak of it, where none answered twice.
const ANSWERED_MIN: usize = 2;
/// Targets of one band that are said; the others are on their own.
const MEMBERS_MAX: usize = 256;
/// Moments at which all of a row may have begun that are tried.
const ONSETS_MAX: usize = 16;

/// A target that is out, with its pairs that are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead<'l> {
    pub(super) target: ElementIx,
    pub(super) lots: &'l [Gone],
}

impl Dead<'_> {
    /// The cover of the target alone: all its pairs, wherever they cross; `None` if it cannot be
    /// worth more than `least`.
    pub(super) fn cover(&self, scorer: &Scorer<'_, '_>, least: f64) -> Option<Cover> {
        let prior = prior::of(scorer.picture, self.target, FaultMode::Down);
        cover(scorer, &[self.target], self.lots, prior, least)
    }

    /// The last answered round before it went out, and the first lost one.
    fn onset(&self) -> Option<(i64, i64)> {
        let lots = self.lots.iter().map(|gone| (gone.good_before, gone.since));
        lots.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)))
    }
}

/// At least two targets behind one device that went out in the same moment.
#[derive(Debug)]
pub(super) struct Band {
    /// In their order.
    members: Vec<ElementIx>,
    lots: Vec<Gone>,
    device: ElementIx,
    /// When the first of them was lost.
    onset: i64,
}

impl Band {
    /// Whether others behind the device answer round after round, or so many do once: a few answers
    /// may have been on their way, or have come by chance.
    pub(super) fn is_among_good(&self, scorer: &Scorer<'_, '_>) -> bool {
        let mut rows: Vec<u32> = self.lots.iter().map(|gone| gone.row).collect();
        rows.sort_unstable();
        rows.dedup();
        let rows = rows.into_iter().filter_map(|row| scorer.board.rows.get(row as usize));
        let (mut answered, mut is_again) = (0, false);
        for row in rows {
            let since = row.quiet_since(self.onset.saturating_add(1));
            answered += since;
            is_again |= (row.quiet_lots as usize) < since;
        }
        is_again || self.lots.len() <= answered * 2 && ANSWERED_MIN <= answered
    }

    pub(super) fn has(&self, target: ElementIx) -> bool {
        self.members.binary_search(&target).is_ok()
    }

    /// The cover of all of them; `None` if it cannot be worth more than `least`.
    pub(super) fn cover(&self, scorer: &Scorer<'_, '_>, least: f64) -> Option<Cover> {
        let part = self.members.len();
        let prior = |of: usize| {
            let choices: f64 = (1..=part).map(|k| ((of - part + k) as f64 / k as f64).ln()).sum();
            prior::UNDRAWN - (of as f64).ln() - choices
        };
        // Of all targets behind the device, themselves at least.
        if is_hopeless(scorer, &self.members, &self.lots, prior(part), least) {
            return None;
        }
        let of = asked_behind(scorer, self.device).max(part);
        cover(scorer, &self.members, &self.lots, prior(of), least)
    }
}

/// The bands among targets that are out, given in their order.
pub(super) fn bands(scorer: &Scorer<'_, '_>, dead: &[Dead<'_>]) -> Vec<Band> {
    let topology = scorer.picture.topology;
    let mut placed: Vec<(ElementIx, (i64, i64), Dead<'_>)> = dead
        .iter()
        .filter_map(|dead| Some((topology.host(dead.target)?, dead.onset()?, *dead)))
        .collect();
    placed.sort_by_key(|(device, (_, first_lost), dead)| (*device, *first_lost, dead.target));
    let mut bands = Vec::new();
    for of_device in placed.chunk_by(|a, b| a.0 == b.0) {
        let mut rest = of_device;
        while let Some((device, (_, first_lost), _)) = rest.first() {
            let is_same = |(_, (good, _), _): &(ElementIx, (i64, i64), Dead<'_>)| {
                *good <= first_lost.saturating_add(IN_FLIGHT_US)
            };
            let together = rest.iter().take_while(|dead| is_same(dead)).take(MEMBERS_MAX).count();
            let (band, later) = rest.split_at(together.max(1));
            rest = later;
            if 1 < band.len() {
                let mut members: Vec<ElementIx> = band.iter().map(|(.., d)| d.target).collect();
                members.sort_unstable();
                let lots = band.iter().flat_map(|(.., dead)| dead.lots).copied().collect();
                bands.push(Band { members, lots, device: *device, onset: *first_lost });
            }
        }
    }
    bands
}

/// How many targets behind a device an agent asks, of the agent that asks most.
fn asked_behind(scorer: &Scorer<'_, '_>, device: ElementIx) -> usize {
    let rows = scorer.board.rows_of(device);
    let rows = rows.filter_map(|row| scorer.board.rows.get(row as usize));
    let ends_there = |row: &&Row| row.ends.is_some_and(|ends| ends.end == Some(device));
    let mut by_agent: Vec<(ElementIx, usize)> =
        rows.filter(ends_there).map(|row| (row.agent, row.pairs())).collect();
    by_agent.sort_unstable();
    let of_agent = by_agent.chunk_by(|a, b| a.0 == b.0);
    of_agent.map(|rows| rows.iter().map(|(_, pairs)| pairs).sum()).max().unwrap_or(0)
}

/// Whether what others get answers to leaves targets that are out no more than `least`.
fn is_hopeless(
    scorer: &Scorer<'_, '_>,
    members: &[ElementIx],
    lots: &[Gone],
    prior: f64,
    least: f64,
) -> bool {
    let onset = lots.iter().map(|gone| gone.since).min().unwrap_or_default();
    let during = Span { from: onset, until: i64::MAX, is_healed: false };
    let mut left = prior + lots.len() as f64 * LOT_MAX;
    members.iter().any(|target| {
        left += answered(scorer, (*target, lots), &during, left - least);
        left <= least
    })
}

/// The cover of targets that are out for one reason, or of one; `None` if what was lost cannot make
/// it worth more than `least`.
fn cover(
    scorer: &Scorer<'_, '_>,
    members: &[ElementIx],
    lots: &[Gone],
    prior: f64,
    least: f64,
) -> Option<Cover> {
    if is_hopeless(scorer, members, lots, prior, least) {
        return None;
    }
    let onset = lots.iter().map(|gone| UtcMicros(gone.since)).min().unwrap_or(scorer.picture.now);
    let during = Span { from: onset.0, until: i64::MAX, is_healed: false };
    let good = members.iter().map(|of| answered(scorer, (*of, lots), &during, f64::INFINITY));
    let good: f64 = good.sum();
    let board = scorer.board;
    let lots: Vec<(u32, usize)> =
        lots.iter().filter_map(|gone| board.lot_of(gone).map(|(_, at)| (gone.row, at))).collect();
    // What other agents got answers to stands against it, on whatever row.
    let own = prior + good;
    let most: f64 = lots.iter().map(|(row, at)| lost_most(board, *row, *at)).sum();
    if own + most <= least {
        return None;
    }
    let mut sorted = lots;
    sorted.sort_unstable();
    let mut effects: Vec<Effect> = Vec::new();
    for of_row in sorted.chunk_by(|a, b| a.0 == b.0) {
        let Some((row_ix, _)) = of_row.first() else { continue };
        let Some(row) = board.rows.get(*row_ix as usize) else { continue };
        let is_mine = |at: &usize| of_row.binary_search(&(*row_ix, *at)).is_ok();
        let ratios: Vec<f64> = row
            .lot_ratios()
            .enumerate()
            .map(|(at, of)| if is_mine(&at) { lot_ratio(of, &during, 1.0) } else { 0.0 })
            .collect();
        // No surer than a path that must be crossed: where it could as well be the device
        // before it, it explains no more.
        let whole = Some(of_all(row, onset.0));
        let value = row_value(ratios.iter().sum(), whole, CERTAIN);
        let (row, trust, rest) = (*row_ix, CERTAIN, 0.0);
        effects.push(Effect { row, trust, rest, lots: ratios, whole, value });
    }
    let alone: f64 = effects.iter().map(|effect| effect.value).sum();
    Some(Cover {
        element: members.first().copied().unwrap_or(ElementIx(0)),
        mode: FaultMode::Down,
        fate: members.to_vec(),
        onset,
        converged_us: None,
        healed_at: None,
        effects,
        own,
        told: 0.0,
        price: 0.0,
        alone,
    })
}

/// The most that the lost rounds of a lot can say for a cause.
fn lost_most(board: &Board, row: u32, at: usize) -> f64 {
    let lot = board.rows.get(row as usize).and_then(|row| row.lots.get(at));
    let dead = lot.into_iter().flat_map(|lot| &lot.asks).filter(|ask| ask.is_dead());
    dead.map(noise::dead_ratio).sum::<f64>().min(LOT_MAX)
}

/// What a row says for a cause of all of it, which may have begun at any first loss of a pair that
/// is out, or at `onset`.
fn of_all(row: &Row, onset: i64) -> f64 {
    let firsts = row.lots.iter().filter_map(|lot| lot.regime.dead_since()).map(|at| at.0);
    let mut onsets: Vec<i64> = firsts.chain([onset]).collect();
    onsets.sort_unstable();
    onsets.dedup();
    let every = onsets.len().div_ceil(ONSETS_MAX).max(1);
    let from = |from: i64| {
        let span = Span { from, until: i64::MAX, is_healed: false };
        let out = row.lots.iter().zip(row.lot_ratios()).filter(|(lot, _)| lot.regime.is_dead);
        let lots: f64 = out.map(|(_, of)| lot_ratio(of, &span, 1.0)).sum();
        lots + quiet_ratio(row, &span, 1.0)
    };
    onsets.into_iter().step_by(every).map(from).fold(f64::NEG_INFINITY, f64::max)
}

/// What the pairs of a target that are not out say against its being down; no more of it than it
/// takes to come to `enough`.
fn answered(
    scorer: &Scorer<'_, '_>,
    (target, out): (ElementIx, &[Gone]),
    during: &Span,
    enough: f64,
) -> f64 {
    let mut good = 0.0;
    // Its own are side by side.
    let first = out.iter().position(|gone| gone.target == target).unwrap_or(out.len());
    let own = out.get(first..).unwrap_or(&[]);
    for at in scorer.board.pairs_of(target).iter().map(|at| *at as usize) {
        let mut own = own.iter().take_while(|gone| gone.target == target);
        if own.any(|gone| gone.pair as usize == at) {
            continue;
        }
        let Some(pair) = scorer.picture.pair(at) else { continue };
        let blind = scorer.board.blind.iter().find(|blind| blind.agent == pair.agent);
        let until = blind.map_or(i64::MAX, |blind| blind.since.0);
        let asks = pair.asks.iter().filter(|ask| during.contains(ask.at.0));
        let sum: f64 = asks.filter(|ask| ask.at.0 < until).map(noise::dead_ratio).sum();
        good += sum.clamp(-LOT_MAX, 0.0);
        if enough <= -good {
            break;
        }
    }
    good
}
