//! What people outside are told of an incident.

use engine::rca::next_steps;
use model::UtcMicros;
use serde_json::{Value, json};
use store::{CauseBody, IncidentSave, IncidentStep, NewMessage};

/// Evidence that a message carries, the weightiest first; the rest is on the incident's page.
const EVIDENCE_MAX: usize = 5;

/// Makes the message of a step. Its key is the step's own, so it is sent once.
pub(super) fn of(save: &IncidentSave, at: UtcMicros) -> NewMessage {
    let kind = match save.step {
        IncidentStep::Opened => "incident.opened",
        IncidentStep::Reopened => "incident.reopened",
        IncidentStep::Refreshed | IncidentStep::Revised => "incident.revised",
        IncidentStep::CauseChanged => "incident.cause_changed",
        IncidentStep::Resolved => "incident.resolved",
        IncidentStep::Merged { .. } => "incident.merged",
    };
    let cause = save.body.causes.first();
    let impact = &save.body.impact;
    let body = json!({
        "kind": kind,
        "at": at.to_string(),
        "incident": save.id.0,
        "revision": save.revision,
        "severity": save.severity.as_str(),
        "what": save.sentence,
        "note": save.note,
        "since": save.onset.1.to_string(),
        "cause": cause.map(cause_of),
        "impact": {
            "targets_down": impact.targets_down,
            "targets_degraded": impact.targets_degraded,
            "weight": impact.weight,
            "customers": impact.customers,
            "services": impact.services,
        },
        "suppressed": save.body.suppressed_total,
        "next_steps": cause.map(steps_of),
        "path": format!("/incidents/{}", save.id),
    });
    NewMessage {
        key: format!("incident.{}.{}", save.id, save.revision),
        kind: kind.to_owned(),
        subject: format!("incident.{}", save.id),
        body: body.to_string(),
    }
}

fn cause_of(cause: &CauseBody) -> Value {
    let mut evidence: Vec<_> = cause.evidence.iter().collect();
    evidence.sort_by(|a, b| b.log_ratio.abs().total_cmp(&a.log_ratio.abs()));
    let evidence: Vec<&str> =
        evidence.into_iter().take(EVIDENCE_MAX).map(|piece| piece.text.as_str()).collect();
    json!({
        "elements": cause.elements,
        "kind": cause.kind.as_str(),
        "mode": cause.mode.as_str(),
        "probability": (cause.probability * 10_000.0).round() / 10_000.0,
        "evidence": evidence,
    })
}

fn steps_of(cause: &CauseBody) -> Vec<String> {
    next_steps(cause.kind, cause.mode, &cause.elements.join(" or "))
}
