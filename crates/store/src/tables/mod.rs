//! Roll-ups as tables of PostgreSQL, for people and programs that read them with SQL.
//!
//! 1 - Chunks hold the truth, the tables follow them: a chunk of roll-ups is noted as due in the
//!     transaction that adds it, and told to the tables afterwards, in short transactions, so that
//!     neither rolling up nor a commit of rounds waits for hundreds of thousands of rows. What is
//!     noted as due is told again until it was told as a whole: a row has one value however often.
//! 2 - Chunks are told in the order in which they were made, so of two roll-ups of one span the
//!     later one stays. What chunks are merged of is due as their merger.
//! 3 - So the tables can be made anew at any time: when another extension, another version or
//!     another configuration wants them otherwise, and after a restore, whose archive has none.
//! 4 - What somebody does to the tables, and a lock that somebody holds on them, hold up nothing
//!     but the tables.
//!
//! SQLite has none: its file is the server's alone, and `/history` has the same and more.

mod form;

use std::{collections::BTreeSet, time::Duration};

use model::{Minute, OrgId, Rtts, Span, ToldRollup, UtcMicros};

use crate::{
    Store, StoreError,
    chunks::{
        ALL_DAY, ALL_FIVE, ALL_HOUR, Damaged, Head, PAIR_DAY, PAIR_FIVE, PAIR_HOUR, RollRecord,
    },
    compact::computed,
    damage::Place,
    db::{Binder, Bulk, DbRow, Tx, sql},
};
use form::{Layout, TABLES, Table};

/// Chunks told by one step.
const CHUNKS_MAX: i64 = 16;
/// Rows told by one transaction: some ten milliseconds, for which commits wait.
const ROWS_PER_WRITE: usize = 1_024;
/// Parts of one chunk: far fewer.
const PARTS_MAX: i64 = 100_000;
/// Partitions of one table that are dropped at once.
const DROPS_MAX: i64 = 100;
/// Who waits for a table has the only writer: so nobody waits for those who read or lock one, and
/// what was to be done is met again.
const IMPATIENT: &str = "SET LOCAL lock_timeout = '100ms'";

const DUE_ADD: &str = "
    INSERT INTO rollup_due (chunk_id, org_id) VALUES ($2, $1) ON CONFLICT (chunk_id) DO NOTHING";
const DUE_DROP: &str = "DELETE FROM rollup_due WHERE org_id = $1 AND chunk_id = $2";
const DUE_ADD_ALL: &str = "
    INSERT INTO rollup_due (chunk_id, org_id)
    SELECT id, org_id FROM history_chunk WHERE kind >= $1 AND kind <= $2
    ON CONFLICT (chunk_id) DO NOTHING";
// Above organisations: nobody's are told.
const DUE_DROP_ALL: &str = "DELETE FROM rollup_due";
// Above organisations: whose chunk it is, it says.
const DUE: &str = "
    SELECT chunk_id, rollup_due.org_id AS org_id, kind, series_group
      FROM rollup_due
      JOIN history_chunk ON id = chunk_id
     ORDER BY chunk_id
     LIMIT $1";
const CHUNK: &str = "SELECT head FROM history_chunk WHERE org_id = $1 AND id = $2";
const PARTS: &str = "
    SELECT body FROM history_part WHERE org_id = $1 AND chunk_id = $2 ORDER BY part LIMIT $3";
// Above organisations: the tables are of all.
const FORM: &str = "
    SELECT form, kept,
           CAST(to_regclass('rollup_5m') IS NULL
                OR to_regclass('rollup_1h') IS NULL
                OR to_regclass('rollup_1d') IS NULL AS INT) AS is_missing
      FROM rollup_form
     WHERE id = 1";
// Above organisations: the tables are of all.
const FORM_SET: &str = "
    INSERT INTO rollup_form (id, form, kept) VALUES (1, $1, $2)
    ON CONFLICT (id) DO UPDATE SET form = excluded.form, kept = excluded.kept";
// Above organisations: a partition is of all.
const PARTITION: &str = "
    WITH part AS (
        SELECT $1 || to_char(TIMESTAMP 'epoch' + $2 * INTERVAL '1 minute', '_YYYYMMDD') AS name
    )
    SELECT name, CAST(to_regclass(name) IS NULL AS INT) AS is_missing FROM part";
// Above organisations: a partition is of all.
const PARTITIONS_BEFORE: &str = "
    SELECT CAST(relname AS TEXT) AS name
      FROM pg_catalog.pg_inherits
      JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = to_regclass($1)
       AND to_timestamp(right(relname, 8), 'YYYYMMDD') + $2 * INTERVAL '1 minute'
           <= TIMESTAMPTZ 'epoch' + $3 * INTERVAL '1 minute'
     ORDER BY name
     LIMIT $4";

const DAY_S: u64 = 86_400;

/// How much the tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RollupDetail {
    /// There are none.
    None,
    /// What all agents together say of each target.
    Targets,
    /// And each agent's hours and days.
    Agents,
    /// And each agent's five minutes.
    All,
}

impl RollupDetail {
    pub const ALL: [RollupDetail; 4] =
        [RollupDetail::None, RollupDetail::Targets, RollupDetail::Agents, RollupDetail::All];

    pub fn as_str(self) -> &'static str {
        match self {
            RollupDetail::None => "none",
            RollupDetail::Targets => "targets",
            RollupDetail::Agents => "agents",
            RollupDetail::All => "all",
        }
    }

    /// The table that chunks of a kind are told to; `None` if they are not.
    fn table(self, kind: u8) -> Option<&'static Table> {
        let (from, span) = match kind {
            ALL_FIVE => (RollupDetail::Targets, Span::FiveMinutes),
            ALL_HOUR => (RollupDetail::Targets, Span::Hour),
            ALL_DAY => (RollupDetail::Targets, Span::Day),
            PAIR_HOUR => (RollupDetail::Agents, Span::Hour),
            PAIR_DAY => (RollupDetail::Agents, Span::Day),
            PAIR_FIVE => (RollupDetail::All, Span::FiveMinutes),
            _ => return None,
        };
        TABLES.iter().find(|table| from <= self && table.span == span)
    }
}

/// What the tables are to hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupTables {
    pub detail: RollupDetail,
    pub fives: Duration,
    pub hours: Duration,
    pub days: Duration,
}

impl RollupTables {
    fn kept(&self, span: Span) -> Duration {
        match span {
            Span::FiveMinutes => self.fives,
            Span::Hour => self.hours,
            Span::Day => self.days,
        }
    }

    fn before(&self, span: Span, now: UtcMicros) -> Minute {
        (now - self.kept(span)).minute()
    }

    /// For how many days each of [`TABLES`] is kept.
    fn kept_days(&self) -> [u64; 3] {
        TABLES.map(|table| self.kept(table.span).as_secs() / DAY_S)
    }
}

/// Notes a chunk that the tables do not know yet.
pub(crate) async fn note(tx: &mut Tx, org: OrgId, chunk: i64) -> Result<(), StoreError> {
    if tx.is_postgres() {
        sql(DUE_ADD).bind(org.0).bind(chunk).execute(tx).await?;
    }
    Ok(())
}

/// Takes the note away, and says whether there was one.
pub(crate) async fn unnote(tx: &mut Tx, org: OrgId, chunk: i64) -> Result<bool, StoreError> {
    if !tx.is_postgres() {
        return Ok(false);
    }
    Ok(sql(DUE_DROP).bind(org.0).bind(chunk).execute(tx).await? != 0)
}

/// A chunk that the tables do not know yet.
struct Due {
    org: OrgId,
    chunk: i64,
    kind: u8,
    group: u32,
}

impl Due {
    fn of(row: &DbRow) -> Result<Due, StoreError> {
        Ok(Due {
            org: OrgId(row.number("org_id")?),
            chunk: row.value("chunk_id")?,
            kind: row.number("kind")?,
            group: row.number("series_group")?,
        })
    }

    /// Of what its spans are: the chunks of one are told in their order.
    fn of_one(&self) -> (OrgId, u8, u32) {
        (self.org, self.kind, self.group)
    }
}

/// A row as the tables have it; numbers that do not fit are the largest that does.
struct Told {
    start: i64,
    probe: u32,
    agent: u32,
    /// In the order of the columns.
    numbers: [i64; 8],
    rtt_us: [Option<i64>; 6],
    worst: Option<String>,
    worst_cause: Option<String>,
}

impl Told {
    fn of(start: Minute, (probe, agent): (u32, u32), rollup: &ToldRollup) -> Told {
        const MAX: u32 = i32::MAX.cast_unsigned();
        let whole = |number: u32| i64::from(number.min(MAX));
        let minutes = |number: u32| i64::from(number.min(1_440));
        let times = |of: fn(&Rtts) -> u32| rollup.times.as_ref().map(of);
        let rtt_us = [
            times(Rtts::us_min),
            times(Rtts::us_mean),
            times(Rtts::us_max),
            times(Rtts::us_p50),
            times(Rtts::us_p95),
            times(Rtts::us_p99),
        ];
        Told {
            start: start.0,
            probe,
            agent,
            numbers: [
                minutes(rollup.minutes.up),
                minutes(rollup.minutes.degraded),
                minutes(rollup.minutes.down),
                minutes(rollup.minutes.unknown),
                whole(rollup.rounds),
                whole(rollup.not_asked),
                whole(rollup.sent),
                whole(rollup.sent.saturating_sub(rollup.received)),
            ],
            rtt_us: rtt_us.map(|us| us.map(whole)),
            worst: rollup.worst.map(|worst| worst.verdict.to_string()),
            worst_cause: rollup.worst.map(|worst| worst.cause.to_string()),
        }
    }

    fn bind(&self, org: OrgId, row: &mut Binder) {
        row.add(self.start).add(org.0).add(self.probe).add(self.agent);
        for number in self.numbers {
            row.add(number);
        }
        for us in self.rtt_us {
            row.add(us);
        }
        row.add(self.worst.clone()).add(self.worst_cause.clone());
    }
}

const VALUES: &str = "minutes_up, minutes_degraded, minutes_down, minutes_unknown, rounds, \
     rounds_not_asked, packets_sent, packets_lost, rtt_us_min, rtt_us_mean, rtt_us_max, \
     rtt_us_p50, rtt_us_p95, rtt_us_p99, worst, worst_cause";

/// Puts rows into a table, over those that are there.
async fn put(tx: &mut Tx, table: &Table, org: OrgId, rows: &[Told]) -> Result<(), StoreError> {
    let name = table.name;
    let head = format!(
        "INSERT INTO {name} (bucket, org_id, probe_id, agent_id, {VALUES})
         SELECT TIMESTAMPTZ 'epoch' + start * INTERVAL '1 minute', org_id, probe_id, agent_id,
                {VALUES}
           FROM (VALUES"
    );
    let sets: Vec<String> =
        VALUES.split(", ").map(|column| format!("{column} = excluded.{column}")).collect();
    let tail = format!(
        ") AS told (start, org_id, probe_id, agent_id, {VALUES})
         ON CONFLICT (org_id, probe_id, agent_id, bucket) DO UPDATE SET {}",
        sets.join(", ")
    );
    let bulk = Bulk { head: &head, columns: 20, tail: &tail };
    bulk.run(tx, rows, |told, row| told.bind(org, row)).await.map(drop)
}

impl Store {
    /// Brings the tables nearer to the chunks: one bounded step. Says whether all is told; call it
    /// until it is. Of SQLite there is nothing to do.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: what was not told is due still.
    pub async fn rollup_tables_step(
        &self,
        wanted: &RollupTables,
        now: UtcMicros,
    ) -> Result<bool, StoreError> {
        let mut tx = self.read_above().await?;
        if !tx.is_postgres() {
            return Ok(true);
        }
        let layout = Layout::find(&mut tx).await?;
        let due = sql(DUE).bind(CHUNKS_MAX).fetch_all(&mut tx).await?;
        drop(tx);
        if self.reform(wanted, &layout).await? {
            return Ok(false);
        }
        let due: Vec<Due> = due.iter().map(Due::of).collect::<Result<_, _>>()?;
        let (told, others): (Vec<&Due>, Vec<&Due>) =
            due.iter().partition(|due| wanted.detail.table(due.kind).is_some());
        if !others.is_empty() {
            let mut tx = self.write_above().await?;
            for due in others {
                unnote(&mut tx, due.org, due.chunk).await?;
            }
            tx.commit().await?;
        }
        let mut failed = None;
        // What is not told holds up the later ones of its spans, and no other.
        let mut held = BTreeSet::new();
        for due in told {
            if held.contains(&due.of_one()) {
                continue;
            }
            if let Err(error) = self.tell(due, (wanted, &layout), now).await {
                held.insert(due.of_one());
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(due.is_empty()), Err)
    }

    /// Drops what the tables are to forget, and makes partitions ahead of their time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if somebody reads what is to be dropped: it is met next time.
    pub async fn rollup_tables_sweep(
        &self,
        wanted: &RollupTables,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.read_above().await?;
        if !tx.is_postgres() || wanted.detail == RollupDetail::None {
            return Ok(());
        }
        let layout = Layout::find(&mut tx).await?;
        let is_made = sql(FORM).fetch_optional(&mut tx).await?.is_some();
        drop(tx);
        // TimescaleDB does so by itself.
        if layout != Layout::Partitions || !is_made {
            return Ok(());
        }
        let mut swept = Ok(());
        for table in &TABLES {
            for ahead in [0, table.part_minutes] {
                let minute = Minute(now.minute().0.saturating_add(ahead));
                swept = swept.and(self.add_partition(table, minute).await);
            }
            let old: Vec<String> = sql(PARTITIONS_BEFORE)
                .bind(table.name)
                .bind(table.part_minutes)
                .bind(wanted.before(table.span, now).0)
                .bind(DROPS_MAX)
                .scalars(&mut *self.read_above().await?)
                .await?;
            for name in old {
                // One that somebody reads holds up no other.
                swept = swept.and(self.drop_partition(&name).await);
            }
        }
        swept
    }

    async fn drop_partition(&self, name: &str) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        tx.raw(IMPATIENT).await?;
        tx.raw(&format!("DROP TABLE {name}")).await?;
        tx.commit().await
    }

    /// Makes the tables what they are to be, and everything due, if they are not; says whether
    /// that was to be done.
    async fn reform(&self, wanted: &RollupTables, layout: &Layout) -> Result<bool, StoreError> {
        let detail = wanted.detail;
        let form = format!("{} {}", layout.name(), detail.as_str());
        let kept = wanted.kept_days().map(|days| days.to_string()).join(" ");
        let mut tx = self.read_above().await?;
        // Empty texts: there are none yet, or somebody dropped one.
        let (mut before, kept_before, is_missing): (String, String, bool) =
            match sql(FORM).fetch_optional(&mut tx).await? {
                Some(row) => (row.value("form")?, row.value("kept")?, row.is("is_missing")?),
                None => Default::default(),
            };
        drop(tx);
        if is_missing && !before.ends_with(" none") {
            before.clear();
        }
        if (&form, &kept) == (&before, &kept_before) {
            return Ok(false);
        }
        let mut tx = self.write_above().await?;
        tx.raw(IMPATIENT).await?;
        if before != form {
            let had = before.rsplit_once(' ').filter(|(_, detail)| *detail != "none");
            let is_alike = had.is_some_and(|(had, _)| had == layout.name());
            if is_alike && detail != RollupDetail::None {
                // The same tables: those who may read them still may.
                let names = TABLES.map(|table| table.name).join(", ");
                tx.raw(&format!("TRUNCATE {names}")).await?;
            } else {
                form::drop_all(&mut tx).await?;
            }
            if !is_alike && detail != RollupDetail::None {
                form::create(&mut tx, layout).await?;
            }
            sql(DUE_ADD_ALL).bind(PAIR_FIVE).bind(PAIR_DAY).execute(&mut tx).await?;
        }
        match layout {
            Layout::Hypertables { schema } if detail != RollupDetail::None => {
                tx.raw(&form::keep(schema, wanted.kept_days())).await?;
            }
            Layout::Hypertables { .. } | Layout::Partitions => {}
        }
        sql(FORM_SET).bind(&form).bind(&kept).execute(&mut tx).await?;
        if detail == RollupDetail::None {
            sql(DUE_DROP_ALL).execute(&mut tx).await?;
        }
        tx.commit().await?;
        tracing::info!(form, kept, "the tables of roll-ups are made anew or kept for other times");
        Ok(true)
    }

    /// Tells a chunk to its table.
    async fn tell(
        &self,
        &Due { org, chunk, kind, .. }: &Due,
        (wanted, layout): (&RollupTables, &Layout),
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.read(org).await?;
        let found = sql(CHUNK).bind(org.0).bind(chunk).fetch_optional(&mut tx).await?;
        // Without it the note is gone, too.
        let Some(found) = found else { return Ok(()) };
        if let Some(table) = wanted.detail.table(kind) {
            let head: Vec<u8> = found.value("head")?;
            let parts = sql(PARTS).bind(org.0).bind(chunk).bind(PARTS_MAX);
            let parts: Vec<Vec<u8>> = parts.scalars(&mut tx).await?;
            drop(tx);
            let since = wanted.before(table.span, now);
            let (rows, damaged) = computed(move || rows_of(kind, &head, &parts, since)).await?;
            for why in damaged {
                self.damage().note(Place::Chunk(chunk), why);
            }
            if *layout == Layout::Partitions {
                let starts = rows.iter().map(|told| part_start(table, Minute(told.start)));
                for start in starts.collect::<BTreeSet<Minute>>() {
                    self.add_partition(table, start).await?;
                }
            }
            for rows in rows.chunks(ROWS_PER_WRITE) {
                let mut tx = self.write(org).await?;
                tx.raw(IMPATIENT).await?;
                if *layout != Layout::Partitions {
                    tx.raw(form::UNPACK_ALL).await?;
                }
                put(&mut tx, table, org, rows).await?;
                tx.commit().await?;
            }
        }
        let mut tx = self.write(org).await?;
        unnote(&mut tx, org, chunk).await?;
        tx.commit().await
    }

    /// Makes the partition that a minute belongs to, unless it is there.
    async fn add_partition(&self, table: &Table, minute: Minute) -> Result<(), StoreError> {
        let start = part_start(table, minute);
        let found = sql(PARTITION).bind(table.name).bind(start.0);
        let found = found.fetch_one(&mut *self.read_above().await?).await?;
        if found.is("is_missing")? {
            let name: String = found.value("name")?;
            let mut tx = self.write_above().await?;
            tx.raw(IMPATIENT).await?;
            tx.raw(&form::partition(table, &name, start.0)).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

fn part_start(table: &Table, minute: Minute) -> Minute {
    Minute(minute.0.div_euclid(table.part_minutes).saturating_mul(table.part_minutes))
}

/// The rows of a chunk from a minute on, and what of it cannot be read.
///
/// There are as many as it has records of that time, of which `CHUNK_RECORDS_MAX` is the limit:
/// some MB of a chunk that was just made, 100 MB of the fullest that was merged.
fn rows_of(kind: u8, head: &[u8], parts: &[Vec<u8>], since: Minute) -> (Vec<Told>, Vec<Damaged>) {
    match kind {
        PAIR_FIVE => rows::<PAIR_FIVE>(head, parts, since),
        PAIR_HOUR => rows::<PAIR_HOUR>(head, parts, since),
        ALL_FIVE => rows::<ALL_FIVE>(head, parts, since),
        ALL_HOUR => rows::<ALL_HOUR>(head, parts, since),
        ALL_DAY => rows::<ALL_DAY>(head, parts, since),
        PAIR_DAY => rows::<PAIR_DAY>(head, parts, since),
        _ => (Vec::new(), Vec::new()),
    }
}

fn rows<const KIND: u8>(
    head: &[u8],
    parts: &[Vec<u8>],
    since: Minute,
) -> (Vec<Told>, Vec<Damaged>) {
    let (mut told, mut damaged) = (Vec::new(), Vec::new());
    let mut head = match Head::parse::<RollRecord<KIND>>(head) {
        Ok(head) => head,
        Err(why) => return (told, vec![why]),
    };
    for page in head.pages().to_vec() {
        let part = parts.get(page.part).map_or(&[][..], Vec::as_slice);
        match head.series::<RollRecord<KIND>>(&page, part) {
            Ok(records) => {
                let records = records.iter().filter(|record| since <= record.start);
                let key = (page.key.subject, page.key.agent);
                told.extend(records.map(|record| Told::of(record.start, key, &record.rollup)));
            }
            Err(why) => damaged.push(why),
        }
    }
    (told, damaged)
}
