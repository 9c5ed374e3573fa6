//! The answers as an engineer would read them.

use std::fmt::Write as _;

use engine::{
    graph::{ElementIx, Topology},
    rca::{Incident, State, text},
};

use model::UtcMicros;

use super::view::{self, Shown};

/// Ids in one line; the others are a number.
const NAMES_MAX: usize = 12;

pub(super) fn step(shown: &Shown<'_>) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    write_step(&mut out, shown).unwrap_or(());
    out
}

fn write_step(out: &mut String, shown: &Shown<'_>) -> std::fmt::Result {
    let topology = &shown.case.topology;
    writeln!(out, "{} at {}", shown.name, shown.step.at)?;
    let is_quiet = shown.incidents.list().next().is_none();
    if is_quiet && shown.is_watched() {
        writeln!(out, "  nothing is the matter")?;
    } else if is_quiet {
        writeln!(out, "  unknown: nobody looked, no round that asked has come in by then")?;
    }
    for incident in shown.incidents.list() {
        write_incident(out, topology, incident, shown.step.at)?;
    }
    let assessment = &shown.step.assessment;
    if !assessment.blind.is_empty() {
        writeln!(out, "  agents that see nothing: {}", names(topology, &assessment.blind))?;
    }
    for (agent, target) in assessment.unexplained.iter().take(NAMES_MAX) {
        let (agent, target) = (topology.id(*agent), topology.id(*target));
        writeln!(out, "  unexplained: {agent} gets no answer from {target}")?;
    }
    if NAMES_MAX < assessment.unexplained.len() {
        writeln!(out, "  and {} more", assessment.unexplained.len() - NAMES_MAX)?;
    }
    for (kind, incident, why) in view::decisions(shown.step) {
        writeln!(out, "  {kind} {incident}: {why}")?;
    }
    if assessment.is_cut_short {
        writeln!(out, "  the budget ran out: this is right as far as it goes")?;
    }
    Ok(())
}

fn write_incident(
    out: &mut String,
    topology: &Topology,
    incident: &Incident,
    at: UtcMicros,
) -> std::fmt::Result {
    let finding = &incident.finding;
    let state = match incident.state {
        State::Open => "",
        State::Resolved => " [resolved]",
    };
    writeln!(out, "  i{}{state}: {}", incident.id.0, text::sentence(topology, incident, at))?;
    for (rank, cause) in finding.causes.iter().enumerate() {
        if 0 < rank {
            let probability = text::probability(cause.probability);
            let elements = text::names(topology, &cause.elements);
            writeln!(out, "    or {elements} ({}), {probability}", cause.mode)?;
            continue;
        }
        for piece in &cause.evidence {
            let sign = if piece.supports { "for    " } else { "against" };
            let said = text::evidence(topology, piece);
            writeln!(out, "    {sign} {said} ({:+.1})", piece.log_ratio)?;
        }
        if let Some(look) = &cause.to_disambiguate {
            writeln!(out, "    to be sure: {look}")?;
        }
    }
    let impact = &finding.impact;
    writeln!(
        out,
        "    {} {} targets down, {} degraded, weight {} of {}",
        if incident.state == State::Open { "hits" } else { "hit" },
        impact.targets_down,
        impact.targets_degraded,
        impact.weight,
        impact.weight_total,
    )?;
    let mut list = |what: &str, elements: &[ElementIx]| -> std::fmt::Result {
        if elements.is_empty() {
            Ok(())
        } else {
            writeln!(out, "    {what}: {}", names(topology, elements))
        }
    };
    list("devices down or cut off", &impact.devices)?;
    list("one failure more cuts off", &impact.devices_exposed)?;
    list("alerts it stands for", &finding.suppressed)
}

fn names(topology: &Topology, elements: &[ElementIx]) -> String {
    let mut ids: Vec<&str> = elements.iter().map(|ix| topology.id(*ix)).collect();
    ids.sort_unstable();
    let said = ids.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(NAMES_MAX) {
        0 => said,
        more => format!("{said} and {more} more"),
    }
}
