//! Tiers: monitoring policies, with how many targets follow each.

use std::time::Duration;

use model::{InventoryChange, KeptDays, LossRule, RttRule, Strategy, Tier, TierId, UtcMicros};
use serde_json::{Value, json};

use crate::{
    AuditEntry, Changed, LIST_ROWS_MAX, Scope, Store, StoreError, TierRow, audit,
    db::{Conn, DbRow, Sql, Tx, sql},
    error::name_taken,
    inventory::{self, Buried, Kind, Logged},
};

/// A tier with the number of its targets; every way of finding one ends it.
macro_rules! tier_select {
    ($end:literal) => {
        concat!(
            "
    SELECT tier.id, tier.name, interval_us, packets, gap_us, timeout_us, payload_bytes,
           agent_count, lost_raise, lost_clear, rtt_us_raise, rtt_us_clear,
           rounds_days, minutes_days, agent_5m_days, agent_1h_days,
           target_5m_days, target_1h_days, target_1d_days,
           created_at, updated_at,
           (SELECT count(*)
              FROM target
             WHERE target.org_id = tier.org_id
               AND target.tier_id = tier.id) AS targets_total
      FROM tier
     WHERE tier.org_id = $1",
            $end
        )
    };
}

const TIER_LIST: &str = tier_select!(
    "
     ORDER BY tier.name
     LIMIT $2"
);
const TIER_GET: &str = tier_select!(
    "
       AND tier.id = $2"
);
pub(crate) const KEEPING: &str = "
    SELECT id, rounds_days, minutes_days, agent_5m_days, agent_1h_days,
           target_5m_days, target_1h_days, target_1d_days
      FROM tier
     WHERE org_id = $1
       AND coalesce(rounds_days, minutes_days, agent_5m_days, agent_1h_days,
                    target_5m_days, target_1h_days, target_1d_days) IS NOT NULL
     ORDER BY id
     LIMIT $2";
const INTERVAL_MIN: &str = "
    SELECT interval_us
      FROM tier
     WHERE org_id = $1
       AND EXISTS (
               SELECT 1 FROM target
                WHERE target.org_id = tier.org_id
                  AND target.tier_id = tier.id
                  AND target.is_paused = 0)
     ORDER BY interval_us
     LIMIT 1";
const TIER_COUNT: &str = "SELECT count(*) FROM tier WHERE org_id = $1";
const TIER_ADD: &str = "
    INSERT INTO tier (
        org_id, name, interval_us, packets, gap_us, timeout_us, payload_bytes, agent_count,
        lost_raise, lost_clear, rtt_us_raise, rtt_us_clear, created_at, updated_at,
        rounds_days, minutes_days, agent_5m_days, agent_1h_days,
        target_5m_days, target_1h_days, target_1d_days
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13,
              $14, $15, $16, $17, $18, $19, $20)
    RETURNING id";
const TIER_SET: &str = "
    UPDATE tier
       SET name = $2, interval_us = $3, packets = $4, gap_us = $5, timeout_us = $6,
           payload_bytes = $7, agent_count = $8, lost_raise = $9, lost_clear = $10,
           rtt_us_raise = $11, rtt_us_clear = $12, updated_at = $13,
           rounds_days = $14, minutes_days = $15, agent_5m_days = $16, agent_1h_days = $17,
           target_5m_days = $18, target_1h_days = $19, target_1d_days = $20
     WHERE org_id = $1
       AND id = $21";
const TIER_DELETE: &str = "DELETE FROM tier WHERE org_id = $1 AND id = $2";

impl Store {
    /// Lists in name order.
    pub async fn tier_list(&self, scope: &Scope) -> Result<Vec<TierRow>, StoreError> {
        list(&mut *self.read(scope.org).await?, scope).await
    }

    /// The shortest interval of all targets that are not paused; `None` if there is none.
    pub async fn tier_interval_min(&self, scope: &Scope) -> Result<Option<Duration>, StoreError> {
        let row = sql(INTERVAL_MIN)
            .bind(scope.org.0)
            .fetch_optional(&mut *self.read(scope.org).await?)
            .await?;
        row.map(|row| Ok(Duration::from_micros(row.number("interval_us")?))).transpose()
    }

    /// The tiers that keep any level of the history for a time of their own.
    pub async fn tiers_keeping(
        &self,
        scope: &Scope,
    ) -> Result<Vec<(TierId, KeptDays)>, StoreError> {
        let rows = sql(KEEPING)
            .bind(scope.org.0)
            .bind(LIST_ROWS_MAX)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter().map(|row| Ok((TierId(row.number("id")?), kept(row)?))).collect()
    }

    pub async fn tier_get(&self, scope: &Scope, id: TierId) -> Result<TierRow, StoreError> {
        get(&mut *self.read(scope.org).await?, scope, id).await
    }

    /// Creates a tier; `new.id` is not read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Tier`] or [`StoreError::TierKept`] if a range is broken.
    pub async fn tier_create(
        &self,
        scope: &Scope,
        new: &Tier,
        kept: KeptDays,
        now: UtcMicros,
    ) -> Result<Changed<TierRow>, StoreError> {
        check(new, &kept)?;
        let mut tx = self.write(scope.org).await?;
        if i64::from(LIST_ROWS_MAX) <= count(&mut tx, scope).await? {
            return Err(StoreError::TooMany { what: "tiers", max: LIST_ROWS_MAX as usize });
        }
        let row = bind(TIER_ADD, scope, (new, &kept), now)
            .fetch_one(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let tier = Tier { id: TierId(row.number("id")?), ..new.clone() };
        let change = (None, Some((&tier, &kept)));
        let version = record(&mut tx, scope, "tier.create", change, now).await?;
        tx.commit().await?;
        Ok(Changed {
            changes: vec![InventoryChange::TierSet(tier.clone())],
            row: TierRow { tier, kept, targets_total: 0, created_at: now, updated_at: now },
            version,
        })
    }

    /// Lets `edit` change a tier and for how long its history is kept. It runs inside the
    /// transaction, so no other edit is lost.
    ///
    /// # Errors
    ///
    /// [`StoreError::Tier`] or [`StoreError::TierKept`] if a range is broken afterwards.
    pub async fn tier_update(
        &self,
        scope: &Scope,
        id: TierId,
        edit: impl FnOnce(&mut Tier, &mut KeptDays) + Send,
        now: UtcMicros,
    ) -> Result<Changed<TierRow>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?;
        let (mut tier, mut kept) = (before.tier.clone(), before.kept);
        edit(&mut tier, &mut kept);
        tier.id = id;
        check(&tier, &kept)?;
        if (&tier, &kept) == (&before.tier, &before.kept) {
            let version = inventory::head(&mut tx).await?;
            return Ok(Changed { row: before, version, changes: Vec::new() });
        }
        bind(TIER_SET, scope, (&tier, &kept), now)
            .bind(id.0)
            .execute(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let change = (Some((&before.tier, &before.kept)), Some((&tier, &kept)));
        let version = record(&mut tx, scope, "tier.update", change, now).await?;
        tx.commit().await?;
        Ok(Changed {
            changes: vec![InventoryChange::TierSet(tier.clone())],
            row: TierRow { tier, kept, updated_at: now, ..before },
            version,
        })
    }

    /// Deletes a tier that no target follows.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] with how many do; [`StoreError::LastTier`].
    pub async fn tier_delete(
        &self,
        scope: &Scope,
        id: TierId,
        now: UtcMicros,
    ) -> Result<Changed<()>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope, id).await?;
        if 0 < before.targets_total {
            return Err(StoreError::InUse { what: "tier", count: before.targets_total });
        }
        if count(&mut tx, scope).await? <= 1 {
            return Err(StoreError::LastTier);
        }
        sql(TIER_DELETE).bind(scope.org.0).bind(id.0).execute(&mut tx).await?;
        let change = (Some((&before.tier, &before.kept)), None);
        let version = record(&mut tx, scope, "tier.delete", change, now).await?;
        tx.commit().await?;
        Ok(Changed { row: (), version, changes: vec![InventoryChange::TierRemoved(id)] })
    }
}

pub(crate) async fn list(connection: &mut Conn, scope: &Scope) -> Result<Vec<TierRow>, StoreError> {
    let rows = sql(TIER_LIST).bind(scope.org.0).bind(LIST_ROWS_MAX).fetch_all(connection).await?;
    rows.iter().map(tier_row).collect()
}

async fn count(connection: &mut Conn, scope: &Scope) -> Result<i64, StoreError> {
    sql(TIER_COUNT).bind(scope.org.0).scalar(connection).await
}

pub(crate) async fn get(
    connection: &mut Conn,
    scope: &Scope,
    id: TierId,
) -> Result<TierRow, StoreError> {
    let row = sql(TIER_GET).bind(scope.org.0).bind(id.0).fetch_optional(connection).await?;
    tier_row(&row.ok_or(StoreError::NotFound { what: "tier" })?)
}

/// A tier, and for how long its history is kept.
type Policy<'a> = (&'a Tier, &'a KeptDays);

fn check(tier: &Tier, kept: &KeptDays) -> Result<(), StoreError> {
    tier.check().map_err(|source| StoreError::Tier { source })?;
    kept.check().map_err(|source| StoreError::TierKept { source })
}

fn bind(text: &'static str, scope: &Scope, (tier, kept): Policy<'_>, now: UtcMicros) -> Sql {
    let agent_count = match tier.strategy {
        Strategy::All => None,
        Strategy::Count(count) => Some(count),
    };
    let tier = sql(text)
        .bind(scope.org.0)
        .bind(tier.name.as_str().to_owned())
        .bind(micros(tier.interval))
        .bind(tier.packets)
        .bind(micros(tier.gap))
        .bind(micros(tier.timeout))
        .bind(tier.payload_bytes)
        .bind(agent_count)
        .bind(tier.loss.lost_raise)
        .bind(tier.loss.lost_clear)
        .bind(tier.rtt.us_raise)
        .bind(tier.rtt.us_clear)
        .bind(now.0);
    kept.levels().into_iter().fold(tier, |tier, (_, days)| tier.bind(days))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn tier(row: &DbRow) -> Result<Tier, StoreError> {
    let duration = |column| row.number::<u64>(column).map(Duration::from_micros);
    Ok(Tier {
        id: TierId(row.number("id")?),
        name: row.name("name")?,
        interval: duration("interval_us")?,
        packets: row.number("packets")?,
        gap: duration("gap_us")?,
        timeout: duration("timeout_us")?,
        payload_bytes: row.number("payload_bytes")?,
        strategy: row.number_opt("agent_count")?.map_or(Strategy::All, Strategy::Count),
        loss: LossRule {
            lost_raise: row.number("lost_raise")?,
            lost_clear: row.number("lost_clear")?,
        },
        rtt: RttRule {
            us_raise: row.number("rtt_us_raise")?,
            us_clear: row.number("rtt_us_clear")?,
        },
    })
}

/// Reads for how long a tier keeps what is recorded of its targets.
pub(crate) fn kept(row: &DbRow) -> Result<KeptDays, StoreError> {
    Ok(KeptDays {
        rounds: row.number_opt("rounds_days")?,
        minutes: row.number_opt("minutes_days")?,
        agent_5m: row.number_opt("agent_5m_days")?,
        agent_1h: row.number_opt("agent_1h_days")?,
        target_5m: row.number_opt("target_5m_days")?,
        target_1h: row.number_opt("target_1h_days")?,
        target_1d: row.number_opt("target_1d_days")?,
    })
}

fn tier_row(row: &DbRow) -> Result<TierRow, StoreError> {
    Ok(TierRow {
        tier: tier(row)?,
        kept: kept(row)?,
        targets_total: row.number("targets_total")?,
        created_at: row.at("created_at")?,
        updated_at: row.at("updated_at")?,
    })
}

/// Writes audit, change log and, for a deletion, the tombstone; gives the version.
async fn record(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, after): (Option<Policy<'_>>, Option<Policy<'_>>),
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let Some((tier, kept)) = after.or(before) else {
        return inventory::head(tx).await;
    };
    let entry = AuditEntry {
        action,
        object_kind: "tier",
        object_id: Some(tier.id.0),
        object_name: tier.name.as_str(),
        before: before.map(tier_json),
        after: after.map(tier_json),
    };
    audit::record(tx, scope, &entry, now).await?;
    let body = tier_json((tier, kept));
    if after.is_none() {
        let buried =
            Buried { kind: Kind::Tier, object_id: tier.id.0, probe: None, name: &tier.name };
        return inventory::bury(tx, scope, &buried, &body, now).await;
    }
    let body = &body.to_string();
    let logged = Logged { kind: Kind::Tier, object_id: tier.id.0, is_removed: false, body };
    inventory::log(tx, scope, &[logged], now).await
}

fn tier_json((tier, kept): Policy<'_>) -> Value {
    let kept = kept.levels().map(|(level, days)| (level.to_owned(), days.into()));
    json!({
        "kept_days": Value::Object(kept.into_iter().collect()),
        "name": tier.name.as_str(),
        "interval_us": micros(tier.interval),
        "packets": tier.packets,
        "gap_us": micros(tier.gap),
        "timeout_us": micros(tier.timeout),
        "payload_bytes": tier.payload_bytes,
        "agent_count": match tier.strategy {
            Strategy::All => None,
            Strategy::Count(count) => Some(count),
        },
        "lost_raise": tier.loss.lost_raise,
        "lost_clear": tier.loss.lost_clear,
        "rtt_us_raise": tier.rtt.us_raise,
        "rtt_us_clear": tier.rtt.us_clear,
    })
}
