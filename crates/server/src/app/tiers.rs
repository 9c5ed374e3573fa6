//! Tiers: how groups of targets are watched.

use model::{Tier, TierId};
use store::{Scope, TierRow};

use super::{App, AppError};

impl App {
    pub(crate) async fn tiers(&self, scope: &Scope) -> Result<Vec<TierRow>, AppError> {
        Ok(self.store.tier_list(scope).await?)
    }

    pub(crate) async fn tier_get(&self, scope: &Scope, id: TierId) -> Result<TierRow, AppError> {
        Ok(self.store.tier_get(scope, id).await?)
    }

    pub(crate) async fn tier_create(&self, scope: &Scope, tier: Tier) -> Result<TierRow, AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.tier_create(&scope, &tier, now).await }).await
    }

    pub(crate) async fn tier_update(
        &self,
        scope: &Scope,
        id: TierId,
        edit: impl FnOnce(&mut Tier) + Send + 'static,
    ) -> Result<TierRow, AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.tier_update(&scope, id, edit, now).await }).await
    }

    pub(crate) async fn tier_delete(&self, scope: &Scope, id: TierId) -> Result<(), AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        self.change(async move { store.tier_delete(&scope, id, now).await }).await
    }
}
