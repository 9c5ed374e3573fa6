//! Tables of records for people who calculate: one row a record, in columns that say what they
//! mean, as CSV, lines of JSON or Parquet. Pure.
//!
//! A table is written piece by piece, and what was written is handed on: however long it becomes,
//! [`Writer`] holds little.

mod parquet;
#[cfg(test)]
mod tests;
mod text;
mod thrift;

use model::UtcMicros;

use crate::app::AppError;
use parquet::ParquetWriter;
use text::TextWriter;

/// A cell of a row. `Null` where nothing is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Time(UtcMicros),
    Text(std::borrow::Cow<'a, str>),
    Count(i64),
    Real(f64),
    Flag(bool),
}

impl<'a> Cell<'a> {
    pub(super) fn text(text: impl Into<std::borrow::Cow<'a, str>>) -> Cell<'a> {
        Cell::Text(text.into())
    }

    pub(super) fn count(count: impl Into<i64>) -> Cell<'a> {
        Cell::Count(count.into())
    }

    /// Null for nothing.
    pub(super) fn some<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell<'a>) -> Cell<'a> {
        value.map_or(Cell::Null, cell)
    }
}

/// What the cells of a column are, if they are not null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In UTC, to the microsecond.
    Time,
    Text,
    Count,
    Real,
    Flag,
}

/// A column of a table whose rows are `R`.
pub(super) struct Column<R> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Empty for what is a number of things, or none.
    pub(super) unit: &'static str,
    /// What a reader has to know; stands in the document of the API's history and in the file.
    pub(super) meaning: &'static str,
    pub(super) cell: for<'a> fn(&'a R) -> Cell<'a>,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    /// One object a line.
    Lines,
    Parquet,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Lines => "application/x-ndjson",
            Format::Parquet => PARQUET_TYPE,
        }
    }

    /// What its files' names end with.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Lines => "jsonl",
            Format::Parquet => "parquet",
        }
    }
}

/// Compressed already.
pub(super) const PARQUET_TYPE: &str = "application/vnd.apache.parquet";

/// Writes one table.
pub(super) struct Writer<R: 'static>(Form<R>);

enum Form<R: 'static> {
    Text(TextWriter<R>),
    Parquet(ParquetWriter<R>),
}

impl<R> Writer<R> {
    pub(super) fn new(format: Format, columns: &'static [Column<R>]) -> Writer<R> {
        Writer(match format {
            Format::Csv => Form::Text(TextWriter::csv(columns)),
            Format::Lines => Form::Text(TextWriter::lines(columns)),
            Format::Parquet => Form::Parquet(ParquetWriter::new(columns)),
        })
    }

    /// Adds rows and returns what is ready to be sent, which may be nothing.
    ///
    /// # Errors
    ///
    /// [`AppError::Internal`], here and below: none is foreseen.
    pub(super) fn write(&mut self, rows: &[R]) -> Result<Vec<u8>, AppError> {
        match &mut self.0 {
            Form::Text(writer) => writer.write(rows),
            Form::Parquet(writer) => writer.write(rows),
        }
    }

    /// Returns what is left to be sent.
    pub(super) fn finish(self) -> Result<Vec<u8>, AppError> {
        match self.0 {
            // Of a table without rows, its header.
            Form::Text(mut writer) => writer.write(&[]),
            Form::Parquet(writer) => writer.finish(),
        }
    }
}
