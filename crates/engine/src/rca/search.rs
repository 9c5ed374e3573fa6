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
const TEMPERATURE: f64 = 1.2;

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
        let beside = Beside::new(self.covers, &self.chosen);
        let mut best: Option<(usize, f64)> = None;
        for at in 0..self.covers.len() {
            if self.chosen.contains(&at) {
                continue;
            }
            let gain = self.gain(at, &beside);
            let is_most = best.is_none_or(|(_, most)| most < gain);
            if is_most && self.least(at, &beside) < gain {
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
            let beside = Beside::new(self.covers, &self.without(*place));
            let lost = |at: &usize| self.gain(*at, &beside) < self.least(*at, &beside) - 1e-9;
            self.chosen.get(*place).is_some_and(lost)
        });
        lost.map(|place| self.chosen.remove(place)).is_some()
    }

    /// Puts a better cover in the place of a chosen one.
    fn swap(&mut self) -> bool {
        for place in 0..self.chosen.len() {
            self.spend(self.covers.len());
            let Some(now) = self.chosen.get(place).copied() else { continue };
            let beside = Beside::new(self.covers, &self.without(place));
            let mut best = (now, self.gain(now, &beside) + 1e-6);
            for at in 0..self.covers.len() {
                let gain =
                    if self.chosen.contains(&at) { continue } else { self.gain(at, &beside) };
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
    fn least(&self, at: usize, beside: &Beside<'_>) -> f64 {
        let effects = self.covers.get(at).into_iter().flat_map(|cover| &cover.effects);
        let explained = effects.filter(|effect| beside.on(effect.row).is_none());
        let votes: f64 =
            explained.map(|effect| effect.lots.iter().filter(|r| 0.0 < **r).sum::<f64>()).sum();
        match (beside.others.is_empty(), CONFIRMED < votes) {
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
    fn gain(&self, at: usize, beside: &Beside<'_>) -> f64 {
        let Some(cover) = self.covers.get(at) else { return f64::NEG_INFINITY };
        if beside.others.is_empty() {
            return cover.score();
        }
        let mut sum = cover.own - beside.told_already(cover);
        for effect in &cover.effects {
            sum += match beside.on(effect.row) {
                Some(combined) => combined.value_with(effect) - combined.value,
                None => effect.value,
            };
        }
        sum
    }

    /// What else could explain what a chosen cover explains, itself among it, best first; and the
    /// log weight of everything that is not listed.
    pub(super) fn alternatives(&self, place: usize) -> (Vec<Alternative>, f64) {
        let others = self.without(place);
        let beside = Beside::new(self.covers, &others);
        let Some(cover) = self.chosen.get(place).and_then(|at| self.covers.get(*at)) else {
            return (Vec::new(), 0.0);
        };
        let rows: BTreeSet<u32> = cover.positive_rows().collect();
        let mut all = Vec::new();
        for (at, other) in self.covers.iter().enumerate() {
            let touches = other.positive_rows().any(|row| rows.contains(&row));
            if (touches || other.element == cover.element) && !others.contains(&at) {
                all.push(Alternative { cover: at, score: self.gain(at, &beside) });
            }
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.cover.cmp(&b.cover)));
        let own = self.gain(self.chosen.get(place).copied().unwrap_or(0), &beside) - cover.own;
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
    /// What an explanation of the same would be worth that is contradicted no more than noise
    /// contradicts a true one.
    fn ideal(&self) -> f64 {
        let (mut explained, mut denied, mut count) = (0.0, 0.0, 0.0);
        for effect in &self.effects {
            if 0.0 < effect.value {
                explained += effect.value;
                count += 1.0;
            } else {
                denied -= effect.value;
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

/// What some covers explain together, by row.
struct Beside<'a> {
    others: Vec<&'a Cover>,
    /// Where each row is in `rows`; [`NOBODY`] of one that none of them touches.
    places: Vec<u32>,
    rows: Vec<Combined>,
}

const NOBODY: u32 = u32::MAX;

impl<'a> Beside<'a> {
    fn new(covers: &'a [Cover], others: &[usize]) -> Beside<'a> {
        let others: Vec<&Cover> = others.iter().filter_map(|at| covers.get(*at)).collect();
        let last = others.iter().filter_map(|cover| cover.effects.last()).map(|last| last.row);
        let mut places = vec![NOBODY; last.max().map_or(0, |last| last as usize + 1)];
        let mut rows: Vec<Combined> = Vec::new();
        for effect in others.iter().flat_map(|cover| &cover.effects) {
            let Some(place) = places.get_mut(effect.row as usize) else { continue };
            if *place == NOBODY {
                *place = u32::try_from(rows.len()).unwrap_or(NOBODY);
                rows.push(Combined::default());
            }
            if let Some(combined) = rows.get_mut(*place as usize) {
                combined.join(effect);
            }
        }
        rows.iter_mut().for_each(Combined::weigh);
        Beside { others, places, rows }
    }

    fn on(&self, row: u32) -> Option<&Combined> {
        self.rows.get(*self.places.get(row as usize)? as usize)
    }

    /// Reports that speak for a cover and count for a group it is part of.
    fn told_already(&self, cover: &Cover) -> f64 {
        let is_part = |other: &&Cover| other.fate.binary_search(&cover.element).is_ok();
        if self.others.iter().any(is_part) { cover.told.max(0.0) } else { 0.0 }
    }
}

/// Several effects on one row: what one explains stays explained, what all deny is denied once.
#[derive(Debug, Default)]
struct Combined {
    trust: f64,
    rest: f64,
    lots: Vec<f64>,
    /// One of them explains all of it.
    is_all: bool,
    /// The most that those of a part have it say for a cause of all.
    whole: Option<f64>,
    value: f64,
}

impl Combined {
    fn join(&mut self, effect: &Effect) {
        self.trust = self.trust.max(effect.trust);
        self.is_all |= effect.whole.is_none();
        self.whole = most(self.whole, effect.whole);
        self.rest = louder(self.rest, effect.rest);
        if self.lots.len() < effect.lots.len() {
            self.lots.resize(effect.lots.len(), 0.0);
        }
        for (mine, other) in self.lots.iter_mut().zip(&effect.lots) {
            *mine = louder(*mine, *other);
        }
    }

    fn weigh(&mut self) {
        let sum = self.rest + self.lots.iter().sum::<f64>();
        self.value = row_value(sum, whole(sum, self.is_all, self.whole), self.trust);
    }

    /// Its value, were an effect joined to it.
    fn value_with(&self, effect: &Effect) -> f64 {
        let mut sum = louder(self.rest, effect.rest);
        let (mine, other) = (&self.lots, &effect.lots);
        let common = mine.len().min(other.len());
        sum += mine.iter().zip(other).map(|(a, b)| louder(*a, *b)).sum::<f64>();
        sum += mine.get(common..).unwrap_or(&[]).iter().sum::<f64>();
        sum += other.get(common..).unwrap_or(&[]).iter().sum::<f64>();
        let is_all = self.is_all || effect.whole.is_none();
        let whole = whole(sum, is_all, most(self.whole, effect.whole));
        row_value(sum, whole, self.trust.max(effect.trust))
    }
}

fn most(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).max_by(f64::total_cmp)
}

/// What a row says for a cause of all of it, of which parts, or all, are explained.
fn whole(sum: f64, is_all: bool, of_parts: Option<f64>) -> Option<f64> {
    if is_all { of_parts.map(|whole| whole.max(sum)) } else { of_parts }
}

fn louder(a: f64, b: f64) -> f64 {
    if 0.0 < a || 0.0 < b { a.max(b) } else { a.min(b) }
}
