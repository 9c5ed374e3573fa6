//! The best set of causes: add what gains, drop what no longer does, swap for what explains
//! better.
//!
//! Deterministic, and bounded: covers come in a fixed order, equal gains go to the first, and the
//! steps are counted.

use std::collections::BTreeSet;

use super::{
    noise::log_sum,
    score::{Cover, Effect, row_value},
};

/// Causes at once in one picture: who has more has another problem than ours.
const CAUSES_MAX: usize = 24;
/// Additions, drops and swaps together.
const STEPS_MAX: usize = 96;
/// The log chance that the cause is something nobody listed, were it to explain everything.
const UNLISTED: f64 = -11.0;
/// The share of rows that noise takes from a true cause, and what each says against it.
const DENIED_SHARE: f64 = 0.1;
const DENIED_RATIO: f64 = 2.6;
/// What the first cause may cost: who asks has a reason to ask. Its probability says the rest.
const FIRST_GAIN_MIN: f64 = -2.5;
/// What a further one may cost that two agents or two rounds speak for.
const CONFIRMED_GAIN_MIN: f64 = -1.5;
/// Log ratio of lost rounds that takes more than one of them.
const CONFIRMED: f64 = 6.0;
/// How much surer the ratios are than the world: fitted on generated failures.
const TEMPERATURE: f64 = 1.6;

/// What the search has to choose from, and what it chose.
#[derive(Debug)]
pub(super) struct Search<'a> {
    covers: &'a [Cover],
    /// Indices of covers, in the order of choice.
    pub(super) chosen: Vec<usize>,
    /// The work that is left, in covers weighed; `None` is no limit.
    budget: Option<u64>,
    /// The budget ran out.
    pub(super) is_cut_short: bool,
}

/// A cover that could stand in the place of a chosen one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternative {
    pub(super) cover: usize,
    pub(super) score: f64,
}

impl<'a> Search<'a> {
    /// What was chosen before, to ask for alternatives.
    pub(super) fn of(covers: &'a [Cover], chosen: &[usize]) -> Search<'a> {
        Search { covers, chosen: chosen.to_vec(), budget: None, is_cut_short: false }
    }

    pub(super) fn run(covers: &'a [Cover], budget: Option<u64>) -> Search<'a> {
        let mut search = Search { covers, chosen: Vec::new(), budget, is_cut_short: false };
        for _ in 0..STEPS_MAX {
            let is_better = search.add() || search.drop_one() || search.swap();
            if !is_better || search.is_cut_short {
                break;
            }
        }
        search.chosen.sort_by_key(|at| search.covers.get(*at).map(|cover| cover.element));
        search
    }

    fn spend(&mut self, work: usize) {
        if let Some(left) = &mut self.budget {
            match left.checked_sub(work as u64) {
                Some(rest) => *left = rest,
                None => self.is_cut_short = true,
            }
        }
    }

    /// Adds the cover that gains most, if one gains.
    fn add(&mut self) -> bool {
        if CAUSES_MAX <= self.chosen.len() {
            return false;
        }
        self.spend(self.covers.len());
        let mut best: Option<(usize, f64)> = None;
        for at in 0..self.covers.len() {
            if self.chosen.contains(&at) {
                continue;
            }
            let gain = self.gain(at, &self.chosen);
            if self.least(at, &self.chosen) < gain && best.is_none_or(|(_, most)| most < gain) {
                best = Some((at, gain));
            }
        }
        self.chosen.extend(best.map(|(at, _)| at));
        best.is_some()
    }

    /// Drops a cover that costs more than it explains beside the others.
    fn drop_one(&mut self) -> bool {
        self.spend(self.chosen.len());
        let lost = (0..self.chosen.len()).find(|place| {
            let others = self.without(*place);
            let lost = |at: &usize| self.gain(*at, &others) < self.least(*at, &others) - 1e-9;
            self.chosen.get(*place).is_some_and(lost)
        });
        lost.map(|place| self.chosen.remove(place)).is_some()
    }

    /// Puts a better cover in the place of a chosen one.
    fn swap(&mut self) -> bool {
        for place in 0..self.chosen.len() {
            self.spend(self.covers.len());
            let Some(now) = self.chosen.get(place).copied() else { continue };
            let others = self.without(place);
            let mut best = (now, self.gain(now, &others) + 1e-6);
            for at in 0..self.covers.len() {
                let gain =
                    if self.chosen.contains(&at) { continue } else { self.gain(at, &others) };
                if best.1 < gain {
                    best = (at, gain);
                }
            }
            if best.0 != now {
                if let Some(slot) = self.chosen.get_mut(place) {
                    *slot = best.0;
                }
                return true;
            }
        }
        false
    }

    /// What a cover must gain beside others.
    fn least(&self, at: usize, others: &[usize]) -> f64 {
        let explained = self.covers.get(at).into_iter().flat_map(|cover| {
            let effects = cover.effects.iter();
            effects.filter(|effect| {
                others.iter().all(|other| {
                    self.covers.get(*other).is_none_or(|other| other.on(effect.row).is_none())
                })
            })
        });
        let votes: f64 =
            explained.map(|effect| effect.lots.iter().filter(|r| 0.0 < **r).sum::<f64>()).sum();
        match (others.is_empty(), CONFIRMED < votes) {
            (true, _) => FIRST_GAIN_MIN,
            (false, true) => CONFIRMED_GAIN_MIN,
            (false, false) => 0.0,
        }
    }

    fn without(&self, place: usize) -> Vec<usize> {
        let others = self.chosen.iter().enumerate().filter(|(at, _)| *at != place);
        others.map(|(_, cover)| *cover).collect()
    }

    /// What a cover adds beside others.
    fn gain(&self, at: usize, others: &[usize]) -> f64 {
        let Some(cover) = self.covers.get(at) else { return f64::NEG_INFINITY };
        if others.is_empty() {
            return cover.score();
        }
        let mut sum = cover.own - self.told_already(cover, others);
        for effect in &cover.effects {
            let beside = others.iter().filter_map(|other| self.covers.get(*other)?.on(effect.row));
            let mut combined: Option<Combined> = None;
            for other in beside {
                combined.get_or_insert_with(Combined::default).join(other);
            }
            let before = combined.as_ref().map_or(0.0, Combined::value);
            let mut with = combined.unwrap_or_default();
            with.join(effect);
            sum += with.value() - before;
        }
        sum
    }

    /// Reports that speak for a cover and count for a group it is part of.
    fn told_already(&self, cover: &Cover, others: &[usize]) -> f64 {
        let others = others.iter().filter_map(|other| self.covers.get(*other));
        let is_part = |other: &Cover| other.fate.binary_search(&cover.element).is_ok();
        if others.into_iter().any(is_part) { cover.told.max(0.0) } else { 0.0 }
    }

    /// What else could explain what a chosen cover explains, itself among it, best first; and the
    /// log weight of everything that is not listed.
    pub(super) fn alternatives(&self, place: usize) -> (Vec<Alternative>, f64) {
        let others = self.without(place);
        let Some(cover) = self.chosen.get(place).and_then(|at| self.covers.get(*at)) else {
            return (Vec::new(), 0.0);
        };
        let rows: BTreeSet<u32> = cover.positive_rows().collect();
        let mut all = Vec::new();
        for (at, other) in self.covers.iter().enumerate() {
            let touches = other.positive_rows().any(|row| rows.contains(&row));
            if (touches || other.element == cover.element) && !others.contains(&at) {
                all.push(Alternative { cover: at, score: self.gain(at, &others) });
            }
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.cover.cmp(&b.cover)));
        let own = self.gain(self.chosen.get(place).copied().unwrap_or(0), &others) - cover.own;
        (all, log_sum(0.0, own + cover.ideal() - cover.alone + cover.price + UNLISTED))
    }
}

/// Probabilities of log weights and, last, of the rest.
pub(super) fn probabilities(scores: &[f64], other: f64) -> (Vec<f64>, f64) {
    let most = scores.iter().copied().fold(other, f64::max);
    let weight = |score: f64| ((score - most) / TEMPERATURE).exp();
    let sum: f64 = scores.iter().map(|score| weight(*score)).sum::<f64>() + weight(other);
    (scores.iter().map(|score| weight(*score) / sum).collect(), weight(other) / sum)
}

impl Cover {
    fn on(&self, row: u32) -> Option<&Effect> {
        let at = self.effects.binary_search_by_key(&row, |effect| effect.row).ok()?;
        self.effects.get(at)
    }

    /// What an explanation of the same would be worth that is contradicted no more than noise
    /// contradicts a true one.
    fn ideal(&self) -> f64 {
        let (mut explained, mut denied, mut count) = (0.0, 0.0, 0.0);
        for effect in &self.effects {
            let sum = effect.rest + effect.lots.iter().sum::<f64>();
            let value = row_value(sum, effect.whole, effect.trust);
            if 0.0 < value {
                explained += value;
                count += 1.0;
            } else {
                denied -= value;
            }
        }
        let usual = DENIED_SHARE * count + 2.0 * (DENIED_SHARE * count).sqrt();
        explained - f64::min(denied, usual * DENIED_RATIO)
    }

    /// Rows of which it explains something.
    pub(super) fn positive_rows(&self) -> impl Iterator<Item = u32> + '_ {
        let speaks = |effect: &&Effect| 0.0 < effect.rest || effect.lots.iter().any(|r| 0.0 < *r);
        self.effects.iter().filter(speaks).map(|effect| effect.row)
    }
}

/// Several effects on one row: what one explains stays explained, what all deny is denied once.
#[derive(Debug, Default)]
struct Combined {
    trust: f64,
    rest: f64,
    lots: Vec<f64>,
    whole: f64,
}

impl Combined {
    fn join(&mut self, effect: &Effect) {
        self.trust = self.trust.max(effect.trust);
        self.whole = self.whole.max(effect.whole);
        self.rest = louder(self.rest, effect.rest);
        if self.lots.len() < effect.lots.len() {
            self.lots.resize(effect.lots.len(), 0.0);
        }
        for (mine, other) in self.lots.iter_mut().zip(&effect.lots) {
            *mine = louder(*mine, *other);
        }
    }

    fn value(&self) -> f64 {
        row_value(self.rest + self.lots.iter().sum::<f64>(), self.whole, self.trust)
    }
}

fn louder(a: f64, b: f64) -> f64 {
    if 0.0 < a || 0.0 < b { a.max(b) } else { a.min(b) }
}
