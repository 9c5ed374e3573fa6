//! Why something that came over the wire is refused.

/// What is wrong with a batch or a payload. The text goes back to the sender as the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{what} has {length_bytes} bytes; at most {max_bytes} are taken")]
    TooLarge { what: &'static str, length_bytes: usize, max_bytes: usize },
    #[error("the payload inflates to more than {max_bytes} bytes")]
    InflatesTooLarge { max_bytes: usize },
    #[error("the payload is no zstd frame")]
    NotZstd,
    #[error("the payload is no `Payload` message: {reason}")]
    NotPayload { reason: String },
    #[error("the payload is empty")]
    EmptyPayload,
    #[error("{what} has {count} entries; at most {max} are taken")]
    TooMany { what: &'static str, count: usize, max: usize },
    #[error("column `{column}` has {count} entries, but there are {rounds} rounds")]
    ColumnLength { column: &'static str, count: usize, rounds: usize },
    #[error("round {index}: {must}")]
    Round { index: usize, must: &'static str },
    #[error("`{column}` names round {index}: indexes ascend and stay below {rounds}")]
    MarkIndex { column: &'static str, index: u32, rounds: usize },
    #[error("batch field `{field}` {must}")]
    Batch { field: &'static str, must: &'static str },
    #[error("trace field `{field}` {must}")]
    Trace { field: &'static str, must: &'static str },
}
