//! Tables on their way out: named, typed, and sent while they are made.

use std::{future::ready, pin::pin};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _};
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName},
};

use super::{
    problem::ApiError,
    table::{Column, Format, Writer},
};
use crate::app::{App, AppError, aside, export::ExportError};

/// What an answer leaves out, where its body has no place to say so.
pub(super) const NOTES: HeaderName = HeaderName::from_static("x-notes");

/// A table that is sent as a file.
pub(super) struct Sheet<R: 'static> {
    pub(super) format: Format,
    pub(super) columns: &'static [Column<R>],
    /// Without its ending.
    pub(super) name: String,
    pub(super) notes: Vec<String>,
}

/// Reads the format of an answer: `None` is JSON as it is described.
pub(super) fn parse_format(text: &str) -> Result<Option<Format>, &'static str> {
    match text {
        "json" => Ok(None),
        "csv" => Ok(Some(Format::Csv)),
        "jsonl" => Ok(Some(Format::Lines)),
        "parquet" => Ok(Some(Format::Parquet)),
        _ => Err("must be json, jsonl, csv or parquet"),
    }
}

/// Sends the rows as they come.
///
/// # Errors
///
/// As [`App::export`]. Once it has begun, an error breaks the answer off.
pub(super) async fn send<R: Send + 'static>(
    app: &App,
    sheet: Sheet<R>,
    rows: impl Stream<Item = Result<Vec<R>, AppError>> + Send + 'static,
) -> Result<Response, ApiError> {
    let Sheet { format, columns, name, notes } = sheet;
    let body = app.export(move |pieces| async move {
        let mut writer = Writer::new(format, columns);
        let mut rows = pin!(rows);
        while let Some(some) = rows.next().await {
            let some = some?;
            let (next, bytes) = aside(move || {
                let bytes = writer.write(&some)?;
                Ok((writer, bytes))
            })
            .await?;
            writer = next;
            pieces.send(bytes).await?;
        }
        let bytes = aside(move || writer.finish()).await?;
        pieces.send(bytes).await?;
        Ok::<_, ExportError>(pieces)
    });
    let mut response = Body::from_stream(body.await?).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.ending());
    let disposition = HeaderValue::try_from(disposition).map_err(ApiError::internal)?;
    headers.insert(CONTENT_DISPOSITION, disposition);
    if !notes.is_empty() {
        let notes = HeaderValue::try_from(notes.join("; ")).map_err(ApiError::internal)?;
        headers.insert(NOTES, notes);
    }
    Ok(response)
}

/// Rows that are all there already.
pub(super) fn at_once<R: Send + 'static>(
    rows: Vec<R>,
) -> impl Stream<Item = Result<Vec<R>, AppError>> + Send + 'static {
    futures_util::stream::once(ready(Ok(rows)))
}
