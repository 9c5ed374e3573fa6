//! Webhooks: where messages go, and what became of them.

use axum::extract::State;
use http::StatusCode;
use model::{Name, WebhookId};
use serde::{Deserialize, Serialize};
use store::{DeliveryRow, DeliveryState, DeliveryTry};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::ObjectBuilder, schema::Type},
};

use super::{
    caller::Caller,
    extract::{Json, Path, Query},
    permission::Permission,
    problem::ApiError,
    views::{Timestamp, cut_page, parse_before, parse_limit},
};
use crate::app::{
    App, Fields,
    webhooks::{Address, Webhook, WebhookEdit},
};

/// Of an installation that does not know its own address.
const NO_LINK: &str = "`link` in the messages is null until `public_url` under [http] in the \
                       configuration says where people reach the console";

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhooks)]
pub(crate) struct WebhooksView {
    /// By name.
    items: Vec<WebhookView>,
}

/// An address that each message is sent to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookView {
    id: u32,
    name: String,
    /// Null: it was stored under another master key, and nothing can be sent there.
    #[schema(required)]
    url: Option<String>,
    /// Nothing is sent there.
    is_disabled: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Messages on their way.
    due: u64,
    /// Messages that were given up; tests are not counted.
    dead: u64,
    /// When a message was taken last; null if none was.
    #[schema(required)]
    last_sent_at: Option<Timestamp>,
}

/// A new secret that messages are signed with. It is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct WebhookSecretView {
    /// As Standard Webhooks has them.
    #[schema(example = "whsec_…")]
    secret: String,
}

/// A new webhook with its secret, which is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookCreated)]
pub(crate) struct WebhookCreatedView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What its messages are signed with, as Standard Webhooks has it.
    #[schema(example = "whsec_…")]
    secret: String,
    /// What its messages lack until it is set; null if nothing.
    #[schema(required)]
    warning: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookBody)]
pub(crate) struct WebhookBody {
    #[schema(example = "noc")]
    name: String,
    #[schema(example = "https://noc.example.net/faultline")]
    url: String,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookPatch)]
pub(crate) struct WebhookPatchBody {
    name: Option<String>,
    url: Option<String>,
    /// What waits for one that is disabled is given up.
    is_disabled: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryPage)]
pub(crate) struct DeliveryPageView {
    /// Newest first.
    items: Vec<DeliveryView>,
    #[schema(required)]
    next_cursor: Option<String>,
}

/// How far a message has come: due and tried until it is sent, or given up.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DeliveryStateView(&'static str);

impl PartialSchema for DeliveryStateView {
    fn schema() -> RefOr<Schema> {
        let texts = DeliveryState::ALL.map(DeliveryState::as_str);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(texts)).into()
    }
}

impl ToSchema for DeliveryStateView {
    fn name() -> std::borrow::Cow<'static, str> {
        "DeliveryState".into()
    }
}

/// A message on its way to a webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    id: u64,
    webhook_id: u32,
    /// The `webhook-id` it is sent with, the same at each try.
    message: String,
    /// What happened.
    #[schema(example = "incident.opened")]
    kind: String,
    /// Number of the one incident that it tells of; null if it tells of none, or of several.
    #[schema(required)]
    incident: Option<u32>,
    state: DeliveryStateView,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When it is tried next; null unless it is due.
    #[schema(required)]
    next_at: Option<Timestamp>,
    /// Why the last try failed, or why it was given up.
    #[schema(required)]
    reason: Option<String>,
    tries_total: u32,
}

/// A message with its tries and what is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryDetail)]
pub(crate) struct DeliveryDetailView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// Oldest first; the last 500.
    tries: Vec<DeliveryTryView>,
    /// To the byte.
    body: String,
}

/// One try to deliver a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryTry)]
pub(crate) struct DeliveryTryView {
    at: Timestamp,
    took_us: u64,
    /// HTTP status of the answer; null if there was none.
    #[schema(required)]
    status: Option<u16>,
    /// Why it failed; null if it did not.
    #[schema(required)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// Only those.
    #[param(value_type = Option<DeliveryStateView>)]
    state: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// 1 to 500; 100 if left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl From<&Webhook> for WebhookView {
    fn from(of: &Webhook) -> WebhookView {
        let count = |state| of.counts.iter().find(|count| count.state == state);
        let number = |state| count(state).map_or(0, |count| count.count);
        WebhookView {
            id: of.row.id.0,
            name: of.row.name.to_string(),
            url: of.url.clone(),
            is_disabled: !of.row.is_active,
            created_at: of.row.created_at.into(),
            updated_at: of.row.updated_at.into(),
            due: number(DeliveryState::Due),
            dead: number(DeliveryState::Dead),
            last_sent_at: count(DeliveryState::Sent).map(|count| count.at.into()),
        }
    }
}

impl From<&DeliveryRow> for DeliveryView {
    fn from(row: &DeliveryRow) -> DeliveryView {
        let is_due = row.state == DeliveryState::Due;
        DeliveryView {
            id: row.id,
            webhook_id: row.webhook.0,
            message: row.key.clone(),
            kind: row.kind.clone(),
            incident: row.subject.strip_prefix("incident.").and_then(|id| id.parse().ok()),
            state: DeliveryStateView(row.state.as_str()),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            next_at: is_due.then(|| row.due_at.into()),
            reason: row.reason.clone(),
            tries_total: row.tries_total,
        }
    }
}

impl From<DeliveryRow> for DeliveryDetailView {
    fn from(row: DeliveryRow) -> DeliveryDetailView {
        DeliveryDetailView {
            delivery: DeliveryView::from(&row),
            tries: row.tries.into_iter().map(DeliveryTryView::from).collect(),
            body: row.body,
        }
    }
}

impl From<DeliveryTry> for DeliveryTryView {
    fn from(of: DeliveryTry) -> DeliveryTryView {
        let DeliveryTry { at, took_us, status, reason } = of;
        DeliveryTryView { at: at.into(), took_us, status, reason }
    }
}

/// List webhooks
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them", body = WebhooksView))
)]
pub(crate) async fn webhook_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<WebhooksView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    let all = app.webhooks(&scope).await?;
    Ok(Json(WebhooksView { items: all.iter().map(WebhookView::from).collect() }))
}

/// Create a webhook
///
/// It gets each message from now on: a POST of JSON, signed as Standard Webhooks says.
#[utoipa::path(
    post, path = "/api/v1/webhooks", tag = "webhooks",
    request_body = WebhookBody,
    responses((status = 201, description = "Created", body = WebhookCreatedView))
)]
pub(crate) async fn webhook_create(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<WebhookBody>,
) -> Result<(StatusCode, Json<WebhookCreatedView>), ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&body.name));
    let address = fields.take("url", Address::parse(&body.url));
    let (Some(name), Some(address)) = (name, address) else {
        return Err(fields.error().into());
    };
    let (webhook, secret) = app.webhook_create(&scope, name, address).await?;
    let warning = app.config.http.public_url.is_none().then(|| NO_LINK.to_owned());
    let created = WebhookCreatedView { webhook: WebhookView::from(&webhook), secret, warning };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Get a webhook
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = u32, Path)),
    responses((status = 200, description = "As it is now", body = WebhookView))
)]
pub(crate) async fn webhook_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<Json<WebhookView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    Ok(Json(WebhookView::from(&app.webhook(&scope, id).await?)))
}

/// Change a webhook
#[utoipa::path(
    patch, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = u32, Path)),
    request_body = WebhookPatchBody,
    responses((status = 200, description = "As it is now", body = WebhookView))
)]
pub(crate) async fn webhook_update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    Json(body): Json<WebhookPatchBody>,
) -> Result<Json<WebhookView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    let mut fields = Fields::default();
    let edit = WebhookEdit {
        name: fields.take_some("name", body.name.as_deref().map(Name::parse)),
        address: fields.take_some("url", body.url.as_deref().map(Address::parse)),
        is_active: body.is_disabled.map(|is_disabled| !is_disabled),
    };
    fields.check()?;
    Ok(Json(WebhookView::from(&app.webhook_update(&scope, id, edit).await?)))
}

/// Delete a webhook
///
/// With what waits for it, and with the record of what it was sent.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{id}", tag = "webhooks", params(("id" = u32, Path)),
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn webhook_delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<StatusCode, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    app.webhook_delete(&scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign with a new secret
///
/// The one before is not used any more, also for messages that wait.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/secret", tag = "webhooks", params(("id" = u32, Path)),
    responses((status = 200, description = "Shown once", body = WebhookSecretView))
)]
pub(crate) async fn webhook_secret(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<Json<WebhookSecretView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    let secret = app.webhook_new_secret(&scope, id).await?;
    Ok(Json(WebhookSecretView { secret }))
}

/// Send a test
///
/// Once and at once, also to a webhook that is disabled; the answer says what became of it.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = u32, Path)),
    responses((status = 200, description = "What became of it", body = DeliveryDetailView))
)]
pub(crate) async fn webhook_test(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
) -> Result<Json<DeliveryDetailView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    Ok(Json(app.webhook_test(&scope, id).await?.into()))
}

/// List what was sent to a webhook
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = u32, Path), DeliveryQuery),
    responses((status = 200, description = "A page", body = DeliveryPageView))
)]
pub(crate) async fn delivery_list(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<DeliveryPageView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    let mut fields = Fields::default();
    let limit = parse_limit(&mut fields, query.limit.as_deref());
    let before = parse_before(&mut fields, query.cursor.as_deref());
    let parse = |text: &str| DeliveryState::parse(text).ok_or("must be due, sent or dead");
    let state = fields.take_some("state", query.state.as_deref().map(parse));
    fields.check()?;
    let mut rows = app.deliveries(&scope, id, state, (before, limit + 1)).await?;
    let next_cursor = cut_page(&mut rows, limit, |row| row.id);
    let items = rows.iter().map(DeliveryView::from).collect();
    Ok(Json(DeliveryPageView { items, next_cursor }))
}

/// Get a delivery with its tries
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "webhooks", params(("id" = u64, Path)),
    responses((status = 200, description = "As it is now", body = DeliveryDetailView))
)]
pub(crate) async fn delivery_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<u64>,
) -> Result<Json<DeliveryDetailView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    Ok(Json(app.delivery(&scope, id).await?.into()))
}

/// Send a message again
///
/// With the same id and as it was, whatever became of it before; it is tried anew from now on.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/resend", tag = "webhooks", params(("id" = u64, Path)),
    responses((status = 200, description = "It is due", body = DeliveryDetailView))
)]
pub(crate) async fn delivery_resend(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<u64>,
) -> Result<Json<DeliveryDetailView>, ApiError> {
    let scope = caller.authorize(Permission::WebhookManage)?;
    Ok(Json(app.delivery_again(&scope, id).await?.into()))
}
