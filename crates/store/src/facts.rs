//! What devices, and whoever asks them, reported: the last word of each source, and what it said
//! before.
//!
//! A state that is reported again is the same row, seen later. Its contrary ends it. Reports may
//! come in any order. What follows from them is decided elsewhere.

use model::{FactKind, UtcMicros};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Actor, AuditEntry, PAGE_ROWS_MAX, Scope, Store, StoreError, audit,
    db::{Conn, DbRow, Text, Tx, big, damaged, sql},
};

/// Facts of one request: some tenths of a second of the writer.
pub const FACTS_PER_REQUEST_MAX: usize = 1_000;
/// Facts of an organisation, some 300 MB; over it those that were not seen for longest go, whatever
/// the configuration keeps.
pub const FACTS_KEPT_MAX: u32 = 1_000_000;
/// So many numbers of facts from one look for what is too much to the next: counting what is kept
/// takes some hundredths of a second of the writer, which not every request is worth.
const OVER_EVERY: i64 = 1_000;
/// Facts that are deleted at once as too many: more than can come between two looks.
const OVER_MAX: u32 = 10_000;
/// Facts that a judgement looks at: what is bad in a network of 100,000 ports of which one of ten
/// is down, and what is good beside it as far as there is room.
pub const FACTS_LIVE_MAX: u32 = 10_000;
/// Bytes of a key that makes a request one that is done once.
pub const REQUEST_KEY_BYTES_MAX: usize = 200;
/// Requests of an organisation that are known if they are repeated, some 50 MB: those of a
/// collector that sends every second, for a day. Over it the oldest go.
pub const FACT_REQUESTS_KEPT_MAX: u32 = 100_000;
/// So long a request that is repeated is known: longer than anybody tries again.
pub(crate) const REQUESTS_KEPT_US: i64 = 24 * 3_600_000_000;

/// A report as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFact {
    pub source: String,
    pub element: String,
    /// Whose side of a link; empty if it was not said, as below.
    pub end: String,
    /// From which agent it could, or could not, be reached.
    pub agent: String,
    pub kind: FactKind,
    pub value: Option<f64>,
    pub since: UtcMicros,
    /// When it was seen to be so; not before `since`.
    pub seen: UtcMicros,
}

/// What comes at once: all of it is stored, or nothing.
#[derive(Clone, Debug, Default)]
pub struct NewFacts {
    pub facts: Vec<NewFact>,
    /// Elements that the topology did not know when they came: some of them, and how many.
    pub unknown: (Vec<String>, usize),
    /// The same request is done once.
    pub request: Option<FactRequest>,
}

/// What makes two requests the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactRequest {
    pub key: String,
    /// Of what is asked: the key belongs to no other.
    pub digest: Vec<u8>,
}

/// What became of facts that came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsTaken {
    pub new: u32,
    /// Known already, and seen again.
    pub repeated: u32,
    pub unknown: Vec<String>,
    pub unknown_total: usize,
}

/// A fact that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct FactRow {
    pub id: u64,
    pub source: String,
    pub element: String,
    pub end: Option<String>,
    pub agent: Option<String>,
    pub kind: FactKind,
    pub value: Option<f64>,
    pub since: UtcMicros,
    pub seen: UtcMicros,
    /// When the contrary began; `None` while it was not reported.
    pub until: Option<UtcMicros>,
    /// The last word of its source about this.
    pub is_latest: bool,
    pub received_at: UtcMicros,
    pub sender_kind: String,
    /// Empty for the software itself.
    pub sender_name: String,
}

/// What a judgement looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FactsLive {
    /// By when it began.
    pub rows: Vec<FactRow>,
    /// There is more than that: [`FACTS_LIVE_MAX`].
    pub is_cut: bool,
}

/// Which facts are asked for.
#[derive(Clone, Debug, Default)]
pub struct FactQuery {
    pub element: Option<String>,
    pub source: Option<String>,
    /// Any of them; all if there is none.
    pub kinds: Vec<FactKind>,
    /// What held at some moment from then on.
    pub since: Option<UtcMicros>,
    /// What began before.
    pub until: Option<UtcMicros>,
    /// Only the last word of each source.
    pub is_latest: bool,
    pub before_id: Option<u64>,
    pub limit: u32,
}

const COLUMNS: &str = "
    SELECT id, source, element, end_element, agent, kind, value, since_at, seen_at, until_at,
           is_latest, received_at, sender_kind, sender_name
      FROM fact
     WHERE org_id = ";
// Of two of one moment, here and below, the one of the same kind.
const BEFORE: &str = "
    SELECT id, kind, value, since_at, seen_at, until_at, is_latest
      FROM fact
     WHERE org_id = $1
       AND element = $2
       AND source = $3
       AND end_element = $4
       AND agent = $5
       AND topic = $6
       AND since_at <= $7
     ORDER BY since_at DESC, CASE kind WHEN $8 THEN 0 ELSE 1 END, id DESC
     LIMIT 1";
const AFTER: &str = "
    SELECT id, kind, value, since_at, seen_at, until_at, is_latest
      FROM fact
     WHERE org_id = $1
       AND element = $2
       AND source = $3
       AND end_element = $4
       AND agent = $5
       AND topic = $6
       AND since_at > $7
     ORDER BY since_at, CASE kind WHEN $8 THEN 0 ELSE 1 END, id
     LIMIT 1";
const ADD: &str = "
    INSERT INTO fact (
        org_id, source, element, end_element, agent, topic, kind, value, since_at, seen_at,
        until_at, is_latest, received_at, sender_kind, sender_id, sender_name
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
const SEE: &str = "
    UPDATE fact
       SET since_at = $3, value = CASE WHEN seen_at <= $4 THEN $5 ELSE value END,
           seen_at = CASE WHEN seen_at < $4 THEN $4 ELSE seen_at END
     WHERE org_id = $1
       AND id = $2";
const END: &str = "
    UPDATE fact
       SET until_at = $3, is_latest = 0,
           seen_at = CASE WHEN seen_at > $3 THEN $3 ELSE seen_at END
     WHERE org_id = $1
       AND id = $2";
const NOT_LATEST: &str = "UPDATE fact SET is_latest = 0 WHERE org_id = $1 AND id = $2";
const NEWEST: &str = "SELECT max(id) AS id FROM fact WHERE org_id = $1";
const OVER: &str = "
    DELETE FROM fact
     WHERE id IN (
               SELECT id
                 FROM fact
                WHERE org_id = $1
                ORDER BY seen_at DESC, id DESC
                LIMIT $3 OFFSET $2)";
const REQUEST_GET: &str = "
    SELECT digest, answer_json
      FROM fact_request
     WHERE org_id = $1
       AND sender_kind = $2
       AND sender_id = $3
       AND request_key = $4";
const REQUEST_ADD: &str = "
    INSERT INTO fact_request (
        org_id, sender_kind, sender_id, request_key, digest, answer_json, at
    ) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const REQUESTS_OVER: &str = "
    DELETE FROM fact_request
     WHERE org_id = $1
       AND at <= (
               SELECT at
                 FROM fact_request
                WHERE org_id = $1
                ORDER BY at DESC
                LIMIT 1 OFFSET $2)";
pub(crate) const SWEEP: &str = "
    DELETE FROM fact
     WHERE id IN (
               SELECT id
                 FROM fact
                WHERE org_id = $1
                  AND seen_at < $2
                ORDER BY seen_at
                LIMIT $3)";
pub(crate) const REQUESTS_SWEEP: &str = "
    DELETE FROM fact_request
     WHERE (org_id, sender_kind, sender_id, request_key) IN (
               SELECT org_id, sender_kind, sender_id, request_key
                 FROM fact_request
                WHERE org_id = $1
                  AND at < $2
                ORDER BY at
                LIMIT $3)";

impl Store {
    /// Takes what was reported: all of it, and once. A request whose key is known gets the answer
    /// that it got, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] over [`FACTS_PER_REQUEST_MAX`]; [`StoreError::KeyReused`] if the
    /// key was one of another request.
    pub async fn facts_take(
        &self,
        scope: &Scope,
        new: &NewFacts,
        now: UtcMicros,
    ) -> Result<FactsTaken, StoreError> {
        if FACTS_PER_REQUEST_MAX < new.facts.len() {
            return Err(StoreError::TooMany { what: "facts", max: FACTS_PER_REQUEST_MAX });
        }
        let mut tx = self.write(scope.org).await?;
        if let Some(request) = &new.request
            && let Some(taken) = answered(&mut tx, scope, request).await?
        {
            tx.rollback().await?;
            return Ok(taken);
        }
        let (unknown, unknown_total) = new.unknown.clone();
        let mut taken = FactsTaken { unknown, unknown_total, ..FactsTaken::default() };
        let newest = newest(&mut tx, scope).await?;
        for fact in &new.facts {
            if take(&mut tx, scope, fact, now).await? {
                taken.new += 1;
            } else {
                taken.repeated += 1;
            }
        }
        if 0 < taken.new {
            forget_over(&mut tx, scope, newest, FACTS_KEPT_MAX).await?;
            record(&mut tx, scope, new, &taken, now).await?;
        }
        if let Some(request) = &new.request {
            keep_request(&mut tx, scope, request, &taken, now).await?;
            forget_requests(&mut tx, scope, FACT_REQUESTS_KEPT_MAX).await?;
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Lists the newest first, in the order in which they came: a page, and one row more to know
    /// whether there is another.
    pub async fn fact_list(
        &self,
        scope: &Scope,
        query: &FactQuery,
    ) -> Result<Vec<FactRow>, StoreError> {
        let mut text = Text::new(COLUMNS);
        text.value(scope.org.0);
        for (column, value) in
            [(" AND element = ", &query.element), (" AND source = ", &query.source)]
        {
            if let Some(value) = value {
                text.push(column).value(value);
            }
        }
        // Listed from the closed set, so that a repeated value cannot make the text longer.
        let kinds = FactKind::ALL.iter().filter(|kind| query.kinds.contains(kind));
        for (at, kind) in kinds.enumerate() {
            text.push(if at == 0 { " AND kind IN (" } else { ", " }).value(kind.as_str());
        }
        if !query.kinds.is_empty() {
            text.push(")");
        }
        if let Some(since) = query.since {
            text.push(" AND seen_at >= ").value(since.0);
        }
        if let Some(until) = query.until {
            text.push(" AND since_at < ").value(until.0);
        }
        if query.is_latest {
            text.push(" AND is_latest = 1");
        }
        text.push(" AND id < ").value(query.before_id.map_or(i64::MAX, big));
        text.push(" ORDER BY id DESC LIMIT ").value(query.limit.min(PAGE_ROWS_MAX + 1));
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        rows.iter().map(fact_row).collect()
    }

    /// What was seen after a moment, by when it began; at most [`FACTS_LIVE_MAX`]. What is bad
    /// comes before what is good, for that is repeated all the time, and of each what was seen
    /// last.
    pub async fn facts_live(
        &self,
        scope: &Scope,
        seen_after: UtcMicros,
    ) -> Result<FactsLive, StoreError> {
        let mut text = Text::new(COLUMNS);
        text.value(scope.org.0).push(" AND seen_at > ").value(seen_after.0);
        let bad = FactKind::ALL.iter().filter(|kind| kind.is_bad());
        for (at, kind) in bad.enumerate() {
            text.push(if at == 0 { " ORDER BY CASE WHEN kind IN (" } else { ", " });
            text.value(kind.as_str());
        }
        text.push(") THEN 0 ELSE 1 END, seen_at DESC, id DESC LIMIT ").value(FACTS_LIVE_MAX + 1);
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        let max = FACTS_LIVE_MAX as usize;
        let is_cut = max < rows.len();
        let rows: Result<Vec<FactRow>, StoreError> = rows.iter().take(max).map(fact_row).collect();
        let mut rows = rows?;
        rows.sort_by_key(|row| (row.since, row.id));
        Ok(FactsLive { rows, is_cut })
    }
}

/// The highest number of a fact.
async fn newest(tx: &mut Tx, scope: &Scope) -> Result<i64, StoreError> {
    let row = sql(NEWEST).bind(scope.org.0).fetch_one(tx).await?;
    Ok(row.value::<Option<i64>>("id")?.unwrap_or(0))
}

/// Deletes what is over `kept_max`, if there may be something since the highest number was
/// `before`.
async fn forget_over(
    tx: &mut Tx,
    scope: &Scope,
    before: i64,
    kept_max: u32,
) -> Result<(), StoreError> {
    if before / OVER_EVERY < newest(tx, scope).await? / OVER_EVERY {
        sql(OVER).bind(scope.org.0).bind(kept_max).bind(OVER_MAX).execute(tx).await?;
    }
    Ok(())
}

async fn keep_request(
    tx: &mut Tx,
    scope: &Scope,
    request: &FactRequest,
    taken: &FactsTaken,
    now: UtcMicros,
) -> Result<(), StoreError> {
    let answer = serde_json::to_string(taken).map_err(|_| damaged("answer_json"))?;
    sql(REQUEST_ADD)
        .bind(scope.org.0)
        .bind(scope.actor.kind())
        .bind(scope.actor.id().unwrap_or(0))
        .bind(&request.key)
        .bind(request.digest.as_slice())
        .bind(answer)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

async fn forget_requests(tx: &mut Tx, scope: &Scope, kept_max: u32) -> Result<(), StoreError> {
    sql(REQUESTS_OVER).bind(scope.org.0).bind(kept_max).execute(tx).await?;
    Ok(())
}

/// The answer to a request that was made before.
async fn answered(
    tx: &mut Tx,
    scope: &Scope,
    request: &FactRequest,
) -> Result<Option<FactsTaken>, StoreError> {
    let row = sql(REQUEST_GET)
        .bind(scope.org.0)
        .bind(scope.actor.kind())
        .bind(scope.actor.id().unwrap_or(0))
        .bind(&request.key)
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.value::<&[u8]>("digest")? != request.digest {
        return Err(StoreError::KeyReused);
    }
    let answer = serde_json::from_str(row.value("answer_json")?);
    answer.map(Some).map_err(|_| damaged("answer_json"))
}

/// A fact of the same source about the same, beside one that comes.
struct Beside {
    id: i64,
    kind: FactKind,
    value: Option<f64>,
    since: UtcMicros,
    seen: UtcMicros,
    until: Option<UtcMicros>,
    is_latest: bool,
}

async fn beside(
    conn: &mut Conn,
    scope: &Scope,
    text: &'static str,
    fact: &NewFact,
) -> Result<Option<Beside>, StoreError> {
    let row = sql(text)
        .bind(scope.org.0)
        .bind(&fact.element)
        .bind(&fact.source)
        .bind(&fact.end)
        .bind(&fact.agent)
        .bind(fact.kind.topic())
        .bind(fact.since.0)
        .bind(fact.kind.as_str())
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Beside {
        id: row.value("id")?,
        kind: row.parsed("kind", FactKind::parse)?,
        value: row.value("value")?,
        since: row.at("since_at")?,
        seen: row.at("seen_at")?,
        until: row.at_opt("until_at")?,
        is_latest: row.is("is_latest")?,
    }))
}

/// Where a fact comes to stand among those before it and after it.
struct Place {
    seen: UtcMicros,
    until: Option<UtcMicros>,
    is_latest: bool,
}

/// Takes one fact; whether it is new.
///
/// 1 - A state that held already is seen again; not beyond when its contrary began.
/// 2 - One that comes late, in the midst of its contrary, splits it: what was seen after it holds
///     again since it was seen.
/// 3 - A state that was known from later on, without its contrary in between, began earlier.
/// 4 - Anything else is new: it ends the contrary before it, and the contrary after it ends it.
/// 5 - An event is another one if it is of another moment.
async fn take(
    tx: &mut Tx,
    scope: &Scope,
    fact: &NewFact,
    now: UtcMicros,
) -> Result<bool, StoreError> {
    let before = beside(tx, scope, BEFORE, fact).await?;
    let after = beside(tx, scope, AFTER, fact).await?;
    if !fact.kind.is_state() {
        return take_event(tx, scope, fact, (before, after), now).await;
    }
    let until = after.as_ref().map(|after| after.since);
    let seen = until.map_or(fact.seen, |until| fact.seen.min(until));
    let is_same = |of: &&Beside| of.kind == fact.kind;
    if let Some(known) = before.as_ref().filter(is_same) {
        see(tx, scope, known.id, (known.since, seen), fact.value).await?;
        return Ok(false);
    }
    if let Some(known) = &before {
        sql(END).bind(scope.org.0).bind(known.id).bind(fact.since.0).execute(tx).await?;
    }
    if let Some(known) = before.filter(|known| fact.seen < known.seen) {
        let place = Place { seen, until: Some(known.seen), is_latest: false };
        add(tx, scope, fact, &place, now).await?;
        let again =
            NewFact { kind: known.kind, value: known.value, since: known.seen, ..fact.clone() };
        let Beside { seen, until, is_latest, .. } = known;
        add(tx, scope, &again, &Place { seen, until, is_latest }, now).await?;
        return Ok(true);
    }
    if let Some(known) = after.as_ref().filter(is_same) {
        see(tx, scope, known.id, (fact.since, fact.seen), fact.value).await?;
        return Ok(false);
    }
    let place = Place { seen, until, is_latest: after.is_none() };
    add(tx, scope, fact, &place, now).await?;
    Ok(true)
}

async fn take_event(
    tx: &mut Tx,
    scope: &Scope,
    fact: &NewFact,
    (before, after): (Option<Beside>, Option<Beside>),
    now: UtcMicros,
) -> Result<bool, StoreError> {
    if let Some(known) = &before {
        if known.since == fact.since {
            see(tx, scope, known.id, (fact.since, fact.seen), fact.value).await?;
            return Ok(false);
        }
        if after.is_none() {
            sql(NOT_LATEST).bind(scope.org.0).bind(known.id).execute(tx).await?;
        }
    }
    let place = Place { seen: fact.seen, until: None, is_latest: after.is_none() };
    add(tx, scope, fact, &place, now).await?;
    Ok(true)
}

async fn see(
    tx: &mut Tx,
    scope: &Scope,
    id: i64,
    (since, seen): (UtcMicros, UtcMicros),
    value: Option<f64>,
) -> Result<(), StoreError> {
    let seen = sql(SEE).bind(scope.org.0).bind(id).bind(since.0).bind(seen.0).bind(value);
    seen.execute(tx).await?;
    Ok(())
}

async fn add(
    tx: &mut Tx,
    scope: &Scope,
    fact: &NewFact,
    place: &Place,
    now: UtcMicros,
) -> Result<(), StoreError> {
    sql(ADD)
        .bind(scope.org.0)
        .bind(&fact.source)
        .bind(&fact.element)
        .bind(&fact.end)
        .bind(&fact.agent)
        .bind(fact.kind.topic())
        .bind(fact.kind.as_str())
        .bind(fact.value)
        .bind(fact.since.0)
        .bind(place.seen.0)
        .bind(place.until.map(|until| until.0))
        .bind(place.is_latest)
        .bind(now.0)
        .bind(scope.actor.kind())
        .bind(scope.actor.id())
        .bind(scope.actor.name())
        .execute(tx)
        .await?;
    Ok(())
}

/// Only what is new: a collector that repeats itself would fill the audit with nothing.
async fn record(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewFacts,
    taken: &FactsTaken,
    now: UtcMicros,
) -> Result<(), StoreError> {
    let first = new.facts.first();
    let entry = AuditEntry {
        action: "fact.send",
        object_kind: "fact",
        object_id: None,
        object_name: first.map_or("", |fact| fact.element.as_str()),
        before: None,
        after: Some(json!({
            "source": first.map(|fact| &fact.source),
            "new": taken.new,
            "repeated": taken.repeated,
        })),
    };
    audit::record(tx, scope, &entry, now).await
}

fn fact_row(row: &DbRow) -> Result<FactRow, StoreError> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(FactRow {
        id: row.number("id")?,
        source: row.value("source")?,
        element: row.value("element")?,
        end: some(row.value("end_element")?),
        agent: some(row.value("agent")?),
        kind: row.parsed("kind", FactKind::parse)?,
        value: row.value("value")?,
        since: row.at("since_at")?,
        seen: row.at("seen_at")?,
        until: row.at_opt("until_at")?,
        is_latest: row.is("is_latest")?,
        received_at: row.at("received_at")?,
        sender_kind: row.value("sender_kind")?,
        sender_name: row.value("sender_name")?,
    })
}

impl Actor {
    /// What it is called as the source of what it sends.
    pub fn source(&self) -> &str {
        match self.name() {
            "" => self.kind(),
            name => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ORG_DEFAULT;

    fn new(seen: i64, key: Option<&str>) -> NewFacts {
        let fact = NewFact {
            source: "snmp".to_owned(),
            element: format!("port-{seen}"),
            end: String::new(),
            agent: String::new(),
            kind: FactKind::Restarted,
            value: None,
            since: UtcMicros(seen),
            seen: UtcMicros(seen),
        };
        let request = key.map(|key| FactRequest { key: key.to_owned(), digest: vec![1] });
        NewFacts { facts: vec![fact], request, ..NewFacts::default() }
    }

    /// The numbers of facts are of all organisations, and have holes.
    #[tokio::test]
    async fn over_the_limit_those_that_were_not_seen_for_longest_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        let scope = Scope::system(ORG_DEFAULT);
        for seen in [40, 10, 30, 20] {
            store.facts_take(&scope, &new(seen, None), UtcMicros(0)).await.unwrap();
        }
        let mut tx = store.write(scope.org).await.unwrap();
        sql("UPDATE fact SET id = id * $2 WHERE org_id = $1")
            .bind(scope.org.0)
            .bind(OVER_EVERY)
            .execute(&mut tx)
            .await
            .unwrap();
        for (before, kept) in [(4 * OVER_EVERY, 4), (4 * OVER_EVERY - 1, 3)] {
            forget_over(&mut tx, &scope, before, 3).await.unwrap();
            let text = "SELECT seen_at FROM fact WHERE org_id = $1 ORDER BY seen_at DESC";
            let rows = sql(text).bind(scope.org.0).fetch_all(&mut tx).await.unwrap();
            let seen: Vec<i64> = rows.iter().map(|row| row.value("seen_at").unwrap()).collect();
            assert_eq!(seen, [40, 30, 20, 10][..kept], "{before}");
        }
    }

    #[tokio::test]
    async fn over_the_limit_the_oldest_requests_are_known_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        let scope = Scope::system(ORG_DEFAULT);
        for (at, key) in [(1, "a"), (2, "b"), (3, "c")] {
            store.facts_take(&scope, &new(at, Some(key)), UtcMicros(at)).await.unwrap();
        }
        let mut tx = store.write(scope.org).await.unwrap();
        for (kept_max, kept) in [(3, 3), (2, 2)] {
            forget_requests(&mut tx, &scope, kept_max).await.unwrap();
            let text = "SELECT request_key FROM fact_request WHERE org_id = $1 ORDER BY at DESC";
            let rows = sql(text).bind(scope.org.0).fetch_all(&mut tx).await.unwrap();
            let keys: Vec<&str> =
                rows.iter().map(|row| row.value("request_key").unwrap()).collect();
            assert_eq!(keys, ["c", "b", "a"][..kept]);
        }
    }
}
