//! All sentences of the engine, in one place: what a person reads at 3 a.m.
//!
//! Each says what was heard, by whom, since when, with its numbers. Times are UTC and say so. It
//! decides nothing.

use model::{Cause, NotAsked, Outcome, Subject, UtcMicros, Verdict, Why};

use crate::{
    rules::{NEVER, Rules},
    watch::Watch,
};

/// Agents that a sentence names; the others are a number.
const NAMES_MAX: usize = 5;

/// A time of day in UTC, as `clock`; "the start" if it never was.
fn since(at: UtcMicros, now: UtcMicros) -> String {
    if at == NEVER { "the start".to_owned() } else { clock(at, now) }
}

/// A time of day in UTC, with the date if it is not the day of `now`.
fn clock(at: UtcMicros, now: UtcMicros) -> String {
    let (text, now) = (at.to_string(), now.to_string());
    let (Some((date, time)), Some((today, _))) = (text.split_once('T'), now.split_once('T')) else {
        return text;
    };
    let time = time.trim_end_matches('Z').split('.').next().unwrap_or(time);
    if date == today { format!("{time} UTC") } else { format!("{date} {time} UTC") }
}

/// Milliseconds with one decimal.
fn ms(us: u32) -> String {
    // Three digits that mean something, from a neighbour's microseconds to a satellite's second.
    match us {
        0..1_000 => format!("0.{us:03} ms"),
        1_000..10_000 => format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10),
        _ => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
    }
}

fn seconds(us: i64) -> String {
    let tenths = us / 100_000;
    if tenths % 10 == 0 {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

fn not_asked(reason: NotAsked) -> &'static str {
    match reason {
        NotAsked::NoRoute => "its host has no route to the address",
        NotAsked::Permission => {
            "its host refuses to send: the process lacks the privilege (`faultline-agent status` \
             says how to give it) or a firewall of the host itself drops it"
        }
        NotAsked::Resolver => "the name did not resolve to an address it can use",
        NotAsked::BufferFull => "its send buffer stayed full",
        NotAsked::Socket => "its socket failed",
        NotAsked::Overrun => "it was too late to start the round",
    }
}

/// Everything that a sentence about one pair may need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairFacts<'a> {
    pub(crate) watch: &'a Watch,
    pub(crate) rules: &'a Rules,
    pub(crate) agent: &'a str,
    /// What outside answered the agent last.
    pub(crate) seen: Option<Subject>,
    pub(crate) agent_heard_at: Option<UtcMicros>,
    /// The server started at `agent_heard_at`, and has not heard it since.
    pub(crate) is_agent_awaited: bool,
    pub(crate) is_agent_heard: bool,
    pub(crate) now: UtcMicros,
}

/// Says why a pair holds `verdict` by `cause`.
pub(crate) fn pair(verdict: Verdict, cause: Cause, facts: &PairFacts<'_>) -> Why {
    let agent = facts.agent;
    let text = match verdict {
        Verdict::Down => down(facts),
        Verdict::Up => match facts.watch.rtt_us() {
            Some(rtt_us) => format!("answers in {}, asked by {agent}", ms(rtt_us)),
            None => format!("answers, asked by {agent}"),
        },
        Verdict::Degraded if cause == Cause::Slow => format!(
            "replies took {} on average, above the limit of {}, asked by {agent}",
            ms(facts.watch.rtt_us().unwrap_or(0)),
            ms(facts.rules.rtt_us_raise),
        ),
        Verdict::Degraded => {
            let (lost, packets) = facts.watch.loss();
            format!(
                "{lost} of the last {packets} packets lost, the limit is {}, asked by {agent}",
                facts.rules.lost_raise,
            )
        }
        Verdict::Unknown => unknown(cause, facts),
    };
    Why { cause, text }
}

fn down(facts: &PairFacts<'_>) -> String {
    let watch = facts.watch;
    let sent = watch.lost_sent();
    let agent = facts.agent;
    let since = since(watch.lost_since(), facts.now);
    let packets = if watch.is_confirmed() {
        format!("no answer to {sent} of {sent} packets and 3 of 3 confirm packets")
    } else {
        format!(
            "2 of the last 3 rounds wholly lost, the last with {sent} of {sent} packets; \
                 no answer"
        )
    };
    let meanwhile = if watch.is_local() {
        "; the address is its own host"
    } else {
        match facts.seen {
            Some(Subject::Gateway) => "; its gateway answered meanwhile",
            Some(Subject::Witness(_)) => "; a witness answered meanwhile",
            Some(Subject::Probe(_)) => "; other targets answered it meanwhile",
            None => "",
        }
    };
    format!("{packets} since {since}, asked by {agent}{meanwhile}")
}

fn unknown(cause: Cause, facts: &PairFacts<'_>) -> String {
    let agent = facts.agent;
    let last = |at: UtcMicros| since(at, facts.now);
    match cause {
        Cause::AgentOffline if facts.is_agent_heard => {
            format!("{agent} was offline and no round of it has come in since it is back")
        }
        Cause::AgentOffline => match facts.agent_heard_at {
            Some(at) if facts.is_agent_awaited => {
                format!("{agent} has not been heard since the server started at {}", last(at))
            }
            Some(at) => format!("no heartbeat from {agent} since {}", last(at)),
            None => format!("{agent} has never been heard"),
        },
        Cause::AgentBlind => {
            format!("nothing outside its own host answers {agent}, so it cannot judge")
        }
        Cause::NotAsked(reason) => format!("{agent} could not ask: {}", not_asked(reason)),
        Cause::Silent => format!(
            "no round from {agent} speaks for it since {}, although its heartbeat comes",
            last(facts.watch.evidence_until()),
        ),
        Cause::Paused => "paused by a person".to_owned(),
        Cause::NoAgent => format!("{agent} no longer asks it"),
        Cause::Doubtful => format!(
            "{agent} lags or drops packets by its own measure, so its lost rounds say nothing",
        ),
        Cause::MonitorDown => "the server was not running".to_owned(),
        Cause::Dropped => format!("{agent} lost what it had learned"),
        Cause::Expired => "what was recorded is not kept any more".to_owned(),
        Cause::NotYet
        | Cause::Answering
        | Cause::NoAnswer
        | Cause::Loss
        | Cause::Slow
        | Cause::Partial
        | Cause::Unconfirmed => format!("no round from {agent} has come in yet"),
    }
}

/// Says what one answered round was, for the change that it caused.
pub(crate) fn answered(outcome: Outcome, cause: Cause, facts: &PairFacts<'_>) -> Why {
    let text = match outcome {
        Outcome::Asked { sent, received, rtt: Some(rtt), .. } => format!(
            "{received} of {sent} packets answered in {} on average, asked by {}",
            ms(rtt.us_mean),
            facts.agent,
        ),
        Outcome::Asked { .. } | Outcome::NotAsked(_) => {
            return pair(Verdict::Up, cause, facts);
        }
    };
    Why { cause, text }
}

/// What one agent holds, for a sentence about all.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    pub(crate) agent: String,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

/// Says why all agents together hold `verdict` by `cause`; `named` is the one that it hangs on.
pub(crate) fn consensus(
    verdict: Verdict,
    cause: Cause,
    named: Option<&str>,
    voices: &[Voice],
    pooled: Option<(u32, String)>,
) -> Why {
    let of = |wanted: Verdict| voices.iter().filter(move |v| v.verdict == wanted);
    let seeing = voices.iter().filter(|v| v.verdict != Verdict::Unknown).count();
    let first = |wanted| of(wanted).map(|v| v.text.as_str()).next().unwrap_or_default();
    let named_text = || {
        let voice = voices.iter().find(|v| Some(v.agent.as_str()) == named);
        voice.map_or("", |v| v.text.as_str())
    };
    let text = match (verdict, cause) {
        (Verdict::Unknown, Cause::Paused) => "paused by a person".to_owned(),
        // One agent alone speaks for itself.
        (Verdict::Up | Verdict::Down, _) if voices.len() == 1 => first(verdict).to_owned(),
        (Verdict::Down, _) => {
            format!("{} down: {}", say(of(Verdict::Down), seeing), first(Verdict::Down))
        }
        (Verdict::Up, _) => {
            format!("{} up: {}", say(of(Verdict::Up), seeing), first(Verdict::Up))
        }
        (Verdict::Degraded, Cause::Partial) => {
            let others = seeing.saturating_sub(1);
            let it = named.unwrap_or("one agent");
            match &pooled {
                Some((lost, _)) if of(Verdict::Degraded).chain(of(Verdict::Down)).count() == 0 => {
                    format!(
                        "only {it} loses packets, {lost} lately; {others} more see it and lose none"
                    )
                }
                _ => format!("only {it} of {seeing} that can see: {}", named_text()),
            }
        }
        (Verdict::Degraded, Cause::Unconfirmed) => {
            let it = named.unwrap_or("one agent");
            let others = others_unseeing(voices);
            format!("{it} alone says down and nobody confirms it{others}: {}", named_text())
        }
        (Verdict::Degraded, _) => match &pooled {
            Some((lost, agents)) if of(Verdict::Degraded).count() == 0 => {
                format!("{lost} packets lost lately, too many for chance: {agents}")
            }
            _ => {
                let worst = of(Verdict::Degraded).find(|v| v.cause == cause);
                let worst = worst.map_or_else(|| first(Verdict::Degraded), |v| v.text.as_str());
                format!("{} degraded: {worst}", say(of(Verdict::Degraded), seeing))
            }
        },
        (Verdict::Unknown, Cause::NoAgent) => "no agent is assigned to it".to_owned(),
        (Verdict::Unknown, _) => unseen(cause, voices),
    };
    Why { cause, text }
}

/// Who cannot confirm a lone Down, and who has not judged yet.
fn others_unseeing(voices: &[Voice]) -> String {
    let unknown = || voices.iter().filter(|v| v.verdict == Verdict::Unknown);
    let blind = unknown().filter(|v| v.cause != Cause::NotYet).take(NAMES_MAX);
    let blind: Vec<String> = blind.map(|v| format!("{} ({})", v.agent, v.cause)).collect();
    let new = unknown().filter(|v| v.cause == Cause::NotYet).take(NAMES_MAX);
    let new: Vec<&str> = new.map(|v| v.agent.as_str()).collect();
    let mut text = String::new();
    if !blind.is_empty() {
        text.push_str(&format!(", {} cannot see", blind.join(", ")));
    }
    if !new.is_empty() {
        text.push_str(&format!(", no round of {} has come in yet", new.join(", ")));
    }
    text
}

/// What an agent held when it was told to ask no longer, said while it still speaks.
pub(crate) fn left(text: &str) -> String {
    format!("{text}; it asks no longer, and no round of who asks now has come in yet")
}

/// Says why nobody can see it.
fn unseen(cause: Cause, voices: &[Voice]) -> String {
    let others = voices.len().saturating_sub(1);
    match voices.iter().find(|v| v.cause == cause) {
        None => "nobody can see it".to_owned(),
        Some(voice) if others == 0 => voice.text.clone(),
        Some(voice) => format!("none of {} agents can see it: {}", others + 1, voice.text),
    }
}

/// "2 of 3 agents that can see (fra1, ams2) say".
fn say<'a>(voices: impl Iterator<Item = &'a Voice>, seeing: usize) -> String {
    let voices: Vec<&Voice> = voices.collect();
    let named: Vec<&str> = voices.iter().take(NAMES_MAX).map(|v| v.agent.as_str()).collect();
    let named = named.join(", ");
    if let ([_], 1) = (voices.as_slice(), seeing) {
        return format!("{named} says");
    }
    let more = if NAMES_MAX < voices.len() { ", …" } else { "" };
    let verb = if voices.len() == 1 { "says" } else { "say" };
    format!("{} of {seeing} agents that can see ({named}{more}) {verb}", voices.len())
}

pub(crate) fn agent_online(
    was_offline_since: Option<UtcMicros>,
    was_awaited: bool,
    now: UtcMicros,
) -> String {
    match was_offline_since {
        Some(at) if was_awaited => format!(
            "its heartbeat is back; it had not been heard since the server started at {}",
            clock(at, now)
        ),
        Some(at) => format!("its heartbeat is back; it was missing since {}", clock(at, now)),
        None => "heard for the first time".to_owned(),
    }
}

pub(crate) fn agent_offline(heard_at: UtcMicros, is_awaited: bool, now: UtcMicros) -> String {
    if is_awaited {
        return format!("not heard since the server started at {}", clock(heard_at, now));
    }
    format!("3 heartbeats missed, the last came at {}", clock(heard_at, now))
}

pub(crate) fn agent_blind(seen_at: Option<UtcMicros>, span_us: i64, now: UtcMicros) -> String {
    let since = seen_at.map_or_else(|| "ever".to_owned(), |at| clock(at, now));
    format!(
        "nothing outside its own host answered for {}: neither gateway nor witnesses nor targets; \
         the last answered round was of {since}",
        seconds(span_us),
    )
}

pub(crate) fn agent_sees(seen: Option<Subject>, at: UtcMicros, now: UtcMicros) -> String {
    let what = match seen {
        Some(Subject::Gateway) => "its gateway",
        Some(Subject::Witness(_)) => "a witness",
        Some(Subject::Probe(_)) | None => "a target",
    };
    format!("{what} answered a round of {}", clock(at, now))
}

pub(crate) fn agent_created() -> String {
    "created, never heard".to_owned()
}
