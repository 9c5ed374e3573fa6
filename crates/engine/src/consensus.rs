//! What all agents together hold of one probe.
//!
//! It sees verdicts, not rounds; of packets it knows only what the pooled loss test says.

use model::{AgentId, Cause, Verdict};

use crate::defect::{Defect, Defects};

/// What one assigned agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) agent: AgentId,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    /// It has judged since it was assigned, since the address was changed or a pause ended.
    pub(crate) has_judged: bool,
    /// It has not, but it is heard and its first rounds are on their way.
    pub(crate) is_awaited: bool,
}

/// What all hold before anybody has judged.
pub(crate) const NOTHING_HELD: (Verdict, Cause) = (Verdict::Unknown, Cause::NotYet);

/// What the pooled loss test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooled {
    Calm,
    /// One agent's packets alone raised it.
    One(AgentId),
    Many,
}

/// The verdict of all, its cause, and the agent that the sentence must name, if it is one's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) named: Option<AgentId>,
}

/// Joins what the assigned agents hold, given what all hold so far.
///
/// An agent sees the probe if it holds any verdict other than Unknown. One that has not judged yet
/// has no voice: that it joins changes nothing until it has an opinion. Only while all hold
/// nothing, or Down is not confirmed, the first rounds of one that is heard are waited for.
///
/// 1 - Nobody sees it: Unknown with the most telling cause of those that have a voice.
/// 2 - Two or more that see it say Down, or one if only one has a voice: Down. Down stays while
///     one says so and nobody sees otherwise: that another went away makes nothing better.
/// 3 - One says Down and others see it answer: Degraded, `Partial`, naming the one.
/// 4 - One says Down and nobody else can see: Degraded, `Unconfirmed`, naming the one.
/// 5 - Two or more say Degraded, or the only one that sees it: Degraded with that cause; loss
///     before slowness.
/// 6 - The pooled test is raised by several agents' packets, or nobody else sees it: Degraded,
///     `Loss`.
/// 7 - One of several says Degraded, or alone raised the pooled test: Degraded, `Partial`, naming
///     it. The cause keeps it apart from what everybody sees, so that a wall shows it and an alert
///     rule can leave it out.
/// 8 - Otherwise Up.
pub(crate) fn agree(
    (held, why_held): (Verdict, Cause),
    views: &[View],
    pooled: Pooled,
    defects: Defects,
) -> Agreement {
    let count = |verdict| views.iter().filter(|v| v.verdict == verdict).count();
    let first = |verdict| views.iter().find(|v| v.verdict == verdict);
    let down = count(Verdict::Down);
    let degraded = count(Verdict::Degraded);
    let seeing = down + degraded + count(Verdict::Up);
    let is_waiting = held == Verdict::Unknown || why_held == Cause::Unconfirmed;
    let has_voice = |view: &&View| view.has_judged || (view.is_awaited && is_waiting);
    let voices = views.iter().filter(has_voice).count();
    let of = |verdict, cause, named| Agreement { verdict, cause, named };
    if seeing == 0 {
        let causes = views.iter().filter(|view| voices == 0 || has_voice(view)).map(|v| v.cause);
        return of(Verdict::Unknown, most_telling(causes), None);
    }
    let is_held = held == Verdict::Down && seeing == 1;
    let is_lone_enough = voices == 1 || is_held || defects.has(Defect::LoneAgentConvicts);
    if 2 <= down || (down == 1 && is_lone_enough) {
        return of(Verdict::Down, Cause::NoAnswer, None);
    }
    if let Some(lone) = first(Verdict::Down) {
        let cause = if seeing == 1 { Cause::Unconfirmed } else { Cause::Partial };
        return of(Verdict::Degraded, cause, Some(lone.agent));
    }
    if 2 <= degraded || (degraded == 1 && seeing == 1) {
        let is_loss = views.iter().any(|v| v.cause == Cause::Loss);
        let cause = if is_loss { Cause::Loss } else { Cause::Slow };
        return of(Verdict::Degraded, cause, None);
    }
    match (pooled, first(Verdict::Degraded)) {
        (Pooled::Many, _) => of(Verdict::Degraded, Cause::Loss, None),
        (Pooled::One(_), None) if seeing == 1 => of(Verdict::Degraded, Cause::Loss, None),
        (_, Some(lone)) => of(Verdict::Degraded, Cause::Partial, Some(lone.agent)),
        (Pooled::One(agent), None) => of(Verdict::Degraded, Cause::Partial, Some(agent)),
        (Pooled::Calm, None) => of(Verdict::Up, Cause::Answering, None),
    }
}

/// How much a cause of Unknown tells: what a person did, then what is wrong with the agent, then
/// what is merely missing.
fn telling(cause: Cause) -> u8 {
    match cause {
        Cause::Paused => 9,
        Cause::AgentBlind => 8,
        Cause::NotAsked(_) => 7,
        Cause::MonitorDown => 6,
        Cause::AgentOffline => 5,
        Cause::Silent => 4,
        Cause::Doubtful => 3,
        Cause::NotYet => 2,
        Cause::NoAgent => 1,
        Cause::Answering
        | Cause::NoAnswer
        | Cause::Loss
        | Cause::Slow
        | Cause::Partial
        | Cause::Unconfirmed
        | Cause::Dropped
        | Cause::Expired => 0,
    }
}

/// Picks the cause that tells most; `NoAgent` if there is none.
pub(crate) fn most_telling(causes: impl Iterator<Item = Cause>) -> Cause {
    causes.max_by_key(|&cause| telling(cause)).unwrap_or(Cause::NoAgent)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use model::NotAsked;

    use super::*;

    /// One line per case: what the agents hold, then `=>` and what all hold together.
    #[track_caller]
    fn check(cases: &str, expected: Expect) {
        check_held(NOTHING_HELD, cases, expected);
    }

    /// The same where all held something before.
    #[track_caller]
    fn check_held(held: (Verdict, Cause), cases: &str, expected: Expect) {
        let mut text = String::new();
        for case in cases.lines().map(str::trim).filter(|case| !case.is_empty()) {
            let (views, pooled) = parse(case);
            let agreement = agree(held, &views, pooled, Defects::default());
            let named = agreement.named.map_or(String::new(), |agent| format!(" a{agent}"));
            writeln!(text, "{case} => {} {}{named}", agreement.verdict, agreement.cause)
                .expect("a string takes everything");
        }
        expected.assert_eq(&text);
    }

    fn parse(case: &str) -> (Vec<View>, Pooled) {
        let mut views = Vec::new();
        let mut pooled = Pooled::Calm;
        for (id, word) in (1..).zip(case.split_whitespace()) {
            let agent = AgentId(id);
            let (verdict, cause) = match word {
                "up" => (Verdict::Up, Cause::Answering),
                "down" => (Verdict::Down, Cause::NoAnswer),
                "lossy" => (Verdict::Degraded, Cause::Loss),
                "slow" => (Verdict::Degraded, Cause::Slow),
                "offline" => (Verdict::Unknown, Cause::AgentOffline),
                "blind" => (Verdict::Unknown, Cause::AgentBlind),
                "denied" => (Verdict::Unknown, Cause::NotAsked(NotAsked::Permission)),
                "silent" => (Verdict::Unknown, Cause::Silent),
                "never" | "new" => (Verdict::Unknown, Cause::NotYet),
                "new-offline" => (Verdict::Unknown, Cause::AgentOffline),
                "pool" => {
                    pooled = Pooled::Many;
                    continue;
                }
                "pool1" => {
                    pooled = Pooled::One(AgentId(1));
                    continue;
                }
                other => panic!("no such word: {other}"),
            };
            let has_judged = !matches!(word, "never" | "new" | "new-offline");
            views.push(View { agent, verdict, cause, has_judged, is_awaited: word == "new" });
        }
        (views, pooled)
    }

    #[test]
    fn down_needs_two_that_see_or_the_only_one() {
        check(
            "
            down
            down down
            down down up
            down up
            up down up
            down lossy
            down offline
            blind down offline
            down never
            down new
            down new-offline
            down denied
            ",
            expect![[r#"
                down => down no_answer
                down down => down no_answer
                down down up => down no_answer
                down up => degraded partial a1
                up down up => degraded partial a2
                down lossy => degraded partial a1
                down offline => degraded unconfirmed a1
                blind down offline => degraded unconfirmed a2
                down never => down no_answer
                down new => degraded unconfirmed a1
                down new-offline => down no_answer
                down denied => degraded unconfirmed a1
            "#]],
        );
    }

    #[test]
    fn down_stays_until_somebody_that_sees_says_otherwise() {
        check_held(
            (Verdict::Down, Cause::NoAnswer),
            "
            down new
            down new-offline
            down offline
            blind down offline
            down up
            down lossy
            offline new
            ",
            expect![[r#"
                down new => down no_answer
                down new-offline => down no_answer
                down offline => down no_answer
                blind down offline => down no_answer
                down up => degraded partial a1
                down lossy => degraded partial a1
                offline new => unknown agent_offline
            "#]],
        );
    }

    #[test]
    fn who_has_not_judged_is_waited_for_only_while_down_is_not_confirmed() {
        check_held(
            (Verdict::Degraded, Cause::Unconfirmed),
            "
            down new
            down new-offline
            down down
            ",
            expect![[r#"
                down new => degraded unconfirmed a1
                down new-offline => down no_answer
                down down => down no_answer
            "#]],
        );
        check_held(
            (Verdict::Up, Cause::Answering),
            "down new\n up new\n lossy new-offline",
            expect![[r#"
                down new => down no_answer
                up new => up answering
                lossy new-offline => degraded loss
            "#]],
        );
    }

    #[test]
    fn degraded_is_everybodys_or_names_one() {
        check(
            "
            up up
            lossy
            lossy up
            slow slow up
            slow lossy up
            up slow up
            lossy offline
            up up pool
            up up pool1
            up offline pool1
            lossy up pool
            ",
            expect![[r#"
                up up => up answering
                lossy => degraded loss
                lossy up => degraded partial a1
                slow slow up => degraded slow
                slow lossy up => degraded loss
                up slow up => degraded partial a2
                lossy offline => degraded loss
                up up pool => degraded loss
                up up pool1 => degraded partial a1
                up offline pool1 => degraded loss
                lossy up pool => degraded loss
            "#]],
        );
    }

    #[test]
    fn nobody_sees_is_unknown_with_the_most_telling_cause() {
        check(
            "
            offline offline
            offline blind
            silent denied offline
            never offline
            never
            silent new-offline
            new new-offline
            ",
            expect![[r#"
                offline offline => unknown agent_offline
                offline blind => unknown agent_blind
                silent denied offline => unknown not_asked_permission
                never offline => unknown agent_offline
                never => unknown not_yet
                silent new-offline => unknown silent
                new new-offline => unknown not_yet
            "#]],
        );
        assert_eq!(
            agree(NOTHING_HELD, &[], Pooled::Calm, Defects::default()).cause,
            Cause::NoAgent
        );
    }
}
