//! Lists of incidents: filtered, in four orders, page by page.
//!
//! They are far fewer than targets, and few are open: what is asked for is found by state or by
//! number, and the rest is looked at row by row.

use model::{IncidentState, Severity};

use super::{IncidentQuery, IncidentRow, IncidentSort, select};
use crate::{
    Scope, StoreError,
    db::{Text, big},
    target_list::like_pattern,
};

/// How the order by severity ranks a row.
const SEVERITY_RANK: &str = "
    (CASE severity WHEN 'critical' THEN 0 WHEN 'major' THEN 1 WHEN 'minor' THEN 2 ELSE 3 END)";

/// The statement of a page: one row more than `limit`, to know whether there is a next one.
pub(super) fn page(scope: &Scope, query: &IncidentQuery, limit: u32) -> Result<Text, StoreError> {
    let mut text = select("", scope.org);
    filter(&mut text, scope, query);
    if let Some(after) = &query.after {
        start_after(&mut text, query.sort, after).ok_or(StoreError::CursorInvalid)?;
    }
    text.push(" ORDER BY ");
    match query.sort {
        IncidentSort::Newest => text.push("number DESC"),
        IncidentSort::Oldest => text.push("number"),
        IncidentSort::Severity => text.push(SEVERITY_RANK).push(", number DESC"),
        IncidentSort::Impact => text.push("weight DESC, number DESC"),
    };
    text.push(" LIMIT ").value(limit + 1);
    Ok(text)
}

fn filter(text: &mut Text, scope: &Scope, query: &IncidentQuery) {
    // Listed from the closed sets, so that a repeated value cannot make the text longer.
    let states = IncidentState::ALL.iter().filter(|one| query.states.contains(one));
    one_of(text, " AND state IN (", states.map(|one| one.as_str()));
    let severities = Severity::ALL.iter().filter(|one| query.severities.contains(one));
    one_of(text, " AND severity IN (", severities.map(|one| one.as_str()));
    if let Some(since) = query.since {
        text.push(" AND (state = 'open' OR coalesce(resolved_at, closed_at, opened_at) >= ");
        text.value(since.0).push(")");
    }
    if let Some(until) = query.until {
        text.push(" AND opened_at < ").value(until.0);
    }
    if let Some(owner) = &query.owner {
        text.push(" AND owner_name = ").value(owner.clone());
    }
    for (kind, name) in [("element", &query.element), ("target", &query.target)] {
        let Some(name) = name else { continue };
        text.push(" AND number IN (SELECT number FROM incident_subject WHERE org_id = ");
        text.value(scope.org.0).push(" AND kind = ").value(kind);
        text.push(" AND name = ").value(name.clone()).push(")");
    }
    if let Some(q) = &query.q {
        search(text, q);
    }
}

/// `#12` is that incident; `12` is it too, or what is said with a 12 in it.
fn search(text: &mut Text, q: &str) {
    let (number, is_only) = match q.trim().strip_prefix('#') {
        Some(number) => (number.parse::<u32>().ok(), true),
        None => (q.trim().parse::<u32>().ok(), false),
    };
    match (number, like_pattern(q)) {
        (Some(number), _) if is_only => {
            text.push(" AND number = ").value(number);
        }
        (number, Some(pattern)) => {
            text.push(" AND (lower(sentence) LIKE ").value(pattern).push(" ESCAPE '\\'");
            if let Some(number) = number {
                text.push(" OR number = ").value(number);
            }
            text.push(")");
        }
        (_, None) => {}
    }
}

fn one_of(text: &mut Text, head: &'static str, values: impl Iterator<Item = &'static str>) {
    let mut is_first = true;
    for value in values {
        text.push(if is_first { head } else { ", " }).value(value);
        is_first = false;
    }
    if !is_first {
        text.push(")");
    }
}

fn rank(severity: Severity) -> u64 {
    match severity {
        Severity::Critical => 0,
        Severity::Major => 1,
        Severity::Minor => 2,
        Severity::Warning => 3,
    }
}

/// The place behind `row`, as text.
pub(super) fn cursor_of(sort: IncidentSort, row: &IncidentRow) -> String {
    match sort {
        IncidentSort::Newest => format!("n.{}", row.id),
        IncidentSort::Oldest => format!("o.{}", row.id),
        IncidentSort::Severity => format!("s.{}.{}", rank(row.severity), row.id),
        IncidentSort::Impact => format!("i.{}.{}", row.weight, row.id),
    }
}

/// Adds the condition that a page starts behind `cursor`; `None` if it is not of this order.
fn start_after(text: &mut Text, sort: IncidentSort, cursor: &str) -> Option<()> {
    let (letter, place) = cursor.split_once('.')?;
    let expected = match sort {
        IncidentSort::Newest => "n",
        IncidentSort::Oldest => "o",
        IncidentSort::Severity => "s",
        IncidentSort::Impact => "i",
    };
    if letter != expected {
        return None;
    }
    let number = |number: &str| number.parse::<u32>().ok();
    match sort {
        IncidentSort::Newest => text.push(" AND number < ").value(number(place)?),
        IncidentSort::Oldest => text.push(" AND number > ").value(number(place)?),
        IncidentSort::Severity | IncidentSort::Impact => {
            let (key, last) = place.split_once('.')?;
            let (key, last) = (big(key.parse::<u64>().ok()?), number(last)?);
            let (ranked, further) = match sort {
                IncidentSort::Impact => ("weight", " < "),
                IncidentSort::Newest | IncidentSort::Oldest | IncidentSort::Severity => {
                    (SEVERITY_RANK, " > ")
                }
            };
            text.push(" AND (").push(ranked).push(further).value(key).push(" OR (").push(ranked);
            text.push(" = ").value(key).push(" AND number < ").value(last).push("))")
        }
    };
    Some(())
}
