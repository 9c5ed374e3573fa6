//! Evidence by row: rounds of one agent over one set of paths, and what else speaks for or against
//! elements.
//!
//! Most pairs are quiet: their answered rounds are only counted, by time. A pair with a lost round
//! is a [`Lot`] of its row and keeps its rounds. Which pairs are on which row, and what follows of
//! all rows together, is the matter of `board`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{ElementKind, FactKind, PathSource, UtcMicros};

use super::{
    noise::{self, LEVELS},
    picture::{Ask, Beat, Picture},
    regime::Regime,
};
use crate::graph::{Crossing, ElementIx, PathBook, PathSet, SetIx, Topology};

/// Convergence and stragglers beside two intervals: how far back evidence reaches.
const WINDOW_SLACK_US: i64 = 60_000_000;
/// Missed heartbeats after which an agent is gone.
const BEATS_MISSED_MAX: i64 = 3;
const BEAT_SLACK_US: i64 = 1_000_000;
/// The quietest and the loudest network whose loss passes for normal.
const QUIET_MIN: f64 = 0.001;
const QUIET_MAX: f64 = 0.02;
/// How finely the loss of rows is told apart when their median is looked for.
const RATE_PARTS: f64 = 50_000.0;
/// Counts of packets of one round that are remembered: a round asks a few.
const KINDS_MAX: usize = 1_024;
/// New rounds are the latest on their row but for so many at most; else the row is sorted anew.
const LATER_MAX: usize = 16;
/// A row with a larger share of pairs that lost a round is no noise.
const NOISY_ROW: f64 = 0.2;

/// A pair with lost rounds, on one set of paths.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    /// Index into the picture's pairs.
    pub(super) pair: usize,
    pub(super) target: ElementIx,
    /// Between two rounds.
    pub(super) interval_us: i64,
    /// Rounds of the window on this set.
    pub(super) asks: Vec<Ask>,
    /// The pair's story, on whatever path.
    pub(super) regime: Regime,
    pub(super) out: Out,
}

impl Lot {
    /// Whether it is out, and was already in the last of these rounds.
    pub(super) fn is_out(&self) -> bool {
        let last = self.asks.last().map(|ask| ask.at);
        self.regime.is_dead && last.is_some_and(|at| self.regime.dead_since() <= Some(at))
    }

    /// When it went out, or lost its first round.
    fn first_lost(&self) -> Option<i64> {
        let dead = || self.asks.iter().find(|ask| ask.is_dead()).map(|ask| ask.at);
        self.regime.dead_since().or_else(dead).map(|at| at.0)
    }

    /// The first answer after its last lost round.
    fn back_at(&self) -> Option<UtcMicros> {
        let last_dead = self.asks.iter().rposition(Ask::is_dead)?;
        self.asks.get(last_dead + 1).map(|ask| ask.at)
    }
}

/// An answered round of a pair that lost none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quiet {
    pub(super) at: i64,
    pub(super) pair: u32,
    pub(super) counts: (u16, u16),
}

impl Quiet {
    fn of(pair: u32, ask: &Ask) -> Quiet {
        Quiet { at: ask.at.0, pair, counts: (ask.sent, ask.lost()) }
    }
}

/// Everything that one agent's rounds over one set of paths say.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) agent: ElementIx,
    /// `None` for what is no round: heartbeats, reachability, changes of path.
    pub(super) set: Option<SetIx>,
    /// When the set began to hold, if that was told.
    pub(super) since: Option<UtcMicros>,
    pub(super) ends: Option<Ends>,
    /// What it crosses.
    pub(super) parts: Vec<Crossing>,
    /// Pairs without a lost round, and their rounds by time.
    pub(super) quiet_lots: u32,
    pub(super) quiet: VecDeque<Quiet>,
    /// Some of those are out of order, until it is settled.
    is_unsorted: bool,
    /// By pair.
    pub(super) lots: Vec<Lot>,
    /// When each round of each lot was asked, with its log ratio for a path that is gone: in one
    /// piece, as every cause reads them all; and where those of each lot end.
    lot_ratios: Vec<(i64, f64)>,
    lot_ends: Vec<(usize, Out)>,
    /// When rounds of lots were asked, sorted.
    pub(super) lot_times: Vec<i64>,
    /// When each lot went out, or lost its first round; and when each was answered again.
    pub(super) firsts: Vec<i64>,
    pub(super) backs: Vec<UtcMicros>,
    /// Of many lots, what bounds them without a look at each.
    pub(super) many: Option<Many>,
    /// Lots that are out.
    pub(super) dead: u32,
    /// Some lot lost a round on this set.
    pub(super) is_bad: bool,
    /// (sent, lost) of rounds outside outages, sorted, with how many there were.
    pub(super) counts: Vec<((u16, u16), u32)>,
    /// Pairs that answer later than they used to, by how much; and those that do not.
    pub(super) shifts_us: Vec<(usize, i64)>,
    pub(super) steady: u32,
    /// For a row that is no round: what speaks for, or against, each element.
    pub(super) fixed: Vec<(ElementIx, f64)>,
    /// What a fixed row is, for the text.
    pub(super) note: Note,
    /// What the board has added up of it.
    pub(super) counted: Counted,
    /// It changed since then, and so did its lots.
    pub(super) is_loose: bool,
    has_other_lots: bool,
}

/// The whole, of which shares are parts: whole numbers add up to the same in any order.
pub(super) const SHARE_ONE: f64 = 1_048_576.0;

/// What of a row is summed over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) lots: u32,
    pub(super) pairs: u32,
    /// Packets outside outages.
    pub(super) sent: u64,
    pub(super) lost: u64,
}

impl Counted {
    /// Whether what it lost may be noise.
    pub(super) fn is_quiet(&self) -> bool {
        f64::from(self.lots) <= f64::from(self.pairs) * NOISY_ROW
    }
}

/// The share of flows that cross an element, in parts of [`SHARE_ONE`].
pub(super) fn part_of(crossing: &Crossing) -> i64 {
    (crossing.share * SHARE_ONE).round() as i64
}

/// What a set crosses.
pub(super) fn parts(paths: &PathBook, set: SetIx) -> Vec<Crossing> {
    paths.get(set).map_or_else(Vec::new, |set| set.crossings.clone())
}

/// Between which nodes rounds go, and how surely that way is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ends {
    pub(super) source: PathSource,
    pub(super) host: Option<ElementIx>,
    /// What the target stands behind, and the node of that.
    pub(super) end: Option<ElementIx>,
    pub(super) end_node: Option<ElementIx>,
}

impl Ends {
    pub(super) fn of(topology: &Topology, set: &PathSet) -> Ends {
        Ends {
            source: set.source,
            host: topology.host(set.agent),
            end: set.end,
            end_node: set.end.map(|end| topology.node_of(end)),
        }
    }
}

/// The rounds of all lots of a row by time: what they say together at least and at most, without a
/// look at each lot.
#[derive(Clone, Debug, Default)]
pub(super) struct Many {
    /// Before this, rounds that are not looked at count as well.
    from: i64,
    /// Sorted: first lost rounds of last outages, all lost ones, all answered ones.
    outs: Vec<i64>,
    lost: Vec<i64>,
    answered: Vec<i64>,
    /// Log ratios of the quietest and the loudest lost round, and of the most telling answered one.
    lost_least: f64,
    lost_most: f64,
    answered_least: f64,
}

/// From so many lots on.
const MANY: usize = 8;

impl Many {
    fn of(lots: &[Lot]) -> Option<Many> {
        if lots.len() < MANY {
            return None;
        }
        let mut many = Many { from: i64::MIN, lost_least: f64::INFINITY, ..Many::default() };
        for lot in lots {
            let first = lot.asks.first().map_or(lot.out.since, |ask| lot.out.since.min(ask.at.0));
            if lot.out.answered_every_us.is_some() {
                many.from = many.from.max(first);
            }
            for ask in &lot.asks {
                let ratio = noise::dead_ratio(ask);
                if 0.0 < ratio {
                    many.lost.push(ask.at.0);
                    many.lost_least = many.lost_least.min(ratio);
                    many.lost_most = many.lost_most.max(ratio);
                    if ask.at.0 == lot.out.since {
                        many.outs.push(ask.at.0);
                    }
                } else {
                    many.answered.push(ask.at.0);
                    many.answered_least = many.answered_least.min(ratio);
                }
            }
        }
        many.outs.sort_unstable();
        many.lost.sort_unstable();
        many.answered.sort_unstable();
        Some(many)
    }

    /// What all lots say at least and at most, were a whole path gone from one moment until another
    /// and then whole again or not; `None` if that needs a look at each.
    pub(super) fn bounds(
        &self,
        (from, until): (i64, i64),
        is_healed: bool,
        log_share: f64,
        cap: f64,
    ) -> Option<(f64, f64)> {
        if from < self.from {
            return None;
        }
        let within = |times: &[i64]| {
            let end = if until == i64::MAX {
                times.len()
            } else {
                times.partition_point(|at| *at < until)
            };
            end.saturating_sub(times.partition_point(|at| *at < from)) as f64
        };
        let (mut after_least, mut after_most) = (0.0, 0.0);
        if is_healed {
            let after = self.lost.len() - self.lost.partition_point(|at| *at < until);
            (after_least, after_most) =
                (after as f64 * self.lost_least, after as f64 * self.lost_most);
        }
        let outs = within(&self.outs);
        let out =
            if 0.0 < outs { outs * (self.lost_least.min(cap) + log_share.min(0.0)) } else { 0.0 };
        let answered = within(&self.answered) * self.answered_least;
        let lost = within(&self.lost);
        let most = if 0.0 < lost { lost * self.lost_most } else { 0.0 };
        let (after_least, after_most) =
            if is_healed && self.lost.is_empty() { (0.0, 0.0) } else { (after_least, after_most) };
        Some((out + answered - after_most, most - after_least))
    }
}

/// The rounds of one lot.
#[derive(Clone, Copy, Debug)]
pub(super) struct LotRatios<'a> {
    /// When each was asked, with its log ratio for a path that is gone.
    pub(super) rounds: &'a [(i64, f64)],
    pub(super) out: Out,
}

/// The last outage of a pair, as causes meet it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Out {
    /// When it began; before all rounds if there was none.
    pub(super) since: i64,
    /// What breaks later is not why.
    pub(super) until: i64,
    /// Between two rounds that were answered before it; `None` if none was.
    pub(super) answered_every_us: Option<i64>,
}

impl Out {
    pub(super) fn of(regime: &Regime, interval_us: i64) -> Out {
        let since = regime.outages.last().map(|(since, _)| since.0);
        let is_first = regime.outages.len() == 1;
        let was_good = is_first && regime.good_before.is_some();
        Out {
            since: since.unwrap_or(i64::MIN),
            until: since.map_or(i64::MAX, |since| since.saturating_add(interval_us)),
            answered_every_us: was_good.then_some(interval_us.max(1)),
        }
    }
}

/// Loss that passes for normal, and what each count of packets says for each level of loss then.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    /// Packets sent over rows, by the share that they lose.
    sent: Vec<u64>,
    total: u64,
    kinds: BTreeSet<(u16, u16)>,
    ratios: BTreeMap<(u16, u16), [f64; LEVELS.len()]>,
    quiet: f64,
}

impl Losses {
    fn bucket(counted: &Counted) -> usize {
        let rate = counted.lost as f64 / counted.sent.max(1) as f64;
        (rate.min(QUIET_MAX) * RATE_PARTS).round() as usize
    }

    pub(super) fn add(&mut self, counted: &Counted) {
        let bucket = Losses::bucket(counted);
        if self.sent.len() <= bucket {
            self.sent.resize(bucket + 1, 0);
        }
        self.sent.get_mut(bucket).into_iter().for_each(|sent| *sent += counted.sent);
        self.total += counted.sent;
    }

    pub(super) fn forget(&mut self, counted: &Counted) {
        let sent = self.sent.get_mut(Losses::bucket(counted));
        sent.into_iter().for_each(|sent| *sent -= counted.sent);
        self.total -= counted.sent;
    }

    fn note(&mut self, kind: (u16, u16)) {
        if !self.ratios.contains_key(&kind) && self.kinds.len() < KINDS_MAX {
            self.kinds.insert(kind);
        }
    }

    /// Finds the median loss of all rows, and what every count says against it.
    pub(super) fn weigh(&mut self) {
        let mut seen = 0;
        let median = self.sent.iter().position(|sent| {
            seen += sent;
            0 < seen && self.total / 2 <= seen
        });
        let rate = median.map_or(0.0, |bucket| bucket as f64 / RATE_PARTS);
        let quiet = rate.clamp(QUIET_MIN, QUIET_MAX);
        if quiet != self.quiet || KINDS_MAX < self.ratios.len() {
            self.quiet = quiet;
            self.kinds.extend(std::mem::take(&mut self.ratios).into_keys().take(KINDS_MAX));
        }
        for kind in std::mem::take(&mut self.kinds) {
            self.ratios.insert(kind, noise::lossy_ratios(kind.0, kind.1, quiet));
        }
    }

    /// The log ratio of each level of loss.
    pub(super) fn ratios(&self, counts: &[((u16, u16), u32)]) -> [f64; LEVELS.len()] {
        let mut sums = [0.0; LEVELS.len()];
        for ((sent, lost), count) in counts {
            let known = self.ratios.get(&(*sent, *lost)).copied();
            let ratios = known.unwrap_or_else(|| noise::lossy_ratios(*sent, *lost, self.quiet));
            for (sum, ratio) in sums.iter_mut().zip(ratios) {
                *sum += ratio * f64::from(*count);
            }
        }
        sums
    }

    /// Whether a row loses more than passes for normal; of the others none speaks for loss.
    pub(super) fn is_beyond(&self, counted: &Counted) -> bool {
        counted.sent as f64 * self.quiet < counted.lost as f64
    }
}

/// What kind of observation a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Rounds,
    /// A heartbeat is missing.
    Silent {
        since: UtcMicros,
    },
    /// Its gateway does not answer it.
    NoGateway {
        since: UtcMicros,
    },
    /// It is heard, and its gateway answers.
    Heard,
    /// A fact of reachability: index into the picture's facts.
    Reach {
        fact: usize,
    },
    /// Pairs changed their path at about this time.
    Changed {
        pairs: u32,
        at: UtcMicros,
    },
}

/// Whom nobody can use as a witness, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blind {
    pub(super) agent: ElementIx,
    pub(super) since: UtcMicros,
    pub(super) is_silent: bool,
}

/// How far back the rounds of a tier speak of now.
pub fn window_us(interval_us: i64) -> i64 {
    2 * interval_us + WINDOW_SLACK_US
}

/// What is no round: heartbeats, reachability, changes of path.
pub(super) fn fixed(picture: &mut Picture<'_>, blind: &[Blind], changes: Changes) -> Vec<Row> {
    let mut rows = beat_rows(picture, blind);
    rows.extend(reach_rows(picture));
    rows.extend(change_rows(picture, changes));
    rows
}

/// Agents that are silent, or whose gateway does not answer them. One that never said anything of
/// itself is taken at its rounds.
pub(super) fn blind(beats: &[Beat], heartbeat_us: i64, now: UtcMicros) -> Vec<Blind> {
    let mut blind = Vec::new();
    for beats in beats.chunk_by(|a, b| a.agent == b.agent) {
        let Some(last) = beats.last() else { continue };
        let silent_us = heartbeat_us * BEATS_MISSED_MAX + BEAT_SLACK_US;
        if silent_us < now.0 - last.at.0 {
            blind.push(Blind { agent: last.agent, since: last.at, is_silent: true });
        } else if !last.is_gateway_ok {
            let failed = beats.iter().rev().take_while(|beat| !beat.is_gateway_ok);
            let first = failed.last().map_or(last.at, |beat| beat.at);
            // It broke somewhere in the beat before it was noticed.
            let since = UtcMicros(first.0 - heartbeat_us);
            blind.push(Blind { agent: last.agent, since, is_silent: false });
        }
    }
    blind
}

/// (agent, old set, new set) with the pairs that changed and when.
pub(super) type Changes = BTreeMap<(ElementIx, SetIx, SetIx), (u32, UtcMicros)>;

impl Row {
    pub(super) fn new(agent: ElementIx, set: Option<SetIx>, note: Note) -> Row {
        Row {
            agent,
            set,
            since: None,
            ends: None,
            parts: Vec::new(),
            quiet_lots: 0,
            quiet: VecDeque::new(),
            is_unsorted: false,
            lots: Vec::new(),
            lot_ratios: Vec::new(),
            lot_ends: Vec::new(),
            lot_times: Vec::new(),
            firsts: Vec::new(),
            backs: Vec::new(),
            many: None,
            dead: 0,
            is_bad: false,
            counts: Vec::new(),
            shifts_us: Vec::new(),
            steady: 0,
            fixed: Vec::new(),
            note,
            counted: Counted::default(),
            is_loose: false,
            has_other_lots: false,
        }
    }

    /// Brings what follows from its lots in line with them.
    pub(super) fn settle(&mut self) {
        self.is_loose = false;
        if std::mem::take(&mut self.is_unsorted) {
            self.quiet.make_contiguous().sort_unstable();
        }
        if !std::mem::take(&mut self.has_other_lots) {
            return;
        }
        self.lot_ratios.clear();
        self.lot_ends.clear();
        for lot in &self.lots {
            let ratio = |ask: &Ask| (ask.at.0, noise::dead_ratio(ask));
            self.lot_ratios.extend(lot.asks.iter().map(ratio));
            self.lot_ends.push((self.lot_ratios.len(), lot.out));
        }
        self.lot_times = self.lot_ratios.iter().map(|(at, _)| *at).collect();
        self.lot_times.sort_unstable();
        self.firsts = self.lots.iter().filter_map(Lot::first_lost).collect();
        self.backs = self.lots.iter().filter_map(Lot::back_at).collect();
        self.many = Many::of(&self.lots);
        let dead = self.lots.iter().filter(|lot| lot.regime.is_dead).count();
        self.dead = u32::try_from(dead).unwrap_or(u32::MAX);
        self.is_bad = self.lots.iter().any(|lot| lot.asks.iter().any(Ask::is_dead));
    }

    /// What is to be summed over rows.
    pub(super) fn count_up(&self) -> Counted {
        let mut counted = Counted {
            lots: u32::try_from(self.lots.len()).unwrap_or(u32::MAX),
            pairs: u32::try_from(self.pairs()).unwrap_or(u32::MAX),
            ..Counted::default()
        };
        for ((sent, lost), count) in &self.counts {
            counted.sent += u64::from(*sent) * u64::from(*count);
            counted.lost += u64::from(*lost) * u64::from(*count);
        }
        counted
    }

    /// When the rounds of each lot were asked, with their log ratios for a path that is gone.
    pub(super) fn lot_ratios(&self) -> impl Iterator<Item = LotRatios<'_>> {
        let mut start = 0;
        self.lot_ends.iter().map(move |(end, out)| {
            let rounds = self.lot_ratios.get(start..*end).unwrap_or(&[]);
            start = *end;
            LotRatios { rounds, out: *out }
        })
    }

    /// Whether any pair was answered after a moment and not after another.
    pub(super) fn is_answered_in(&self, after: i64, until: i64) -> bool {
        let quiet = self.quiet.partition_point(|quiet| quiet.at <= after);
        let is_quiet = self.quiet.get(quiet).is_some_and(|quiet| quiet.at <= until);
        let is_good = |(at, ratio): &(i64, f64)| after < *at && *at <= until && *ratio < 0.0;
        is_quiet || self.lot_ratios.iter().any(is_good)
    }

    /// Pairs on it.
    pub(super) fn pairs(&self) -> usize {
        self.quiet_lots as usize + self.lots.len()
    }

    /// Pairs on it, some more than once.
    pub(super) fn all_pairs(&self) -> impl Iterator<Item = usize> + '_ {
        let quiet = self.quiet.iter().map(|quiet| quiet.pair as usize);
        quiet.chain(self.lots.iter().map(|lot| lot.pair))
    }

    /// When the last round of a quiet pair before a moment was; before all if there was none.
    pub(super) fn quiet_before(&self, at: i64) -> i64 {
        let asked = self.quiet.partition_point(|quiet| quiet.at < at).checked_sub(1);
        asked.and_then(|at| self.quiet.get(at)).map_or(i64::MIN, |quiet| quiet.at)
    }

    /// Rounds of quiet pairs, at a moment or since.
    pub(super) fn quiet_since(&self, from: i64) -> usize {
        self.quiet.len() - self.quiet.partition_point(|quiet| quiet.at < from)
    }

    /// Notes the answered rounds of a pair that lost none.
    pub(super) fn add_quiet(&mut self, pair: u32, asks: &[Ask], losses: &mut Losses) {
        self.quiet_lots += 1;
        for ask in asks {
            self.note_quiet(Quiet::of(pair, ask), losses);
        }
    }

    fn note_quiet(&mut self, quiet: Quiet, losses: &mut Losses) {
        let latest = self.quiet.iter().rev().take(LATER_MAX);
        let later = latest.take_while(|other| quiet < **other).count();
        if later < LATER_MAX {
            self.quiet.insert(self.quiet.len() - later, quiet);
        } else {
            self.quiet.push_back(quiet);
            self.is_unsorted = true;
        }
        count(&mut self.counts, quiet.counts, losses);
    }

    /// Follows a pair that lost no round: some left the window, and some came. Whether anything
    /// else than the moments is another.
    pub(super) fn move_quiet(
        &mut self,
        pair: u32,
        (gone, new): (&[Ask], &[Ask]),
        losses: &mut Losses,
    ) -> bool {
        for ask in new {
            self.note_quiet(Quiet::of(pair, ask), losses);
        }
        for ask in gone {
            let quiet = Quiet::of(pair, ask);
            let sorted = (!self.is_unsorted).then(|| self.quiet.binary_search(&quiet).ok());
            let place =
                sorted.unwrap_or_else(|| self.quiet.iter().position(|other| *other == quiet));
            if place.and_then(|place| self.quiet.remove(place)).is_some() {
                uncount(&mut self.counts, quiet.counts);
            }
        }
        let counts = |asks: &[Ask]| {
            let (mut sent, mut lost) = (0, 0);
            for ask in asks {
                (sent, lost) = (sent + u64::from(ask.sent), lost + u64::from(ask.lost()));
            }
            (sent, lost)
        };
        self.is_unsorted || counts(gone) != counts(new)
    }

    /// Notes a pair that lost rounds; whether it is out.
    pub(super) fn add_lot(&mut self, lot: Lot, losses: &mut Losses) -> bool {
        for of in counted(&lot) {
            count(&mut self.counts, of, losses);
        }
        self.has_other_lots = true;
        let is_out = lot.is_out();
        let place = self.lots.partition_point(|other| other.pair < lot.pair);
        self.lots.insert(place, lot);
        is_out
    }

    /// Forgets a pair; returns its lot, if it lost rounds.
    pub(super) fn remove(&mut self, pair: u32) -> Option<Lot> {
        let place = self.lots.binary_search_by_key(&(pair as usize), |lot| lot.pair);
        if let Ok(at) = place {
            self.has_other_lots = true;
            let lot = self.lots.remove(at);
            counted(&lot).for_each(|of| uncount(&mut self.counts, of));
            return Some(lot);
        }
        let counts = &mut self.counts;
        let mut is_here = false;
        self.quiet.retain(|quiet| {
            if quiet.pair == pair {
                is_here = true;
                uncount(counts, quiet.counts);
            }
            quiet.pair != pair
        });
        self.quiet_lots -= u32::from(is_here);
        None
    }

    /// Notes by how much the answers of a pair are later than before.
    pub(super) fn shift(&mut self, pair: usize, shift_us: i64) {
        if shift_us == 0 {
            self.steady += 1;
        } else {
            let place = self.shifts_us.partition_point(|(other, _)| *other < pair);
            self.shifts_us.insert(place, (pair, shift_us));
        }
    }

    pub(super) fn unshift(&mut self, pair: usize, shift_us: i64) {
        if shift_us == 0 {
            self.steady -= 1;
        } else {
            self.shifts_us.retain(|(other, _)| *other != pair);
        }
    }
}

/// (sent, lost) of the rounds of a lot outside its outages. A round that it broke off, or that it
/// came back in, tells the moment and no loss of its own.
fn counted(lot: &Lot) -> impl Iterator<Item = (u16, u16)> + '_ {
    let is_out = |ask: &Ask| lot.regime.is_dead_at(ask.at);
    let asks = &lot.asks;
    let is_torn = move |nth: usize, ask: &Ask| {
        let beside = [nth.checked_sub(1), nth.checked_add(1)].into_iter().flatten();
        0 < ask.lost() && beside.filter_map(|at| asks.get(at)).any(is_out)
    };
    let outside = asks.iter().enumerate();
    let outside = outside.filter(move |(nth, ask)| !is_out(ask) && !is_torn(*nth, ask));
    outside.map(|(_, ask)| (ask.sent, ask.lost()))
}

fn count(counts: &mut Vec<((u16, u16), u32)>, of: (u16, u16), losses: &mut Losses) {
    match counts.binary_search_by_key(&of, |(of, _)| *of) {
        Ok(at) => counts.get_mut(at).into_iter().for_each(|(_, sum)| *sum += 1),
        Err(at) => {
            losses.note(of);
            counts.insert(at, (of, 1));
        }
    }
}

fn uncount(counts: &mut Vec<((u16, u16), u32)>, of: (u16, u16)) {
    let Ok(at) = counts.binary_search_by_key(&of, |(of, _)| *of) else { return };
    match counts.get_mut(at) {
        Some((_, 1)) => drop(counts.remove(at)),
        Some((_, sum)) => *sum -= 1,
        None => {}
    }
}

/// Heard from itself, silent, or without a gateway: each speaks for the agent and what carries it.
fn beat_rows(picture: &Picture<'_>, blind: &[Blind]) -> Vec<Row> {
    let mut rows = Vec::new();
    for beats in picture.beats.chunk_by(|a, b| a.agent == b.agent) {
        let Some(last) = beats.last() else { continue };
        let agent = last.agent;
        let topology = picture.topology;
        let is_uplink = |ix: &&ElementIx| topology.kind(**ix) == ElementKind::AgentUplink;
        let uplinks = topology.members(agent).iter().filter(is_uplink).copied();
        let around = uplinks.chain(topology.host(agent));
        let found = blind.iter().find(|blind| blind.agent == agent);
        let (note, own, other) = match found {
            Some(blind) if blind.is_silent => (Note::Silent { since: blind.since }, 6.0, 5.0),
            Some(blind) => (Note::NoGateway { since: blind.since }, 4.5, 5.0),
            // A sick agent can still send heartbeats; one whose gateway is gone cannot see it.
            None => (Note::Heard, -0.5, -4.0),
        };
        let mut row = Row::new(agent, None, note);
        row.fixed.push((agent, own));
        row.fixed.extend(around.map(|element| (element, other)));
        rows.push(row);
    }
    rows
}

/// Each report of who could reach a device is a row over the path there.
fn reach_rows(picture: &mut Picture<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, fact) in picture.facts.iter().enumerate() {
        let Some(agent) = fact.agent else { continue };
        let ratio = match fact.kind {
            Some(FactKind::UnreachableFrom) => 4.0 * fact.weight,
            Some(FactKind::ReachableFrom) => -4.0 * fact.weight,
            _ => continue,
        };
        let holds = fact.until.is_none_or(|until| picture.now < until);
        let is_recent = picture.now.0 - fact.at.0 <= 2 * WINDOW_SLACK_US;
        if !holds || !is_recent {
            continue;
        }
        let set = picture.paths.shortest(picture.topology, agent, Some(fact.element));
        let Some(set) = picture.paths.get(set) else { continue };
        let mut row = Row::new(agent, None, Note::Reach { fact: at });
        let sure = set.source == PathSource::Spf;
        for crossing in set.crossings.iter().filter(|c| sure || c.element == fact.element) {
            let is_own = crossing.element == fact.element;
            let weight = if is_own && ratio < 0.0 { 2.0 } else { crossing.share };
            row.fixed.push((crossing.element, ratio * weight));
        }
        rows.push(row);
    }
    rows
}

/// What a change of path took out speaks for having failed; what stayed speaks against.
fn change_rows(picture: &Picture<'_>, changes: Changes) -> Vec<Row> {
    const LEFT: f64 = 3.0;
    const STAYED: f64 = -3.0;
    let mut rows = Vec::new();
    for ((agent, old, new), (pairs, at)) in changes {
        let (Some(old), Some(new)) = (picture.paths.get(old), picture.paths.get(new)) else {
            continue;
        };
        let mut row = Row::new(agent, None, Note::Changed { pairs, at });
        for crossing in &old.crossings {
            let stays = new.crossing(crossing.element).map_or(0.0, |crossing| crossing.share);
            let ratio = if stays == 0.0 { LEFT * crossing.share } else { STAYED * stays };
            row.fixed.push((crossing.element, ratio));
        }
        rows.push(row);
    }
    rows
}
