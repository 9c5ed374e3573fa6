//! Targets: what is watched.

use engine::graph::Draft;
use model::{TargetId, UtcMicros};
use store::{
    ChangeRow, ImportResult, ImportRow, MonitorGap, NewTarget, RoundPage, RoundQuery, Scope,
    TargetCounts, TargetPage, TargetPatch, TargetQuery, TargetRow,
};

use super::{App, AppError};
use crate::conductor::{ConductError, ProbeStatusView};

/// Tags of one target: more belong into a system of records.
pub(crate) const TAGS_MAX: usize = store::TARGET_TAGS_MAX;
/// A remark, not a document.
pub(crate) const NOTE_BYTES_MAX: usize = 2_000;

/// Parses a remark.
pub(crate) fn parse_note(text: &str) -> Result<String, String> {
    if NOTE_BYTES_MAX < text.len() {
        return Err(format!("must have at most {NOTE_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// What is held of one target right now.
#[derive(Debug)]
pub(crate) struct TargetStatus {
    pub(crate) target: TargetRow,
    pub(crate) interval_s: u64,
    /// Since when this server runs.
    pub(crate) server_since: UtcMicros,
    /// When no server ran since what all hold began: what was held before and is held after goes
    /// on, and nobody looked in between.
    pub(crate) unwatched: Vec<MonitorGap>,
    pub(crate) held: ProbeStatusView,
}

fn not_read(error: ConductError) -> AppError {
    AppError::Unavailable {
        detail: format!("the live verdicts cannot be read now; try again: {error}"),
        source: Some(error.into()),
    }
}

impl App {
    pub(crate) async fn target_list(
        &self,
        scope: &Scope,
        query: &TargetQuery,
    ) -> Result<TargetPage, AppError> {
        Ok(self.store.target_list(scope, query).await?)
    }

    pub(crate) async fn target_counts(&self, scope: &Scope) -> Result<TargetCounts, AppError> {
        Ok(self.store.target_counts(scope).await?)
    }

    pub(crate) async fn target_get(
        &self,
        scope: &Scope,
        id: TargetId,
    ) -> Result<TargetRow, AppError> {
        Ok(self.store.target_get(scope, id).await?)
    }

    /// Creates a target and returns it with the verdict that is held from now on.
    pub(crate) async fn target_create(
        &self,
        scope: &Scope,
        new: NewTarget,
    ) -> Result<TargetRow, AppError> {
        let (store, by, now) = (self.store.clone(), scope.clone(), self.clock.now());
        let row = self.change(async move { store.target_create(&by, &new, now).await }).await?;
        self.target_get(scope, row.id).await
    }

    /// Changes a target and returns it with the verdict that is held from now on.
    pub(crate) async fn target_update(
        &self,
        scope: &Scope,
        id: TargetId,
        mut patch: TargetPatch,
    ) -> Result<TargetRow, AppError> {
        let mut renaming = None;
        if let Some(to) = patch.name.clone() {
            let turn = self.topology_turn().await;
            let from = self.target_get(scope, id).await?.name;
            if from != to {
                let rename =
                    move |draft: &mut Draft| draft.rename_target(from.as_str(), to.as_str());
                patch.topology = self.topology_rename(scope, &turn, rename).await?;
            }
            renaming = Some(turn);
        }
        let (store, by, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.target_update(&by, id, &patch, now).await }).await?;
        drop(renaming);
        self.target_get(scope, id).await
    }

    pub(crate) async fn target_delete(&self, scope: &Scope, id: TargetId) -> Result<(), AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.target_delete(&scope, id, now).await }).await
    }

    /// Applies the rows that can be applied, or with `dry_run` only says what would become of
    /// each.
    pub(crate) async fn targets_import(
        &self,
        scope: &Scope,
        rows: Vec<ImportRow>,
        dry_run: bool,
    ) -> Result<Vec<ImportResult>, AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        if dry_run {
            // It only reads: nobody's change waits for it.
            return Ok(store.targets_import(&scope, &rows, dry_run, now).await?.row);
        }
        self.change(async move { store.targets_import(&scope, &rows, dry_run, now).await }).await
    }

    pub(crate) async fn target_status(
        &self,
        scope: &Scope,
        id: TargetId,
    ) -> Result<TargetStatus, AppError> {
        let target = self.store.target_get(scope, id).await?;
        let tier = self.store.tier_get(scope, target.tier.id).await?;
        let held = self.probe_status(target.probe).await?;
        let interval_s = tier.tier.interval.as_secs();
        let server_since = self.conductor.vitals().started_at;
        let since = held.consensus.as_ref().map_or(target.since, |held| held.since);
        let unwatched = self.store.gaps(scope, since, self.clock.now()).await?;
        Ok(TargetStatus { target, interval_s, server_since, unwatched, held })
    }

    pub(crate) async fn probe_status(
        &self,
        probe: model::ProbeId,
    ) -> Result<ProbeStatusView, AppError> {
        self.conductor.pair_statuses(probe).await.map_err(not_read)
    }

    /// As [`App::probe_status`], of many at once.
    pub(crate) async fn probe_statuses(
        &self,
        probes: &[model::ProbeId],
    ) -> Result<Vec<ProbeStatusView>, AppError> {
        self.conductor.statuses(probes).await.map_err(not_read)
    }

    pub(crate) async fn rounds(
        &self,
        scope: &Scope,
        query: &RoundQuery,
    ) -> Result<RoundPage, AppError> {
        Ok(self.store.rounds(scope, query).await?)
    }

    pub(crate) async fn changes_of(
        &self,
        scope: &Scope,
        id: TargetId,
        limit: u32,
    ) -> Result<Vec<ChangeRow>, AppError> {
        Ok(self.store.changes_of(scope, id, limit).await?)
    }

    pub(crate) async fn changes_recent(
        &self,
        scope: &Scope,
        limit: u32,
    ) -> Result<Vec<ChangeRow>, AppError> {
        Ok(self.store.changes_recent(scope, limit).await?)
    }

    pub(crate) fn now(&self) -> UtcMicros {
        self.clock.now()
    }
}
