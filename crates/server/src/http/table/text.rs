//! Tables as text: CSV with a header, or one JSON object a line.

use std::io::Write as _;

use super::{Cell, Column};
use crate::app::AppError;

/// What is written of the text, and how.
pub(super) struct TextWriter<R: 'static> {
    columns: &'static [Column<R>],
    is_csv: bool,
    /// The header of CSV is written with the first rows.
    has_header: bool,
}

impl<R> TextWriter<R> {
    pub(super) fn csv(columns: &'static [Column<R>]) -> TextWriter<R> {
        TextWriter { columns, is_csv: true, has_header: false }
    }

    pub(super) fn lines(columns: &'static [Column<R>]) -> TextWriter<R> {
        TextWriter { columns, is_csv: false, has_header: false }
    }

    pub(super) fn write(&mut self, rows: &[R]) -> Result<Vec<u8>, AppError> {
        if self.is_csv { self.write_csv(rows) } else { self.write_lines(rows) }
    }

    /// A null is an empty field.
    fn write_csv(&mut self, rows: &[R]) -> Result<Vec<u8>, AppError> {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        if !std::mem::replace(&mut self.has_header, true) {
            let header = writer.write_record(self.columns.iter().map(|column| column.name));
            header.map_err(AppError::internal)?;
        }
        let mut field = Vec::new();
        for row in rows {
            for column in self.columns {
                field.clear();
                let written = match (column.cell)(row) {
                    Cell::Null => Ok(()),
                    Cell::Time(at) => write!(field, "{at}"),
                    Cell::Text(text) => field.write_all(text.as_bytes()),
                    Cell::Count(count) => write!(field, "{count}"),
                    Cell::Real(real) => write!(field, "{real:?}"),
                    Cell::Flag(flag) => write!(field, "{flag}"),
                };
                written.map_err(AppError::internal)?;
                writer.write_field(&field).map_err(AppError::internal)?;
            }
            writer.write_record(None::<&[u8]>).map_err(AppError::internal)?;
        }
        writer.into_inner().map_err(|error| AppError::internal(error.into_error()))
    }

    fn write_lines(&self, rows: &[R]) -> Result<Vec<u8>, AppError> {
        let mut bytes = Vec::new();
        for row in rows {
            for (before, column) in
                std::iter::once("{").chain(std::iter::repeat(",")).zip(self.columns)
            {
                bytes.extend_from_slice(before.as_bytes());
                serde_json::to_writer(&mut bytes, column.name).map_err(AppError::internal)?;
                bytes.push(b':');
                let written = match (column.cell)(row) {
                    Cell::Null => serde_json::to_writer(&mut bytes, &()),
                    Cell::Time(at) => serde_json::to_writer(&mut bytes, &at.to_string()),
                    Cell::Text(text) => serde_json::to_writer(&mut bytes, &text),
                    Cell::Count(count) => serde_json::to_writer(&mut bytes, &count),
                    Cell::Real(real) => serde_json::to_writer(&mut bytes, &real),
                    Cell::Flag(flag) => serde_json::to_writer(&mut bytes, &flag),
                };
                written.map_err(AppError::internal)?;
            }
            bytes.extend_from_slice(b"}\n");
        }
        Ok(bytes)
    }
}
