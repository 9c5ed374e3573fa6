//! Turns: agents' signs of life, deadlines, and the look at a probe after anything changed.

use model::{
    AgentEvent, AgentId, AgentState, Capabilities, Cause, MonitorEvent, ProbeId, UtcMicros, Verdict,
};

use crate::{
    defect::Defect,
    engine::{Engine, Timer, frame, pair_facts, rules_of, slot},
    rules::{GRACE_US, HEARTBEAT_US, OFFLINE_AFTER_US, Rules, after},
    sight::Proof,
    state::{Agent, DOWNTIMES_MAX, Monitor, Pair},
    why,
};

/// Deadlines, and probes looked at, in one turn: 5 ms of work if each of them changes.
const SETTLED_PER_TURN_MAX: usize = 500;
/// Probes whose minute is closed in one turn; each makes a decision per agent and one more.
const CLOSED_PER_TURN_MAX: usize = 500;
/// Skipped minutes said in one turn, counted like closed ones.
const SKIPPED_PER_TURN_MAX: i64 = 500;

/// What a pair should hold, and when to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outlook {
    turn: Option<(Verdict, Cause)>,
    again_at: Option<UtcMicros>,
}

impl Engine {
    /// Takes in what the server noticed about an agent.
    pub fn handle_agent(&mut self, id: AgentId, event: AgentEvent, now: UtcMicros) {
        let now = self.advance(now);
        match event {
            AgentEvent::Hello(capabilities) => self.handle_hello(id, capabilities, now),
            AgentEvent::Heartbeat => self.handle_heartbeat(id, now),
            // It stays trusted until its heartbeat is overdue: a stream that ends is often back
            // within seconds.
            AgentEvent::Disconnected => (),
        }
        self.settle_urgent();
    }

    /// What it can ask decides what it is given to ask.
    fn handle_hello(&mut self, id: AgentId, capabilities: Capabilities, now: UtcMicros) {
        let Some(agent) = self.state.agent_mut(id) else {
            return;
        };
        let was = std::mem::replace(&mut agent.capabilities, capabilities);
        let is_concerned = agent.is_active && was != capabilities;
        let (org, is_new) = (agent.org, agent.state == AgentState::NeverSeen);
        self.handle_heartbeat(id, now);
        if is_concerned && !is_new {
            self.reassign(now, |probe| probe.org == org);
        }
    }

    fn handle_heartbeat(&mut self, id: AgentId, now: UtcMicros) {
        let Some(agent) = slot(&mut self.state.agents, id.0).and_then(Option::as_deref_mut) else {
            return;
        };
        let heard_before = std::mem::replace(&mut agent.heard_at, now);
        let was_awaited = std::mem::take(&mut agent.is_awaited);
        let was = agent.state;
        match was {
            AgentState::Online | AgentState::Blind => return,
            AgentState::NeverSeen | AgentState::Offline => (),
        }
        let was_offline = (was == AgentState::Offline).then_some(heard_before);
        let text = why::agent_online(was_offline, was_awaited, now);
        agent.turn(id, AgentState::Online, text, now, &mut self.decisions);
        agent.begin_lane(now);
        agent.sight.start_anew(now);
        agent.heard_since = now;
        self.state.urgent.extend(&agent.probes);
        let is_active = agent.is_active;
        let org = agent.org;
        self.arm_agent(id, after(now, OFFLINE_AFTER_US));
        if was == AgentState::NeverSeen && is_active {
            // Now it is preferred to agents that were never heard.
            self.reassign(now, |probe| probe.org == org);
        }
    }

    /// Takes in what the server noticed about itself.
    ///
    /// 1 - Started: verdicts stay as they are, and every agent gets three heartbeats to come back.
    ///     Minutes in which the server was not running are Unknown with that cause until late
    ///     rounds revise them.
    /// 2 - The clock stepped: the same, because nothing was heard in the time that never was. After
    ///     a step back what was heard is moved along, so that new rounds are not older than it.
    pub fn handle_monitor(&mut self, event: MonitorEvent, now: UtcMicros) {
        let now = self.advance(now);
        let is_start = matches!(event, MonitorEvent::Started { .. });
        match event {
            MonitorEvent::Started { down_since } => {
                self.state.monitor.started_at = now;
                let agents = self.state.agents.iter_mut().flatten();
                agents.filter(|agent| agent.is_heard()).for_each(|agent| agent.begin_lane(now));
                let downtimes = &mut self.state.monitor.downtimes;
                if let Some(since) = down_since.filter(|&since| since < now) {
                    if DOWNTIMES_MAX <= downtimes.len() {
                        downtimes.remove(0);
                    }
                    downtimes.push((since, now));
                }
            }
            MonitorEvent::ClockStepped { forward: true, .. } => (),
            MonitorEvent::ClockStepped { forward: false, by } => {
                let us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
                for agent in self.state.agents.iter_mut().flatten() {
                    agent.sight.shift_back(us);
                }
                for probe in self.state.probes.iter_mut().flatten() {
                    for pair in &mut probe.pairs {
                        pair.watch.shift_back(us);
                    }
                }
            }
        }
        self.state.monitor.resumed_at = now;
        for agent in self.state.agents.iter_mut().flatten().filter(|agent| agent.is_heard()) {
            agent.heard_at = now;
            agent.is_awaited |= is_start;
            agent.sight.start_anew(now);
        }
        self.settle_urgent();
    }

    /// Does what is due: deadlines, probes to look at, minutes to close. Bounded; what is left is
    /// named by [`Engine::poll_timeout`].
    pub fn handle_timeout(&mut self, now: UtcMicros) {
        let now = self.advance(now);
        for _ in 0..SETTLED_PER_TURN_MAX {
            let Some(&(at, timer)) = self.timers.first().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Agent(id) => self.handle_agent_due(id, now),
                Timer::Probe(id) => {
                    let probe = slot(&mut self.state.probes, id.0).and_then(Option::as_mut);
                    if let Some(probe) = probe {
                        probe.armed = None;
                        self.state.urgent.insert(id);
                    }
                }
            }
        }
        self.settle_urgent();
        self.close_minutes(now);
        self.say_skipped(now);
    }

    fn handle_agent_due(&mut self, id: AgentId, now: UtcMicros) {
        let runs_max = self.state.runs_max();
        let Some(mut agent) = slot(&mut self.state.agents, id.0).and_then(Option::take) else {
            return;
        };
        agent.armed = None;
        let offline_at = after(agent.heard_at, OFFLINE_AFTER_US);
        if agent.is_heard() && offline_at <= now {
            let text = why::agent_offline(agent.heard_at, agent.is_awaited, now);
            agent.turn(id, AgentState::Offline, text, now, &mut self.decisions);
            agent.waiting.clear();
            self.state.urgent.extend(&agent.probes);
        }
        let lane_at = self.look_at_lane(&mut agent, id, runs_max);
        let again_at = agent.is_heard().then_some(offline_at);
        if let Some(slot) = slot(&mut self.state.agents, id.0) {
            *slot = Some(agent);
        }
        if let Some(at) = again_at.into_iter().chain(lane_at).min() {
            self.arm_agent(id, at);
        }
    }

    /// Looks at every probe that something happened to, at most a turn's worth.
    pub(crate) fn settle_urgent(&mut self) {
        for _ in 0..SETTLED_PER_TURN_MAX {
            let Some(id) = self.state.urgent.pop_first() else {
                return;
            };
            self.settle(id);
        }
    }

    /// Brings the verdicts of one probe up to now: each pair's, then that of all.
    fn settle(&mut self, id: ProbeId) {
        let now = self.state.now;
        let runs_max = self.state.runs_max();
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        let frame = frame(now, &self.state.monitor, runs_max, self.defects);
        let rules = rules_of(&self.state.tiers, probe.tier);
        probe.roll(&rules, &frame, &mut self.decisions);
        if probe.unsaid.is_some() {
            self.state.unsaid.insert(id);
        }
        let mut again_at: Option<UtcMicros> = None;
        for index in 0..probe.pairs.len() {
            let Some(pair) = probe.pairs.get(index) else {
                continue;
            };
            let agent = slot(&mut self.state.agents, pair.agent.0).and_then(Option::as_deref_mut);
            let Some(agent) = agent else {
                continue;
            };
            let outlook = outlook(pair, agent, probe.is_paused, &rules, &frame);
            let (verdict, cause) =
                outlook.turn.unwrap_or((pair.watch.verdict(), pair.watch.cause()));
            if outlook.turn.is_none() && pair.watch.conviction().is_some() {
                agent.waiting.insert(id);
            } else {
                agent.waiting.remove(&id);
            }
            if outlook.turn.is_some() {
                let facts = pair_facts(pair, Some(agent), &rules, now);
                let why = why::pair(verdict, cause, &facts);
                probe.turn_pair(index, (verdict, cause), why, &frame, &mut self.decisions);
            }
            again_at = again_at.into_iter().chain(outlook.again_at).min();
        }
        self.settle_consensus(id);
        if let Some(at) = again_at {
            self.arm_probe(id, at);
        }
    }

    fn settle_consensus(&mut self, id: ProbeId) {
        let Some(probe) = self.state.probe(id) else {
            return;
        };
        let is_left_to = !probe.is_paused
            && probe.pairs.iter().all(|pair| !pair.has_judged)
            && probe.pairs.iter().any(|pair| self.state.is_awaited(pair));
        let until = probe.words(self.state.now).map(|(_, word)| word.until()).min();
        if let Some(at) = until.filter(|_| is_left_to) {
            self.arm_probe(id, at);
        } else if let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) {
            probe.forget_words();
        }
        let Some(probe) = self.state.probe(id) else {
            return;
        };
        let agreement = self.state.agreement(probe, self.defects);
        if (probe.verdict, probe.cause) == (agreement.verdict, agreement.cause) {
            if let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) {
                probe.renew_consensus();
            }
            return;
        }
        let why = self.state.why_consensus(probe, &agreement);
        let frame = frame(self.state.now, &self.state.monitor, self.state.runs_max(), self.defects);
        if let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) {
            probe.turn_consensus(agreement, why, &frame, &mut self.decisions);
        }
    }

    /// Arms the closing of a probe's oldest open minute.
    pub(crate) fn arm_closing(&mut self, id: ProbeId) {
        let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
            return;
        };
        let rules = rules_of(&self.state.tiers, probe.tier);
        let at = after(probe.oldest.end(), rules.close_delay_us);
        if let Some(was) = probe.closing.replace(at) {
            self.closings.remove(&(was, id));
        }
        self.closings.insert((at, id));
    }

    fn close_minutes(&mut self, now: UtcMicros) {
        let runs_max = self.state.runs_max();
        for _ in 0..CLOSED_PER_TURN_MAX {
            let Some(&(at, id)) = self.closings.first().filter(|(at, _)| *at <= now) else {
                return;
            };
            self.closings.remove(&(at, id));
            let Some(probe) = slot(&mut self.state.probes, id.0).and_then(Option::as_mut) else {
                continue;
            };
            probe.closing = None;
            let rules = rules_of(&self.state.tiers, probe.tier);
            let frame = frame(now, &self.state.monitor, runs_max, self.defects);
            probe.roll(&rules, &frame, &mut self.decisions);
            let due_at = after(probe.oldest.end(), rules.close_delay_us);
            if probe.oldest < probe.newest && due_at <= now {
                probe.close_oldest(&rules, &frame, &mut self.decisions);
            }
            if probe.unsaid.is_some() {
                self.state.unsaid.insert(id);
            }
            self.arm_closing(id);
        }
    }

    fn say_skipped(&mut self, now: UtcMicros) {
        let mut left = SKIPPED_PER_TURN_MAX;
        while 0 < left {
            let Some(&id) = self.state.unsaid.first() else {
                return;
            };
            let probe = slot(&mut self.state.probes, id.0).and_then(Option::as_mut);
            let is_done = probe.is_none_or(|probe| {
                let minutes = probe.unsaid.map_or(0, |(from, end)| end.0 - from.0);
                let is_done = probe.say_skipped(left, now, &mut self.decisions);
                left -= minutes.max(1);
                is_done
            });
            if is_done {
                self.state.unsaid.remove(&id);
            }
        }
    }
}

/// What a pair should hold by what is known of its agent and by the time.
///
/// 1 - Paused: Unknown at once; unpaused: not asked yet.
/// 2 - Its agent is offline: Unknown, `AgentOffline`. Its agent is blind: Unknown, `AgentBlind`,
///     unless it could not even ask.
/// 3 - Its rounds amount to Down and the agent is proven to see: Down.
/// 4 - Its newest round could not ask and nothing speaks any more: Unknown with that reason.
/// 5 - Nothing speaks for longer than the grace, counted from when the agent and the server were
///     there to hear it: Unknown, `Silent`. A pair that was never asked stays `NotYet`.
/// 6 - While a heartbeat of its agent is overdue, silence is not called so: the agent may be gone,
///     and the next heartbeat or its absence will tell.
fn outlook(
    pair: &Pair,
    agent: &Agent,
    is_paused: bool,
    rules: &Rules,
    frame: &crate::state::Frame<'_>,
) -> Outlook {
    let watch = &pair.watch;
    let held = (watch.verdict(), watch.cause());
    let to = |verdict, cause| Outlook {
        turn: Some((verdict, cause)).filter(|&turn| turn != held),
        again_at: None,
    };
    if is_paused {
        return to(Verdict::Unknown, Cause::Paused);
    }
    match agent.state {
        AgentState::NeverSeen if watch.cause() != Cause::Paused => {
            return Outlook { turn: None, again_at: None };
        }
        AgentState::Offline if frame.defects.has(Defect::OfflineIsDown) => {
            return to(Verdict::Down, Cause::NoAnswer);
        }
        AgentState::Offline => return to(Verdict::Unknown, Cause::AgentOffline),
        AgentState::Blind if matches!(watch.cause(), Cause::NotAsked(_)) => {
            return Outlook { turn: None, again_at: None };
        }
        AgentState::Blind => return to(Verdict::Unknown, Cause::AgentBlind),
        AgentState::NeverSeen | AgentState::Online => (),
    }
    if watch.cause() == Cause::Paused {
        return to(Verdict::Unknown, Cause::NotYet);
    }
    let mut outlook = silence(pair, agent, rules, frame.monitor, frame);
    if outlook.turn.is_none()
        && let Some(conviction) = watch.conviction()
    {
        let proof = if frame.defects.has(Defect::BlindBelieved) {
            Proof::Proven
        } else {
            agent.sight.proof(&conviction, rules, frame.now)
        };
        match proof {
            Proof::Proven => return to(Verdict::Down, Cause::NoAnswer),
            Proof::Later(at) => outlook.again_at = outlook.again_at.into_iter().chain([at]).min(),
            Proof::Open => (),
        }
    }
    outlook
}

fn silence(
    pair: &Pair,
    agent: &Agent,
    rules: &Rules,
    monitor: &Monitor,
    frame: &crate::state::Frame<'_>,
) -> Outlook {
    let watch = &pair.watch;
    let is_expected = watch.verdict() != Verdict::Unknown
        || matches!(watch.cause(), Cause::AgentOffline | Cause::AgentBlind);
    if !is_expected || frame.defects.has(Defect::SilenceIsUp) {
        return Outlook { turn: None, again_at: None };
    }
    let listening_since = agent.since.max(monitor.resumed_at);
    let (at, cause) = match watch.not_asked() {
        Some(reason) => (watch.evidence_until(), Cause::NotAsked(reason)),
        None => {
            let until = watch.evidence_until().max(after(listening_since, rules.evidence_us));
            (after(until, GRACE_US), Cause::Silent)
        }
    };
    let heard_until = after(agent.heard_at, HEARTBEAT_US);
    if at <= frame.now && cause == Cause::Silent && heard_until < frame.now {
        Outlook { turn: None, again_at: Some(after(agent.heard_at, OFFLINE_AFTER_US)) }
    } else if at <= frame.now {
        Outlook { turn: Some((Verdict::Unknown, cause)), again_at: None }
    } else {
        Outlook { turn: None, again_at: Some(at) }
    }
}
