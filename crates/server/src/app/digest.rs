//! The digest: what changed of incidents and was told to nobody, one message in a while.

use std::time::Duration;

use model::{EntryKind, UtcMicros};
use store::{DigestIncident, IncidentDigest, NewMessage, Scope};

use super::{App, AppError};
use crate::{
    config::PublicUrl,
    diagnosis::message::MONITOR,
    notify::message::{
        DigestContent, DigestIncidentContent, DigestKind, DigestMessage, MonitorKind,
        WebhookMessage,
    },
};

/// What keys of digests begin with.
const DIGEST: &str = "digest";
/// Incidents that one digest names; the console has all.
const INCIDENTS_MAX: usize = 20;
/// What is judged at a moment is stored this much later at most, on a good day.
const SETTLE: Duration = Duration::from_secs(60);

/// The end of the last whole period, which begin and end at the same moments in every process.
pub(crate) fn period_end(now: UtcMicros, every: Duration) -> UtcMicros {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    let settled = now - SETTLE;
    UtcMicros(settled.0 - settled.0.rem_euclid(every))
}

impl App {
    /// Puts the digest of everything until `until`, and after the one before it.
    ///
    /// 1 - There is none when nothing changed that people were not told of, or this one is there.
    /// 2 - There is none while the monitor is blind: nothing but that is told.
    pub(crate) async fn digest(
        &self,
        scope: &Scope,
        until: UtcMicros,
        every: Duration,
    ) -> Result<(), AppError> {
        let monitor = self.store.message_last(scope, MONITOR).await?;
        if monitor.is_some_and(|last| last.kind == MonitorKind::Blind.as_str()) {
            return Ok(());
        }
        let last = self.store.message_last(scope, DIGEST).await?;
        let from = last.as_ref().and_then(end_of).unwrap_or(until - every);
        if until <= from {
            return Ok(());
        }
        let digest = self.store.incident_digest(scope, (from, until)).await?;
        let public = self.config.http.public_url.as_ref();
        if let Some(message) = message(&digest, until, public) {
            self.store.message_put(scope, &message, self.clock.now()).await?;
        }
        Ok(())
    }
}

/// Until when a digest counted.
fn end_of(last: &NewMessage) -> Option<UtcMicros> {
    Some(UtcMicros(last.key.split('.').nth(1)?.parse().ok()?))
}

fn message(
    digest: &IncidentDigest,
    until: UtcMicros,
    public: Option<&PublicUrl>,
) -> Option<NewMessage> {
    let since = digest.untold_since?;
    let count = |kind| digest.happened.get(&kind).copied().unwrap_or(0);
    let by_people = [
        EntryKind::Acknowledged,
        EntryKind::Unacknowledged,
        EntryKind::Assigned,
        EntryKind::Commented,
        EntryKind::Closed,
    ];
    let path = "/incidents".to_owned();
    let data = DigestContent {
        text: text(digest),
        link: public.map(|public| public.link(&path)),
        path,
        since: since.to_string(),
        opened: count(EntryKind::Opened),
        reopened: count(EntryKind::Reopened),
        resolved: count(EntryKind::Resolved),
        merged: count(EntryKind::Merged),
        closed: count(EntryKind::Closed),
        revised: count(EntryKind::Revised),
        by_people: by_people.map(count).iter().sum(),
        targets_suppressed: suppressed(digest),
        open: digest.open,
        unacknowledged: digest.unacknowledged,
        incidents: digest.incidents.iter().take(INCIDENTS_MAX).map(incident).collect(),
        incidents_total: digest.incidents.len(),
    };
    let message = DigestMessage { kind: DigestKind::Digest, timestamp: until.to_string(), data };
    let key = format!("{DIGEST}.{:020}", until.0);
    Some(WebhookMessage::Digest(message).put(key, DIGEST.to_owned()))
}

fn suppressed(digest: &IncidentDigest) -> usize {
    digest.incidents.iter().map(|one| one.suppressed_total).sum()
}

fn incident(one: &DigestIncident) -> DigestIncidentContent {
    DigestIncidentContent {
        incident: one.id.0,
        path: format!("/incidents/{}", one.id),
        state: one.state.as_str(),
        severity: one.severity.as_str(),
        sentence: one.sentence.clone(),
        changes: one.untold,
        targets_suppressed: one.suppressed_total,
    }
}

/// What happened, each kind with its count, and what is open.
fn text(digest: &IncidentDigest) -> String {
    let happened = digest.happened.iter().map(|(kind, count)| format!("{count} {kind}"));
    let happened: Vec<String> = happened.collect();
    format!(
        "Incidents: {}; {} open, {} of them acknowledged by nobody; they stand for {} alerts",
        happened.join(", "),
        digest.open,
        digest.unacknowledged,
        suppressed(digest)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{IncidentId, IncidentState, Severity};
    use serde_json::Value;

    use super::*;
    use crate::notify::message::check::faults;

    #[test]
    fn periods_end_at_the_same_moments_in_every_process_and_are_over_when_all_is_stored() {
        let (every, second) = (Duration::from_secs(900), 1_000_000);
        for (now_s, end_s) in [(900, 0), (959, 0), (960, 900), (1_800, 900), (1_860, 1_800)] {
            let end = period_end(UtcMicros(now_s * second), every);
            assert_eq!(end, UtcMicros(end_s * second), "{now_s}");
        }
    }

    #[test]
    fn a_digest_counts_what_happened_and_there_is_none_of_nothing_untold() {
        let one = DigestIncident {
            id: IncidentId(42),
            state: IncidentState::Open,
            severity: Severity::Major,
            sentence: "r2--r3 is down".to_owned(),
            untold: 3,
            suppressed_total: 7,
        };
        let mut digest = IncidentDigest {
            happened: BTreeMap::from([(EntryKind::Opened, 1), (EntryKind::Revised, 3)]),
            untold: 3,
            untold_since: Some(UtcMicros(1_000_000)),
            incidents: vec![one; 30],
            open: 2,
            unacknowledged: 1,
        };
        let until = UtcMicros(900_000_000);
        let told = message(&digest, until, None).unwrap();
        assert_eq!(
            (told.key.as_str(), told.kind.as_str()),
            ("digest.00000000000900000000", "incident.digest")
        );
        assert_eq!((end_of(&told), faults(&told.body)), (Some(until), Vec::new()));
        let body: Value = serde_json::from_str(&told.body).unwrap();
        let data = &body["data"];
        assert_eq!((&data["opened"], &data["revised"]), (&Value::from(1), &Value::from(3)));
        assert_eq!(data["incidents"].as_array().map(Vec::len), Some(INCIDENTS_MAX));
        assert_eq!(
            data["text"],
            "Incidents: 1 opened, 3 revised; 2 open, 1 of them acknowledged by nobody; they stand \
             for 210 alerts"
        );
        digest.untold_since = None;
        assert_eq!(message(&digest, until, None), None);
    }
}
