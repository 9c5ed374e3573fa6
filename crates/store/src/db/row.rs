//! Values on their way out of a row, checked against what they must be.

use model::{Address, Cause, Name, UtcMicros, Verdict};
use sqlx::{
    Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteRow, SqliteValueRef},
};

use crate::{StoreError, code};

/// A row that a statement gave.
#[derive(Debug)]
pub(crate) struct DbRow(pub(super) SqliteRow);

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
        let raw = match at.into() {
            At::Name(name) => self.0.try_get_raw(name)?,
            At::Place(place) => self.0.try_get_raw(place)?,
        };
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

fn decoded<'r, T: Decode<'r, Sqlite>>(raw: SqliteValueRef<'r>) -> Result<T, StoreError> {
    Ok(T::decode(raw).map_err(sqlx::Error::Decode)?)
}

pub(crate) fn damaged(column: &str) -> StoreError {
    StoreError::Damaged { column: column.to_owned() }
}
