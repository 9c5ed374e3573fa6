//! Operators between numbers, and between series that belong together.

use std::collections::BTreeMap;

use super::{
    Fault, Labels, Line,
    ast::{Grouping, Operator},
    eval::Value,
};

/// One number for each moment.
pub(super) type Scalars = Vec<f64>;

/// Joins the two sides of an operator.
///
/// 1 - Number with number: a number.
/// 2 - Series with a number: each value; a comparison keeps the values for which it holds, or with
///     `bool` says 1 or 0.
/// 3 - Series with series: those whose labels pair, one with one.
/// 4 - `and`, `or`, `unless`: by labels alone, at each moment.
pub(super) fn join(
    operator: Operator,
    is_bool: bool,
    on: &Grouping,
    sides: (Value, Value),
) -> Result<Value, Fault> {
    let rule = Rule { operator, is_bool };
    Ok(match sides {
        (Value::Scalar(left), Value::Scalar(right)) => {
            let both = left.into_iter().zip(right);
            Value::Scalar(both.map(|(a, b)| calculate(operator, a, b)).collect())
        }
        (Value::Vector(lines), Value::Scalar(numbers)) => {
            Value::Vector(with_numbers(rule, lines, &numbers, |value, number| (value, number)))
        }
        (Value::Scalar(numbers), Value::Vector(lines)) => {
            Value::Vector(with_numbers(rule, lines, &numbers, |value, number| (number, value)))
        }
        (Value::Vector(left), Value::Vector(right)) if operator.is_set() => {
            Value::Vector(chosen(operator, on, left, right))
        }
        (Value::Vector(left), Value::Vector(right)) => {
            Value::Vector(paired(rule, on, left, right)?)
        }
    })
}

#[derive(Clone, Copy)]
struct Rule {
    operator: Operator,
    is_bool: bool,
}

impl Rule {
    /// A filter keeps the series as it is, with its name; everything else makes another value.
    fn is_filter(self) -> bool {
        self.operator.is_comparison() && !self.is_bool
    }

    /// What two values come to; a filter keeps `kept` or nothing.
    fn apply(self, (a, b): (f64, f64), kept: f64) -> Option<f64> {
        let value = calculate(self.operator, a, b);
        if self.is_filter() { (value == 1.0).then_some(kept) } else { Some(value) }
    }

    fn labels(self, line: &Line) -> Labels {
        if self.is_filter() { line.labels.clone() } else { line.labels.unnamed() }
    }
}

fn calculate(operator: Operator, a: f64, b: f64) -> f64 {
    let said = |is_so: bool| if is_so { 1.0 } else { 0.0 };
    match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
        Operator::Power => a.powf(b),
        Operator::Equal => said(a == b),
        Operator::NotEqual => said(a != b),
        Operator::Less => said(a < b),
        Operator::LessOrEqual => said(a <= b),
        Operator::Greater => said(a > b),
        Operator::GreaterOrEqual => said(a >= b),
        // Between series only: see `chosen`.
        Operator::And | Operator::Or | Operator::Unless => f64::NAN,
    }
}

fn with_numbers(
    rule: Rule,
    lines: Vec<Line>,
    numbers: &[f64],
    order: impl Fn(f64, f64) -> (f64, f64),
) -> Vec<Line> {
    let line = |line: Line| {
        let both = line.values.iter().zip(numbers);
        let values = both.map(|(value, number)| {
            let value = (*value)?;
            rule.apply(order(value, *number), value)
        });
        Line { labels: rule.labels(&line), values: values.collect() }
    };
    lines.into_iter().map(line).collect()
}

/// The labels by which two series are a pair; the name is never one of them unless it is asked for.
fn key(line: &Line, on: &Grouping) -> Labels {
    line.labels.grouped(on)
}

fn paired(
    rule: Rule,
    on: &Grouping,
    left: Vec<Line>,
    right: Vec<Line>,
) -> Result<Vec<Line>, Fault> {
    let right = one_each(on, right, "right")?;
    let left = one_each(on, left, "left")?;
    let mut all = Vec::new();
    for (key, a) in left {
        let Some(b) = right.get(&key) else { continue };
        let both = a.values.iter().zip(&b.values);
        let values = both.map(|(x, y)| {
            let (x, y) = ((*x)?, (*y)?);
            rule.apply((x, y), x)
        });
        let values = values.collect();
        let labels = a.labels.paired(on, rule.is_filter());
        all.push(Line { labels, values });
    }
    Ok(all)
}

/// Series by the labels they pair by. Several may share them as long as at most one of them has a
/// value at a moment.
fn one_each(on: &Grouping, lines: Vec<Line>, side: &str) -> Result<BTreeMap<Labels, Line>, Fault> {
    let mut all: BTreeMap<Labels, Line> = BTreeMap::new();
    for line in lines {
        let key = key(&line, on);
        let Some(held) = all.get_mut(&key) else {
            all.insert(key, line);
            continue;
        };
        for (value, more) in held.values.iter_mut().zip(line.values) {
            if value.is_some() && more.is_some() {
                return Err(Fault::execution(format!(
                    "found duplicate series for the match group on the {side} hand-side of the \
                     operation: many-to-many matching is not supported, aggregate that side first"
                )));
            }
            *value = value.or(more);
        }
    }
    Ok(all)
}

fn chosen(operator: Operator, on: &Grouping, left: Vec<Line>, right: Vec<Line>) -> Vec<Line> {
    // By moment: whether any series of a side has a value there.
    let known = |lines: &[Line]| {
        let mut known: BTreeMap<Labels, Vec<bool>> = BTreeMap::new();
        for line in lines {
            let at = known.entry(key(line, on)).or_insert_with(|| vec![false; line.values.len()]);
            at.iter_mut().zip(&line.values).for_each(|(at, value)| *at |= value.is_some());
        }
        known
    };
    let keep = |mut line: Line, others: &BTreeMap<Labels, Vec<bool>>, wanted: bool| {
        let at = others.get(&key(&line, on));
        for (index, value) in line.values.iter_mut().enumerate() {
            let is_there = at.and_then(|at| at.get(index)).copied().unwrap_or(false);
            *value = value.filter(|_| is_there == wanted);
        }
        line
    };
    if operator == Operator::Or {
        let others = known(&left);
        let more = right.into_iter().map(|line| keep(line, &others, false));
        return merged(left.into_iter().chain(more));
    }
    let (others, wanted) = (known(&right), operator == Operator::And);
    left.into_iter().map(|line| keep(line, &others, wanted)).collect()
}

/// Series that look the same are one: they never have a value at the same moment.
fn merged(lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut all: Vec<Line> = Vec::new();
    let mut places: BTreeMap<Labels, usize> = BTreeMap::new();
    for line in lines {
        match places.get(&line.labels).and_then(|place| all.get_mut(*place)) {
            Some(held) => {
                let both = held.values.iter_mut().zip(line.values);
                both.for_each(|(value, more)| *value = value.or(more));
            }
            None => {
                places.insert(line.labels.clone(), all.len());
                all.push(line);
            }
        }
    }
    all
}
