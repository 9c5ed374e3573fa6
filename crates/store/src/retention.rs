//! Forgetting: history that is old enough goes, in steps that never hold the writer for long.
//!
//! What a tier keeps for another time than its neighbours goes by [`crate::forget`].

use model::{Minute, OrgId, Span, UtcMicros};

use crate::{
    INCIDENTS_KEPT_MAX, Retained, Retention, RollupsBefore, Store, StoreError,
    chunks::{
        ALL_DAY, ALL_FIVE, ALL_HOUR, METRIC_DAY, METRIC_FIVE, METRIC_HOUR, MetricRecord,
        MinuteRecord, PAIR_DAY, PAIR_FIVE, PAIR_HOUR, Record as _, RoundRecord,
    },
    db::{Tx, sql},
    facts,
    forget::{self, Horizons, Tiers},
    metrics, paths, traces,
};

/// Rows of one table deleted by one step: some tens of milliseconds.
const SWEEP_ROWS: u32 = 10_000;
/// Chunks of one kind deleted by one step: a day of a large group is some megabytes.
const SWEEP_CHUNKS: usize = 32;
/// Organisations swept by one step.
const ORGS_MAX: u32 = 1_000;

// Above organisations: these are the organisations.
const ORGS: &str = "SELECT id FROM org ORDER BY id LIMIT $1";
const CHUNKS_SWEEP: &str = "
    DELETE FROM history_chunk
     WHERE id IN (
               SELECT id
                 FROM history_chunk
                WHERE org_id = $1
                  AND kind = $2
                  AND start < $3
                  AND start + minutes <= $3
                ORDER BY start, id
                LIMIT $4)
    RETURNING records";
// What was damaged when it was to be sealed stays until a chunk of its time would have gone.
const DAMAGED_SWEEP: &str = "
    DELETE FROM history_tail
     WHERE id IN (
               SELECT id
                 FROM history_tail
                WHERE org_id = $1
                  AND is_damaged = 1
                  AND to_at < $2
                ORDER BY id
                LIMIT $3)";
// What is not rolled up yet: its rounds and minutes stay until it is.
const PENDING: &str = "
    SELECT (SELECT min(start) FROM history_due WHERE org_id = $1) AS due,
           (SELECT min(from_at)
              FROM history_tail
             WHERE org_id = $1
               AND is_damaged = 0) AS tail";
const SWEPT_SET: &str = "
    INSERT INTO history_swept (org_id, before) VALUES ($1, $2)
    ON CONFLICT (org_id) DO UPDATE SET before = excluded.before
     WHERE history_swept.before < excluded.before";
const HOURS_SWEPT_SET: &str = "
    UPDATE history_swept
       SET metric_hours = CASE WHEN metric_hours > $2 THEN metric_hours ELSE $2 END
     WHERE org_id = $1";
const RECORDED_SWEEP: &str = "
    DELETE FROM recorded_minute
     WHERE (org_id, minute) IN (
               SELECT org_id, minute
                 FROM recorded_minute
                WHERE org_id = $1
                  AND minute < $2
                ORDER BY minute
                LIMIT $3)";
const SPANS_SWEEP: &str = "
    DELETE FROM verdict_span
     WHERE id IN (
               SELECT id
                 FROM verdict_span
                WHERE org_id = $1
                  AND to_at IS NOT NULL
                  AND to_at < $2
                ORDER BY to_at
                LIMIT $3)";
const EVENTS_SWEEP: &str = "
    DELETE FROM agent_event
     WHERE id IN (
               SELECT id
                 FROM agent_event
                WHERE org_id = $1
                  AND at < $2
                ORDER BY at, id
                LIMIT $3)";
const NAMES_SWEEP: &str = "
    DELETE FROM name_change
     WHERE id IN (
               SELECT id
                 FROM name_change
                WHERE org_id = $1
                  AND at < $2
                ORDER BY at, id
                LIMIT $3)";
// A batch of an epoch this old cannot come again: no spool may keep it so long.
const HIGHWATERS_SWEEP: &str = "
    DELETE FROM highwater
     WHERE (agent_id, epoch) IN (
               SELECT agent_id, epoch
                 FROM highwater
                WHERE org_id = $1
                  AND at < $2
                ORDER BY agent_id, epoch
                LIMIT $3)";
const AGENT_GAPS_SWEEP: &str = "
    DELETE FROM agent_gap
     WHERE (agent_id, epoch, seq, part) IN (
               SELECT agent_id, epoch, seq, part
                 FROM agent_gap
                WHERE org_id = $1
                  AND to_at < $2
                ORDER BY to_at
                LIMIT $3)";
const GAPS_SWEEP: &str = "
    DELETE FROM monitor_gap
     WHERE id IN (
               SELECT id
                 FROM monitor_gap
                WHERE org_id = $1
                  AND to_at < $2
                ORDER BY to_at, id
                LIMIT $3)";

const AUDIT_SWEEP: &str = "
    DELETE FROM audit
     WHERE id IN (
               SELECT id
                 FROM audit
                WHERE org_id = $1
                  AND at < $2
                ORDER BY id
                LIMIT $3)";
// What is open or not seen to be over stays.
const INCIDENTS_SWEEP: &str = "
    DELETE FROM incident
     WHERE (org_id, number) IN (
               SELECT org_id, number
                 FROM incident
                WHERE org_id = $1
                  AND state <> 'open'
                  AND is_followed = 0
                  AND updated_at < $2
                ORDER BY number
                LIMIT $3)";
const INCIDENTS_OVER: &str = "
    DELETE FROM incident
     WHERE (org_id, number) IN (
               SELECT org_id, number
                 FROM incident
                WHERE org_id = $1
                  AND state <> 'open'
                  AND is_followed = 0
                  AND number < (SELECT max(number) FROM incident WHERE org_id = $1) - $2
                ORDER BY number
                LIMIT $3)";
// What the engine has not heard yet stays: it catches up from here.
const INVENTORY_CHANGES_SWEEP: &str = "
    DELETE FROM inventory_change
     WHERE version IN (
               SELECT version
                 FROM inventory_change
                WHERE org_id = $1
                  AND at < $2
                  AND version <= (SELECT inventory_version FROM engine_state WHERE id = 1)
                ORDER BY version
                LIMIT $3)";
// A name goes when nothing that is kept can be of the thing it named.
const TOMBSTONES_SWEEP: &str = "
    DELETE FROM tombstone
     WHERE version IN (
               SELECT version
                 FROM tombstone
                WHERE org_id = $1
                  AND deleted_at < $2
                  AND version <= (SELECT inventory_version FROM engine_state WHERE id = 1)
                ORDER BY version
                LIMIT $3)";

impl Store {
    /// Deletes some of what is too old: one bounded step. Call it until `is_done`.
    ///
    /// A chunk goes as a whole, once all of it is too old: a day of rounds or minutes at once, of
    /// roll-ups what their last level is merged over. What one of its targets' tiers keeps for less
    /// goes out of it before. Rounds and minutes that are not rolled up yet stay.
    pub async fn retain(&self, retention: &Retention) -> Result<Retained, StoreError> {
        let orgs: Vec<u32> =
            sql(ORGS).bind(ORGS_MAX).scalars(&mut *self.read_above().await?).await?;
        let mut retained = Retained { is_done: true, ..Retained::default() };
        let UtcMicros(changes_before) = retention.changes_before;
        for org in orgs {
            let mut tx = self.read(OrgId(org)).await?;
            let tiers = Tiers::read(&mut tx, OrgId(org), retention).await?;
            drop(tx);
            let oldest = tiers.as_ref().map(|tiers| tiers.oldest_of_all().start());
            let oldest = oldest.unwrap_or(UtcMicros(i64::MAX));
            // A transaction for each organisation, so that others may write in between.
            let mut tx = self.write(OrgId(org)).await?;
            let of = (retention, tiers.as_ref());
            let limit = sweep_history(&mut tx, org, of, &mut retained).await?;
            let damaged_before = retention.rounds_before.min(retention.minutes_before);
            let damaged_before = damaged_before.min(oldest).0;
            sweep(&mut tx, DAMAGED_SWEEP, (org, damaged_before), &mut retained.is_done).await?;
            // Why nothing was recorded is told for as long as anything is.
            let gaps_before = changes_before.min(retention.rollups_before.oldest().min(oldest).0);
            for text in [GAPS_SWEEP, AGENT_GAPS_SWEEP] {
                retained.changes +=
                    sweep(&mut tx, text, (org, gaps_before), &mut retained.is_done).await?;
            }
            for text in [SPANS_SWEEP, EVENTS_SWEEP, NAMES_SWEEP] {
                retained.changes +=
                    sweep(&mut tx, text, (org, changes_before), &mut retained.is_done).await?;
            }
            let marks = (org, retention.highwaters_before.0);
            sweep(&mut tx, HIGHWATERS_SWEEP, marks, &mut retained.is_done).await?;
            let audit_before = retention.audit_before.0;
            for text in [AUDIT_SWEEP, INVENTORY_CHANGES_SWEEP] {
                retained.audited +=
                    sweep(&mut tx, text, (org, audit_before), &mut retained.is_done).await?;
            }
            let incidents_before = (org, retention.incidents_before.0);
            let kept_max = (org, i64::from(INCIDENTS_KEPT_MAX));
            for (text, bound) in [(INCIDENTS_SWEEP, incidents_before), (INCIDENTS_OVER, kept_max)] {
                retained.changes += sweep(&mut tx, text, bound, &mut retained.is_done).await?;
            }
            let facts_before = (org, retention.facts_before.0);
            let requests_before = (org, retention.now.0 - facts::REQUESTS_KEPT_US);
            for (text, bound) in
                [(facts::SWEEP, facts_before), (facts::REQUESTS_SWEEP, requests_before)]
            {
                retained.changes += sweep(&mut tx, text, bound, &mut retained.is_done).await?;
            }
            for (text, bound) in [
                (traces::SWEEP, changes_before),
                (traces::OVER, i64::from(traces::TRACES_KEPT_MAX)),
                (paths::SWEEP, changes_before),
                (paths::OVER, i64::from(paths::PATHS_KEPT_MAX)),
            ] {
                let bound = (org, bound);
                retained.changes += sweep(&mut tx, text, bound, &mut retained.is_done).await?;
            }
            let named_before = retention.audit_before.min(retention.changes_before);
            let named_before = named_before.min(retention.minutes_before);
            let named_before = named_before.min(retention.rollups_before.oldest()).min(oldest);
            let named_before = (org, named_before.min(retention.rounds_before).0);
            sweep(&mut tx, metrics::SERIES_SWEEP, named_before, &mut retained.is_done).await?;
            retained.audited +=
                sweep(&mut tx, TOMBSTONES_SWEEP, named_before, &mut retained.is_done).await?;
            tx.commit().await?;
            if let Some(tiers) = &tiers {
                self.forget(OrgId(org), (tiers, limit), &mut retained).await?;
            }
        }
        Ok(retained)
    }
}

/// Whether a kind is what commits record of probes: what is rolled up.
pub(crate) fn is_recorded(kind: u8) -> bool {
    matches!(kind, RoundRecord::KIND | MinuteRecord::KIND)
}

/// From here on something is not rolled up yet; `None` if all is.
pub(crate) async fn pending(tx: &mut Tx, org: u32) -> Result<Option<Minute>, StoreError> {
    let row = sql(PENDING).bind(org).fetch_one(tx).await?;
    let tail = row.at_opt("tail")?.map(UtcMicros::minute);
    let due = row.value::<Option<i64>>("due")?.map(Minute);
    // With an hour its day is made anew.
    Ok(tail.into_iter().chain(due).min().map(|minute| Span::Day.start(minute)))
}

/// Deletes chunks that are too old for all; of rounds and minutes those that are rolled up, whose
/// limit it returns.
async fn sweep_history(
    tx: &mut Tx,
    org: u32,
    (retention, tiers): (&Retention, Option<&Tiers>),
    retained: &mut Retained,
) -> Result<Minute, StoreError> {
    let limit = pending(tx, org).await?.unwrap_or(Minute(i64::MAX));
    let horizons = Horizons::of(retention);
    let swept = horizons.rounds.max(horizons.minutes).min(limit);
    sql(SWEPT_SET).bind(org).bind(swept.0).execute(tx).await?;
    if let Some(tiers) = tiers {
        tiers.raise(tx, org, (swept, limit), &mut retained.is_done).await?;
    }
    forget::drop_notes(tx, org, swept).await?;
    // Chunks go as a whole when no tier keeps anything of them.
    let before = |kind| tiers.map_or(horizons.of_kind(kind), |tiers| tiers.oldest(kind));
    let minutes = before(MinuteRecord::KIND).min(limit);
    sweep(tx, RECORDED_SWEEP, (org, minutes.0), &mut retained.is_done).await?;
    let RollupsBefore { pair_fives, pair_hours, all_days, .. } = retention.rollups_before;
    sql(HOURS_SWEPT_SET).bind(org).bind(pair_hours.minute().0).execute(tx).await?;
    let rounds = horizons.rounds.min(limit);
    let kinds = [
        (RoundRecord::KIND, before(RoundRecord::KIND).min(limit)),
        (MinuteRecord::KIND, minutes),
        (PAIR_FIVE, before(PAIR_FIVE)),
        (PAIR_HOUR, before(PAIR_HOUR)),
        (PAIR_DAY, before(PAIR_DAY)),
        (ALL_FIVE, before(ALL_FIVE)),
        (ALL_HOUR, before(ALL_HOUR)),
        (ALL_DAY, before(ALL_DAY)),
        // Metrics are kept as long as what an agent says of its targets, and days as long as any.
        (MetricRecord::KIND, rounds),
        (METRIC_FIVE, pair_fives.minute()),
        (METRIC_HOUR, pair_hours.minute()),
        (METRIC_DAY, all_days.minute()),
    ];
    for (kind, before) in kinds {
        let gone = sweep_chunks(tx, (org, kind, before), &mut retained.is_done).await?;
        retained.add(kind, gone);
    }
    Ok(limit)
}

/// Deletes up to [`SWEEP_CHUNKS`] and returns how many records were in them.
async fn sweep_chunks(
    tx: &mut Tx,
    (org, kind, before): (u32, u8, Minute),
    is_done: &mut bool,
) -> Result<u64, StoreError> {
    let swept: Vec<i64> = sql(CHUNKS_SWEEP)
        .bind(org)
        .bind(kind)
        .bind(before.0)
        .bind(i64::try_from(SWEEP_CHUNKS).unwrap_or(i64::MAX))
        .scalars(tx)
        .await?;
    *is_done &= swept.len() < SWEEP_CHUNKS;
    Ok(swept.into_iter().map(|records| u64::try_from(records).unwrap_or(0)).sum())
}

/// Deletes up to [`SWEEP_ROWS`]; a full step means there may be more.
async fn sweep(
    tx: &mut Tx,
    text: &'static str,
    (org, before): (u32, i64),
    is_done: &mut bool,
) -> Result<u64, StoreError> {
    let swept = sql(text).bind(org).bind(before).bind(SWEEP_ROWS).execute(tx).await?;
    *is_done &= swept < u64::from(SWEEP_ROWS);
    Ok(swept)
}
