//! The rows that meet a cause, and what they say of one story of it.
//!
//! A cause is crossed by thousands of rows of which few lost a round. Those are looked at; of the
//! others, which can only speak against it, no more than it takes to see that it is none. And of a
//! row with many lost rounds it is mostly enough to count them: what it can say is bounded.

use std::cell::{OnceCell, RefCell};

use model::{FaultMode, UtcMicros};

use super::{
    board::Cross,
    rows::Row,
    score::{
        CERTAIN, Effect, LOT_MAX, Scorer, fixed_ratio, lot_ratio, quiet_ratio, row_value,
        row_value_most, trust,
    },
};
use crate::graph::{Crossing, Cut, ElementIx};

/// What speaks for and against an agent, or was reported of a device, is as sure as this.
const NOTED: f64 = 0.99;
/// Log ratios below this change nothing any more where they are bounded by a doubt.
const DENIED: f64 = -50.0;

/// A moment at which it may have begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Onset {
    pub(super) at: UtcMicros,
    /// A report or an agent's silence says so: nobody picked it.
    pub(super) is_told: bool,
}

/// What became of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Lasting,
    /// Packets that can go round it do so since, after the onset.
    Converged {
        us: i64,
    },
    Healed {
        at: UtcMicros,
    },
}

/// One story of a failure, and what it costs to believe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) onset: UtcMicros,
    pub(super) after: After,
    /// Without what it costs that it began just then.
    pub(super) price: f64,
    /// Which of the onsets it is, and whether only rows count for that which have no other way.
    pub(super) nth: usize,
    pub(super) is_fixed: bool,
}

/// When rounds over a broken element are lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: i64,
    /// Not itself in it.
    pub(super) until: i64,
    /// It ended because the element works again.
    pub(super) is_healed: bool,
}

impl Span {
    pub(super) fn contains(&self, at: i64) -> bool {
        self.from <= at && at < self.until
    }
}

/// Which part of a link fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Forward,
    Back,
}

impl Course {
    /// One that goes on, wherever it began.
    pub(super) fn lasting(onset: UtcMicros) -> Course {
        Course { onset, after: After::Lasting, price: 0.0, nth: 0, is_fixed: false }
    }
}

/// How a row meets a cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meeting<'a> {
    pub(super) row: u32,
    pub(super) evidence: &'a Row,
    pub(super) share: f64,
    pub(super) trust: f64,
    /// Another way is open.
    pub(super) is_avoidable: bool,
    /// What it can say for a cause at most.
    most: f64,
}

impl Meeting<'_> {
    /// When its rounds are lost; `None` if it says nothing of so short a failure.
    fn span(&self, course: &Course) -> Option<Span> {
        let is_fresh = self.evidence.since.is_some_and(|since| course.onset <= since);
        let until = match course.after {
            After::Converged { us } if self.is_avoidable && !is_fresh => course.onset.0 + us,
            After::Healed { at } => at.0,
            After::Converged { .. } | After::Lasting => i64::MAX,
        };
        let is_healed = matches!(course.after, After::Healed { .. });
        let span = Span { from: course.onset.0, until, is_healed };
        (span.from < until || !self.evidence.fixed.is_empty()).then_some(span)
    }

    /// What the row says, and whether anything on it speaks for the cause.
    fn says(&self, span: &Span, fate: &[ElementIx]) -> (f64, bool) {
        let row = self.evidence;
        let rest = quiet_ratio(row, span, self.share) + fixed_ratio(row, fate);
        let bounds = row.many.as_ref().and_then(|many| {
            many.bounds((span.from, span.until), span.is_healed, self.share.ln(), LOT_MAX)
        });
        if let Some((least, most)) = bounds {
            if self.most <= rest + least {
                return (self.most, true);
            }
            if rest + most < DENIED && 1.0 <= self.share {
                return (row_value(rest + most, None, self.trust), 0.0 < most);
            }
        }
        let (mut lots, mut speaks) = (0.0, 0.0 < rest);
        for of in row.lot_ratios() {
            let ratio = lot_ratio(of, span, self.share);
            speaks |= 0.0 < ratio;
            lots += ratio;
        }
        (row_value(rest + lots, None, self.trust), speaks)
    }
}

/// Rows that meet a cause, by number; behind them those that are no rounds.
#[derive(Clone, Debug)]
pub(super) enum Crossed<'a> {
    One(&'a [Cross], &'a [u32]),
    Many(Vec<u32>),
}

impl Crossed<'_> {
    fn len(&self) -> usize {
        match self {
            Crossed::One(crosses, noted) => crosses.len() + noted.len(),
            Crossed::Many(rows) => rows.len(),
        }
    }

    /// The row of a number, and how its paths cross the cause if that is one element.
    fn get(&self, at: usize) -> Option<(u32, Option<&Crossing>)> {
        match self {
            Crossed::One(crosses, noted) => match crosses.get(at) {
                Some(cross) => Some((cross.row, Some(&cross.of))),
                None => Some((*noted.get(at - crosses.len())?, None)),
            },
            Crossed::Many(rows) => Some((*rows.get(at)?, None)),
        }
    }
}

/// The meetings that were looked at, and where to go on.
#[derive(Debug, Default)]
struct Quiet<'a> {
    seen: Vec<Meeting<'a>>,
    next: usize,
}

/// The cause whose rows are looked at: what fails with it, and how much of that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause<'a> {
    pub(super) fate: &'a [ElementIx],
    pub(super) part: Part,
    pub(super) mode: FaultMode,
    pub(super) price: f64,
    /// What stays without it, once somebody asked.
    pub(super) cut: &'a OnceCell<Cut>,
}

/// The rows that meet a cause in one way of failing.
#[derive(Debug)]
pub(super) struct Ways<'a> {
    scorer: &'a Scorer<'a, 'a>,
    pub(super) cause: Cause<'a>,
    rows: Crossed<'a>,
    /// Every so many of the rows.
    every: usize,
    pub(super) loud: Vec<Meeting<'a>>,
    quiet: RefCell<Quiet<'a>>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(
        scorer: &'a Scorer<'a, 'a>,
        cause: Cause<'a>,
        rows: Crossed<'a>,
        every: usize,
    ) -> Ways<'a> {
        let (loud, quiet) = (Vec::new(), RefCell::default());
        let mut ways = Ways { scorer, cause, rows, every, loud, quiet };
        let all = (0..ways.rows.len()).step_by(every);
        let loud = all.filter(|at| ways.is_loud(*at)).filter_map(|at| ways.meeting(at));
        ways.loud = loud.collect();
        ways
    }

    /// The same of some of the rows.
    pub(super) fn sample(&self, every: usize) -> Ways<'a> {
        Ways::new(self.scorer, self.cause, self.rows.clone(), every)
    }

    /// How many rows meet it.
    pub(super) fn len(&self) -> usize {
        if self.cause.part == Part::Whole {
            return self.rows.len();
        }
        let meets = |at: &usize| {
            let of = self.rows.get(*at).and_then(|(_, of)| of);
            of.is_none_or(|of| 0.0 < self.share_of(of))
        };
        (0..self.rows.len()).filter(meets).count()
    }

    fn is_loud(&self, at: usize) -> bool {
        self.rows.get(at).is_some_and(|(row, _)| self.scorer.board.is_loud(row))
    }

    fn share_of(&self, of: &Crossing) -> f64 {
        match self.cause.part {
            Part::Whole => of.share,
            Part::Forward => of.share_forward,
            Part::Back => of.share_back,
        }
    }

    /// How the row of a number meets it; `None` if it does not.
    fn meeting(&self, at: usize) -> Option<Meeting<'a>> {
        let Ways { scorer, cause: Cause { fate, part, cut, .. }, .. } = self;
        let (row, of) = self.rows.get(at)?;
        let evidence = scorer.board.rows.get(row as usize)?;
        let Some(ends) = evidence.ends else {
            let (share, trust, is_avoidable) = (1.0, NOTED, false);
            let most = row_value_most(trust);
            return Some(Meeting { row, evidence, share, trust, is_avoidable, most });
        };
        let share = match (of, part) {
            (Some(of), _) => self.share_of(of),
            (None, Part::Whole) => {
                let set = evidence.set.and_then(|set| scorer.picture.paths.get(set))?;
                set.share_of_any(fate)
            }
            (None, Part::Forward | Part::Back) => 0.0,
        };
        if share <= 0.0 {
            return None;
        }
        let in_fate = |ix: ElementIx| fate.binary_search(&ix).is_ok();
        // Every path of the pair, known or not, crosses where it begins and where it ends.
        let is_certain = in_fate(evidence.agent)
            || ends.end.is_some_and(in_fate)
            || ends.host.is_some_and(in_fate);
        let trust = if is_certain { CERTAIN } else { trust(ends.source) };
        let root = ends.host.unwrap_or(evidence.agent);
        let is_avoidable = !is_certain
            && ends.end_node.is_some_and(|end| scorer.is_another_way((root, end), fate, cut));
        let most = row_value_most(trust);
        Some(Meeting { row, evidence, share, trust, is_avoidable, most })
    }

    /// Every row that meets it, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = Meeting<'a>> + '_ {
        (0..self.rows.len()).step_by(self.every).filter_map(|at| self.meeting(at))
    }

    /// Goes through the rows on which nothing was lost, as long as somebody wants to.
    fn go_quiet(&self, mut goes_on: impl FnMut(&Meeting<'a>) -> bool) {
        let mut quiet = self.quiet.borrow_mut();
        let mut nth = 0;
        loop {
            while let Some(meeting) = quiet.seen.get(nth) {
                if !goes_on(meeting) {
                    return;
                }
                nth += 1;
            }
            let at = quiet.next;
            if self.rows.len() <= at {
                return;
            }
            quiet.next += self.every;
            if !self.is_loud(at) {
                quiet.seen.extend(self.meeting(at));
            }
        }
    }

    /// Whether any row is what is asked for.
    pub(super) fn any(&self, is_it: impl Fn(&Meeting<'a>) -> bool) -> bool {
        let mut found = self.loud.iter().any(&is_it);
        if !found {
            self.go_quiet(|meeting| {
                found = is_it(meeting);
                !found
            });
        }
        found
    }

    /// What all rows say together; `None` once nothing can bring it to `least` any more: what a row
    /// says for a cause is bounded, and of the quiet ones none speaks for one. `None` as well if it
    /// must explain something and nothing speaks for it.
    pub(super) fn weigh(&self, course: &Course, least: f64, must_explain: bool) -> Option<f64> {
        let (mut sum, mut speaks) = (0.0, !must_explain);
        let mut ahead: f64 = self.loud.iter().map(|meeting| meeting.most).sum();
        for meeting in &self.loud {
            // Sums of floating point may be off by a little.
            if sum + ahead + 1e-6 < least {
                return None;
            }
            ahead -= meeting.most;
            let Some(span) = meeting.span(course) else { continue };
            let (value, is_for) = meeting.says(&span, self.cause.fate);
            sum += value;
            speaks |= is_for;
        }
        if !speaks {
            return None;
        }
        self.go_quiet(|meeting| {
            if let Some(span) = meeting.span(course) {
                let rest = quiet_ratio(meeting.evidence, &span, meeting.share);
                sum += row_value(rest, None, meeting.trust);
            }
            least <= sum
        });
        (least <= sum).then_some(sum)
    }

    /// What each row says.
    pub(super) fn effects(&self, course: &Course) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut add = |meeting: &Meeting<'_>| {
            let Some(span) = meeting.span(course) else { return };
            let row = meeting.evidence;
            let rest = quiet_ratio(row, &span, meeting.share) + fixed_ratio(row, self.cause.fate);
            let lots: Vec<f64> =
                row.lot_ratios().map(|of| lot_ratio(of, &span, meeting.share)).collect();
            let is_flat = lots.iter().all(|ratio| *ratio == 0.0);
            if rest == 0.0 && is_flat {
                return;
            }
            let value = row_value(rest + lots.iter().sum::<f64>(), None, meeting.trust);
            let lots = if is_flat { Vec::new() } else { lots };
            let (row, trust) = (meeting.row, meeting.trust);
            effects.push(Effect { row, trust, rest, lots, whole: None, value });
        };
        self.loud.iter().for_each(&mut add);
        self.go_quiet(|meeting| {
            add(meeting);
            true
        });
        effects.sort_by_key(|effect| effect.row);
        effects
    }

    /// The log chance that it began just then: the time since the last round over it, against the
    /// time in which it could have begun as well. Who picks his moment explains little. Of rows
    /// that have no other way alone, if `is_fixed`.
    pub(super) fn begun(&self, onset: Onset, is_fixed: bool) -> f64 {
        const USUAL_US: f64 = 20_000_000.0;
        const PRICE_MAX: f64 = 3.5;
        if onset.is_told {
            return 0.0;
        }
        let onset = onset.at;
        // Nothing later changes what it costs.
        let enough = onset.0.saturating_sub((USUAL_US * (-PRICE_MAX).exp()) as i64);
        // A lost round before it counts as well: who puts the onset behind it passes it over.
        let mut last = i64::MIN;
        let mut look = |meeting: &Meeting<'_>| {
            if !(is_fixed && meeting.is_avoidable) {
                let row = meeting.evidence;
                last = last.max(row.quiet_before(onset.0));
                let asked = row.lot_times.partition_point(|at| *at < onset.0).checked_sub(1);
                last = asked.and_then(|at| row.lot_times.get(at)).map_or(last, |at| last.max(*at));
            }
            last < enough
        };
        if self.loud.iter().all(&mut look) {
            self.go_quiet(look);
        }
        let span = onset.0.saturating_sub(last) as f64;
        (span / USUAL_US).ln().clamp(-PRICE_MAX, 0.0)
    }
}

impl Scorer<'_, '_> {
    /// Whether two nodes are connected without any of `fate`.
    fn is_another_way(
        &self,
        nodes: (ElementIx, ElementIx),
        fate: &[ElementIx],
        cut: &OnceCell<Cut>,
    ) -> bool {
        let topology = self.picture.topology;
        let told = match fate {
            [gone] => self
                .board
                .pieces(topology)
                .and_then(|pieces| pieces.is_connected_without(topology, *gone, nodes)),
            _ => None,
        };
        told.unwrap_or_else(|| {
            let cut = cut.get_or_init(|| Cut::new(topology, fate));
            cut.is_connected(nodes.0, nodes.1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rca::{
        picture::Ask,
        regime,
        rows::{Losses, Lot, Note, Out},
    };

    fn draw(seed: &mut u64, below: u64) -> i64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        ((*seed >> 33) % below) as i64
    }

    /// A row of many pairs that lost rounds, most of them since a moment of their own.
    fn row(seed: &mut u64) -> Row {
        let mut row = Row::new(ElementIx(0), None, Note::Rounds);
        for pair in 0..8 + draw(seed, 8) {
            let (phase, broke) = (draw(seed, 30), 40 + draw(seed, 60));
            let ask = |nth: i64, seed: &mut u64| {
                let at = phase + 30 * nth;
                let is_lost = if at < broke { draw(seed, 8) == 0 } else { draw(seed, 8) != 0 };
                let sent = [5, 1][usize::from(draw(seed, 5) == 0)];
                let received = if is_lost { 0 } else { sent - u16::from(draw(seed, 9) == 0) };
                Ask { at: UtcMicros(at * 1_000_000), sent, received, rtt_us: None }
            };
            let asks: Vec<Ask> = (0..4).map(|nth| ask(nth, seed)).collect();
            let regime = regime::of(&asks);
            let interval_us = 30_000_000;
            let out = Out::of(&regime, interval_us);
            // What came before the window was on another row, or is forgotten.
            let asks = asks.get(draw(seed, 2) as usize..).unwrap_or_default().to_vec();
            let (pair, target) = (pair as usize, ElementIx(1));
            let lot = Lot { pair, target, interval_us, asks, regime, out };
            row.add_lot(lot, &mut Losses::default());
        }
        row.settle();
        row
    }

    #[test]
    fn what_many_lots_say_together_is_within_its_bounds() {
        let (mut seed, mut bounded) = (1, 0);
        for _ in 0..300 {
            let row = row(&mut seed);
            let many = row.many.as_ref().expect("so many lots");
            for _ in 0..40 {
                let from = draw(&mut seed, 130) * 1_000_000;
                let is_healed = draw(&mut seed, 3) == 0;
                let later = from + 1 + draw(&mut seed, 60) * 1_000_000;
                let until = if draw(&mut seed, 2) == 0 || is_healed { later } else { i64::MAX };
                let span = Span { from, until, is_healed };
                let share = [1.0, 0.5, 0.05][draw(&mut seed, 3) as usize];
                let bounds = many.bounds((from, until), is_healed, f64::ln(share), LOT_MAX);
                let Some((least, most)) = bounds else { continue };
                bounded += 1;
                let sum: f64 = row.lot_ratios().map(|of| lot_ratio(of, &span, share)).sum();
                assert!(least <= sum + 1e-9, "{span:?} {share}: {least} of {sum}");
                assert!(sum <= most + 1e-9 || share < 1.0, "{span:?}: {sum} of {most}");
            }
        }
        assert!(1_000 < bounded, "most are bounded: {bounded}");
    }
}
