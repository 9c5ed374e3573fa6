//! What a trace found, said to people and to the judgement.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use engine::{
    live::{WAY_HOPS_MAX, WayChange, WayHops},
    rca::text::clock,
};
use model::{EntryKind, FactKind, HopEnding, TraceEnd, TraceHop, TraceState, TraceWhy, UtcMicros};
use store::{NewFact, NewPath, PathQuery, PathRow, PathSeen, Scope, TraceRow};

use super::KnownHop;
use crate::{
    app::{App, AppError},
    diagnosis::{About, TraceTold},
};

/// Who says what a trace found, among those that report facts.
const SOURCE: &str = "trace";
/// What comes back to the way before within this is spread over both: they are one.
const SPREAD_US: i64 = 3_600_000_000;

impl App {
    /// Tells the judgement what a trace found, so that it stands where it belongs.
    pub(super) async fn trace_tell(&self, scope: &Scope, row: &TraceRow, about: Option<About>) {
        let at = row.ended_at.unwrap_or(row.created_at);
        let mut entries = Vec::new();
        if row.done.state == TraceState::Done {
            let known = self.known_hops(scope, &row.done.hops).await.unwrap_or_default();
            entries.push((EntryKind::Traced, row.id, said(row, &known)));
            if let Some(change) = self.path_take(scope, row, &known, at).await {
                entries.push((EntryKind::PathChanged, row.id, change));
            }
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

impl App {
    /// Takes the way that a trace saw into those that are known; says what is another now.
    async fn path_take(
        &self,
        scope: &Scope,
        row: &TraceRow,
        known: &BTreeMap<IpAddr, KnownHop>,
        at: UtcMicros,
    ) -> Option<String> {
        let way = way(&row.done.hops);
        if way.is_empty() {
            return None;
        }
        let new = NewPath {
            agent: row.new.agent,
            agent_name: row.new.agent_name.clone(),
            target: row.new.target,
            target_name: row.new.target_name.clone(),
            trace: row.id,
            at,
            hops: way.0.clone(),
        };
        let judge = |before: &PathRow, earlier: Option<&PathRow>| {
            let mut whole = WayHops(before.hops.clone());
            let earlier = earlier.filter(|earlier| at.0 - earlier.seen.0 < SPREAD_US);
            let is_back = earlier.is_some_and(|of| WayHops(of.hops.clone()).change(&way).is_none());
            let change = whole.change(&way).filter(|_| !is_back);
            let Some(WayChange { hop, was, is }) = change else {
                whole.fill(&way);
                return PathSeen::Same(whole.0);
            };
            let (was, is) = (name(known, was), name(known, is));
            let (last, first) = (clock(before.seen), clock(at));
            PathSeen::Other(format!(
                "path from {} to {} changed at hop {hop}: was {was}, is {is}, since between {last} \
                 and {first}",
                row.new.agent_name, row.new.target_name
            ))
        };
        match self.store.path_take(scope, &new, judge).await {
            Ok(change) => change,
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(trace = row.id.0, %error, "the path of a trace is not kept");
                None
            }
        }
    }

    /// Paths, those that began last first, with who stands at their hops.
    pub(crate) async fn paths(
        &self,
        scope: &Scope,
        query: &PathQuery,
    ) -> Result<(Vec<PathRow>, BTreeMap<IpAddr, KnownHop>), AppError> {
        let rows = self.store.path_list(scope, query).await?;
        let addresses: BTreeSet<IpAddr> =
            rows.iter().flat_map(|row| row.hops.iter().flatten()).copied().collect();
        let known = self.known_at(scope, addresses.into_iter().collect()).await?;
        Ok((rows, known))
    }
}

/// Who answered at each hop, of whatever flow: equal ways are one.
fn way(hops: &[TraceHop]) -> WayHops {
    let mut way = WayHops::default();
    for hop in hops.iter().filter(|hop| hop.ttl != 0) {
        let at = usize::from(hop.ttl) - 1;
        if WAY_HOPS_MAX <= at {
            continue;
        }
        if way.0.len() <= at {
            way.0.resize_with(at + 1, BTreeSet::new);
        }
        if let Some(answered) = way.0.get_mut(at) {
            answered.extend(hop.answers.iter().map(|answer| answer.from));
        }
    }
    way
}

/// What stands at an address: an element of the topology, a target, or nothing known.
fn name(known: &BTreeMap<IpAddr, KnownHop>, address: IpAddr) -> String {
    match known.get(&address) {
        Some(KnownHop { element: Some(element), .. }) => element.clone(),
        Some(KnownHop { name, .. }) => name.clone(),
        None => address.to_string(),
    }
}

/// What a trace found, in one sentence: `trace from pop1 to X: last answer from core2, hop 4`.
fn said(row: &TraceRow, known: &BTreeMap<IpAddr, KnownHop>) -> String {
    let name = |address| name(known, address);
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
