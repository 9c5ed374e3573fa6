//! Facts: what devices reported, taken and listed.

use engine::graph::{ID_BYTES_MAX, Topology};
use model::UtcMicros;
use sha2::{Digest, Sha256};
use store::{FactQuery, FactRequest, FactRow, FactsTaken, NewFact, NewFacts, Scope};

use super::{App, AppError};

pub(crate) use store::{FACTS_PER_REQUEST_MAX, REQUEST_KEY_BYTES_MAX};

/// Unknown elements that an answer names; how many there are is said beside it.
const UNKNOWN_MAX: usize = 20;

/// A fact as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) row: FactRow,
    /// What is left of its weight as evidence, of 1: 0 is stale.
    pub(crate) weight: f64,
    /// Whether the topology in force knows its element.
    pub(crate) is_known: bool,
}

/// What an element, or an agent, is called in a report.
///
/// # Errors
///
/// Which rule it breaks.
pub(crate) fn parse_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty: give the id of an element".to_owned());
    }
    if ID_BYTES_MAX < text.len() {
        return Err(format!("has at most {ID_BYTES_MAX} bytes; this has {}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character".to_owned());
    }
    Ok(text.to_owned())
}

impl App {
    /// Takes what was reported, all of it or nothing; the judgement that comes next hears of it.
    ///
    /// What names an element that the topology does not know is kept and told: it may be drawn
    /// later, and one port that nobody drew must not cost a collector all its other reports.
    pub(crate) async fn facts_take(
        &self,
        scope: &Scope,
        facts: Vec<NewFact>,
        key: Option<(String, &[u8])>,
        now: UtcMicros,
    ) -> Result<FactsTaken, AppError> {
        // Of a topology that cannot be read nobody knows what it knows: who reads it says so, and
        // a collector that repeats its request must not be told for a day that it knows nothing.
        let held = self.topology(scope).await.ok();
        let topology: Option<&Topology> = held.as_ref().map(|held| &held.topology);
        let is_unknown = |id: &&str| topology.is_some_and(|topology| topology.find(id).is_none());
        let mut unknown: Vec<&str> =
            facts.iter().map(|fact| fact.element.as_str()).filter(is_unknown).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let total = unknown.len();
        let unknown = unknown.into_iter().take(UNKNOWN_MAX).map(str::to_owned).collect();
        let request =
            key.map(|(key, body)| FactRequest { key, digest: Sha256::digest(body).to_vec() });
        let new = NewFacts { unknown: (unknown, total), request, facts };
        let taken = self.store.facts_take(scope, &new, now).await?;
        self.diagnosis.facts_came(scope.org);
        Ok(taken)
    }

    pub(crate) async fn facts(
        &self,
        scope: &Scope,
        query: &FactQuery,
    ) -> Result<Vec<Fact>, AppError> {
        let rows = self.store.fact_list(scope, query).await?;
        let held = self.topology(scope).await.ok();
        let now = self.clock.now();
        let fact = |row: FactRow| Fact {
            weight: engine::live::fact_weight(row.seen, now),
            is_known: held.as_ref().is_some_and(|held| held.topology.find(&row.element).is_some()),
            row,
        };
        Ok(rows.into_iter().map(fact).collect())
    }
}
