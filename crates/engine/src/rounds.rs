//! Rounds on their way in: what they prove of the agent's sight, then what they say of the probe.

use model::{
    Address, AgentId, AgentState, Cause, Decision, DecisionKind, NameAnswer, NameChange, NameSeen,
    Outcome, ProbeId, Round, RoundBatch, RoundFlags, Subject, UtcMicros, Verdict,
};

use crate::{
    defect::Defect,
    engine::{Engine, frame, pair_facts, rules_of, slot},
    inventory::refresh_sight,
    lane::Way,
    minutes::REVISABLE_MINUTES_MAX,
    rules::{
        GRACE_US, MINUTE_US, NEVER, Rules, WITNESS_INTERVAL_US, WITNESS_SPAN_US, after, us_since,
    },
    sight::Sight,
    state::{Agent, Decisions, Frame, Pair, Probe},
    watch::Watch,
    why,
};

/// After this long nothing can be revised any more.
const REVISABLE_US: i64 = REVISABLE_MINUTES_MAX * MINUTE_US;

/// Rounds whose pairs are fetched from memory together: enough to wait for many lines at once,
/// few enough to be in the first cache still when their turn comes.
const WARMED_ROUNDS: usize = 16;

/// What a round got back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Every packet was answered.
    Whole,
    Partly,
    /// Only the confirm burst was answered.
    ConfirmOnly,
    None,
    /// It could not ask.
    NotAsked,
}

pub(crate) fn answer_of(outcome: &Outcome) -> Answer {
    match *outcome {
        Outcome::NotAsked(_) | Outcome::Asked { sent: 0, .. } => Answer::NotAsked,
        Outcome::Asked { sent, received, .. } if sent <= received => Answer::Whole,
        Outcome::Asked { received, .. } if 0 < received => Answer::Partly,
        Outcome::Asked { confirm, .. } if 0 < confirm.received => Answer::ConfirmOnly,
        Outcome::Asked { .. } => Answer::None,
    }
}

/// Tells the sight what a round of a target outside shows.
///
/// Rounds to the agent's own host show nothing; doubtful unanswered ones are the agent's own fault
/// by its own word.
pub(crate) fn note_probe(sight: &mut Sight, round: &Round, watch: &Watch, rules: &Rules) {
    if round.flags.contains(RoundFlags::LOCAL) {
        return;
    }
    match answer_of(&round.outcome) {
        Answer::Whole => sight.note_answer(round.subject, round.at, true),
        Answer::Partly => sight.note_answer(round.subject, round.at, false),
        Answer::ConfirmOnly => {
            sight.note_answer(round.subject, after(round.at, rules.round_us), false);
        }
        Answer::None => {
            if !round.flags.contains(RoundFlags::DOUBTFUL) {
                let until = after(round.at, rules.round_us);
                sight.note_unanswered(round.at, until, watch.expects_answer());
            }
        }
        Answer::NotAsked => (),
    }
}

/// Tells the sight what a round of the gateway or a witness shows.
pub(crate) fn note_witness(sight: &mut Sight, round: &Round) {
    if round.flags.contains(RoundFlags::LOCAL) {
        return;
    }
    match answer_of(&round.outcome) {
        Answer::Whole => sight.note_answer(round.subject, round.at, true),
        Answer::Partly | Answer::ConfirmOnly => {
            sight.note_answer(round.subject, round.at, false);
        }
        Answer::None => sight.note_witness_unanswered(round.subject, round.at),
        Answer::NotAsked => (),
    }
}

/// Whether a round speaks for the seconds after it.
///
/// An unanswered one does while a verdict is held: it says nothing new. With none it leaves all
/// open until it convicts: the agent may not see.
pub(crate) fn speaks(answer: Answer, watch: &Watch) -> bool {
    match answer {
        Answer::NotAsked => false,
        Answer::None => watch.verdict() != Verdict::Unknown,
        Answer::Whole | Answer::Partly | Answer::ConfirmOnly => true,
    }
}

/// From when a round speaks, given what spoke before: evidence that joins it leaves no gap.
///
/// It is the start of the round before, not the end of its evidence: that may have been cut short
/// because its agent went away, or fallen into minutes that were skipped while the server was down.
pub(crate) fn speaks_from(watch: &Watch, at: UtcMicros, rules: &Rules) -> UtcMicros {
    let until = watch.evidence_until();
    if until == NEVER || rules.join_us < us_since(at, until) {
        at
    } else if watch.not_asked().is_none() {
        watch.last_at().min(at)
    } else {
        until.min(at)
    }
}

impl Engine {
    /// Takes in rounds of one agent, in the order in which they arrived.
    ///
    /// Rounds of probes that are not assigned to the agent are counted and dropped.
    pub fn handle_batch(&mut self, batch: &RoundBatch, now: UtcMicros) {
        let now = self.advance(now);
        let count = u64::try_from(batch.rounds.len()).unwrap_or(u64::MAX);
        self.state.counters.rounds_total += count;
        let taken = slot(&mut self.state.agents, batch.agent.0).and_then(Option::take);
        let Some(mut agent) = taken else {
            self.state.counters.stray_rounds_total += count;
            return;
        };
        if agent.is_sight_stale {
            refresh_sight(self, &mut agent, batch.agent);
        }
        for seen in &batch.names {
            self.note_name(batch.agent, seen);
        }
        let runs_max = self.state.runs_max();
        for rounds in batch.rounds.chunks(WARMED_ROUNDS) {
            self.warm(rounds, batch.agent);
            for round in rounds {
                let round = Round { at: round.at.min(now), ..*round };
                match round.subject {
                    Subject::Probe(id) => self.hear(&mut agent, batch.agent, id, &round, runs_max),
                    Subject::Gateway | Subject::Witness(_) => {
                        self.hear_witness(&mut agent, batch.agent, &round);
                    }
                }
            }
        }
        self.look_for_blindness(&mut agent, batch.agent);
        self.finish_late(&mut agent, batch.agent, runs_max);
        let lane_at = agent.lane.as_ref().map(|lane| lane.due_at());
        if let Some(slot) = slot(&mut self.state.agents, batch.agent.0) {
            *slot = Some(agent);
        }
        if let Some(at) = lane_at {
            self.arm_agent(batch.agent, at);
        }
        self.settle_urgent();
    }

    /// Says that a probe's name stands for another address than before.
    ///
    /// 1 - What it was before is what the agent says; if the agent does not know, because it
    ///     started anew, then what it had said last, unless that is of a later time.
    /// 2 - What comes late is said as of its own time, and does not become what was said last.
    /// 3 - Of a probe without a name, or one that the agent is not to ask, nothing is said.
    fn note_name(&mut self, agent: AgentId, seen: &NameSeen) {
        let at = seen.at.min(self.state.now);
        let NameAnswer { address: to, was } = seen.answer;
        let probe = slot(&mut self.state.probes, seen.probe.0).and_then(Option::as_mut);
        let found = probe.and_then(|probe| Some((probe.index_of(agent)?, probe)));
        let Some((index, probe)) = found else {
            return;
        };
        let (Ok(Address::Name(name)), Some(pair)) =
            (Address::parse(&probe.address), probe.pairs.get_mut(index))
        else {
            return;
        };
        let last = pair.asked.as_deref().filter(|(since, _)| *since <= at).map(|(_, last)| *last);
        if last.is_some() || pair.asked.is_none() {
            pair.asked = Some(Box::new((at, to)));
        }
        if let Some(from) = was.or(last).filter(|from| *from != to) {
            let change = NameChange { probe: seen.probe, agent, name, from, to, at };
            let (decided_at, kind) = (self.state.now, DecisionKind::Name(change));
            self.decisions.push_back(Decision { org: probe.org, decided_at, kind });
        }
    }

    /// Looks at the pairs of some rounds, for the processor to fetch them all at once.
    ///
    /// The pairs of a large fleet are in no cache, and a round waits for several lines of its pair,
    /// one after the other. Looked at beforehand they come side by side: measured, a batch over
    /// 300,000 pairs takes less than half the time.
    fn warm(&self, rounds: &[Round], agent: AgentId) {
        let mut sum = 0;
        for round in rounds {
            if let Subject::Probe(id) = round.subject
                && let Some(probe) = self.state.probe(id)
                && let Some(pair) = probe.index_of(agent).and_then(|index| probe.pairs.get(index))
            {
                sum ^= pair.watch.last_at().0 ^ i64::from(pair.open[0].counts().rounds);
            }
        }
        std::hint::black_box(sum);
    }

    fn hear_witness(&mut self, agent: &mut Agent, id: AgentId, round: &Round) {
        let age_us = us_since(self.state.now, round.at);
        let late_after_us = WITNESS_INTERVAL_US + WITNESS_SPAN_US + GRACE_US;
        if !agent.is_heard() || late_after_us < age_us {
            if age_us <= REVISABLE_US {
                self.hear_late_witness(agent, round, Way::Late);
            }
            return;
        }
        if round.at < agent.heard_since.max(self.state.monitor.started_at) {
            self.hear_late_witness(agent, round, Way::Live);
        }
        let seen_before = agent.sight.seen_at();
        note_witness(&mut agent.sight, round);
        notice_sight(agent, id, seen_before, self.state.now, &mut self.decisions);
    }

    /// Takes in a round of a probe, if it is in time.
    ///
    /// 1 - A round is late when it comes more than the evidence's span and the grace after its
    ///     start, when its agent is not heard, or when a newer one of its pair was heard before:
    ///     then it is history's.
    /// 2 - A lost round that started before its agent was heard (again), or before the server was
    ///     there, is history's too: nobody knows whether the agent saw then.
    /// 3 - A round of a time that was already heard changes nothing.
    fn hear(
        &mut self,
        agent: &mut Agent,
        agent_id: AgentId,
        id: ProbeId,
        round: &Round,
        runs_max: usize,
    ) {
        let now = self.state.now;
        let probe = slot(&mut self.state.probes, id.0).and_then(Option::as_mut);
        let found = probe.and_then(|probe| Some((probe.index_of(agent_id)?, probe)));
        let Some((index, probe)) = found else {
            self.state.counters.stray_rounds_total += 1;
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let Some(pair) = probe.pairs.get_mut(index) else {
            return;
        };
        if round.at == pair.watch.last_at() {
            self.state.counters.repeated_rounds_total += 1;
            return;
        }
        let age_us = us_since(now, round.at);
        let is_older = round.at < pair.watch.last_at();
        let is_late = is_older || !agent.is_heard() || rules.late_after_us() < age_us;
        if is_late && (is_older || !self.defects.has(Defect::LateMovesLive)) {
            self.state.counters.late_rounds_total += 1;
            if age_us <= REVISABLE_US {
                self.hear_late(agent, (agent_id, id), round, Way::Late, runs_max);
            } else {
                self.state.counters.unrevisable_rounds_total += 1;
            }
            return;
        }
        // In time for the verdict of a slow tier, yet of a minute that is closed, or of a time
        // when nobody heard the agent: for history too.
        let is_unheard = round.at < agent.heard_since.max(self.state.monitor.started_at);
        let is_past = is_unheard || round.at.minute() < probe.oldest_at(now);
        if let Some(lane) = agent.lane.as_deref_mut()
            && let Some(pair) = probe.pairs.get_mut(index)
        {
            pair.remember(lane, id, round.at, &rules);
        }
        if is_past {
            self.hear_late(agent, (agent_id, id), round, Way::Live, runs_max);
        }
        if is_unheard && answer_of(&round.outcome) == Answer::None {
            return;
        }
        let frame = frame(now, &self.state.monitor, runs_max, self.defects);
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        probe.roll(&rules, &frame, &mut self.decisions);
        if !is_past && let Some(pair) = probe.pairs.get_mut(index) {
            pair.open_mut(round.at.minute()).count(round);
        }
        let from = (agent, agent_id);
        if probe.hear_live(index, from, round, &rules, &frame, &mut self.decisions) {
            self.state.urgent.insert(id);
        }
    }

    /// Calls an agent blind, and has convictions looked at if it has seen something new.
    fn look_for_blindness(&mut self, agent: &mut Agent, id: AgentId) {
        let now = self.state.now;
        if agent.state == AgentState::Online
            && let Some(dark_us) = agent.sight.blind_us()
            && !self.defects.has(Defect::BlindBelieved)
        {
            let text = why::agent_blind(agent.sight.seen_at(), dark_us, now);
            agent.turn(id, AgentState::Blind, text, now, &mut self.decisions);
            agent.waiting.clear();
            self.state.urgent.extend(&agent.probes);
        }
        let seen_at = agent.sight.seen_at().unwrap_or(NEVER);
        if agent.looked_at < seen_at {
            agent.looked_at = seen_at;
            self.state.urgent.extend(&agent.waiting);
        }
    }
}

impl Probe {
    /// Takes in a round that is in time; returns whether the probe is to be looked at.
    fn hear_live(
        &mut self,
        index: usize,
        (agent, agent_id): (&mut Agent, AgentId),
        round: &Round,
        rules: &Rules,
        frame: &Frame<'_>,
        decisions: &mut Decisions,
    ) -> bool {
        let (oldest, newest) = (self.oldest, self.newest);
        let Some(pair) = self.pairs.get_mut(index) else {
            return false;
        };
        let seen_before = agent.sight.seen_at();
        note_probe(&mut agent.sight, round, &pair.watch, rules);
        notice_sight(agent, agent_id, seen_before, frame.now, decisions);
        if !is_evidence(agent, round) || self.is_paused {
            return false;
        }
        let had_answered = pair.watch.has_answered_outside();
        let from = speaks_from(&pair.watch, round.at, rules);
        let does_speak = speaks(answer_of(&round.outcome), &pair.watch);
        let effect = pair.watch.handle_round(round, rules);
        if does_speak {
            let to = after(round.at, rules.evidence_us);
            pair.open_mut(oldest).cover(oldest, from, to);
            pair.open_mut(newest).cover(newest, from, to);
        }
        if !had_answered && pair.watch.has_answered_outside() {
            agent.sight.note_target(rules.interval_us + rules.round_us);
        }
        let mut is_urgent = effect.needs_settling;
        if let Some((sent, lost)) = effect.pooled {
            is_urgent |= self.pool.pass(round.at, rules.window_us);
            is_urgent |= self.pool.feed(&mut pair.share, sent, lost, rules.is_fast());
        }
        if does_speak && effect.turn.is_none() && !pair.open_mut(newest).is_held() {
            let (verdict, cause) = (pair.watch.verdict(), pair.watch.cause());
            if verdict != Verdict::Unknown {
                // Carried over from before the server was away, and true still.
                pair.open_mut(newest).note_held(verdict, cause);
                is_urgent = true;
            }
        }
        if let Some(turn) = effect.turn {
            let why = why_of(turn, round, pair, agent, rules, frame.now);
            self.turn_pair(index, turn, why, frame, decisions);
            is_urgent = true;
        }
        is_urgent
    }
}

/// Ends an agent's blindness if something outside answered a newer round than before.
fn notice_sight(
    agent: &mut Agent,
    id: AgentId,
    before: Option<UtcMicros>,
    now: UtcMicros,
    decisions: &mut Decisions,
) {
    if agent.state == AgentState::Blind && before < agent.sight.seen_at() {
        agent.sight.regain();
        let text = why::agent_sees(agent.sight.seen(), agent.sight.regained_at(), now);
        agent.turn(id, AgentState::Online, text, now, decisions);
    }
}

/// Whether a round may speak for its target: not one of an agent that is blind, nor a lost one
/// from a blindness that is over.
fn is_evidence(agent: &Agent, round: &Round) -> bool {
    agent.state != AgentState::Blind
        && (answer_of(&round.outcome) != Answer::None || agent.sight.regained_at() <= round.at)
}

fn why_of(
    (verdict, cause): (Verdict, Cause),
    round: &Round,
    pair: &Pair,
    agent: &Agent,
    rules: &Rules,
    now: UtcMicros,
) -> model::Why {
    let facts = pair_facts(pair, Some(agent), rules, now);
    if verdict == Verdict::Up {
        why::answered(round.outcome, cause, &facts)
    } else {
        why::pair(verdict, cause, &facts)
    }
}
