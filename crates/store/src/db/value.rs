//! Values on their way into a statement.

use sqlx::{Arguments, Encode, Type, postgres::PgArguments, sqlite::SqliteArguments};

use crate::StoreError;

/// A value of a statement: one of the four kinds that every database of ours has. What is missing
/// still says its kind, because PostgreSQL settles the types of a statement when it is prepared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Int(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

/// What a value can be made of, and what it is if it is not there.
pub(crate) trait Plain: Into<Value> {
    const NULL: Value;
}

impl<T: Plain> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(T::NULL, Into::into)
    }
}

macro_rules! plain {
    ($kind:ident: $($type:ty => $convert:expr;)*) => {
        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Value {
                    let convert: fn($type) -> _ = $convert;
                    Value::$kind(Some(convert(value)))
                }
            }

            impl Plain for $type {
                const NULL: Value = Value::$kind(None);
            }
        )*
    };
}

plain! { Int:
    i64 => |value| value;
    &i64 => |value| *value;
    i32 => i64::from;
    i16 => i64::from;
    u32 => i64::from;
    u16 => i64::from;
    u8 => i64::from;
    bool => i64::from;
}

plain! { Real:
    f64 => |value| value;
}

plain! { Text:
    String => |value| value;
    &String => String::clone;
    &str => str::to_owned;
}

plain! { Blob:
    Vec<u8> => |value| value;
    &[u8] => <[u8]>::to_vec;
}

/// The values of one statement, in their order.
#[derive(Debug, Default)]
pub(crate) struct Binder {
    values: Vec<Value>,
}

impl Binder {
    pub(crate) fn add(&mut self, value: impl Into<Value>) -> &mut Binder {
        self.values.push(value.into());
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn sqlite(self) -> Result<SqliteArguments, StoreError> {
        encoded(self.values)
    }

    /// PostgreSQL has no place for a NUL in a text: it becomes the mark of what cannot be shown,
    /// so that a remark or a search with one does not fail.
    pub(super) fn postgres(mut self) -> Result<PgArguments, StoreError> {
        for value in &mut self.values {
            if let Value::Text(Some(text)) = value
                && text.contains('\0')
            {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        encoded(self.values)
    }
}

fn encoded<A>(values: Vec<Value>) -> Result<A, StoreError>
where
    A: Arguments,
    Option<i64>: Encode<'static, A::Database> + Type<A::Database>,
    Option<f64>: Encode<'static, A::Database> + Type<A::Database>,
    Option<String>: Encode<'static, A::Database> + Type<A::Database>,
    Option<Vec<u8>>: Encode<'static, A::Database> + Type<A::Database>,
{
    let mut arguments = A::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Int(value) => arguments.add(value),
            Value::Real(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Blob(value) => arguments.add(value),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A counter as the database holds it. None of ours comes near the limit.
pub(crate) fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
