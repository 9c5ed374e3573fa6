//! The bulk import of targets: CSV or JSON, with a dry run and a report for each row.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State, rejection::BytesRejection},
};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use store::{ImportAction, ImportResult};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{Json, Query, too_large_or_cut},
    permission::Permission,
    problem::{ApiError, Code, ProblemField},
    views::parse_flag,
};
use crate::app::{
    App, FieldError, Fields,
    import::{self, RawRow},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// Only say what would be done. False if left out.
    #[param(value_type = Option<bool>)]
    dry_run: Option<String>,
}

/// One row of a JSON import. What is left out stays as it is, or as a new target has it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImportRow)]
pub(crate) struct ImportRowBody {
    #[schema(example = "core1.fra")]
    name: String,
    #[schema(example = "192.0.2.1")]
    address: String,
    /// Name of a tier.
    tier: Option<String>,
    tags: Option<Vec<String>>,
    note: Option<String>,
    is_paused: Option<bool>,
}

/// What became of the rows. Good rows are applied even if others are not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportReport)]
pub(crate) struct ImportReportView {
    dry_run: bool,
    created: usize,
    updated: usize,
    unchanged: usize,
    failed: usize,
    rows: Vec<ImportRowView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportRowReport)]
pub(crate) struct ImportRowView {
    /// Counts from 1; a header is not a row.
    row: usize,
    name: String,
    action: ImportActionView,
    errors: Vec<ProblemField>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportAction)]
pub(crate) enum ImportActionView {
    Create,
    Update,
    Unchanged,
    Fail,
}

/// Import targets
///
/// A row whose name exists updates that target, every other row creates one. CSV has a header with
/// `name`, `address` and, if wanted, `tier`, `tags` (with spaces between) and `note`.
#[utoipa::path(
    post, path = "/api/v1/targets/import", tag = "targets", params(ImportQuery),
    request_body(content(
        (String = "text/csv", example = "name,address,tier,tags,note\ncore1,192.0.2.1,,core,\n"),
        (Vec<ImportRowBody> = "application/json"),
    )),
    responses((status = 200, description = "The report", body = ImportReportView))
)]
pub(crate) async fn target_import(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ImportQuery>,
    Rows(raw): Rows,
) -> Result<Json<ImportReportView>, ApiError> {
    let scope = caller.authorize(Permission::TargetWrite)?;
    let mut fields = Fields::default();
    let dry_run = fields.take_some("dry_run", query.dry_run.as_deref().map(parse_flag));
    fields.check()?;
    let dry_run = dry_run.unwrap_or(false);
    let mut good = Vec::new();
    let mut refused = Vec::with_capacity(raw.len());
    for row in &raw {
        match import::parse_row(row) {
            Ok(row) => {
                good.push(row);
                refused.push(None);
            }
            Err(errors) => refused.push(Some(errors)),
        }
    }
    let mut results = app.targets_import(&scope, good, dry_run).await?.into_iter();
    let mut rows = Vec::with_capacity(raw.len());
    for (index, (row, refused)) in raw.into_iter().zip(refused).enumerate() {
        let result = refused.map_or_else(|| results.next().map_or_else(lost, Ok), Err);
        rows.push(row_view(index + 1, row.name, result));
    }
    let count = |action| rows.iter().filter(|row| row.action == action).count();
    Ok(Json(ImportReportView {
        dry_run,
        created: count(ImportActionView::Create),
        updated: count(ImportActionView::Update),
        unchanged: count(ImportActionView::Unchanged),
        failed: count(ImportActionView::Fail),
        rows,
    }))
}

/// A row without a result was not applied.
fn lost() -> Result<ImportResult, Vec<FieldError>> {
    Err(vec![FieldError::new("row", "was not looked at")])
}

fn row_view(
    row: usize,
    name: String,
    result: Result<ImportResult, Vec<FieldError>>,
) -> ImportRowView {
    let (action, errors) = match result {
        Err(errors) => (ImportActionView::Fail, errors),
        Ok(result) => match result.action {
            ImportAction::Create => (ImportActionView::Create, vec![]),
            ImportAction::Update => (ImportActionView::Update, vec![]),
            ImportAction::Unchanged => (ImportActionView::Unchanged, vec![]),
            ImportAction::Fail => {
                (ImportActionView::Fail, vec![FieldError::new(result.field, result.reason)])
            }
        },
    };
    ImportRowView { row, name, action, errors: errors.iter().map(ProblemField::from).collect() }
}

/// The rows of a body, in either form.
#[derive(Debug)]
pub(crate) struct Rows(Vec<RawRow>);

impl<S: Send + Sync> FromRequest<S> for Rows {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Rows, ApiError> {
        let kind = media_type(request.headers());
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|error: BytesRejection| too_large_or_cut(error.status()))?;
        match kind.as_str() {
            "text/csv" => Ok(Rows(import::read_csv(&body)?)),
            "application/json" => read_json(&body).map(Rows),
            _ => {
                let detail = "send `content-type: text/csv` or `application/json`";
                Err(ApiError::new(Code::BadMediaType, detail))
            }
        }
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

fn read_json(body: &[u8]) -> Result<Vec<RawRow>, ApiError> {
    let rows: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|error| {
        ApiError::new(Code::BadBody, format!("the body is not a JSON array of rows: {error}"))
    })?;
    if import::ROWS_MAX < rows.len() {
        return Err(import::too_many().into());
    }
    Ok(rows.into_iter().map(raw_row).collect())
}

/// A row of another shape is a bad row, not a bad import.
fn raw_row(row: serde_json::Value) -> RawRow {
    let name = row.get("name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    match serde_json::from_value::<ImportRowBody>(row) {
        Ok(row) => RawRow {
            name: row.name,
            address: row.address,
            tier: row.tier,
            tags: row.tags,
            note: row.note,
            is_paused: row.is_paused,
            errors: vec![],
        },
        Err(error) => {
            let errors = vec![FieldError::new("row", error.to_string())];
            RawRow { name, errors, ..RawRow::default() }
        }
    }
}
