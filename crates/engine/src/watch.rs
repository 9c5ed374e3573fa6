//! What one agent holds of one probe: the hot state, 64 bytes.
//!
//! A watch counts rounds and says what they amount to. It does not know whether its agent sees,
//! so it never turns Down by itself: it says that it would convict, and the engine asks for proof
//! of sight first (see [`crate::sight`]). It knows no minutes and no other agents.

use model::{Cause, Confirm, NotAsked, Outcome, Round, RoundFlags, Tier, UtcMicros, Verdict};
use serde::{Deserialize, Serialize};

use crate::{
    defect::Defect,
    loss::LossWindow,
    rules::{NEVER, Rules, after, us_since},
};

/// Good rounds in a row that end Down.
const GOOD_ROUNDS_UP: u8 = 2;
/// Unanswered doubtful rounds in a row after which the verdict is no longer believed.
const DOUBTFUL_ROUNDS_MAX: u8 = 3;

const LAST_THREE: u8 = 0b111;
/// Quick rounds in a row that end Degraded for slowness.
const QUICK_ROUNDS_CLEAR: u8 = 2;

/// Loss over the window is raised.
const LOSSY: u8 = 1;
/// Replies are above the limit.
const SLOW: u8 = 2;
/// The rounds amount to Down, but nothing has proven that the agent sees.
const CONVICTING: u8 = 4;
/// The agent went away while the evidence still spoke; the next round may join it.
const CUT: u8 = 8;
/// The last asked round went to the agent's own host.
const LOCAL: u8 = 16;
/// Something outside the agent's own host has answered this watch.
const EVER: u8 = 32;
/// The convicting round had a whole confirm burst.
const CONFIRMED: u8 = 64;
/// It was Down when the evidence was cut.
const WAS_DOWN: u8 = 128;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    window: LossWindow,
    /// Start of the newest round, asked or not.
    last_at: UtcMicros,
    /// Until when the newest asked round speaks.
    evidence_until: UtcMicros,
    /// Start of the first fully lost round since the last answer; `NEVER` if there is none.
    lost_since: UtcMicros,
    /// Start of the newest fully lost round.
    lost_at: UtcMicros,
    /// Mean of the last answered round; 0 if none.
    rtt_us: u32,
    window_packets: u8,
    /// Packets of fully lost rounds that wait to be counted as loss.
    owed: u8,
    /// One bit per judged round, newest lowest: fully lost.
    recent: u8,
    /// One bit per answered round, newest lowest: above the raising limit.
    slow: u8,
    /// Consecutive answered rounds at or below the clearing limit.
    quick: u8,
    /// Consecutive good rounds.
    good: u8,
    /// Consecutive doubtful rounds without an answer.
    doubtful: u8,
    lost_sent: u8,
    verdict: Verdict,
    cause: Cause,
    flags: u8,
    /// Why the newest round could not ask, if it could not.
    not_asked: Option<NotAsked>,
}

/// What a round means to those around the watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// What the verdict should be from now on, if another.
    pub(crate) turn: Option<(Verdict, Cause)>,
    /// Packets sent and lost that are now known to be loss and not an outage.
    pub(crate) pooled: Option<(u8, u8)>,
    /// A deadline moved nearer, or proof of sight is wanted.
    pub(crate) needs_settling: bool,
}

/// The times and figures of a conviction that waits for proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conviction {
    /// Start of the first fully lost round since the last answer.
    pub(crate) lost_since: UtcMicros,
    /// Start of the convicting round.
    pub(crate) lost_at: UtcMicros,
    pub(crate) is_confirmed: bool,
    /// The agent's own host: no proof of sight needed.
    pub(crate) is_local: bool,
    /// The first lost round came after an answered one, so that its miss is marked.
    pub(crate) is_expected: bool,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch {
            window: LossWindow::default(),
            last_at: NEVER,
            evidence_until: NEVER,
            lost_since: NEVER,
            lost_at: NEVER,
            rtt_us: 0,
            window_packets: 0,
            owed: 0,
            recent: 0,
            slow: 0,
            quick: 0,
            good: 0,
            doubtful: 0,
            lost_sent: 0,
            verdict: Verdict::Unknown,
            cause: Cause::NotYet,
            flags: 0,
            not_asked: None,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }

    pub(crate) fn last_at(&self) -> UtcMicros {
        self.last_at
    }

    pub(crate) fn evidence_until(&self) -> UtcMicros {
        self.evidence_until
    }

    pub(crate) fn lost_since(&self) -> UtcMicros {
        self.lost_since
    }

    pub(crate) fn lost_sent(&self) -> u8 {
        self.lost_sent
    }

    pub(crate) fn rtt_us(&self) -> Option<u32> {
        (self.rtt_us != 0).then_some(self.rtt_us)
    }

    /// Lost packets, and packets, in the window.
    pub(crate) fn loss(&self) -> (u8, u8) {
        (self.window.lost(), self.window_packets)
    }

    pub(crate) fn not_asked(&self) -> Option<NotAsked> {
        self.not_asked
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u8, is_set: bool) {
        if is_set {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    pub(crate) fn has_answered_outside(&self) -> bool {
        self.has(EVER)
    }

    pub(crate) fn is_local(&self) -> bool {
        self.has(LOCAL)
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.has(CONFIRMED)
    }

    /// Whether an answer is expected of the next round, because the one before was answered.
    pub(crate) fn expects_answer(&self) -> bool {
        self.has(EVER) && self.lost_since == NEVER && self.verdict != Verdict::Unknown
    }

    /// Whether the evidence was cut short by an agent that went away, and may be joined again.
    pub(crate) fn is_cut(&self) -> bool {
        self.has(CUT)
    }

    pub(crate) fn conviction(&self) -> Option<Conviction> {
        self.has(CONVICTING).then_some(Conviction {
            lost_since: self.lost_since,
            lost_at: self.lost_at,
            is_confirmed: self.has(CONFIRMED),
            is_local: self.has(LOCAL),
            // An answer since then, or turning Unknown, would have ended the lost rounds.
            is_expected: self.has(EVER) && self.verdict != Verdict::Unknown,
        })
    }

    /// Takes in a round that is newer than all before it.
    pub(crate) fn handle_round(&mut self, round: &Round, rules: &Rules) -> Effect {
        let before = std::mem::replace(&mut self.last_at, round.at);
        if before != NEVER {
            self.pass_missing(us_since(round.at, before), rules);
        }
        match round.outcome {
            Outcome::NotAsked(reason) => {
                self.pass(1, rules.packets);
                self.handle_not_asked(round.at, reason)
            }
            Outcome::Asked { sent: 0, .. } => self.handle_not_asked(round.at, NotAsked::Socket),
            Outcome::Asked { sent, received, rtt, confirm } => {
                let is_answered = 0 < received || 0 < confirm.received;
                self.evidence_until = self.evidence_until.max(after(round.at, rules.evidence_us));
                self.not_asked = None;
                self.set(CUT, false);
                let is_local = round.flags.contains(RoundFlags::LOCAL);
                self.set(LOCAL, is_local);
                let mut effect = Effect::default();
                if is_answered && !is_local && !self.has(EVER) {
                    self.set(EVER, true);
                    effect.needs_settling = true;
                }
                let is_doubtful = round.flags.contains(RoundFlags::DOUBTFUL)
                    && !rules.defects.has(Defect::DoubtfulConvicts);
                if is_doubtful {
                    self.pass(1, sent);
                    return self.handle_doubtful(is_answered, effect);
                }
                self.doubtful = 0;
                if is_answered {
                    let rtt_us = rtt.map_or(0, |rtt| rtt.us_mean);
                    self.handle_answered(sent, received.min(sent), rtt_us, confirm, rules, effect)
                } else {
                    self.handle_lost(round.at, sent, confirm, rules, effect)
                }
            }
        }
    }

    /// Lets rounds pass through the loss window of which nothing is known: it is about the last 100
    /// packets, heard or not, and not about the last 100 that were.
    fn pass(&mut self, rounds: i64, packets: u8) {
        let unknown = rounds.saturating_mul(i64::from(packets));
        let unknown = u32::try_from(unknown).unwrap_or(u32::MAX);
        self.window_packets = self.window.pass(self.window_packets, unknown);
    }

    fn pass_missing(&mut self, since_us: i64, rules: &Rules) {
        if rules.interval_us + rules.interval_us / 2 < since_us {
            let rounds = since_us.saturating_add(rules.interval_us / 2) / rules.interval_us - 1;
            self.pass(rounds, rules.packets);
        }
    }

    /// A round that could not ask taught nothing.
    ///
    /// 1 - With no evidence at all, or none that still speaks, the verdict is Unknown with the
    ///     reason why it could not ask.
    /// 2 - Otherwise the evidence speaks to its end; then the same.
    fn handle_not_asked(&mut self, at: UtcMicros, reason: NotAsked) -> Effect {
        let is_news = self.not_asked != Some(reason);
        self.not_asked = Some(reason);
        let turn = (self.evidence_until <= at)
            .then_some((Verdict::Unknown, Cause::NotAsked(reason)))
            .filter(|&turn| turn != (self.verdict, self.cause));
        Effect { turn, pooled: None, needs_settling: is_news }
    }

    /// A doubtful round keeps the evidence alive and convicts nobody.
    ///
    /// It counts neither as good nor as lost and stays out of the loss window. An answer is an
    /// answer, though: only unanswered ones count towards the limit of 3 in a row, after which
    /// nothing is known any more.
    fn handle_doubtful(&mut self, is_answered: bool, mut effect: Effect) -> Effect {
        if is_answered {
            self.doubtful = 0;
            if self.verdict != Verdict::Down {
                self.lost_since = NEVER;
            }
            self.set(CONVICTING, false);
            return effect;
        }
        self.doubtful = self.doubtful.saturating_add(1);
        if DOUBTFUL_ROUNDS_MAX <= self.doubtful && self.cause != Cause::Doubtful {
            effect.turn = Some((Verdict::Unknown, Cause::Doubtful));
        }
        effect
    }

    /// A round in which something answered.
    ///
    /// 1 - From Down it takes 2 good rounds in a row to leave; a good round has at least one reply
    ///     of its own, not only of its confirm burst. The loss window starts anew then.
    /// 2 - From Unknown one good round suffices.
    /// 3 - Packets of fully lost rounds before it are loss after all and enter the window now.
    /// 4 - Loss raises at `lost_raise` lost packets in the window, if they are not all of one
    ///     round; it clears at `lost_clear`.
    /// 5 - A mean above `rtt_us_raise` in 2 of the last 3 answered rounds raises; 2 in a row at or
    ///     below `rtt_us_clear` clear.
    fn handle_answered(
        &mut self,
        sent: u8,
        received: u8,
        rtt_us: u32,
        confirm: Confirm,
        rules: &Rules,
        mut effect: Effect,
    ) -> Effect {
        if self.verdict != Verdict::Down {
            self.lost_since = NEVER;
        }
        self.set(CONVICTING, false);
        self.recent = (self.recent << 1) & LAST_THREE;
        if received == 0 {
            // Only the confirm burst was answered: it lives, but the round is no good one.
            self.owed = self.owed.saturating_add(sent);
            if rules.defects.has(Defect::ConfirmInLoss) {
                self.owed =
                    self.owed.saturating_add(confirm.sent - confirm.received.min(confirm.sent));
            }
            return effect;
        }
        self.rtt_us = rtt_us;
        self.good = self.good.saturating_add(1);
        if self.verdict == Verdict::Down {
            if GOOD_ROUNDS_UP <= self.good {
                effect.turn = Some((Verdict::Up, Cause::Answering));
            }
            return effect;
        }
        let lost = sent - received;
        let owed = std::mem::take(&mut self.owed);
        effect.pooled = Some((sent.saturating_add(owed), lost.saturating_add(owed)));
        self.judge_loss(owed, sent, lost, rules);
        self.judge_rtt(rtt_us, rules);
        let graded = self.graded();
        effect.turn = (graded != (self.verdict, self.cause)).then_some(graded);
        effect
    }

    fn judge_loss(&mut self, owed: u8, sent: u8, lost: u8, rules: &Rules) {
        let lost_before = self.window.lost();
        if 0 < owed {
            self.window_packets = self.window.push(self.window_packets, owed, owed);
        }
        self.window_packets = self.window.push(self.window_packets, sent, lost);
        let lost_in_window = self.window.lost();
        let rounds_with_loss = [lost_before, owed, lost].into_iter().filter(|&n| 0 < n).count();
        let is_news = 0 < owed || 0 < lost;
        if rules.lost_raise <= lost_in_window && is_news && 2 <= rounds_with_loss {
            self.set(LOSSY, true);
        } else if lost_in_window <= rules.lost_clear {
            self.set(LOSSY, false);
        }
    }

    fn judge_rtt(&mut self, rtt_us: u32, rules: &Rules) {
        let is_slow = rules.rtt_us_raise < rtt_us;
        self.slow = ((self.slow << 1) | u8::from(is_slow)) & LAST_THREE;
        self.quick = if rtt_us <= rules.rtt_us_clear { self.quick.saturating_add(1) } else { 0 };
        if is_slow && 2 <= self.slow.count_ones() {
            self.set(SLOW, true);
        } else if QUICK_ROUNDS_CLEAR <= self.quick {
            self.set(SLOW, false);
        }
    }

    fn graded(&self) -> (Verdict, Cause) {
        if self.has(LOSSY) {
            (Verdict::Degraded, Cause::Loss)
        } else if self.has(SLOW) {
            (Verdict::Degraded, Cause::Slow)
        } else {
            (Verdict::Up, Cause::Answering)
        }
    }

    /// A round in which nothing answered, its confirm burst included.
    ///
    /// 1 - With a whole confirm burst (all its packets sent) it convicts at once.
    /// 2 - Otherwise it convicts if it is the second such of the last 3 judged rounds.
    /// 3 - Its packets are owed to the loss window until the pair answers again, and forgotten if
    ///     it turns Down.
    fn handle_lost(
        &mut self,
        at: UtcMicros,
        sent: u8,
        confirm: Confirm,
        rules: &Rules,
        mut effect: Effect,
    ) -> Effect {
        self.good = 0;
        self.recent = ((self.recent << 1) | 1) & LAST_THREE;
        if self.lost_since == NEVER {
            self.lost_since = at;
        }
        self.lost_at = at;
        self.lost_sent = sent;
        if self.verdict == Verdict::Down {
            return effect;
        }
        self.owed = self.owed.saturating_add(sent);
        if rules.defects.has(Defect::ConfirmInLoss) {
            self.owed = self.owed.saturating_add(confirm.sent);
        }
        let is_confirmed = Tier::CONFIRM_PACKETS <= confirm.sent;
        if is_confirmed || 2 <= self.recent.count_ones() {
            self.set(CONFIRMED, is_confirmed);
            self.set(CONVICTING, true);
            effect.needs_settling = true;
        }
        effect
    }

    /// Takes the verdict over and forgets what no longer counts.
    ///
    /// Down and Unknown both start the counting of rounds anew. The loss window outlives an agent
    /// that was merely not heard, as far as it reaches; blindness, Down and a pause end it.
    pub(crate) fn turn(&mut self, verdict: Verdict, cause: Cause, at: UtcMicros) {
        let was = std::mem::replace(&mut self.verdict, verdict);
        let before = std::mem::replace(&mut self.cause, cause);
        match verdict {
            Verdict::Up | Verdict::Degraded => {
                if was == Verdict::Down {
                    self.lost_since = NEVER;
                    self.forget_window();
                }
            }
            Verdict::Down => {
                self.set(CONVICTING, false);
                self.forget_window();
                self.good = 0;
            }
            Verdict::Unknown => {
                self.set(CONVICTING, false);
                self.recent = 0;
                self.good = 0;
                self.doubtful = 0;
                self.owed = 0;
                self.lost_since = NEVER;
                match cause {
                    // Both are one cut: which of them is noticed first says nothing.
                    Cause::AgentOffline | Cause::Silent => {
                        if !matches!(before, Cause::AgentOffline | Cause::Silent) {
                            self.set(CUT, was != Verdict::Unknown);
                            self.set(WAS_DOWN, was == Verdict::Down);
                        }
                    }
                    Cause::AgentBlind | Cause::Paused => {
                        self.evidence_until = self.evidence_until.min(at);
                        self.forget_window();
                    }
                    Cause::Answering
                    | Cause::NoAnswer
                    | Cause::Loss
                    | Cause::Slow
                    | Cause::Partial
                    | Cause::Unconfirmed
                    | Cause::NotYet
                    | Cause::NoAgent
                    | Cause::NotAsked(_)
                    | Cause::MonitorDown
                    | Cause::Doubtful
                    | Cause::Dropped
                    | Cause::Expired => (),
                }
            }
        }
    }

    fn forget_window(&mut self) {
        self.window = LossWindow::default();
        self.window_packets = 0;
        self.owed = 0;
        self.slow = 0;
        self.quick = 0;
        self.set(LOSSY | SLOW, false);
    }

    /// Moves everything back by a step of the server's clock.
    pub(crate) fn shift_back(&mut self, us: i64) {
        for at in
            [&mut self.last_at, &mut self.evidence_until, &mut self.lost_since, &mut self.lost_at]
        {
            *at = after(*at, us.saturating_neg());
        }
    }

    /// This watch as it was when its agent went away, for a late stream to go on from.
    ///
    /// If it knew nothing then, it begins with nothing: that the agent was gone afterwards is not
    /// what it held before.
    pub(crate) fn resumed(&self) -> Watch {
        let mut watch = self.clone();
        if matches!(self.cause, Cause::AgentOffline | Cause::Silent) {
            (watch.verdict, watch.cause) = match (self.is_cut(), self.has(WAS_DOWN)) {
                (true, true) => (Verdict::Down, Cause::NoAnswer),
                (true, false) => self.graded(),
                (false, _) => (Verdict::Unknown, Cause::NotYet),
            };
        }
        watch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_fits_a_cache_line() {
        assert!(size_of::<Watch>() <= 64, "{} bytes", size_of::<Watch>());
    }
}
