//! The fault desk of the demo: where a person breaks things on purpose.
//!
//! The network that is broken is not the server's: whoever starts a demo brings a [`Desk`], and a
//! server without one has neither its routes nor its menu entry.

use std::{fmt, sync::Arc};

use model::UtcMicros;
use store::{AuditEntry, Scope};

use super::{App, AppError, FieldError};

/// What a person may break, breaks and mends.
pub trait Desk: fmt::Debug + Send + Sync {
    fn state(&self) -> DeskState;

    /// Breaks all of these, or nothing.
    ///
    /// # Errors
    ///
    /// [`DeskRefusal`], naming the first that cannot be.
    fn begin(&self, orders: &[FaultOrder]) -> Result<(), DeskRefusal>;

    /// Mends one; false if it is not broken.
    fn mend(&self, id: u32) -> bool;

    /// Mends everything; returns how much that was.
    fn mend_all(&self) -> usize;
}

/// One thing to break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultOrder {
    pub kind: String,
    /// Id of an element of the topology.
    pub element: String,
    /// As usual if `None`.
    pub size: Option<u32>,
}

/// Why nothing was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskRefusal {
    /// Which of the orders.
    pub index: usize,
    pub field: &'static str,
    pub reason: String,
    /// Whether it clashes with what is broken already.
    pub is_conflict: bool,
}

/// Everything that the desk shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskState {
    /// Whose the network's data are.
    pub credit: String,
    pub kinds: Vec<DeskKind>,
    pub places: Vec<DeskPlace>,
    pub active: Vec<DeskFault>,
    pub tour: Vec<DeskStop>,
    /// From a change until routing has gone round it, in seconds.
    pub convergence_s: u64,
}

/// A way to break something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskKind {
    pub kind: &'static str,
    /// What it happens to, as the topology calls it.
    pub element: &'static str,
    pub size: Option<DeskSize>,
    /// An element that shows it well.
    pub example: String,
}

/// What a measure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskSize {
    pub default: u32,
    pub max: u32,
    pub unit: &'static str,
}

/// Something that can be broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskPlace {
    pub id: String,
    pub kind: &'static str,
    pub role: Option<&'static str>,
    pub site: Option<String>,
}

/// Something that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskFault {
    pub id: u32,
    pub kind: &'static str,
    pub element: String,
    pub size: Option<u32>,
    /// What is the matter, in words.
    pub words: String,
    pub since: UtcMicros,
    /// Of what flaps, whether it is down at this moment.
    pub is_bad_now: bool,
}

/// One stop of the guided tour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskStop {
    pub title: String,
    pub story: String,
    pub watch: String,
    pub says: String,
    pub faults: Vec<FaultOrder>,
}

/// What the audit calls the network that is broken.
const OBJECT: &str = "demo network";

impl App {
    /// The same with a fault desk.
    pub(crate) fn with_desk(self, desk: Option<Arc<dyn Desk>>) -> App {
        App { desk, ..self }
    }

    pub(crate) fn has_desk(&self) -> bool {
        self.desk.is_some()
    }

    fn desk(&self) -> Result<&Arc<dyn Desk>, AppError> {
        self.desk.as_ref().ok_or(AppError::NotFound { what: "fault desk" })
    }

    pub(crate) fn desk_state(&self) -> Result<DeskState, AppError> {
        Ok(self.desk()?.state())
    }

    /// Breaks all of these, or nothing.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] for what is not there, [`AppError::Conflict`] for what is broken.
    pub(crate) async fn desk_begin(
        &self,
        scope: &Scope,
        orders: &[FaultOrder],
    ) -> Result<DeskState, AppError> {
        let desk = self.desk()?;
        desk.begin(orders).map_err(|refusal| {
            let field = format!("faults[{}].{}", refusal.index, refusal.field);
            let error = FieldError::new(field, refusal.reason);
            if refusal.is_conflict {
                AppError::Conflict(error)
            } else {
                AppError::Invalid(vec![error])
            }
        })?;
        for order in orders {
            let what = format!("{} {}", order.kind, order.element);
            self.desk_audit(scope, "demo.break", &what).await?;
        }
        Ok(desk.state())
    }

    /// Mends one fault.
    ///
    /// # Errors
    ///
    /// [`AppError::NotFound`] if it is not there.
    pub(crate) async fn desk_mend(&self, scope: &Scope, id: u32) -> Result<(), AppError> {
        if !self.desk()?.mend(id) {
            return Err(AppError::NotFound { what: "fault" });
        }
        self.desk_audit(scope, "demo.mend", &format!("fault {id}")).await
    }

    pub(crate) async fn desk_mend_all(&self, scope: &Scope) -> Result<(), AppError> {
        let count = self.desk()?.mend_all();
        self.desk_audit(scope, "demo.mend", &format!("all of {count}")).await
    }

    async fn desk_audit(
        &self,
        scope: &Scope,
        action: &'static str,
        what: &str,
    ) -> Result<(), AppError> {
        let entry = AuditEntry {
            action,
            object_kind: OBJECT,
            object_id: None,
            object_name: what,
            before: None,
            after: None,
        };
        Ok(self.store.audit_append(scope, &entry, self.clock.now()).await?)
    }
}
