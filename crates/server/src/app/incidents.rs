//! Incidents: what people see of them, and what they do about them.

mod case;
mod report;

use std::collections::BTreeSet;

use engine::rca::next_steps;
use model::{CauseCode, IncidentId, Name, TargetId};
use store::{IncidentAct, IncidentFull, IncidentPage, IncidentQuery, IncidentRevision, Ref, Scope};

use super::{App, AppError, Fields};

pub(crate) use case::CaseFile;

/// Names that an incident's page can follow; what is beyond is found by its search.
const NAMES_MAX: usize = 1_000;

/// What somebody wants to do to an incident.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Acknowledge,
    Unacknowledge,
    /// To a user by name, or to nobody.
    Assign(Option<Name>),
    Comment(String),
    Close {
        code: CauseCode,
        note: String,
        is_forced: bool,
    },
    Reopen {
        note: String,
    },
}

/// An incident with what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    pub(crate) full: IncidentFull,
    pub(crate) next_steps: Vec<String>,
    /// Targets that it names and that there are.
    pub(crate) targets: Vec<Ref<TargetId>>,
}

impl App {
    pub(crate) async fn incidents(
        &self,
        scope: &Scope,
        query: &IncidentQuery,
    ) -> Result<IncidentPage, AppError> {
        Ok(self.store.incident_list(scope, query).await?)
    }

    pub(crate) async fn incident(
        &self,
        scope: &Scope,
        id: IncidentId,
    ) -> Result<Incident, AppError> {
        let full = self.store.incident_get(scope, id).await?;
        self.incident_of(scope, full).await
    }

    pub(crate) async fn incident_revisions(
        &self,
        scope: &Scope,
        id: IncidentId,
    ) -> Result<Vec<IncidentRevision>, AppError> {
        Ok(self.store.incident_revisions(scope, id).await?)
    }

    /// Whom an incident can be given to: who may sign in, by name.
    pub(crate) async fn incident_assignees(&self, scope: &Scope) -> Result<Vec<Name>, AppError> {
        let users = self.store.user_list(scope).await?;
        Ok(users.into_iter().filter(|user| user.is_active).map(|user| user.name).collect())
    }

    /// Does it, and tells consoles; `seen` is the version that the caller saw.
    pub(crate) async fn incident_act(
        &self,
        scope: &Scope,
        id: IncidentId,
        act: Act,
        seen: Option<u64>,
    ) -> Result<Incident, AppError> {
        let act = match act {
            Act::Acknowledge => IncidentAct::Acknowledge,
            Act::Unacknowledge => IncidentAct::Unacknowledge,
            Act::Assign(None) => IncidentAct::Assign(None),
            Act::Assign(Some(name)) => {
                let known = self.store.user_by_name(scope, &name).await?;
                let Some(user) = known.map(|known| known.user).filter(|user| user.is_active) else {
                    let mut fields = Fields::default();
                    fields.refuse("owner", "is not the name of a user who can sign in");
                    return Err(fields.error());
                };
                IncidentAct::Assign(Some((user.id, user.name)))
            }
            Act::Comment(text) => IncidentAct::Comment(text),
            Act::Close { code, note, is_forced } => IncidentAct::Close { code, note, is_forced },
            Act::Reopen { note } => IncidentAct::Reopen { note },
        };
        let now = self.clock.now();
        let (full, is_changed) = self.store.incident_act(scope, id, &act, seen, now).await?;
        if is_changed {
            self.conductor.tell_incident(scope.org, id);
        }
        self.incident_of(scope, full).await
    }

    async fn incident_of(&self, scope: &Scope, full: IncidentFull) -> Result<Incident, AppError> {
        let cause = full.body.causes.first();
        let next_steps =
            cause.map(|cause| next_steps(cause.kind, cause.mode, &cause.elements.join(" or ")));
        let evidence = full.body.causes.iter().flat_map(|cause| &cause.evidence);
        let refs = evidence.flat_map(|piece| &piece.refs).map(|(_, target)| target);
        let suppressed = full.body.suppressed.iter().map(|one| &one.target);
        let names: BTreeSet<&String> = suppressed.chain(refs).take(NAMES_MAX).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let targets = self.store.targets_by_name(scope, &names).await?;
        Ok(Incident { next_steps: next_steps.unwrap_or_default(), targets, full })
    }
}
