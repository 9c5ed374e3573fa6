//! An incident as a case file: the network, the rounds of before and while it was open, and what
//! was believed of it, so that a report from the field becomes a test.
//!
//! The network is the one of today: what changed in it since is not known any more.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    case::{AskedTarget, CaseDraft, ExpectedCause},
    live::{FACT_STALE_US, Reported, ask, for_case},
};
use model::{IncidentId, UtcMicros};
use store::{
    FactQuery, IncidentFull, IncidentQuery, IncidentRevision, MINUTES_MAX, PAGE_ROWS_MAX,
    ROUNDS_MAX, RoundQuery, Scope, TargetQuery, TargetRow,
};

use super::super::{App, AppError, aside};
use crate::diagnosis::reported;

/// Rounds of a pair that a judgement looks at: so many before the incident are needed.
const ROUNDS_BEFORE: i64 = 32;
/// And no more than these minutes of them, whatever the tier.
const MINUTES_BEFORE: i64 = 60;
/// What is told of a long incident: its first hours are when its cause was found.
const MINUTES_OPEN: i64 = 6 * 60;
/// Rounds of one file: some 40 MB. Targets that the incident names come first.
const CASE_ROUNDS_MAX: usize = 400_000;
/// Targets of one file.
const CASE_TARGETS_MAX: usize = 20_000;
/// Reports of devices that are looked at for one file.
const CASE_FACTS_MAX: usize = 10_000;
const MINUTE_US: i64 = 60_000_000;
/// Other incidents that were open at its end.
const OTHERS_MAX: u32 = 50;

/// A case file with what it leaves out, in words.
#[derive(Debug)]
pub(crate) struct CaseFile {
    pub(crate) text: String,
    pub(crate) notes: Vec<String>,
}

impl App {
    /// Writes the case file of an incident.
    pub(crate) async fn incident_case(
        &self,
        scope: &Scope,
        id: IncidentId,
    ) -> Result<CaseFile, AppError> {
        let full = self.store.incident_get(scope, id).await?;
        let revisions = self.store.incident_revisions(scope, id).await?;
        let steps = steps(&full, &revisions);
        let (first, last) = (steps.first().copied(), steps.last().copied());
        let (first, last) =
            (first.unwrap_or(full.row.opened_at), last.unwrap_or(full.row.opened_at));
        let expected = self.believed_at(scope, last).await?;
        let mut notes = Vec::new();
        let targets = self.case_targets(scope, &full, &mut notes).await?;
        let asked = self.case_rounds(scope, &targets, (first, last), &mut notes).await?;
        let interval = |row: &TargetRow| i64::try_from(row.interval.as_micros()).unwrap_or(0);
        let tiers: BTreeMap<String, i64> =
            targets.iter().map(|row| (row.tier.name.to_string(), interval(row))).collect();
        let held = self.topology(scope).await?;
        let reported = self.case_facts(scope, (first, last), &mut notes).await?;
        let text = aside(move || {
            let facts = for_case(&held.topology, &reported, last);
            let topology = held.draft.clone();
            Ok(CaseDraft { steps, topology, tiers, asked, facts, expected }.write())
        })
        .await?;
        Ok(CaseFile { text, notes })
    }

    /// The first cause of every incident that was open at a moment, as it was believed then.
    async fn believed_at(
        &self,
        scope: &Scope,
        at: UtcMicros,
    ) -> Result<Vec<ExpectedCause>, AppError> {
        let query = IncidentQuery {
            since: Some(UtcMicros(at.0.saturating_add(1))),
            until: Some(UtcMicros(at.0.saturating_add(1))),
            limit: OTHERS_MAX,
            ..IncidentQuery::default()
        };
        let mut causes = Vec::new();
        for row in self.store.incident_list(scope, &query).await?.rows {
            let revisions = self.store.incident_revisions(scope, row.id).await?;
            let then = revisions.iter().rfind(|revision| revision.at <= at);
            let Some(cause) = then.and_then(|then| then.body.causes.first()) else { continue };
            causes.push(ExpectedCause {
                elements: cause.elements.iter().cloned().collect(),
                kind: Some(cause.kind),
                mode: Some(cause.mode),
            });
        }
        Ok(causes)
    }

    /// What had been reported by the last step and may count at one of them.
    async fn case_facts(
        &self,
        scope: &Scope,
        (first, last): (UtcMicros, UtcMicros),
        notes: &mut Vec<String>,
    ) -> Result<Vec<Reported>, AppError> {
        let mut query = FactQuery {
            since: Some(UtcMicros(first.0.saturating_sub(FACT_STALE_US))),
            until: Some(UtcMicros(last.0.saturating_add(1))),
            limit: PAGE_ROWS_MAX,
            ..FactQuery::default()
        };
        let mut facts = Vec::new();
        loop {
            let rows = self.store.fact_list(scope, &query).await?;
            let is_last = rows.len() < PAGE_ROWS_MAX as usize;
            query.before_id = rows.last().map(|row| row.id);
            facts.extend(rows.into_iter().filter(|row| row.received_at <= last).map(reported));
            if is_last {
                return Ok(facts);
            }
            if CASE_FACTS_MAX <= facts.len() {
                notes.push(format!("only the last {CASE_FACTS_MAX} reports of devices are in it"));
                return Ok(facts);
            }
        }
    }

    /// Every target, those that the incident names first.
    async fn case_targets(
        &self,
        scope: &Scope,
        full: &IncidentFull,
        notes: &mut Vec<String>,
    ) -> Result<Vec<TargetRow>, AppError> {
        let mut query = TargetQuery { limit: PAGE_ROWS_MAX, ..TargetQuery::default() };
        let mut targets = Vec::new();
        loop {
            let page = self.store.target_list(scope, &query).await?;
            targets.extend(page.rows);
            let Some(next) = page.next.filter(|_| targets.len() < CASE_TARGETS_MAX) else { break };
            query.after = Some(next);
        }
        if CASE_TARGETS_MAX < targets.len() {
            targets.truncate(CASE_TARGETS_MAX);
            notes.push(format!("only the first {CASE_TARGETS_MAX} targets by name are in it"));
        }
        let hit = full.pairs.iter().map(|(_, target)| target.as_str());
        let suppressed = full.body.suppressed.iter().map(|one| one.target.as_str());
        let named: BTreeSet<&str> = hit.chain(suppressed).collect();
        targets.sort_by_key(|row| !named.contains(row.name.as_str()));
        Ok(targets)
    }

    async fn case_rounds(
        &self,
        scope: &Scope,
        targets: &[TargetRow],
        (first, last): (UtcMicros, UtcMicros),
        notes: &mut Vec<String>,
    ) -> Result<Vec<AskedTarget>, AppError> {
        let (mut asked, mut rounds) = (Vec::new(), 0);
        for row in targets {
            let tier = row.tier.name.to_string();
            let mut target = AskedTarget { name: row.name.to_string(), tier, asks: Vec::new() };
            if CASE_ROUNDS_MAX <= rounds {
                notes.push(format!("rounds after the first {CASE_ROUNDS_MAX} are left out"));
                break;
            }
            let interval = i64::try_from(row.interval.as_micros()).unwrap_or(0);
            let before = (interval * ROUNDS_BEFORE).min(MINUTES_BEFORE * MINUTE_US);
            let mut query = RoundQuery {
                probe: row.probe,
                agent: None,
                from: UtcMicros(first.0.saturating_sub(before)),
                to: UtcMicros(last.0.saturating_add(1)),
                after: None,
                limit: ROUNDS_MAX,
            };
            loop {
                let page = self.store.rounds(scope, &query).await?;
                let found = page
                    .rows
                    .iter()
                    .filter_map(|row| Some((row.agent.name.to_string(), ask(&row.round)?)));
                target.asks.extend(found);
                let Some(next) = page.next else { break };
                query.after = Some(next);
            }
            rounds += target.asks.len();
            asked.push(target);
        }
        if rounds == 0 {
            notes.push(
                "no rounds of that time are kept any more: the case shows nothing".to_owned(),
            );
        }
        Ok(asked)
    }
}

/// The moments at which something else was believed, while it was open; the first symptom before.
fn steps(full: &IncidentFull, revisions: &[IncidentRevision]) -> Vec<UtcMicros> {
    let row = &full.row;
    let end = row.opened_at.0.saturating_add(MINUTES_OPEN * MINUTE_US);
    let end = end.min(i64::from(MINUTES_MAX) * MINUTE_US + row.onset.0.0);
    let is_open = |at: UtcMicros| at.0 <= end && row.resolved_at.is_none_or(|over| at < over);
    let mut steps: BTreeSet<UtcMicros> = BTreeSet::from([row.onset.1, row.opened_at]);
    steps.extend(revisions.iter().map(|revision| revision.at).filter(|at| is_open(*at)));
    steps.into_iter().collect()
}
