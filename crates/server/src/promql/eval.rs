//! Works a query out, for all its moments at once.

use std::collections::BTreeMap;

use super::{
    Fault, Labels, NAME, Query, Selector, Series,
    ast::{Aggregate, Expr, Function, Grouping, Operator},
    operate::{self, Scalars},
    window::{as_float, quantile, seconds, whole},
};

/// Values of one answer, and of each step on the way to it: 16 MB of them.
const VALUES_MAX: usize = 1_000_000;

/// The moments that are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) start_ms: i64,
    /// Above zero.
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Steps {
    pub(crate) fn at(self, index: usize) -> i64 {
        let steps = i64::try_from(index).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(steps))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |index| self.at(index))
    }
}

/// One series of an answer, with a value for each moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
}

/// What a query comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Scalar(Vec<f64>),
    Vector(Vec<Line>),
    /// The values of a window as they are, with when they are told.
    Matrix(Vec<(Labels, Vec<(i64, f64)>)>),
}

/// Works a query out over what was read for each of its selectors, in their order.
///
/// # Errors
///
/// [`super::FaultKind::Execution`] if series do not fit together or there are too many values; of
/// the other kind if a counter is read without saying over which time, or a window is asked for at
/// several moments.
pub(crate) fn evaluate(query: &Query, steps: Steps, read: &[Vec<Series>]) -> Result<Answer, Fault> {
    let evaluation = Evaluation { selectors: &query.selectors, read, steps };
    if let Expr::Window(selector) = query.expr {
        return evaluation.matrix(selector);
    }
    match evaluation.work_out(&query.expr)? {
        Value::Scalar(scalars) => Ok(Answer::Scalar(scalars)),
        Value::Vector(mut lines) => {
            lines.retain(|line| line.values.iter().any(Option::is_some));
            unique(&lines)?;
            Ok(Answer::Vector(lines))
        }
    }
}

struct Evaluation<'a> {
    selectors: &'a [Selector],
    read: &'a [Vec<Series>],
    steps: Steps,
}

pub(super) enum Value {
    Scalar(Scalars),
    Vector(Vec<Line>),
}

impl Evaluation<'_> {
    fn work_out(&self, expr: &Expr) -> Result<Value, Fault> {
        Ok(match expr {
            Expr::Number(number) => Value::Scalar(vec![*number; self.steps.count]),
            Expr::Value(selector) => Value::Vector(self.values(*selector)?),
            Expr::Window(_) => return Err(Fault::bad("a range can only be given to a function")),
            Expr::Over { function, param, selector } => {
                let params = self.param(param.as_deref())?;
                let (selector, read) = self.selector(*selector)?;
                let range_ms = selector.range_ms.unwrap_or(0);
                let line = |series: &Series| {
                    let at = self.steps.iter().zip(&params).map(|(at, param)| {
                        let end_ms = at.saturating_sub(selector.offset_ms);
                        series.over(*function, *param, (end_ms, range_ms))
                    });
                    Line { labels: series.labels.unnamed(), values: at.collect() }
                };
                Value::Vector(read.iter().map(line).collect())
            }
            Expr::Call { function, args } => self.call(*function, args)?,
            Expr::Aggregate { function, param, grouping, of } => {
                let params = self.param(param.as_deref())?;
                let lines = self.vector(of)?;
                Value::Vector(if matches!(function, Aggregate::TopK | Aggregate::BottomK) {
                    self.best(*function, &params, grouping, lines)
                } else {
                    self.aggregated(*function, &params, grouping, lines)
                })
            }
            Expr::Binary { operator, is_bool, on, sides } => {
                let (left, right) = (self.work_out(&sides.0)?, self.work_out(&sides.1)?);
                let joined = operate::join(*operator, *is_bool, on, (left, right))?;
                if let Value::Vector(lines) = &joined {
                    self.fits(lines.len())?;
                }
                joined
            }
            Expr::Minus(of) => {
                let minus = Value::Scalar(vec![-1.0; self.steps.count]);
                let on = Grouping::Without(Vec::new());
                operate::join(Operator::Multiply, false, &on, (self.work_out(of)?, minus))?
            }
        })
    }

    fn vector(&self, expr: &Expr) -> Result<Vec<Line>, Fault> {
        match self.work_out(expr)? {
            Value::Vector(lines) => Ok(lines),
            Value::Scalar(_) => Err(Fault::bad("expected a vector and found a number")),
        }
    }

    fn scalar(&self, expr: &Expr) -> Result<Scalars, Fault> {
        match self.work_out(expr)? {
            Value::Scalar(scalars) => Ok(scalars),
            Value::Vector(_) => Err(Fault::bad("expected a number and found a vector")),
        }
    }

    fn param(&self, param: Option<&Expr>) -> Result<Scalars, Fault> {
        param.map_or_else(|| Ok(vec![0.0; self.steps.count]), |param| self.scalar(param))
    }

    /// What was read for a selector. A counter has no value at a moment, only one over a time.
    fn selector(&self, index: usize) -> Result<(&Selector, &[Series]), Fault> {
        let none = || Fault::bad("a selector was not read");
        let selector = self.selectors.get(index).ok_or_else(none)?;
        let read = self.read.get(index).ok_or_else(none)?;
        self.fits(read.len())?;
        let name = selector.name();
        match (read.iter().any(|series| series.is_counter), selector.is_growth) {
            (true, false) => Err(Fault::bad(format!(
                "{name} is a counter: its value at a moment means nothing here; use \
                 increase({name}[1h]) or rate({name}[5m])"
            ))),
            (false, true) if !read.is_empty() => Err(Fault::bad(format!(
                "{name} is no counter: rate and increase are of counters; use \
                 avg_over_time({name}[1h]) or another function over time"
            ))),
            _ => Ok((selector, read)),
        }
    }

    fn fits(&self, lines: usize) -> Result<(), Fault> {
        if VALUES_MAX < lines.saturating_mul(self.steps.count) {
            return Err(Fault::execution(format!(
                "{lines} series at {} moments are more than {VALUES_MAX} values; ask for fewer \
                 series, a longer step or a shorter range",
                self.steps.count
            )));
        }
        Ok(())
    }

    fn values(&self, selector: usize) -> Result<Vec<Line>, Fault> {
        let (selector, read) = self.selector(selector)?;
        let line = |series: &Series| {
            let at = self.steps.iter().map(|at| series.at(at.saturating_sub(selector.offset_ms)));
            Line { labels: series.labels.clone(), values: at.collect() }
        };
        Ok(read.iter().map(line).collect())
    }

    fn matrix(&self, selector: usize) -> Result<Answer, Fault> {
        if self.steps.count != 1 {
            return Err(Fault::bad(
                "invalid expression type \"range vector\" for range query, must be Scalar or \
                 instant Vector",
            ));
        }
        let (selector, read) = self.selector(selector)?;
        let end_ms = self.steps.start_ms.saturating_sub(selector.offset_ms);
        let range_ms = selector.range_ms.unwrap_or(0);
        let values = |series: &Series| (series.labels.clone(), series.samples(end_ms, range_ms));
        let mut all: Vec<_> = read.iter().map(values).collect();
        all.retain(|(_, samples)| !samples.is_empty());
        let count: usize = all.iter().map(|(_, samples)| samples.len()).sum();
        if VALUES_MAX < count {
            return Err(Fault::execution(format!(
                "{count} values are more than {VALUES_MAX}: ask for fewer series or a shorter range"
            )));
        }
        Ok(Answer::Matrix(all))
    }

    fn call(&self, function: Function, args: &[Expr]) -> Result<Value, Fault> {
        let number = |index: usize, default: f64| match args.get(index) {
            Some(arg) => self.scalar(arg),
            None => Ok(vec![default; self.steps.count]),
        };
        let vector = || args.first().map_or_else(|| Ok(Vec::new()), |arg| self.vector(arg));
        Ok(match function {
            Function::Time => Value::Scalar(self.steps.iter().map(seconds).collect()),
            Function::Scalar => Value::Scalar(self.only(&vector()?)),
            Function::Vector => {
                let values = number(0, 0.0)?.into_iter().map(Some).collect();
                Value::Vector(vec![Line { labels: Labels::default(), values }])
            }
            Function::Absent => {
                let lines = vector()?;
                let is_known = |index| lines.iter().any(|line| value(line, index).is_some());
                let values = (0..self.steps.count).map(|index| (!is_known(index)).then_some(1.0));
                Value::Vector(vec![Line { labels: Labels::default(), values: values.collect() }])
            }
            Function::Sort | Function::SortDesc => {
                let mut lines = vector()?;
                let key = |line: &Line| value(line, 0).unwrap_or(f64::NAN);
                lines.sort_by(|a, b| key(a).total_cmp(&key(b)));
                if function == Function::SortDesc {
                    lines.reverse();
                }
                Value::Vector(lines)
            }
            Function::Abs => each(vector()?, |_, value| value.abs()),
            Function::Ceil => each(vector()?, |_, value| value.ceil()),
            Function::Floor => each(vector()?, |_, value| value.floor()),
            Function::Round => {
                let to = number(1, 1.0)?;
                each(vector()?, |index, value| {
                    let inverse = 1.0 / to.get(index).copied().unwrap_or(1.0);
                    (value * inverse + 0.5).floor() / inverse
                })
            }
            Function::ClampMin | Function::ClampMax | Function::Clamp => {
                let none = f64::INFINITY;
                let (low, high) = if function == Function::ClampMax {
                    (number(2, -none)?, number(1, none)?)
                } else {
                    (number(1, -none)?, number(2, none)?)
                };
                let of = |bounds: &Scalars, index| bounds.get(index).copied().unwrap_or(f64::NAN);
                each(vector()?, |index, value| value.max(of(&low, index)).min(of(&high, index)))
            }
        })
    }

    /// The value of the only series there is; not a number if there is none or several.
    fn only(&self, lines: &[Line]) -> Scalars {
        let at = |index| {
            let mut known = lines.iter().filter_map(|line| value(line, index));
            match (known.next(), known.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        };
        (0..self.steps.count).map(at).collect()
    }

    fn aggregated(
        &self,
        function: Aggregate,
        params: &[f64],
        grouping: &Grouping,
        lines: Vec<Line>,
    ) -> Vec<Line> {
        let groups = groups(grouping, lines);
        let line = |(labels, lines): (Labels, Vec<Line>)| {
            let at = params.iter().enumerate().map(|(index, param)| {
                let known = lines.iter().filter_map(|line| value(line, index)).collect();
                aggregate(function, *param, known)
            });
            Line { labels, values: at.collect() }
        };
        groups.into_iter().map(line).collect()
    }

    /// The k largest, or smallest, of each group at each moment; they stay themselves.
    fn best(
        &self,
        function: Aggregate,
        params: &[f64],
        grouping: &Grouping,
        lines: Vec<Line>,
    ) -> Vec<Line> {
        let mut all = Vec::new();
        for (_, mut lines) in groups(grouping, lines) {
            for (index, count) in params.iter().enumerate() {
                let mut ranked: Vec<(f64, usize)> = Vec::new();
                for (place, line) in lines.iter().enumerate() {
                    ranked.extend(value(line, index).map(|value| (value, place)));
                }
                // What is no number comes last either way.
                ranked.sort_by(|(a, _), (b, _)| match (a.is_nan(), b.is_nan()) {
                    (false, false) if function == Aggregate::TopK => b.total_cmp(a),
                    (false, false) => a.total_cmp(b),
                    (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
                });
                let kept = if *count < 1.0 || count.is_nan() { 0 } else { whole(*count) };
                for (_, place) in ranked.into_iter().skip(kept) {
                    let line = lines.get_mut(place).and_then(|line| line.values.get_mut(index));
                    if let Some(value) = line {
                        *value = None;
                    }
                }
            }
            // At one moment they are ranked; over several no order holds.
            if params.len() == 1 {
                let key = |line: &Line| value(line, 0).unwrap_or(f64::NAN);
                lines.sort_by(|a, b| key(a).total_cmp(&key(b)));
                if function == Aggregate::TopK {
                    lines.reverse();
                }
            }
            all.extend(lines);
        }
        all
    }
}

fn value(line: &Line, index: usize) -> Option<f64> {
    line.values.get(index).copied().flatten()
}

fn each(lines: Vec<Line>, made: impl Fn(usize, f64) -> f64) -> Value {
    let line = |line: Line| {
        let values = line.values.iter().enumerate();
        let values = values.map(|(index, value)| value.map(|value| made(index, value))).collect();
        Line { labels: line.labels.unnamed(), values }
    };
    Value::Vector(lines.into_iter().map(line).collect())
}

fn groups(grouping: &Grouping, lines: Vec<Line>) -> BTreeMap<Labels, Vec<Line>> {
    let mut groups: BTreeMap<Labels, Vec<Line>> = BTreeMap::new();
    for line in lines {
        groups.entry(line.labels.grouped(grouping)).or_default().push(line);
    }
    groups
}

fn aggregate(function: Aggregate, param: f64, known: Vec<f64>) -> Option<f64> {
    if known.is_empty() {
        return None;
    }
    let count = as_float(known.len());
    Some(match function {
        Aggregate::Sum => known.iter().sum(),
        Aggregate::Avg => known.iter().sum::<f64>() / count,
        Aggregate::Min => known.into_iter().fold(f64::INFINITY, f64::min),
        Aggregate::Max => known.into_iter().fold(f64::NEG_INFINITY, f64::max),
        Aggregate::Count => count,
        Aggregate::Group => 1.0,
        Aggregate::Quantile => quantile(param, known),
        // These keep their series: see `best`.
        Aggregate::TopK | Aggregate::BottomK => return None,
    })
}

/// Two series of an answer must not look the same.
fn unique(lines: &[Line]) -> Result<(), Fault> {
    let mut seen = std::collections::BTreeSet::new();
    for line in lines {
        if !seen.insert(&line.labels) {
            let name = line.labels.get(NAME);
            return Err(Fault::execution(format!(
                "vector cannot contain metrics with the same labelset{}{name}",
                if name.is_empty() { "" } else { ": " }
            )));
        }
    }
    Ok(())
}
