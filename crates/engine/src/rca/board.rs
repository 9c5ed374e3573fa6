//! The evidence by row, kept between judgements: what did not change costs nothing.
//!
//! 1 - A pair is looked at again when a round of it came, when one leaves the window, and when its
//!     agent goes blind or sees again; no other pair is. Of one that lost no round, what came and
//!     what left is moved, and nothing else.
//! 2 - A row has its answered rounds in order, so that a healthy row is never read to be added up.
//! 3 - What says of each element whether it is worth a look is kept as whole numbers: sums that
//!     grow and shrink come back to exactly what they were.
//! 4 - What is no round (heartbeats, reports, changes of path) is few, and made for each judgement.
//!
//! After any changes it holds what one that was built from nothing would hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use model::UtcMicros;

use super::{
    incidents::Heard,
    noise::LEVELS,
    picture::{Ask, Pair, Pairs, Picture},
    regime::{self, Regime},
    rows::{self, Blind, Changes, Counted, Ends, Losses, Lot, Note, Out, Row},
};
use crate::graph::{Crossing, ElementIx, PathBook, Pieces, SetIx, Topology};

/// Rounds of one pair that are looked at: a longer history changes nothing at its end.
const ASKS_MAX: usize = 32;
/// No row, no bucket.
const NOWHERE: u32 = u32::MAX;
const NEVER: i64 = i64::MAX;
/// Moments at which pairs are to be looked at again are kept by the second.
const SECOND_US: i64 = 1_000_000;

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// The computed paths to where a target stands.
    Computed(ElementIx, Option<ElementIx>),
    /// What somebody told.
    Told(SetIx),
}

/// Where a pair stands.
#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Agent and target; `None` of a number that nobody has.
    of: Option<(ElementIx, ElementIx)>,
    /// Of its last round; further ones are in [`Board::spread`].
    row: u32,
    /// When it is to be looked at again, and the second under which that is kept.
    due: i64,
    queued: i64,
    /// By how much its answers are later than before; `None` if that is not known.
    shift_us: Option<i64>,
    /// Its rounds on the row, if it lost none and its path is computed.
    held: Option<Held>,
}

/// Rounds that a row holds of a pair: first and last, how many, and what tells them from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    first: i64,
    last: i64,
    count: usize,
    mark: u64,
}

impl Held {
    fn of(asks: &[Ask]) -> Option<Held> {
        let (first, last) = (asks.first()?.at.0, asks.last()?.at.0);
        let mark = asks.iter().fold(0, |mark: u64, ask| {
            let counts = u64::from(ask.sent) << 16 | u64::from(ask.received);
            let of = ask.at.0 as u64 ^ counts.rotate_right(16);
            (mark ^ of).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        Some(Held { first, last, count: asks.len(), mark })
    }
}

impl Seat {
    const EMPTY: Seat =
        Seat { of: None, row: NOWHERE, due: NEVER, queued: NEVER, shift_us: None, held: None };
}

/// Shares in parts of [`rows::SHARE_ONE`], summed over the rows that cross an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) lots: i64,
    pub(super) pairs: i64,
}

/// A pair that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) target: ElementIx,
    pub(super) row: u32,
    pub(super) pair: u32,
    /// Its first lost round, and the last answered one before it.
    pub(super) since: i64,
    pub(super) good_before: i64,
    /// Rounds that it lost since.
    pub(super) lost: u32,
}

/// A row that an element has a part in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cross {
    pub(super) row: u32,
    pub(super) of: Crossing,
}

/// All rows of a picture.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Rows of rounds; behind them those of one judgement.
    pub(super) rows: Vec<Row>,
    /// How many are of rounds.
    kept: usize,
    /// Places of rows that are gone.
    free: Vec<u32>,
    keys: BTreeMap<Key, u32>,
    /// The row that was asked for last: pairs of one row come one after the other.
    asked: Option<(Key, u32)>,
    seats: Vec<Seat>,
    /// All rows of the pairs that have rounds on several.
    spread: BTreeMap<u32, Vec<u32>>,
    /// Pairs to be looked at again, by second.
    queue: BTreeMap<i64, Vec<u32>>,
    touched: Vec<u32>,
    /// Rows that changed since they were settled.
    loose: Vec<u32>,
    taken_at: Option<UtcMicros>,
    pub(super) blind: Vec<Blind>,
    /// Rows that each element has a part in, in order; those of one judgement apart.
    of_element: Vec<Vec<Cross>>,
    /// By row, a bit: whether a pair on it lost a round.
    loud: Vec<u64>,
    noted: BTreeMap<ElementIx, Vec<u32>>,
    /// Pairs that ask each target, by its index, and how many each agent has.
    of_target: Vec<Vec<u32>>,
    of_agent: BTreeMap<ElementIx, u32>,
    /// Pairs that are out now, by target, row and number.
    dead: BTreeMap<(ElementIx, u32, u32), Gone>,
    sums: Vec<Sum>,
    /// Of rows that lost so few that nothing on their way is broken.
    pub(super) noise: Sum,
    pub(super) losses: Losses,
    /// Rows with pairs that answer later than they used to.
    pub(super) shifted: BTreeSet<u32>,
    /// Pairs that were told several paths.
    retold: BTreeSet<u32>,
    heard: usize,
    /// What the topology falls into without each link or device, once somebody asked.
    pieces: OnceLock<Option<Pieces>>,
}

impl Board {
    /// Something of a pair is another than at the last judgement. Time need not be told.
    pub fn touch(&mut self, pair: usize) {
        // Beyond what is known it is new anyway.
        if pair < self.seats.len() {
            self.touched.extend(u32::try_from(pair));
        }
    }

    /// Follows links that came, went or changed their cost. Only rows that they moved are moved.
    pub fn follow(&mut self, topology: &Topology, paths: &mut PathBook) {
        self.pieces = OnceLock::new();
        let computed: Vec<(u32, ElementIx, Option<ElementIx>)> = self
            .keys
            .iter()
            .filter_map(|(key, row)| match key {
                Key::Computed(agent, end) => Some((*row, *agent, *end)),
                Key::Told(_) => None,
            })
            .collect();
        for (at, agent, end) in computed {
            let set = paths.shortest(topology, agent, end);
            let parts = rows::parts(paths, set);
            let Some(row) = self.rows.get_mut(at as usize) else { continue };
            row.set = Some(set);
            row.ends = paths.get(set).map(|set| Ends::of(topology, set));
            if row.parts != parts {
                let before = std::mem::replace(&mut row.parts, parts);
                let counted = std::mem::take(&mut row.counted);
                self.index(at, &before, false);
                self.add_up(&before, &counted, &Counted::default());
                self.noise_of(&counted, -1);
                self.losses.forget(&counted);
                let after = self.rows.get(at as usize).map(|row| row.parts.clone());
                self.index(at, &after.unwrap_or_default(), true);
                self.loosen(at);
            }
        }
    }

    /// What became of the last round of a pair.
    pub fn heard_of(&self, pairs: &dyn Pairs, of: (ElementIx, ElementIx)) -> Heard {
        let all = self.pairs_of(of.1).iter().filter_map(|at| pairs.get(*at as usize));
        let now = self.taken_at.unwrap_or(UtcMicros(i64::MAX));
        let mut mine = all.filter(|pair| pair.agent == of.0);
        let last = mine.next().and_then(|pair| pair.until(now).asks.last());
        let answered = last.filter(|ask| !ask.is_dead());
        answered.map_or(Heard::Silent, |ask| Heard::Answered(ask.at))
    }

    /// Pairs that have rounds in their window.
    pub fn heard(&self) -> usize {
        self.heard
    }

    /// Whether anybody asks a target.
    pub fn is_asked(&self, target: ElementIx) -> bool {
        !self.pairs_of(target).is_empty()
    }

    /// Numbers of the pairs that ask a target.
    pub(super) fn pairs_of(&self, target: ElementIx) -> &[u32] {
        self.of_target.get(target.index()).map_or(&[], Vec::as_slice)
    }

    /// Whether an agent asks anything.
    pub(super) fn asks(&self, agent: ElementIx) -> bool {
        self.of_agent.contains_key(&agent)
    }

    /// Rows that an element has a part in, in order.
    pub(super) fn rows_of(&self, element: ElementIx) -> impl Iterator<Item = u32> + '_ {
        let kept = self.crossed_by(element).iter().map(|cross| cross.row);
        kept.chain(self.noted_rows_of(element).iter().copied())
    }

    pub(super) fn rows_count(&self, element: ElementIx) -> usize {
        self.crossed_by(element).len() + self.noted_rows_of(element).len()
    }

    /// Rows of rounds that an element has a part in, in order.
    pub(super) fn crossed_by(&self, element: ElementIx) -> &[Cross] {
        self.of_element.get(element.index()).map_or(&[], Vec::as_slice)
    }

    /// What is no round and speaks of an element, in order.
    pub(super) fn noted_rows_of(&self, element: ElementIx) -> &[u32] {
        self.noted.get(&element).map_or(&[], Vec::as_slice)
    }

    /// Whether a row may speak for a cause: a pair on it lost a round, or it is no round.
    pub(super) fn is_loud(&self, row: u32) -> bool {
        let word = self.loud.get(row as usize / 64).copied().unwrap_or(0);
        self.kept <= row as usize || word >> (row % 64) & 1 == 1
    }

    /// Rows of rounds over an element on which a pair lost one, in order.
    pub(super) fn loud_over(&self, element: ElementIx) -> impl Iterator<Item = (&Cross, &Row)> {
        let loud = self.crossed_by(element).iter().filter(|cross| self.is_loud(cross.row));
        loud.filter_map(|cross| Some((cross, self.rows.get(cross.row as usize)?)))
    }

    fn set_loud(&mut self, row: u32, is_loud: bool) {
        let at = row as usize / 64;
        if self.loud.len() <= at {
            self.loud.resize(at + 1, 0);
        }
        if let Some(word) = self.loud.get_mut(at) {
            *word = *word & !(1 << (row % 64)) | u64::from(is_loud) << (row % 64);
        }
    }

    /// Elements that something beside rounds speaks of, with the rows of that.
    pub(super) fn noted(&self) -> &BTreeMap<ElementIx, Vec<u32>> {
        &self.noted
    }

    /// Lots and pairs over each element, by index.
    pub(super) fn sums(&self) -> &[Sum] {
        &self.sums
    }

    /// Rows of rounds.
    pub(super) fn kept_rows(&self) -> &[Row] {
        self.rows.get(..self.kept).unwrap_or(&[])
    }

    /// The story of a pair that has lost rounds.
    pub(super) fn regime_of(&self, pair: usize) -> Option<&Regime> {
        let row = self.rows.get(self.seats.get(pair)?.row as usize)?;
        let place = row.lots.binary_search_by_key(&pair, |lot| lot.pair).ok()?;
        row.lots.get(place).map(|lot| &lot.regime)
    }

    /// Pairs that are out now, by target.
    pub(super) fn dead(&self) -> impl Iterator<Item = &Gone> {
        self.dead.values()
    }

    /// The lot of a pair that is out.
    pub(super) fn lot_of(&self, gone: &Gone) -> Option<(&Row, usize)> {
        let row = self.rows.get(gone.row as usize)?;
        let pair = gone.pair as usize;
        let at = row.lots.binary_search_by_key(&pair, |lot| lot.pair).ok()?;
        Some((row, at))
    }

    /// Numbers of the pairs of a target that are out now, by row.
    pub(super) fn out_of(&self, target: ElementIx) -> impl Iterator<Item = usize> + Clone + '_ {
        let all = self.dead.range((target, 0, 0)..=(target, u32::MAX, u32::MAX));
        all.map(|(_, gone)| gone.pair as usize)
    }

    /// What the topology falls into without each of its links and devices.
    pub(super) fn pieces(&self, topology: &Topology) -> Option<&Pieces> {
        self.pieces.get_or_init(|| Pieces::new(topology)).as_ref()
    }

    /// Ratios of each level of loss on a row.
    pub(super) fn lossy(&self, row: &Row) -> [f64; LEVELS.len()] {
        self.losses.ratios(&row.counts)
    }

    /// Takes the picture as it is now.
    pub(super) fn take(&mut self, picture: &mut Picture<'_>) {
        if self.taken_at.is_some_and(|at| picture.now < at) {
            *self = Board::default(); // What left a window does not come back into it.
        }
        self.taken_at = Some(picture.now);
        self.rows.truncate(self.kept);
        self.noted.clear();
        self.asked = None;
        self.see_blind(rows::blind(picture.beats, picture.heartbeat_us, picture.now));
        self.touch_due(picture.now);
        let known = self.seats.len();
        let count = picture.pairs.count();
        self.seats.resize(count.max(known), Seat::EMPTY);
        self.touched.extend((known..count).filter_map(|at| u32::try_from(at).ok()));
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for at in touched {
            self.look(picture, at);
        }
        self.settle(picture);
        self.kept = self.rows.len();
        let changes = self.changes(picture);
        self.rows.extend(rows::fixed(picture, &self.blind, changes));
        for (row, at) in self.rows.iter().zip(0u32..).skip(self.kept) {
            for (element, _) in &row.fixed {
                self.noted.entry(*element).or_default().push(at);
            }
        }
        self.losses.weigh();
    }

    /// All pairs of an agent change when it goes blind, or sees again.
    fn see_blind(&mut self, blind: Vec<Blind>) {
        let changed = |one: &[Blind], other: &[Blind]| -> Vec<ElementIx> {
            one.iter().filter(|b| !other.contains(b)).map(|b| b.agent).collect()
        };
        let mut agents = changed(&blind, &self.blind);
        agents.extend(changed(&self.blind, &blind));
        self.blind = blind;
        if !agents.is_empty() {
            let seats = self.seats.iter().zip(0u32..);
            let is_hit = |seat: &Seat| seat.of.is_some_and(|(agent, _)| agents.contains(&agent));
            self.touched.extend(seats.filter(|(seat, _)| is_hit(seat)).map(|(_, at)| at));
        }
    }

    fn touch_due(&mut self, now: UtcMicros) {
        let later = self.queue.split_off(&(now.0.div_euclid(SECOND_US) + 1));
        for (second, pairs) in std::mem::replace(&mut self.queue, later) {
            for at in pairs {
                let Some(seat) = self.seats.get_mut(at as usize) else { continue };
                if seat.queued != second {
                    continue; // It is kept under an earlier one.
                }
                seat.queued = NEVER;
                if seat.due <= now.0 {
                    self.touched.push(at);
                } else {
                    self.enqueue(at);
                }
            }
        }
    }

    fn enqueue(&mut self, at: u32) {
        let Some(seat) = self.seats.get_mut(at as usize) else { return };
        let second = seat.due.div_euclid(SECOND_US);
        if seat.due != NEVER && second < seat.queued {
            seat.queued = second;
            self.queue.entry(second).or_default().push(at);
        }
    }

    /// Looks at a pair as it is now.
    fn look(&mut self, picture: &mut Picture<'_>, at: u32) {
        let pair = picture.pairs.get(at as usize);
        if pair.is_some_and(|pair| self.follow_quiet(picture, at, &pair)) {
            return;
        }
        self.withdraw(at, pair.map(|pair| (pair.agent, pair.target)));
        let Some(pair) = pair else { return };
        let Pair { agent, target, interval_us, asks: all } = pair;
        let heard = pair.until(picture.now).asks;
        let blind = self.blind.iter().find(|blind| blind.agent == agent).copied();
        let until = blind.map_or(i64::MAX, |blind| blind.since.0);
        let seen = heard.partition_point(|ask| ask.at.0 < until);
        let asks = heard.get(seen.saturating_sub(ASKS_MAX)..seen).unwrap_or(&[]);
        let window_us = rows::window_us(interval_us);
        let start = picture.now.0 - window_us;
        let recent = asks.get(asks.partition_point(|ask| ask.at.0 <= start)..).unwrap_or(&[]);
        let leaves = recent.first().map_or(NEVER, |ask| ask.at.0 + window_us);
        let comes = all.get(heard.len()).map_or(NEVER, |ask| ask.at.0);
        if let Some(seat) = self.seats.get_mut(at as usize) {
            seat.due = leaves.min(comes);
        }
        self.enqueue(at);
        let epochs = picture.paths.epochs(agent, target);
        if 1 < epochs.len() {
            self.retold.insert(at);
        }
        if recent.is_empty() {
            return;
        }
        let is_computed = epochs.is_empty();
        let regime = recent.iter().any(Ask::is_dead).then(|| regime::of(asks));
        let row = if is_computed {
            let row = self.computed_row(picture, agent, target);
            self.put(row, at, &pair, recent, regime.as_ref());
            row
        } else {
            self.put_told(picture, at, &pair, recent, regime.as_ref())
        };
        self.heard += 1;
        let shift_us = regime::shift_us(asks, recent);
        let is_plain = is_computed && regime.is_none() && blind.is_none();
        if let Some(seat) = self.seats.get_mut(at as usize) {
            (seat.row, seat.shift_us) = (row, shift_us);
            seat.held = Held::of(recent).filter(|_| is_plain);
        }
        if let (Some(shift), Some(row)) = (shift_us, self.rows.get_mut(row as usize)) {
            row.shift(at as usize, shift);
        }
    }

    /// Follows a pair that had lost no round and has lost none since; whether that is all.
    fn follow_quiet(&mut self, picture: &Picture<'_>, at: u32, pair: &Pair<'_>) -> bool {
        let Some(seat) = self.seats.get_mut(at as usize) else { return false };
        let Some(held) = seat.held.filter(|_| seat.of == Some((pair.agent, pair.target))) else {
            return false;
        };
        let heard = pair.until(picture.now).asks;
        let window_us = rows::window_us(pair.interval_us);
        let start = picture.now.0 - window_us;
        let from = heard.partition_point(|ask| ask.at.0 <= start);
        let from = from.max(heard.len().saturating_sub(ASKS_MAX));
        let recent = heard.get(from..).unwrap_or(&[]);
        let before = heard.partition_point(|ask| ask.at.0 < held.first);
        let until = before + held.count;
        let is_as_held = heard.get(before..until).and_then(Held::of) == Some(held);
        let is_blind = self.blind.iter().any(|blind| blind.agent == pair.agent);
        let is_plain = !is_blind && picture.paths.epochs(pair.agent, pair.target).is_empty();
        if !is_as_held || from < before || !is_plain || recent.iter().any(Ask::is_dead) {
            return false;
        }
        let Some(first) = recent.first() else { return false };
        let gone = heard.get(before..from.min(until)).unwrap_or(&[]);
        let new = heard.get(until.max(from)..).unwrap_or(&[]);
        let Some(row) = self.rows.get_mut(seat.row as usize) else { return false };
        let mut is_other = row.move_quiet(at, (gone, new), &mut self.losses);
        let asks = heard.get(heard.len().saturating_sub(ASKS_MAX)..).unwrap_or(&[]);
        let shift_us = regime::shift_us(asks, recent);
        if shift_us != seat.shift_us {
            seat.shift_us.into_iter().for_each(|shift| row.unshift(at as usize, shift));
            shift_us.into_iter().for_each(|shift| row.shift(at as usize, shift));
            is_other = true;
        }
        seat.shift_us = shift_us;
        seat.held = Held::of(recent);
        let comes = pair.asks.get(heard.len()).map_or(NEVER, |ask| ask.at.0);
        seat.due = comes.min(first.at.0 + window_us);
        let row = seat.row;
        self.enqueue(at);
        if is_other {
            self.loosen(row);
        }
        true
    }

    /// Takes away what was known of a pair; it is `is` from now on.
    fn withdraw(&mut self, at: u32, is: Option<(ElementIx, ElementIx)>) {
        let Some(seat) = self.seats.get_mut(at as usize) else { return };
        let Seat { of: was, row, shift_us, .. } = *seat;
        (seat.of, seat.row, seat.due, seat.shift_us) = (is, NOWHERE, NEVER, None);
        seat.held = None;
        self.retold.remove(&at);
        if was != is {
            if let Some((agent, target)) = was {
                let pairs = self.of_target.get_mut(target.index());
                pairs.into_iter().for_each(|pairs| pairs.retain(|pair| *pair != at));
                if let Some(count) = self.of_agent.get_mut(&agent) {
                    *count -= 1;
                    if *count == 0 {
                        self.of_agent.remove(&agent);
                    }
                }
            }
            if let Some((agent, target)) = is {
                if self.of_target.len() <= target.index() {
                    self.of_target.resize(target.index() + 1, Vec::new());
                }
                if let Some(pairs) = self.of_target.get_mut(target.index()) {
                    let place = pairs.partition_point(|pair| *pair < at);
                    pairs.insert(place, at);
                }
                *self.of_agent.entry(agent).or_default() += 1;
            }
        }
        if row == NOWHERE {
            return;
        }
        self.heard -= 1;
        if let (Some(shift), Some(row)) = (shift_us, self.rows.get_mut(row as usize)) {
            row.unshift(at as usize, shift);
        }
        for row in self.spread.remove(&at).unwrap_or_else(|| vec![row]) {
            self.loosen(row);
            let Some(of) = self.rows.get_mut(row as usize) else { continue };
            if let Some(lot) = of.remove(at) {
                self.dead.remove(&(lot.target, row, at));
            }
        }
    }

    fn computed_row(
        &mut self,
        picture: &mut Picture<'_>,
        agent: ElementIx,
        target: ElementIx,
    ) -> u32 {
        let end = picture.topology.host(target);
        let key = Key::Computed(agent, end);
        if let Some((_, row)) = self.asked.filter(|(asked, _)| *asked == key) {
            return row;
        }
        let row = match self.keys.get(&key) {
            Some(row) => *row,
            None => {
                let set = picture.paths.shortest(picture.topology, agent, end);
                self.row(picture, key, agent, set)
            }
        };
        self.asked = Some((key, row));
        row
    }

    fn row(&mut self, picture: &Picture<'_>, key: Key, agent: ElementIx, set: SetIx) -> u32 {
        if let Some(row) = self.keys.get(&key) {
            return *row;
        }
        let mut row = Row::new(agent, Some(set), Note::Rounds);
        row.parts = rows::parts(picture.paths, set);
        row.ends = picture.paths.get(set).map(|set| Ends::of(picture.topology, set));
        let at = match self.free.pop() {
            Some(at) => at,
            None => u32::try_from(self.rows.len()).unwrap_or(NOWHERE),
        };
        let parts = row.parts.clone();
        match self.rows.get_mut(at as usize) {
            Some(slot) => *slot = row,
            None => self.rows.push(row),
        }
        self.keys.insert(key, at);
        self.index(at, &parts, true);
        at
    }

    /// Adds rounds of a pair whose paths were told, each to the path of its moment; returns the
    /// row of the last.
    fn put_told(
        &mut self,
        picture: &mut Picture<'_>,
        at: u32,
        pair: &Pair<'_>,
        recent: &[Ask],
        regime: Option<&Regime>,
    ) -> u32 {
        let (mut rest, mut last) = (recent, NOWHERE);
        let mut by_row: BTreeMap<u32, Vec<Ask>> = BTreeMap::new();
        while let Some(first) = rest.first() {
            let Picture { topology, paths, .. } = &mut *picture;
            let mut set_at = |at| paths.set_at(topology, pair.agent, pair.target, at);
            let set = set_at(first.at);
            let same = rest.iter().take_while(|ask| set == set_at(ask.at)).count();
            let (on_set, after) = rest.split_at(same.max(1));
            rest = after;
            let end = picture.topology.host(pair.target);
            let is_computed = picture.paths.shortest(picture.topology, pair.agent, end) == set;
            let key = if is_computed { Key::Computed(pair.agent, end) } else { Key::Told(set) };
            last = self.row(picture, key, pair.agent, set);
            by_row.entry(last).or_default().extend_from_slice(on_set);
        }
        for (row, asks) in &by_row {
            self.put(*row, at, pair, asks, regime);
        }
        if 1 < by_row.len() {
            self.spread.insert(at, by_row.into_keys().collect());
        }
        last
    }

    fn put(&mut self, row: u32, at: u32, pair: &Pair<'_>, asks: &[Ask], regime: Option<&Regime>) {
        self.loosen(row);
        let Some(of) = self.rows.get_mut(row as usize) else { return };
        let Some(regime) = regime else {
            of.add_quiet(at, asks, &mut self.losses);
            return;
        };
        let lot = Lot {
            pair: at as usize,
            target: pair.target,
            interval_us: pair.interval_us,
            asks: asks.to_vec(),
            out: Out::of(regime, pair.interval_us),
            regime: regime.clone(),
        };
        let target = pair.target;
        let since = regime.dead_since().unwrap_or_default().0;
        let good_before = regime.good_before.map_or(i64::MIN, |at| at.0);
        let gone = Gone { target, row, pair: at, since, good_before, lost: regime.lost_rounds };
        if of.add_lot(lot, &mut self.losses) {
            self.dead.insert((target, row, at), gone);
        }
    }

    fn loosen(&mut self, row: u32) {
        if let Some(of) = self.rows.get_mut(row as usize)
            && !of.is_loose
        {
            of.is_loose = true;
            self.loose.push(row);
        }
    }

    /// Brings everything that follows from rows in line with those that changed.
    fn settle(&mut self, picture: &Picture<'_>) {
        for at in std::mem::take(&mut self.loose) {
            let Some(row) = self.rows.get_mut(at as usize) else { continue };
            row.settle();
            row.since = since(row, picture, &self.seats);
            let (before, after) = (row.counted, row.count_up());
            row.counted = after;
            let is_shifted = !row.shifts_us.is_empty();
            if (before.lots, before.pairs) != (after.lots, after.pairs) {
                let parts = std::mem::take(&mut row.parts);
                self.add_up(&parts, &before, &after);
                self.noise_of(&before, -1);
                self.noise_of(&after, 1);
                if let Some(row) = self.rows.get_mut(at as usize) {
                    row.parts = parts;
                }
            }
            self.set_loud(at, 0 < after.lots);
            self.losses.forget(&before);
            self.losses.add(&after);
            if is_shifted {
                self.shifted.insert(at)
            } else {
                self.shifted.remove(&at)
            };
            if after.pairs == 0 {
                self.drop_row(at, picture);
            }
        }
    }

    fn drop_row(&mut self, at: u32, picture: &Picture<'_>) {
        let Some(row) = self.rows.get_mut(at as usize) else { return };
        let (agent, set) = (row.agent, row.set);
        let row = std::mem::replace(row, Row::new(agent, None, Note::Rounds));
        self.index(at, &row.parts, false);
        let end = set.and_then(|set| picture.paths.get(set)).and_then(|set| set.end);
        let computed = Key::Computed(agent, end);
        if self.keys.get(&computed) == Some(&at) {
            self.keys.remove(&computed);
        } else if let Some(set) = set {
            self.keys.remove(&Key::Told(set));
        }
        self.free.push(at);
    }

    /// Writes a row into, or out of, the lists of the elements that it crosses.
    fn index(&mut self, at: u32, parts: &[Crossing], is_there: bool) {
        for of in parts {
            let element = of.element;
            if self.of_element.len() <= element.index() {
                self.of_element.resize(element.index() + 1, Vec::new());
            }
            let Some(rows) = self.of_element.get_mut(element.index()) else { continue };
            match (rows.binary_search_by_key(&at, |cross| cross.row), is_there) {
                (Err(place), true) => rows.insert(place, Cross { row: at, of: *of }),
                (Ok(place), false) => drop(rows.remove(place)),
                (Ok(_), true) | (Err(_), false) => {}
            }
        }
    }

    fn add_up(&mut self, parts: &[Crossing], before: &Counted, after: &Counted) {
        let lots = i64::from(after.lots) - i64::from(before.lots);
        let pairs = i64::from(after.pairs) - i64::from(before.pairs);
        for of in parts {
            let (element, share) = (of.element, rows::part_of(of));
            if self.sums.len() <= element.index() {
                self.sums.resize(element.index() + 1, Sum::default());
            }
            if let Some(sum) = self.sums.get_mut(element.index()) {
                sum.lots += share * lots;
                sum.pairs += share * pairs;
            }
        }
    }

    fn noise_of(&mut self, counted: &Counted, sign: i64) {
        if counted.is_quiet() {
            self.noise.lots += sign * i64::from(counted.lots);
            self.noise.pairs += sign * i64::from(counted.pairs);
        }
    }

    /// Pairs that were told another path within the window.
    fn changes(&self, picture: &Picture<'_>) -> Changes {
        let mut changes = Changes::new();
        for pair in self.retold.iter().filter_map(|at| picture.pairs.get(*at as usize)) {
            let start = picture.now.0 - rows::window_us(pair.interval_us);
            for ends in picture.paths.epochs(pair.agent, pair.target).windows(2) {
                let [old, new] = ends else { continue };
                let is_recent = start < new.from.0 && new.from <= picture.now;
                if is_recent && old.set != new.set {
                    let seen = changes.entry((pair.agent, old.set, new.set));
                    let (pairs, first) = seen.or_insert((0, new.from));
                    *pairs += 1;
                    *first = new.from.min(*first);
                }
            }
        }
        changes
    }
}

/// When the set of a row began to hold for the first of its pairs, if all were told.
fn since(row: &Row, picture: &Picture<'_>, seats: &[Seat]) -> Option<UtcMicros> {
    if !picture.paths.has_told() {
        return None;
    }
    let pairs: BTreeSet<usize> = row.all_pairs().collect();
    let of_pair = |at: usize| {
        let (agent, target) = seats.get(at)?.of?;
        let epochs = picture.paths.epochs(agent, target).iter();
        let from = epochs.filter(|epoch| Some(epoch.set) == row.set).map(|epoch| epoch.from).min();
        from.filter(|from| i64::MIN < from.0)
    };
    pairs.into_iter().map(of_pair).min().flatten()
}

#[cfg(test)]
mod tests;
