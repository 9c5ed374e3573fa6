//! What is sent: one form for all messages. The JSON schema that receivers go by is made of these
//! types.

use model::UtcMicros;
use serde::Serialize;
use serde_json::{Value, json};
use store::NewMessage;
use utoipa::{PartialSchema, ToSchema};

/// Where the schema calls itself home: in each installation and in the source.
const SCHEMA_ID: &str = "urn:faultline:webhook-messages:v1";

/// A message, as each webhook gets it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum WebhookMessage {
    Test(TestMessage),
    Incident(Box<IncidentMessage>),
    Monitor(MonitorMessage),
    Digest(DigestMessage),
    Maintenance(MaintenanceMessage),
}

/// Somebody asked whether messages arrive.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TestMessage {
    #[serde(rename = "type")]
    kind: TestKind,
    /// When it was asked for, in UTC.
    #[schema(format = DateTime)]
    timestamp: String,
    data: TestContent,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TestKind {
    Test,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TestContent {
    /// The whole in one line.
    text: String,
}

/// What became of an incident.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct IncidentMessage {
    #[serde(rename = "type")]
    pub(crate) kind: IncidentKind,
    /// When that was judged, in UTC.
    #[schema(format = DateTime)]
    pub(crate) timestamp: String,
    pub(crate) data: IncidentContent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) enum IncidentKind {
    #[serde(rename = "incident.opened")]
    Opened,
    #[serde(rename = "incident.reopened")]
    Reopened,
    #[serde(rename = "incident.revised")]
    Revised,
    #[serde(rename = "incident.cause_changed")]
    CauseChanged,
    #[serde(rename = "incident.resolved")]
    Resolved,
    #[serde(rename = "incident.merged")]
    Merged,
}

impl IncidentKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            IncidentKind::Opened => "incident.opened",
            IncidentKind::Reopened => "incident.reopened",
            IncidentKind::Revised => "incident.revised",
            IncidentKind::CauseChanged => "incident.cause_changed",
            IncidentKind::Resolved => "incident.resolved",
            IncidentKind::Merged => "incident.merged",
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct IncidentContent {
    /// The whole in one line, for a chat or a pager.
    #[schema(example = "#42 critical: core1--core2 is down")]
    pub(crate) text: String,
    /// Where it is in the console of this server.
    #[schema(example = "/incidents/42")]
    pub(crate) path: String,
    /// The same with the server's own address; null unless `http.public_url` says which.
    #[schema(required, example = "https://noc.example.net/incidents/42")]
    pub(crate) link: Option<String>,
    /// The number that people call it by.
    pub(crate) incident: u32,
    /// Grows with each thing that became of it.
    pub(crate) revision: u32,
    #[schema(example = "critical")]
    pub(crate) severity: &'static str,
    pub(crate) sentence: String,
    /// What changed; empty if the sentence says all.
    pub(crate) note: String,
    /// It began after this moment …
    #[schema(format = DateTime)]
    pub(crate) onset_after: String,
    /// … and not after this one.
    #[schema(format = DateTime)]
    pub(crate) onset_until: String,
    /// Null if nothing is known of it.
    #[schema(required)]
    pub(crate) likely_cause: Option<LikelyCause>,
    pub(crate) impact: MessageImpact,
    /// Targets whose own alert it stands for.
    pub(crate) targets_suppressed: usize,
    pub(crate) next_steps: Vec<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LikelyCause {
    /// Several if nothing observed tells them apart.
    pub(crate) elements: Vec<String>,
    #[schema(example = "link")]
    pub(crate) kind: &'static str,
    #[schema(example = "down")]
    pub(crate) mode: &'static str,
    pub(crate) probability: f64,
    /// The weightiest first; the rest is on the incident's page.
    pub(crate) evidence: Vec<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MessageImpact {
    pub(crate) targets_down: u32,
    pub(crate) targets_degraded: u32,
    pub(crate) customers: u64,
    pub(crate) services: u64,
    pub(crate) devices_cut_off: usize,
    pub(crate) devices_exposed: usize,
}

/// Whether the monitor itself sees. While it does not, nothing else is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MonitorMessage {
    #[serde(rename = "type")]
    pub(crate) kind: MonitorKind,
    /// When that was judged, in UTC.
    #[schema(format = DateTime)]
    pub(crate) timestamp: String,
    pub(crate) data: MonitorContent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) enum MonitorKind {
    #[serde(rename = "monitor.blind")]
    Blind,
    #[serde(rename = "monitor.sees")]
    Sees,
}

impl MonitorKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            MonitorKind::Blind => "monitor.blind",
            MonitorKind::Sees => "monitor.sees",
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MonitorContent {
    /// The whole in one line, for a chat or a pager.
    pub(crate) text: String,
    #[schema(example = "/agents")]
    pub(crate) path: String,
    #[schema(required, example = "https://noc.example.net/agents")]
    pub(crate) link: Option<String>,
    /// When an agent saw the network last before.
    #[schema(format = DateTime)]
    pub(crate) blind_since: String,
    pub(crate) next_steps: Vec<String>,
}

/// What changed of incidents since the last one, for whoever was not told of each thing. Nothing is
/// sent when nothing changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DigestMessage {
    #[serde(rename = "type")]
    pub(crate) kind: DigestKind,
    /// Until when it counts, in UTC.
    #[schema(format = DateTime)]
    pub(crate) timestamp: String,
    pub(crate) data: DigestContent,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) enum DigestKind {
    #[serde(rename = "incident.digest")]
    Digest,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DigestContent {
    /// The whole in one line, for a chat or a pager.
    pub(crate) text: String,
    #[schema(example = "/incidents")]
    pub(crate) path: String,
    #[schema(required, example = "https://noc.example.net/incidents")]
    pub(crate) link: Option<String>,
    /// When the first thing happened that nobody was told of.
    #[schema(format = DateTime)]
    pub(crate) since: String,
    pub(crate) opened: u32,
    pub(crate) reopened: u32,
    pub(crate) resolved: u32,
    pub(crate) merged: u32,
    pub(crate) closed: u32,
    /// Other figures, another way to fail, or a candidate less: what was told of none.
    pub(crate) revised: u32,
    /// Things that people did, closing and reopening included.
    pub(crate) by_people: u32,
    /// Targets whose own alert those stand for that changed.
    pub(crate) targets_suppressed: usize,
    /// More than 500 incidents changed, and only the last 500 are in `targets_suppressed`.
    pub(crate) is_suppressed_more: bool,
    /// Open ones of all, and of these those that nobody acknowledged.
    pub(crate) open: u64,
    pub(crate) unacknowledged: u64,
    /// Those that changed, the worst first; at most 20, of the last 500.
    pub(crate) incidents: Vec<DigestIncidentContent>,
    /// How many changed.
    pub(crate) incidents_total: u32,
    /// The last entry of a timeline that it counts; the next digest goes on after it.
    pub(crate) last_entry: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DigestIncident)]
pub(crate) struct DigestIncidentContent {
    pub(crate) incident: u32,
    #[schema(example = "/incidents/42")]
    pub(crate) path: String,
    #[schema(example = "open")]
    pub(crate) state: &'static str,
    #[schema(example = "critical")]
    pub(crate) severity: &'static str,
    pub(crate) sentence: String,
    /// Changes that nobody was told of.
    pub(crate) changes: u32,
    pub(crate) targets_suppressed: usize,
}

/// A maintenance window is over, and something that nobody was told of meanwhile did not come back.
/// Nothing is sent when all came back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MaintenanceMessage {
    #[serde(rename = "type")]
    pub(crate) kind: MaintenanceKind,
    /// When that was judged, in UTC.
    #[schema(format = DateTime)]
    pub(crate) timestamp: String,
    pub(crate) data: MaintenanceContent,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) enum MaintenanceKind {
    #[serde(rename = "maintenance.not_back")]
    NotBack,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MaintenanceContent {
    /// The whole in one line, for a chat or a pager.
    pub(crate) text: String,
    #[schema(example = "/maintenance/3")]
    pub(crate) path: String,
    #[schema(required, example = "https://noc.example.net/maintenance/3")]
    pub(crate) link: Option<String>,
    pub(crate) maintenance: u32,
    pub(crate) title: String,
    /// Null if that was long ago.
    #[schema(required, format = DateTime)]
    pub(crate) ended_at: Option<String>,
    /// The worst first; at most 20. They go on as any other incident from now on.
    pub(crate) incidents: Vec<NotBackContent>,
    pub(crate) incidents_total: usize,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NotBack)]
pub(crate) struct NotBackContent {
    pub(crate) incident: u32,
    #[schema(example = "/incidents/42")]
    pub(crate) path: String,
    #[schema(required, example = "https://noc.example.net/incidents/42")]
    pub(crate) link: Option<String>,
    #[schema(example = "critical")]
    pub(crate) severity: &'static str,
    pub(crate) sentence: String,
    /// The likeliest cause; several if nothing observed tells them apart.
    pub(crate) elements: Vec<String>,
    /// Targets that are still out, at most 20.
    pub(crate) targets: Vec<String>,
    pub(crate) targets_total: usize,
}

impl WebhookMessage {
    /// A test of a webhook of this name.
    pub(crate) fn test(webhook: &str, now: UtcMicros) -> WebhookMessage {
        let text = format!("A test of the webhook `{webhook}`: nothing is the matter.");
        WebhookMessage::Test(TestMessage {
            kind: TestKind::Test,
            timestamp: now.to_string(),
            data: TestContent { text },
        })
    }

    /// As it is put to the outbox under a key of its own; `subject` is what it must not overtake
    /// another message of.
    pub(crate) fn put(&self, key: String, subject: String) -> NewMessage {
        let kind = match self {
            WebhookMessage::Test(_) => "test",
            WebhookMessage::Incident(message) => message.kind.as_str(),
            WebhookMessage::Monitor(message) => message.kind.as_str(),
            WebhookMessage::Digest(_) => "incident.digest",
            WebhookMessage::Maintenance(_) => "maintenance.not_back",
        };
        // Numbers and texts always become JSON.
        let body = serde_json::to_string(self).unwrap_or_default();
        NewMessage { key, kind: kind.to_owned(), subject, body }
    }
}

/// The JSON schema (2020-12) of every message, as text with sorted keys.
pub(crate) fn message_schema_json() -> String {
    let mut schemas = vec![(WebhookMessage::name().into_owned(), WebhookMessage::schema())];
    WebhookMessage::schemas(&mut schemas);
    let definitions: serde_json::Map<String, Value> = schemas
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .collect();
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Messages of Faultline's webhooks",
        "description": "More fields and types may come: take no notice of those you do not know.",
        "$ref": "#/$defs/WebhookMessage",
        "$defs": definitions,
    });
    let text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    // The one difference between where an OpenAPI document and a schema keep their parts.
    text.replace("#/components/schemas/", "#/$defs/") + "\n"
}

#[cfg(test)]
pub(crate) mod check {
    //! As much of JSON schema as the schema of messages uses.

    use serde_json::Value;

    /// Every way in which a message is not as the published schema says; also what it says nothing
    /// of, so that a field cannot be forgotten.
    pub(crate) fn faults(message: &str) -> Vec<String> {
        let schema: Value = serde_json::from_str(&super::message_schema_json()).unwrap();
        let message: Value = serde_json::from_str(message).unwrap();
        of(&schema, &schema, &message, "")
    }

    fn of(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        if let Some(name) = schema["$ref"].as_str() {
            let at = name.strip_prefix('#').unwrap();
            return of(root, root.pointer(at).unwrap(), value, place);
        }
        if let Some(any) = schema["oneOf"].as_array() {
            let all: Vec<_> = any.iter().map(|one| of(root, one, value, place)).collect();
            let fits = all.iter().filter(|faults| faults.is_empty()).count();
            return if fits == 1 { Vec::new() } else { all.concat() };
        }
        let mut faults = Vec::new();
        let kinds: Vec<&str> = match (schema["type"].as_str(), schema["type"].as_array()) {
            (Some(kind), _) => vec![kind],
            (None, kinds) => kinds.into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let is_number = is == "integer" && kinds.contains(&"number");
        if !is_number && !kinds.contains(&is) {
            return vec![format!("{place}: {is}, not {kinds:?}")];
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            faults.push(format!("{place}: {value} is none of {allowed:?}"));
        }
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            faults.extend(of(root, &schema["items"], item, &format!("{place}[{at}]")));
        }
        if let Some(object) = value.as_object() {
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                if !object.contains_key(name) {
                    faults.push(format!("{place}.{name}: missing"));
                }
            }
            for (name, value) in object {
                let place = format!("{place}.{name}");
                match schema["properties"].get(name) {
                    Some(schema) => faults.extend(of(root, schema, value, &place)),
                    None => faults.push(format!("{place}: not in the schema")),
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::{check::faults, *};

    #[test]
    fn a_test_is_as_the_schema_says_and_a_stranger_is_not() {
        let test = WebhookMessage::test("noc", UtcMicros(0)).put("k".to_owned(), "s".to_owned());
        assert_eq!((test.kind.as_str(), faults(&test.body)), ("test", Vec::new()));
        for (bad, fault) in [
            (r#"{"type":"test","data":{"text":""}}"#, ".timestamp: missing"),
            (r#"{"type":"tset","timestamp":"","data":{"text":""}}"#, "is none of"),
            (r#"{"type":"test","timestamp":"","data":{"text":1}}"#, ".data.text: integer"),
            (r#"{"type":"test","timestamp":"","data":{"text":"","x":1}}"#, ".data.x: not in"),
        ] {
            let found = faults(bad);
            assert!(found.iter().any(|found| found.contains(fault)), "{bad}: {found:?}");
        }
    }

    #[test]
    fn the_published_schema_is_the_one_of_this_program() {
        expect_test::expect_file!["../../../../openapi/webhook-messages.json"]
            .assert_eq(&message_schema_json());
    }
}
