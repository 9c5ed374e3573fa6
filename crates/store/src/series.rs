//! Series in the database: what commits record, and reading it back wherever it lies by now.
//!
//! A commit adds one row to the tail, whatever it holds; [`crate::compact`] makes chunks of that. A
//! reader sees one moment of both, so nothing is seen twice or not at all. What is damaged is told
//! and left out; the rest is read.

use std::collections::{BTreeMap, BTreeSet};

use model::{Minute, OrgId, Span, UtcMicros};

use crate::{
    HistorySize, Kept, Store, StoreError,
    chunks::{
        self, ALL_DAY, ALL_FIVE, ALL_HOUR, AllDay, AllFive, AllHour, Damaged, Head, Key,
        METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRecord, MetricRollRecord, MinuteRecord,
        PAIR_DAY, PAIR_FIVE, PAIR_HOUR, Page, PairDay, PairFive, PairHour, Record, RoundRecord,
        Tail,
    },
    damage::{Damage, Place},
    db::{Conn, DbRow, Tx, sql},
};

/// Rows of the tail that a reader meets: an hour of commits while nothing was sealed.
const TAIL_ROWS_MAX: u32 = 100_000;
/// Chunks that a reader meets in two days of one group: a day has some hundred before it is merged.
const CHUNKS_MAX: u32 = 10_000;

const TAIL_ADD: &str = "
    INSERT INTO history_tail (org_id, kind, from_at, to_at, records, written_at, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const TAIL_READ: &str = "
    SELECT id, body
      FROM history_tail
     WHERE org_id = $1
       AND kind = $2
       AND from_at < $4
       AND to_at >= $3
     ORDER BY id
     LIMIT $5";
const HEADS_READ: &str = "
    SELECT id, head
      FROM history_chunk
     WHERE org_id = $1
       AND kind = $2
       AND series_group = $3
       AND start > $4 - $7
       AND start < $5
       AND start + minutes > $4
     ORDER BY id
     LIMIT $6";
const PART_READ: &str = "
    SELECT body FROM history_part WHERE org_id = $1 AND chunk_id = $2 AND part = $3";

// Above organisations: a look is at the whole installation.
const CHUNK_NEXT: &str = "
    SELECT id, org_id, kind, head FROM history_chunk WHERE id > $1 ORDER BY id LIMIT 1";
// Above organisations: a look is at the whole installation.
const TAIL_NEXT: &str = "
    SELECT id, kind, body FROM history_tail WHERE id > $1 ORDER BY id LIMIT 1";
// Above organisations: what is kept on this disk.
const SIZES: &str = "
    SELECT kind, count(*) AS chunks, sum(records) AS records,
           sum(length(head)) + sum((SELECT coalesce(sum(length(body)), 0)
                                      FROM history_part
                                     WHERE chunk_id = history_chunk.id)) AS bytes
      FROM history_chunk
     GROUP BY kind
    UNION ALL
    SELECT 0 AS kind, 0 AS chunks, coalesce(sum(records), 0) AS records,
           coalesce(sum(length(body)), 0) AS bytes
      FROM history_tail";
/// Findings of one look: the first say what is broken.
const FINDINGS_MAX: usize = 10;

impl Store {
    /// Measures what is kept of the history. It looks at every chunk.
    pub async fn history_size(&self) -> Result<HistorySize, StoreError> {
        let mut size = HistorySize::default();
        for row in sql(SIZES).fetch_all(&mut *self.read_above().await?).await? {
            let kept = Kept {
                records: row.number("records")?,
                bytes: row.number("bytes")?,
                chunks: row.number("chunks")?,
            };
            match row.number::<u8>("kind")? {
                RoundRecord::KIND => size.rounds = kept,
                MinuteRecord::KIND => size.minutes = kept,
                PAIR_FIVE => size.pair_fives = kept,
                PAIR_HOUR => size.pair_hours = kept,
                PAIR_DAY => size.pair_days = kept,
                ALL_FIVE => size.all_fives = kept,
                ALL_HOUR => size.all_hours = kept,
                ALL_DAY => size.all_days = kept,
                MetricRecord::KIND => size.metrics = kept,
                METRIC_FIVE => size.metric_fives = kept,
                METRIC_HOUR => size.metric_hours = kept,
                METRIC_DAY => size.metric_days = kept,
                _ => size.tail = kept,
            }
        }
        Ok(size)
    }
}

/// Adds what a commit recorded.
pub(crate) async fn add<R: Record>(
    tx: &mut Tx,
    org: OrgId,
    recorded: Vec<(Key, R)>,
    now: UtcMicros,
) -> Result<(), StoreError> {
    let times = || recorded.iter().map(|(_, record)| record.at());
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Ok(());
    };
    let sorted = Sorted::of(recorded, |_, _| ());
    let series = sorted.series();
    let records = series.iter().map(|(_, records)| records.len()).sum::<usize>();
    sql(TAIL_ADD)
        .bind(org.0)
        .bind(R::KIND)
        .bind(first)
        .bind(last)
        .bind(i64::try_from(records).unwrap_or(i64::MAX))
        .bind(now.0)
        .bind(chunks::encode_tail(&series))
        .execute(tx)
        .await?;
    Ok(())
}

/// Which records of one subject are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) org: OrgId,
    pub(crate) subject: u32,
    /// `None`: all, and the consensus.
    pub(crate) agent: Option<u32>,
    pub(crate) from: UtcMicros,
    /// Excluded.
    pub(crate) to: UtcMicros,
}

impl Wanted {
    fn is_in<R: Record>(&self, record: &R) -> bool {
        self.from.0 <= record.at() && record.at() < self.to.0
    }

    pub(crate) fn key(&self) -> Key {
        Key { subject: self.subject, agent: self.agent.unwrap_or(0) }
    }
}

/// What was read of the beginning of a range.
pub(crate) struct Beginning<R> {
    /// By agent, each in the order of time.
    pub(crate) series: BTreeMap<u32, Vec<R>>,
    /// Up to where it was read; excluded.
    pub(crate) to: UtcMicros,
    /// Records that were decoded for it.
    pub(crate) decoded: usize,
}

/// Reads the series of a subject, by agent, each in the order of time.
pub(crate) async fn read<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
    damage: &Damage,
) -> Result<BTreeMap<u32, Vec<R>>, StoreError> {
    let chunks = opened::<R>(tx, wanted, damage).await?;
    Ok(read_of(tx, chunks, wanted, damage).await?.series)
}

/// Reads the series of a subject from the beginning of a range up to where about `count` records
/// should have been found, so that no more is decoded than is asked for.
///
/// It may find fewer: how many lie in a part of a page, its head does not say.
pub(crate) async fn read_beginning<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
    count: usize,
    damage: &Damage,
) -> Result<Beginning<R>, StoreError> {
    let chunks = opened::<R>(tx, wanted, damage).await?;
    let pages = chunks.iter().flat_map(|(_, head)| head.pages_of(wanted.subject, wanted.agent));
    let to = end_of(&pages.collect::<Vec<_>>(), wanted, count);
    read_of(tx, chunks, &Wanted { to, ..*wanted }, damage).await
}

/// Until when a range has so many records by what pages say of their times; its end if it has not.
fn end_of(pages: &[Page], wanted: &Wanted, count: usize) -> UtcMicros {
    // Of each page a record is lost by rounding, and one by where its rounds lie in their spacing.
    let count = count.saturating_add(pages.len().saturating_mul(2));
    let is_enough = |to: i64| {
        let records = pages.iter().map(|page| page.records_in(wanted.from.0, to));
        count <= records.fold(0, usize::saturating_add)
    };
    let (mut short, mut end) = (wanted.from.0, wanted.to.0);
    while short.saturating_add(1) < end {
        let middle = short.midpoint(end);
        if is_enough(middle) { end = middle } else { short = middle }
    }
    UtcMicros(end)
}

/// The chunks that have anything of the time and the group, oldest generation first, and their
/// heads. One whose head is damaged is noted and left out.
async fn opened<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
    damage: &Damage,
) -> Result<Vec<(i64, Head)>, StoreError> {
    let mut chunks = Vec::new();
    for row in heads::<R>(tx, wanted).await? {
        let id: i64 = row.value("id")?;
        match Head::parse::<R>(row.value("head")?) {
            Ok(head) => chunks.push((id, head)),
            Err(why) => damage.note(Place::Chunk(id), why),
        }
    }
    Ok(chunks)
}

/// Reads what chunks and the tail have of a subject.
async fn read_of<R: Record>(
    tx: &mut Tx,
    chunks: Vec<(i64, Head)>,
    wanted: &Wanted,
    damage: &Damage,
) -> Result<Beginning<R>, StoreError> {
    let mut found: BTreeMap<u32, Vec<R>> = BTreeMap::new();
    let mut decoded: usize = 0;
    let mut add = |key: Key, records: Vec<R>| {
        decoded = decoded.saturating_add(records.len());
        let records = records.into_iter().filter(|record| wanted.is_in(record));
        found.entry(key.agent).or_default().extend(records);
    };
    // The tail last: in the order in which it was recorded.
    for (id, head) in chunks {
        let series = chunk_series::<R>(tx, wanted, (id, head), damage).await?;
        series.into_iter().for_each(|(key, records)| add(key, records));
    }
    for row in &tail::<R>(tx, wanted).await? {
        let body: &[u8] = row.value("body")?;
        let series = Tail::parse::<R>(body).and_then(|tail| tail.of(wanted.subject, wanted.agent));
        match series {
            Ok(series) => series.into_iter().for_each(|(key, records)| add(key, records)),
            Err(why) => damage.note(Place::Tail(row.value("id")?), why),
        }
    }
    found.values_mut().for_each(chunks::merge);
    found.retain(|_, records| !records.is_empty());
    Ok(Beginning { series: found, to: wanted.to, decoded })
}

async fn tail<R: Record>(tx: &mut Tx, wanted: &Wanted) -> Result<Vec<DbRow>, StoreError> {
    sql(TAIL_READ)
        .bind(wanted.org.0)
        .bind(R::KIND)
        .bind(wanted.from.0)
        .bind(wanted.to.0)
        .bind(TAIL_ROWS_MAX)
        .fetch_all(tx)
        .await
}

/// The heads of the chunks that have anything of the time and the group, oldest generation first.
pub(crate) async fn heads<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
) -> Result<Vec<DbRow>, StoreError> {
    let last = UtcMicros(wanted.to.0.saturating_sub(1)).minute();
    sql(HEADS_READ)
        .bind(wanted.org.0)
        .bind(R::KIND)
        .bind(wanted.key().group())
        .bind(wanted.from.minute().0)
        .bind(last.next().0)
        .bind(CHUNKS_MAX)
        .bind(R::SPAN_MINUTES_MAX)
        .fetch_all(tx)
        .await
}

/// Reads what a chunk has of a subject; what of it is damaged is noted and left out.
async fn chunk_series<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
    (id, mut head): (i64, Head),
    damage: &Damage,
) -> Result<Vec<(Key, Vec<R>)>, StoreError> {
    let mut series = Vec::new();
    let mut held: Option<(usize, Vec<u8>)> = None;
    let pages = head.pages_of(wanted.subject, wanted.agent).into_iter();
    for page in pages.filter(|page| page.touches(wanted.from.0, wanted.to.0)) {
        if held.as_ref().is_none_or(|(part, _)| *part != page.part) {
            held = Some((page.part, part(tx, wanted.org, id, page.part).await?));
        }
        let body = held.as_ref().map_or(&[][..], |(_, body)| body);
        match head.series(&page, body) {
            Ok(records) => series.push((page.key, records)),
            Err(why) => damage.note(Place::Chunk(id), why),
        }
    }
    Ok(series)
}

/// Reads one part of a chunk; one that is not there is empty, which its pages notice.
async fn part(
    connection: &mut Conn,
    org: OrgId,
    chunk: i64,
    part: usize,
) -> Result<Vec<u8>, StoreError> {
    let body: Option<Vec<u8>> = sql(PART_READ)
        .bind(org.0)
        .bind(chunk)
        .bind(i64::try_from(part).unwrap_or(i64::MAX))
        .scalar_optional(connection)
        .await?;
    Ok(body.unwrap_or_default())
}

/// The hours of which the tail has anything of a subject: each by its first minute.
pub(crate) async fn tail_hours<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
) -> Result<BTreeSet<Minute>, StoreError> {
    let mut hours = BTreeSet::new();
    for row in &tail::<R>(tx, wanted).await? {
        let body: &[u8] = row.value("body")?;
        // What is damaged is told by whoever reads what is in it.
        let series = Tail::parse::<R>(body).and_then(|tail| tail.of::<R>(wanted.subject, None));
        let records = series.unwrap_or_default().into_iter().flat_map(|(_, records)| records);
        let records = records.filter(|record| wanted.is_in(record));
        hours.extend(records.map(|record| Span::Hour.start(UtcMicros(record.at()).minute())));
    }
    Ok(hours)
}

/// Records by their series, each in order and without two of one instant.
pub(crate) struct Sorted<R, S> {
    /// The slot and the key of each series, and where it ends.
    ends: Vec<(S, Key, usize)>,
    records: Vec<R>,
}

impl<R: Record, S: Copy + Ord> Sorted<R, S> {
    /// Sorts records that are given in the order in which they were recorded: by slot, key, time.
    ///
    /// A commit has thousands of series of one record each, so none gets room of its own.
    pub(crate) fn of(mut recorded: Vec<(Key, R)>, slot: impl Fn(Key, &R) -> S) -> Sorted<R, S> {
        // What came of one agent, or lay in one tail, is in order already: this sort merges such
        // runs, the unstable one does not. What is of one instant stays as it was recorded.
        recorded.sort_by_key(|(key, record)| (slot(*key, record), *key, record.at()));
        let mut ends: Vec<(S, Key, usize)> = Vec::new();
        let mut records: Vec<R> = Vec::with_capacity(recorded.len());
        for (key, record) in recorded {
            let slot = slot(key, &record);
            match ends.last_mut().filter(|end| (end.0, end.1) == (slot, key)) {
                None => ends.push((slot, key, records.len() + 1)),
                Some(end) => match records.last_mut().filter(|kept| kept.at() == record.at()) {
                    None => end.2 += 1,
                    Some(kept) => {
                        if record.supersedes(kept) {
                            *kept = record;
                        }
                        continue;
                    }
                },
            }
            records.push(record);
        }
        Sorted { ends, records }
    }

    /// The series, in the order of their keys, of all slots in their order.
    pub(crate) fn series(&self) -> Vec<(Key, &[R])> {
        self.slots().flat_map(|(_, series)| series).collect()
    }

    /// The series of each slot.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (S, Vec<(Key, &[R])>)> {
        let mut start = 0;
        self.ends.chunk_by(|before, end| before.0 == end.0).filter_map(move |ends| {
            let (slot, ..) = *ends.first()?;
            let series = ends.iter().map(|(_, key, end)| {
                let records = self.records.get(start..*end).unwrap_or_default();
                start = *end;
                (*key, records)
            });
            Some((slot, series.collect()))
        })
    }
}

/// Reads everything that is kept and says what of it is damaged.
pub(crate) async fn inspect(connection: &mut Conn) -> Result<Vec<String>, StoreError> {
    let mut findings = Vec::new();
    let mut last = 0_i64;
    while findings.len() < FINDINGS_MAX {
        let next = sql(CHUNK_NEXT).bind(last).fetch_optional(&mut *connection).await?;
        let Some(row) = next else { break };
        last = row.value("id")?;
        let checked = match row.number::<u8>("kind")? {
            RoundRecord::KIND => whole::<RoundRecord>(connection, &row, last).await?,
            MinuteRecord::KIND => whole::<MinuteRecord>(connection, &row, last).await?,
            PAIR_FIVE => whole::<PairFive>(connection, &row, last).await?,
            PAIR_HOUR => whole::<PairHour>(connection, &row, last).await?,
            PAIR_DAY => whole::<PairDay>(connection, &row, last).await?,
            ALL_FIVE => whole::<AllFive>(connection, &row, last).await?,
            ALL_HOUR => whole::<AllHour>(connection, &row, last).await?,
            ALL_DAY => whole::<AllDay>(connection, &row, last).await?,
            MetricRecord::KIND => whole::<MetricRecord>(connection, &row, last).await?,
            METRIC_FIVE => whole::<MetricRollRecord<METRIC_FIVE>>(connection, &row, last).await?,
            METRIC_HOUR => whole::<MetricRollRecord<METRIC_HOUR>>(connection, &row, last).await?,
            METRIC_DAY => whole::<MetricRollRecord<METRIC_DAY>>(connection, &row, last).await?,
            _ => Err(Damaged("it is of no known kind")),
        };
        findings.extend(checked.err().map(|why| format!("chunk {last} of the history: {why}")));
    }
    last = 0;
    while findings.len() < FINDINGS_MAX {
        let next = sql(TAIL_NEXT).bind(last).fetch_optional(&mut *connection).await?;
        let Some(row) = next else { break };
        last = row.value("id")?;
        let body: &[u8] = row.value("body")?;
        let checked = match row.number::<u8>("kind")? {
            RoundRecord::KIND => {
                Tail::parse::<RoundRecord>(body).and_then(Tail::check::<RoundRecord>)
            }
            MinuteRecord::KIND => {
                Tail::parse::<MinuteRecord>(body).and_then(Tail::check::<MinuteRecord>)
            }
            MetricRecord::KIND => {
                Tail::parse::<MetricRecord>(body).and_then(Tail::check::<MetricRecord>)
            }
            _ => Err(Damaged("it is of no known kind")),
        };
        findings.extend(checked.err().map(|why| format!("tail {last} of the history: {why}")));
    }
    Ok(findings)
}

/// Reads every series of a chunk; says what is wrong with the first that cannot be read.
async fn whole<R: Record>(
    connection: &mut Conn,
    row: &DbRow,
    id: i64,
) -> Result<Result<(), Damaged>, StoreError> {
    let org = OrgId(row.number("org_id")?);
    let mut head = match Head::parse::<R>(row.value("head")?) {
        Ok(head) => head,
        Err(why) => return Ok(Err(why)),
    };
    let mut held: Option<(usize, Vec<u8>)> = None;
    for page in head.pages().to_vec() {
        if held.as_ref().is_none_or(|(part, _)| *part != page.part) {
            held = Some((page.part, part(connection, org, id, page.part).await?));
        }
        let body = held.as_ref().map_or(&[][..], |(_, body)| body);
        if let Err(why) = head.series::<R>(&page, body) {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}
