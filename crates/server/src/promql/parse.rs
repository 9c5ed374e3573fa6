//! Reads a query.
//!
//! By strength of operators; what is not evaluated is refused where it is met, with its name.

use super::{
    Fault, NAME, QUERY_BYTES_MAX, Query, Selector,
    ast::{Aggregate, Expr, Function, Grouping, Kind, Matcher, Operator, Over},
    lex::{Token, lex},
};

/// Brackets and calls inside each other: no person writes more, and a stack has an end.
const DEPTH_MAX: u32 = 64;
/// Operators of one query: a chain of them is as deep as brackets are.
const OPERATORS_MAX: u32 = 128;
/// Selectors of one query: each is read by itself.
const SELECTORS_MAX: usize = 32;

/// Conditions on labels of one request: each may be a pattern, which is compiled and tried on every
/// target.
const MATCHERS_MAX: usize = 64;

/// Reads a query.
///
/// # Errors
///
/// What cannot be read, and what is Prometheus's and not evaluated here.
pub(crate) fn parse(text: &str) -> Result<Query, Fault> {
    parse_counted(text, &mut 0)
}

/// Reads a query of a request with others, which had so many matchers.
fn parse_counted(text: &str, matchers: &mut usize) -> Result<Query, Fault> {
    let mut parser = Parser::new(text, *matchers)?;
    let expr = parser.expr(0)?;
    *matchers = parser.matchers;
    match parser.peek() {
        None => Ok(Query { expr, selectors: parser.selectors }),
        Some(token) => Err(unexpected(Some(token), "the end of the query")),
    }
}

/// Reads the selectors of one request, as `match[]` has them.
///
/// # Errors
///
/// If one is anything else, or there is too much to look at in all of them.
pub(crate) fn parse_selectors(texts: &[String]) -> Result<Vec<Selector>, Fault> {
    let mut matchers = 0;
    let one = |text: &String| {
        let mut query = parse_counted(text, &mut matchers)?;
        match (query.expr, query.selectors.pop()) {
            (Expr::Value(_), Some(selector)) if selector.offset_ms == 0 => Ok(selector),
            _ => Err(Fault::parse(format!("`{text}` is no series selector"))),
        }
    };
    texts.iter().map(one).collect()
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    operators: u32,
    matchers: usize,
    selectors: Vec<Selector>,
}

fn unexpected(token: Option<&Token>, wanted: &str) -> Fault {
    let found = match token {
        None => "end of input".to_owned(),
        Some(Token::Number(number)) => format!("number {number}"),
        Some(Token::Duration(ms)) => format!("duration of {ms} ms"),
        Some(Token::Text(text)) => format!("text {text:?}"),
        Some(Token::Name(name)) => format!("`{name}`"),
        Some(Token::Sign(sign)) => format!("`{sign}`"),
    };
    Fault::parse(format!("unexpected {found}, expected {wanted}"))
}

impl Parser {
    fn new(text: &str, matchers: usize) -> Result<Parser, Fault> {
        if QUERY_BYTES_MAX < text.len() {
            return Err(Fault::bad(format!("the query has more than {QUERY_BYTES_MAX} bytes")));
        }
        let (tokens, selectors) = (lex(text)?, Vec::new());
        Ok(Parser { tokens, at: 0, depth: 0, operators: 0, matchers, selectors })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.takes(sign) {
            return Ok(());
        }
        Err(unexpected(self.peek(), &format!("`{sign}`")))
    }

    fn word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Name(name)) => Some(name.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_next = self.word().is_some_and(|next| next == word);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads operators that bind stronger than `floor`, and what they join.
    fn expr(&mut self, floor: u8) -> Result<Expr, Fault> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return Err(Fault::bad(format!("the query is nested deeper than {DEPTH_MAX}")));
        }
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|next| floor < next.strength()) {
            self.operators += 1;
            if OPERATORS_MAX < self.operators {
                return Err(Fault::bad(format!(
                    "the query has more than {OPERATORS_MAX} operators"
                )));
            }
            self.at += 1;
            left = self.joined(operator, left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        match self.peek()? {
            Token::Sign(sign) => operator_of(sign),
            Token::Name(_) => match self.word()?.as_str() {
                "and" => Some(Operator::And),
                "or" => Some(Operator::Or),
                "unless" => Some(Operator::Unless),
                _ => None,
            },
            Token::Number(_) | Token::Duration(_) | Token::Text(_) => None,
        }
    }

    fn joined(&mut self, operator: Operator, left: Expr) -> Result<Expr, Fault> {
        let is_bool = self.takes_word("bool");
        if is_bool && !operator.is_comparison() {
            return Err(Fault::parse("bool modifier can only be used on comparison operators"));
        }
        let mut on = Grouping::Without(Vec::new());
        if self.takes_word("on") {
            on = Grouping::By(self.names()?);
        } else if self.takes_word("ignoring") {
            on = Grouping::Without(self.names()?);
        }
        if let Some(word) = self.word().filter(|word| word.starts_with("group_")) {
            let instead = "aggregate both sides to the same labels with `by (…)` first";
            return Err(Fault::unsupported(format!("`{word}`"), instead));
        }
        // A power binds to the right, everything else to the left.
        let strength = operator.strength();
        let floor = if operator == Operator::Power { strength - 1 } else { strength };
        let right = self.expr(floor)?;
        let kinds = [left.kind(), right.kind()];
        if kinds.contains(&Kind::Matrix) {
            return Err(Fault::parse("a range such as `[5m]` can only be given to a function"));
        }
        if operator.is_set() && kinds.contains(&Kind::Scalar) {
            return Err(Fault::parse("set operators are not allowed with a scalar"));
        }
        if kinds == [Kind::Scalar, Kind::Scalar] && operator.is_comparison() && !is_bool {
            return Err(Fault::parse("comparisons between scalars must use the bool modifier"));
        }
        Ok(Expr::Binary { operator, is_bool, on, sides: Box::new((left, right)) })
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        // Stronger than a product, weaker than a power.
        if self.takes("-") {
            let of = self.expr(6)?;
            if of.kind() == Kind::Matrix {
                return Err(Fault::parse("a range such as `[5m]` can only be given to a function"));
            }
            return Ok(Expr::Minus(Box::new(of)));
        }
        if self.takes("+") {
            return self.expr(6);
        }
        let of = self.primary()?;
        self.suffixed(of)
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let wanted = "a number, a series, a function or `(`";
        match self.next() {
            Some(Token::Number(number)) => Ok(Expr::Number(number)),
            Some(Token::Sign("(")) => {
                let inner = self.expr(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Sign("{")) => {
                self.at -= 1;
                self.selector(None)
            }
            Some(Token::Name(name)) => self.named(name),
            Some(Token::Text(_)) => {
                Err(Fault::unsupported("a text as a value", "use numbers and series"))
            }
            other => Err(unexpected(other.as_ref(), wanted)),
        }
    }

    fn named(&mut self, name: String) -> Result<Expr, Fault> {
        let lower = name.to_ascii_lowercase();
        let is_called = matches!(self.peek(), Some(Token::Sign("(")));
        if let Some(function) = aggregate_of(&lower)
            && (is_called || matches!(self.word().as_deref(), Some("by" | "without")))
        {
            return self.aggregate(function, &lower);
        }
        match lower.as_str() {
            "inf" => return Ok(Expr::Number(f64::INFINITY)),
            "nan" => return Ok(Expr::Number(f64::NAN)),
            _ => {}
        }
        if is_called {
            return self.call(&lower);
        }
        self.selector(Some(name))
    }

    /// `name{label="value", …}`; a window and an offset come behind it.
    fn selector(&mut self, name: Option<String>) -> Result<Expr, Fault> {
        let mut matchers = Vec::new();
        if let Some(name) = name {
            matchers.push(Matcher::new(NAME.to_owned(), "=", name)?);
        }
        if self.takes("{") {
            while !self.takes("}") {
                matchers.push(self.matcher()?);
                if !self.takes(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        if matchers.iter().all(|matcher| matcher.is_met_by("")) {
            return Err(Fault::parse(
                "vector selector must contain at least one non-empty matcher",
            ));
        }
        if SELECTORS_MAX <= self.selectors.len() {
            return Err(Fault::bad(format!("the query has more than {SELECTORS_MAX} selectors")));
        }
        self.selectors.push(Selector { matchers, range_ms: None, offset_ms: 0, is_growth: false });
        Ok(Expr::Value(self.selectors.len() - 1))
    }

    fn matcher(&mut self) -> Result<Matcher, Fault> {
        self.matchers += 1;
        if MATCHERS_MAX < self.matchers {
            return Err(Fault::bad(format!(
                "more than {MATCHERS_MAX} matchers are asked for: name several values in one, as \
                 in target=~\"a|b\""
            )));
        }
        let label = match self.next() {
            Some(Token::Name(label)) => label,
            // A name between quotes, alone, is that of the series.
            Some(Token::Text(name)) => return Matcher::new(NAME.to_owned(), "=", name),
            other => return Err(unexpected(other.as_ref(), "a label")),
        };
        let sign = match self.next() {
            Some(Token::Sign(sign)) => sign,
            other => return Err(unexpected(other.as_ref(), "=, !=, =~ or !~")),
        };
        match self.next() {
            Some(Token::Text(value)) => Matcher::new(label, sign, value),
            other => Err(unexpected(other.as_ref(), "a text in quotes")),
        }
    }

    /// `[5m]`, `offset 1h`.
    fn suffixed(&mut self, mut of: Expr) -> Result<Expr, Fault> {
        loop {
            if self.takes("[") {
                let range_ms = self.duration("a duration such as 5m")?;
                if self.takes(":") {
                    let instead = "use a window over a series, as in `max_over_time(x[1h])`";
                    return Err(Fault::unsupported("a subquery", instead));
                }
                self.expect("]")?;
                let Expr::Value(selector) = of else {
                    let instead = "give a window to a series, as in `x[1h]`";
                    return Err(Fault::unsupported("a window over an expression", instead));
                };
                if range_ms <= 0 {
                    return Err(Fault::parse("duration must be greater than 0"));
                }
                self.of(selector).range_ms = Some(range_ms);
                of = Expr::Window(selector);
            } else if self.takes_word("offset") {
                let is_later = self.takes("-");
                let ms = self.duration("a duration such as 1h")?;
                let (Expr::Value(selector) | Expr::Window(selector)) = of else {
                    return Err(Fault::parse("offset modifier must be preceded by a series"));
                };
                self.of(selector).offset_ms = if is_later { -ms } else { ms };
            } else if self.takes("@") {
                return Err(Fault::unsupported("the modifier `@`", "ask for that time itself"));
            } else {
                return Ok(of);
            }
        }
    }

    fn of(&mut self, selector: usize) -> &mut Selector {
        // It was pushed when its expression was made.
        &mut self.selectors[selector]
    }

    fn duration(&mut self, wanted: &str) -> Result<i64, Fault> {
        match self.next() {
            Some(Token::Duration(ms)) => Ok(ms),
            other => Err(unexpected(other.as_ref(), wanted)),
        }
    }

    /// `(a, b)`
    fn names(&mut self) -> Result<Vec<String>, Fault> {
        self.expect("(")?;
        let mut names = Vec::new();
        while !self.takes(")") {
            match self.next() {
                Some(Token::Name(name) | Token::Text(name)) => names.push(name),
                other => return Err(unexpected(other.as_ref(), "a label")),
            }
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(names)
    }

    fn args(&mut self) -> Result<Vec<Expr>, Fault> {
        self.expect("(")?;
        let mut args = Vec::new();
        while !self.takes(")") {
            args.push(self.expr(0)?);
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(args)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Fault> {
        if self.takes_word("by") {
            return Ok(Some(Grouping::By(self.names()?)));
        }
        if self.takes_word("without") {
            return Ok(Some(Grouping::Without(self.names()?)));
        }
        Ok(None)
    }

    fn aggregate(&mut self, function: Aggregate, name: &str) -> Result<Expr, Fault> {
        let before = self.grouping()?;
        let mut args = self.args()?;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let of = args.pop().ok_or_else(|| wrong_args(name, "a series"))?;
        let takes_param =
            matches!(function, Aggregate::TopK | Aggregate::BottomK | Aggregate::Quantile);
        let param = args.pop();
        let is_scalar = param.as_ref().map(|param| param.kind() == Kind::Scalar);
        let fits = is_scalar == takes_param.then_some(true) && args.is_empty();
        if !fits || of.kind() != Kind::Vector {
            let wanted = if takes_param { "a number and a vector" } else { "one vector" };
            return Err(wrong_args(name, wanted));
        }
        Ok(Expr::Aggregate {
            function,
            param: param.map(Box::new),
            grouping: grouping.unwrap_or(Grouping::By(Vec::new())),
            of: Box::new(of),
        })
    }

    fn call(&mut self, name: &str) -> Result<Expr, Fault> {
        if let Some(function) = over_of(name) {
            return self.over(function, name);
        }
        let Some((function, kinds, optional)) = function_of(name) else {
            return Err(Fault::unsupported(format!("the function `{name}`"), FUNCTIONS));
        };
        let args = self.args()?;
        let given: Vec<Kind> = args.iter().map(Expr::kind).collect();
        let needed = kinds.get(..kinds.len() - optional).unwrap_or(kinds);
        if given != kinds && given != needed {
            let words = kinds.iter().map(|kind| match kind {
                Kind::Scalar => "a number",
                Kind::Vector => "a vector",
                Kind::Matrix => "a window",
            });
            let words: Vec<&str> = words.collect();
            return Err(wrong_args(name, &words.join(", ")));
        }
        Ok(Expr::Call { function, args })
    }

    fn over(&mut self, function: Over, name: &str) -> Result<Expr, Fault> {
        let mut args = self.args()?;
        let window = args.pop();
        let takes_param = function == Over::Quantile;
        let param = args.pop();
        let is_scalar = param.as_ref().map(|param| param.kind() == Kind::Scalar);
        let fits = is_scalar == takes_param.then_some(true) && args.is_empty();
        let Some(Expr::Window(selector)) = window.filter(|_| fits) else {
            return Err(wrong_args(name, "a series with a window, as in `x[5m]`"));
        };
        self.of(selector).is_growth = matches!(function, Over::Rate | Over::Increase);
        Ok(Expr::Over { function, param: param.map(Box::new), selector })
    }
}

fn wrong_args(name: &str, wanted: &str) -> Fault {
    Fault::parse(format!("wrong arguments in call to {name}(): it takes {wanted}"))
}

fn operator_of(sign: &str) -> Option<Operator> {
    Some(match sign {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "%" => Operator::Modulo,
        "^" => Operator::Power,
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        _ => return None,
    })
}

fn aggregate_of(name: &str) -> Option<Aggregate> {
    Some(match name {
        "sum" => Aggregate::Sum,
        "avg" => Aggregate::Avg,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "count" => Aggregate::Count,
        "group" => Aggregate::Group,
        "topk" => Aggregate::TopK,
        "bottomk" => Aggregate::BottomK,
        "quantile" => Aggregate::Quantile,
        _ => return None,
    })
}

fn over_of(name: &str) -> Option<Over> {
    Some(match name {
        "avg_over_time" => Over::Avg,
        "min_over_time" => Over::Min,
        "max_over_time" => Over::Max,
        "sum_over_time" => Over::Sum,
        "count_over_time" => Over::Count,
        "last_over_time" => Over::Last,
        "present_over_time" => Over::Present,
        "quantile_over_time" => Over::Quantile,
        "rate" => Over::Rate,
        "increase" => Over::Increase,
        _ => return None,
    })
}

/// What is said when another is called.
const FUNCTIONS: &str = "use avg, min, max, sum, count, last, present or quantile_over_time, rate, \
    increase, abs, ceil, floor, round, clamp, clamp_min, clamp_max, scalar, vector, time, absent, \
    sort or sort_desc, and the aggregations sum, avg, min, max, count, group, topk, bottomk and \
    quantile";

/// A function, what it takes, and how many of the last may be left out.
fn function_of(name: &str) -> Option<(Function, &'static [Kind], usize)> {
    use Kind::{Scalar, Vector};
    Some(match name {
        "abs" => (Function::Abs, &[Vector], 0),
        "ceil" => (Function::Ceil, &[Vector], 0),
        "floor" => (Function::Floor, &[Vector], 0),
        "round" => (Function::Round, &[Vector, Scalar], 1),
        "clamp" => (Function::Clamp, &[Vector, Scalar, Scalar], 0),
        "clamp_min" => (Function::ClampMin, &[Vector, Scalar], 0),
        "clamp_max" => (Function::ClampMax, &[Vector, Scalar], 0),
        "scalar" => (Function::Scalar, &[Vector], 0),
        "vector" => (Function::Vector, &[Scalar], 0),
        "time" => (Function::Time, &[], 0),
        "absent" => (Function::Absent, &[Vector], 0),
        "sort" => (Function::Sort, &[Vector], 0),
        "sort_desc" => (Function::SortDesc, &[Vector], 0),
        _ => return None,
    })
}
