//! Reads a list of targets from CSV or JSON, row by row: a bad row never hides a good one.
//!
//! Pure: it parses text into domain types and applies nothing.

use model::{Address, Name};
use store::ImportRow;

use super::{
    AppError, FieldError, Fields,
    targets::{TAGS_MAX, parse_note},
};

/// Rows of one import. Beyond this, split the file: one import is one transaction.
pub(crate) const ROWS_MAX: usize = store::IMPORT_ROWS_MAX;
const COLUMNS: [&str; 5] = ["name", "address", "tier", "tags", "note"];

/// One row as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RawRow {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) tier: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) note: Option<String>,
    pub(crate) is_paused: Option<bool>,
    /// Where it begins in a CSV, from 1; `None` in JSON.
    pub(crate) line: Option<u64>,
    /// What was wrong before the fields could be looked at.
    pub(crate) errors: Vec<FieldError>,
}

/// Splits CSV text with a header line. Columns may come in any order; `name` and `address` must
/// be there; an empty field means "leave as it is".
///
/// # Errors
///
/// [`AppError::Invalid`] if the header cannot be used or there are too many rows.
pub(crate) fn read_csv(text: &[u8]) -> Result<Vec<RawRow>, AppError> {
    // Spreadsheets put a byte-order mark in front.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let header = text.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    // Spreadsheets of countries whose decimals have a comma write semicolons.
    let is_semicolon = header.contains(&b';') && !header.contains(&b',');
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(if is_semicolon { b';' } else { b',' })
        .from_reader(text);
    let header = reader.headers().map_err(|error| invalid("header", &error.to_string()))?;
    let columns = header.iter().map(str::to_ascii_lowercase).collect::<Vec<_>>();
    let mut fields = Fields::default();
    for (index, column) in columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) {
            let known = COLUMNS.join(", ");
            fields.refuse(format!("header.{column}"), format!("is not a column; known: {known}"));
        } else if columns.iter().take(index).any(|before| before == column) {
            fields.refuse(format!("header.{column}"), "comes twice");
        }
    }
    for column in ["name", "address"] {
        if !columns.iter().any(|known| known == column) {
            fields.refuse(format!("header.{column}"), "is missing");
        }
    }
    fields.check()?;
    let mut rows = Vec::new();
    for record in reader.byte_records() {
        if rows.len() == ROWS_MAX {
            return Err(too_many());
        }
        rows.push(match record {
            Ok(record) => {
                let line = record.position().map(|position| line_of(text, position));
                RawRow { line, ..csv_row(&columns, &record) }
            }
            Err(error) => {
                let line = error.position().map(csv::Position::line);
                RawRow { line, ..bad_row(&error.to_string()) }
            }
        });
    }
    Ok(rows)
}

/// The line of a record, which is held to begin before the empty lines above it.
fn line_of(text: &[u8], position: &csv::Position) -> u64 {
    let at = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let behind = text.get(at..).unwrap_or_default().iter();
    let empty = behind.take_while(|byte| matches!(byte, b'\n' | b'\r'));
    position.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

fn csv_row(columns: &[String], record: &csv::ByteRecord) -> RawRow {
    if columns.len() < record.len() {
        return bad_row(&format!(
            "has {} fields, the header {}; quote a field that holds a `,` or `;`",
            record.len(),
            columns.len()
        ));
    }
    let field = |name: &str| {
        let index = columns.iter().position(|column| column == name)?;
        let text = String::from_utf8_lossy(record.get(index)?).into_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    let tags = field("tags").map(|tags| {
        let tags = tags.split([',', ';', ' ']).filter(|tag| !tag.is_empty());
        tags.map(str::to_owned).collect()
    });
    RawRow {
        name: field("name").unwrap_or_default(),
        address: field("address").unwrap_or_default(),
        tier: field("tier"),
        tags,
        note: field("note"),
        ..RawRow::default()
    }
}

fn bad_row(reason: &str) -> RawRow {
    RawRow { errors: vec![FieldError::new("row", reason)], ..RawRow::default() }
}

fn invalid(field: &str, reason: &str) -> AppError {
    AppError::Invalid(vec![FieldError::new(field, reason)])
}

/// The error for more than [`ROWS_MAX`] rows.
pub(crate) fn too_many() -> AppError {
    invalid("rows", &format!("at most {ROWS_MAX} rows in one import; split it"))
}

/// Parses a row into what the store imports.
///
/// # Errors
///
/// Every field that cannot be accepted.
pub(crate) fn parse_row(raw: &RawRow) -> Result<ImportRow, Vec<FieldError>> {
    if !raw.errors.is_empty() {
        return Err(raw.errors.clone());
    }
    let mut fields = Fields::default();
    let name = fields.take("name", Name::parse(&raw.name));
    let address = fields.take("address", Address::parse_target(&raw.address));
    let tier = fields.take_some("tier", raw.tier.as_deref().map(Name::parse));
    let tags = fields.take_some("tags", raw.tags.as_deref().map(parse_tags));
    let note = fields.take_some("note", raw.note.as_deref().map(parse_note));
    match (name, address, fields.into_errors()) {
        (Some(name), Some(address), errors) if errors.is_empty() => {
            Ok(ImportRow { name, address, tier, tags, note, is_paused: raw.is_paused })
        }
        (_, _, errors) => Err(errors),
    }
}

/// Parses tags; each is a [`Name`].
pub(crate) fn parse_tags(tags: &[String]) -> Result<Vec<Name>, String> {
    if TAGS_MAX < tags.len() {
        return Err(format!("at most {TAGS_MAX} tags"));
    }
    let parse = |tag: &String| Name::parse(tag).map_err(|error| format!("`{tag}`: {error}"));
    let mut tags = tags.iter().map(parse).collect::<Result<Vec<Name>, String>>()?;
    tags.sort();
    tags.dedup();
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(csv: &str, expected: Expect) {
        let mut told = String::new();
        match read_csv(csv.as_bytes()) {
            Ok(rows) => {
                for row in rows {
                    told += &match parse_row(&row) {
                        Ok(row) => format!(
                            "{} {} tier={:?} tags={:?} note={:?}\n",
                            row.name,
                            row.address,
                            row.tier.map(|tier| tier.to_string()),
                            row.tags
                                .map(|tags| tags.iter().map(Name::to_string).collect::<Vec<_>>()),
                            row.note
                        ),
                        Err(errors) => told_errors(&errors),
                    };
                }
            }
            Err(AppError::Invalid(errors)) => told += &told_errors(&errors),
            Err(other) => told += &format!("{other:?}"),
        }
        expected.assert_eq(&told);
    }

    fn told_errors(errors: &[FieldError]) -> String {
        let told = errors.iter();
        told.map(|e| format!("! {}: {}\n", e.field, e.reason)).collect()
    }

    #[test]
    fn columns_in_any_order_and_empty_fields_left_alone() {
        check(
            "\u{feff}Address, name ,tags\r\n192.0.2.1,core1,\"b, a;b\"\r\n2001:DB8::1,core2,\r\n",
            expect![[r#"
                core1 192.0.2.1 tier=None tags=Some(["a", "b"]) note=None
                core2 2001:db8::1 tier=None tags=None note=None
            "#]],
        );
    }

    #[test]
    fn every_bad_field_of_every_bad_row_is_named() {
        check(
            "name,address,tier,tags,note\n-x,300.1.1.1,,,\nok,192.0.2.9,gold,edge,\"a, b\"\n\
             a,1.2.3.4,,-,n,more\nshort\n",
            expect![[r#"
                ! name: a name starts with a letter or a digit
                ! address: looks like an IPv4 address but is none
                ok 192.0.2.9 tier=Some("gold") tags=Some(["edge"]) note=Some("a, b")
                ! row: has 6 fields, the header 5; quote a field that holds a `,` or `;`
                ! address: an address is an IPv4 or IPv6 address or a DNS name; this one is empty
            "#]],
        );
    }

    #[test]
    fn semicolons_stand_between_fields_where_the_header_has_no_comma() {
        check(
            "name;address;tags\ncore1;192.0.2.1;\"b;a\"\ncore2;192.0.2.2;b,a\n",
            expect![[r#"
                core1 192.0.2.1 tier=None tags=Some(["a", "b"]) note=None
                core2 192.0.2.2 tier=None tags=Some(["a", "b"]) note=None
            "#]],
        );
    }

    #[test]
    fn a_row_knows_its_line_in_the_file() {
        let text = b"name,address,note\na,192.0.2.1,\"two\nlines\"\n\nb,192.0.2.2,,,,\n";
        let rows = read_csv(text).expect("is read");
        let lines: Vec<Option<u64>> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [Some(2), Some(5)]);
    }

    #[test]
    fn a_header_that_cannot_be_used_says_why() {
        check(
            "name,adress,name\nx,y,z\n",
            expect![[r#"
                ! header.adress: is not a column; known: name, address, tier, tags, note
                ! header.name: comes twice
                ! header.address: is missing
            "#]],
        );
        check(
            "",
            expect![[r#"
            ! header.name: is missing
            ! header.address: is missing
        "#]],
        );
    }
}
