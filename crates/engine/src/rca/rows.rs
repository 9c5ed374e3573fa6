//! Evidence by row: rounds of one agent over one set of paths, and what else speaks for or against
//! elements.
//!
//! Most pairs are quiet: their answered rounds are only counted, by time. A pair with a lost round
//! is a [`Lot`] of its row and keeps its rounds.

use std::collections::BTreeMap;

use model::{ElementKind, FactKind, PathSource, UtcMicros};

use super::{
    noise::{self, LEVELS},
    picture::{Ask, Beat, Pair, Picture},
    regime::{self, Regime},
};
use crate::graph::{ElementIx, SetIx};

/// Convergence and stragglers beside two intervals: how far back evidence reaches.
const WINDOW_SLACK_US: i64 = 60_000_000;
/// Missed heartbeats after which an agent is gone.
const BEATS_MISSED_MAX: i64 = 3;
const BEAT_SLACK_US: i64 = 1_000_000;
/// Rounds of one pair that are looked at: a longer history changes nothing at its end.
const ASKS_MAX: usize = 32;
/// The quietest and the loudest network whose loss passes for normal.
const QUIET_MIN: f64 = 0.001;
const QUIET_MAX: f64 = 0.02;

/// A pair with lost rounds, on one set of paths.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    /// Index into the picture's pairs.
    pub(super) pair: usize,
    pub(super) target: ElementIx,
    /// Rounds of the window on this set.
    pub(super) asks: Vec<Ask>,
    /// The pair's story, on whatever path.
    pub(super) regime: Regime,
}

/// Everything that one agent's rounds over one set of paths say.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) agent: ElementIx,
    /// `None` for what is no round: heartbeats, reachability, changes of path.
    pub(super) set: Option<SetIx>,
    /// When the set began to hold, if that was told.
    pub(super) since: Option<UtcMicros>,
    /// Pairs without a lost round, and when their rounds were answered, by time.
    pub(super) quiet_lots: u32,
    pub(super) quiet_times: Vec<i64>,
    pub(super) lots: Vec<Lot>,
    /// When each round of each lot was asked, with its log ratio for a path that is gone: in one
    /// piece, as every cause reads them all; and where those of each lot end.
    lot_ratios: Vec<(i64, f64)>,
    lot_ends: Vec<(usize, Out)>,
    /// When rounds of lots were asked, sorted.
    pub(super) lot_times: Vec<i64>,
    /// (sent, lost) of rounds outside outages, sorted, with how many there were.
    pub(super) counts: Vec<((u16, u16), u32)>,
    /// Log ratio of each level of loss, from `counts`.
    pub(super) lossy: [f64; LEVELS.len()],
    /// Pairs that answer later than they used to, by how much; and those that do not.
    pub(super) shifts_us: Vec<(usize, i64)>,
    pub(super) steady: u32,
    /// For a row that is no round: what speaks for, or against, each element.
    pub(super) fixed: Vec<(ElementIx, f64)>,
    /// What a fixed row is, for the text.
    pub(super) note: Note,
}

/// The rounds of one lot.
#[derive(Clone, Copy, Debug)]
pub(super) struct LotRatios<'a> {
    /// When each was asked, with its log ratio for a path that is gone.
    pub(super) rounds: &'a [(i64, f64)],
    pub(super) out: Out,
}

/// The last outage of a pair, as causes meet it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// When it began; before all rounds if there was none.
    pub(super) since: i64,
    /// What breaks later is not why.
    pub(super) until: i64,
    /// Between two rounds that were answered before it; `None` if none was.
    pub(super) answered_every_us: Option<i64>,
}

impl Out {
    fn of(regime: &Regime, interval_us: i64) -> Out {
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

/// All rows of a picture.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) rows: Vec<Row>,
    pub(super) blind: Vec<Blind>,
    /// Rows that each element has a part in.
    of_element: ByElement,
    /// Stories of pairs that have lost rounds, by pair.
    pub(super) regimes: BTreeMap<usize, Regime>,
    /// Pairs that ask each target.
    of_target: ByElement,
}

/// Numbers by element, each element's in one piece and in their order.
#[derive(Debug)]
struct ByElement {
    /// Where the numbers of an element begin.
    starts: Vec<u32>,
    numbers: Vec<u32>,
}

impl ByElement {
    fn new(elements: usize, all: impl Iterator<Item = (ElementIx, u32)> + Clone) -> ByElement {
        let mut starts = vec![0_u32; elements + 1];
        for (element, _) in all.clone() {
            if let Some(count) = starts.get_mut(element.index() + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut numbers = vec![0; sum as usize];
        for (element, number) in all {
            let Some(place) = next.get_mut(element.index()) else { continue };
            if let Some(slot) = numbers.get_mut(*place as usize) {
                *slot = number;
            }
            *place += 1;
        }
        ByElement { starts, numbers }
    }

    fn of(&self, element: ElementIx) -> &[u32] {
        let bound = |at: usize| self.starts.get(at).map_or(0, |start| *start as usize);
        self.numbers.get(bound(element.index())..bound(element.index() + 1)).unwrap_or(&[])
    }
}

impl Board {
    /// Indices of the pairs that ask a target.
    pub(super) fn pairs_of(&self, target: ElementIx) -> &[u32] {
        self.of_target.of(target)
    }

    /// Indices of the rows that an element has a part in.
    pub(super) fn rows_of(&self, element: ElementIx) -> &[u32] {
        self.of_element.of(element)
    }
}

/// How far back the rounds of a tier speak of now.
pub fn window_us(interval_us: i64) -> i64 {
    2 * interval_us + WINDOW_SLACK_US
}

pub(super) fn build(picture: &mut Picture<'_>) -> Board {
    let blind = blind(picture.beats, picture.heartbeat_us, picture.now);
    let mut gather = Gather::default();
    for at in 0..picture.pairs.len() {
        gather.add_pair(picture, &blind, at);
    }
    let Gather { mut rows, regimes, changes, .. } = gather;
    rows.iter_mut().for_each(Row::sort);
    rows.extend(beat_rows(picture, &blind));
    rows.extend(reach_rows(picture));
    rows.extend(change_rows(picture, changes));
    weigh_losses(&mut rows);
    let elements = picture.topology.elements().len();
    let parts = rows.iter().zip(0u32..).flat_map(|(row, at)| {
        let set = row.set.and_then(|set| picture.paths.get(set));
        let crossed = set.into_iter().flat_map(|set| &set.crossings).map(|c| c.element);
        let all = crossed.chain(row.fixed.iter().map(|(element, _)| *element));
        all.map(move |element| (element, at))
    });
    let of_element = ByElement::new(elements, parts);
    let asked = picture.pairs.iter().map(|pair| pair.target).zip(0u32..);
    let of_target = ByElement::new(elements, asked);
    Board { rows, blind, of_element, regimes, of_target }
}

/// Agents that are silent, or whose gateway does not answer them. One that never said anything of
/// itself is taken at its rounds.
fn blind(beats: &[Beat], heartbeat_us: i64, now: UtcMicros) -> Vec<Blind> {
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
type Changes = BTreeMap<(ElementIx, SetIx, SetIx), (u32, UtcMicros)>;

#[derive(Default)]
struct Gather {
    rows: Vec<Row>,
    by_set: BTreeMap<SetIx, usize>,
    /// The row of the computed path to each device, of one agent: pairs come by agent.
    computed: Vec<Option<usize>>,
    computed_of: Option<ElementIx>,
    regimes: BTreeMap<usize, Regime>,
    changes: Changes,
}

impl Gather {
    fn row(&mut self, agent: ElementIx, set: SetIx, since: Option<UtcMicros>) -> usize {
        let at = *self.by_set.entry(set).or_insert(self.rows.len());
        if at == self.rows.len() {
            self.rows.push(Row { since, ..Row::new(agent, Some(set), Note::Rounds) });
        }
        if let Some(row) = self.rows.get_mut(at) {
            row.since = row.since.min(since);
        }
        at
    }

    /// The row of a pair of which no path was told.
    fn computed_row(&mut self, picture: &mut Picture<'_>, pair: &Pair<'_>) -> usize {
        let host = picture.topology.host(pair.target);
        let count = picture.topology.elements().len();
        if self.computed_of.replace(pair.agent) != Some(pair.agent) {
            self.computed.clear();
            self.computed.resize(count + 1, None);
        }
        let place = host.map_or(count, ElementIx::index);
        if let Some(Some(row)) = self.computed.get(place) {
            return *row;
        }
        let set = picture.paths.shortest(picture.topology, pair.agent, host);
        let row = self.row(pair.agent, set, None);
        if let Some(slot) = self.computed.get_mut(place) {
            *slot = Some(row);
        }
        row
    }

    fn add_pair(&mut self, picture: &mut Picture<'_>, blind: &[Blind], at: usize) {
        let Some(pair) = picture.pairs.get(at).copied() else { return };
        let sees_until = blind.iter().find(|blind| blind.agent == pair.agent);
        let until = sees_until.map_or(i64::MAX, |blind| blind.since.0);
        let seen = pair.asks.partition_point(|ask| ask.at.0 < until);
        let asks = pair.asks.get(seen.saturating_sub(ASKS_MAX)..seen).unwrap_or(&[]);
        let start = picture.now.0 - window_us(pair.interval_us);
        let recent = asks.get(asks.partition_point(|ask| ask.at.0 <= start)..).unwrap_or(&[]);
        let is_told = picture.paths.has_told();
        if is_told {
            self.note_changes(picture, at, start);
        }
        if recent.is_empty() {
            return;
        }
        let regime = if recent.iter().any(Ask::is_dead) { Some(regime::of(asks)) } else { None };
        let last_row = if !is_told || picture.paths.epochs(pair.agent, pair.target).is_empty() {
            let row = self.computed_row(picture, &pair);
            self.add_asks(row, at, &pair, recent, regime.as_ref());
            row
        } else {
            self.add_told(picture, at, &pair, recent, regime.as_ref())
        };
        if let Some(shift) = regime::shift_us(asks, recent)
            && let Some(row) = self.rows.get_mut(last_row)
        {
            match shift {
                0 => row.steady += 1,
                shift => row.shifts_us.push((at, shift)),
            }
        }
        if let Some(regime) = regime {
            self.regimes.insert(at, regime);
        }
    }

    /// Adds rounds of a pair whose paths were told, each to the path of its moment; returns the
    /// row of the last.
    fn add_told(
        &mut self,
        picture: &mut Picture<'_>,
        at: usize,
        pair: &Pair<'_>,
        recent: &[Ask],
        regime: Option<&Regime>,
    ) -> usize {
        let mut rest = recent;
        let mut last = 0;
        while let Some(first) = rest.first() {
            let mut set_at = |at| {
                let Picture { topology, paths, .. } = picture;
                paths.set_at(topology, pair.agent, pair.target, at)
            };
            let set = set_at(first.at);
            let same = rest.iter().take_while(|ask| set == set_at(ask.at)).count();
            let (on_set, after) = rest.split_at(same.max(1));
            rest = after;
            let since = picture.paths.epochs(pair.agent, pair.target).iter();
            let since = since.filter(|epoch| epoch.set == set).map(|epoch| epoch.from).min();
            let since = since.filter(|since| i64::MIN < since.0);
            last = self.row(pair.agent, set, since);
            self.add_asks(last, at, pair, on_set, regime);
        }
        last
    }

    fn add_asks(
        &mut self,
        row: usize,
        at: usize,
        pair: &Pair<'_>,
        asks: &[Ask],
        regime: Option<&Regime>,
    ) {
        if let Some(row) = self.rows.get_mut(row) {
            row.add(at, pair, asks, regime);
        }
    }

    /// Remembers that a pair was told another path within the window.
    fn note_changes(&mut self, picture: &Picture<'_>, at: usize, start: i64) {
        let Some(pair) = picture.pairs.get(at) else { return };
        let epochs = picture.paths.epochs(pair.agent, pair.target);
        for ends in epochs.windows(2) {
            let [old, new] = ends else { continue };
            let is_recent = start < new.from.0 && new.from <= picture.now;
            if is_recent && old.set != new.set {
                let seen = self.changes.entry((pair.agent, old.set, new.set));
                let (pairs, first) = seen.or_insert((0, new.from));
                *pairs += 1;
                *first = new.from.min(*first);
            }
        }
    }
}

impl Row {
    fn new(agent: ElementIx, set: Option<SetIx>, note: Note) -> Row {
        Row {
            agent,
            set,
            since: None,
            quiet_lots: 0,
            quiet_times: Vec::new(),
            lots: Vec::new(),
            lot_ratios: Vec::new(),
            lot_ends: Vec::new(),
            lot_times: Vec::new(),
            counts: Vec::new(),
            lossy: [0.0; LEVELS.len()],
            shifts_us: Vec::new(),
            steady: 0,
            fixed: Vec::new(),
            note,
        }
    }

    fn sort(&mut self) {
        self.quiet_times.sort_unstable();
        self.lot_times = self.lot_ratios.iter().map(|(at, _)| *at).collect();
        self.lot_times.sort_unstable();
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
        let quiet = self.quiet_times.partition_point(|at| *at <= after);
        let is_quiet = self.quiet_times.get(quiet).is_some_and(|at| *at <= until);
        let is_good = |(at, ratio): &(i64, f64)| after < *at && *at <= until && *ratio < 0.0;
        is_quiet || self.lot_ratios.iter().any(is_good)
    }

    /// Pairs on it.
    pub(super) fn pairs(&self) -> usize {
        self.quiet_lots as usize + self.lots.len()
    }

    fn count(&mut self, of: (u16, u16), count: u32) {
        match self.counts.binary_search_by_key(&of, |(of, _)| *of) {
            Ok(at) => self.counts.get_mut(at).into_iter().for_each(|(_, sum)| *sum += count),
            Err(at) => self.counts.insert(at, (of, count)),
        }
    }

    fn add(&mut self, at: usize, pair: &Pair<'_>, asks: &[Ask], regime: Option<&Regime>) {
        let (interval_us, target) = (pair.interval_us, pair.target);
        let is_counted = |ask: &&Ask| !regime.is_some_and(|regime| regime.is_dead_at(ask.at));
        // Most pairs answer every round alike: one step for all of them.
        for alike in asks.chunk_by(|a, b| (a.sent, a.received) == (b.sent, b.received)) {
            let count = alike.iter().filter(is_counted).count();
            if let Some(ask) = alike.first().filter(|_| 0 < count) {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                self.count((ask.sent, ask.lost()), count);
            }
        }
        match regime {
            Some(regime) => {
                let asks = asks.to_vec();
                let ratio = |ask: &Ask| (ask.at.0, noise::dead_ratio(ask));
                self.lot_ratios.extend(asks.iter().map(ratio));
                self.lot_ends.push((self.lot_ratios.len(), Out::of(regime, interval_us)));
                self.lots.push(Lot { pair: at, target, asks, regime: regime.clone() });
            }
            None => {
                self.quiet_lots += 1;
                self.quiet_times.extend(asks.iter().map(|ask| ask.at.0));
            }
        }
    }
}

/// Fills the ratios of loss, against the median loss of all rows.
fn weigh_losses(rows: &mut [Row]) {
    let mut rates: Vec<(f64, u64)> = Vec::new();
    for row in rows.iter() {
        let sum = |f: &dyn Fn(&(u16, u16)) -> u16| -> u64 {
            row.counts.iter().map(|(counts, n)| u64::from(f(counts)) * u64::from(*n)).sum()
        };
        let (sent, lost) = (sum(&|counts| counts.0), sum(&|counts| counts.1));
        if 0 < sent {
            rates.push((lost as f64 / sent as f64, sent));
        }
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half: u64 = rates.iter().map(|(_, sent)| sent).sum::<u64>() / 2;
    let mut seen = 0;
    let median = rates.iter().find(|(_, sent)| {
        seen += sent;
        half <= seen
    });
    let quiet = median.map_or(QUIET_MIN, |(rate, _)| *rate).clamp(QUIET_MIN, QUIET_MAX);
    let mut cache: BTreeMap<(u16, u16), [f64; LEVELS.len()]> = BTreeMap::new();
    for row in rows {
        for ((sent, lost), count) in &row.counts {
            let ratios = cache
                .entry((*sent, *lost))
                .or_insert_with(|| noise::lossy_ratios(*sent, *lost, quiet));
            for (sum, ratio) in row.lossy.iter_mut().zip(ratios.iter()) {
                *sum += ratio * f64::from(*count);
            }
        }
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
            Some(FactKind::UnreachableFrom) => 4.0,
            Some(FactKind::ReachableFrom) => -4.0,
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
