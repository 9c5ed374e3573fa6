//! Tiers: how groups of targets are watched.

use std::collections::{BTreeMap, BTreeSet};

use model::{KeptDays, TargetId, Tier, TierId};
use store::{Scope, TierRow};

use super::{App, AppError};
use crate::config::RetentionConfig;

impl App {
    pub(crate) async fn tiers(&self, scope: &Scope) -> Result<Vec<TierRow>, AppError> {
        Ok(self.store.tier_list(scope).await?)
    }

    pub(crate) async fn tier_get(&self, scope: &Scope, id: TierId) -> Result<TierRow, AppError> {
        Ok(self.store.tier_get(scope, id).await?)
    }

    pub(crate) async fn tier_create(
        &self,
        scope: &Scope,
        tier: Tier,
        kept: KeptDays,
    ) -> Result<TierRow, AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.tier_create(&scope, &tier, kept, now).await }).await
    }

    pub(crate) async fn tier_update(
        &self,
        scope: &Scope,
        id: TierId,
        edit: impl FnOnce(&mut Tier, &mut KeptDays) + Send + 'static,
    ) -> Result<TierRow, AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.tier_update(&scope, id, edit, now).await }).await
    }

    pub(crate) async fn tier_delete(&self, scope: &Scope, id: TierId) -> Result<(), AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.tier_delete(&scope, id, now).await }).await
    }

    /// For how long the history is kept by the tiers that say so themselves.
    pub(crate) async fn retention_by_tier(
        &self,
        scope: &Scope,
    ) -> Result<BTreeMap<TierId, RetentionConfig>, AppError> {
        let others = self.config.retention;
        let own = self.store.tiers_keeping(scope).await?.into_iter();
        Ok(own.map(|(tier, kept)| (tier, others.with(&kept.or(&others.kept())))).collect())
    }

    /// For how long the history of some targets is kept: each level as long as any of them keeps
    /// it. Of one that is not there nothing is said.
    pub(crate) async fn retention_of(
        &self,
        scope: &Scope,
        targets: impl IntoIterator<Item = TargetId> + Send,
    ) -> Result<RetentionConfig, AppError> {
        let (others, own) = (self.config.retention, self.retention_by_tier(scope).await?);
        if own.is_empty() {
            return Ok(others);
        }
        let mut tiers = BTreeSet::new();
        for id in targets {
            match self.store.target_get(scope, id).await.map_err(AppError::from) {
                Ok(target) => tiers.insert(target.tier.id),
                Err(AppError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
        }
        Ok(longest(&others, &own, tiers))
    }
}

/// Each level for as long as any of some tiers keeps it; without any, as long as the others do.
pub(super) fn longest(
    others: &RetentionConfig,
    own: &BTreeMap<TierId, RetentionConfig>,
    tiers: impl IntoIterator<Item = TierId>,
) -> RetentionConfig {
    let kept = tiers.into_iter().map(|tier| own.get(&tier).unwrap_or(others).kept());
    let longest = kept.reduce(|longest, kept| longest.or_longer(&kept));
    longest.map_or(*others, |longest| others.with(&longest))
}
