//! Agents: who asks. What they are held to be (online, blind) is the engine's word, kept beside.

use std::net::IpAddr;

use model::{AgentId, AgentSpec, AgentState, InventoryChange, OrgId, UtcMicros, WITNESSES_MAX};
use serde_json::{Value, json};

use crate::{
    AgentHello, AgentPatch, AgentRow, AuditEntry, CertificateRow, Changed, LIST_ROWS_MAX, NewAgent,
    Scope, Store, StoreError, audit,
    db::{Bulk, Conn, DbRow, Tx, damaged, sql},
    enrolment,
    error::name_taken,
    inventory::{self, Buried, Kind, Logged},
    targets::set,
    topology,
};

/// An agent with its state and the certificate that expires last; every way of finding one ends it.
macro_rules! agent_select {
    ($end:literal) => {
        concat!(
            "
    SELECT agent.id, agent.name, is_paused, is_revoked, witnesses,
           hello_version, hello_os, hello_hostname, last_seen_at, created_at, updated_at,
           agent_state_now.state, agent_state_now.since_at, agent_state_now.why,
           certificate.serial, certificate.agent_id, certificate.not_before,
           certificate.not_after, certificate.revoked_at
      FROM agent
      LEFT JOIN agent_state_now ON agent_state_now.agent_id = agent.id
      LEFT JOIN certificate ON certificate.serial = (
               SELECT newest.serial
                 FROM certificate AS newest
                WHERE newest.agent_id = agent.id
                ORDER BY newest.not_after DESC, newest.serial DESC
                LIMIT 1)
     WHERE agent.org_id = $1",
            $end
        )
    };
}

const AGENT_LIST: &str = agent_select!(
    "
     ORDER BY agent.name
     LIMIT $2"
);
const AGENT_GET: &str = agent_select!(
    "
       AND agent.id = $2"
);
const AGENT_COUNT: &str = "SELECT count(*) FROM agent WHERE org_id = $1";
const AGENT_ADD: &str = "
    INSERT INTO agent (org_id, name, is_paused, is_revoked, witnesses, created_at, updated_at)
    VALUES ($1, $2, 0, 0, $3, $4, $4)
    RETURNING id";
const AGENT_SET: &str = "
    UPDATE agent
       SET name = $3, is_paused = $4, is_revoked = $5, witnesses = $6, updated_at = $7
     WHERE org_id = $1
       AND id = $2";
const AGENT_DELETE: &str = "DELETE FROM agent WHERE org_id = $1 AND id = $2";
const STATE_FORGET: &str = "DELETE FROM agent_state_now WHERE org_id = $1 AND agent_id = $2";
const VERDICTS_FORGET: &str = "DELETE FROM verdict_now WHERE org_id = $1 AND agent_id = $2";
const SPANS_END: &str = "
    UPDATE verdict_span SET to_at = $3 WHERE org_id = $1 AND agent_id = $2 AND to_at IS NULL";
// Above organisations: an agent is known by its certificate, whose id is its own.
const AGENT_HELLO: &str = "
    UPDATE agent
       SET hello_version = $2, hello_os = $3, hello_hostname = $4, last_seen_at = $5
     WHERE id = $1";
// Columns of a VALUES list are column1, column2, … here and on PostgreSQL.
// Above organisations: ids of agents are of one organisation each.
const AGENTS_SEEN: Bulk = Bulk {
    head: "UPDATE agent SET last_seen_at = seen.column2 FROM (VALUES",
    columns: 2,
    tail: ") AS seen WHERE agent.id = seen.column1",
};

impl Store {
    /// Lists in name order.
    pub async fn agent_list(&self, scope: &Scope) -> Result<Vec<AgentRow>, StoreError> {
        let rows = sql(AGENT_LIST)
            .bind(scope.org.0)
            .bind(LIST_ROWS_MAX)
            .fetch_all(&mut *self.read(scope.org).await?)
            .await?;
        rows.iter().map(agent_row).collect()
    }

    pub async fn agent_get(&self, scope: &Scope, id: AgentId) -> Result<AgentRow, StoreError> {
        get(&mut *self.read(scope.org).await?, scope.org, id).await
    }

    /// Creates an agent that has yet to enrol.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] witnesses or agents.
    pub async fn agent_create(
        &self,
        scope: &Scope,
        new: &NewAgent,
        now: UtcMicros,
    ) -> Result<Changed<AgentRow>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let count: i64 = sql(AGENT_COUNT).bind(scope.org.0).scalar(&mut tx).await?;
        if i64::from(LIST_ROWS_MAX) <= count {
            return Err(StoreError::TooMany { what: "agents", max: LIST_ROWS_MAX as usize });
        }
        let added = sql(AGENT_ADD)
            .bind(scope.org.0)
            .bind(new.name.as_str())
            .bind(witnesses_text(&new.witnesses)?)
            .bind(now.0)
            .fetch_one(&mut tx)
            .await
            .map_err(name_taken("name"))?;
        let row = get(&mut tx, scope.org, AgentId(added.number("id")?)).await?;
        let version = record(&mut tx, scope, "agent.create", (None, Some(&row)), now).await?;
        tx.commit().await?;
        Ok(Changed { changes: vec![inventory::agent_set(scope.org, &row)], row, version })
    }

    /// Changes what `patch` names.
    pub async fn agent_update(
        &self,
        scope: &Scope,
        id: AgentId,
        patch: &AgentPatch,
        now: UtcMicros,
    ) -> Result<Changed<AgentRow>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope.org, id).await?;
        let mut after = before.clone();
        set(&mut after.name, patch.name.as_ref());
        set(&mut after.is_paused, patch.is_paused.as_ref());
        set(&mut after.witnesses, patch.witnesses.as_ref());
        let mut changed = update(&mut tx, scope, "agent.update", (&before, after), now).await?;
        if let Some(edit) = &patch.topology {
            let version =
                topology::apply(&mut tx, scope, (edit, topology::Said::of(edit)), now).await?;
            changed.version = changed.version.max(version);
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Deletes an agent and revokes its certificates. What it saw stays until it is swept.
    pub async fn agent_delete(
        &self,
        scope: &Scope,
        id: AgentId,
        now: UtcMicros,
    ) -> Result<Changed<()>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = get(&mut tx, scope.org, id).await?;
        enrolment::revoke(&mut tx, scope, id, now).await?;
        for text in [AGENT_DELETE, STATE_FORGET, VERDICTS_FORGET] {
            sql(text).bind(scope.org.0).bind(id.0).execute(&mut tx).await?;
        }
        sql(SPANS_END).bind(scope.org.0).bind(id.0).bind(now.0).execute(&mut tx).await?;
        let version = record(&mut tx, scope, "agent.delete", (Some(&before), None), now).await?;
        tx.commit().await?;
        Ok(Changed { row: (), version, changes: vec![InventoryChange::AgentRemoved(id)] })
    }

    /// Keeps what an agent said of itself when it connected.
    pub async fn agent_hello(
        &self,
        id: AgentId,
        hello: &AgentHello,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        sql(AGENT_HELLO)
            .bind(id.0)
            .bind(&hello.version)
            .bind(&hello.os)
            .bind(&hello.hostname)
            .bind(now.0)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Keeps when agents were last heard.
    pub async fn agents_seen(&self, seen: &[(AgentId, UtcMicros)]) -> Result<(), StoreError> {
        let mut tx = self.write_above().await?;
        AGENTS_SEEN
            .run(&mut tx, seen, |(agent, at), row| {
                row.add(agent.0).add(at.0);
            })
            .await?;
        tx.commit().await
    }
}

pub(crate) async fn get(
    connection: &mut Conn,
    org: OrgId,
    id: AgentId,
) -> Result<AgentRow, StoreError> {
    let row = sql(AGENT_GET).bind(org.0).bind(id.0).fetch_optional(connection).await?;
    agent_row(&row.ok_or(StoreError::NotFound { what: "agent" })?)
}

/// Writes `after` if it differs, with audit and version.
pub(crate) async fn update(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, mut after): (&AgentRow, AgentRow),
    now: UtcMicros,
) -> Result<Changed<AgentRow>, StoreError> {
    if *before == after {
        return Ok(Changed {
            row: after,
            version: inventory::head(tx).await?,
            changes: Vec::new(),
        });
    }
    after.updated_at = now;
    sql(AGENT_SET)
        .bind(scope.org.0)
        .bind(after.id.0)
        .bind(after.name.as_str())
        .bind(after.is_paused)
        .bind(after.is_revoked)
        .bind(witnesses_text(&after.witnesses)?)
        .bind(now.0)
        .execute(tx)
        .await
        .map_err(name_taken("name"))?;
    let version = record(tx, scope, action, (Some(before), Some(&after)), now).await?;
    let is_heard = inventory::agent_set(scope.org, before);
    let change = inventory::agent_set(scope.org, &after);
    let changes = (is_heard != change).then_some(change);
    Ok(Changed { row: after, version, changes: changes.into_iter().collect() })
}

fn witnesses_text(witnesses: &[IpAddr]) -> Result<String, StoreError> {
    if WITNESSES_MAX < witnesses.len() {
        return Err(StoreError::TooMany { what: "witnesses", max: WITNESSES_MAX });
    }
    let texts: Vec<String> = witnesses.iter().map(IpAddr::to_string).collect();
    Ok(texts.join(","))
}

fn witnesses(row: &DbRow) -> Result<Vec<IpAddr>, StoreError> {
    let text: &str = row.value("witnesses")?;
    text.split(',')
        .filter(|address| !address.is_empty())
        .map(|address| address.parse().map_err(|_| damaged("agent.witnesses")))
        .collect()
}

fn agent_row(row: &DbRow) -> Result<AgentRow, StoreError> {
    let created_at = row.at("created_at")?;
    let hello = match row.value::<Option<String>>("hello_version")? {
        None => None,
        Some(version) => Some(AgentHello {
            version,
            os: row.value("hello_os")?,
            hostname: row.value("hello_hostname")?,
        }),
    };
    let state = match row.value::<Option<&str>>("state")? {
        None => AgentState::NeverSeen,
        Some(text) => AgentState::parse(text).ok_or_else(|| damaged("agent_state_now.state"))?,
    };
    let certificate = match row.value::<Option<&str>>("serial")? {
        None => None,
        Some(_) => Some(certificate_row(row)?),
    };
    Ok(AgentRow {
        id: AgentId(row.number("id")?),
        name: row.name("name")?,
        is_paused: row.is("is_paused")?,
        is_revoked: row.is("is_revoked")?,
        witnesses: witnesses(row)?,
        hello,
        last_seen_at: row.at_opt("last_seen_at")?,
        state,
        state_since: row.at_opt("since_at")?.unwrap_or(created_at),
        state_why: row.value::<Option<String>>("why")?.unwrap_or_default(),
        certificate,
        created_at,
        updated_at: row.at("updated_at")?,
    })
}

fn certificate_row(row: &DbRow) -> Result<CertificateRow, StoreError> {
    Ok(CertificateRow {
        serial: row.value("serial")?,
        agent: AgentId(row.number("agent_id")?),
        not_before: row.at("not_before")?,
        not_after: row.at("not_after")?,
        revoked_at: row.at_opt("revoked_at")?,
    })
}

pub(crate) fn spec(row: &DbRow) -> Result<AgentSpec, StoreError> {
    Ok(AgentSpec {
        id: AgentId(row.number("id")?),
        org: OrgId(row.number("org_id")?),
        name: row.name("name")?,
        is_active: !row.is("is_paused")? && !row.is("is_revoked")?,
    })
}

/// Writes audit, change log and, for a deletion, the tombstone; gives the version.
async fn record(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, after): (Option<&AgentRow>, Option<&AgentRow>),
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let Some(agent) = after.or(before) else {
        return inventory::head(tx).await;
    };
    let entry = AuditEntry {
        before: before.map(agent_json),
        after: after.map(agent_json),
        ..entry(action, agent)
    };
    audit::record(tx, scope, &entry, now).await?;
    let body = agent_json(agent);
    if after.is_none() {
        let buried =
            Buried { kind: Kind::Agent, object_id: agent.id.0, probe: None, name: &agent.name };
        return inventory::bury(tx, scope, &buried, &body, now).await;
    }
    let body = &body.to_string();
    let logged = Logged { kind: Kind::Agent, object_id: agent.id.0, is_removed: false, body };
    inventory::log(tx, scope, &[logged], now).await
}

pub(crate) fn entry<'a>(action: &'a str, agent: &'a AgentRow) -> AuditEntry<'a> {
    AuditEntry {
        action,
        object_kind: "agent",
        object_id: Some(agent.id.0),
        object_name: agent.name.as_str(),
        before: None,
        after: None,
    }
}

fn agent_json(agent: &AgentRow) -> Value {
    json!({
        "name": agent.name.as_str(),
        "is_paused": agent.is_paused,
        "is_revoked": agent.is_revoked,
        "witnesses": agent.witnesses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
    })
}
