//! The story of one pair's rounds: when it was out, and whether it still is.

use model::UtcMicros;

use super::{noise, picture::Ask};

/// The log chance of a pair falling out, or coming back, between two rounds. It takes a lost round
/// of several packets to turn, and two answered ones to turn back.
const TURN: f64 = -3.9;
/// Answers later than before by less than this are weather.
const SHIFT_US_MIN: i64 = 3_000;
/// And by less than this part of what they took.
const SHIFT_PART: i64 = 4;
/// The last answers that are compared with those before.
const RECENT_MAX: usize = 3;

/// When a pair was out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Regime {
    /// (first lost round, last lost round), by time.
    pub(super) outages: Vec<(UtcMicros, UtcMicros)>,
    /// The last outage goes on.
    pub(super) is_dead: bool,
    /// The last round before the last outage.
    pub(super) good_before: Option<UtcMicros>,
    /// Lost rounds of the last outage.
    pub(super) lost_rounds: u32,
    /// The first answered round after the last outage.
    pub(super) back_at: Option<UtcMicros>,
}

impl Regime {
    pub(super) fn is_dead_at(&self, at: UtcMicros) -> bool {
        let open = self.outages.len().saturating_sub(usize::from(self.is_dead));
        let within = |(from, until): &(UtcMicros, UtcMicros)| *from <= at && at <= *until;
        let (closed, going_on) = self.outages.split_at(open);
        closed.iter().any(within) || going_on.iter().any(|(from, _)| *from <= at)
    }

    /// The first lost round of the outage that goes on.
    pub(super) fn dead_since(&self) -> Option<UtcMicros> {
        self.outages.last().filter(|_| self.is_dead).map(|(from, _)| *from)
    }
}

/// The likeliest story: out or not at every round, with a price for each turn.
pub(super) fn of(asks: &[Ask]) -> Regime {
    // Viterbi over two states; `[whole, out]`.
    let mut scores = [0.0, TURN];
    let mut came_from = Vec::with_capacity(asks.len());
    for (nth, ask) in asks.iter().enumerate() {
        let stay_or_turn = |to: usize| {
            let turned = scores[1 - to] + TURN;
            if 0 < nth && scores[to] < turned { (turned, 1 - to) } else { (scores[to], to) }
        };
        let (whole, whole_from) = stay_or_turn(0);
        let (out, out_from) = stay_or_turn(1);
        scores = [whole, out + noise::dead_ratio(ask)];
        came_from.push([whole_from, out_from]);
    }
    let mut state = usize::from(scores[0] < scores[1]);
    let mut is_out = vec![false; asks.len()];
    for (nth, from) in came_from.iter().enumerate().rev() {
        if let Some(slot) = is_out.get_mut(nth) {
            *slot = state == 1;
        }
        state = from[state];
    }
    tell(asks, &is_out)
}

fn tell(asks: &[Ask], is_out: &[bool]) -> Regime {
    let mut regime = Regime { is_dead: is_out.last() == Some(&true), ..Regime::default() };
    let mut last_good = None;
    let mut was_out = false;
    for (ask, is_out) in asks.iter().zip(is_out) {
        if *is_out {
            if !was_out {
                regime.outages.push((ask.at, ask.at));
                regime.good_before = last_good;
                regime.lost_rounds = 0;
                regime.back_at = None;
            }
            if ask.is_dead() {
                regime.lost_rounds += 1;
                if let Some((_, until)) = regime.outages.last_mut() {
                    *until = ask.at;
                }
            }
        } else if !ask.is_dead() {
            last_good = Some(ask.at);
            if was_out {
                regime.back_at = Some(ask.at);
            }
        }
        was_out = *is_out;
    }
    regime
}

/// By how much the last answers are later than those before; 0 if they are not, `None` if nothing
/// is there to compare. The fastest of the last ones counts: queues only add.
pub(super) fn shift_us(asks: &[Ask], recent: &[Ask]) -> Option<i64> {
    fn rtts(asks: &[Ask]) -> impl Iterator<Item = i64> {
        asks.iter().filter_map(|ask| ask.rtt_us).map(i64::from)
    }
    let split = recent.len().min(RECENT_MAX);
    let before = asks.get(..asks.len() - split).filter(|before| 1 < before.len())?;
    let fastest = rtts(recent.get(recent.len() - split..)?).min()?;
    if rtts(before).count() < 2 {
        return None;
    }
    if rtts(before).min().is_some_and(|quickest| fastest - quickest <= SHIFT_US_MIN) {
        return Some(0); // Nearly every pair: no later than the quickest of before.
    }
    let mut before: Vec<i64> = rtts(before).collect();
    before.sort_unstable();
    let usual = *before.get(before.len() / 2)?;
    let shift = fastest - usual;
    let is_shifted = SHIFT_US_MIN < shift && usual / SHIFT_PART < shift;
    Some(if is_shifted { shift } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a round, a second apart: `.` answered, `x` lost.
    #[track_caller]
    fn check(rounds: &str, is_dead: bool, outages: &[(i64, i64)]) {
        let asks: Vec<Ask> = rounds
            .chars()
            .zip(0..)
            .map(|(letter, at)| Ask {
                at: UtcMicros(at),
                sent: 5,
                received: if letter == 'x' { 0 } else { 5 },
                rtt_us: None,
            })
            .collect();
        let regime = of(&asks);
        assert_eq!(regime.is_dead, is_dead, "{rounds}");
        let told: Vec<(i64, i64)> = regime.outages.iter().map(|(a, b)| (a.0, b.0)).collect();
        assert_eq!(told, outages, "{rounds}");
    }

    #[test]
    fn one_lost_round_at_the_end_is_an_outage_and_in_the_middle_is_none() {
        check("....x", true, &[(4, 4)]);
        check("x", true, &[(0, 0)]);
        check("..x..", false, &[]);
    }

    #[test]
    fn an_outage_ends_with_two_answered_rounds() {
        check("..xxx.", true, &[(2, 4)]);
        check("..xxx..", false, &[(2, 4)]);
        check("..xxx.xx", true, &[(2, 7)]);
        check("..xx..xx", true, &[(2, 7)]);
        check("..xx....xx", true, &[(2, 3), (8, 9)]);
    }
}
