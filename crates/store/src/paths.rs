//! Paths: which way packets took from an agent to a target, from when to when.
//!
//! A trace that saw the way that is known already is the same row, seen later. What makes it
//! another is decided elsewhere.

use std::{collections::BTreeSet, net::IpAddr};

use model::{AgentId, Name, TargetId, TraceId, UtcMicros};

use crate::{
    PAGE_ROWS_MAX, Scope, Store, StoreError,
    db::{DbRow, Text, big, damaged, sql},
};

/// Paths of an organisation, some 50 MB; over it those that were seen longest ago go.
pub const PATHS_KEPT_MAX: u32 = 100_000;

/// Who answered at each hop, from the first on.
pub type PathHops = Vec<BTreeSet<IpAddr>>;

/// What a trace saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPath {
    pub agent: AgentId,
    pub agent_name: Name,
    pub target: TargetId,
    pub target_name: Name,
    pub trace: TraceId,
    pub at: UtcMicros,
    pub hops: PathHops,
}

/// How what a trace saw stands to what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSeen {
    /// The same way, of which this is known now.
    Same(PathHops),
    /// Another one, in this.
    Other(String),
}

/// A path that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRow {
    pub id: u64,
    pub agent: AgentId,
    pub agent_name: Name,
    pub target: TargetId,
    pub target_name: Name,
    /// When the path before it was seen last; `None` of the first.
    pub after: Option<UtcMicros>,
    pub since: UtcMicros,
    pub seen: UtcMicros,
    /// No other was seen since.
    pub is_latest: bool,
    /// The trace that saw it last.
    pub trace: TraceId,
    pub seen_count: u32,
    /// What it is other in than the one before; empty of the first.
    pub change: String,
    pub hops: PathHops,
}

/// Which paths are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathQuery {
    pub target: Option<TargetId>,
    pub agent: Option<AgentId>,
    pub before_id: Option<u64>,
    pub limit: u32,
}

const COLUMNS: &str = "
    SELECT id, agent_id, agent_name, target_id, target_name, after_at, since_at, seen_at, is_latest,
           trace_id, seen_count, change_note, hops_json
      FROM path_epoch
     WHERE org_id = ";
const LATEST: &str = "
    SELECT id, agent_id, agent_name, target_id, target_name, after_at, since_at, seen_at, is_latest,
           trace_id, seen_count, change_note, hops_json
      FROM path_epoch
     WHERE org_id = $1
       AND target_id = $2
       AND agent_id = $3
     ORDER BY id DESC
     LIMIT 2";
const SEE: &str = "
    UPDATE path_epoch
       SET seen_at = $3, trace_id = $4, hops_json = $5, seen_count = seen_count + 1
     WHERE org_id = $1
       AND id = $2";
const PAST: &str = "UPDATE path_epoch SET is_latest = 0 WHERE org_id = $1 AND id = $2";
const ADD: &str = "
    INSERT INTO path_epoch (
        org_id, agent_id, agent_name, target_id, target_name, after_at, since_at, seen_at,
        is_latest, trace_id, seen_count, change_note, hops_json
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1, $8, 1, $9, $10)";
pub(crate) const SWEEP: &str = "
    DELETE FROM path_epoch
     WHERE id IN (
               SELECT id
                 FROM path_epoch
                WHERE org_id = $1
                  AND seen_at < $2
                ORDER BY seen_at, id
                LIMIT $3)";
pub(crate) const OVER: &str = "
    DELETE FROM path_epoch
     WHERE id IN (
               SELECT id
                 FROM path_epoch
                WHERE org_id = $1
                ORDER BY seen_at DESC, id DESC
                LIMIT $3 OFFSET $2)";

impl Store {
    /// Takes what a trace saw; `judge` says how that stands to the path that is known, and to the
    /// one before it, if there is one. Gives back
    /// what is another now. A trace that ended before the last one says nothing.
    pub async fn path_take(
        &self,
        scope: &Scope,
        new: &NewPath,
        judge: impl FnOnce(&PathRow, Option<&PathRow>) -> PathSeen + Send,
    ) -> Result<Option<String>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let latest = sql(LATEST)
            .bind(scope.org.0)
            .bind(new.target.0)
            .bind(new.agent.0)
            .fetch_all(&mut tx)
            .await?;
        let latest: Vec<PathRow> =
            latest.iter().map(path_row).collect::<Result<_, StoreError>>()?;
        let (after, change) = match latest.first() {
            None => (None, None),
            Some(known) if new.at <= known.seen => {
                tx.rollback().await?;
                return Ok(None);
            }
            Some(known) => match judge(known, latest.get(1)) {
                PathSeen::Same(hops) => {
                    sql(SEE)
                        .bind(scope.org.0)
                        .bind(big(known.id))
                        .bind(new.at.0)
                        .bind(new.trace.0)
                        .bind(hops_json(&hops)?)
                        .execute(&mut tx)
                        .await?;
                    tx.commit().await?;
                    return Ok(None);
                }
                PathSeen::Other(change) => {
                    sql(PAST).bind(scope.org.0).bind(big(known.id)).execute(&mut tx).await?;
                    (Some(known.seen), Some(change))
                }
            },
        };
        sql(ADD)
            .bind(scope.org.0)
            .bind(new.agent.0)
            .bind(new.agent_name.as_str())
            .bind(new.target.0)
            .bind(new.target_name.as_str())
            .bind(after.map(|at| at.0))
            .bind(new.at.0)
            .bind(new.trace.0)
            .bind(change.clone().unwrap_or_default())
            .bind(hops_json(&new.hops)?)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(change)
    }

    /// Lists paths, those that began last first: a page, and one row more to know whether there is
    /// another.
    pub async fn path_list(
        &self,
        scope: &Scope,
        query: &PathQuery,
    ) -> Result<Vec<PathRow>, StoreError> {
        let mut text = Text::new(COLUMNS);
        text.value(scope.org.0);
        if let Some(target) = query.target {
            text.push(" AND target_id = ").value(target.0);
        }
        if let Some(agent) = query.agent {
            text.push(" AND agent_id = ").value(agent.0);
        }
        text.push(" AND id < ").value(query.before_id.map_or(i64::MAX, big));
        text.push(" ORDER BY id DESC LIMIT ").value(query.limit.min(PAGE_ROWS_MAX + 1));
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        rows.iter().map(path_row).collect()
    }
}

fn hops_json(hops: &PathHops) -> Result<String, StoreError> {
    serde_json::to_string(hops).map_err(|_| damaged("hops_json"))
}

fn path_row(row: &DbRow) -> Result<PathRow, StoreError> {
    Ok(PathRow {
        id: row.number("id")?,
        agent: AgentId(row.number("agent_id")?),
        agent_name: row.name("agent_name")?,
        target: TargetId(row.number("target_id")?),
        target_name: row.name("target_name")?,
        after: row.at_opt("after_at")?,
        since: row.at("since_at")?,
        seen: row.at("seen_at")?,
        is_latest: row.is("is_latest")?,
        trace: TraceId(row.number("trace_id")?),
        seen_count: row.number("seen_count")?,
        change: row.value("change_note")?,
        hops: serde_json::from_str(row.value("hops_json")?).map_err(|_| damaged("hops_json"))?,
    })
}
