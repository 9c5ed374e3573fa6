//! What a query says.

use regex_lite::{Regex, RegexBuilder};

use super::{Fault, Labels, NAME};

/// A compiled pattern, in bytes: some hundred names in one. With all matchers of a request these
/// are a few megabytes.
const REGEX_BYTES_MAX: usize = 64 * 1024;

/// A query, with the series that it needs.
#[derive(Debug)]
pub(crate) struct Query {
    pub(super) expr: Expr,
    pub(crate) selectors: Vec<Selector>,
}

/// Which series, and of when.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub(crate) matchers: Vec<Matcher>,
    /// How far a window reaches back; `None`: one value is asked for.
    pub(crate) range_ms: Option<i64>,
    pub(crate) offset_ms: i64,
    /// A function asks what a counter grew by.
    pub(crate) is_growth: bool,
}

/// What a label must be.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    pub(crate) test: Test,
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    Is(String),
    IsNot(String),
    Like(Regex),
    Unlike(Regex),
}

impl Matcher {
    pub(super) fn new(label: String, sign: &str, value: String) -> Result<Matcher, Fault> {
        let regex = || {
            let whole = RegexBuilder::new(&format!("^(?s:{value})$"));
            let regex = { whole }.size_limit(REGEX_BYTES_MAX).build();
            regex.map_err(|error| Fault::parse(format!("bad pattern `{value}`: {error}")))
        };
        let test = match sign {
            "=" => Test::Is(value),
            "!=" => Test::IsNot(value),
            "=~" => Test::Like(regex()?),
            "!~" => Test::Unlike(regex()?),
            _ => return Err(Fault::parse(format!("expected =, !=, =~ or !~ and found `{sign}`"))),
        };
        Ok(Matcher { label, test })
    }

    pub(crate) fn is_met_by(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(wanted) => wanted == value,
            Test::IsNot(other) => other != value,
            Test::Like(regex) => regex.is_match(value),
            Test::Unlike(regex) => !regex.is_match(value),
        }
    }
}

impl Selector {
    /// Takes every series.
    pub(crate) fn any() -> Selector {
        Selector { matchers: Vec::new(), range_ms: None, offset_ms: 0, is_growth: false }
    }

    /// Whether a label is asked for.
    pub(crate) fn names(&self, label: &str) -> bool {
        self.matchers.iter().any(|matcher| matcher.label == label)
    }

    /// Whether series with this value of a label are asked for.
    pub(crate) fn takes(&self, label: &str, value: &str) -> bool {
        let mut of = self.matchers.iter().filter(|matcher| matcher.label == label);
        of.all(|matcher| matcher.is_met_by(value))
    }

    pub(crate) fn takes_all(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.is_met_by(labels.get(&matcher.label)))
    }

    /// The only value that a label may have, if the query says so.
    pub(crate) fn only(&self, label: &str) -> Option<&str> {
        self.matchers.iter().find_map(|matcher| match &matcher.test {
            Test::Is(value) if matcher.label == label => Some(value.as_str()),
            Test::Is(_) | Test::IsNot(_) | Test::Like(_) | Test::Unlike(_) => None,
        })
    }

    /// The name it was written with, for messages.
    pub(crate) fn name(&self) -> &str {
        self.only(NAME).unwrap_or("{…}")
    }
}

#[derive(Debug)]
pub(super) enum Expr {
    Number(f64),
    /// A selector by its place, without and with a window.
    Value(usize),
    Window(usize),
    Over {
        function: Over,
        param: Option<Box<Expr>>,
        selector: usize,
    },
    Call {
        function: Function,
        args: Vec<Expr>,
    },
    Aggregate {
        function: Aggregate,
        param: Option<Box<Expr>>,
        grouping: Grouping,
        of: Box<Expr>,
    },
    Binary {
        operator: Operator,
        is_bool: bool,
        on: Grouping,
        sides: Box<(Expr, Expr)>,
    },
    Minus(Box<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    Vector,
    Matrix,
}

/// What a window is made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Last,
    Present,
    Quantile,
    Rate,
    Increase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Ceil,
    Floor,
    Round,
    Clamp,
    ClampMin,
    ClampMax,
    Scalar,
    Vector,
    Time,
    Absent,
    Sort,
    SortDesc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    TopK,
    BottomK,
    Quantile,
}

/// Which labels make series one group, or two series a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    /// How strongly it binds; a higher one first.
    pub(super) fn strength(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And | Operator::Unless => 2,
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => 3,
            Operator::Add | Operator::Subtract => 4,
            Operator::Multiply | Operator::Divide | Operator::Modulo => 5,
            Operator::Power => 7,
        }
    }

    pub(super) fn is_comparison(self) -> bool {
        self.strength() == 3
    }

    pub(super) fn is_set(self) -> bool {
        self.strength() <= 2
    }
}

impl Expr {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Expr::Number(_) => Kind::Scalar,
            Expr::Value(_) | Expr::Over { .. } | Expr::Aggregate { .. } => Kind::Vector,
            Expr::Window(_) => Kind::Matrix,
            Expr::Call { function: Function::Scalar | Function::Time, .. } => Kind::Scalar,
            Expr::Call { .. } => Kind::Vector,
            Expr::Binary { sides, .. } => match (sides.0.kind(), sides.1.kind()) {
                (Kind::Scalar, Kind::Scalar) => Kind::Scalar,
                _ => Kind::Vector,
            },
            Expr::Minus(of) => of.kind(),
        }
    }
}
