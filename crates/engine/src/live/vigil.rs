//! Whether the monitor itself sees: without agents that do, nothing follows of the network.
//!
//! 1 - An agent sees as long as it is heard and its gateway answers it.
//! 2 - While none saw for two heartbeats, nothing is judged and nobody is told anything: what is
//!     missing may be the monitor's own way out.
//! 3 - When that lasts, the monitor is blind, and that is told once. It is told of nothing else.
//! 4 - Once an agent sees again, the others get a while to come back, so that none of them is
//!     called silent for what the monitor missed. Then it is told that the monitor sees, if it was
//!     told that it did not, and everything goes on where it was.
//! 5 - Whoever was never heard is not waited for: a monitor without agents is not blind.
//!
//! It asks no topology: a monitor that is cut off is so whatever is drawn of the network.

use std::collections::BTreeMap;

use model::{AgentId, UtcMicros};

/// Two heartbeats, so that the slowest of agents that fall silent together was missed once too.
const HELD_US: i64 = 10_000_000;
/// An uplink that is back within this is nobody's business.
const BLIND_US: i64 = 30_000_000;
/// An agent that comes back dials again at least this often, after an outage of minutes.
const RETURN_US: i64 = 60_000_000;

/// What people are told of the monitor itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorChange {
    Blind { since: UtcMicros, agents: usize },
    Sees { blind_since: UtcMicros },
}

/// The state of the monitor's own sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vigil {
    stage: Stage,
    /// People were told that it is blind, since when.
    told: Option<UtcMicros>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Sees,
    /// No agent sees.
    Dark,
    /// Since when one does again.
    Returns(UtcMicros),
}

impl Vigil {
    /// Goes on in a process that begins while people know that the monitor is blind.
    pub(super) fn restore(blind_since: Option<UtcMicros>) -> Vigil {
        let stage = if blind_since.is_some() { Stage::Dark } else { Stage::Sees };
        Vigil { stage, told: blind_since }
    }

    /// Since when people know that it is blind.
    pub(super) fn blind_since(&self) -> Option<UtcMicros> {
        self.told
    }

    /// Whether what was heard may be judged.
    pub(super) fn may_judge(&self) -> bool {
        self.stage == Stage::Sees
    }

    /// Takes when each agent saw last; says what people are told.
    pub(super) fn handle_seen(
        &mut self,
        seen: &BTreeMap<AgentId, UtcMicros>,
        now: UtcMicros,
    ) -> Option<MonitorChange> {
        // Condition 5.
        let newest = *seen.values().max()?;
        let is_fresh = |at: UtcMicros| now.0 - at.0 <= HELD_US;
        if !is_fresh(newest) {
            self.stage = Stage::Dark;
            if BLIND_US <= now.0 - newest.0 && self.told.is_none() {
                self.told = Some(newest);
                return Some(MonitorChange::Blind { since: newest, agents: seen.len() });
            }
            return None;
        }
        if self.stage == Stage::Dark {
            self.stage = Stage::Returns(now);
        }
        if let Stage::Returns(since) = self.stage
            && (RETURN_US <= now.0 - since.0 || seen.values().all(|at| is_fresh(*at)))
        {
            self.stage = Stage::Sees;
            return self.told.take().map(|blind_since| MonitorChange::Sees { blind_since });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Plays what is known of agents: `SECONDS | AGENT@SECONDS ...`, when each saw last. Shows
    /// whether is judged, and what is told.
    #[track_caller]
    fn check(told: Option<i64>, script: &str, expected: Expect) {
        let at = |seconds: i64| UtcMicros(seconds * SECOND);
        let mut vigil = Vigil::restore(told.map(at));
        let mut said = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (now, agents) = line.split_once('|').expect("a time and agents");
            let now = now.trim().parse().expect("seconds");
            let seen = agents.split_whitespace().map(|word| {
                let (agent, last) = word.split_once('@').expect("an agent and when");
                let agent = AgentId(agent.parse().expect("a number"));
                (agent, at(last.parse().expect("seconds")))
            });
            let change = vigil.handle_seen(&seen.collect(), at(now));
            let judges = if vigil.may_judge() { "judges" } else { "waits" };
            let told = match change {
                None => String::new(),
                Some(MonitorChange::Blind { since, agents }) => {
                    format!(", blind since {} s with {agents} agents", since.0 / SECOND)
                }
                Some(MonitorChange::Sees { blind_since }) => {
                    format!(", sees again, was blind since {} s", blind_since.0 / SECOND)
                }
            };
            said += &format!("{now} s {judges}{told}\n");
        }
        expected.assert_eq(&said);
    }

    #[test]
    fn when_no_agent_sees_one_message_says_so_and_one_that_they_see_again() {
        check(
            None,
            "
            100 | 1@100 2@97
            109 | 1@100 2@97
            111 | 1@100 2@97
            130 | 1@100 2@97
            200 | 1@100 2@97
            202 | 1@100 2@201
            203 | 1@203 2@201
            204 | 1@203 2@201
            ",
            expect![[r#"
                100 s judges
                109 s judges
                111 s waits
                130 s waits, blind since 100 s with 2 agents
                200 s waits
                202 s waits
                203 s judges, sees again, was blind since 100 s
                204 s judges
            "#]],
        );
    }

    #[test]
    fn one_agent_that_sees_is_enough() {
        check(
            None,
            "
            100 | 1@100 2@100
            140 | 1@100 2@140
            170 | 1@100 2@141
            180 | 1@100 2@141
            ",
            expect![[r#"
                100 s judges
                140 s judges
                170 s waits
                180 s waits, blind since 141 s with 2 agents
            "#]],
        );
    }

    #[test]
    fn a_short_gap_is_told_to_nobody_and_others_get_a_while_to_come_back() {
        check(
            None,
            "
            100 | 1@100 2@100
            115 | 1@100 2@100
            116 | 1@116 2@100
            170 | 1@170 2@100
            176 | 1@175 2@100
            ",
            expect![[r#"
                100 s judges
                115 s waits
                116 s waits
                170 s waits
                176 s judges
            "#]],
        );
    }

    #[test]
    fn a_monitor_that_goes_dark_again_while_it_comes_back_is_told_once() {
        check(
            None,
            "
            100 | 1@100 2@100
            130 | 1@100 2@100
            140 | 1@140 2@100
            155 | 1@140 2@100
            180 | 1@140 2@100
            181 | 1@181 2@181
            ",
            expect![[r#"
                100 s judges
                130 s waits, blind since 100 s with 2 agents
                140 s waits
                155 s waits
                180 s waits
                181 s judges, sees again, was blind since 100 s
            "#]],
        );
    }

    #[test]
    fn after_a_restart_it_is_blind_until_an_agent_is_heard_and_nobody_is_told_again() {
        check(
            Some(100),
            "
            300 |
            340 | 1@100
            350 | 1@350
            ",
            expect![[r#"
                300 s waits
                340 s waits
                350 s judges, sees again, was blind since 100 s
            "#]],
        );
        check(None, "300 |", expect!["300 s judges\n"]);
    }
}
