//! Forgetting by tier: what is recorded of some targets goes sooner than that of their neighbours.
//!
//! 1 - A chunk has the subjects of a group, of whatever tiers. It goes as a whole once it is too
//!     old for all of them; before that, the pages of those for whom it is too old go, and the
//!     others are taken as they are. Its row says which subjects are gone, so what needs nothing is
//!     not read.
//! 2 - A subject is kept as its tier says now: who moves a target decides about all of its history.
//!     One that was deleted is kept as the installation keeps what no tier says otherwise of.
//! 3 - Rounds and minutes that are not rolled up yet stay, whosever they are.
//! 4 - What of a subject was forgotten makes no roll-up anew: [`Swept`] says up to when.

use std::collections::BTreeMap;

use model::{KeptDays, Minute, OrgId, Span, UtcMicros};

use crate::{
    Retained, Retention, Store, StoreError,
    chunks::{
        self, ALL_DAY, ALL_FIVE, ALL_HOUR, AllDay, AllFive, AllHour, Damaged, Encoded,
        GROUP_SUBJECTS, MinuteRecord, PAIR_DAY, PAIR_FIVE, PAIR_HOUR, PairDay, PairFive, PairHour,
        Record as _, RoundRecord,
    },
    damage::Place,
    db::{Bulk, DbRow, Tx, sql},
    retention, tiers,
};

/// Kinds whose subjects are probes, and so have tiers.
const KINDS: [u8; 8] = [
    RoundRecord::KIND,
    MinuteRecord::KIND,
    PAIR_FIVE,
    PAIR_HOUR,
    PAIR_DAY,
    ALL_FIVE,
    ALL_HOUR,
    ALL_DAY,
];
/// Chunks made smaller by one step: a day of a large group is some megabytes, and each is written
/// for itself.
const TRIMS_MAX: usize = 16;
/// Rows of chunks looked at at once: they stand in an index.
const LOOKS: usize = 1_000;
/// Subjects noted by one step: some tens of milliseconds.
const RAISES_MAX: usize = 10_000;
/// Probes of one organisation.
const PROBES_MAX: u32 = 10_000_000;
/// Subjects of one group that have a row.
const SWEPT_MAX: u32 = GROUP_SUBJECTS;
/// Parts of one chunk: far fewer.
const PARTS_MAX: i64 = 100_000;

const PROBES: &str = "
    SELECT probe.id AS probe, tier.id AS tier, series_swept.before AS before
      FROM tier
      JOIN target ON target.tier_id = tier.id
      JOIN probe ON probe.target_id = target.id
      LEFT JOIN series_swept ON series_swept.org_id = tier.org_id
                            AND series_swept.subject = probe.id
     WHERE tier.org_id = $1
       AND coalesce(rounds_days, minutes_days, agent_5m_days, agent_1h_days,
                    target_5m_days, target_1h_days, target_1d_days) IS NOT NULL
     ORDER BY probe.id
     LIMIT $2";
// The newest first: older ones were met before.
const LOOK: &str = "
    SELECT id, series_group, start, minutes, forgotten
      FROM history_chunk
     WHERE org_id = $1
       AND kind = $2
       AND start < $3
       AND start + minutes <= $3
       AND (start < $4 OR (start = $4 AND id < $5))
     ORDER BY start DESC, id DESC
     LIMIT $6";
const CHUNK: &str = "
    SELECT head, records FROM history_chunk WHERE org_id = $1 AND id = $2 AND forgotten = $3";
const PARTS: &str = "
    SELECT body FROM history_part WHERE org_id = $1 AND chunk_id = $2 ORDER BY part LIMIT $3";
const PARTS_DROP: &str = "DELETE FROM history_part WHERE org_id = $1 AND chunk_id = $2";
const PART_ADD: &str =
    "INSERT INTO history_part (chunk_id, part, org_id, body) VALUES ($1, $2, $3, $4)";
const CHUNK_SET: &str = "
    UPDATE history_chunk SET head = $3, records = $4 WHERE org_id = $1 AND id = $2";
const FORGOTTEN_SET: &str = "UPDATE history_chunk SET forgotten = $3 WHERE org_id = $1 AND id = $2";
const CHUNK_DROP: &str = "DELETE FROM history_chunk WHERE org_id = $1 AND id = $2";
const SWEPT_RAISE: Bulk = Bulk {
    head: "INSERT INTO series_swept (org_id, subject, before) VALUES",
    columns: 3,
    tail: "ON CONFLICT (org_id, subject) DO UPDATE SET before = excluded.before
            WHERE series_swept.before < excluded.before",
};
// Whose tier has no times any more is told by its organisation, once that has come as far.
const SWEPT_DROP: &str = "
    DELETE FROM series_swept
     WHERE org_id = $1
       AND before <= $2
       AND NOT EXISTS (
               SELECT 1
                 FROM probe
                 JOIN target ON target.id = probe.target_id
                 JOIN tier ON tier.id = target.tier_id
                WHERE probe.id = series_swept.subject
                  AND coalesce(rounds_days, minutes_days) IS NOT NULL)";
const SWEPT: &str = "SELECT before FROM history_swept WHERE org_id = $1";
const SWEPT_OF: &str = "
    SELECT subject, before
      FROM series_swept
     WHERE org_id = $1
       AND subject >= $2
       AND subject < $3
     ORDER BY subject
     LIMIT $4";

/// Up to when each level goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizons {
    pub(crate) rounds: Minute,
    pub(crate) minutes: Minute,
    pair_fives: Minute,
    pair_hours: Minute,
    all_fives: Minute,
    all_hours: Minute,
    all_days: Minute,
}

impl Horizons {
    /// Of an installation.
    pub(crate) fn of(retention: &Retention) -> Horizons {
        let rollups = &retention.rollups_before;
        Horizons {
            rounds: retention.rounds_before.minute(),
            minutes: retention.minutes_before.minute(),
            pair_fives: rollups.pair_fives.minute(),
            pair_hours: rollups.pair_hours.minute(),
            all_fives: rollups.all_fives.minute(),
            all_hours: rollups.all_hours.minute(),
            all_days: rollups.all_days.minute(),
        }
    }

    /// Of a tier in it.
    fn with(&self, kept: &KeptDays, now: UtcMicros) -> Horizons {
        let before = |days: Option<u32>, before| {
            days.map_or(before, |days| {
                Minute(now.minute().0.saturating_sub(i64::from(days) * Span::Day.minutes()))
            })
        };
        Horizons {
            rounds: before(kept.rounds, self.rounds),
            minutes: before(kept.minutes, self.minutes),
            pair_fives: before(kept.agent_5m, self.pair_fives),
            pair_hours: before(kept.agent_1h, self.pair_hours),
            all_fives: before(kept.target_5m, self.all_fives),
            all_hours: before(kept.target_1h, self.all_hours),
            all_days: before(kept.target_1d, self.all_days),
        }
    }

    /// Rounds and minutes by the day, as their chunks go: so what is said of each subject is seldom
    /// written.
    fn by_the_day(self) -> Horizons {
        let (rounds, minutes) = (Span::Day.start(self.rounds), Span::Day.start(self.minutes));
        Horizons { rounds, minutes, ..self }
    }

    pub(crate) fn of_kind(&self, kind: u8) -> Minute {
        match kind {
            RoundRecord::KIND => self.rounds,
            MinuteRecord::KIND => self.minutes,
            PAIR_FIVE => self.pair_fives,
            PAIR_HOUR | PAIR_DAY => self.pair_hours,
            ALL_FIVE => self.all_fives,
            ALL_HOUR => self.all_hours,
            ALL_DAY => self.all_days,
            _ => Minute(i64::MIN),
        }
    }
}

/// Which subjects of an organisation are kept otherwise than the others.
pub(crate) struct Tiers {
    others: Horizons,
    own: BTreeMap<u32, Own>,
    probes: Vec<Probe>,
}

/// What a tier says for itself.
struct Own {
    horizons: Horizons,
    /// Of rounds or minutes, too.
    of_records: bool,
}

/// One that is of a tier with times of its own.
struct Probe {
    id: u32,
    tier: u32,
    before: Option<Minute>,
}

impl Tiers {
    /// Reads them; `None` if no tier has times of its own.
    pub(crate) async fn read(
        tx: &mut Tx,
        org: OrgId,
        retention: &Retention,
    ) -> Result<Option<Tiers>, StoreError> {
        let others = Horizons::of(retention).by_the_day();
        let tiers =
            sql(tiers::KEEPING).bind(org.0).bind(crate::LIST_ROWS_MAX).fetch_all(tx).await?;
        if tiers.is_empty() {
            return Ok(None);
        }
        let own = |row: &DbRow| {
            let kept = tiers::kept(row)?;
            let horizons = others.with(&kept, retention.now).by_the_day();
            let of_records = kept.rounds.or(kept.minutes).is_some();
            Ok((row.number("id")?, Own { horizons, of_records }))
        };
        let own = tiers.iter().map(own).collect::<Result<_, StoreError>>()?;
        let probes = sql(PROBES).bind(org.0).bind(PROBES_MAX).fetch_all(tx).await?;
        let probe = |row: &DbRow| {
            Ok(Probe {
                id: row.number("probe")?,
                tier: row.number("tier")?,
                before: row.value::<Option<i64>>("before")?.map(Minute),
            })
        };
        let probes = probes.iter().map(probe).collect::<Result<_, StoreError>>()?;
        Ok(Some(Tiers { others, own, probes }))
    }

    fn all(&self) -> impl Iterator<Item = &Horizons> {
        let own = self.own.values().map(|own| &own.horizons);
        std::iter::once(&self.others).chain(own)
    }

    /// Before this nothing of a kind is kept, whosever it is.
    pub(crate) fn oldest(&self, kind: u8) -> Minute {
        self.all().map(|horizons| horizons.of_kind(kind)).min().unwrap_or(Minute(i64::MIN))
    }

    /// Before this nothing at all is kept.
    pub(crate) fn oldest_of_all(&self) -> Minute {
        KINDS.iter().map(|kind| self.oldest(*kind)).min().unwrap_or(Minute(i64::MIN))
    }

    fn newest(&self, kind: u8) -> Minute {
        self.all().map(|horizons| horizons.of_kind(kind)).max().unwrap_or(Minute(i64::MIN))
    }

    fn of(&self, tier: u32) -> &Horizons {
        self.own.get(&tier).map_or(&self.others, |own| &own.horizons)
    }

    /// The subjects of a group for whom what ended then is too old, a bit each.
    fn gone(&self, kind: u8, group: u32, end: Minute, limit: Minute) -> u64 {
        let is_gone = |horizons: &Horizons| end <= horizons.of_kind(kind).min(limit);
        let first = group.saturating_mul(GROUP_SUBJECTS);
        let from = self.probes.partition_point(|probe| probe.id < first);
        let mut gone = if is_gone(&self.others) { u64::MAX } else { 0 };
        for probe in self.probes.iter().skip(from) {
            let Some(bit) = bit(group, probe.id) else { break };
            if is_gone(self.of(probe.tier)) {
                gone |= bit;
            } else {
                gone &= !bit;
            }
        }
        gone
    }

    /// Notes up to when rounds or minutes of subjects may be gone, before they are. `swept` is what
    /// is said of their organisation.
    pub(crate) async fn raise(
        &self,
        tx: &mut Tx,
        org: u32,
        (swept, limit): (Minute, Minute),
        is_done: &mut bool,
    ) -> Result<(), StoreError> {
        let raised = |probe: &Probe| {
            let own = self.own.get(&probe.tier).filter(|own| own.of_records)?;
            let Horizons { rounds, minutes, .. } = own.horizons;
            let before = rounds.max(minutes).min(limit);
            let before = probe.before.map_or(before.max(swept), |known| known.max(before));
            (probe.before != Some(before)).then_some((probe.id, before))
        };
        let mut raised: Vec<(u32, Minute)> = self.probes.iter().filter_map(raised).collect();
        *is_done &= raised.len() <= RAISES_MAX;
        raised.truncate(RAISES_MAX);
        SWEPT_RAISE
            .run(tx, &raised, |(subject, before), row| {
                row.add(org).add(*subject).add(before.0);
            })
            .await?;
        Ok(())
    }
}

/// The bit of a subject; `None` if it is of another group.
fn bit(group: u32, subject: u32) -> Option<u64> {
    let place = subject.checked_sub(group.saturating_mul(GROUP_SUBJECTS))?;
    (place < GROUP_SUBJECTS).then(|| 1 << place)
}

/// Drops the notes of subjects that are kept as their organisation is.
pub(crate) async fn drop_notes(tx: &mut Tx, org: u32, swept: Minute) -> Result<(), StoreError> {
    sql(SWEPT_DROP).bind(org).bind(swept.0).execute(tx).await?;
    Ok(())
}

/// Up to when rounds or minutes may be gone: nothing before is made anew.
pub(crate) struct Swept {
    all: Minute,
    /// Of subjects of one group, in the place of `all`.
    own: BTreeMap<u32, Minute>,
}

impl Swept {
    /// Reads it for the subjects of a group.
    pub(crate) async fn read(tx: &mut Tx, org: OrgId, group: u32) -> Result<Swept, StoreError> {
        let first = group.saturating_mul(GROUP_SUBJECTS);
        let all: Option<i64> = sql(SWEPT).bind(org.0).scalar_optional(tx).await?;
        let own = sql(SWEPT_OF)
            .bind(org.0)
            .bind(first)
            .bind(i64::from(first) + i64::from(GROUP_SUBJECTS))
            .bind(SWEPT_MAX)
            .fetch_all(tx)
            .await?;
        let of = |row: &DbRow| Ok((row.number("subject")?, Minute(row.value("before")?)));
        let own = own.iter().map(of).collect::<Result<_, StoreError>>()?;
        Ok(Swept { all: Minute(all.unwrap_or(i64::MIN)), own })
    }

    pub(crate) fn of(&self, subject: u32) -> Minute {
        self.own.get(&subject).copied().unwrap_or(self.all)
    }

    /// From here on nothing of any subject is gone.
    pub(crate) fn latest(&self) -> Minute {
        self.own.values().copied().fold(self.all, Minute::max)
    }
}

/// A chunk that somebody's tier forgets.
struct Due {
    id: i64,
    kind: u8,
    group: u32,
    end: Minute,
    forgotten: i64,
    gone: u64,
}

impl Store {
    /// Takes out of chunks what their tiers forget: one bounded step. Of rounds and minutes only
    /// what ended by `limit`.
    pub(crate) async fn forget(
        &self,
        org: OrgId,
        (tiers, limit): (&Tiers, Minute),
        retained: &mut Retained,
    ) -> Result<(), StoreError> {
        let mut left = TRIMS_MAX;
        for kind in KINDS {
            let limit = if retention::is_recorded(kind) { limit } else { Minute(i64::MAX) };
            for due in self.chunks_due(org, kind, (tiers, limit), left).await? {
                left = left.saturating_sub(1);
                retained.add(kind, self.forget_in(org, &due).await?);
            }
            if left == 0 {
                retained.is_done = false;
                break;
            }
        }
        Ok(())
    }

    /// Up to `count` chunks of a kind that have subjects for whom they are too old.
    async fn chunks_due(
        &self,
        org: OrgId,
        kind: u8,
        (tiers, limit): (&Tiers, Minute),
        count: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let before = tiers.newest(kind).min(limit);
        let (mut due, mut after) = (Vec::new(), (i64::MAX, i64::MAX));
        let mut tx = self.read(org).await?;
        while due.len() < count {
            let rows = sql(LOOK)
                .bind(org.0)
                .bind(kind)
                .bind(before.0)
                .bind(after.0)
                .bind(after.1)
                .bind(i64::try_from(LOOKS).unwrap_or(i64::MAX));
            let rows = rows.fetch_all(&mut tx).await?;
            for row in &rows {
                let (id, start): (i64, i64) = (row.value("id")?, row.value("start")?);
                after = (start, id);
                let end = Minute(start.saturating_add(row.value("minutes")?));
                let group = row.number("series_group")?;
                let forgotten: i64 = row.value("forgotten")?;
                let gone = tiers.gone(kind, group, end, limit);
                if gone & !forgotten.cast_unsigned() != 0 && due.len() < count {
                    due.push(Due { id, kind, group, end, forgotten, gone });
                }
            }
            if rows.len() < LOOKS {
                break;
            }
        }
        Ok(due)
    }

    /// Takes what is too old out of one chunk, and returns how many records that were.
    async fn forget_in(&self, org: OrgId, due: &Due) -> Result<u64, StoreError> {
        let mut tx = self.write(org).await?;
        if retention::is_recorded(due.kind) {
            let pending = retention::pending(&mut tx, org.0).await?;
            if pending.is_some_and(|pending| pending < due.end) {
                return Ok(0);
            }
        }
        let found = sql(CHUNK).bind(org.0).bind(due.id).bind(due.forgotten);
        // It was merged meanwhile.
        let Some(row) = found.fetch_optional(&mut tx).await? else { return Ok(0) };
        let records: u64 = row.number("records")?;
        let parts = sql(PARTS).bind(org.0).bind(due.id).bind(PARTS_MAX);
        let parts: Vec<Vec<u8>> = parts.scalars(&mut tx).await?;
        let head: &[u8] = row.value("head")?;
        let is_gone = |subject| bit(due.group, subject).is_some_and(|bit| due.gone & bit != 0);
        let trimmed = match due.gone {
            u64::MAX => Ok(Some(Encoded::default())),
            _ => trimmed(due.kind, head, &parts, is_gone),
        };
        let gone = match trimmed {
            Ok(None) => 0,
            Ok(Some(left)) if left.records == 0 => {
                sql(CHUNK_DROP).bind(org.0).bind(due.id).execute(&mut tx).await?;
                records
            }
            Ok(Some(left)) => {
                let count = u64::try_from(left.records).unwrap_or(u64::MAX);
                replace(&mut tx, org, due.id, left).await?;
                records.saturating_sub(count)
            }
            // It stays as it is until it is too old for all.
            Err(why) => {
                self.damage().note(Place::Chunk(due.id), why);
                0
            }
        };
        let forgotten = due.forgotten | due.gone.cast_signed();
        sql(FORGOTTEN_SET).bind(org.0).bind(due.id).bind(forgotten).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

/// Puts what is left in the place of a chunk: its generation is the same.
async fn replace(tx: &mut Tx, org: OrgId, chunk: i64, left: Encoded) -> Result<(), StoreError> {
    let records = i64::try_from(left.records).unwrap_or(i64::MAX);
    sql(CHUNK_SET).bind(org.0).bind(chunk).bind(left.head).bind(records).execute(tx).await?;
    sql(PARTS_DROP).bind(org.0).bind(chunk).execute(tx).await?;
    for (part, body) in (0_i64..).zip(left.parts) {
        sql(PART_ADD).bind(chunk).bind(part).bind(org.0).bind(body).execute(tx).await?;
    }
    Ok(())
}

fn trimmed(
    kind: u8,
    head: &[u8],
    parts: &[Vec<u8>],
    gone: impl Fn(u32) -> bool,
) -> Result<Option<Encoded>, Damaged> {
    match kind {
        RoundRecord::KIND => chunks::trim::<RoundRecord>(head, parts, gone),
        MinuteRecord::KIND => chunks::trim::<MinuteRecord>(head, parts, gone),
        PAIR_FIVE => chunks::trim::<PairFive>(head, parts, gone),
        PAIR_HOUR => chunks::trim::<PairHour>(head, parts, gone),
        PAIR_DAY => chunks::trim::<PairDay>(head, parts, gone),
        ALL_FIVE => chunks::trim::<AllFive>(head, parts, gone),
        ALL_HOUR => chunks::trim::<AllHour>(head, parts, gone),
        ALL_DAY => chunks::trim::<AllDay>(head, parts, gone),
        _ => Ok(None),
    }
}
