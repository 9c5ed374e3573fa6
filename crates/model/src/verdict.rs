//! Verdicts, their causes and the decisions that carry them.

use std::{fmt, net::IpAddr};

use crate::{AgentId, Hostname, Minute, NotAsked, OrgId, Outcome, ProbeId, UtcMicros};

/// What is held to be true of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Verdict {
    Up,
    Degraded,
    Down,
    /// Silence, blindness, or never asked. It is neither health nor failure.
    Unknown,
}

impl Verdict {
    pub const ALL: [Verdict; 4] = [Verdict::Up, Verdict::Degraded, Verdict::Down, Verdict::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Up => "up",
            Verdict::Degraded => "degraded",
            Verdict::Down => "down",
            Verdict::Unknown => "unknown",
        }
    }

    pub fn parse(text: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|v| v.as_str() == text)
    }

    /// Order of badness within a minute: Down before Degraded before Unknown before Up.
    pub fn badness(self) -> u8 {
        match self {
            Verdict::Up => 0,
            Verdict::Unknown => 1,
            Verdict::Degraded => 2,
            Verdict::Down => 3,
        }
    }

    #[must_use]
    pub fn worse(self, other: Verdict) -> Verdict {
        if self.badness() < other.badness() { other } else { self }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a verdict is what it is: the rule that decided, as a closed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Cause {
    /// Answers within all limits.
    Answering,
    /// Nothing answered: a round with its confirm burst, or 2 of the last 3 rounds.
    NoAnswer,
    /// Too many of the last packets were lost.
    Loss,
    /// Replies above the limit.
    Slow,
    /// One agent alone gets no answer while others do.
    Partial,
    /// One agent gets no answer and no other agent can see, so nobody confirms it.
    Unconfirmed,
    /// No round has come in yet.
    NotYet,
    /// No round came in for longer than an interval and timeout.
    Silent,
    /// No agent is assigned.
    NoAgent,
    /// The agent's heartbeat is missing.
    AgentOffline,
    /// Nothing outside the agent's own host answers it.
    AgentBlind,
    /// The agent could not ask.
    NotAsked(NotAsked),
    /// A person paused it.
    Paused,
    /// The server itself was not running.
    MonitorDown,
    /// The rounds are doubtful by the agent's own measure.
    Doubtful,
    /// The agent lost what it had learned. No verdict in force has it: only history knows.
    Dropped,
    /// What was recorded is not kept any more. No verdict in force has it: only history knows.
    Expired,
}

impl Cause {
    pub const ALL: [Cause; 22] = [
        Cause::Answering,
        Cause::NoAnswer,
        Cause::Loss,
        Cause::Slow,
        Cause::Partial,
        Cause::Unconfirmed,
        Cause::NotYet,
        Cause::Silent,
        Cause::NoAgent,
        Cause::AgentOffline,
        Cause::AgentBlind,
        Cause::NotAsked(NotAsked::NoRoute),
        Cause::NotAsked(NotAsked::Permission),
        Cause::NotAsked(NotAsked::Resolver),
        Cause::NotAsked(NotAsked::BufferFull),
        Cause::NotAsked(NotAsked::Socket),
        Cause::NotAsked(NotAsked::Overrun),
        Cause::Paused,
        Cause::MonitorDown,
        Cause::Doubtful,
        Cause::Dropped,
        Cause::Expired,
    ];

    /// The code as stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Answering => "answering",
            Cause::NoAnswer => "no_answer",
            Cause::Loss => "loss",
            Cause::Slow => "slow",
            Cause::Partial => "partial",
            Cause::Unconfirmed => "unconfirmed",
            Cause::NotYet => "not_yet",
            Cause::Silent => "silent",
            Cause::NoAgent => "no_agent",
            Cause::AgentOffline => "agent_offline",
            Cause::AgentBlind => "agent_blind",
            Cause::NotAsked(NotAsked::NoRoute) => "not_asked_no_route",
            Cause::NotAsked(NotAsked::Permission) => "not_asked_permission",
            Cause::NotAsked(NotAsked::Resolver) => "not_asked_resolver",
            Cause::NotAsked(NotAsked::BufferFull) => "not_asked_buffer_full",
            Cause::NotAsked(NotAsked::Socket) => "not_asked_socket",
            Cause::NotAsked(NotAsked::Overrun) => "not_asked_overrun",
            Cause::Paused => "paused",
            Cause::MonitorDown => "monitor_down",
            Cause::Doubtful => "doubtful",
            Cause::Dropped => "dropped",
            Cause::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason of a decision: the code for programs, the sentence with its numbers for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub cause: Cause,
    /// For example "5 of 5 packets and 3 of 3 confirm packets unanswered, asked by fra1".
    pub text: String,
}

/// Whose verdict it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Entity {
    /// What one agent holds of one probe.
    Pair { probe: ProbeId, agent: AgentId },
    /// What all agents together hold of one probe.
    Consensus { probe: ProbeId },
}

impl Entity {
    pub fn probe(self) -> ProbeId {
        match self {
            Entity::Pair { probe, .. } | Entity::Consensus { probe } => probe,
        }
    }

    pub fn agent(self) -> Option<AgentId> {
        match self {
            Entity::Pair { agent, .. } => Some(agent),
            Entity::Consensus { .. } => None,
        }
    }
}

/// The end of one verdict span and the start of the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictChange {
    pub entity: Entity,
    pub from: Verdict,
    pub to: Verdict,
    /// From when the new verdict is held. Never before the change before it.
    pub at: UtcMicros,
    pub why: Why,
}

/// What the rounds of one minute added up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MinuteCounts {
    /// Rounds that started in this minute and asked.
    pub rounds: u32,
    /// Rounds that could not ask.
    pub not_asked: u32,
    /// Packets of those rounds, confirm bursts apart.
    pub sent: u32,
    pub received: u32,
    /// Of the answered packets; all zero if nothing was received.
    pub rtt_us_min: u32,
    /// The sum of the rounds' means, each times its received packets: divide by `received`.
    pub rtt_us_sum: u64,
    pub rtt_us_max: u32,
}

impl MinuteCounts {
    /// Adds what a round learned that started in this minute.
    pub fn count(&mut self, outcome: &Outcome) {
        match *outcome {
            Outcome::NotAsked(_) => self.not_asked = self.not_asked.saturating_add(1),
            Outcome::Asked { sent, received, rtt, .. } => {
                let received = received.min(sent);
                let mut one = MinuteCounts {
                    rounds: 1,
                    sent: u32::from(sent),
                    received: u32::from(received),
                    ..MinuteCounts::default()
                };
                if let Some(rtt) = rtt.filter(|_| 0 < received) {
                    one.rtt_us_min = rtt.us_min;
                    one.rtt_us_sum = u64::from(rtt.us_mean) * u64::from(received);
                    one.rtt_us_max = rtt.us_max;
                }
                self.add(&one);
            }
        }
    }

    /// Adds what others counted of the same minute.
    pub fn add(&mut self, other: &MinuteCounts) {
        self.rtt_us_min = match (self.received, other.received) {
            (_, 0) => self.rtt_us_min,
            (0, _) => other.rtt_us_min,
            (_, _) => self.rtt_us_min.min(other.rtt_us_min),
        };
        self.rtt_us_max = self.rtt_us_max.max(other.rtt_us_max);
        self.rtt_us_sum = self.rtt_us_sum.saturating_add(other.rtt_us_sum);
        self.rounds = self.rounds.saturating_add(other.rounds);
        self.not_asked = self.not_asked.saturating_add(other.not_asked);
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
    }
}

/// The truth of one minute: the worst verdict held in it, with the counts behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinuteTruth {
    pub entity: Entity,
    pub minute: Minute,
    pub verdict: Verdict,
    pub cause: Cause,
    pub counts: MinuteCounts,
    /// 0 as first said; each revision by late rounds adds 1.
    pub revision: u16,
    /// What was said at revision 0, if this is a later one.
    pub said_first: Option<Verdict>,
}

/// What is held to be true of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum AgentState {
    /// Created, never heard.
    NeverSeen,
    Online,
    /// Its heartbeat is missing.
    Offline,
    /// Its heartbeat comes, but nothing outside its own host answers it.
    Blind,
}

impl AgentState {
    pub const ALL: [AgentState; 4] =
        [AgentState::NeverSeen, AgentState::Online, AgentState::Offline, AgentState::Blind];

    pub fn as_str(self) -> &'static str {
        match self {
            AgentState::NeverSeen => "never_seen",
            AgentState::Online => "online",
            AgentState::Offline => "offline",
            AgentState::Blind => "blind",
        }
    }

    pub fn parse(text: &str) -> Option<AgentState> {
        AgentState::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// A change of an agent's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentStateChange {
    pub agent: AgentId,
    pub from: AgentState,
    pub to: AgentState,
    pub at: UtcMicros,
    pub text: String,
}

/// An agent found that a name stands for another address than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameChange {
    pub probe: ProbeId,
    pub agent: AgentId,
    pub name: Hostname,
    pub from: IpAddr,
    pub to: IpAddr,
    /// The start of the first round that asked the new one.
    pub at: UtcMicros,
}

/// Something the engine decided. It is stored before anyone acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub org: OrgId,
    /// When it was decided; `kind` says from when it holds.
    pub decided_at: UtcMicros,
    pub kind: DecisionKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionKind {
    Verdict(VerdictChange),
    /// A minute ended, or late rounds revised one that had.
    Minute(MinuteTruth),
    Agent(AgentStateChange),
    Name(NameChange),
}

/// When the engine has work next, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    pub at: UtcMicros,
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are in databases, in the API and in scripts of operators.
    #[test]
    fn text_forms_are_pinned_and_read_back() {
        assert_eq!(Verdict::ALL.map(Verdict::as_str), ["up", "degraded", "down", "unknown"]);
        let states = ["never_seen", "online", "offline", "blind"];
        assert_eq!(AgentState::ALL.map(AgentState::as_str), states);
        let causes = "answering no_answer loss slow partial unconfirmed not_yet silent no_agent \
            agent_offline agent_blind not_asked_no_route not_asked_permission not_asked_resolver \
            not_asked_buffer_full not_asked_socket not_asked_overrun paused monitor_down doubtful \
            dropped expired";
        assert_eq!(Cause::ALL.map(Cause::as_str).join(" "), causes);
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::parse(verdict.as_str()), Some(verdict));
        }
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        }
        for state in AgentState::ALL {
            assert_eq!(AgentState::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn down_is_worse_than_degraded_than_unknown_than_up() {
        let mut all = Verdict::ALL;
        all.sort_by_key(|v| std::cmp::Reverse(v.badness()));
        let expected = [Verdict::Down, Verdict::Degraded, Verdict::Unknown, Verdict::Up];
        assert_eq!(all, expected);
        assert_eq!(Verdict::Up.worse(Verdict::Unknown), Verdict::Unknown);
    }
}
