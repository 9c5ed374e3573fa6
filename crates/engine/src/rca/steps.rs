//! What to do next about a cause, in the order of how fast it is done: a table of plain text.
//!
//! It knows the kind of the cause and how it fails, and nothing else: it decides nothing.

use model::{ElementKind, FaultMode};

/// Says what to do next; `{}` in the table is what the cause is called.
pub fn next_steps(kind: ElementKind, mode: FaultMode, called: &str) -> Vec<String> {
    let steps = match mode {
        FaultMode::Down => down(kind),
        FaultMode::Lossy => lossy(kind),
        FaultMode::Slow => slow(kind),
        FaultMode::OneWay => ONE_WAY,
        FaultMode::Reroute => REROUTE,
        FaultMode::Flapping => FLAPPING,
    };
    steps.iter().map(|step| step.replace("{}", called)).collect()
}

fn down(kind: ElementKind) -> &'static [&'static str] {
    match kind {
        ElementKind::Link | ElementKind::Lag | ElementKind::Interface => &[
            "Read the ports of {} at both ends: link state, light levels, error counters.",
            "Ask the carrier or look at the radio path for an outage or works on it.",
            "If both ports are up and nothing passes, shut and open one end.",
            "Send somebody with a spare optic and a light meter to the nearer end.",
        ],
        ElementKind::Device => &[
            "Reach {} by management or console, by another way than the monitored one.",
            "Look at the power of its site and at its neighbours' ports towards it.",
            "If it came back by itself, read its uptime and its log for the reason.",
            "Send somebody to the site; take the spare device and its last configuration.",
        ],
        ElementKind::Site => &[
            "Look at the power of {}: the supplier's outage map, the UPS, the batteries.",
            "Call whoever has the keys or stands nearest.",
            "Look whether every way into the site goes through one trench or one radio.",
        ],
        ElementKind::Srlg => &[
            "What shares {} failed together: look at what they have in common first.",
            "For a conduit: ask for works along it. For power: look at the feed and its breaker.",
            "Find out which customers have another way, and whether it carries them.",
        ],
        ElementKind::Upstream => &[
            "Look at the session of {} and the port it runs over; read the peer's notices.",
            "Open a ticket with the provider: say since when, and which targets do not answer.",
            "Move traffic to another upstream if this one is not back soon.",
        ],
        ElementKind::Agent | ElementKind::AgentUplink => &[
            "Look at the host of {}: is it on, does its gateway answer, is the disk full?",
            "What it says of others counts for nothing until then: no target is down by it.",
        ],
        ElementKind::Target => &[
            "Ask {} from another place, and by another way than ping.",
            "Look at the port it stands behind, and at the power on the customer's side.",
            "Ask whether it was moved, renumbered, or filters what we send.",
        ],
    }
}

fn lossy(kind: ElementKind) -> &'static [&'static str] {
    match kind {
        ElementKind::Link
        | ElementKind::Lag
        | ElementKind::Interface
        | ElementKind::AgentUplink => &[
            "Read the error and drop counters of {} at both ends, twice, a minute apart.",
            "Read light or signal levels and compare them with last week's.",
            "Look at its load: drops without errors mean it is full.",
            "If there is another way, take {} out of use and see whether the loss ends.",
        ],
        ElementKind::Device | ElementKind::Site | ElementKind::Srlg => &[
            "Read CPU, memory and queue drops of {}.",
            "Look for what changed: configuration, software, a loop, an attack.",
            "Compare its ports: errors at one of them say which line it is.",
        ],
        ElementKind::Upstream => &[
            "Look at the load and errors of the port towards {}.",
            "Send the provider our figures of loss, by place and since when.",
            "Move what matters to another upstream.",
        ],
        ElementKind::Agent | ElementKind::Target => &[
            "Read load and queue drops of {} itself.",
            "Look at the last line before it: duplex, signal, errors.",
        ],
    }
}

fn slow(kind: ElementKind) -> &'static [&'static str] {
    match kind {
        ElementKind::Upstream => &[
            "Trace to a target behind {} and compare with the way of yesterday.",
            "Ask the provider about a detour or a full line.",
        ],
        ElementKind::Link
        | ElementKind::Lag
        | ElementKind::Interface
        | ElementKind::AgentUplink
        | ElementKind::Device
        | ElementKind::Site
        | ElementKind::Srlg
        | ElementKind::Agent
        | ElementKind::Target => &[
            "Look at the load of {}: full queues delay before they drop.",
            "Look whether the line itself was moved to a longer way by its carrier.",
            "Look at shaping and queueing that was changed lately.",
        ],
    }
}

const ONE_WAY: &[&str] = &[
    "One direction of {} carries nothing: compare the counters of both ends.",
    "Look at one fibre of the pair, at the transmitter, and at filters of one direction.",
    "Until it is repaired, take {} out of routing: half a link is worse than none.",
];
const REROUTE: &[&str] = &[
    "Nobody feels it now; the next failure may be felt. Repair {} today, not next week.",
    "Look whether what is left carries the load of the evening.",
    "Do no work on the other way until {} is back.",
];
const FLAPPING: &[&str] = &[
    "Take {} out of use if there is another way: steady and longer beats coming and going.",
    "Read its log and counters: light at the limit, a loose plug, power, a watchdog.",
    "Look at what routing does meanwhile: damping, timers, BFD.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_next_step_that_names_it() {
        for kind in ElementKind::ALL {
            for mode in FaultMode::ALL {
                let steps = next_steps(*kind, *mode, "r1--r2");
                assert!(2 <= steps.len(), "{kind} {mode}");
                assert!(steps.iter().any(|step| step.contains("r1--r2")), "{kind} {mode}");
                assert!(!steps.iter().any(|step| step.contains("{}")), "{kind} {mode}");
            }
        }
    }
}
