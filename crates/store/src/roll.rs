//! Roll-ups: made of what was sealed, and read together with what is not rolled up yet.
//!
//! 1 - Sealing marks the hour that it adds to, in its transaction. When the hour is over and
//!     nothing of it has come in for a while, its five minutes and the hour are made anew of all
//!     rounds and minutes that there are, and the mark goes in the transaction that adds them;
//!     unless more was sealed meanwhile. A day is marked by its hours and made of its rounds and
//!     minutes in the same way. So what is late is in every roll-up exactly once, and a crash
//!     leaves a roll-up or its mark.
//! 2 - Made anew, not added to: that a round came before, or a minute was said before, is known
//!     only beside what was there.
//! 3 - Round-trip times are rounded as they are told, wherever they are told from. What is rounded
//!     is not added up any more: no roll-up is made of others that are kept.
//! 4 - Of two roll-ups of one span the one with the higher generation holds.
//! 5 - What is stored was made of what could be read: rounds or minutes that are damaged since do
//!     not make it poorer.
//! 6 - What lies so far back that its rounds or minutes are being deleted is not made anew: it
//!     would lose what it once knew. What is not made yet holds up the deletion of its day.
//! 7 - A reader takes stored roll-ups where nothing is marked and the tail has nothing of them,
//!     and makes the others itself, in the same way: so it is told what there is, at any moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Range,
    time::Duration,
};

use model::{AgentId, Minute, OrgId, ProbeId, Rollup, Sketch, Span, ToldRollup, UtcMicros, Worst};

use crate::{
    Compacted, DayMeans, RollupSeries, Scope, Store, StoreError, Who,
    chunks::{
        self, AllDay, AllFive, AllHour, Damaged, GROUP_SUBJECTS, Head, Key, MinuteRecord, Packing,
        PairDay, PairFive, PairHour, Record, RollRecord, RoundRecord, Unpackable,
    },
    compact::{self, Made, add_chunk, computed},
    damage::{Damage, Place},
    db::{DbRow, Tx, sql},
    forget::Swept,
    history,
    series::{self, Wanted},
    tables,
};

/// For how long nothing of an hour may have come in before it is rolled up.
const HOUR_QUIET: Duration = Duration::from_secs(10 * 60);
/// Of a day: its rounds and minutes are in one chunk each by then.
const DAY_QUIET: Duration = Duration::from_secs(60 * 60);
/// Marks looked at by one step, of which those of one group and day are met at once.
const DUE_MAX: i64 = 64;
/// Spans in one chunk: an hour of the 64 targets of a group, each asked by 100 agents, has 77,000
/// roll-ups of five minutes, and a chunk holds 400,000.
const SPANS_PER_CHUNK_MAX: usize = 3;
/// Marks of one group that a reader meets: a year of hours, after a year of silence or an upgrade.
const MARKS_MAX: i64 = 10_000;

const MARK: &str = "
    INSERT INTO history_due (org_id, series_group, minutes, start, chunk_id, marked_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (org_id, series_group, minutes, start) DO UPDATE
       SET chunk_id = excluded.chunk_id, marked_at = excluded.marked_at";
// Above organisations: whose hour is due, it says.
const DUE: &str = "
    SELECT org_id, series_group, start, chunk_id
      FROM history_due
     WHERE minutes = $1
       AND marked_at <= $2
       AND start < $3
     ORDER BY marked_at, org_id, series_group, start
     LIMIT $4";
const PUT_OFF: &str = "
    UPDATE history_due SET marked_at = $6
     WHERE org_id = $1
       AND series_group = $2
       AND minutes = $3
       AND start = $4
       AND chunk_id = $5";
const UNMARK: &str = "
    DELETE FROM history_due
     WHERE org_id = $1
       AND series_group = $2
       AND minutes = $3
       AND start = $4
       AND chunk_id = $5";
const MARKS: &str = "
    SELECT start
      FROM history_due
     WHERE org_id = $1
       AND series_group = $2
       AND minutes = $3
       AND start > $4 - $3
       AND start < $5
     ORDER BY start
     LIMIT $6";
const PARTS: &str = "
    SELECT body FROM history_part WHERE org_id = $1 AND chunk_id = $2 ORDER BY part LIMIT $3";
/// Parts of one chunk: far fewer.
const PARTS_MAX: i64 = 100_000;

/// Marks that an hour, or a day, of a group has changed: `by` is the chunk and when it was added.
pub(crate) async fn mark(
    tx: &mut Tx,
    (org, group): (OrgId, u32),
    span: Span,
    minute: Minute,
    (chunk, now): (i64, UtcMicros),
) -> Result<(), StoreError> {
    sql(MARK)
        .bind(org.0)
        .bind(group)
        .bind(span.minutes())
        .bind(span.start(minute).0)
        .bind(chunk)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// Spans of one group, all in one day, that are to be made anew.
pub(crate) struct Due {
    pub(crate) org: OrgId,
    pub(crate) group: u32,
    span: Span,
    /// The first minute of each, and the chunk that came last.
    pub(crate) marks: Vec<(Minute, i64)>,
}

impl Due {
    /// From the first to the end of the last.
    pub(crate) fn range(&self) -> Range<Minute> {
        let first = self.marks.first().map_or(Minute(0), |(start, _)| *start);
        let last = self.marks.last().map_or(first, |(start, _)| *start);
        first..Minute(last.0.saturating_add(self.span.minutes()))
    }

    /// Everything of the group in that time.
    pub(crate) fn wanted(&self) -> Wanted {
        let range = self.range();
        Wanted {
            org: self.org,
            subject: self.group.saturating_mul(GROUP_SUBJECTS),
            agent: None,
            from: range.start.start(),
            to: range.end.start(),
        }
    }
}

/// A chunk that is rolled up.
pub(crate) struct Source {
    id: i64,
    head: Vec<u8>,
    parts: Vec<Vec<u8>>,
}

/// What hours or days of a group are rolled up to.
#[derive(Default)]
struct Rolled {
    pair_fives: Vec<(Key, Vec<PairFive>)>,
    pair_hours: Vec<(Key, Vec<PairHour>)>,
    pair_days: Vec<(Key, Vec<PairDay>)>,
    all_fives: Vec<(Key, Vec<AllFive>)>,
    all_hours: Vec<(Key, Vec<AllHour>)>,
    all_days: Vec<(Key, Vec<AllDay>)>,
}

impl Rolled {
    /// Leaves out what is stored already.
    fn keep(&mut self, span: Span, stored: &Stored) {
        without(&mut self.pair_fives, span, stored);
        without(&mut self.pair_hours, span, stored);
        without(&mut self.pair_days, span, stored);
        without(&mut self.all_fives, span, stored);
        without(&mut self.all_hours, span, stored);
        without(&mut self.all_days, span, stored);
    }

    /// Makes the chunks, each with its kind.
    fn encode(self, group: u32, range: &Range<Minute>) -> Result<Vec<(u8, Made)>, Unpackable> {
        let Rolled { pair_fives, pair_hours, pair_days, all_fives, all_hours, all_days } = self;
        let mut made = Vec::new();
        made.extend(encoded(pair_fives, group, range)?);
        made.extend(encoded(pair_hours, group, range)?);
        made.extend(encoded(pair_days, group, range)?);
        made.extend(encoded(all_fives, group, range)?);
        made.extend(encoded(all_hours, group, range)?);
        made.extend(encoded(all_days, group, range)?);
        Ok(made)
    }
}

impl Store {
    /// Rolls up some of what has changed and is quiet: one bounded step.
    pub(crate) async fn roll_due(
        &self,
        now: UtcMicros,
        compacted: &mut Compacted,
    ) -> Result<(), StoreError> {
        let mut failed = Ok(());
        for (span, quiet) in [(Span::Hour, HOUR_QUIET), (Span::Day, DAY_QUIET)] {
            for due in self.due(span, now - quiet).await? {
                compacted.is_done = false;
                let rolled = match (chunks::is_of_metrics(due.group), span) {
                    (false, _) => self.roll(&due, now).await,
                    (true, Span::Day) => self.roll_metric_day(&due, now).await,
                    (true, Span::Hour | Span::FiveMinutes) => {
                        self.roll_metric_hours(&due, now).await
                    }
                };
                match rolled {
                    Ok(true) => {
                        let marks = u64::try_from(due.marks.len()).unwrap_or(u64::MAX);
                        compacted.rolled = compacted.rolled.saturating_add(marks);
                    }
                    Ok(false) => {}
                    // One group that fails holds up no other: it comes after all that is due.
                    Err(error) => {
                        failed = self.put_off(&due, now).await.and(Err(error));
                    }
                }
            }
        }
        failed
    }

    /// Looks at marks again when all others that are due were.
    async fn put_off(&self, due: &Due, now: UtcMicros) -> Result<(), StoreError> {
        let mut tx = self.write(due.org).await?;
        for (start, chunk) in &due.marks {
            sql(PUT_OFF)
                .bind(due.org.0)
                .bind(due.group)
                .bind(due.span.minutes())
                .bind(start.0)
                .bind(chunk)
                .bind(now.0)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await
    }

    /// What is marked, over, and was quiet since.
    async fn due(&self, span: Span, quiet_since: UtcMicros) -> Result<Vec<Due>, StoreError> {
        let rows = sql(DUE)
            .bind(span.minutes())
            .bind(quiet_since.0)
            .bind(span.start(quiet_since.minute()).0)
            .bind(DUE_MAX)
            .fetch_all(&mut *self.read_above().await?)
            .await?;
        let mark = |row: &DbRow| {
            let (org, group) = (OrgId(row.number("org_id")?), row.number("series_group")?);
            Ok(((org, group), Minute(row.value("start")?), row.value("chunk_id")?))
        };
        let mut marks: Vec<((OrgId, u32), Minute, i64)> =
            rows.iter().map(mark).collect::<Result<_, StoreError>>()?;
        marks.sort_unstable();
        let mut all: Vec<Due> = Vec::new();
        for ((org, group), start, chunk) in marks {
            let is_of = |due: &Due| {
                let day = due.marks.first().map(|(start, _)| Span::Day.start(*start));
                let is_full = SPANS_PER_CHUNK_MAX <= due.marks.len();
                !is_full && (due.org, due.group, day) == (org, group, Some(Span::Day.start(start)))
            };
            match all.last_mut().filter(|due| is_of(due)) {
                Some(due) => due.marks.push((start, chunk)),
                None => all.push(Due { org, group, span, marks: vec![(start, chunk)] }),
            }
        }
        Ok(all)
    }

    /// Makes hours and their five minutes, or days; false if more came meanwhile.
    async fn roll(&self, due: &Due, now: UtcMicros) -> Result<bool, StoreError> {
        let wanted = due.wanted();
        let mut tx = self.read(due.org).await?;
        let swept = Swept::read(&mut tx, due.org, due.group).await?;
        let rounds = sources::<RoundRecord>(&mut tx, &wanted).await?;
        let minutes = sources::<MinuteRecord>(&mut tx, &wanted).await?;
        drop(tx);
        let (span, starts) = (due.span, due.marks.iter().map(|(start, _)| *start));
        let starts: BTreeSet<Minute> = starts.collect();
        let (group, range) = (due.group, due.range());
        let (mut rolled, damage) =
            computed(move || rolled_up(&rounds, &minutes, span, (&starts, &swept))).await?;
        let harmed = damage.told(self.damage());
        let stored = match span {
            Span::Day => [
                self.stored_of::<PairDay>(due, &harmed).await?,
                self.stored_of::<AllDay>(due, &harmed).await?,
            ],
            Span::Hour | Span::FiveMinutes => [
                self.stored_of::<PairHour>(due, &harmed).await?,
                self.stored_of::<AllHour>(due, &harmed).await?,
            ],
        };
        stored.iter().for_each(|stored| rolled.keep(span, stored));
        let made = computed(move || rolled.encode(group, &range)).await??;
        let mut tx = self.write(due.org).await?;
        if !unmark(&mut tx, due).await? {
            return Ok(false);
        }
        for (kind, made) in made {
            let chunk = add_chunk(&mut tx, due.org, kind, made, now).await?;
            tables::note(&mut tx, due.org, chunk).await?;
            if kind == AllHour::KIND {
                let of = (due.org, due.group);
                mark(&mut tx, of, Span::Day, due.range().start, (chunk, now)).await?;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// What of some subjects is stored of the time of marks.
    pub(crate) async fn stored_of<R: Record>(
        &self,
        due: &Due,
        subjects: &BTreeSet<u32>,
    ) -> Result<Stored, StoreError> {
        let mut stored = Stored::new();
        for subject in subjects.iter().copied() {
            let wanted = Wanted { subject, ..due.wanted() };
            let mut tx = self.read(due.org).await?;
            let found = series::read::<R>(&mut tx, &wanted, self.damage()).await?;
            for (agent, records) in found {
                let key = Key { subject, agent };
                stored.extend(records.iter().map(|record| (key, minute_of(record))));
            }
        }
        Ok(stored)
    }

    /// Reads the roll-ups from `from` to before `to`, both the beginning of a span: the consensus
    /// first, then, if asked for, each agent that has any.
    ///
    /// They are what the rounds and minutes add up to that were recorded by now, in whatever they
    /// are kept, and stay that when those are deleted.
    pub async fn rollups(
        &self,
        scope: &Scope,
        probe: ProbeId,
        who: Who,
        span: Span,
        from: Minute,
        to: Minute,
    ) -> Result<Vec<RollupSeries>, StoreError> {
        let mut reader = self.roll_reader(scope, probe, who, from..to).await?;
        let mut found = match span {
            Span::FiveMinutes => reader.all::<{ PairFive::KIND }, { AllFive::KIND }>().await?,
            Span::Hour => reader.all::<{ PairHour::KIND }, { AllHour::KIND }>().await?,
            Span::Day => reader.all::<{ PairDay::KIND }, { AllDay::KIND }>().await?,
        };
        let consensus = found.remove(&0).unwrap_or_default();
        if who == Who::Together {
            // What was made anew of rounds knows each agent.
            found.clear();
        }
        let mut series = Vec::with_capacity(found.len().saturating_add(1));
        for (id, rollups) in iter::once((0, consensus)).chain(found) {
            let agent = match id {
                0 => None,
                id => Some(history::agent_name(&mut reader.tx, scope, AgentId(id)).await?),
            };
            let rollups = rollups.into_iter().map(|(start, told)| (start, told.rollup)).collect();
            series.push(RollupSeries { agent, rollups });
        }
        Ok(series)
    }

    /// Counts the means of the rounds of whole days: of each agent, and of all together as agent 0.
    ///
    /// They stay when the rounds are deleted, as long as the days are kept.
    pub async fn day_means(
        &self,
        scope: &Scope,
        probe: ProbeId,
        from: Minute,
        to: Minute,
    ) -> Result<BTreeMap<AgentId, DayMeans>, StoreError> {
        let mut reader = self.roll_reader(scope, probe, Who::Each, from..to).await?;
        let found = reader.all::<{ PairDay::KIND }, { AllDay::KIND }>().await?;
        let counted = |(agent, days): (u32, BTreeMap<Minute, Told>)| {
            let mut of = DayMeans::default();
            for Told { rollup, means } in days.into_values() {
                match means {
                    Some(means) => of.means.merge(&means),
                    None if rollup.times.is_some() => of.uncounted = of.uncounted.saturating_add(1),
                    None => {}
                }
            }
            (AgentId(agent), of)
        };
        Ok(found.into_iter().map(counted).collect())
    }

    async fn roll_reader(
        &self,
        scope: &Scope,
        probe: ProbeId,
        who: Who,
        range: Range<Minute>,
    ) -> Result<Reader<'_>, StoreError> {
        let wanted = Wanted {
            org: scope.org,
            subject: probe.0,
            agent: None,
            from: range.start.start(),
            to: range.end.start(),
        };
        Ok(Reader { store: self, tx: self.read(scope.org).await?, who, wanted })
    }
}

/// Roll-ups of a subject by agent, all together as agent 0.
type Found<T = Told> = BTreeMap<u32, BTreeMap<Minute, T>>;

/// A roll-up as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    rollup: ToldRollup,
    /// Of days that have times.
    means: Option<Sketch>,
}

impl Told {
    fn of(rollup: Rollup, span: Span) -> Told {
        let has_means = span == Span::Day && 0 < rollup.times.packets;
        let means = has_means.then(|| rollup.times.means.clone());
        Told { rollup: rollup.told(), means }
    }
}

/// Reads the roll-ups of one subject, as of one moment.
struct Reader<'a> {
    store: &'a Store,
    tx: Tx,
    who: Who,
    wanted: Wanted,
}

impl Reader<'_> {
    /// Of one span, of agents and of all together.
    async fn all<const PAIR: u8, const ALL: u8>(&mut self) -> Result<Found, StoreError> {
        let span = RollRecord::<ALL>::SPAN;
        let mut stored = self.stored::<ALL>().await?;
        if self.who == Who::Each {
            stored.extend(self.stored::<PAIR>().await?);
        }
        // Five minutes are made by the hour.
        let by = span.max(Span::Hour);
        let changed = self.changed(by).await?;
        Ok(replaced(stored, by, &changed, self.made(by, span, &changed).await?))
    }

    async fn stored<const KIND: u8>(&mut self) -> Result<Found, StoreError> {
        let damage = self.store.damage();
        let found = series::read::<RollRecord<KIND>>(&mut self.tx, &self.wanted, damage).await?;
        let rollups = |records: Vec<RollRecord<KIND>>| {
            let told = |RollRecord { start, rollup, means }| (start, Told { rollup, means });
            records.into_iter().map(told).collect()
        };
        Ok(found.into_iter().map(|(agent, records)| (agent, rollups(records))).collect())
    }

    /// The hours or days of which something is sealed and not rolled up, or not sealed.
    async fn changed(&mut self, span: Span) -> Result<BTreeSet<Minute>, StoreError> {
        let mut hours = marks(&mut self.tx, &self.wanted, Span::Hour).await?;
        hours.extend(series::tail_hours::<RoundRecord>(&mut self.tx, &self.wanted).await?);
        hours.extend(series::tail_hours::<MinuteRecord>(&mut self.tx, &self.wanted).await?);
        let mut changed: BTreeSet<Minute> = hours.iter().map(|hour| span.start(*hour)).collect();
        if span == Span::Day {
            changed.extend(marks(&mut self.tx, &self.wanted, Span::Day).await?);
        }
        let group = self.wanted.key().group();
        let swept = Swept::read(&mut self.tx, self.wanted.org, group).await?;
        let swept = swept.of(self.wanted.subject);
        changed.retain(|start| swept <= *start);
        Ok(changed)
    }

    /// Makes the spans of some hours or days of the rounds and minutes that there are.
    async fn made(
        &mut self,
        by: Span,
        span: Span,
        starts: &BTreeSet<Minute>,
    ) -> Result<Found, StoreError> {
        let mut made = Found::new();
        for run in runs(starts.iter().copied(), by) {
            let wanted = Wanted {
                from: self.wanted.from.max(run.start.start()),
                to: self.wanted.to.min(run.end.start()),
                ..self.wanted
            };
            let damage = self.store.damage();
            let said = Wanted { agent: self.who.agent(), ..wanted };
            let minutes = series::read::<MinuteRecord>(&mut self.tx, &said, damage).await?;
            // The times of all together are those of every agent's rounds.
            let rounds = series::read::<RoundRecord>(&mut self.tx, &wanted, damage).await?;
            for (agent, rollups) in told(added_up(&minutes, &rounds, span), span) {
                made.entry(agent).or_default().extend(rollups);
            }
        }
        Ok(made)
    }
}

/// The hours or days of a time and group that are marked.
pub(crate) async fn marks(
    tx: &mut Tx,
    wanted: &Wanted,
    span: Span,
) -> Result<BTreeSet<Minute>, StoreError> {
    let marks: Vec<i64> = sql(MARKS)
        .bind(wanted.org.0)
        .bind(wanted.key().group())
        .bind(span.minutes())
        .bind(wanted.from.minute().0)
        .bind(wanted.to.minute().0)
        .bind(MARKS_MAX)
        .scalars(tx)
        .await?;
    Ok(marks.into_iter().map(Minute).collect())
}

/// Spans that follow each other as one range each.
pub(crate) fn runs(starts: impl Iterator<Item = Minute>, span: Span) -> Vec<Range<Minute>> {
    let mut runs: Vec<Range<Minute>> = Vec::new();
    for start in starts {
        let end = Minute(start.0.saturating_add(span.minutes()));
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            Some(_) | None => runs.push(start..end),
        }
    }
    runs
}

/// Puts what was made in the place of what is stored of some spans.
fn replaced(mut stored: Found, span: Span, changed: &BTreeSet<Minute>, made: Found) -> Found {
    for rollups in stored.values_mut() {
        rollups.retain(|start, _| !changed.contains(&span.start(*start)));
    }
    for (agent, rollups) in made {
        stored.entry(agent).or_default().extend(rollups);
    }
    stored.retain(|_, rollups| !rollups.is_empty());
    stored
}

/// What minutes and rounds of a subject add up to in each span: of each agent, and of all together
/// as agent 0.
fn added_up(
    minutes: &BTreeMap<u32, Vec<MinuteRecord>>,
    rounds: &BTreeMap<u32, Vec<RoundRecord>>,
    span: Span,
) -> Found<Rollup> {
    let mut found = Found::<Rollup>::new();
    for (agent, minutes) in minutes {
        let spans = found.entry(*agent).or_default();
        for MinuteRecord { minute, verdict, cause, counts, .. } in minutes {
            let worst = Worst { verdict: *verdict, cause: *cause, minute: *minute };
            spans.entry(span.start(*minute)).or_default().add_minute(worst, counts);
        }
    }
    for (agent, rounds) in rounds {
        for of in [0, *agent] {
            let spans = found.entry(of).or_default();
            for round in rounds {
                let start = span.start(round.at.minute());
                spans.entry(start).or_default().add_round(&round.outcome);
            }
        }
    }
    found
}

/// Merges roll-ups to those of longer spans.
fn folded(found: Found<Rollup>, span: Span) -> Found<Rollup> {
    let fold = |rollups: BTreeMap<Minute, Rollup>| {
        let mut folded: BTreeMap<Minute, Rollup> = BTreeMap::new();
        for (start, rollup) in rollups {
            folded.entry(span.start(start)).or_default().merge(&rollup);
        }
        folded
    };
    found.into_iter().map(|(agent, rollups)| (agent, fold(rollups))).collect()
}

/// As they are kept and told.
fn told(found: Found<Rollup>, span: Span) -> Found {
    let tell = |rollups: BTreeMap<Minute, Rollup>| {
        rollups.into_iter().map(|(start, rollup)| (start, Told::of(rollup, span))).collect()
    };
    found.into_iter().map(|(agent, rollups)| (agent, tell(rollups))).collect()
}

/// Takes the marks away; false if one is another by now, and then nothing may be written.
pub(crate) async fn unmark(tx: &mut Tx, due: &Due) -> Result<bool, StoreError> {
    for (start, chunk) in &due.marks {
        let unmarked = sql(UNMARK)
            .bind(due.org.0)
            .bind(due.group)
            .bind(due.span.minutes())
            .bind(start.0)
            .bind(chunk)
            .execute(tx)
            .await?;
        if unmarked != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a chunk of roll-ups, before anybody waits for the writer; `None` if there are none.
pub(crate) fn encoded<R: Record>(
    series: Vec<(Key, Vec<R>)>,
    group: u32,
    range: &Range<Minute>,
) -> Result<Option<(u8, Made)>, Unpackable> {
    if series.is_empty() {
        return Ok(None);
    }
    let (start, minutes) = (range.start.0, range.end.0.saturating_sub(range.start.0));
    let encoded = chunks::encode_chunk(&series, compact::base_of(start), Packing::Plain)?;
    Ok(Some((R::KIND, Made { group, level: 0, start, minutes, encoded })))
}

pub(crate) async fn sources<R: Record>(
    tx: &mut Tx,
    wanted: &Wanted,
) -> Result<Vec<Source>, StoreError> {
    let mut sources = Vec::new();
    for row in series::heads::<R>(tx, wanted).await? {
        let id: i64 = row.value("id")?;
        let parts = sql(PARTS).bind(wanted.org.0).bind(id).bind(PARTS_MAX);
        let parts = parts.scalars(tx).await?;
        sources.push(Source { id, head: row.value("head")?, parts });
    }
    Ok(sources)
}

/// Series and spans of which something is stored.
pub(crate) type Stored = BTreeSet<(Key, Minute)>;

fn minute_of<R: Record>(record: &R) -> Minute {
    UtcMicros(record.at()).minute()
}

/// Leaves out what is stored already, by the hour or the day.
pub(crate) fn without<R: Record>(series: &mut Vec<(Key, Vec<R>)>, by: Span, stored: &Stored) {
    for (key, records) in series.iter_mut() {
        records.retain(|record| !stored.contains(&(*key, by.start(minute_of(record)))));
    }
    series.retain(|(_, records)| !records.is_empty());
}

/// What could not be read.
#[derive(Default)]
pub(crate) struct Unread {
    chunks: Vec<(i64, Damaged)>,
    /// Subjects of which something is missing.
    harmed: BTreeSet<u32>,
}

impl Unread {
    /// Notes the chunks, and says which subjects are not to supersede what is stored.
    pub(crate) fn told(self, damage: &Damage) -> BTreeSet<u32> {
        self.chunks.into_iter().for_each(|(id, why)| damage.note(Place::Chunk(id), why));
        self.harmed
    }
}

/// Chunks whose heads were read, and what of them cannot be read.
pub(crate) struct Opened<'a> {
    chunks: Vec<(&'a Source, Head)>,
    pub(crate) unread: Unread,
    /// Of which subjects a chunk is whose head cannot be read, nobody knows.
    is_headless: bool,
}

impl<'a> Opened<'a> {
    pub(crate) fn new<R: Record>(sources: &'a [Source]) -> Opened<'a> {
        let (chunks, unread) = (Vec::new(), Unread::default());
        let mut opened = Opened { chunks, unread, is_headless: false };
        for source in sources {
            match Head::parse::<R>(&source.head) {
                Ok(head) => opened.chunks.push((source, head)),
                Err(why) => {
                    opened.unread.chunks.push((source.id, why));
                    opened.is_headless = true;
                }
            }
        }
        opened
    }

    pub(crate) fn subjects(&self) -> BTreeSet<u32> {
        let pages = self.chunks.iter().flat_map(|(_, head)| head.pages());
        pages.map(|page| page.key.subject).collect()
    }

    /// Reads the series of one subject, by agent, each in the order of time.
    pub(crate) fn of<R: Record>(
        &mut self,
        subject: u32,
        is_wanted: impl Fn(&R) -> bool,
    ) -> BTreeMap<u32, Vec<R>> {
        if self.is_headless {
            self.unread.harmed.insert(subject);
        }
        let mut found: BTreeMap<u32, Vec<R>> = BTreeMap::new();
        for (source, head) in &mut self.chunks {
            for page in head.pages_of(subject, None) {
                let part = source.parts.get(page.part).map_or(&[][..], Vec::as_slice);
                match head.series::<R>(&page, part) {
                    Ok(records) => {
                        let records = records.into_iter().filter(&is_wanted);
                        found.entry(page.key.agent).or_default().extend(records);
                    }
                    Err(why) => {
                        self.unread.chunks.push((source.id, why));
                        self.unread.harmed.insert(subject);
                    }
                }
            }
        }
        found.values_mut().for_each(chunks::merge);
        found.retain(|_, records| !records.is_empty());
        found
    }
}

/// Makes hours or days, one subject after the other, so that little is held at once.
fn rolled_up(
    rounds: &[Source],
    minutes: &[Source],
    span: Span,
    (starts, swept): (&BTreeSet<Minute>, &Swept),
) -> (Rolled, Unread) {
    let mut rounds = Opened::new::<RoundRecord>(rounds);
    let mut minutes = Opened::new::<MinuteRecord>(minutes);
    let mut rolled = Rolled::default();
    for subject in rounds.subjects().union(&minutes.subjects()).copied() {
        let swept = swept.of(subject);
        let is_in = |minute: Minute| {
            let start = span.start(minute);
            swept <= start && starts.contains(&start)
        };
        let rounds = rounds.of(subject, |round: &RoundRecord| is_in(round.at.minute()));
        let minutes = minutes.of(subject, |minute: &MinuteRecord| is_in(minute.minute));
        if span == Span::Day {
            let days = told(added_up(&minutes, &rounds, span), span);
            push(&mut rolled.pair_days, &mut rolled.all_days, subject, days);
            continue;
        }
        let fives = added_up(&minutes, &rounds, Span::FiveMinutes);
        let hours = told(folded(fives.clone(), Span::Hour), Span::Hour);
        let fives = told(fives, Span::FiveMinutes);
        push(&mut rolled.pair_fives, &mut rolled.all_fives, subject, fives);
        push(&mut rolled.pair_hours, &mut rolled.all_hours, subject, hours);
    }
    let (mut unread, more) = (rounds.unread, minutes.unread);
    unread.chunks.extend(more.chunks);
    unread.harmed.extend(more.harmed);
    (rolled, unread)
}

/// Appends the series of one subject.
fn push<const PAIR: u8, const ALL: u8>(
    pairs: &mut Vec<(Key, Vec<RollRecord<PAIR>>)>,
    all: &mut Vec<(Key, Vec<RollRecord<ALL>>)>,
    subject: u32,
    found: Found,
) {
    for (agent, rollups) in found {
        let key = Key { subject, agent };
        if rollups.is_empty() {
            continue;
        }
        match agent {
            0 => all.push((key, records(rollups))),
            _ => pairs.push((key, records(rollups))),
        }
    }
}

fn records<const KIND: u8>(rollups: BTreeMap<Minute, Told>) -> Vec<RollRecord<KIND>> {
    let record = |(start, Told { rollup, means })| RollRecord { start, rollup, means };
    rollups.into_iter().map(record).collect()
}
