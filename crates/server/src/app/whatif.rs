//! What the network would lose, asked of the topology in force.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use engine::{
    graph::{ElementIx, Topology},
    rca,
};
use store::Scope;

use super::{App, AppError, FieldError, aside, topology::Held};

/// Elements of one question.
const DOWN_MAX: usize = 1_000;

/// The answer to one question.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) held: Arc<Held>,
    pub(crate) down: Vec<ElementIx>,
    pub(crate) loss: rca::Loss,
}

/// Every single point of a topology.
#[derive(Debug)]
pub(crate) struct Points {
    pub(crate) held: Arc<Held>,
    pub(crate) points: Arc<Vec<rca::SinglePoint>>,
}

impl App {
    /// Says what the loss of elements would take; `down` is ids with commas between them. Agents
    /// that never enrolled reach nothing, unless none has.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] for an id that is not there.
    pub(crate) async fn what_if(&self, scope: &Scope, down: &str) -> Result<Asked, AppError> {
        let held = self.topology(scope).await?;
        let down = find(&held.topology, down)
            .map_err(|reason| AppError::Invalid(vec![FieldError::new("down", reason)]))?;
        let absent = self.absent_agents(scope, &held.topology).await?;
        // One at a time: on a large network each takes a core for a second.
        // The turn lasts as long as the work, though whoever asked may have gone.
        let turn = Arc::clone(&self.topologies.questions).lock_owned().await;
        aside(move || {
            let _turn = turn;
            let loss = rca::what_if(&held.topology, &down, &absent);
            Ok(Asked { held, down, loss })
        })
        .await
    }

    async fn absent_agents(
        &self,
        scope: &Scope,
        topology: &Topology,
    ) -> Result<Vec<ElementIx>, AppError> {
        let agents = self.store.agent_list(scope).await?;
        let enrolled = agents.iter().filter(|row| row.certificate.is_some() && !row.is_revoked);
        let enrolled: BTreeSet<&str> = enrolled.map(|row| row.name.as_str()).collect();
        Ok(rca::absent_agents(topology, &enrolled))
    }

    /// Returns every element whose loss darkens targets; found once for each topology and those of
    /// its agents that enrolled.
    pub(crate) async fn single_points(&self, scope: &Scope) -> Result<Points, AppError> {
        let held = self.topology(scope).await?;
        let absent = self.absent_agents(scope, &held.topology).await?;
        let turn = Arc::clone(&self.topologies.questions).lock_owned().await;
        aside(move || {
            let _turn = turn;
            let points = {
                let mut known = held.single_points.lock().unwrap_or_else(PoisonError::into_inner);
                match known.as_ref().filter(|(of, _)| *of == absent) {
                    Some((_, points)) => Arc::clone(points),
                    None => {
                        let points = Arc::new(rca::single_points(&held.topology, &absent));
                        *known = Some((absent, Arc::clone(&points)));
                        points
                    }
                }
            };
            Ok(Points { held, points })
        })
        .await
    }
}

/// One id, though it has commas, or several with commas between them.
fn find(topology: &Topology, text: &str) -> Result<Vec<ElementIx>, String> {
    if let Some(one) = topology.find(text.trim()) {
        return Ok(vec![one]);
    }
    let ids: Vec<&str> = text.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if DOWN_MAX < ids.len() {
        return Err(format!("has {} ids: ask for at most {DOWN_MAX} at once", ids.len()));
    }
    let known = |id: &&str| topology.find(id).ok_or_else(|| format!("there is no element `{id}`"));
    ids.iter().map(known).collect()
}
