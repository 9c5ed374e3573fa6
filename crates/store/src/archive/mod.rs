//! Tables as rows of text: what an archive holds of the database, whatever database that is.
//!
//! A row is one line: a JSON array with a value for each column, in the order of the table's
//! [`TableShape`]. An integer is a number (64 bits, signed), a real a number, a text a string,
//! bytes a string in base64, nothing `null`. Lines end with a line feed and do not depend on pages,
//! encodings or collations of any engine. The numbers that AUTOINCREMENT columns have reached are a
//! table of their own, [`SEQUENCE_TABLE`]: ids are never used again, also after a restore.
//!
//! Sessions are left out: whoever was signed in signs in again.

mod dump;
mod inspect;
mod load;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    StoreError,
    db::{Cell, Conn, DbRow, Value, damaged, sql},
};

pub use dump::{Dump, Rows};
pub use inspect::{Inspection, inspect};
pub use load::Load;

/// The highest id that each table with an own counter has given.
pub const SEQUENCE_TABLE: &str = "id_sequence";
/// What no archive holds: the steps are those of the program that restores, and who holds a
/// session's cookie of some earlier day must not be signed in by a restore. What is restored is an
/// installation of its own: its log is not that of the old one.
const LEFT_OUT: [&str; 3] = ["schema_step", "session", "installation"];
/// Tables of a database and columns of a table, to bound what is read of a schema.
const SHAPES_MAX: i64 = 1_000;

// Above organisations: an archive is of the whole installation.
const TABLES: &str = "
    SELECT name
      FROM sqlite_schema
     WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
     ORDER BY name
     LIMIT $1";
// Roll-ups as tables are made of chunks, also after a restore.
// Above organisations: an archive is of the whole installation.
const TABLES_POSTGRES: &str = "
    SELECT CAST(tablename AS TEXT) COLLATE \"C\" AS name
      FROM pg_catalog.pg_tables
     WHERE schemaname = current_schema()
       AND tablename NOT LIKE 'rollup~_%' ESCAPE '~'
     ORDER BY name
     LIMIT $1";
// Above organisations: an archive is of the whole installation.
const COLUMNS_POSTGRES: &str = "
    SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS type
      FROM information_schema.columns
     WHERE table_schema = current_schema()
       AND table_name = $1
     ORDER BY ordinal_position
     LIMIT $2";
// Above organisations: an archive is of the whole installation.
const COLUMNS: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid LIMIT $2";

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    Integer,
    Real,
    Text,
    /// Base64.
    Bytes,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnShape {
    pub name: String,
    pub kind: ColumnKind,
}

/// A table and the order of its columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    pub name: String,
    pub columns: Vec<ColumnShape>,
}

/// Which schema rows belong to: the number of the last step, and the checksum of each step's text,
/// so that a schema of the same number that was not this one is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaMark {
    pub version: u32,
    pub steps: Vec<u32>,
}

/// Some rows of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowPart {
    pub rows: u64,
    /// JSON lines.
    pub lines: Vec<u8>,
}

/// Checks rows of a table without a database and returns how many there are.
///
/// # Errors
///
/// [`StoreError::Archive`] naming table and line.
pub fn check_rows(table: &TableShape, lines: &[u8]) -> Result<u64, StoreError> {
    Ok(u64::try_from(decode(table, lines)?.len()).unwrap_or(u64::MAX))
}

fn refused(table: &TableShape, reason: impl Into<String>) -> StoreError {
    StoreError::Archive { table: table.name.clone(), reason: reason.into() }
}

/// Writes a row as a line.
fn encode_row(to: &mut Vec<u8>, table: &TableShape, row: &DbRow) -> Result<(), StoreError> {
    to.push(b'[');
    for (index, column) in table.columns.iter().enumerate() {
        if index != 0 {
            to.push(b',');
        }
        let value = encode_cell(column.kind, row.cell(index)?);
        let value = value.ok_or_else(|| damaged(&format!("{}.{}", table.name, column.name)))?;
        // Writing to memory does not fail.
        serde_json::to_writer(&mut *to, &value).unwrap_or(());
    }
    to.extend_from_slice(b"]\n");
    Ok(())
}

/// A value as JSON; `None` if it is not of the kind that its column says.
fn encode_cell(kind: ColumnKind, cell: Cell<'_>) -> Option<Json> {
    match (kind, cell) {
        (_, Cell::Null) => Some(Json::Null),
        (ColumnKind::Integer, Cell::Int(value)) => Some(value.into()),
        (ColumnKind::Real, Cell::Real(value)) => {
            serde_json::Number::from_f64(value).map(Json::Number)
        }
        (ColumnKind::Text, Cell::Text(value)) => Some(value.into()),
        (ColumnKind::Bytes, Cell::Blob(value)) => Some(STANDARD.encode(value).into()),
        (ColumnKind::Integer | ColumnKind::Real | ColumnKind::Text | ColumnKind::Bytes, _) => None,
    }
}

/// Reads lines back.
fn decode(table: &TableShape, lines: &[u8]) -> Result<Vec<Vec<Value>>, StoreError> {
    let Some(whole) = lines.strip_suffix(b"\n") else {
        return match lines {
            [] => Ok(Vec::new()),
            _ => Err(refused(table, "its last row is cut off")),
        };
    };
    let lines = whole.split(|byte| *byte == b'\n').enumerate();
    let row = |(index, line)| {
        decode_row(table, line).ok_or_else(|| {
            refused(table, format!("row {} of a part is not one of this table", index + 1))
        })
    };
    lines.map(row).collect()
}

fn decode_row(table: &TableShape, line: &[u8]) -> Option<Vec<Value>> {
    let values: Vec<Json> = serde_json::from_slice(line).ok()?;
    if values.len() != table.columns.len() {
        return None;
    }
    let cells = values.into_iter().zip(&table.columns);
    cells.map(|(value, column)| decode_cell(column.kind, value)).collect()
}

fn decode_cell(kind: ColumnKind, value: Json) -> Option<Value> {
    Some(match (kind, value) {
        (ColumnKind::Integer, Json::Null) => Value::Int(None),
        (ColumnKind::Real, Json::Null) => Value::Real(None),
        (ColumnKind::Text, Json::Null) => Value::Text(None),
        (ColumnKind::Bytes, Json::Null) => Value::Blob(None),
        (ColumnKind::Integer, Json::Number(number)) => Value::Int(Some(number.as_i64()?)),
        (ColumnKind::Real, Json::Number(number)) => Value::Real(Some(number.as_f64()?)),
        (ColumnKind::Text, Json::String(text)) => Value::Text(Some(text)),
        (ColumnKind::Bytes, Json::String(text)) => Value::Blob(Some(STANDARD.decode(text).ok()?)),
        (_, _) => return None,
    })
}

/// The tables of a database that belong into an archive.
async fn shapes(connection: &mut Conn) -> Result<Vec<TableShape>, StoreError> {
    let tables = connection.either(TABLES, TABLES_POSTGRES);
    let columns_of = connection.either(COLUMNS, COLUMNS_POSTGRES);
    let names: Vec<String> = sql(tables).bind(SHAPES_MAX).scalars(connection).await?;
    let mut shapes = Vec::new();
    for name in names.into_iter().filter(|name| !LEFT_OUT.contains(&name.as_str())) {
        let rows = sql(columns_of).bind(&name).bind(SHAPES_MAX);
        let mut columns = Vec::new();
        for row in rows.fetch_all(&mut *connection).await? {
            let column: String = row.value("name")?;
            let declared: String = row.value("type")?;
            let kind = kind_of(&declared).ok_or_else(|| damaged(&format!("{name}.{column}")))?;
            columns.push(ColumnShape { name: column, kind });
        }
        shapes.push(TableShape { name, columns });
    }
    Ok(shapes)
}

fn kind_of(declared: &str) -> Option<ColumnKind> {
    match declared.to_ascii_uppercase().as_str() {
        "INTEGER" | "BIGINT" | "SMALLINT" => Some(ColumnKind::Integer),
        "REAL" | "DOUBLE PRECISION" => Some(ColumnKind::Real),
        "TEXT" => Some(ColumnKind::Text),
        "BLOB" | "BYTEA" => Some(ColumnKind::Bytes),
        _ => None,
    }
}

fn sequence_shape() -> TableShape {
    let column = |name: &str, kind| ColumnShape { name: name.to_owned(), kind };
    TableShape {
        name: SEQUENCE_TABLE.to_owned(),
        columns: vec![
            column("table_name", ColumnKind::Text),
            column("last_id", ColumnKind::Integer),
        ],
    }
}

/// A name as a part of a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableShape {
        let kinds = [ColumnKind::Integer, ColumnKind::Real, ColumnKind::Text, ColumnKind::Bytes];
        let columns = kinds.map(|kind| ColumnShape { name: format!("{kind:?}"), kind });
        TableShape { name: "t".to_owned(), columns: columns.to_vec() }
    }

    #[test]
    fn a_row_reads_as_what_its_columns_say() {
        let rows = decode(&table(), b"[-9223372036854775808,1.5,\"a\\nb\",\"AP8=\"]\n").unwrap();
        let expected = vec![i64::MIN.into(), 1.5.into(), "a\nb".into(), vec![0, 255].into()];
        assert_eq!(rows, [expected]);
        assert_eq!(check_rows(&table(), b"").unwrap(), 0);
        assert_eq!(check_rows(&table(), b"[null,null,null,null]\n").unwrap(), 1);
    }

    #[test]
    fn what_is_no_row_is_refused_by_table_and_line() {
        let good = "[1,1,\"\",\"\"]\n";
        for bad in [
            "[1,1,\"\"]\n",
            "[1,1,\"\",\"\",1]\n",
            "[1.5,1,\"\",\"\"]\n",
            "[9223372036854775808,1,\"\",\"\"]\n",
            "[1,\"\",\"\",\"\"]\n",
            "[1,1,1,\"\"]\n",
            "[1,1,\"\",\"!\"]\n",
            "\n",
            "{}\n",
        ] {
            let error = check_rows(&table(), format!("{good}{bad}").as_bytes()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the archive's table `t` cannot be read: row 2 of a part is not one of this table"
            );
        }
        let error = check_rows(&table(), good.trim_end().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }
}
