//! An incident as a post-mortem in Markdown: what happened, what it hit, what people did, with room
//! for what only people know.

use std::fmt::Write as _;

use engine::rca::text::probability;
use model::{EntryKind, IncidentId, IncidentState, UtcMicros};
use store::{CauseBody, IncidentBody, IncidentEntry, IncidentFull, IncidentRevision, Scope};

use super::super::{App, AppError};

impl App {
    /// Writes the post-mortem of an incident.
    pub(crate) async fn incident_report(
        &self,
        scope: &Scope,
        id: IncidentId,
    ) -> Result<String, AppError> {
        let full = self.store.incident_get(scope, id).await?;
        let revisions = self.store.incident_revisions(scope, id).await?;
        Ok(report(&full, &revisions))
    }
}

fn report(full: &IncidentFull, revisions: &[IncidentRevision]) -> String {
    let mut text = String::new();
    let row = &full.row;
    line(&mut text, &format!("# Incident #{}: {}", row.id, plain(&row.sentence)));
    let state = match (row.state, row.close_code) {
        (IncidentState::Closed, Some(code)) => {
            format!("closed as {}", code.as_str().replace('_', " "))
        }
        (state, _) => state.as_str().to_owned(),
    };
    let mut facts = vec![
        format!("Severity: {}", row.severity),
        format!("State: {state}"),
        format!("Began: {} (after {})", row.onset.1, row.onset.0),
        format!("Told: {}", row.opened_at),
    ];
    if let Some(over) = row.resolved_at {
        facts.push(format!("Over: {over}, after {}", lasted(row.onset.1, over)));
    }
    facts.push(format!("Owner: {}", or_nobody(&row.owner)));
    facts.push(format!("Acknowledged by: {}", or_nobody(&row.acknowledged_by)));
    list(&mut text, facts);
    line(&mut text, "\n## Impact\n");
    list(&mut text, impact(worst(full, revisions)));
    line(&mut text, "\n## Cause\n");
    causes(&mut text, full);
    line(&mut text, "\n## Timeline\n");
    list(&mut text, timeline(full));
    line(&mut text, "\n## What was believed, and when\n");
    let belief = |one: &IncidentRevision| {
        let why = if one.revision == 1 { String::new() } else { format!(" ({})", plain(&one.why)) };
        format!("{}: {}{why}", one.at, plain(&one.sentence))
    };
    list(&mut text, revisions.iter().map(belief));
    line(&mut text, "\n## What went well, and what did not\n\n- \n");
    line(&mut text, "## What is to be done\n\n- [ ] ");
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a text cannot fail.
    writeln!(text, "{line}").unwrap_or(());
}

fn list(text: &mut String, items: impl IntoIterator<Item = String>) {
    items.into_iter().for_each(|item| line(text, &format!("- {item}")));
}

/// In one line, and without what Markdown would take for its own.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => out.push(' '),
            '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '|' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

fn or_nobody(name: &str) -> String {
    if name.is_empty() { "nobody".to_owned() } else { plain(name) }
}

fn lasted(from: UtcMicros, to: UtcMicros) -> String {
    let seconds = to.since(from).as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min} min"),
    }
}

/// What it hit when it hit most: at its end it hits nobody.
fn worst<'a>(full: &'a IncidentFull, revisions: &'a [IncidentRevision]) -> &'a IncidentBody {
    let bodies = revisions.iter().map(|revision| &revision.body);
    let hits = |body: &&IncidentBody| (body.impact.targets_down, body.impact.targets_degraded);
    // Of several that hit as many, the last knows most.
    bodies.chain([&full.body]).max_by_key(hits).unwrap_or(&full.body)
}

fn impact(body: &IncidentBody) -> Vec<String> {
    let impact = &body.impact;
    let mut all = vec![
        format!("Targets down, at worst: {}", impact.targets_down),
        format!("Targets degraded then: {}", impact.targets_degraded),
    ];
    if 0 < impact.weight {
        all.push(format!("Weight: {} of {}", impact.weight, impact.weight_total));
    }
    if 0 < impact.customers {
        all.push(format!("Customers: {}", impact.customers));
    }
    if 0 < impact.services {
        all.push(format!("Services: {}", impact.services));
    }
    for (what, names, total) in [
        ("Devices down or cut off", &impact.devices, impact.devices_total),
        ("Cut off by one failure more", &impact.devices_exposed, impact.devices_exposed_total),
    ] {
        if 0 < total {
            let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
            all.push(format!("{what}: {total} ({})", names.join(", ")));
        }
    }
    if 0 < body.suppressed_total {
        all.push(format!("Targets under this incident: {}", body.suppressed_total));
    }
    all
}

fn causes(text: &mut String, full: &IncidentFull) {
    for cause in &full.body.causes {
        line(text, &format!("{}\n", cause_line(cause)));
        let piece = |piece: &store::EvidenceBody| {
            let side = if piece.supports { "for" } else { "against" };
            format!("{side}: {}", plain(&piece.text))
        };
        list(text, cause.evidence.iter().map(piece));
        if let Some(tell) = &cause.to_disambiguate {
            list(text, [format!("to be sure: {}", plain(tell))]);
        }
        line(text, "");
    }
    let other = probability(full.body.other_probability);
    line(text, &format!("Something else: {other}"));
}

fn cause_line(cause: &CauseBody) -> String {
    let names: Vec<String> = cause.elements.iter().map(|name| plain(name)).collect();
    format!(
        "**{}** ({}, {}): {}",
        names.join(" or "),
        cause.kind.as_str().replace('_', " "),
        cause.mode.as_str().replace('_', " "),
        probability(cause.probability)
    )
}

fn timeline(full: &IncidentFull) -> Vec<String> {
    let mut all = vec![format!("{}: first symptom", full.row.onset.1)];
    let entry = |entry: &IncidentEntry| {
        let who = match (entry.actor_kind.as_str(), entry.actor_name.as_str()) {
            ("system", _) => String::new(),
            (kind, "") => format!("{} ", kind.replace('_', " ")),
            (_, name) => format!("{} ", plain(name)),
        };
        let did = entry.kind.as_str().replace('_', " ");
        let note = match entry.note.as_str() {
            "" => String::new(),
            note if entry.kind == EntryKind::Assigned => format!(" {}", plain(note)),
            note => format!(": {}", plain(note)),
        };
        let told = if entry.is_told { " (people were told)" } else { "" };
        format!("{}: {who}{did}{note}{told}", entry.at)
    };
    all.extend(full.entries.iter().map(entry));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_no_markdown_and_stays_in_its_line() {
        assert_eq!(plain("a_b\n# not a head"), "a\\_b \\# not a head");
    }

    #[test]
    fn a_length_is_said_with_its_two_largest_units() {
        let at = |s: i64| UtcMicros(s * 1_000_000);
        assert_eq!(lasted(at(0), at(59)), "59 s");
        assert_eq!(lasted(at(0), at(61)), "1 min 1 s");
        assert_eq!(lasted(at(0), at(7_260)), "2 h 1 min");
    }
}
