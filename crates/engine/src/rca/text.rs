//! All sentences of root cause, in one place: what a person reads at 3 a.m.
//!
//! Each number in them is in the evidence they are made of. It decides nothing.

use model::{ElementKind, FactKind, FaultMode, UtcMicros};

use super::{
    evidence::{AgentNote, Evidence, Source},
    incidents::{Incident, State},
    report::{Finding, RankedCause},
    whatif::Loss,
};
use crate::graph::{ElementIx, Topology, document::name_of};

/// Elements that a sentence names; the others are a number.
const NAMES_MAX: usize = 5;

/// A time of day in UTC.
pub fn clock(at: UtcMicros) -> String {
    let text = at.to_string();
    let time = text.split_once('T').map_or(text.as_str(), |(_, time)| time);
    time.trim_end_matches('Z').split('.').next().unwrap_or(time).to_owned()
}

fn plural(count: u32, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn ms(us: i64) -> String {
    if us < 10_000 {
        format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
    } else {
        format!("{} ms", us / 1_000)
    }
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1_000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Says one piece of evidence.
pub fn evidence(topology: &Topology, piece: &Evidence) -> String {
    let id = |ix: ElementIx| topology.id(ix);
    match &piece.source {
        Source::Lost { element, lost, rounds, agents, since } => format!(
            "{lost} of {rounds} rounds over {} lost, from {}, since {}",
            id(*element),
            plural(*agents, "agent"),
            clock(*since),
        ),
        Source::Beside { device, rounds, agents, since } => format!(
            "{} to others behind {} answered, from {}, since {}",
            plural(*rounds, "round"),
            id(*device),
            plural(*agents, "agent"),
            clock(*since),
        ),
        Source::Answered { element, rounds, agents, since } => format!(
            "{} over {} answered all the same, from {}, since {}",
            plural(*rounds, "round"),
            id(*element),
            plural(*agents, "agent"),
            clock(*since),
        ),
        Source::Loss { element, sent, lost, agents } => format!(
            "{} of {sent} packets over {} lost, from {}",
            percent(*lost, *sent),
            id(*element),
            plural(*agents, "agent"),
        ),
        Source::Delay { element, shifted, steady, us } => format!(
            "{} over {} answer {} later than before, {steady} do not",
            plural(*shifted, "pair"),
            id(*element),
            ms(*us),
        ),
        Source::Changed { element, pairs, at } if piece.supports => format!(
            "{} left {} for another path at {}",
            plural(*pairs, "pair"),
            id(*element),
            clock(*at),
        ),
        Source::Changed { element, pairs, at } => format!(
            "{} changed path at {} and still cross {}",
            plural(*pairs, "pair"),
            clock(*at),
            id(*element),
        ),
        Source::Fact { kind, element, end, at, by, .. } => {
            let by = by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
            format!("{} at {}{by}", fact(*kind, id(*element), end.map(id)), clock(*at))
        }
        Source::Agent { agent, note, since } => match note {
            AgentNote::Silent => {
                format!("no heartbeat from {} since {}", id(*agent), clock(*since))
            }
            AgentNote::NoGateway => {
                format!("{}'s own gateway does not answer it since {}", id(*agent), clock(*since))
            }
            AgentNote::Heard => format!("{} is heard and its gateway answers it", id(*agent)),
        },
    }
}

/// What routers say of an element, against what becomes of packets.
pub fn contradiction(kind: FactKind, element: &str, silent_us: i64) -> String {
    let session = match kind.topic() {
        "ospf_neighbor" => "OSPF neighbour",
        "bfd" => "BFD",
        _ => "BGP",
    };
    format!("{element}: {session} up, nothing passes for {} min", silent_us / 60_000_000)
}

/// What was reported; of reachability `end` is the agent.
pub fn fact(kind: FactKind, element: &str, end: Option<&str>) -> String {
    let by = end.map(|end| format!("{end} reports ")).unwrap_or_default();
    match kind {
        FactKind::InterfaceDown => format!("{by}port of {element} down"),
        FactKind::InterfaceUp => format!("{by}port of {element} up"),
        FactKind::OspfNeighborDown => format!("{by}OSPF neighbour over {element} down"),
        FactKind::OspfNeighborUp => format!("{by}OSPF neighbour over {element} up"),
        FactKind::BgpDown => format!("{by}BGP session of {element} down"),
        FactKind::BgpUp => format!("{by}BGP session of {element} up"),
        FactKind::BfdDown => format!("{by}BFD over {element} down"),
        FactKind::BfdUp => format!("{by}BFD over {element} up"),
        FactKind::UnreachableFrom => {
            format!("management of {element} unreachable from {}", end.unwrap_or("an agent"))
        }
        FactKind::ReachableFrom => {
            format!("management of {element} reachable from {}", end.unwrap_or("an agent"))
        }
        FactKind::Restarted => format!("{element} restarted"),
        FactKind::ErrorsRising => format!("{by}errors on {element} rising"),
        FactKind::ConfigChanged => format!("configuration of {element} changed"),
        FactKind::PowerLost => format!("power of {element} lost"),
        FactKind::SessionsDropped => format!("subscriber sessions on {element} dropped"),
    }
}

/// What to look at to tell these apart.
pub(super) fn next_look(kinds: &[(ElementKind, &str)]) -> String {
    let first = |wanted: &[ElementKind]| {
        kinds.iter().find(|(kind, _)| wanted.contains(kind)).map(|(_, id)| *id)
    };
    let link = first(&[ElementKind::Link, ElementKind::Lag, ElementKind::Interface]);
    let device = first(&[ElementKind::Device]);
    let agent = first(&[ElementKind::Agent, ElementKind::AgentUplink]);
    match (agent, link, device) {
        (Some(agent), ..) => format!("ask {agent}'s targets from another agent"),
        (None, Some(link), Some(device)) => format!(
            "read the ports at both ends of {link}, or reach {device} by another way \
             (management, a second link): if it answers, it is the link"
        ),
        (None, Some(link), None) => format!("read the ports at both ends of {link}"),
        (None, None, Some(device)) => {
            format!("reach {device} by management, and read its uptime afterwards")
        }
        (None, None, None) => {
            let names: Vec<&str> = kinds.iter().take(NAMES_MAX).map(|(_, id)| *id).collect();
            match names.as_slice() {
                [one] => format!("look at {one} on the spot, or ask who runs it"),
                many => format!("add a probe that crosses only one of {}", many.join(", ")),
            }
        }
    }
}

/// What to look at where several targets behind one device went out together.
pub(super) fn undrawn(topology: &Topology, targets: &[ElementIx]) -> String {
    let device = targets.first().and_then(|target| topology.host(*target));
    let names: Vec<&str> = targets.iter().map(|ix| name_of(topology, *ix)).collect();
    format!(
        "look behind {} for what {} share and the topology does not show (a switch, a power \
         supply); once it is drawn it has a name",
        device.map_or("their device", |device| topology.id(device)),
        joined(&names, "and"),
    )
}

/// What the loss of `elements` would take.
pub fn loss(topology: &Topology, elements: &[ElementIx], loss: &Loss) -> String {
    let all_of = |elements: &[ElementIx]| -> String {
        let names: Vec<&str> = elements.iter().map(|ix| name_of(topology, *ix)).collect();
        joined(&names, "and")
    };
    let without = all_of(elements);
    if loss.targets.is_empty() {
        return format!(
            "without {without} every target is still reached by some agent; {} another way, \
             {} lost to at least one agent",
            counted(loss.rerouted, "takes", "take"),
            counted(loss.split, "is", "are"),
        );
    }
    format!(
        "without {without} nobody reaches {} of weight {}: {}",
        plural(u32::try_from(loss.targets.len()).unwrap_or(u32::MAX), "target"),
        loss.weight,
        all_of(&loss.targets),
    )
}

/// "r1--r2", "r1--r2 or r2", "a, b, c or 4 more".
pub fn names(topology: &Topology, elements: &[ElementIx]) -> String {
    let all: Vec<&str> = elements.iter().map(|ix| topology.id(*ix)).collect();
    joined(&all, "or")
}

fn joined(all: &[&str], word: &str) -> String {
    match all {
        [] => "nothing known".to_owned(),
        [one] => (*one).to_owned(),
        [some @ .., last] if all.len() <= NAMES_MAX => format!("{} {word} {last}", some.join(", ")),
        many => {
            let (said, rest) = many.split_at(NAMES_MAX);
            format!("{} {word} {} more", said.join(", "), rest.len())
        }
    }
}

/// A probability in percent. No evidence is so good that it says all or nothing.
pub fn probability(probability: f64) -> String {
    match (probability * 1_000.0).round() as u64 {
        0 => "under 0.1 %".to_owned(),
        1_000.. => "over 99.9 %".to_owned(),
        tenths => percent(tenths, 1_000),
    }
}

/// The one sentence: what failed, how, since when, how surely.
pub fn headline(topology: &Topology, finding: &Finding) -> String {
    let Some(cause) = finding.causes.first() else { return "nothing known".to_owned() };
    let since = clock(finding.onset.1);
    format!(
        "{} {}, since {since} (probability {})",
        subject(topology, cause),
        predicate(topology, cause, Tense::Present),
        probability(cause.probability),
    )
}

/// The same of an incident as it stands at `at`: one that is over was, and until when.
pub fn sentence(topology: &Topology, incident: &Incident, at: UtcMicros) -> String {
    let finding = &incident.finding;
    match (incident.state, finding.causes.first()) {
        (State::Open, _) | (State::Resolved, None) => headline(topology, finding),
        (State::Resolved, Some(cause)) => format!(
            "{} {}, from {} until {} (probability {})",
            subject(topology, cause),
            predicate(topology, cause, Tense::Past),
            clock(finding.onset.1),
            clock(at),
            probability(cause.probability),
        ),
    }
}

fn subject(topology: &Topology, cause: &RankedCause) -> String {
    if is_band(cause) {
        let all: Vec<&str> = cause.elements.iter().map(|ix| topology.id(*ix)).collect();
        let device = cause.elements.first().and_then(|target| topology.host(*target));
        let behind = device.map_or("one device", |device| topology.id(device));
        return format!("{} behind {behind}", joined(&all, "and"));
    }
    let names = names(topology, &cause.elements);
    if 1 < cause.elements.len() || are_many(topology, cause) {
        return names;
    }
    let kind = if cause.kind == ElementKind::Srlg { "shared risk" } else { cause.kind.as_str() };
    format!("{} {names}", kind.replace('_', " "))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tense {
    Present,
    Past,
}

/// Whether it is several targets at once: of targets nothing is a class.
fn is_band(cause: &RankedCause) -> bool {
    cause.kind == ElementKind::Target && 1 < cause.elements.len()
}

/// Whether one cause is several elements at once.
fn are_many(topology: &Topology, cause: &RankedCause) -> bool {
    is_band(cause) || matches!(cause.elements.as_slice(), [one] if topology.is_together(*one))
}

fn predicate(topology: &Topology, cause: &RankedCause, tense: Tense) -> String {
    let of = |present: &str, past: &str| {
        (if tense == Tense::Present { present } else { past }).to_owned()
    };
    if are_many(topology, cause) && cause.mode == FaultMode::Down {
        return of("are down", "were down");
    }
    match cause.mode {
        FaultMode::Down => of("is down", "was down"),
        FaultMode::Lossy => {
            let ppm = u64::from(cause.loss_ppm.unwrap_or(0));
            format!("{} {} of packets", of("loses", "lost"), percent(ppm, 1_000_000))
        }
        FaultMode::Slow => {
            format!("{} {}", of("adds", "added"), ms(cause.rtt_us_added.unwrap_or(0)))
        }
        FaultMode::OneWay => of("carries one direction only", "carried one direction only"),
        FaultMode::Reroute => {
            of("is down and traffic goes another way", "was down and traffic went another way")
        }
        FaultMode::Flapping if are_many(topology, cause) => of("are flapping", "were flapping"),
        FaultMode::Flapping => of("is flapping", "was flapping"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_probability_is_all_or_nothing() {
        let said = [0.0, 0.0004, 0.001, 0.5, 0.9994, 0.9996, 1.0].map(probability);
        let expected = [
            "under 0.1 %",
            "under 0.1 %",
            "0.1 %",
            "50.0 %",
            "99.9 %",
            "over 99.9 %",
            "over 99.9 %",
        ];
        assert_eq!(said, expected);
    }
}
