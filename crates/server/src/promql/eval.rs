//! Works a query out, for all its moments at once.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    Fault, Labels, NAME, Query, Selector, Series,
    ast::{Aggregate, Expr, Function, Grouping, Operator, Over, Test},
    operate::{self, Scalars},
    window::{as_float, quantile, seconds, whole},
};

/// Values of one answer, and of each step on the way to it: 16 MB of them.
const VALUES_MAX: usize = 1_000_000;
/// Values of all selectors of a query together, which live beside each other: 48 MB of them.
const LIVE_VALUES_MAX: usize = 3_000_000;

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
/// [`super::FaultKind::Execution`] if series do not fit together or there are too many values;
/// `Late` once `is_late` says so; `Bad` if a counter is read without saying over which time, or a
/// window is asked for at several moments.
pub(crate) fn evaluate(
    query: &Query,
    steps: Steps,
    read: &[Vec<Series>],
    is_late: &dyn Fn() -> bool,
) -> Result<Answer, Fault> {
    let evaluation = Evaluation { selectors: &query.selectors, read, steps, is_late };
    let series: usize = read.iter().map(Vec::len).sum();
    evaluation.fits(series, LIVE_VALUES_MAX)?;
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
    /// Whether nobody waits for the answer any more.
    is_late: &'a dyn Fn() -> bool,
}

pub(super) enum Value {
    Scalar(Scalars),
    Vector(Vec<Line>),
}

impl Evaluation<'_> {
    fn in_time(&self) -> Result<(), Fault> {
        if (self.is_late)() { Err(Fault::late()) } else { Ok(()) }
    }

    fn work_out(&self, expr: &Expr) -> Result<Value, Fault> {
        self.in_time()?;
        Ok(match expr {
            Expr::Number(number) => Value::Scalar(vec![*number; self.steps.count]),
            Expr::Value(selector) => Value::Vector(self.values(*selector)?),
            Expr::Window(_) => return Err(Fault::bad("a range can only be given to a function")),
            Expr::Over { function, param, selector } => {
                let params = self.param(param.as_deref())?;
                Value::Vector(self.over(*function, &params, *selector)?)
            }
            Expr::Call { function, args } => self.call(*function, args)?,
            Expr::Aggregate { function, param, grouping, of } => {
                let params = self.param(param.as_deref())?;
                let lines = self.vector(of)?;
                Value::Vector(if matches!(function, Aggregate::TopK | Aggregate::BottomK) {
                    self.best(*function, &params, grouping, lines)?
                } else {
                    self.aggregated(*function, &params, grouping, lines)?
                })
            }
            Expr::Binary { operator, is_bool, on, sides } => {
                let (left, right) = (self.work_out(&sides.0)?, self.work_out(&sides.1)?);
                let joined = operate::join(*operator, *is_bool, on, (left, right))?;
                if let Value::Vector(lines) = &joined {
                    self.fits(lines.len(), VALUES_MAX)?;
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
        self.fits(read.len(), VALUES_MAX)?;
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

    fn fits(&self, lines: usize, values_max: usize) -> Result<(), Fault> {
        if values_max < lines.saturating_mul(self.steps.count) {
            return Err(Fault::execution(format!(
                "{lines} series at {} moments are more than {values_max} values; ask for fewer \
                 series, a longer step or a shorter range",
                self.steps.count
            )));
        }
        Ok(())
    }

    fn values(&self, selector: usize) -> Result<Vec<Line>, Fault> {
        let (selector, read) = self.selector(selector)?;
        let line = |series: &Series| {
            self.in_time()?;
            let at = self.steps.iter().map(|at| series.at(at.saturating_sub(selector.offset_ms)));
            Ok(Line { labels: series.labels.clone(), values: at.collect() })
        };
        read.iter().map(line).collect()
    }

    /// What is made of a window before each moment; the last value of one keeps its name.
    fn over(&self, function: Over, params: &[f64], selector: usize) -> Result<Vec<Line>, Fault> {
        let (selector, read) = self.selector(selector)?;
        let range_ms = selector.range_ms.unwrap_or(0);
        let line = |series: &Series| {
            let at = self.steps.iter().zip(params).map(|(at, param)| {
                self.in_time()?;
                let end_ms = at.saturating_sub(selector.offset_ms);
                Ok(series.over(function, *param, (end_ms, range_ms)))
            });
            let values = at.collect::<Result<_, Fault>>()?;
            let is_named = function == Over::Last;
            let labels = if is_named { series.labels.clone() } else { series.labels.unnamed() };
            Ok(Line { labels, values })
        };
        read.iter().map(line).collect()
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
                let labels = self.told_labels(args.first());
                Value::Vector(vec![Line { labels, values: values.collect() }])
            }
            Function::Sort | Function::SortDesc => {
                let mut lines = vector()?;
                sort(&mut lines, function == Function::SortDesc);
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
                Value::Vector(made(vector()?, |index, value| {
                    clamped(value, of(&low, index), of(&high, index))
                }))
            }
        })
    }

    /// The labels that a selector asks to be of one value each: those of a series that is absent.
    fn told_labels(&self, expr: Option<&Expr>) -> Labels {
        let mut labels = Labels::default();
        let Some(Expr::Value(selector)) = expr else { return labels };
        let all = self.selectors.get(*selector).map_or(&[][..], |selector| &selector.matchers);
        for one in all {
            let is_only = all.iter().filter(|other| other.label == one.label).count() == 1;
            if let (Test::Is(value), true) = (&one.test, is_only && one.label != NAME) {
                labels.set(&one.label.as_str().into(), &value.as_str().into());
            }
        }
        labels
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
    ) -> Result<Vec<Line>, Fault> {
        let groups = groups(grouping, lines);
        let line = |(labels, lines): (Labels, Vec<Line>)| {
            let at = params.iter().enumerate().map(|(index, param)| {
                self.in_time()?;
                let known = lines.iter().filter_map(|line| value(line, index)).collect();
                Ok(aggregate(function, *param, known))
            });
            Ok(Line { labels, values: at.collect::<Result<_, Fault>>()? })
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
    ) -> Result<Vec<Line>, Fault> {
        let mut all = Vec::new();
        for (_, mut lines) in groups(grouping, lines) {
            for (index, count) in params.iter().enumerate() {
                self.in_time()?;
                let mut ranked: Vec<(f64, usize)> = Vec::new();
                for (place, line) in lines.iter().enumerate() {
                    ranked.extend(value(line, index).map(|value| (value, place)));
                }
                let is_down = function == Aggregate::TopK;
                ranked.sort_by(|(a, _), (b, _)| rank(is_down, *a, *b));
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
                sort(&mut lines, function == Aggregate::TopK);
            }
            all.extend(lines);
        }
        Ok(all)
    }
}

fn value(line: &Line, index: usize) -> Option<f64> {
    line.values.get(index).copied().flatten()
}

fn each(lines: Vec<Line>, of: impl Fn(usize, f64) -> f64) -> Value {
    Value::Vector(made(lines, |index, value| Some(of(index, value))))
}

fn made(lines: Vec<Line>, of: impl Fn(usize, f64) -> Option<f64>) -> Vec<Line> {
    let line = |line: Line| {
        let values = line.values.iter().enumerate();
        let values = values.map(|(index, value)| value.and_then(|value| of(index, value)));
        Line { labels: line.labels.unnamed(), values: values.collect() }
    };
    lines.into_iter().map(line).collect()
}

/// Between two bounds; what is no number stays none, and bounds that cross leave nothing.
fn clamped(value: f64, low: f64, high: f64) -> Option<f64> {
    if [value, low, high].into_iter().any(f64::is_nan) {
        return Some(f64::NAN);
    }
    (low <= high).then(|| value.max(low).min(high))
}

/// The order of two values, up or down; what is no number comes last either way, whichever sign
/// the machine gave it.
fn rank(is_down: bool, a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if is_down => b.total_cmp(&a),
        (false, false) => a.total_cmp(&b),
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    }
}

/// Puts series in the order of their first values.
fn sort(lines: &mut [Line], is_down: bool) {
    let key = |line: &Line| value(line, 0).unwrap_or(f64::NAN);
    lines.sort_by(|a, b| rank(is_down, key(a), key(b)));
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
        // What is no number gives way to any that is, and is told if there is nothing else.
        Aggregate::Min => known.into_iter().reduce(f64::min)?,
        Aggregate::Max => known.into_iter().reduce(f64::max)?,
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
