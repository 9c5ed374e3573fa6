//! History: rounds that came too late for live verdicts revise the minutes they belong to.
//!
//! An agent that lost the server delivers its backlog in the order of time, with or without live
//! rounds in between. For as long as that lasts it has a lane: a sight of its own and a watch per
//! pair, by the same rules, on the time of the rounds instead of the clock. Both go on from where
//! the live ones stood when the agent, or the server, went away: that is remembered when it is
//! back, before live rounds move on. What the lane finds goes into minutes that are still open or
//! were kept because they had a gap. Nothing in here touches a live verdict, an agent's state or a
//! decision other than revised minutes.

use model::{AgentId, Cause, Entity, Minute, Outcome, ProbeId, Round, UtcMicros, Verdict};

use crate::{
    consensus::{NOTHING_HELD, Pooled, View, agree},
    engine::{Counters, Engine, frame, rules_of, slot},
    lane::{Lane, Late, Way},
    minutes::{Accumulated, Kept, Said},
    rounds::{Answer, answer_of, note_probe, note_witness, speaks, speaks_from},
    rules::{NEVER, Rules, SECOND_US, WITNESS_INTERVAL_US, after, us_since},
    sight::Proof,
    state::{Agent, Decisions, Frame, Pair, Probe, say, view_of},
    watch::Watch,
};

/// How often, in the lane's time, proofs and blindness are looked at.
const LANE_STEP_US: i64 = SECOND_US;
/// Pairs of an ending lane that are finished in one turn.
const FINISHED_PER_TURN_MAX: usize = 500;
/// Minutes of one pair looked at in one go: a day, the most that is kept.
const MINUTES_PER_LOOK_MAX: usize = 1_440;

/// One pair's minutes, as late rounds change them.
struct Record<'a> {
    probe: &'a mut Probe,
    index: usize,
    late: Late,
}

impl Record<'_> {
    /// Applies a change to a minute of the pair and, if it is closed, to the one of all.
    ///
    /// Returns whether there was such a minute: complete ones are not kept.
    fn change(&mut self, minute: Minute, change: impl Fn(&mut Accumulated), for_all: bool) -> bool {
        let (oldest, newest) = (self.probe.oldest, self.probe.newest);
        let Some(pair) = self.probe.pairs.get_mut(self.index) else {
            return false;
        };
        if oldest <= minute {
            if minute <= newest {
                change(pair.open_mut(minute));
            }
            return minute <= newest;
        }
        let Some(kept) = pair.past.as_deref_mut().and_then(|past| past.get_mut(minute)) else {
            return false;
        };
        let counts = kept.accumulated.counts();
        change(&mut kept.accumulated);
        kept.is_touched |= counts != kept.accumulated.counts();
        self.late.unrevised = self.late.unrevised.min(minute);
        if for_all
            && let Some(kept) = self.probe.past.as_deref_mut().and_then(|p| p.get_mut(minute))
        {
            let counts = kept.accumulated.counts();
            change(&mut kept.accumulated);
            kept.is_touched |= counts != kept.accumulated.counts();
        }
        true
    }

    fn cover(&mut self, from: UtcMicros, to: UtcMicros) {
        for minute in minutes(from, to) {
            self.change(minute, |accumulated| accumulated.cover(minute, from, to), true);
        }
    }

    /// Notes the verdict that the late watch held up to `until`.
    fn hold(&mut self, until: UtcMicros) {
        let (verdict, cause) = (self.late.watch.verdict(), self.late.watch.cause());
        let from = self.late.held_from;
        self.late.held_from = from.max(until);
        if cause == Cause::NotYet {
            return;
        }
        for minute in minutes(from, until) {
            self.change(minute, |accumulated| accumulated.note_held(verdict, cause), false);
        }
    }

    fn turn(&mut self, verdict: Verdict, cause: Cause, at: UtcMicros) {
        self.late.watch.turn(verdict, cause, at);
        let minute = at.minute();
        self.change(minute, |accumulated| accumulated.note_held(verdict, cause), false);
    }

    /// The lane went blind: from `at` on its lost rounds spoke for nothing.
    fn go_blind(&mut self, at: UtcMicros) {
        let until = self.late.watch.evidence_until();
        self.hold(at.min(until));
        for minute in minutes(at, until) {
            self.change(
                minute,
                |accumulated| {
                    accumulated.uncover_from(minute, at);
                    accumulated.note_unknown(Cause::AgentBlind);
                },
                false,
            );
        }
        self.late.watch.turn(Verdict::Unknown, Cause::AgentBlind, at);
        self.late.held_from = at;
    }

    fn put_back(self) {
        if let Some(pair) = self.probe.pairs.get_mut(self.index) {
            pair.late = Some(Box::new(self.late));
        }
    }
}

/// The minutes that the time from `from` up to `to` touches, at most a day of them.
fn minutes(from: UtcMicros, to: UtcMicros) -> impl Iterator<Item = Minute> {
    let last = UtcMicros(to.0.saturating_sub(1)).minute();
    let is_any = from < to;
    std::iter::successors(is_any.then_some(from.minute()), |minute| Some(minute.next()))
        .take_while(move |minute| *minute <= last)
        .take(MINUTES_PER_LOOK_MAX)
}

impl Engine {
    /// Takes in a round of the gateway or a witness from before its agent was heard again. One that
    /// came in time is heard only if the lane has come to it.
    pub(crate) fn hear_late_witness(&mut self, agent: &mut Agent, round: &Round, way: Way) {
        let is_next = agent
            .lane
            .as_ref()
            .is_some_and(|lane| us_since(round.at, lane.now) <= 2 * WITNESS_INTERVAL_US);
        if way == Way::Live && !is_next {
            return;
        }
        // Without a lane there is nothing that its proof could help, yet blindness may begin here.
        let Agent { lane, sight, .. } = agent;
        let lane = lane.get_or_insert_with(|| Box::new(Lane::new(sight, round.at)));
        lane.feed(round.at, self.state.now);
        let before = lane.sight.seen_at();
        note_witness(&mut lane.sight, round);
        lane.notice_sight(before);
    }

    /// Takes in a late round of a probe.
    ///
    /// 1 - It counts in its minute, if that can still be revised.
    /// 2 - In the order of time it is judged like a live one, at the time at which it could have
    ///     come. Older than what the lane has heard, it only counts and speaks.
    /// 3 - After a gap in the evidence the judgement starts anew. One that came in time waits for
    ///     what may fill the gap: later rounds of the backlog, or its end.
    /// 4 - While the lane is blind, a round counts and speaks for nothing.
    pub(crate) fn hear_late(
        &mut self,
        agent: &mut Agent,
        (agent_id, id): (AgentId, ProbeId),
        round: &Round,
        way: Way,
        runs_max: usize,
    ) {
        let now = self.state.now;
        let Agent { lane, sight, .. } = agent;
        let mut lane = lane.take().unwrap_or_else(|| Box::new(Lane::new(sight, round.at)));
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            agent.lane = Some(lane);
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let frame = frame(now, &self.state.monitor, runs_max, self.defects);
        probe.roll(&rules, &frame, &mut self.decisions);
        if probe.unsaid.is_some() {
            self.state.unsaid.insert(id);
        }
        lane.fed_at = now;
        if let Some(index) = probe.index_of(agent_id)
            && let Some(mut record) = open_record(probe, index, round.at)
        {
            lane.members.insert(id);
            lane.touched.insert(id);
            record.hear(&mut lane, id, round, way, &rules, &mut self.state.counters);
            record.put_back();
        }
        if LANE_STEP_US <= us_since(lane.now, lane.stepped_at) {
            self.step_lane(&mut lane, agent_id);
        }
        agent.lane = Some(lane);
    }

    /// Looks at the lane's convictions and at whether it sees.
    fn step_lane(&mut self, lane: &mut Lane, agent_id: AgentId) {
        lane.stepped_at = lane.now;
        if !lane.is_blind && lane.sight.blind_us().is_some() {
            lane.is_blind = true;
            lane.waiting.clear();
            for &id in &lane.members {
                self.with_late(id, agent_id, |record, _| record.go_blind(lane.now));
            }
            lane.touched.extend(&lane.members);
            return;
        }
        let waiting = std::mem::take(&mut lane.waiting);
        for id in waiting {
            let mut is_waiting = false;
            self.with_late(id, agent_id, |record, rules| {
                let Some(conviction) = record.late.watch.conviction() else {
                    return;
                };
                if lane.sight.proof(&conviction, rules, lane.now) == Proof::Proven {
                    record.hold(lane.now);
                    record.turn(Verdict::Down, Cause::NoAnswer, lane.now);
                } else {
                    is_waiting = true;
                }
            });
            if is_waiting {
                lane.waiting.insert(id);
            }
        }
    }

    /// Applies a change to one pair's late stream, if it has one.
    fn with_late(
        &mut self,
        id: ProbeId,
        agent: AgentId,
        change: impl FnOnce(&mut Record<'_>, &Rules),
    ) {
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let Some(index) = probe.index_of(agent) else {
            return;
        };
        let Some(late) = probe.pairs.get_mut(index).and_then(|pair| pair.late.take()) else {
            return;
        };
        let mut record = Record { probe, index, late: *late };
        change(&mut record, &rules);
        record.put_back();
    }

    /// After a batch: looks at the lane once more and says the minutes that it has passed.
    pub(crate) fn finish_late(&mut self, agent: &mut Agent, agent_id: AgentId, runs_max: usize) {
        let Some(mut lane) = agent.lane.take() else {
            return;
        };
        if lane.fed_at == self.state.now {
            self.step_lane(&mut lane, agent_id);
            for id in std::mem::take(&mut lane.touched) {
                self.revise(id, agent_id, false, runs_max);
            }
        }
        agent.lane = Some(lane);
    }

    /// Ends a lane that has caught up, a turn's worth of pairs at a time; returns when to look
    /// again.
    pub(crate) fn look_at_lane(
        &mut self,
        agent: &mut Agent,
        agent_id: AgentId,
        runs_max: usize,
    ) -> Option<UtcMicros> {
        let mut lane = agent.lane.take()?;
        let due_at = lane.due_at();
        if self.state.now < due_at {
            agent.lane = Some(lane);
            return Some(due_at);
        }
        for _ in 0..FINISHED_PER_TURN_MAX {
            let id = lane.members.pop_first()?;
            self.with_late(id, agent_id, |record, rules| {
                if let Some(ahead) = record.late.ahead.take() {
                    record.judge(&mut lane, id, &ahead, rules);
                }
                if record.late.has_heard {
                    record.hold(record.late.watch.evidence_until());
                }
            });
            self.revise(id, agent_id, true, runs_max);
            let probe = slot(&mut self.state.probes, id.0).and_then(Option::as_mut);
            if let Some(probe) = probe
                && let Some(index) = probe.index_of(agent_id)
                && let Some(pair) = probe.pairs.get_mut(index)
            {
                pair.late = None;
            }
        }
        agent.lane = Some(lane);
        Some(self.state.now)
    }

    /// Says again what late rounds changed: of minutes that the pair's stream has passed, or of all
    /// closed ones when it ends.
    fn revise(&mut self, id: ProbeId, agent: AgentId, is_end: bool, runs_max: usize) {
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let frame = frame(self.state.now, &self.state.monitor, runs_max, self.defects);
        let Some(index) = probe.index_of(agent) else {
            return;
        };
        let closed = probe.oldest;
        let Some(late) = probe.pairs.get_mut(index).and_then(|pair| pair.late.as_deref_mut())
        else {
            return;
        };
        let passed = after(late.held_from, rules.close_delay_us.saturating_neg()).minute();
        let passed = if is_end { closed } else { passed.min(closed) };
        let from = late.unrevised;
        late.unrevised = from.max(passed);
        for minute in minutes(from.start(), passed.start()) {
            let revised = probe.revise_pair(index, minute, &frame, &mut self.decisions);
            let revised = u64::from(revised)
                + u64::from(probe.revise_consensus(minute, &frame, &mut self.decisions));
            self.state.counters.revisions_total += revised;
        }
        if let Some(past) = probe.pairs.get_mut(index).and_then(|pair| pair.past.as_deref_mut()) {
            past.forget_before(frame.now.minute());
        }
    }
}

/// When a round could have come at the earliest.
fn judged_at(round: &Round, rules: &Rules) -> UtcMicros {
    let confirm_us = match round.outcome {
        Outcome::Asked { confirm, .. } if 0 < confirm.sent => rules.confirm_us,
        Outcome::Asked { .. } | Outcome::NotAsked(_) => 0,
    };
    after(round.at, rules.round_us + confirm_us)
}

/// Takes a pair's late stream out, beginning one that goes on from the live one if there is none.
fn open_record(probe: &mut Probe, index: usize, at: UtcMicros) -> Option<Record<'_>> {
    let pair = probe.pairs.get_mut(index)?;
    let late = pair.late.take().map_or_else(
        || {
            if pair.watch.last_at() < at && pair.watch.last_at() != NEVER {
                Late::resumed(&pair.watch)
            } else {
                Late::new(Watch::new(), at)
            }
        },
        |late| *late,
    );
    Some(Record { probe, index, late })
}

impl Agent {
    /// Opens the lane of an agent that was away until now, as its live sight stood then, or keeps
    /// open the one it has: a backlog may follow.
    pub(crate) fn begin_lane(&mut self, now: UtcMicros) {
        let seen_at = self.sight.seen_at();
        if self.lane.is_none() {
            self.lane = seen_at.map(|at| Box::new(Lane::new(&self.sight, after(at, 1))));
        }
        if let Some(lane) = &mut self.lane {
            lane.fed_at = now;
        }
    }
}

impl Pair {
    /// Remembers what was held before a gap in the evidence, for a backlog that may fill it. The
    /// round that began at `at` is heard live, and moves the live watch on.
    pub(crate) fn remember(&mut self, lane: &mut Lane, id: ProbeId, at: UtcMicros, rules: &Rules) {
        let until = self.watch.evidence_until();
        if until == NEVER || us_since(at, until) <= rules.join_us || self.late.is_some() {
            return;
        }
        self.late = Some(Box::new(Late::resumed(&self.watch)));
        lane.members.insert(id);
    }
}

impl Record<'_> {
    fn hear(
        &mut self,
        lane: &mut Lane,
        id: ProbeId,
        round: &Round,
        way: Way,
        rules: &Rules,
        counters: &mut Counters,
    ) {
        let ahead = self.late.ahead;
        if [Some(self.late.watch.last_at()), ahead.map(|ahead| ahead.at)].contains(&Some(round.at))
        {
            counters.repeated_rounds_total += 1;
            return;
        }
        if !self.change(round.at.minute(), |accumulated| accumulated.count(round), true) {
            counters.unrevisable_rounds_total += 1;
        }
        if way == Way::Live && ahead.is_none() && self.is_gap(round.at, rules) {
            self.late.ahead = Some(*round);
            return;
        }
        if let Some(ahead) = self.late.ahead.take_if(|ahead| ahead.at < round.at) {
            self.judge(lane, id, &ahead, rules);
        }
        self.judge(lane, id, round, rules);
        let next = ahead.filter(|ahead| !self.is_gap(ahead.at, rules));
        if next.is_some()
            && let Some(ahead) = self.late.ahead.take()
        {
            self.judge(lane, id, &ahead, rules);
        }
    }

    /// Whether nothing spoke for the time before `at`.
    fn is_gap(&self, at: UtcMicros, rules: &Rules) -> bool {
        let until = self.late.watch.evidence_until();
        until != NEVER && rules.join_us < us_since(at, until)
    }

    /// Judges a round that is counted.
    fn judge(&mut self, lane: &mut Lane, id: ProbeId, round: &Round, rules: &Rules) {
        let judged_at = judged_at(round, rules);
        lane.feed(judged_at, lane.fed_at);
        self.late.has_heard = true;
        let before = lane.sight.seen_at();
        note_probe(&mut lane.sight, round, &self.late.watch, rules);
        lane.notice_sight(before);
        let minute = round.at.minute();
        let answer = answer_of(&round.outcome);
        let is_older = round.at < self.late.watch.last_at();
        if !is_older && self.is_gap(round.at, rules) {
            self.hold(self.late.watch.evidence_until());
            self.late.watch = Watch::new();
            self.late.held_from = judged_at;
        } else if !is_older {
            self.hold(judged_at);
        }
        let is_blind_loss = answer == Answer::None && round.at < lane.sight.regained_at();
        if lane.is_blind || is_blind_loss {
            let blind = |accumulated: &mut Accumulated| {
                accumulated.note_unknown(Cause::AgentBlind);
            };
            self.change(minute, blind, false);
            return;
        }
        let from = speaks_from(&self.late.watch, round.at, rules);
        if speaks(answer, &self.late.watch) {
            self.cover(if is_older { round.at } else { from }, after(round.at, rules.evidence_us));
        }
        if is_older {
            // Out of its order it convicts nobody, but what was answered was up.
            if matches!(answer, Answer::Whole | Answer::Partly) {
                self.change(minute, Accumulated::note_answered, false);
            }
            return;
        }
        let effect = self.late.watch.handle_round(round, rules);
        if let Some((verdict, cause)) = effect.turn {
            self.turn(verdict, cause, judged_at);
        }
        if self.late.watch.conviction().is_some() {
            lane.waiting.insert(id);
        } else {
            lane.waiting.remove(&id);
        }
    }
}

impl Probe {
    /// Says a pair's minute again if late rounds changed its truth or its counts.
    fn revise_pair(
        &mut self,
        index: usize,
        minute: Minute,
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) -> bool {
        if self.is_unsaid(minute) {
            return false;
        }
        let (org, probe) = (self.org, self.id);
        let Some(pair) = self.pairs.get_mut(index) else {
            return false;
        };
        let entity = Entity::Pair { probe, agent: pair.agent };
        let Some(past) = pair.past.as_deref_mut() else {
            return false;
        };
        let Some(kept) = past.get(minute) else {
            return false;
        };
        let truth = kept.accumulated.truth(frame.defects);
        if !kept.is_touched && truth == (kept.said.verdict, kept.said.cause) {
            return false;
        }
        let Some(kept) = past.get_mut(minute) else {
            return false;
        };
        kept.revise(truth);
        say(org, entity, minute, &kept.accumulated, &kept.said, frame.now, decisions);
        true
    }

    /// Says what all hold of a minute again, if the pairs' revised minutes or counts change it.
    ///
    /// 1 - The pairs' truths of that minute agree by the rules of consensus.
    /// 2 - What was held live by all together stands if it is worse.
    fn revise_consensus(
        &mut self,
        minute: Minute,
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) -> bool {
        if self.is_unsaid(minute) {
            return false;
        }
        let Some(kept) = self.past.as_deref().and_then(|past| past.get(minute)).copied() else {
            return false;
        };
        let views = self.views_of(minute, &kept);
        let agreement = agree(NOTHING_HELD, &views, Pooled::Calm, frame.defects);
        let held = kept.accumulated.truth(frame.defects);
        let is_worse = held.0.badness() > agreement.verdict.badness();
        let truth = match (agreement.verdict, held.0) {
            (Verdict::Unknown, Verdict::Unknown) => (agreement.verdict, agreement.cause),
            (Verdict::Unknown, _) => held,
            (_, Verdict::Down | Verdict::Degraded) if is_worse => held,
            _ => (agreement.verdict, agreement.cause),
        };
        if !kept.is_touched && truth == (kept.said.verdict, kept.said.cause) {
            return false;
        }
        let (org, entity) = (self.org, Entity::Consensus { probe: self.id });
        let Some(kept) = self.past.as_deref_mut().and_then(|past| past.get_mut(minute)) else {
            return false;
        };
        kept.revise(truth);
        say(org, entity, minute, &kept.accumulated, &kept.said, frame.now, decisions);
        true
    }

    /// What each agent holds of a kept minute; agents whose minute was complete are not kept one
    /// by one, so they stand without a name.
    fn views_of(&self, minute: Minute, kept: &Kept) -> Vec<View> {
        let said =
            |pair: &Pair| pair.past.as_deref()?.get(minute).map(|kept| (pair.agent, kept.said));
        let view = |(agent, said): (AgentId, Said)| view_of(agent, (said.verdict, said.cause));
        let mut views: Vec<View> = self.pairs.iter().filter_map(said).map(view).collect();
        let peers = kept.peers;
        let degraded = if peers.is_lossy { Cause::Loss } else { Cause::Slow };
        for (count, verdict, cause) in [
            (peers.up, Verdict::Up, Cause::Answering),
            (peers.degraded, Verdict::Degraded, degraded),
            (peers.down, Verdict::Down, Cause::NoAnswer),
        ] {
            let unnamed =
                View { agent: AgentId(0), verdict, cause, has_judged: true, is_awaited: false };
            views.extend(std::iter::repeat_n(unnamed, usize::from(count)));
        }
        views
    }
}

impl Kept {
    fn revise(&mut self, (verdict, cause): (Verdict, Cause)) {
        self.is_touched = false;
        self.said.verdict = verdict;
        self.said.cause = cause;
        self.said.revision = self.said.revision.saturating_add(1);
    }
}
