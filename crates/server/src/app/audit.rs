//! Who changed what.

use store::{AuditRow, Scope};

use super::{App, AppError};

impl App {
    /// Lists changes, newest first, that are older than the one named `before`.
    pub(crate) async fn audit_list(
        &self,
        scope: &Scope,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, AppError> {
        Ok(self.store.audit_list(scope, before, limit).await?)
    }
}
