//! The bulk import of targets: CSV or JSON, with a dry run and a report for each row.

use std::fmt;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State, rejection::BytesRejection},
};
use serde::{
    Deserialize, Deserializer as _, Serialize,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use store::{ImportAction, ImportResult};
use utoipa::{IntoParams, ToSchema};

use super::{
    caller::Caller,
    extract::{BODY_TIME_MAX, Json, Query, in_time, media_type, too_large_or_cut},
    permission::Permission,
    problem::{ApiError, Code, ProblemField},
    views::parse_flag,
};
use crate::app::{
    App, FieldError, Fields,
    import::{self, RawRow},
};

/// As much as a body that creates one target may have. Read into values, a row takes many times
/// its bytes.
const ROW_BYTES_MAX: usize = 64 * 1024;

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
    /// Where the row begins in a CSV, counted from 1; null in JSON.
    #[schema(required)]
    line: Option<u64>,
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
/// `name`, `address` and, if wanted, `tier`, `tags` (with spaces between) and `note`; a header with
/// `;` and no `,` says that `;` stands between the fields.
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
        rows.push(row_view(index + 1, row, result));
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
    RawRow { line, name, .. }: RawRow,
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
    ImportRowView {
        row,
        line,
        name,
        action,
        errors: errors.iter().map(ProblemField::from).collect(),
    }
}

/// The rows of a body, in either form.
#[derive(Debug)]
pub(crate) struct Rows(Vec<RawRow>);

impl<S: Send + Sync> FromRequest<S> for Rows {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Rows, ApiError> {
        let kind = media_type(request.headers());
        let body = in_time(BODY_TIME_MAX, Bytes::from_request(request, state)).await?;
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

pub(crate) fn read_json(body: &[u8]) -> Result<Vec<RawRow>, ApiError> {
    let mut are_too_many = false;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let rows = reader.deserialize_seq(RowsVisitor { are_too_many: &mut are_too_many });
    let rows = rows.and_then(|rows| reader.end().map(|()| rows));
    rows.map_err(|error| match are_too_many {
        true => import::too_many().into(),
        false => {
            ApiError::new(Code::BadBody, format!("the body is not a JSON array of rows: {error}"))
        }
    })
}

/// Takes row by row and stops at [`import::ROWS_MAX`], so that a body holds no more memory than
/// the rows that are taken.
struct RowsVisitor<'a> {
    /// Set when the error is that there are more.
    are_too_many: &'a mut bool,
}

impl<'de> Visitor<'de> for RowsVisitor<'_> {
    type Value = Vec<RawRow>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<RawRow>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element::<&RawValue>()? {
            if rows.len() == import::ROWS_MAX {
                *self.are_too_many = true;
                return Err(A::Error::custom("too many rows"));
            }
            rows.push(read_row(row.get()));
        }
        Ok(rows)
    }
}

fn read_row(text: &str) -> RawRow {
    if ROW_BYTES_MAX < text.len() {
        let reason = format!("has at most {ROW_BYTES_MAX} bytes; this one has {}", text.len());
        return RawRow { errors: vec![FieldError::new("row", reason)], ..RawRow::default() };
    }
    match serde_json::from_str(text) {
        Ok(row) => raw_row(row),
        Err(error) => {
            let errors = vec![FieldError::new("row", error.to_string())];
            RawRow { errors, ..RawRow::default() }
        }
    }
}

/// A row of another shape is a bad row, not a bad import.
fn raw_row(row: serde_json::Value) -> RawRow {
    if !row.is_object() {
        // A list would be read as the fields in their order, which nobody promised.
        let errors = vec![FieldError::new("row", "must be an object")];
        return RawRow { errors, ..RawRow::default() };
    }
    let name = row.get("name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    match serde_json::from_value::<ImportRowBody>(row) {
        Ok(row) => RawRow {
            name: row.name,
            address: row.address,
            tier: row.tier,
            tags: row.tags,
            note: row.note,
            is_paused: row.is_paused,
            line: None,
            errors: vec![],
        },
        Err(error) => {
            let errors = vec![FieldError::new("row", error.to_string())];
            RawRow { name, errors, ..RawRow::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_row_that_is_too_many() {
        // What comes behind it is no JSON: it is not looked at.
        let body = format!("[{}{{}}, and so on", "{},".repeat(import::ROWS_MAX));
        let error = read_json(body.as_bytes()).expect_err("is refused");
        assert_eq!(error.code, Code::Invalid);
        assert_eq!(error.errors, ApiError::from(import::too_many()).errors);
        let body = format!("[{}{{}}]", "{},".repeat(import::ROWS_MAX - 1));
        assert_eq!(read_json(body.as_bytes()).expect("is read").len(), import::ROWS_MAX);
    }

    #[test]
    fn a_list_is_no_row() {
        let rows = read_json(br#"[["core1", "192.0.2.1", null, null, null, null]]"#);
        assert_eq!(rows.expect("is read")[0].errors[0].reason, "must be an object");
    }

    #[test]
    fn a_row_that_is_too_long_is_a_bad_row() {
        let body = format!("[{{\"name\":[{}0]}}, {{}}]", "0,".repeat(ROW_BYTES_MAX / 2));
        let rows = read_json(body.as_bytes()).expect("is read");
        assert!(rows[0].errors[0].reason.starts_with("has at most 65536 bytes"));
        assert_eq!(rows[1].errors[0].reason, "missing field `name`");
    }
}
