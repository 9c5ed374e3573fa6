//! What a trace found, said to people and to the judgement.

use std::{collections::BTreeMap, net::IpAddr};

use model::{EntryKind, FactKind, HopEnding, TraceEnd, TraceHop, TraceState, TraceWhy, UtcMicros};
use store::{NewFact, Scope, TraceRow};

use super::KnownHop;
use crate::{
    app::App,
    diagnosis::{About, TraceTold},
};

/// Who says what a trace found, among those that report facts.
const SOURCE: &str = "trace";

impl App {
    /// Tells the judgement what a trace found, so that it stands where it belongs.
    pub(super) async fn trace_tell(&self, scope: &Scope, row: &TraceRow, about: Option<About>) {
        let at = row.ended_at.unwrap_or(row.created_at);
        let mut entries = Vec::new();
        if row.done.state == TraceState::Done {
            let known = self.known_hops(scope, &row.done.hops).await.unwrap_or_default();
            entries.push((EntryKind::Traced, row.id, said(row, &known)));
            let facts = facts(row, &known, at);
            if !facts.is_empty()
                && let Err(error) = self.facts_take(scope, facts, None, at).await
            {
                tracing::warn!(trace = row.id.0, ?error, "what a trace found is no evidence");
            }
        }
        let (org, why) = (scope.org, row.new.why);
        let (agent, target) = (row.new.agent, row.new.target);
        self.diagnosis.trace_ended(TraceTold { org, agent, target, at, why, about, entries });
    }
}

/// What a trace found, in one sentence: `trace from pop1 to X: last answer from core2, hop 4`.
fn said(row: &TraceRow, known: &BTreeMap<IpAddr, KnownHop>) -> String {
    let name = |address: IpAddr| match known.get(&address) {
        Some(KnownHop { element: Some(element), .. }) => element.clone(),
        Some(KnownHop { name, .. }) => name.clone(),
        None => address.to_string(),
    };
    let hops = &row.done.hops;
    let last = hops.iter().filter(|hop| !hop.answers.is_empty()).max_by_key(|hop| hop.ttl);
    let from = last.and_then(|hop| Some((most(hop)?, hop.ttl)));
    let found = match (row.done.end, from) {
        (Some(TraceEnd::Reached), Some((_, 1))) => "it answers, 1 hop away".to_owned(),
        (Some(TraceEnd::Reached), Some((_, ttl))) => format!("it answers, {ttl} hops away"),
        (Some(TraceEnd::NotAsked), _) => "no packet could leave".to_owned(),
        (Some(TraceEnd::Unreachable), Some((address, ttl))) => {
            format!("{} takes packets no further, hop {ttl}", name(address))
        }
        (_, Some((address, ttl))) => format!("last answer from {}, hop {ttl}", name(address)),
        (_, None) => "nobody answers, not even the first hop".to_owned(),
    };
    let (agent, target) = (&row.new.agent_name, &row.new.target_name);
    format!("trace from {agent} to {target}: {found}")
}

/// Who answered most at a hop.
pub(super) fn most(hop: &TraceHop) -> Option<IpAddr> {
    let most = hop.answers.iter().max_by_key(|answer| answer.received)?;
    Some(most.from)
}

/// Who answered a trace is alive and can be reached: that is evidence of what is out. A trace of
/// what answers anyway says nothing that its rounds do not.
fn facts(row: &TraceRow, known: &BTreeMap<IpAddr, KnownHop>, at: UtcMicros) -> Vec<NewFact> {
    if !matches!(row.new.why, TraceWhy::WentBad | TraceWhy::TellApart) {
        return Vec::new();
    }
    let passed = row.done.hops.iter().filter(|hop| hop.ending != Some(HopEnding::Reached));
    let mut elements: Vec<&String> =
        passed.filter_map(|hop| known.get(&most(hop)?)?.element.as_ref()).collect();
    elements.sort_unstable();
    elements.dedup();
    let fact = |element: &String| NewFact {
        source: SOURCE.to_owned(),
        element: element.clone(),
        end: String::new(),
        agent: row.new.agent_name.to_string(),
        kind: FactKind::ReachableFrom,
        value: None,
        since: row.created_at,
        seen: at,
    };
    elements.into_iter().map(fact).collect()
}
