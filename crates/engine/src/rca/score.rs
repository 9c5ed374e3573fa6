//! How well one cause explains the rows: its cover.
//!
//! The onset, the way a link fails and the moment of convergence are not known; each is tried over
//! a few values and the best is kept, at a price.

use std::cell::OnceCell;

use model::{ElementKind, FactKind, FaultMode, PathSource, UtcMicros};

use super::{
    board::Board,
    noise::{self, LEVELS},
    picture::{Fact, Picture},
    prior,
    rows::{self, Lot, LotRatios, Note, Row},
    telemetry::Telemetry,
    ways::{After, Cause, Course, Crossed, Meeting, Onset, Part, Span, Ways},
};
use crate::graph::{Cut, ElementIx};

/// How surely a row speaks of what each of its packets must cross.
pub(super) const CERTAIN: f64 = 0.98;
/// What one pair can say at most for a cause: it may have trouble of its own.
pub(super) const LOT_MAX: f64 = 7.0;
/// The log chance that a row is wholly bad for a reason that is not on its path, were the path
/// wrong; a path that may be wrong says less.
const ELSEWHERE: f64 = -4.7;
/// Moments of convergence after the onset that are tried, and what each costs.
const CONVERGED_US: [i64; 5] = [0, 3_000_000, 10_000_000, 30_000_000, 60_000_000];
const CONVERGED_PRIOR: f64 = -2.3;
const CONVERGED_AT_ONCE_PRIOR: f64 = -1.2;
const UNCONVERGED_PRIOR: f64 = -0.7;
const HEALED_PRIOR: f64 = -3.0;
/// One way of a link alone fails seldom.
const ONE_WAY_PRIOR: f64 = -3.0;
/// Which of the sorted first losses may be the onset: the first ones may be noise.
const ONSETS: [usize; 6] = [0, 1, 2, 3, 5, 8];
/// And, of many, which in percent.
const ONSET_PERCENT: [usize; 2] = [10, 40];
/// Which of the sorted first answers may be the repair: the first ones may have come by chance.
const BACK: [usize; 3] = [0, 1, 3];
/// Log ratio of a repair that a report contradicts: its port is still down.
const STILL_DOWN: f64 = -6.0;
/// Onsets that are looked at with every course.
const ONSETS_BEST: usize = 2;
/// Rows that onsets are compared on.
const ONSET_ROWS_MAX: usize = 512;
/// First losses from which on the moment when they grew more frequent is tried as well.
const SURGE_MIN: usize = 24;
/// Reports of one element whose moments are tried.
const FACT_ONSETS_MAX: usize = 4;
/// The log ratio of what a cover explains without that it speaks for it.
const ADOPTED: f64 = 1e-6;
/// Covers that explain this much less than nothing are not kept as alternatives.
pub(super) const ALTERNATIVE_MIN: f64 = -12.0;
/// What rounds deny this much is not looked at further, whatever was reported.
const HOPELESS: f64 = -60.0;

/// What a cause does to one row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Effect {
    pub(super) row: u32,
    /// How surely the path is what we think it is.
    pub(super) trust: f64,
    /// Log ratio of the quiet pairs, and of what is no pair.
    pub(super) rest: f64,
    /// Log ratio of each lot of the row; empty if all are 0.
    pub(super) lots: Vec<f64>,
    /// Of what explains a part of the row: what the row says for a cause of all of it; `None` of
    /// what explains all of it.
    pub(super) whole: Option<f64>,
    /// What it says alone.
    pub(super) value: f64,
}

impl Effect {
    /// Of quiet pairs and what is no pair alone.
    fn of_rest(meeting: &Meeting<'_>, rest: f64) -> Effect {
        let (row, trust) = (meeting.row, meeting.trust);
        let value = row_value(rest, None, trust);
        Effect { row, trust, rest, lots: Vec::new(), whole: None, value }
    }
}

/// A cause with what it explains.
#[derive(Clone, Debug)]
pub(super) struct Cover {
    pub(super) element: ElementIx,
    pub(super) mode: FaultMode,
    /// Sorted: the element and what shares its fate.
    pub(super) fate: Vec<ElementIx>,
    pub(super) onset: UtcMicros,
    /// Packets take another way since; `None` if not.
    pub(super) converged_us: Option<i64>,
    /// It works again since.
    pub(super) healed_at: Option<UtcMicros>,
    pub(super) effects: Vec<Effect>,
    /// Log prior and telemetry.
    pub(super) own: f64,
    /// What reports add to that.
    pub(super) told: f64,
    /// What its story costs to believe; it is in `own`.
    pub(super) price: f64,
    /// The sum over all rows, alone.
    pub(super) alone: f64,
}

impl Cover {
    /// Several targets that went out together, rather than something that carries them.
    pub(super) fn is_band(&self) -> bool {
        // Only targets explain a part of a row.
        1 < self.fate.len() && self.effects.iter().any(|effect| effect.whole.is_some())
    }

    /// Everything for and against this cause, if it is the only one.
    pub(super) fn score(&self) -> f64 {
        self.alone + self.own
    }
}

/// The value of a row: what it says is bounded by how surely its path is known.
///
/// Something that is not on its path could explain it as well, so who explains all of it gains no
/// more than that costs. Who explains a part of the `whole`, as a target does, and leaves the rest
/// to something else, gains only what something else would not have explained with it: little
/// where all the row is out, everything where others on it answer round after round.
pub(super) fn row_value(sum: f64, whole: Option<f64>, trust: f64) -> f64 {
    let doubt = (1.0 - trust).max(1e-6);
    if sum < 0.0 {
        return noise::log_sum(trust.ln() + sum, doubt.ln());
    }
    let elsewhere = (whole.unwrap_or(sum) + doubt.ln() + ELSEWHERE).max(0.0);
    sum.max(elsewhere) - elsewhere
}

/// What a row can say at most for a cause of all of it.
pub(super) fn row_value_most(trust: f64) -> f64 {
    -(1.0 - trust).max(1e-6).ln() - ELSEWHERE
}

pub(super) fn trust(source: PathSource) -> f64 {
    match source {
        PathSource::Pinned => 0.995,
        PathSource::Trace => 0.98,
        PathSource::Spf => 0.97,
        PathSource::LastKnown => 0.6,
        PathSource::Neighbour => 0.5,
        PathSource::Unknown => 0.3,
    }
}

/// Makes covers from one board.
#[derive(Debug)]
pub(super) struct Scorer<'a, 'p> {
    pub(super) picture: &'a Picture<'p>,
    pub(super) board: &'a Board,
    pub(super) telemetry: &'a Telemetry,
}

/// The best story of one cause so far.
struct Guess<'w, 'a> {
    course: Course,
    ways: &'w Ways<'a>,
    own: f64,
    told: f64,
    price: f64,
    alone: f64,
    score: f64,
}

impl Scorer<'_, '_> {
    /// The best cover of an element that is down; `None` if it explains nothing, or so little that
    /// it is not worth to be kept.
    pub(super) fn down(&self, element: ElementIx) -> Option<Cover> {
        let fate = self.picture.topology.fate(element);
        let cut = OnceCell::new();
        let of = |part, mode, price| {
            let cause = Cause { fate: &fate, part, mode, price, cut: &cut };
            Ways::new(self, cause, self.crossed(&fate), 1)
        };
        let whole = of(Part::Whole, FaultMode::Down, 0.0);
        let onsets = self.likely_onsets(&whole);
        let courses = courses(&whole, &onsets);
        let mut ways = Vec::new();
        if self.picture.topology.kind(element) == ElementKind::Link {
            for part in [Part::Forward, Part::Back] {
                let one_way = of(part, FaultMode::OneWay, ONE_WAY_PRIOR);
                if one_way.len() < whole.len() {
                    ways.push(one_way);
                }
            }
        }
        let mut best: Option<Guess<'_, '_>> = None;
        let known = vec![OnceCell::new(); 2 * onsets.len()];
        let begun = |course: &Course| {
            let of = || onsets.get(course.nth).map_or(0.0, |on| whole.begun(*on, course.is_fixed));
            let known = known.get(2 * course.nth + usize::from(course.is_fixed));
            known.map_or(0.0, |known: &OnceCell<f64>| *known.get_or_init(of))
        };
        for ways in [&whole].into_iter().chain(&ways) {
            self.guess(element, ways, &courses, &begun, &mut best);
        }
        let Guess { course, ways, own, told, price, alone, .. } = best?;
        let (converged_us, healed_at) = match course.after {
            After::Lasting => (None, None),
            After::Converged { us } => (Some(us), None),
            After::Healed { at } => (None, Some(at)),
        };
        let effects = ways.effects(&course);
        let (mode, onset) = (ways.cause.mode, course.onset);
        Some(Cover {
            element,
            mode,
            effects,
            onset,
            converged_us,
            healed_at,
            own,
            told,
            price,
            alone,
            fate: fate.clone(),
        })
    }

    /// Tries every course, and keeps the best there is.
    fn guess<'w, 'a>(
        &self,
        element: ElementIx,
        ways: &'w Ways<'a>,
        courses: &[Course],
        begun: &dyn Fn(&Course) -> f64,
        best: &mut Option<Guess<'w, 'a>>,
    ) {
        let still_down = self.telemetry.still_down(self.picture, element);
        let Cause { mode, price: of_part, .. } = ways.cause;
        let prior = prior::of(self.picture, element, mode);
        for course in courses {
            let is_over = matches!(course.after, After::Healed { .. });
            let when = (course.onset, is_over);
            let told = self.telemetry.ratio(self.picture, element, mode, when);
            let denied = if is_over { STILL_DOWN * still_down } else { 0.0 };
            let known = best.as_ref().map_or(ALTERNATIVE_MIN, |best| best.score);
            // That it began just then only costs: most need not be asked for it.
            let at_best = prior + told + course.price + of_part + denied;
            let alone = ways.weigh(course, f64::max(known - at_best, HOPELESS), told <= 0.0);
            let Some(alone) = alone else { continue };
            let price = course.price + begun(course) + of_part + denied;
            let own = prior + told + price;
            if known < alone + own {
                let score = alone + own;
                *best = Some(Guess { course: *course, ways, own, told, price, alone, score });
            }
        }
    }

    /// The onsets under which a failure that lasts explains most.
    fn likely_onsets(&self, ways: &Ways<'_>) -> Vec<Onset> {
        let onsets = self.onsets(&ways.loud, ways.cause.fate);
        if onsets.len() <= ONSETS_BEST {
            return onsets;
        }
        // Of many rows, some say as well as all when it began.
        let every = ways.len().div_ceil(ONSET_ROWS_MAX).max(1);
        let some = (1 < every).then(|| ways.sample(every));
        let sample = some.as_ref().unwrap_or(ways);
        let mut best: Vec<(f64, Onset)> = Vec::new();
        // What began later is denied by less: those that come after it are soon seen to be worse.
        for onset in onsets.into_iter().rev() {
            let begun = ways.begun(onset, false);
            // Answers after convergence deny every onset alike: what counts is what is explained.
            let course = Course::lasting(onset.at);
            let least = best.get(ONSETS_BEST - 1).map_or(f64::NEG_INFINITY, |(sum, _)| *sum);
            let explained = sample.weigh(&course, least - begun - 1e-6, false);
            let value = explained.map_or(f64::NEG_INFINITY, |sum| sum + begun);
            // Of those that explain as much, the first.
            let place = best.iter().take_while(|(other, _)| value < *other).count();
            best.insert(place, (value, onset));
            best.truncate(ONSETS_BEST);
        }
        best.into_iter().map(|(_, onset)| onset).collect()
    }

    /// What meets `fate` if all of it fails.
    fn whole<'a>(&'a self, fate: &'a [ElementIx], cut: &'a OnceCell<Cut>) -> Ways<'a> {
        let (part, mode, price) = (Part::Whole, FaultMode::Down, 0.0);
        Ways::new(self, Cause { fate, part, mode, price, cut }, self.crossed(fate), 1)
    }

    /// The rows that cross any of `fate`.
    fn crossed(&self, fate: &[ElementIx]) -> Crossed<'_> {
        if let [element] = fate {
            let board = self.board;
            return Crossed::One(board.crossed_by(*element), board.noted_rows_of(*element));
        }
        let mut rows: Vec<u32> = Vec::new();
        for element in fate {
            rows.extend(self.board.rows_of(*element));
        }
        rows.sort_unstable();
        rows.dedup();
        Crossed::Many(rows)
    }

    /// Moments at which it may have begun: first losses of the lots that cross it.
    fn onsets(&self, meetings: &[Meeting<'_>], fate: &[ElementIx]) -> Vec<Onset> {
        let mut firsts: Vec<i64> = Vec::new();
        let mut noted: Vec<i64> = Vec::new();
        for meeting in meetings {
            firsts.extend(&meeting.evidence.firsts);
            match meeting.evidence.note {
                Note::Silent { since } | Note::NoGateway { since } => noted.push(since.0),
                Note::Changed { at, .. } => firsts.push(at.0),
                Note::Reach { .. } | Note::Heard | Note::Rounds => {}
            }
        }
        firsts.sort_unstable();
        firsts.dedup();
        let facts = fate.iter().flat_map(|element| self.telemetry.facts(*element));
        let facts = facts.filter_map(|at| self.picture.facts.get(*at));
        let is_bad = |fact: &&Fact| fact.kind.is_some_and(FactKind::is_bad);
        let earliest = self.picture.now.0 - rows::window_us(0);
        let recent = facts.filter(is_bad).map(|fact| fact.at.0).filter(|at| earliest < *at);
        noted.extend(recent.take(FACT_ONSETS_MAX));
        let mut picked: Vec<i64> =
            ONSETS.iter().filter_map(|nth| firsts.get(*nth).copied()).collect();
        let percent = ONSET_PERCENT.iter().map(|percent| firsts.len() * percent / 100);
        picked.extend(percent.filter_map(|nth| firsts.get(nth)));
        picked.extend(surge(&firsts));
        let told = noted.into_iter().map(|at| Onset { at: UtcMicros(at), is_told: true });
        let picked = picked.into_iter().map(|at| Onset { at: UtcMicros(at), is_told: false });
        let mut onsets: Vec<Onset> = told.chain(picked).collect();
        onsets.sort_unstable();
        onsets.dedup();
        if onsets.is_empty() {
            onsets.push(Onset { at: self.picture.now, is_told: false });
        }
        onsets
    }

    /// The best cover of an element that loses packets.
    pub(super) fn lossy(&self, element: ElementIx) -> Option<Cover> {
        let fate = self.picture.topology.fate(element);
        let cut = OnceCell::new();
        let ways = self.whole(&fate, &cut);
        let of_rounds = ways.all().filter(|meeting| meeting.evidence.set.is_some());
        let meetings: Vec<_> =
            of_rounds.map(|meeting| (self.board.lossy(meeting.evidence), meeting)).collect();
        let mut best: Option<Cover> = None;
        for (level, loss) in LEVELS.iter().enumerate() {
            let mut effects = Vec::new();
            let mut alone = 0.0;
            for (lossy, meeting) in &meetings {
                // Half of the flows over a lossy link lose half of its share.
                let seen = loss * meeting.share;
                let near = (0..=level).rev().find(|at| LEVELS[*at] <= seen * 1.4).unwrap_or(0);
                let rest = lossy[near];
                if rest != 0.0 {
                    let effect = Effect::of_rest(meeting, rest);
                    alone += effect.value;
                    effects.push(effect);
                }
            }
            let when = (self.picture.now, false);
            let told = self.telemetry.ratio(self.picture, element, FaultMode::Lossy, when);
            let own = prior::of(self.picture, element, FaultMode::Lossy) + told;
            let cover = Cover {
                element,
                mode: FaultMode::Lossy,
                fate: fate.clone(),
                onset: self.picture.now,
                converged_us: None,
                healed_at: None,
                effects,
                own,
                told,
                price: 0.0,
                alone,
            };
            if best.as_ref().is_none_or(|best| best.score() < cover.score()) {
                best = Some(cover);
            }
        }
        best
    }

    /// The cover of an element that delays.
    pub(super) fn slow(&self, element: ElementIx) -> Cover {
        const SHIFTED: f64 = 3.7;
        const STEADY: f64 = -1.9;
        let fate = self.picture.topology.fate(element);
        let cut = OnceCell::new();
        let mut effects = Vec::new();
        let mut alone = 0.0;
        for meeting in self.whole(&fate, &cut).all() {
            let row = meeting.evidence;
            let mixed =
                |ratio: f64| (meeting.share * ratio.exp() + (1.0 - meeting.share).max(0.0)).ln();
            let rest =
                row.shifts_us.len() as f64 * mixed(SHIFTED) + f64::from(row.steady) * mixed(STEADY);
            if rest != 0.0 {
                let effect = Effect::of_rest(&meeting, rest);
                alone += effect.value;
                effects.push(effect);
            }
        }
        let when = (self.picture.now, false);
        let told = self.telemetry.ratio(self.picture, element, FaultMode::Slow, when);
        let own = prior::of(self.picture, element, FaultMode::Slow) + told;
        Cover {
            element,
            mode: FaultMode::Slow,
            fate,
            onset: self.picture.now,
            converged_us: None,
            healed_at: None,
            effects,
            own,
            told,
            price: 0.0,
            alone,
        }
    }

    /// Lets a cover explain what went out over it shortly before the onset that fits best, and is
    /// still out: of so many rows the best onset is not the first. It counts for nothing.
    pub(super) fn adopt(&self, cover: &mut Cover) {
        if cover.mode != FaultMode::Down || cover.healed_at.is_some() {
            return;
        }
        let (fate, cut) = (cover.fate.clone(), OnceCell::new());
        let ways = self.whole(&fate, &cut);
        for meeting in &ways.loud {
            let is_adopted = |lot: &Lot| {
                let first = cover.onset.0.saturating_sub(lot.interval_us);
                lot.regime.dead_since().is_some_and(|since| first <= since.0)
            };
            let lots = &meeting.evidence.lots;
            if !lots.iter().any(is_adopted) {
                continue;
            }
            let place = cover.effects.binary_search_by_key(&meeting.row, |effect| effect.row);
            let at = place.unwrap_or_else(|at| {
                let (row, trust) = (meeting.row, meeting.trust);
                let (rest, lots, whole, value) = (0.0, Vec::new(), None, 0.0);
                cover.effects.insert(at, Effect { row, trust, rest, lots, whole, value });
                at
            });
            let Some(effect) = cover.effects.get_mut(at) else { continue };
            effect.lots.resize(lots.len(), 0.0);
            for (ratio, _) in effect.lots.iter_mut().zip(lots).filter(|(_, lot)| is_adopted(lot)) {
                *ratio = ratio.max(ADOPTED);
            }
            let sum = effect.rest + effect.lots.iter().sum::<f64>();
            effect.value = row_value(sum, effect.whole, effect.trust);
        }
    }
}

/// Where sorted first losses begin to come faster than they would spread evenly.
fn surge(firsts: &[i64]) -> Option<i64> {
    let (first, last) = (*firsts.first()?, *firsts.last()?);
    if firsts.len() < SURGE_MIN || first == last {
        return None;
    }
    let rate = firsts.len() as f64 / (last - first) as f64;
    let ahead = |nth: usize, at: i64| nth as f64 - rate * (at - first) as f64;
    let moments = firsts.iter().enumerate();
    let lowest = moments.min_by(|a, b| ahead(a.0, *a.1).total_cmp(&ahead(b.0, *b.1)));
    lowest.map(|(_, at)| *at)
}

/// What may have become of a failure: when it began, and whether it lasts, was gone round, or is
/// over.
fn courses(ways: &Ways<'_>, onsets: &[Onset]) -> Vec<Course> {
    let is_avoidable = ways.any(|meeting| meeting.is_avoidable);
    let back = ways.loud.iter().flat_map(|meeting| &meeting.evidence.backs);
    let mut back: Vec<UtcMicros> = back.copied().collect();
    back.sort_unstable();
    let mut healed: Vec<UtcMicros> = BACK
        .iter()
        .filter_map(|nth| back.get(*nth))
        .chain(back.get(back.len() / 10))
        .copied()
        .collect();
    healed.sort_unstable();
    healed.dedup();
    let mut courses = Vec::new();
    for (nth, onset) in onsets.iter().enumerate() {
        let onset = onset.at;
        let mut add = |after, price, is_fixed| {
            courses.push(Course { onset, after, price, nth, is_fixed });
        };
        add(After::Lasting, if is_avoidable { UNCONVERGED_PRIOR } else { 0.0 }, false);
        for us in CONVERGED_US.into_iter().filter(|_| is_avoidable) {
            // What goes round it answers all along and says nothing of when it broke.
            let price = if us == 0 { CONVERGED_AT_ONCE_PRIOR } else { CONVERGED_PRIOR };
            add(After::Converged { us }, price, true);
        }
        for at in healed.iter().copied().filter(|at| onset < *at) {
            add(After::Healed { at }, HEALED_PRIOR, false);
        }
    }
    courses
}

/// What the answered rounds of quiet pairs say, were their path gone during a span.
pub(super) fn quiet_ratio(row: &Row, span: &Span, share: f64) -> f64 {
    let quiet = &row.quiet;
    let last = quiet.back().map_or(i64::MIN, |quiet| quiet.at);
    if last < span.from {
        return 0.0;
    }
    let before = |moment: i64| quiet.partition_point(|quiet| quiet.at < moment);
    let first = before(span.from);
    let end = if last < span.until { quiet.len() } else { before(span.until) };
    let rounds = end.saturating_sub(first);
    if rounds == 0 {
        return 0.0;
    }
    let rounds = rounds as f64;
    let ratio = noise::good_ratio();
    if 1.0 <= share {
        return rounds * ratio;
    }
    // Rounds of one pair take one way: what counts is pairs, each on the broken way or not.
    let lots = rounds.min(f64::from(row.quiet_lots));
    lots * (share * (ratio * rounds / lots).exp() + (1.0 - share)).ln()
}

/// What one pair's rounds say, were its path gone during a span. However long it was out since, it
/// does not make up for what it answered before.
pub(super) fn lot_ratio(lot: LotRatios<'_>, span: &Span, share: f64) -> f64 {
    let (mut before, mut out) = (0.0, 0.0);
    for (at, ratio) in lot.rounds.iter().filter(|(at, _)| span.contains(*at)) {
        *(if *at < lot.out.since { &mut before } else { &mut out }) += *ratio;
    }
    // Rounds from before the window are not looked at, but that they were answered is known.
    let first = lot.rounds.first().map_or(lot.out.since, |(at, _)| lot.out.since.min(*at));
    if let Some(every) = lot.out.answered_every_us {
        let unseen = first.saturating_sub(span.from).max(0) / every;
        before += unseen as f64 * noise::good_ratio();
    }
    if span.is_healed {
        // What is lost after it works again is lost for another reason.
        let after = lot.rounds.iter().filter(|(at, ratio)| span.until <= *at && 0.0 < *ratio);
        out -= after.map(|(_, ratio)| *ratio).sum::<f64>();
    }
    if lot.out.until < span.from {
        out = out.min(0.0);
    }
    let sum: f64 = before + out.min(LOT_MAX);
    if sum == 0.0 {
        return 0.0;
    }
    let mixed = if 1.0 <= share { sum } else { (share * sum.exp() + (1.0 - share)).ln() };
    mixed.min(LOT_MAX)
}

/// What a row that is no round says of a fate: the loudest of its members.
pub(super) fn fixed_ratio(row: &Row, fate: &[ElementIx]) -> f64 {
    let mine = row.fixed.iter().filter(|(element, _)| fate.binary_search(element).is_ok());
    mine.map(|(_, ratio)| *ratio).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0)
}
