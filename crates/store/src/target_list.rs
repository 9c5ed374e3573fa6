//! Lists of targets: filtered, in five orders, page by page, with the number of all matches.
//!
//! A page of 100,000 targets must come in milliseconds whatever is asked. So the matches are
//! counted first; then either the filter finds the few that match and they are sorted, or the
//! order's index is walked and the many that match fill the page soon.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use model::{TargetId, UtcMicros, Verdict};

use crate::{
    PAGE_ROWS_MAX, Scope, Store, StoreError, TargetCounts, TargetPage, TargetQuery, TargetRow,
    TargetSort, code,
    db::{Conn, Text, big, sql},
    targets,
};

/// Up to so many matches the filter goes first: sorting them costs less than walking the rest.
const FILTER_FIRST_MAX: u64 = 5_000;

const COUNT: &str = "SELECT count(*) AS total FROM target WHERE target.org_id = ";

// Above organisations: what follows begins with one, `ORDER_FIRST` or `FILTER_FIRST`.
// CROSS JOIN keeps SQLite's planner to this order; elsewhere it means nothing.
const PAGE_HEAD: &str = "
    SELECT target.id, target.name, target.address, target.tier_id, tier.name AS tier_name,
           tier.interval_us, target.note, target.is_paused, target.created_at, target.updated_at,
           probe.id AS probe_id, target.verdict_order, target.since_at,
           verdict_now.cause, verdict_now.why,
           (SELECT string_agg(tag, ',' ORDER BY tag)
              FROM target_tag
             WHERE target_tag.target_id = target.id) AS tags
      FROM (SELECT target.id
              FROM ";
const ORDER_FIRST: &str = "target WHERE target.org_id = ";
// The inner limit is never reached. It keeps a planner from looking through to the order.
const FILTER_FIRST: &str =
    "(SELECT id, name, verdict_order, since_at, address_key FROM target WHERE target.org_id = ";
const FILTER_FIRST_END: &str = " LIMIT ";
const FILTER_FIRST_AS: &str = ") AS target WHERE TRUE";
const PAGE_TAIL: &str = ") AS page
      CROSS JOIN target
      CROSS JOIN tier
      CROSS JOIN probe
      LEFT JOIN verdict_now ON verdict_now.probe_id = probe.id
                           AND verdict_now.agent_id = 0
     WHERE target.id = page.id
       AND tier.id = target.tier_id
       AND probe.target_id = target.id";

const COUNTS: &str = "
    SELECT verdict_order, 0 AS is_paused, count(*) AS total
      FROM target
     WHERE org_id = $1
     GROUP BY verdict_order
    UNION ALL
    SELECT verdict_order, 1 AS is_paused, count(*) AS total
      FROM target
     WHERE org_id = $1
       AND is_paused = 1
     GROUP BY verdict_order
     LIMIT 8";

const DOWN: &str = "SELECT name, since_at
      FROM target
     WHERE org_id = $1
       AND verdict_order = 0
       AND is_paused = 0
     ORDER BY name
     LIMIT $2";

/// Beyond so many that are down at once, the rest waits until some of these answer.
const DOWN_ROWS_MAX: u32 = 10_000;

/// Names in one statement.
const FOLLOWED_ROWS_MAX: usize = 500;

/// What verdicts say of targets that nobody may have been told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetsOut {
    /// Since when each that is down is.
    pub down: BTreeMap<String, UtcMicros>,
    pub still: BTreeSet<String>,
}

/// Who drives: the index of the order, or that of the filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Order,
    Filter,
}

impl Store {
    /// Lists a page of targets.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorInvalid`] if `query.after` is not a `next` of the same order.
    pub async fn target_list(
        &self,
        scope: &Scope,
        query: &TargetQuery,
    ) -> Result<TargetPage, StoreError> {
        let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
        let mut tx = self.read(scope.org).await?;
        let total = total(&mut tx, scope, query).await?;
        let driver = if total <= FILTER_FIRST_MAX { Driver::Filter } else { Driver::Order };
        let text = page_text(scope, query, driver, limit)?;
        let found = text.fetch_all(&mut tx).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            rows.push(targets::target_row(row)?);
        }
        // One more than asked for was read, to know whether there is a next page.
        let has_next = limit < u32::try_from(rows.len()).unwrap_or(u32::MAX);
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| has_next);
        Ok(TargetPage { next: last.map(|row| cursor_of(query.sort, row)), rows, total })
    }

    /// Targets that are down, at most [`DOWN_ROWS_MAX`] by name, and those of `followed` that are
    /// down or unknown; paused ones are neither.
    pub async fn targets_out(
        &self,
        scope: &Scope,
        followed: &[String],
    ) -> Result<TargetsOut, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let down = sql(DOWN).bind(scope.org.0).bind(DOWN_ROWS_MAX).fetch_all(&mut tx).await?;
        let mut out = TargetsOut::default();
        for row in &down {
            out.down.insert(row.name("name")?.to_string(), UtcMicros(row.number("since_at")?));
        }
        for part in followed.chunks(FOLLOWED_ROWS_MAX) {
            let Some((first, rest)) = part.split_first() else { break };
            let mut text = Text::new(
                "SELECT name FROM target \
                 WHERE verdict_order IN (0, 2) AND is_paused = 0 AND org_id = ",
            );
            text.value(scope.org.0).push(" AND name IN (").value(first.clone());
            for name in rest {
                text.push(", ").value(name.clone());
            }
            text.push(")");
            for row in &text.fetch_all(&mut tx).await? {
                out.still.insert(row.name("name")?.to_string());
            }
        }
        Ok(out)
    }

    /// Counts the targets by verdict.
    pub async fn target_counts(&self, scope: &Scope) -> Result<TargetCounts, StoreError> {
        let rows =
            sql(COUNTS).bind(scope.org.0).fetch_all(&mut *self.read(scope.org).await?).await?;
        let mut counts = TargetCounts::default();
        for row in &rows {
            let count: u64 = row.number("total")?;
            let is_paused = row.is("is_paused")?;
            let place = match row.verdict("verdict_order")? {
                Verdict::Up => &mut counts.up,
                Verdict::Degraded => &mut counts.degraded,
                Verdict::Down => &mut counts.down,
                Verdict::Unknown => &mut counts.unknown,
            };
            if is_paused {
                *place = place.saturating_sub(count);
                counts.paused = counts.paused.saturating_add(count);
            } else {
                *place = count;
                counts.total = counts.total.saturating_add(count);
            }
        }
        Ok(counts)
    }
}

async fn total(
    connection: &mut Conn,
    scope: &Scope,
    query: &TargetQuery,
) -> Result<u64, StoreError> {
    let mut text = Text::new(COUNT);
    text.value(scope.org.0);
    filter(&mut text, scope, query, None);
    let rows = text.fetch_all(connection).await?;
    rows.first().map_or(Ok(0), |row| row.number("total"))
}

fn page_text(
    scope: &Scope,
    query: &TargetQuery,
    driver: Driver,
    limit: u32,
) -> Result<Text, StoreError> {
    let mut text = Text::new(PAGE_HEAD);
    match driver {
        Driver::Order => {
            text.push(ORDER_FIRST).value(scope.org.0);
            filter(&mut text, scope, query, Some(driver));
        }
        Driver::Filter => {
            text.push(FILTER_FIRST).value(scope.org.0);
            filter(&mut text, scope, query, Some(driver));
            text.push(FILTER_FIRST_END).value(big(FILTER_FIRST_MAX)).push(FILTER_FIRST_AS);
        }
    }
    if let Some(after) = &query.after {
        start_after(&mut text, query.sort, after).ok_or(StoreError::CursorInvalid)?;
    }
    let order = match query.sort {
        TargetSort::Name => " ORDER BY target.name",
        TargetSort::NameDesc => " ORDER BY target.name DESC",
        TargetSort::Verdict => " ORDER BY target.verdict_order, target.name",
        TargetSort::Since => " ORDER BY target.since_at DESC, target.id DESC",
        TargetSort::Address => " ORDER BY target.address_key, target.id",
    };
    text.push(order)
        .push(" LIMIT ")
        .value(limit.saturating_add(1))
        .push(PAGE_TAIL)
        .push(order)
        .push(" LIMIT ")
        .value(limit.saturating_add(1));
    Ok(text)
}

/// Adds the conditions. A unary plus keeps SQLite from driving by that column's index.
///
/// Without a driver the matches are only counted: then none that a text is found in is looked up by
/// its id, which for 100,000 of them costs five times what reading all texts does.
fn filter(text: &mut Text, scope: &Scope, query: &TargetQuery, driver: Option<Driver>) {
    let is_filter = driver != Some(Driver::Order);
    if !query.verdicts.is_empty() {
        text.push(if is_filter {
            " AND target.verdict_order IN ("
        } else {
            " AND +target.verdict_order IN ("
        });
        // Listed from the closed set, so that a repeated value cannot make the text longer.
        let asked = Verdict::ALL.into_iter().filter(|v| query.verdicts.contains(v));
        for (index, verdict) in asked.enumerate() {
            text.push(if index == 0 { "" } else { ", " }).value(code::of_verdict(verdict));
        }
        text.push(")");
    }
    if let Some(tier) = query.tier {
        text.push(if is_filter { " AND target.tier_id = " } else { " AND +target.tier_id = " });
        text.value(tier.0);
    }
    if let Some(tag) = &query.tag {
        text.push(if is_filter {
            " AND target.id IN (SELECT target_id FROM target_tag WHERE org_id = "
        } else {
            " AND EXISTS (SELECT 1 FROM target_tag WHERE target_id = +target.id AND org_id = "
        });
        text.value(scope.org.0).push(" AND tag = ").value(tag.as_str().to_owned()).push(")");
    }
    if let Some(pattern) = query.q.as_deref().and_then(like_pattern) {
        if driver == Some(Driver::Filter) {
            text.push(" AND target.id IN (SELECT id FROM target AS found WHERE found.org_id = ")
                .value(scope.org.0)
                .push(" AND found.search LIKE ")
                .value(pattern)
                .push(" ESCAPE '\\')");
        } else {
            text.push(" AND target.search LIKE ").value(pattern).push(" ESCAPE '\\'");
        }
    }
}

/// The pattern that finds `q` anywhere; `None` if there is nothing to find.
pub(crate) fn like_pattern(q: &str) -> Option<String> {
    let q = q.trim().to_lowercase();
    if q.is_empty() {
        return None;
    }
    let mut pattern = String::from("%");
    for letter in q.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    Some(pattern)
}

/// The place behind `row`, as text.
fn cursor_of(sort: TargetSort, row: &TargetRow) -> String {
    match sort {
        TargetSort::Name => format!("n.{}", row.name),
        TargetSort::NameDesc => format!("d.{}", row.name),
        TargetSort::Verdict => format!("v.{}.{}", code::of_verdict(row.verdict), row.name),
        TargetSort::Since => format!("s.{}.{}", row.since.0, row.id),
        TargetSort::Address => {
            let mut text = String::from("a.");
            for byte in targets::address_key(&row.address) {
                // Writing to a String cannot fail.
                if write!(text, "{byte:02x}").is_err() {
                    break;
                }
            }
            format!("{text}.{}", row.id)
        }
    }
}

/// Adds the condition that a page starts behind `cursor`; `None` if it is not of this order.
fn start_after(text: &mut Text, sort: TargetSort, cursor: &str) -> Option<()> {
    let (letter, key) = cursor.split_once('.')?;
    let expected = match sort {
        TargetSort::Name => "n",
        TargetSort::NameDesc => "d",
        TargetSort::Verdict => "v",
        TargetSort::Since => "s",
        TargetSort::Address => "a",
    };
    if letter != expected {
        return None;
    }
    match sort {
        TargetSort::Name => {
            text.push(" AND target.name > ").value(key.to_owned());
        }
        TargetSort::NameDesc => {
            text.push(" AND target.name < ").value(key.to_owned());
        }
        TargetSort::Verdict => {
            let (order, name) = key.split_once('.')?;
            text.push(" AND (target.verdict_order, target.name) > (")
                .value(order.parse::<i16>().ok()?)
                .push(", ")
                .value(name.to_owned())
                .push(")");
        }
        TargetSort::Since => {
            let (since, id) = key.split_once('.')?;
            text.push(" AND (target.since_at, target.id) < (")
                .value(since.parse::<i64>().ok()?)
                .push(", ")
                .value(id.parse::<TargetId>().ok()?.0)
                .push(")");
        }
        TargetSort::Address => {
            let (bytes, id) = key.split_once('.')?;
            text.push(" AND (target.address_key, target.id) > (")
                .value(from_hex(bytes)?)
                .push(", ")
                .value(id.parse::<TargetId>().ok()?.0)
                .push(")");
        }
    }
    Some(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use model::{Name, OrgId, TierId};

    use super::*;

    /// Checks the plan of the page's inner search.
    #[track_caller]
    fn check(plans: &[String], must: &str) {
        let is_used = |plan: &String| plan.starts_with("SEARCH") && plan.contains(must);
        assert!(plans.iter().any(is_used), "{must}: {plans:#?}");
        // One scan is that of the few matches, which SQLite runs as a co-routine.
        let scans = plans.iter().filter(|p| p.starts_with("SCAN target"));
        let routines = plans.iter().filter(|p| p.as_str() == "CO-ROUTINE target");
        assert_eq!(scans.count(), routines.count(), "{plans:#?}");
    }

    async fn plan(store: &Store, query: &TargetQuery, driver: Driver) -> Vec<String> {
        let scope = Scope::system(OrgId(1));
        let text = page_text(&scope, query, driver, 100).unwrap().explained();
        let rows = text.fetch_all(&mut store.read(scope.org).await.unwrap()).await;
        rows.unwrap().iter().map(|row| row.value("detail").unwrap()).collect()
    }

    #[tokio::test]
    async fn each_order_and_filter_has_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        let everything = TargetQuery {
            q: Some("a".to_owned()),
            verdicts: vec![Verdict::Down],
            tier: Some(TierId(1)),
            tag: Some(Name::parse("a").unwrap()),
            ..TargetQuery::default()
        };
        for (sort, after, index) in [
            (TargetSort::Name, "n.a", "sqlite_autoindex_target_1"),
            (TargetSort::NameDesc, "d.a", "sqlite_autoindex_target_1"),
            (TargetSort::Verdict, "v.1.a", "target_by_verdict"),
            (TargetSort::Since, "s.1.1", "target_by_since"),
            (TargetSort::Address, "a.00.1", "target_by_address"),
        ] {
            let query = TargetQuery { sort, after: Some(after.to_owned()), ..everything.clone() };
            let plans = plan(&store, &query, Driver::Order).await;
            check(&plans, index);
        }
        for (query, index) in [
            (
                TargetQuery { verdicts: vec![Verdict::Down], ..TargetQuery::default() },
                "target_by_verdict",
            ),
            (TargetQuery { tier: Some(TierId(1)), ..TargetQuery::default() }, "target_by_tier"),
            (
                TargetQuery { q: Some("a".to_owned()), ..TargetQuery::default() },
                "found USING COVERING INDEX target_by_search",
            ),
            (
                TargetQuery { tag: Some(Name::parse("a").unwrap()), ..TargetQuery::default() },
                "target_tag USING PRIMARY KEY",
            ),
        ] {
            for (sort, after) in [
                (TargetSort::Name, "n.a"),
                (TargetSort::Since, "s.1.1"),
                (TargetSort::Address, "a.00.1"),
            ] {
                let query = TargetQuery { sort, after: Some(after.to_owned()), ..query.clone() };
                check(&plan(&store, &query, Driver::Filter).await, index);
            }
        }
    }

    #[test]
    fn a_pattern_means_its_letters() {
        assert_eq!(like_pattern("  "), None);
        assert_eq!(like_pattern("A_b%\\"), Some("%a\\_b\\%\\\\%".to_owned()));
    }
}
