//! Whether an agent sees: the proof that convicts, and the lack of it that makes it blind.
//!
//! An agent whose own network is cut loses every packet of every target, exactly like an agent
//! whose targets are all down. Two questions keep them apart. May this lost round convict its
//! target? ([`Sight::proof`]) And is the agent blind? ([`Sight::blind_us`]) Only what lies outside
//! the agent's own host can answer them: its gateway, its witnesses, its other targets.
//!
//! It does not know verdicts, and it reads no clock: all times are starts of rounds.

use model::{Subject, UtcMicros, WITNESSES_MAX};
use serde::{Deserialize, Serialize};

use crate::{
    rules::{FLUSH_US, NEVER, Rules, WITNESS_INTERVAL_US, WITNESS_SPAN_US, after, us_since},
    watch::Conviction,
};

/// Rounds that started within this belong to one mark. Short against a round's span.
const BUCKET_US: i64 = 200_000;
/// Marks kept: 25.6 s, longer than the window of any conviction at the fast tiers. For slower
/// tiers the older part of a window is forgotten, which can only delay a proof.
const BUCKETS: u32 = u128::BITS;

/// Rounds in a row that a gateway or witness may leave unanswered, while others answer, before it
/// counts as one that does not answer at all.
const MISSED_MAX: u8 = 3;

/// Two answers this close together prove sight between them: a gateway's interval and timeout.
const BRACKET_US_MAX: i64 = WITNESS_INTERVAL_US + WITNESS_SPAN_US;

/// Unanswered rounds outside that it takes to be blind.
const DARK_ROUNDS_MIN: u32 = 2;

/// Whether a gateway or witness can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Reliance {
    /// It has answered. One that never did is no witness.
    has_answered: bool,
    /// Unanswered rounds since.
    missed: u8,
}

/// What an agent has lately heard from outside its own host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    /// Marks of rounds, newest in the lowest bit: every packet was answered.
    answered: u128,
    /// An answer was expected, because the subject's round before was answered, and none came.
    missed: u128,
    /// More than one was missed: another's miss must not hide behind one's own.
    missed_more: u128,
    /// The bucket of the lowest bit.
    head: i64,
    /// Start of the newest round that something outside answered, and what it was.
    seen_at: UtcMicros,
    seen: Option<Subject>,
    /// Before this nothing is held against the agent: it was not heard, or could not ask.
    floor: UtcMicros,
    /// Start of the newest round outside that was asked.
    asked_at: UtcMicros,
    /// End of the newest round outside that nothing answered.
    dark_until: UtcMicros,
    /// Rounds outside that nothing answered, since something did.
    dark_rounds: u32,
    /// Start of the answered round that ended the last blindness.
    regained_at: UtcMicros,
    gateway: Reliance,
    witnesses: [Reliance; WITNESSES_MAX],
    /// Some gateway or witness has missed rounds.
    is_any_missing: bool,
    /// Shortest interval plus span of the targets outside that have answered, in microseconds.
    answering_us: Option<i64>,
    /// The same of all assigned targets.
    assigned_us: Option<i64>,
}

/// Whether a conviction may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Proven,
    /// Not as yet; nothing but another round can change it.
    Open,
    /// Not before this time.
    Later(UtcMicros),
}

fn bucket(at: UtcMicros) -> i64 {
    at.0.div_euclid(BUCKET_US)
}

impl Sight {
    pub(crate) fn new() -> Sight {
        Sight {
            answered: 0,
            missed: 0,
            missed_more: 0,
            head: i64::MIN / 2,
            seen_at: NEVER,
            seen: None,
            floor: NEVER,
            asked_at: NEVER,
            dark_until: NEVER,
            dark_rounds: 0,
            regained_at: NEVER,
            gateway: Reliance::default(),
            witnesses: [Reliance::default(); WITNESSES_MAX],
            is_any_missing: false,
            answering_us: None,
            assigned_us: None,
        }
    }

    /// Says which targets there are, by the shortest interval plus span.
    pub(crate) fn set_targets(&mut self, assigned_us: Option<i64>, answering_us: Option<i64>) {
        self.assigned_us = assigned_us;
        self.answering_us = answering_us;
    }

    /// A target with this interval plus span answered for the first time.
    pub(crate) fn note_target(&mut self, us: i64) {
        self.answering_us = Some(self.answering_us.map_or(us, |least| least.min(us)));
    }

    /// This sight as a late stream begins with it, whose first round started at `at`: what is
    /// relied on is known, what was seen or missed later is not.
    pub(crate) fn for_past(&self, at: UtcMicros) -> Sight {
        let mut sight = Sight {
            gateway: self.gateway,
            witnesses: self.witnesses,
            answering_us: self.answering_us,
            assigned_us: self.assigned_us,
            floor: at,
            ..Sight::new()
        };
        if self.seen_at < at {
            sight.seen_at = self.seen_at;
            sight.seen = self.seen;
            sight.asked_at = self.asked_at.min(at);
            sight.floor = NEVER;
        }
        for reliance in sight.witnesses.iter_mut().chain([&mut sight.gateway]) {
            reliance.missed = 0;
        }
        sight
    }

    pub(crate) fn seen_at(&self) -> Option<UtcMicros> {
        (self.seen_at != NEVER).then_some(self.seen_at)
    }

    /// What outside answered last.
    pub(crate) fn seen(&self) -> Option<Subject> {
        self.seen
    }

    /// Lost rounds that started before this belong to a blindness that is over.
    pub(crate) fn regained_at(&self) -> UtcMicros {
        self.regained_at
    }

    /// The agent is heard again, or could not ask until now: nothing before `at` counts as dark.
    pub(crate) fn start_anew(&mut self, at: UtcMicros) {
        self.floor = self.floor.max(at);
    }

    /// The agent was called blind and sees again.
    pub(crate) fn regain(&mut self) {
        self.regained_at = self.seen_at;
    }

    /// Moves everything back by a step of the server's clock, and forgets the marks.
    pub(crate) fn shift_back(&mut self, us: i64) {
        (self.answered, self.missed, self.missed_more) = (0, 0, 0);
        self.head = i64::MIN / 2;
        for at in [
            &mut self.seen_at,
            &mut self.floor,
            &mut self.asked_at,
            &mut self.dark_until,
            &mut self.regained_at,
        ] {
            *at = after(*at, us.saturating_neg());
        }
    }

    /// Moves the marks on to the bucket of `at`, and finds its bit; `None` if it is too old.
    fn bit_at(&mut self, at: UtcMicros) -> Option<u128> {
        let bucket = bucket(at);
        if self.head < bucket {
            let shift = u32::try_from(bucket.saturating_sub(self.head)).unwrap_or(u32::MAX);
            for bits in [&mut self.answered, &mut self.missed, &mut self.missed_more] {
                *bits = bits.checked_shl(shift).unwrap_or(0);
            }
            self.head = bucket;
        }
        let age = u32::try_from(self.head.saturating_sub(bucket)).ok()?;
        1u128.checked_shl(age)
    }

    /// Something outside answered a round that started at `at`.
    ///
    /// `is_whole` says that every packet was answered, so that the first one was: only then its
    /// start is the time of an answer.
    pub(crate) fn note_answer(&mut self, subject: Subject, at: UtcMicros, is_whole: bool) {
        if is_whole && let Some(bit) = self.bit_at(at) {
            self.answered |= bit;
        }
        self.asked_at = self.asked_at.max(at);
        if self.seen_at < at {
            if self.blind_us().is_some() {
                // It was blind, whether anybody noticed or not.
                self.regained_at = at;
            }
            self.seen_at = at;
            self.seen = Some(subject);
            self.dark_rounds = 0;
        }
        let reliance = match subject {
            Subject::Gateway => Some(&mut self.gateway),
            Subject::Witness(n) => self.witnesses.get_mut(usize::from(n)),
            Subject::Probe(_) => None,
        };
        if let Some(reliance) = reliance {
            *reliance = Reliance { has_answered: true, missed: 0 };
        }
        if self.is_any_missing {
            self.drop_unreliable();
        }
    }

    /// A gateway or witness that stopped answering while others go on is none any more: or it
    /// would call its agent blind between two rounds of slow targets.
    fn drop_unreliable(&mut self) {
        self.is_any_missing = false;
        for reliance in self.witnesses.iter_mut().chain([&mut self.gateway]) {
            if MISSED_MAX <= reliance.missed {
                reliance.has_answered = false;
            }
            self.is_any_missing |= reliance.has_answered && 0 < reliance.missed;
        }
    }

    /// Nothing answered a round of a target outside that started at `at` and ended at `until`.
    pub(crate) fn note_unanswered(&mut self, at: UtcMicros, until: UtcMicros, is_expected: bool) {
        if is_expected && let Some(bit) = self.bit_at(at) {
            self.missed_more |= self.missed & bit;
            self.missed |= bit;
        }
        if self.needed_us().is_some_and(|needed_us| needed_us < us_since(at, self.asked_at)) {
            // It could not ask for so long that what it saw before says nothing about now.
            self.start_anew(at);
        }
        self.asked_at = self.asked_at.max(at);
        if self.seen_at.max(self.floor) <= at {
            self.dark_until = self.dark_until.max(until);
            self.dark_rounds = self.dark_rounds.saturating_add(1);
        }
    }

    /// The gateway or a witness did not answer a round that started at `at`.
    ///
    /// One that never answered is no witness, so its silence says nothing.
    pub(crate) fn note_witness_unanswered(&mut self, subject: Subject, at: UtcMicros) {
        let reliance = match subject {
            Subject::Gateway => Some(&mut self.gateway),
            Subject::Witness(n) => self.witnesses.get_mut(usize::from(n)),
            Subject::Probe(_) => None,
        };
        let Some(reliance) = reliance.filter(|reliance| reliance.has_answered) else {
            return;
        };
        let is_expected = reliance.missed == 0;
        reliance.missed = reliance.missed.saturating_add(1);
        self.is_any_missing = true;
        self.note_unanswered(at, after(at, WITNESS_SPAN_US), is_expected);
    }

    /// Whether some gateway or witness answers: it is asked as soon as a target falls silent.
    fn is_witnessed(&self) -> bool {
        self.gateway.has_answered || self.witnesses.iter().any(|w| w.has_answered)
    }

    /// How long nothing must have answered: one interval and its span of whatever outside is asked
    /// most often and has ever answered; of all targets if nothing has. `None`: nothing is asked.
    fn needed_us(&self) -> Option<i64> {
        let witness_us = self.is_witnessed().then_some(WITNESS_INTERVAL_US + WITNESS_SPAN_US);
        match (witness_us, self.answering_us) {
            (Some(witness_us), Some(target_us)) => Some(witness_us.min(target_us)),
            (witness_us, target_us) => witness_us.or(target_us).or(self.assigned_us),
        }
    }

    /// For how long nothing outside has answered, if that makes the agent blind.
    ///
    /// 1 - At least 2 rounds outside were asked and stayed unanswered: one lost packet of a gateway
    ///     between two rounds of slow targets blinds nobody.
    /// 2 - From the start of the last answered round (or since the agent is heard, or can ask at
    ///     all) to the end of the newest unanswered one lies at least one interval and its span of
    ///     whatever outside is asked most often: it was asked in between and would have answered.
    pub(crate) fn blind_us(&self) -> Option<i64> {
        let base = self.seen_at.max(self.floor);
        if self.dark_until <= base || self.dark_rounds < DARK_ROUNDS_MIN {
            return None;
        }
        let dark_us = us_since(self.dark_until, base);
        self.needed_us().filter(|&needed_us| needed_us <= dark_us).map(|_| dark_us)
    }

    /// Whether the agent saw while `conviction` was made.
    ///
    /// The window reaches from one timeout after the start of the first lost round to the last
    /// packet of the convicting one. If the agent's own network had swallowed all of them, it was
    /// gone for the whole window: its first packet's reply would have come within the timeout.
    ///
    /// 1 - A round outside that started in the window and was answered whole proves sight.
    /// 2 - Without one, answers to rounds right before and right after prove it too, if they lie so
    ///     close together (6 s, as a gateway that answers every 5 s does) that hardly an outage
    ///     fits between, and if nobody else missed an expected answer between them. Rounds that
    ///     started in the window are given the time to report first.
    ///     Without a gateway or witness, which would have been asked meanwhile, that is too little
    ///     for a single lost round: an outage of 3 s fits between two targets.
    /// 3 - Otherwise it is not proven: the next lost round brings a longer window.
    /// 4 - A target on the agent's own host needs no sight.
    pub(crate) fn proof(&self, conviction: &Conviction, rules: &Rules, now: UtcMicros) -> Proof {
        if conviction.is_local {
            return Proof::Proven;
        }
        let sending_us = if conviction.is_confirmed {
            rules.round_us + rules.confirm_sending_us
        } else {
            rules.sending_us
        };
        let from = after(conviction.lost_since, rules.timeout_us);
        let last_sent_at = after(conviction.lost_at, sending_us);
        if self.is_marked(self.answered, from, last_sent_at) {
            return Proof::Proven;
        }
        let is_single = conviction.lost_since == conviction.lost_at;
        if is_single && !self.is_witnessed()
            || !self.is_bracketed(conviction, last_sent_at.max(from))
        {
            return Proof::Open;
        }
        let journey_us = rules.round_us + rules.confirm_us + rules.round_us + FLUSH_US;
        let settled_at = after(conviction.lost_at, journey_us);
        if settled_at <= now { Proof::Proven } else { Proof::Later(settled_at) }
    }

    /// Whether answers right before the first lost round and right after `last_sent_at` are close
    /// together, with no other expected answer missing between them.
    fn is_bracketed(&self, conviction: &Conviction, last_sent_at: UtcMicros) -> bool {
        let age_of = |at: UtcMicros| u32::try_from(self.head.saturating_sub(bucket(at)));
        let (Ok(own), Ok(last)) = (age_of(conviction.lost_since), age_of(last_sent_at)) else {
            return false;
        };
        // Bits count backwards in time: lower ones are after the window, higher ones before it.
        let later = self.answered & !(u128::MAX.checked_shl(last).unwrap_or(0));
        let Some(earlier) = self.answered.checked_shr(own).filter(|&bits| bits != 0) else {
            return false;
        };
        if later == 0 {
            return false;
        }
        let first_after = BUCKETS - 1 - later.leading_zeros();
        let last_before = own + earlier.trailing_zeros();
        let width = last_before - first_after;
        let between = (u128::MAX >> (BUCKETS - 1 - width)) << first_after;
        // Its own miss is no other's, if there is one: only an expected answer was missed.
        let is_alone = conviction.is_expected && self.missed_more & (1 << own) == 0;
        let own_miss = if is_alone { 1 << own } else { 0 };
        let others = self.missed & between & !own_miss;
        i64::from(width) * BUCKET_US <= BRACKET_US_MAX && others == 0
    }

    /// Whether a mark lies wholly within the window.
    fn is_marked(&self, marks: u128, from: UtcMicros, to: UtcMicros) -> bool {
        let first = from.0.saturating_add(BUCKET_US - 1).div_euclid(BUCKET_US);
        let last = to.0.saturating_add(1).div_euclid(BUCKET_US).saturating_sub(1).min(self.head);
        let oldest = self.head.saturating_sub(i64::from(BUCKETS) - 1);
        let first = first.max(oldest);
        if last < first {
            return false;
        }
        let low = u32::try_from(self.head.saturating_sub(last)).unwrap_or(BUCKETS);
        let width = u32::try_from(last.saturating_sub(first) + 1).unwrap_or(BUCKETS);
        let mask = u128::MAX.checked_shr(BUCKETS - width.min(BUCKETS)).unwrap_or(0);
        marks.checked_shr(low).unwrap_or(0) & mask != 0
    }
}

#[cfg(test)]
mod tests {
    use model::ProbeId;

    use super::*;

    const OTHER: Subject = Subject::Probe(ProbeId(2));

    fn at(seconds: f64) -> UtcMicros {
        UtcMicros(1_795_262_400_000_000 + (seconds * 1e6) as i64)
    }

    /// A round lost at 100 s with its whole confirm burst: the window is 101 s to 102.2 s, and
    /// rounds that started in it have reported by 106 s.
    fn proof_at(sight: &Sight, now: f64) -> Proof {
        let conviction = Conviction {
            lost_since: at(100.0),
            lost_at: at(100.0),
            is_confirmed: true,
            is_local: false,
            is_expected: true,
        };
        sight.proof(&conviction, &Rules::standard(), at(now))
    }

    fn seen_before() -> Sight {
        let mut sight = Sight::new();
        sight.note_answer(Subject::Gateway, at(95.0), true);
        sight
    }

    #[test]
    fn a_whole_answer_in_the_window_proves_sight() {
        let mut sight = seen_before();
        assert_eq!(proof_at(&sight, 103.0), Proof::Open, "nothing was seen since");
        sight.note_answer(OTHER, at(100.4), true);
        assert_eq!(proof_at(&sight, 103.0), Proof::Open, "too soon after its start");
        sight.note_answer(OTHER, at(101.5), false);
        assert_eq!(proof_at(&sight, 103.0), Proof::Open, "its first packet may be the lost one");
        sight.note_answer(OTHER, at(101.5), true);
        assert_eq!(proof_at(&sight, 103.0), Proof::Proven);
    }

    #[test]
    fn an_answer_after_the_window_proves_sight_once_all_have_reported() {
        let mut sight = Sight::new();
        sight.note_answer(Subject::Gateway, at(98.0), true);
        sight.note_unanswered(at(100.0), at(101.8), true);
        assert_eq!(proof_at(&sight, 103.0), Proof::Open, "nothing was seen since");
        sight.note_answer(Subject::Gateway, at(103.0), true);
        assert_eq!(proof_at(&sight, 103.0), Proof::Later(at(106.0)));
        assert_eq!(proof_at(&sight, 106.0), Proof::Proven);
        sight.note_unanswered(at(99.0), at(100.8), true);
        assert_eq!(proof_at(&sight, 106.0), Proof::Open, "another expected answer is missing");
        let mut sight = seen_before();
        sight.note_answer(Subject::Gateway, at(102.5), true);
        assert_eq!(proof_at(&sight, 106.0), Proof::Open, "too long between the two");
    }

    #[test]
    fn another_miss_at_the_same_moment_does_not_hide_behind_ones_own() {
        let mut sight = Sight::new();
        sight.note_answer(Subject::Gateway, at(98.0), true);
        sight.note_unanswered(at(100.0), at(101.8), true);
        sight.note_witness_unanswered(Subject::Gateway, at(100.1));
        sight.note_answer(OTHER, at(103.0), true);
        assert_eq!(proof_at(&sight, 106.0), Proof::Open, "the gateway was missed with it");
    }

    #[test]
    fn an_answer_that_ends_a_blindness_proves_nothing_about_it() {
        let mut sight = seen_before();
        sight.note_witness_unanswered(Subject::Gateway, at(100.0));
        sight.note_witness_unanswered(Subject::Gateway, at(105.0));
        assert_eq!(sight.blind_us(), Some(11_000_000));
        sight.note_answer(Subject::Gateway, at(110.0), true);
        assert_eq!(sight.regained_at(), at(110.0));
        assert_eq!(proof_at(&sight, 120.0), Proof::Open);
    }

    #[test]
    fn one_unanswered_round_blinds_nobody_and_a_pause_in_asking_neither() {
        let mut sight = seen_before();
        sight.note_witness_unanswered(Subject::Gateway, at(100.0));
        assert_eq!(sight.blind_us(), None);
        let mut sight = seen_before();
        for second in [400.0, 405.0] {
            sight.note_witness_unanswered(Subject::Gateway, at(second));
        }
        assert_eq!(sight.blind_us(), Some(6_000_000), "counted from when it could ask again");
    }
}
