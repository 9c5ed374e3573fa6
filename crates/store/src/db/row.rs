//! Values on their way out of a row, checked against what they must be.

use model::{Address, Cause, Name, UtcMicros, Verdict};
use sqlx::{
    Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _,
    postgres::{PgRow, PgValueRef},
    sqlite::{SqliteRow, SqliteValueRef},
};

use crate::{StoreError, code};

/// A row that a statement gave.
#[derive(Debug)]
pub(crate) enum DbRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A value in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'r> {
    Null,
    Int(i64),
    Real(f64),
    Text(&'r str),
    Blob(&'r [u8]),
}

/// Which column of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Name(&'static str),
    Place(usize),
}

impl From<&'static str> for At {
    fn from(name: &'static str) -> At {
        At::Name(name)
    }
}

impl From<usize> for At {
    fn from(place: usize) -> At {
        At::Place(place)
    }
}

/// What a cell can be read as.
pub(crate) trait FromCell<'r>: Sized {
    /// `None`: the cell is of another kind.
    fn from_cell(cell: Cell<'r>) -> Option<Self>;
}

impl<'r> FromCell<'r> for i64 {
    fn from_cell(cell: Cell<'r>) -> Option<i64> {
        if let Cell::Int(value) = cell { Some(value) } else { None }
    }
}

impl<'r> FromCell<'r> for f64 {
    fn from_cell(cell: Cell<'r>) -> Option<f64> {
        if let Cell::Real(value) = cell { Some(value) } else { None }
    }
}

macro_rules! narrow {
    ($($type:ty)*) => {
        $(
            impl<'r> FromCell<'r> for $type {
                fn from_cell(cell: Cell<'r>) -> Option<$type> {
                    i64::from_cell(cell)?.try_into().ok()
                }
            }
        )*
    };
}

narrow! { i16 u32 }

impl<'r> FromCell<'r> for &'r str {
    fn from_cell(cell: Cell<'r>) -> Option<&'r str> {
        if let Cell::Text(value) = cell { Some(value) } else { None }
    }
}

impl<'r> FromCell<'r> for String {
    fn from_cell(cell: Cell<'r>) -> Option<String> {
        <&str>::from_cell(cell).map(str::to_owned)
    }
}

impl<'r> FromCell<'r> for &'r [u8] {
    fn from_cell(cell: Cell<'r>) -> Option<&'r [u8]> {
        match cell {
            Cell::Blob(value) => Some(value),
            // What became a text in SQLite by an accident is still these bytes.
            Cell::Text(value) => Some(value.as_bytes()),
            Cell::Null | Cell::Int(_) | Cell::Real(_) => None,
        }
    }
}

impl<'r> FromCell<'r> for Vec<u8> {
    fn from_cell(cell: Cell<'r>) -> Option<Vec<u8>> {
        <&[u8]>::from_cell(cell).map(<[u8]>::to_vec)
    }
}

impl<'r, T: FromCell<'r>> FromCell<'r> for Option<T> {
    fn from_cell(cell: Cell<'r>) -> Option<Option<T>> {
        if cell == Cell::Null { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}

impl DbRow {
    pub(crate) fn cell(&self, at: impl Into<At>) -> Result<Cell<'_>, StoreError> {
        match (self, at.into()) {
            (DbRow::Sqlite(row), At::Name(name)) => sqlite_cell(row.try_get_raw(name)?),
            (DbRow::Sqlite(row), At::Place(place)) => sqlite_cell(row.try_get_raw(place)?),
            (DbRow::Postgres(row), At::Name(name)) => postgres_cell(row.try_get_raw(name)?),
            (DbRow::Postgres(row), At::Place(place)) => postgres_cell(row.try_get_raw(place)?),
        }
    }

    pub(crate) fn value<'r, T: FromCell<'r>>(
        &'r self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        T::from_cell(self.cell(column)?).ok_or_else(|| damaged(column))
    }

    /// The only value of a row that has one.
    pub(super) fn only<T: for<'r> FromCell<'r>>(&self) -> Result<T, StoreError> {
        T::from_cell(self.cell(0)?).ok_or_else(|| damaged("a result"))
    }

    /// A value with a text form that was checked before it was written.
    pub(crate) fn parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        parse(self.value(column)?).ok_or_else(|| damaged(column))
    }

    pub(crate) fn name(&self, column: &'static str) -> Result<Name, StoreError> {
        self.parsed(column, |text| Name::parse(text).ok())
    }

    pub(crate) fn address(&self, column: &'static str) -> Result<Address, StoreError> {
        self.parsed(column, |text| Address::parse(text).ok())
    }

    pub(crate) fn at(&self, column: &'static str) -> Result<UtcMicros, StoreError> {
        self.value(column).map(UtcMicros)
    }

    pub(crate) fn at_opt(&self, column: &'static str) -> Result<Option<UtcMicros>, StoreError> {
        Ok(self.value::<Option<i64>>(column)?.map(UtcMicros))
    }

    pub(crate) fn is(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.value::<i64>(column)? != 0)
    }

    /// Any unsigned number, checked against the width it must have.
    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        T::try_from(self.value(column)?).map_err(|_| damaged(column))
    }

    pub(crate) fn number_opt<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        match self.value::<Option<i64>>(column)? {
            None => Ok(None),
            Some(value) => T::try_from(value).map(Some).map_err(|_| damaged(column)),
        }
    }

    pub(crate) fn verdict(&self, column: &'static str) -> Result<Verdict, StoreError> {
        code::verdict(self.number(column)?).ok_or_else(|| damaged(column))
    }

    pub(crate) fn cause(&self, column: &'static str) -> Result<Cause, StoreError> {
        code::cause(self.number(column)?).ok_or_else(|| damaged(column))
    }
}

fn sqlite_cell(raw: SqliteValueRef<'_>) -> Result<Cell<'_>, StoreError> {
    if raw.is_null() {
        return Ok(Cell::Null);
    }
    // The type of the value itself: SQLite takes anything into any column.
    let (is_int, is_real, is_text) = {
        let kind = raw.type_info();
        (kind.name() == "INTEGER", kind.name() == "REAL", kind.name() == "TEXT")
    };
    if is_int {
        return decoded(raw).map(Cell::Int);
    }
    if is_real {
        return decoded(raw).map(Cell::Real);
    }
    let bytes: &[u8] = decoded(raw)?;
    let text = if is_text { str::from_utf8(bytes).ok() } else { None };
    Ok(text.map_or(Cell::Blob(bytes), Cell::Text))
}

fn decoded<'r, T: Decode<'r, Sqlite>>(raw: SqliteValueRef<'r>) -> Result<T, StoreError> {
    Ok(T::decode(raw).map_err(sqlx::Error::Decode)?)
}

/// The types of PostgreSQL that statements of ours give, by the numbers that it pins.
const INTS: [u32; 4] = [20, 21, 23, 26];
const NUMERIC: u32 = 1700;
const FLOAT8: u32 = 701;
const BYTEA: u32 = 17;
/// `text`, `varchar`, `name`, `unknown`.
const TEXTS: [u32; 4] = [25, 1043, 19, 705];

fn postgres_cell(raw: PgValueRef<'_>) -> Result<Cell<'_>, StoreError> {
    if raw.is_null() {
        return Ok(Cell::Null);
    }
    let kind = raw.type_info().oid().map_or(0, |oid| oid.0);
    let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
    let cell = match kind {
        NUMERIC => numeric(bytes).map(Cell::Int),
        FLOAT8 => bytes.try_into().ok().map(|bytes| Cell::Real(f64::from_be_bytes(bytes))),
        BYTEA => Some(Cell::Blob(bytes)),
        kind if INTS.contains(&kind) => int(bytes).map(Cell::Int),
        kind if TEXTS.contains(&kind) => str::from_utf8(bytes).ok().map(Cell::Text),
        _ => None,
    };
    cell.ok_or_else(|| damaged("a value of an unknown type"))
}

/// A signed number of two, four or eight bytes.
fn int(bytes: &[u8]) -> Option<i64> {
    let (first, _) = bytes.split_first()?;
    let fill: i64 = if *first < 0x80 { 0 } else { -1 };
    let is_known = matches!(bytes.len(), 2 | 4 | 8);
    is_known.then(|| bytes.iter().fold(fill, |value, byte| value << 8 | i64::from(*byte)))
}

/// A whole `numeric`, which is what a sum of numbers is: digits of base 10,000, the first of the
/// weight given, no fraction.
fn numeric(bytes: &[u8]) -> Option<i64> {
    const NEGATIVE: i64 = 0x4000;
    let (words, rest) = bytes.as_chunks::<2>();
    let mut words = words.iter().map(|word| i64::from(i16::from_be_bytes(*word)));
    let (count, weight, sign, _scale) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    if !rest.is_empty() || !matches!(sign, 0 | NEGATIVE) || weight.saturating_add(1) < count {
        return None;
    }
    let mut value = 0_i64;
    // Zeros at the end are not sent.
    for place in 0..=weight {
        let digit = if place < count { words.next()? } else { 0 };
        value = value.checked_mul(10_000)?.checked_add(digit)?;
    }
    if sign == NEGATIVE { value.checked_neg() } else { Some(value) }
}

pub(crate) fn damaged(column: &str) -> StoreError {
    StoreError::Damaged { column: column.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_every_width_are_read() {
        for (bytes, value) in [
            (&[0x00, 0x01][..], 1),
            (&[0xff, 0xfe], -2),
            (&[0x80, 0x00, 0x00, 0x00], -2_147_483_648),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX),
            (&[0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00], i64::MIN),
        ] {
            assert_eq!(int(bytes), Some(value));
        }
        assert_eq!(int(&[]), None);
        assert_eq!(int(&[1, 2, 3]), None);
    }

    #[test]
    fn a_sum_is_read_if_it_is_a_whole_number_that_fits() {
        let of = |words: &[i16]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            numeric(&bytes)
        };
        assert_eq!(of(&[0, 0, 0, 0]), Some(0));
        assert_eq!(of(&[1, 0, 0, 0, 42]), Some(42));
        // 120,034, then 50,000, whose last digit is a zero, then less than nothing.
        assert_eq!(of(&[2, 1, 0, 0, 12, 34]), Some(120_034));
        assert_eq!(of(&[1, 1, 0, 0, 5]), Some(50_000));
        assert_eq!(of(&[1, 0, 0x4000, 0, 7]), Some(-7));
        // A fraction, a number without end, one that is too large, one cut off.
        assert_eq!(of(&[2, 0, 0, 4, 1, 5000]), None);
        assert_eq!(of(&[0, 0, -0x4000, 0]), None);
        assert_eq!(of(&[5, 4, 0, 0, 9999, 9999, 9999, 9999, 9999]), None);
        assert_eq!(of(&[2, 1, 0, 0, 12]), None);
    }
}
