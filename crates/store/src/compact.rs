//! Making chunks of the tail, and few chunks of many.
//!
//! 1 - Some minutes after it was committed, the tail goes into chunks, one for each group and
//!     quarter of an hour; sooner if there is much of it.
//! 2 - When a quarter of an hour, an hour, a day is over, and nothing of it has come in for a
//!     while, its chunks become one. What comes in later is a small chunk beside it, which becomes
//!     part of it in the same way.
//! 3 - What was sealed is rolled up ([`crate::roll`]), and roll-ups are merged in the same way.
//! 4 - What a chunk is made of goes in the transaction that adds the chunk: a crash in between
//!     leaves the one or the other.
//! 5 - A chunk that is damaged is not merged, a row of the tail not sealed: what of it can be read
//!     stays readable where it is, and the rest can still be looked at. A roll-up is made anew
//!     ([`crate::repair`]).
//!
//! A step reads, computes where it holds nobody up, and then writes; whoever else made the same
//! step meanwhile is noticed, and nothing is written. Steps are bounded.

use std::{collections::BTreeMap, time::Duration};

use model::{Minute, OrgId, Span, UtcMicros};

use crate::{
    Compacted, Store, StoreError,
    chunks::{
        self, AllDay, AllFive, AllHour, BLOCK_MINUTES, Damaged, Encoded, Head, Key, Level,
        METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRecord, MetricRollRecord, MinuteRecord,
        PAIR_FIVE, Packing, PairDay, PairFive, PairHour, Record, RoundRecord, Tail, Unpackable,
    },
    damage::Place,
    db::{DbRow, Tx, sql},
    repair, roll,
    series::Sorted,
    tables,
};

/// Commits are gathered for this long.
const SEAL_AFTER: Duration = Duration::from_secs(5 * 60);
/// Or until there are this many records, or rows: a reader looks through all of them, in some
/// milliseconds, and a step that seals them holds them in memory, some ten megabytes.
const SEAL_RECORDS: i64 = 200_000;
const SEAL_ROWS: i64 = 1_000;
/// Rows of the tail that one step seals.
const SEAL_ROWS_MAX: i64 = 10_000;
/// Chunks made of others by one step.
const MERGES_MAX: i64 = 16;
/// Organisations that one step looks at.
const ORGS_MAX: i64 = 1_000;

const TAIL_DUE: &str = "
    SELECT org_id
      FROM history_tail
     WHERE kind = $1
       AND is_damaged = 0
     GROUP BY org_id
    HAVING min(written_at) <= $2 OR sum(records) >= $3 OR count(*) >= $4
     ORDER BY org_id
     LIMIT $5";
const TAIL_ROWS: &str = "
    SELECT id, records
      FROM history_tail
     WHERE org_id = $1
       AND kind = $2
       AND is_damaged = 0
     ORDER BY id
     LIMIT $3";
const TAIL_BODIES: &str = "
    SELECT id, body
      FROM history_tail
     WHERE org_id = $1
       AND kind = $2
       AND id <= $3
       AND is_damaged = 0
     ORDER BY id
     LIMIT $4";
const TAIL_DAMAGED: &str =
    "UPDATE history_tail SET is_damaged = 1 WHERE org_id = $1 AND id = $2 AND is_damaged = 0";
const TAIL_DROP: &str = "
    DELETE FROM history_tail WHERE org_id = $1 AND kind = $2 AND id <= $3 AND is_damaged = 0";
const CHUNK_ADD: &str = "
    INSERT INTO history_chunk (
        org_id, kind, series_group, level, start, minutes, records, written_at, is_damaged, head
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9)
    RETURNING id";
const PART_ADD: &str =
    "INSERT INTO history_part (chunk_id, part, org_id, body) VALUES ($1, $2, $3, $4)";
// The last condition is that of the index.
const MERGES_DUE: &str = "
    SELECT org_id, series_group, start / $3 AS slot
      FROM history_chunk
     WHERE kind = $1
       AND level < $2
       AND start < $4
       AND is_damaged = 0 AND level < 3
     GROUP BY org_id, series_group, slot
    HAVING max(written_at) <= $5
     ORDER BY slot, org_id, series_group
     LIMIT $6";
const SOURCES: &str = "
    SELECT id, level, records, written_at, head
      FROM history_chunk
     WHERE org_id = $1
       AND kind = $2
       AND series_group = $3
       AND start >= $4
       AND start < $5
       AND level <= $6
       AND is_damaged = 0
     ORDER BY id
     LIMIT $7";
const PARTS: &str = "
    SELECT body FROM history_part WHERE org_id = $1 AND chunk_id = $2 ORDER BY part LIMIT $3";
const CHUNK_RAISE: &str =
    "UPDATE history_chunk SET level = $3 WHERE org_id = $1 AND id = $2 AND level < $3";
const CHUNK_DAMAGED: &str = "UPDATE history_chunk SET is_damaged = 1 WHERE org_id = $1 AND id = $2";
// Of two roll-ups the one with the higher generation holds, so one that was made meanwhile must not
// get a lower one than what is made of older ones.
const CHUNKS_NEWER: &str = "
    SELECT count(*)
      FROM history_chunk
     WHERE org_id = $1
       AND kind = $2
       AND series_group = $3
       AND start >= $4
       AND start < $5
       AND id > $6
       AND is_damaged = 0";
const CHUNK_DROP: &str = "DELETE FROM history_chunk WHERE org_id = $1 AND id = $2";
/// Chunks of one group in one day before they are merged: far below.
const SOURCES_MAX: i64 = 10_000;
/// Parts of one chunk: as many as a chunk may have records, each far longer.
const PARTS_MAX: i64 = 100_000;

/// The chunks of one group that become one.
#[derive(Clone, Copy, Debug)]
struct Merge {
    org: OrgId,
    group: u32,
    /// Its first minute.
    start: i64,
    minutes: i64,
    level: u8,
}

/// A chunk that is read to be merged.
struct Source {
    id: i64,
    records: usize,
    level: u8,
    written_at: UtcMicros,
    head: Vec<u8>,
    parts: Vec<Vec<u8>>,
}

/// A chunk that is to be added.
pub(crate) struct Made {
    pub(crate) group: u32,
    pub(crate) level: u8,
    pub(crate) start: i64,
    pub(crate) minutes: i64,
    pub(crate) encoded: Encoded,
}

impl Store {
    /// Brings some of what was committed into chunks, and some chunks together: one bounded step.
    /// Call it until it is done.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing of the step that failed was written.
    pub async fn compact(&self, now: UtcMicros) -> Result<Compacted, StoreError> {
        let mut compacted = Compacted { is_done: true, ..Compacted::default() };
        self.seal_due::<RoundRecord>(now, &mut compacted).await?;
        self.seal_due::<MinuteRecord>(now, &mut compacted).await?;
        self.seal_due::<MetricRecord>(now, &mut compacted).await?;
        self.merge_due::<RoundRecord>(now, &mut compacted).await?;
        self.merge_due::<MinuteRecord>(now, &mut compacted).await?;
        self.merge_due::<MetricRecord>(now, &mut compacted).await?;
        // A group that cannot be rolled up holds up no merge and no repair.
        let rolled = self.roll_due(now, &mut compacted).await;
        self.merge_due::<PairFive>(now, &mut compacted).await?;
        self.merge_due::<PairHour>(now, &mut compacted).await?;
        self.merge_due::<PairDay>(now, &mut compacted).await?;
        self.merge_due::<AllFive>(now, &mut compacted).await?;
        self.merge_due::<AllHour>(now, &mut compacted).await?;
        self.merge_due::<AllDay>(now, &mut compacted).await?;
        self.merge_due::<MetricRollRecord<METRIC_FIVE>>(now, &mut compacted).await?;
        self.merge_due::<MetricRollRecord<METRIC_HOUR>>(now, &mut compacted).await?;
        self.merge_due::<MetricRollRecord<METRIC_DAY>>(now, &mut compacted).await?;
        self.repair_due(now, &mut compacted).await?;
        rolled.map(|()| compacted)
    }

    async fn seal_due<R: Record>(
        &self,
        now: UtcMicros,
        compacted: &mut Compacted,
    ) -> Result<(), StoreError> {
        let due: Vec<u32> = sql(TAIL_DUE)
            .bind(R::KIND)
            .bind((now - SEAL_AFTER).0)
            .bind(SEAL_RECORDS)
            .bind(SEAL_ROWS)
            .bind(ORGS_MAX)
            .scalars(&mut *self.read_above().await?)
            .await?;
        for org in due {
            compacted.is_done = false;
            compacted.sealed += self.seal::<R>(OrgId(org), now).await?;
        }
        Ok(())
    }

    async fn merge_due<R: Record>(
        &self,
        now: UtcMicros,
        compacted: &mut Compacted,
    ) -> Result<(), StoreError> {
        for level in R::LEVELS {
            let merges = self.merges_due::<R>(level, now).await?;
            for merge in &merges {
                compacted.is_done = false;
                compacted.merged += self.merge::<R>(merge).await?;
            }
            // First things first: an hour is made of its quarters.
            if !merges.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Makes chunks of the oldest rows of a tail and returns how many records went into them. Rows
    /// that are damaged are marked and stay.
    async fn seal<R: Record>(&self, org: OrgId, now: UtcMicros) -> Result<u64, StoreError> {
        let mut tx = self.read(org).await?;
        let rows = sql(TAIL_ROWS).bind(org.0).bind(R::KIND).bind(SEAL_ROWS_MAX);
        let (mut records, mut last, mut count) = (0, 0, 0);
        for row in &rows.fetch_all(&mut tx).await? {
            let (id, more): (i64, i64) = (row.value("id")?, row.value("records")?);
            (records, last, count) = (records + more, id, count + 1);
            if SEAL_RECORDS <= records {
                break;
            }
        }
        let rows = sql(TAIL_BODIES).bind(org.0).bind(R::KIND).bind(last).bind(count);
        let read = |row: &DbRow| Ok((row.value("id")?, row.value("body")?));
        let rows = rows.fetch_all(&mut tx).await?;
        let bodies: Vec<(i64, Vec<u8>)> =
            rows.iter().map(read).collect::<Result<_, StoreError>>()?;
        drop((rows, tx));
        let (made, damaged) = computed(move || blocks::<R>(&bodies)).await?;
        let mut tx = self.write(org).await?;
        let mut gone = 0;
        for (id, _) in &damaged {
            gone += sql(TAIL_DAMAGED).bind(org.0).bind(*id).execute(&mut tx).await?;
        }
        gone += sql(TAIL_DROP).bind(org.0).bind(R::KIND).bind(last).execute(&mut tx).await?;
        if i64::try_from(gone) != Ok(count) {
            return Ok(0);
        }
        let mut sealed = 0;
        for made in made? {
            sealed += made.encoded.records;
            let (group, start) = (made.group, Minute(made.start));
            let id = add_chunk(&mut tx, org, R::KIND, made, now).await?;
            roll::mark(&mut tx, (org, group), Span::Hour, start, (id, now)).await?;
        }
        tx.commit().await?;
        for (id, why) in damaged {
            self.damage().note(Place::Tail(id), why);
        }
        Ok(u64::try_from(sealed).unwrap_or(u64::MAX))
    }

    async fn merges_due<R: Record>(
        &self,
        level: &Level,
        now: UtcMicros,
    ) -> Result<Vec<Merge>, StoreError> {
        let quiet_since = now - level.quiet;
        let ended = quiet_since.minute().0.div_euclid(level.minutes) * level.minutes;
        let rows = sql(MERGES_DUE)
            .bind(R::KIND)
            .bind(level.number)
            .bind(level.minutes)
            .bind(ended)
            .bind(quiet_since.0)
            .bind(MERGES_MAX)
            .fetch_all(&mut *self.read_above().await?)
            .await?;
        let merge = |row: &DbRow| {
            let slot: i64 = row.value("slot")?;
            Ok(Merge {
                org: OrgId(row.number("org_id")?),
                group: row.number("series_group")?,
                start: slot.saturating_mul(level.minutes),
                minutes: level.minutes,
                level: level.number,
            })
        };
        rows.iter().map(merge).collect()
    }

    /// Makes one chunk of those of a span and returns how many it was made of.
    async fn merge<R: Record>(&self, merge: &Merge) -> Result<u64, StoreError> {
        let sources = self.sources::<R>(merge).await?;
        let records: usize = sources.iter().map(|source| source.records).sum();
        let ids: Vec<i64> = sources.iter().map(|source| source.id).collect();
        // Alone it is merged already, unless it is to be compressed; too many are as large as
        // chunks may be.
        let packing = R::packing_of(merge.level);
        let is_packed =
            |source: &Source| packing == Packing::Plain || R::packing_of(source.level) == packing;
        let is_done = ids.len() < 2 && sources.iter().all(is_packed);
        if is_done || R::CHUNK_RECORDS_MAX < records {
            let mut tx = self.write(merge.org).await?;
            for id in ids {
                let raise = sql(CHUNK_RAISE).bind(merge.org.0).bind(id).bind(merge.level);
                raise.execute(&mut tx).await?;
            }
            tx.commit().await?;
            return Ok(0);
        }
        // It is as quiet as what it is made of.
        let written_at = sources.iter().map(|source| source.written_at).max();
        let plan = *merge;
        let made = computed(move || merged::<R>(&sources, &plan)).await?;
        let mut tx = self.write(merge.org).await?;
        let made = match made {
            Ok(made) => made?,
            Err((id, why)) => {
                self.damage().note(Place::Chunk(id), why);
                if repair::is_made_of_others(R::KIND) {
                    // It is met by the end of this step.
                    self.damage().keep_fresh(id);
                    return Ok(0);
                }
                sql(CHUNK_DAMAGED).bind(merge.org.0).bind(id).execute(&mut tx).await?;
                tx.commit().await?;
                return Ok(0);
            }
        };
        let newer: i64 = sql(CHUNKS_NEWER)
            .bind(merge.org.0)
            .bind(R::KIND)
            .bind(merge.group)
            .bind(merge.start)
            .bind(merge.start.saturating_add(merge.minutes))
            .bind(ids.last().copied().unwrap_or(0))
            .scalar(&mut tx)
            .await?;
        if newer != 0 {
            return Ok(0);
        }
        // What the tables do not know of what it is made of, they do not know of it.
        let mut is_due = false;
        for id in &ids {
            if PAIR_FIVE <= R::KIND {
                is_due |= tables::unnote(&mut tx, merge.org, *id).await?;
            }
            let dropped = sql(CHUNK_DROP).bind(merge.org.0).bind(id);
            if dropped.execute(&mut tx).await? != 1 {
                return Ok(0);
            }
        }
        let written_at = written_at.unwrap_or_default();
        let id = add_chunk(&mut tx, merge.org, R::KIND, made, written_at).await?;
        if is_due {
            tables::note(&mut tx, merge.org, id).await?;
        }
        tx.commit().await?;
        Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
    }

    async fn sources<R: Record>(&self, merge: &Merge) -> Result<Vec<Source>, StoreError> {
        let mut tx = self.read(merge.org).await?;
        let rows = sql(SOURCES)
            .bind(merge.org.0)
            .bind(R::KIND)
            .bind(merge.group)
            .bind(merge.start)
            .bind(merge.start.saturating_add(merge.minutes))
            .bind(merge.level)
            .bind(SOURCES_MAX)
            .fetch_all(&mut tx)
            .await?;
        let mut sources = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: i64 = row.value("id")?;
            let parts = sql(PARTS).bind(merge.org.0).bind(id).bind(PARTS_MAX);
            sources.push(Source {
                id,
                records: row.number("records")?,
                level: row.number("level")?,
                written_at: row.at("written_at")?,
                head: row.value("head")?,
                parts: parts.scalars(&mut tx).await?,
            });
        }
        // A chunk that is as large as chunks may be is not read for nothing.
        let records: usize = sources.iter().map(|source| source.records).sum();
        if R::CHUNK_RECORDS_MAX < records {
            sources.retain(|source| source.level < merge.level);
        }
        Ok(sources)
    }
}

/// Runs what takes long and waits for nothing where it holds up no other task.
pub(crate) async fn computed<T: Send + 'static>(
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(compute).await;
    done.map_err(|error| StoreError::Chunk { reason: error.to_string() })
}

/// Adds a chunk and returns its id.
pub(crate) async fn add_chunk(
    tx: &mut Tx,
    org: OrgId,
    kind: u8,
    made: Made,
    written_at: UtcMicros,
) -> Result<i64, StoreError> {
    let Made { group, level, start, minutes, encoded } = made;
    let id: i64 = sql(CHUNK_ADD)
        .bind(org.0)
        .bind(kind)
        .bind(group)
        .bind(level)
        .bind(start)
        .bind(minutes)
        .bind(i64::try_from(encoded.records).unwrap_or(i64::MAX))
        .bind(written_at.0)
        .bind(encoded.head)
        .scalar(tx)
        .await?;
    for (part, body) in (0_i64..).zip(encoded.parts) {
        let add = sql(PART_ADD).bind(id).bind(part).bind(org.0).bind(body);
        add.execute(tx).await?;
    }
    Ok(id)
}

type Blocks = (Result<Vec<Made>, Unpackable>, Vec<(i64, Damaged)>);

/// Cuts what tails hold into groups and quarters of an hour.
fn blocks<R: Record>(tails: &[(i64, Vec<u8>)]) -> Blocks {
    let mut records: Vec<(Key, R)> = Vec::new();
    let mut damaged = Vec::new();
    for (id, body) in tails {
        let before = records.len();
        let read = Tail::parse::<R>(body).and_then(|tail| tail.all_into(&mut records));
        if let Err(why) = read {
            records.truncate(before);
            damaged.push((*id, why));
        }
    }
    // In the order of their groups, whose keys are in order, and then of time.
    let slot = |key: Key, record: &R| {
        let quarter = UtcMicros(record.at()).minute().0.div_euclid(BLOCK_MINUTES);
        (key.group(), quarter)
    };
    let sorted = Sorted::of(records, slot);
    let made = sorted.slots().map(|((group, quarter), series)| {
        let start = quarter.saturating_mul(BLOCK_MINUTES);
        let encoded = chunks::encode_chunk(&series, base_of(start), Packing::Plain)?;
        Ok(Made { group, level: 0, start, minutes: BLOCK_MINUTES, encoded })
    });
    (made.collect(), damaged)
}

/// Makes one chunk of several; or says which of them is damaged.
fn merged<R: Record>(
    sources: &[Source],
    plan: &Merge,
) -> Result<Result<Made, Unpackable>, (i64, Damaged)> {
    let mut series: BTreeMap<Key, Vec<R>> = BTreeMap::new();
    for Source { id, head, parts, .. } in sources {
        let mut head = Head::parse::<R>(head).map_err(|why| (*id, why))?;
        for page in head.pages().to_vec() {
            let part = parts.get(page.part).map_or(&[][..], Vec::as_slice);
            let records = head.series(&page, part).map_err(|why| (*id, why))?;
            series.entry(page.key).or_default().extend(records);
        }
    }
    series.values_mut().for_each(chunks::merge);
    let series: Vec<_> = series.into_iter().collect();
    let Merge { group, start, minutes, level, .. } = *plan;
    let encoded = chunks::encode_chunk(&series, base_of(start), R::packing_of(level));
    Ok(encoded.map(|encoded| Made { group, level, start, minutes, encoded }))
}

pub(crate) fn base_of(start: i64) -> i64 {
    Minute(start).start().0
}

impl From<Unpackable> for StoreError {
    fn from(error: Unpackable) -> StoreError {
        StoreError::Chunk { reason: error.to_string() }
    }
}
