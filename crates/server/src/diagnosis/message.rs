//! What people outside are told of an incident, and of the monitor itself.

use engine::{
    live::{MonitorChange, Voice},
    rca::next_steps,
};
use model::{MaintenanceId, UtcMicros};
use store::{CauseBody, IncidentSave, IncidentStep, NewMessage};

use crate::{
    config::PublicUrl,
    notify::message::{
        IncidentContent, IncidentKind, IncidentMessage, LikelyCause, MaintenanceContent,
        MaintenanceKind, MaintenanceMessage, MessageImpact, MonitorContent, MonitorKind,
        MonitorMessage, NotBackContent, WebhookMessage,
    },
};

/// What keys of messages about the monitor begin with.
pub(crate) const MONITOR: &str = "monitor";

/// What to do when no agent sees.
const BLIND_STEPS: [&str; 3] = [
    "look whether this server reaches its network: its line, its switch port, its firewall",
    "look whether agents run and reach it: `faultline-agent status` on one of them",
    "nothing is lost: agents keep what they learn and send it when they reach this server again",
];

/// What to do of targets that are down for nobody knows what.
const UNNAMED_STEPS: [&str; 2] = [
    "look at the target itself, and at what it stands behind: \
     `faultline target show NAME` says who asked it last and what came back",
    "say where it stands in the topology: then the cause is named the next time",
];

/// Evidence that a message carries, the weightiest first; the rest is on the incident's page.
const EVIDENCE_MAX: usize = 5;
/// Incidents that a message about a window names, and targets of each; how many there are is said.
const NOT_BACK_MAX: usize = 20;

/// The message of a step in the voice in which people are told; `None` if they are not.
pub(super) fn in_voice(
    voice: Voice,
    save: &IncidentSave,
    at: UtcMicros,
    public: Option<&PublicUrl>,
) -> Option<NewMessage> {
    match voice {
        Voice::Speaks => Some(of(save, at, public)),
        Voice::AsNews => {
            let opened = IncidentSave { step: IncidentStep::Opened, ..save.clone() };
            Some(of(&opened, at, public))
        }
        Voice::Silent | Voice::NotBack(_) => None,
    }
}

/// Makes the message about what did not come back from a window. It is put with the incidents that
/// it tells of, which go on as any other from then on: so it is told once.
pub(super) fn of_return(
    (id, (title, ended)): (MaintenanceId, (String, Option<UtcMicros>)),
    saves: &[&IncidentSave],
    at: UtcMicros,
    public: Option<&PublicUrl>,
) -> NewMessage {
    let of_one = |save: &&IncidentSave| {
        let path = format!("/incidents/{}", save.id);
        let targets = save.body.suppressed.iter().map(|one| one.target.clone());
        NotBackContent {
            incident: save.id.0,
            link: public.map(|public| public.link(&path)),
            path,
            severity: save.severity.as_str(),
            sentence: save.sentence.clone(),
            elements: save.body.causes.first().map_or_else(Vec::new, |c| c.elements.clone()),
            targets: targets.take(NOT_BACK_MAX).collect(),
            targets_total: save.body.suppressed_total,
        }
    };
    let mut worst: Vec<&&IncidentSave> = saves.iter().collect();
    worst.sort_by_key(|save| (save.severity, save.id));
    let sentences: Vec<String> = worst
        .iter()
        .take(3)
        .map(|save| format!("#{} {}", save.id, save.sentence.trim_end_matches('.')))
        .collect();
    let more = match saves.len().saturating_sub(sentences.len()) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let text = format!(
        "Maintenance #{id} “{title}” is over, and this did not come back: {}{more}",
        sentences.join("; ")
    );
    let path = format!("/maintenance/{id}");
    let data = MaintenanceContent {
        text,
        link: public.map(|public| public.link(&path)),
        path,
        maintenance: id.0,
        title,
        ended_at: ended.map(|at| at.to_string()),
        incidents: worst.into_iter().take(NOT_BACK_MAX).map(of_one).collect(),
        incidents_total: saves.len(),
    };
    let kind = MaintenanceKind::NotBack;
    let message = MaintenanceMessage { kind, timestamp: at.to_string(), data };
    let key = format!("maintenance.{id}.{:020}.not_back", at.0);
    WebhookMessage::Maintenance(message).put(key, format!("maintenance.{id}"))
}

/// Makes the message of a step. Its key is the step's own, so it is sent once.
pub(super) fn of(save: &IncidentSave, at: UtcMicros, public: Option<&PublicUrl>) -> NewMessage {
    let kind = match save.step {
        IncidentStep::Opened => IncidentKind::Opened,
        IncidentStep::Reopened | IncidentStep::Worsened => IncidentKind::Reopened,
        IncidentStep::Refreshed | IncidentStep::Revised | IncidentStep::NotBack => {
            IncidentKind::Revised
        }
        IncidentStep::CauseChanged => IncidentKind::CauseChanged,
        IncidentStep::Resolved => IncidentKind::Resolved,
        IncidentStep::Merged { .. } => IncidentKind::Merged,
    };
    // Nobody is sent anywhere for what is over.
    let is_over = matches!(save.step, IncidentStep::Resolved | IncidentStep::Merged { .. });
    let cause = save.body.causes.first();
    let impact = &save.body.impact;
    let path = format!("/incidents/{}", save.id);
    let data = IncidentContent {
        text: text(save),
        link: public.map(|public| public.link(&path)),
        path,
        incident: save.id.0,
        revision: save.revision,
        severity: save.severity.as_str(),
        sentence: save.sentence.clone(),
        note: save.note.clone(),
        onset_after: save.onset.0.to_string(),
        onset_until: save.onset.1.to_string(),
        likely_cause: cause.map(cause_of),
        impact: MessageImpact {
            targets_down: impact.targets_down,
            targets_degraded: impact.targets_degraded,
            customers: impact.customers,
            services: impact.services,
            devices_cut_off: impact.devices_total,
            devices_exposed: impact.devices_exposed_total,
        },
        targets_suppressed: save.body.suppressed_total,
        next_steps: match cause {
            _ if is_over => Vec::new(),
            Some(cause) => steps_of(cause),
            None => UNNAMED_STEPS.map(str::to_owned).to_vec(),
        },
    };
    let message = IncidentMessage { kind, timestamp: at.to_string(), data };
    let key = format!("incident.{}.{}", save.id, save.revision);
    WebhookMessage::Incident(Box::new(message)).put(key, format!("incident.{}", save.id))
}

/// Makes the message about the monitor itself. Its key is of when it went blind, so that each time
/// is told once, and the last one is found by its key.
pub(super) fn of_monitor(
    change: MonitorChange,
    at: UtcMicros,
    public: Option<&PublicUrl>,
) -> NewMessage {
    let (kind, since) = match change {
        MonitorChange::Blind { since, .. } => (MonitorKind::Blind, since),
        MonitorChange::Sees { blind_since } => (MonitorKind::Sees, blind_since),
    };
    let (text, next_steps) = match change {
        MonitorChange::Blind { agents, .. } => {
            let none = match agents {
                1 => "its one agent does not see".to_owned(),
                agents => format!("none of its {agents} agents sees"),
            };
            let text = format!(
                "Faultline is blind since {since}: {none} the network, or cannot say so. Nothing \
                 else is told until one does"
            );
            (text, BLIND_STEPS.map(str::to_owned).to_vec())
        }
        MonitorChange::Sees { .. } => {
            let text = format!(
                "Faultline sees again: it was blind from {since} to {at}. What agents kept \
                 meanwhile is judged as it comes in"
            );
            (text, Vec::new())
        }
    };
    let path = "/agents".to_owned();
    let link = public.map(|public| public.link(&path));
    let blind_since = since.to_string();
    let data = MonitorContent { text, path, link, blind_since, next_steps };
    let message = MonitorMessage { kind, timestamp: at.to_string(), data };
    // By time, and of one time the end after the beginning: `blind` comes before `sees`.
    let word = kind.as_str().trim_start_matches("monitor.");
    let key = format!("{MONITOR}.{:020}.{word}", since.0);
    WebhookMessage::Monitor(message).put(key, MONITOR.to_owned())
}

/// Since when people know that the monitor is blind, by the last message about it.
pub(super) fn blind_since(last: Option<&NewMessage>) -> Option<UtcMicros> {
    let last = last.filter(|last| last.kind == MonitorKind::Blind.as_str())?;
    Some(UtcMicros(last.key.split('.').nth(1)?.parse().ok()?))
}

/// The message in one line, for a chat or a pager.
fn text(save: &IncidentSave) -> String {
    let (number, sentence) = (save.id, save.sentence.trim_end_matches('.'));
    match save.step {
        IncidentStep::Opened
        | IncidentStep::Refreshed
        | IncidentStep::Revised
        | IncidentStep::NotBack => {
            format!("#{number} {}: {sentence}", save.severity.as_str())
        }
        IncidentStep::Worsened => {
            format!("#{number} is worse than when it was closed: {sentence}")
        }
        IncidentStep::Reopened => format!("#{number} is back: {sentence}"),
        IncidentStep::CauseChanged => format!("#{number} has another cause: {sentence}"),
        IncidentStep::Resolved => format!("#{number} is over: {sentence}"),
        IncidentStep::Merged { into } => format!("#{number} is part of #{into}: {sentence}"),
    }
}

fn cause_of(cause: &CauseBody) -> LikelyCause {
    let mut evidence: Vec<_> = cause.evidence.iter().collect();
    evidence.sort_by(|a, b| b.log_ratio.abs().total_cmp(&a.log_ratio.abs()));
    let evidence = evidence.into_iter().take(EVIDENCE_MAX).map(|piece| piece.text.clone());
    LikelyCause {
        elements: cause.elements.clone(),
        kind: cause.kind.as_str(),
        mode: cause.mode.as_str(),
        probability: (cause.probability * 10_000.0).round() / 10_000.0,
        evidence: evidence.collect(),
    }
}

fn steps_of(cause: &CauseBody) -> Vec<String> {
    next_steps(cause.kind, cause.mode, &cause.elements.join(" or "))
}

#[cfg(test)]
mod tests {
    use model::{ElementKind, FaultMode, IncidentId, Severity};
    use serde_json::Value;
    use store::{EvidenceBody, IncidentBody};

    use super::*;
    use crate::notify::message::check::faults;

    fn cause() -> CauseBody {
        CauseBody {
            elements: vec!["core1--core2".to_owned()],
            kind: ElementKind::Link,
            mode: FaultMode::Down,
            loss_ppm: None,
            rtt_us_added: None,
            probability: 0.97,
            evidence: vec![EvidenceBody {
                supports: true,
                log_ratio: 8.0,
                text: "41 of 41 rounds lost".to_owned(),
                refs: Vec::new(),
            }],
            to_disambiguate: None,
        }
    }

    fn told(step: IncidentStep) -> (String, Value) {
        let save = IncidentSave {
            id: IncidentId(42),
            step,
            note: String::new(),
            revision: 3,
            severity: Severity::Critical,
            onset: (UtcMicros(0), UtcMicros(1_000_000)),
            sentence: "core1--core2 is down.".to_owned(),
            body: IncidentBody { causes: vec![cause()], ..IncidentBody::default() },
            pairs: Vec::new(),
            message: None,
            maintenance: None,
        };
        let public = PublicUrl::parse("https://noc.example.net/faultline/").unwrap();
        let message = of(&save, UtcMicros(2_000_000), Some(&public));
        assert_eq!(faults(&message.body), Vec::<String>::new(), "as the schema says");
        (message.key, serde_json::from_str(&message.body).unwrap())
    }

    #[test]
    fn that_the_monitor_is_blind_is_told_under_a_key_that_says_since_when() {
        let (since, at) = (UtcMicros(5_000_000), UtcMicros(65_000_000));
        let blind = of_monitor(MonitorChange::Blind { since, agents: 3 }, at, None);
        let sees = of_monitor(MonitorChange::Sees { blind_since: since }, at, None);
        assert_eq!((faults(&blind.body), faults(&sees.body)), (Vec::new(), Vec::new()));
        assert_eq!(blind.key, "monitor.00000000000005000000.blind");
        assert!(blind.key < sees.key, "the last one says how it is");
        assert_eq!(blind_since(Some(&blind)), Some(since));
        assert_eq!((blind_since(Some(&sees)), blind_since(None)), (None, None));
        let body: Value = serde_json::from_str(&blind.body).unwrap();
        assert_eq!(body["type"], "monitor.blind");
        assert_eq!(body["data"]["blind_since"], "1970-01-01T00:00:05Z");
        let text = body["data"]["text"].as_str().unwrap();
        assert!(text.starts_with("Faultline is blind since 1970-01-01T00:00:05Z: none"), "{text}");
    }

    #[test]
    fn a_message_says_what_happened_in_one_line_and_in_the_form_of_all() {
        let (key, body) = told(IncidentStep::Opened);
        assert_eq!(key, "incident.42.3");
        assert_eq!(body["type"], "incident.opened");
        assert_eq!(body["timestamp"], "1970-01-01T00:00:02Z");
        assert_eq!(body["data"]["text"], "#42 critical: core1--core2 is down");
        assert_eq!(body["data"]["onset_until"], "1970-01-01T00:00:01Z");
        assert_eq!(body["data"]["path"], "/incidents/42");
        assert_eq!(body["data"]["link"], "https://noc.example.net/faultline/incidents/42");
        assert_eq!(body["data"]["likely_cause"]["evidence"][0], "41 of 41 rounds lost");
        for (step, text) in [
            (IncidentStep::Reopened, "#42 is back: core1--core2 is down"),
            (IncidentStep::Worsened, "#42 is worse than when it was closed: core1--core2 is down"),
            (IncidentStep::Revised, "#42 critical: core1--core2 is down"),
            (IncidentStep::CauseChanged, "#42 has another cause: core1--core2 is down"),
            (IncidentStep::Resolved, "#42 is over: core1--core2 is down"),
            (
                IncidentStep::Merged { into: IncidentId(7) },
                "#42 is part of #7: core1--core2 is down",
            ),
        ] {
            let data = &told(step).1["data"];
            let is_over = matches!(step, IncidentStep::Resolved | IncidentStep::Merged { .. });
            assert_eq!(data["text"], text);
            assert_eq!(data["next_steps"].as_array().unwrap().is_empty(), is_over, "{text}");
        }
    }
}
