//! Minute truth: what one minute was, and what late rounds may still make of it.
//!
//! A minute is judged from two things: the verdicts that were held in it, and which of its seconds
//! some round spoke for. The second is a bit mask, so the order in which rounds arrive makes no
//! difference. It emits nothing and knows no probes.

use model::{Cause, Minute, MinuteCounts, Outcome, Round, UtcMicros, Verdict};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    consensus::most_telling,
    defect::{Defect, Defects},
    rules::{MINUTE_US, SECOND_US, us_since},
};

/// Minutes that can still be revised: one day. What arrives for older ones is counted and dropped.
pub(crate) const REVISABLE_MINUTES_MAX: i64 = 24 * 60;

/// Runs of kept minutes for one pair or one consensus, at most. A run is as many equal minutes as
/// there are, so an agent that is gone for a day is one run. Minutes that differ are each a run of
/// 64 bytes; this many are half an hour of them on every pair of a large fleet.
pub(crate) const RUNS_MIN: usize = 30;
/// The same in a small fleet, where a whole day fits.
pub(crate) const RUNS_MAX: usize = 1_440;
/// Runs that all pairs and consensuses together may keep, as a rule of thumb: 200 MB at worst.
pub(crate) const RUNS_TOTAL: usize = 2_000_000;

const ALL_SECONDS: u64 = (1 << 60) - 1;

/// The sum of times that a minute has room for: nine years.
const RTT_US_SUM_MAX: u64 = (1 << 48) - 1;

const UP: u8 = 1;
const DEGRADED: u8 = 2;
const DOWN: u8 = 4;

/// One minute under way, or kept for revision.
///
/// Every pair and probe has two, so it is packed: 40 bytes, its counts among the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accumulated {
    /// One bit per second: some round spoke for it.
    covered: u64,
    sent: u32,
    received: u32,
    rtt_us_min: u32,
    rtt_us_max: u32,
    /// The sum of the replies' times: its lower bits, and those above.
    rtt_us_sum: u32,
    rtt_us_sum_high: u16,
    rounds: u16,
    not_asked: u16,
    /// One bit per verdict that was held, Unknown apart: the seconds say that.
    held: u8,
    /// Seconds of the minute that had passed when the pair or the probe came to be.
    begin: u8,
    /// The verdict held last, for a seeded defect.
    last: Verdict,
    /// Why it was Degraded, if it was.
    degraded: Cause,
    /// Why it was Unknown, if it was: the most telling reason.
    unknown: Option<Cause>,
}

/// The seconds of `minute` that the time from `from` to `to` touches.
fn seconds(minute: Minute, from: UtcMicros, to: UtcMicros) -> u64 {
    let start = minute.start();
    let first_us = us_since(from, start).max(0);
    let end_us = us_since(to, start).min(MINUTE_US);
    if end_us <= first_us {
        return 0;
    }
    // Both are within a minute now.
    let first = first_us / SECOND_US;
    let end = (end_us + SECOND_US - 1) / SECOND_US;
    ((1u64 << end) - 1) & !((1u64 << first) - 1)
}

fn bit(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Up => UP,
        Verdict::Degraded => DEGRADED,
        Verdict::Down => DOWN,
        Verdict::Unknown => 0,
    }
}

impl Accumulated {
    pub(crate) fn new() -> Accumulated {
        Accumulated {
            covered: 0,
            sent: 0,
            received: 0,
            rtt_us_min: 0,
            rtt_us_max: 0,
            rtt_us_sum: 0,
            rtt_us_sum_high: 0,
            rounds: 0,
            not_asked: 0,
            held: 0,
            begin: 0,
            last: Verdict::Unknown,
            degraded: Cause::Loss,
            unknown: None,
        }
    }

    /// What its rounds added up to.
    pub(crate) fn counts(&self) -> MinuteCounts {
        MinuteCounts {
            rounds: u32::from(self.rounds),
            not_asked: u32::from(self.not_asked),
            sent: self.sent,
            received: self.received,
            rtt_us_min: self.rtt_us_min,
            rtt_us_sum: u64::from(self.rtt_us_sum_high) << 32 | u64::from(self.rtt_us_sum),
            rtt_us_max: self.rtt_us_max,
        }
    }

    /// A thousand agents that ask each second fit; what does not stays at the most there can be.
    fn set_counts(&mut self, counts: &MinuteCounts) {
        let sum = counts.rtt_us_sum.min(RTT_US_SUM_MAX);
        self.rounds = u16::try_from(counts.rounds).unwrap_or(u16::MAX);
        self.not_asked = u16::try_from(counts.not_asked).unwrap_or(u16::MAX);
        self.sent = counts.sent;
        self.received = counts.received;
        self.rtt_us_min = counts.rtt_us_min;
        self.rtt_us_max = counts.rtt_us_max;
        self.rtt_us_sum = u32::try_from(sum & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        self.rtt_us_sum_high = u16::try_from(sum >> 32).unwrap_or(u16::MAX);
    }

    /// What was before a pair or a probe came to be is nobody's gap.
    pub(crate) fn begin_at(&mut self, minute: Minute, at: UtcMicros) {
        let first = us_since(at, minute.start()).clamp(0, MINUTE_US) / SECOND_US;
        self.begin = u8::try_from(first).unwrap_or(0);
    }

    /// Whether the pair came to be after it, and no late round has told of it since.
    pub(crate) fn is_absent(&self) -> bool {
        i64::from(self.begin) * SECOND_US == MINUTE_US && self.counts() == MinuteCounts::default()
    }

    /// Whether the pair was there for as much of the minute as its probe.
    pub(crate) fn began_with(&self, all: &Accumulated) -> bool {
        self.begin <= all.begin
    }

    pub(crate) fn cover(&mut self, minute: Minute, from: UtcMicros, to: UtcMicros) {
        self.covered |= seconds(minute, from, to);
    }

    /// Takes back what was spoken for from `at` on.
    pub(crate) fn uncover_from(&mut self, minute: Minute, at: UtcMicros) {
        let first_us = us_since(at, minute.start()).clamp(0, MINUTE_US);
        let first = (first_us + SECOND_US - 1) / SECOND_US;
        self.covered &= (1u64 << first) - 1;
    }

    /// Joins in what another agent's rounds spoke for, and counted.
    pub(crate) fn join(&mut self, other: &Accumulated) {
        self.covered |= other.covered;
        let mut counts = self.counts();
        counts.add(&other.counts());
        self.set_counts(&counts);
        if let Some(cause) = other.unknown {
            self.note_unknown(cause);
        }
    }

    pub(crate) fn note_held(&mut self, verdict: Verdict, cause: Cause) {
        self.held |= bit(verdict);
        self.last = verdict;
        match verdict {
            Verdict::Degraded => self.degraded = cause,
            Verdict::Unknown => self.note_unknown(cause),
            Verdict::Up | Verdict::Down => (),
        }
    }

    /// Whether any verdict but Unknown was held.
    pub(crate) fn is_held(&self) -> bool {
        self.held != 0
    }

    /// Something answered in it, and no verdict is known: it was up at the least.
    pub(crate) fn note_answered(&mut self) {
        if !self.is_held() {
            self.note_held(Verdict::Up, Cause::Answering);
        }
    }

    pub(crate) fn is_told(&self) -> bool {
        self.unknown.is_some()
    }

    /// Whether its only gap lies before the first round ever: no late round can fill that.
    pub(crate) fn is_beginning(&self) -> bool {
        self.unknown == Some(Cause::NotYet) && self.held != 0
    }

    pub(crate) fn note_unknown(&mut self, cause: Cause) {
        self.unknown = Some(most_telling(self.unknown.into_iter().chain([cause])));
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.covered | ((1u64 << self.begin) - 1) == ALL_SECONDS
    }

    /// The truth of the minute.
    ///
    /// 1 - The worst of the verdicts held in it: Down before Degraded before Unknown before Up.
    /// 2 - Unknown was held if some of its seconds no round spoke for, or if no other verdict was
    ///     held at all. That a verdict waited for a round on its way does not make it Unknown.
    /// 3 - The cause of Unknown is the most telling one that was noted; a gap that nobody noted is
    ///     `Silent`, or the reason why it could not ask.
    pub(crate) fn truth(&self, defects: Defects) -> (Verdict, Cause) {
        let is_gap = !self.is_whole() && !defects.has(Defect::SilenceIsUp);
        let unknown = (Verdict::Unknown, self.unknown.unwrap_or(Cause::Silent));
        if is_gap && defects.has(Defect::UnknownBeatsDown) {
            return unknown;
        }
        let held = if defects.has(Defect::MinuteWorstIgnored) { bit(self.last) } else { self.held };
        if held & DOWN != 0 {
            (Verdict::Down, Cause::NoAnswer)
        } else if held & DEGRADED != 0 {
            (Verdict::Degraded, self.degraded)
        } else if is_gap || held & UP == 0 {
            unknown
        } else {
            (Verdict::Up, Cause::Answering)
        }
    }

    /// Adds a round that started in this minute to the counts.
    pub(crate) fn count(&mut self, round: &Round) {
        let mut counts = self.counts();
        counts.count(&round.outcome);
        self.set_counts(&counts);
        if let Outcome::NotAsked(reason) = round.outcome {
            self.note_unknown(Cause::NotAsked(reason));
        }
    }
}

/// What was said of a closed minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    /// What was said at revision 0.
    pub(crate) first: Verdict,
    pub(crate) revision: u16,
}

/// What the agents said whose minute is complete and not kept: only their numbers matter for what
/// all hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peers {
    pub(crate) up: u8,
    pub(crate) degraded: u8,
    pub(crate) down: u8,
    pub(crate) is_lossy: bool,
}

/// Closed minutes that are equal in everything but their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    first: Minute,
    minutes: u16,
    pub(crate) accumulated: Accumulated,
    pub(crate) said: Said,
    pub(crate) peers: Peers,
    /// Late rounds have changed what it stands on since it was said.
    pub(crate) is_touched: bool,
}

/// The closed minutes that late rounds may still revise: those with a gap.
///
/// Beyond [`REVISABLE_MINUTES_MAX`], and beyond the limit of runs that the caller gives, the
/// oldest are forgotten: what was said of them stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Most keep one, which lies in here.
    runs: SmallVec<[Kept; 1]>,
}

impl Past {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets what is a day older than `minute`.
    pub(crate) fn forget_before(&mut self, minute: Minute) {
        let oldest = minute.0.saturating_sub(REVISABLE_MINUTES_MAX);
        let gone = self.runs.partition_point(|run| run.end() <= oldest);
        self.runs.drain(..gone);
    }

    /// Keeps `minutes` equal minutes from `first` on, which is after all that are kept.
    pub(crate) fn keep(
        &mut self,
        first: Minute,
        minutes: u16,
        accumulated: Accumulated,
        said: Said,
        peers: Peers,
        runs_max: usize,
    ) {
        self.forget_before(first);
        if let Some(last) = self.runs.last_mut()
            && last.end() == first.0
            && (last.accumulated, last.said, last.peers) == (accumulated, said, peers)
            && !last.is_touched
            && let Some(joined) = last.minutes.checked_add(minutes)
        {
            last.minutes = joined;
            return;
        }
        if runs_max <= self.runs.len() {
            self.runs.remove(0);
        }
        // Few pairs keep many runs: no room for more than they need.
        self.runs.reserve_exact(1);
        self.runs.push(Kept { first, minutes, accumulated, said, peers, is_touched: false });
    }

    fn position(&self, minute: Minute) -> Option<usize> {
        let index = self.runs.partition_point(|run| run.end() <= minute.0);
        self.runs.get(index).filter(|run| run.first <= minute).map(|_| index)
    }

    pub(crate) fn get(&self, minute: Minute) -> Option<&Kept> {
        self.position(minute).and_then(|index| self.runs.get(index))
    }

    /// Gives one minute to change, cut out of its run.
    pub(crate) fn get_mut(&mut self, minute: Minute) -> Option<&mut Kept> {
        let mut index = self.position(minute)?;
        let run = *self.runs.get(index)?;
        let before = u16::try_from(minute.0 - run.first.0).ok()?;
        let behind = run.minutes - before - 1;
        if 0 < behind {
            let tail = Kept { first: minute.next(), minutes: behind, ..run };
            self.runs.insert(index + 1, tail);
        }
        if 0 < before {
            self.runs.insert(index, Kept { minutes: before, ..run });
            index += 1;
        }
        let kept = self.runs.get_mut(index)?;
        kept.first = minute;
        kept.minutes = 1;
        Some(kept)
    }
}

impl Kept {
    fn end(&self) -> i64 {
        self.first.0.saturating_add(i64::from(self.minutes))
    }
}
