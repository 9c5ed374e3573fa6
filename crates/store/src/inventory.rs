//! The inventory's version and change log: what is watched, by whom, and since which version.
//!
//! Every change takes the next version and leaves a row that is never edited. What was deleted
//! leaves a tombstone, so that whoever slept through it can be told and history keeps the name.

use model::{
    AgentId, AgentSpec, InventoryChange, Name, OrgId, ProbeId, ProbeSpec, TargetId, TierId,
    UtcMicros,
};
use serde_json::Value;

use crate::{
    Scope, Store, StoreError, agents,
    db::{Bulk, Conn, DbRow, big, damaged, sql},
    tiers,
};

/// Rows read at a time while a snapshot is made: bounds the memory of one statement.
const SNAPSHOT_ROWS: u32 = 10_000;

// Above organisations: one version counts all changes.
const HEAD: &str = "SELECT version FROM inventory_head WHERE id = 1";
// Above organisations: one version counts all changes.
const HEAD_ADD: &str =
    "UPDATE inventory_head SET version = version + $1 WHERE id = 1 RETURNING version";
const CHANGE_ADD: Bulk = Bulk {
    head: "INSERT INTO inventory_change (
               version, org_id, at, actor_kind, actor_id, kind, object_id, is_removed, body_json
           ) VALUES",
    columns: 9,
    tail: "",
};
const TOMBSTONE_ADD: &str = "
    INSERT INTO tombstone (kind, object_id, org_id, probe_id, name, version, deleted_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

// Above organisations: the engine hears every change.
const TIERS_SINCE: &str = "
    SELECT tier.id, tier.name, interval_us, packets, gap_us, timeout_us, payload_bytes,
           agent_count, lost_raise, lost_clear, rtt_us_raise, rtt_us_clear
      FROM tier
     WHERE tier.id > $2
       AND ($1 = 0 OR tier.id IN (
               SELECT object_id FROM inventory_change WHERE version > $1 AND kind = 'tier'))
     ORDER BY tier.id
     LIMIT $3";
const AGENTS_SINCE: &str = "
    SELECT agent.id, agent.org_id, agent.name, is_paused, is_revoked
      FROM agent
     WHERE agent.id > $2
       AND ($1 = 0 OR agent.id IN (
               SELECT object_id FROM inventory_change WHERE version > $1 AND kind = 'agent'))
     ORDER BY agent.id
     LIMIT $3";
const PROBES_SINCE: &str = "
    SELECT probe.id, probe.org_id, probe.target_id, target.name, target.address,
           target.tier_id, target.is_paused
      FROM probe
      JOIN target ON target.id = probe.target_id
     WHERE probe.id > $2
       AND ($1 = 0 OR probe.target_id IN (
               SELECT object_id FROM inventory_change WHERE version > $1 AND kind = 'target'))
     ORDER BY probe.id
     LIMIT $3";
// Above organisations: the engine hears every change.
const REMOVED_SINCE: &str = "
    SELECT version, kind, object_id, probe_id
      FROM tombstone
     WHERE version > $1
     ORDER BY version
     LIMIT $2";

/// What a row of the change log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tier,
    Target,
    Agent,
    /// All of a network: its parts have texts for ids. The object's id is 0.
    Topology,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Tier => "tier",
            Kind::Target => "target",
            Kind::Agent => "agent",
            Kind::Topology => "topology",
        }
    }
}

/// One object that changed or went.
pub(crate) struct Logged<'a> {
    pub(crate) kind: Kind,
    pub(crate) object_id: u32,
    pub(crate) is_removed: bool,
    /// JSON: whoever has much to say makes its text before others wait for the writer.
    pub(crate) body: &'a str,
}

impl Store {
    /// The version of the last change.
    pub async fn inventory_version(&self) -> Result<u64, StoreError> {
        head(&mut *self.read_above().await?).await
    }

    /// Everything there is, of all organisations, with its version.
    pub async fn inventory_snapshot(&self) -> Result<(u64, Vec<InventoryChange>), StoreError> {
        let mut tx = self.read_above().await?;
        let changes = sets_since(&mut tx, 0).await?;
        Ok((head(&mut tx).await?, changes))
    }

    /// What changed after `version`: each object once, as it is now; removals last.
    pub async fn inventory_since(
        &self,
        version: u64,
    ) -> Result<(u64, Vec<InventoryChange>), StoreError> {
        let mut tx = self.read_above().await?;
        let now = head(&mut tx).await?;
        if now <= version {
            return Ok((now, Vec::new()));
        }
        let mut changes = sets_since(&mut tx, version).await?;
        let mut after = big(version);
        loop {
            let rows =
                sql(REMOVED_SINCE).bind(after).bind(SNAPSHOT_ROWS).fetch_all(&mut tx).await?;
            let Some(last) = rows.last() else {
                return Ok((now, changes));
            };
            after = last.value("version")?;
            for row in &rows {
                changes.push(removal(row)?);
            }
        }
    }
}

pub(crate) async fn head(connection: &mut Conn) -> Result<u64, StoreError> {
    let row = sql(HEAD).fetch_one(connection).await?;
    row.number("version")
}

/// Takes a version for each of `logged` and writes the log; gives the last version.
pub(crate) async fn log(
    connection: &mut Conn,
    scope: &Scope,
    logged: &[Logged<'_>],
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let count = u64::try_from(logged.len()).unwrap_or(u64::MAX);
    let row = sql(HEAD_ADD).bind(big(count)).fetch_one(&mut *connection).await?;
    let last: u64 = row.number("version")?;
    let first = last.saturating_sub(count).saturating_add(1);
    let numbered: Vec<(u64, &Logged<'_>)> = (first..).zip(logged).collect();
    CHANGE_ADD
        .run(connection, &numbered, |(version, logged), row| {
            row.add(big(*version))
                .add(scope.org.0)
                .add(now.0)
                .add(scope.actor.kind())
                .add(scope.actor.id())
                .add(logged.kind.as_str())
                .add(logged.object_id)
                .add(logged.is_removed)
                .add(logged.body.to_owned());
        })
        .await?;
    Ok(last)
}

/// Something that was deleted.
pub(crate) struct Buried<'a> {
    pub(crate) kind: Kind,
    pub(crate) object_id: u32,
    pub(crate) probe: Option<ProbeId>,
    pub(crate) name: &'a Name,
}

/// Logs a deletion and leaves its tombstone; gives the version.
pub(crate) async fn bury(
    connection: &mut Conn,
    scope: &Scope,
    buried: &Buried<'_>,
    body: &Value,
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let body = &body.to_string();
    let logged = Logged { kind: buried.kind, object_id: buried.object_id, is_removed: true, body };
    let version = log(connection, scope, &[logged], now).await?;
    sql(TOMBSTONE_ADD)
        .bind(buried.kind.as_str())
        .bind(buried.object_id)
        .bind(scope.org.0)
        .bind(buried.probe.map(|p| p.0))
        .bind(buried.name.as_str())
        .bind(big(version))
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(version)
}

type ReadChange = fn(&DbRow) -> Result<InventoryChange, StoreError>;

/// What exists and changed after `version`: tiers and agents before the probes that need them.
async fn sets_since(
    connection: &mut Conn,
    version: u64,
) -> Result<Vec<InventoryChange>, StoreError> {
    let mut changes = Vec::new();
    let tables: [(&'static str, ReadChange); 3] = [
        (TIERS_SINCE, |row| Ok(InventoryChange::TierSet(tiers::tier(row)?))),
        (AGENTS_SINCE, |row| Ok(InventoryChange::AgentSet(agents::spec(row)?))),
        (PROBES_SINCE, |row| Ok(InventoryChange::ProbeSet(probe(row)?))),
    ];
    for (text, read) in tables {
        let mut after = 0_i64;
        loop {
            let rows = sql(text)
                .bind(big(version))
                .bind(after)
                .bind(SNAPSHOT_ROWS)
                .fetch_all(&mut *connection)
                .await?;
            let Some(last) = rows.last() else {
                break;
            };
            after = last.value("id")?;
            for row in &rows {
                changes.push(read(row)?);
            }
        }
    }
    Ok(changes)
}

fn probe(row: &DbRow) -> Result<ProbeSpec, StoreError> {
    Ok(ProbeSpec {
        id: ProbeId(row.number("id")?),
        org: OrgId(row.number("org_id")?),
        target: TargetId(row.number("target_id")?),
        target_name: row.name("name")?,
        address: row.address("address")?,
        tier: TierId(row.number("tier_id")?),
        paused: row.is("is_paused")?,
    })
}

fn removal(row: &DbRow) -> Result<InventoryChange, StoreError> {
    let id = row.number("object_id")?;
    match row.value::<&str>("kind")? {
        "tier" => Ok(InventoryChange::TierRemoved(TierId(id))),
        "agent" => Ok(InventoryChange::AgentRemoved(AgentId(id))),
        "target" => Ok(InventoryChange::ProbeRemoved(ProbeId(row.number("probe_id")?))),
        _ => Err(damaged("tombstone.kind")),
    }
}

/// What the engine must hear of an agent.
pub(crate) fn agent_set(org: OrgId, agent: &crate::AgentRow) -> InventoryChange {
    InventoryChange::AgentSet(AgentSpec {
        id: agent.id,
        org,
        name: agent.name.clone(),
        is_active: !agent.is_paused && !agent.is_revoked,
    })
}
