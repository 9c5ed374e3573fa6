//! Webhooks: where messages go, and what became of them.

use std::time::Duration;

use model::{Name, UtcMicros, WebhookId};
use store::{
    DeliveryCount, DeliveryRow, DeliveryState, NewMessage, Scope, WebhookDraft, WebhookRow,
};

use super::{App, AppError};
use crate::notify::{Endpoint, Key, message::WebhookMessage};
pub(crate) use crate::{config::Address, notify::message::message_schema_json};

/// Whoever asks for a test sends it; after this, if they are gone, the notifier does.
const TEST_GRACE: Duration = Duration::from_secs(60);
/// Random bytes in the id of a test.
const TEST_ID_BYTES: usize = 12;

/// A webhook as those see it who may change it.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) row: WebhookRow,
    /// `None`: it was sealed under another master key, and nothing can be sent there.
    pub(crate) url: Option<String>,
    pub(crate) counts: Vec<DeliveryCount>,
}

/// What to change of a webhook.
#[derive(Clone, Debug, Default)]
pub(crate) struct WebhookEdit {
    pub(crate) name: Option<Name>,
    pub(crate) address: Option<Address>,
    pub(crate) is_active: Option<bool>,
}

impl App {
    pub(crate) async fn webhooks(&self, scope: &Scope) -> Result<Vec<Webhook>, AppError> {
        let rows = self.store.webhook_list(scope).await?;
        let counts = self.store.delivery_counts(scope).await?;
        Ok(rows.into_iter().map(|row| self.webhook_of(row, &counts)).collect())
    }

    pub(crate) async fn webhook(&self, scope: &Scope, id: WebhookId) -> Result<Webhook, AppError> {
        let row = self.store.webhook_get(scope, id).await?;
        let counts = self.store.delivery_counts(scope).await?;
        Ok(self.webhook_of(row, &counts))
    }

    fn webhook_of(&self, row: WebhookRow, counts: &[DeliveryCount]) -> Webhook {
        let endpoint = Endpoint::open(&self.notifier.secrets, &row.sealed).ok();
        let url = endpoint.map(|endpoint| endpoint.address.as_str().to_owned());
        let counts = counts.iter().filter(|count| count.webhook == row.id).copied().collect();
        Webhook { row, url, counts }
    }

    /// Creates a webhook; the second value is the secret its messages are signed with.
    pub(crate) async fn webhook_create(
        &self,
        scope: &Scope,
        name: Name,
        address: Address,
    ) -> Result<(Webhook, String), AppError> {
        let key = Key::generate().map_err(AppError::internal)?;
        let secret = key.to_text();
        let draft = self.draft(name, Endpoint { address, key }, true)?;
        let row = self.store.webhook_create(scope, &draft, self.clock.now()).await?;
        Ok((self.webhook_of(row, &[]), secret))
    }

    pub(crate) async fn webhook_update(
        &self,
        scope: &Scope,
        id: WebhookId,
        edit: WebhookEdit,
    ) -> Result<Webhook, AppError> {
        let before = self.store.webhook_get(scope, id).await?;
        let is_active = edit.is_active.unwrap_or(before.is_active);
        let name = edit.name.unwrap_or_else(|| before.name.clone());
        let draft = match edit.address {
            // What cannot be opened may still be renamed, switched off and deleted.
            None => WebhookDraft { name, host: before.host, sealed: before.sealed, is_active },
            Some(address) => {
                let known = Endpoint::open(&self.notifier.secrets, &before.sealed);
                let key = known.map_err(AppError::internal)?.key;
                self.draft(name, Endpoint { address, key }, is_active)?
            }
        };
        let row = self.store.webhook_update(scope, id, &draft, self.clock.now()).await?;
        self.webhook(scope, row.id).await
    }

    /// Signs with a new secret from now on, which is returned.
    pub(crate) async fn webhook_new_secret(
        &self,
        scope: &Scope,
        id: WebhookId,
    ) -> Result<String, AppError> {
        let before = self.store.webhook_get(scope, id).await?;
        let known = Endpoint::open(&self.notifier.secrets, &before.sealed);
        let address = known.map_err(AppError::internal)?.address;
        let key = Key::generate().map_err(AppError::internal)?;
        let secret = key.to_text();
        let draft = self.draft(before.name, Endpoint { address, key }, before.is_active)?;
        self.store.webhook_update(scope, id, &draft, self.clock.now()).await?;
        Ok(secret)
    }

    fn draft(
        &self,
        name: Name,
        endpoint: Endpoint,
        is_active: bool,
    ) -> Result<WebhookDraft, AppError> {
        let sealed = endpoint.seal(&self.notifier.secrets).map_err(AppError::internal)?;
        Ok(WebhookDraft { name, host: endpoint.address.host(), sealed, is_active })
    }

    pub(crate) async fn webhook_delete(
        &self,
        scope: &Scope,
        id: WebhookId,
    ) -> Result<(), AppError> {
        Ok(self.store.webhook_delete(scope, id, self.clock.now()).await?)
    }

    /// Sends a test to one webhook, once, also to one that is switched off; returns what became of
    /// it.
    pub(crate) async fn webhook_test(
        &self,
        scope: &Scope,
        id: WebhookId,
    ) -> Result<DeliveryRow, AppError> {
        let now = self.clock.now();
        let row = self.store.webhook_get(scope, id).await?;
        let test = test_message(&row, now)?;
        let due = (now, now + TEST_GRACE);
        let delivery = self.store.message_put_to(scope, id, &test, due).await?;
        let due = self.store.delivery_due(scope, delivery).await?;
        self.notifier.deliver_once(&due).await?;
        Ok(self.store.delivery_get(scope, delivery).await?)
    }

    pub(crate) async fn deliveries(
        &self,
        scope: &Scope,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        page: (Option<u64>, u32),
    ) -> Result<Vec<DeliveryRow>, AppError> {
        Ok(self.store.delivery_list(scope, webhook, state, page).await?)
    }

    pub(crate) async fn delivery(&self, scope: &Scope, id: u64) -> Result<DeliveryRow, AppError> {
        Ok(self.store.delivery_get(scope, id).await?)
    }

    pub(crate) async fn delivery_again(
        &self,
        scope: &Scope,
        id: u64,
    ) -> Result<DeliveryRow, AppError> {
        Ok(self.store.delivery_again(scope, id, self.clock.now()).await?)
    }
}

/// Says that it is a test, in the form of all messages.
fn test_message(webhook: &WebhookRow, now: UtcMicros) -> Result<NewMessage, AppError> {
    let id = crate::secrets::random::<TEST_ID_BYTES>().map_err(AppError::internal)?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("test-{id}");
    Ok(WebhookMessage::test(webhook.name.as_str(), now).put(key.clone(), key))
}
