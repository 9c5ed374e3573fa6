//! The digest: what changed of incidents and was told to nobody, one message in a while.

use std::time::Duration;

use model::{EntryKind, UtcMicros};
use serde::Deserialize;
use store::{DigestAfter, DigestIncident, IncidentDigest, NewMessage, Scope, StoreError};

use super::App;
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
/// What is judged at a moment is stored this much later at most, on a good day; on another it is
/// in the next digest.
const SETTLE: Duration = Duration::from_secs(60);

/// The end of the last whole period, which begin and end at the same moments in every process.
pub(crate) fn period_end(now: UtcMicros, every: Duration) -> UtcMicros {
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    let settled = now - SETTLE;
    UtcMicros(settled.0 - settled.0.rem_euclid(every))
}

impl App {
    /// Puts the digest of what happened until `until` and no digest counted.
    ///
    /// 1 - There is none when nothing changed that people were not told of, or this one is there.
    /// 2 - There is none while the monitor is blind: nothing but that is told.
    /// 3 - It begins with the first thing that people were not told of, however long ago that was.
    /// 4 - Without a digest before it that is as long ago as digests are kept: what is older was
    ///     counted by one that is gone.
    pub(crate) async fn digest(&self, scope: &Scope, until: UtcMicros) -> Result<(), StoreError> {
        let monitor = self.store.message_last(scope, MONITOR).await?;
        if monitor.is_some_and(|last| last.kind == MonitorKind::Blind.as_str()) {
            return Ok(());
        }
        let last = self.store.message_last(scope, DIGEST).await?;
        if last.as_ref().and_then(end_of).is_some_and(|end| until <= end) {
            return Ok(());
        }
        let kept_since = until - self.config.retention.messages;
        let after = last.as_ref().and_then(last_entry);
        let after = after.map_or(DigestAfter::Time(kept_since), DigestAfter::Entry);
        let digest = self.store.incident_digest(scope, after, until).await?;
        if let Some(digest) = digest {
            let message = message(&digest, until, self.config.http.public_url.as_ref());
            self.store.message_put(scope, &message, self.clock.now()).await?;
        }
        Ok(())
    }
}

/// Until when a digest counted.
fn end_of(last: &NewMessage) -> Option<UtcMicros> {
    Some(UtcMicros(last.key.split('.').nth(1)?.parse().ok()?))
}

/// The last entry that a digest counted.
fn last_entry(last: &NewMessage) -> Option<u64> {
    #[derive(Deserialize)]
    struct Counted {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        last_entry: u64,
    }
    let counted: Counted = serde_json::from_str(&last.body).ok()?;
    Some(counted.data.last_entry)
}

fn message(digest: &IncidentDigest, until: UtcMicros, public: Option<&PublicUrl>) -> NewMessage {
    let count = |kind| digest.happened.get(&kind).copied().unwrap_or(0);
    let path = "/incidents".to_owned();
    let data = DigestContent {
        text: text(digest),
        link: public.map(|public| public.link(&path)),
        path,
        since: digest.since.to_string(),
        opened: count(EntryKind::Opened),
        reopened: count(EntryKind::Reopened),
        resolved: count(EntryKind::Resolved),
        merged: count(EntryKind::Merged),
        closed: count(EntryKind::Closed),
        revised: count(EntryKind::Revised),
        by_people: digest.by_people,
        targets_suppressed: digest.suppressed_total,
        is_suppressed_more: digest.is_suppressed_more,
        open: digest.open,
        unacknowledged: digest.unacknowledged,
        incidents: digest.incidents.iter().map(incident).collect(),
        incidents_total: digest.incidents_total,
        last_entry: digest.last_entry,
    };
    let message = DigestMessage { kind: DigestKind::Digest, timestamp: until.to_string(), data };
    let key = format!("{DIGEST}.{:020}", until.0);
    WebhookMessage::Digest(message).put(key, DIGEST.to_owned())
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
    let happened = digest.happened.iter();
    let happened = happened.map(|(kind, count)| {
        let kind = kind.as_str().replace('_', " ");
        format!("{count} {kind}")
    });
    let happened: Vec<String> = happened.collect();
    format!(
        "Incidents: {}; {} open, {} of them acknowledged by nobody; those that changed stand for \
         {}{} alerts",
        happened.join(", "),
        digest.open,
        digest.unacknowledged,
        if digest.is_suppressed_more { "at least " } else { "" },
        digest.suppressed_total
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{IncidentId, IncidentState, Severity};
    use serde_json::{Value, json};

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
    fn a_digest_says_what_happened_and_how_far_it_counted() {
        let one = DigestIncident {
            id: IncidentId(42),
            state: IncidentState::Open,
            severity: Severity::Major,
            sentence: "r2--r3 is down".to_owned(),
            untold: 3,
            suppressed_total: 7,
        };
        let mut digest = IncidentDigest {
            happened: BTreeMap::from([(EntryKind::Opened, 1), (EntryKind::CauseChanged, 3)]),
            since: UtcMicros(1_000_000),
            last_entry: 77,
            incidents: vec![one],
            incidents_total: 30,
            suppressed_total: 210,
            open: 2,
            unacknowledged: 1,
            ..IncidentDigest::default()
        };
        let until = UtcMicros(900_000_000);
        let told = message(&digest, until, None);
        assert_eq!(
            (told.key.as_str(), told.kind.as_str()),
            ("digest.00000000000900000000", "incident.digest")
        );
        assert_eq!((end_of(&told), last_entry(&told)), (Some(until), Some(77)));
        assert_eq!(faults(&told.body), Vec::<String>::new());
        let data = serde_json::from_str::<Value>(&told.body).unwrap()["data"].take();
        assert_eq!((&data["opened"], &data["incidents_total"]), (&json!(1), &json!(30)));
        assert_eq!(
            data["text"],
            "Incidents: 1 opened, 3 cause changed; 2 open, 1 of them acknowledged by nobody; \
             those that changed stand for 210 alerts"
        );
        digest.is_suppressed_more = true;
        assert!(text(&digest).ends_with("stand for at least 210 alerts"));
    }
}
