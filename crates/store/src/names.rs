//! What the names of targets stood for: each change, as an agent found it.

use std::net::IpAddr;

use model::{Address, AgentId, LogPosition, NameChange, OrgId, TargetId};

use crate::{
    ChangeKind, ChangeRow, Ref, Scope, StoreError,
    db::{Bulk, DbRow, Tx, big, damaged, sql},
};

const NAME_CHANGE_ADD: Bulk = Bulk {
    head: "INSERT INTO name_change (
               org_id, probe_id, agent_id, at, name, before, after, position
           ) VALUES",
    columns: 8,
    tail: "",
};
const NAME_CHANGES_OF: &str = "
    SELECT name_change.at, name_change.name, before, after, agent_id,
           coalesce(agent.name, tombstone.name) AS agent_name,
           target.id AS target_id, target.name AS target_name
      FROM target
      CROSS JOIN probe
      CROSS JOIN name_change
      LEFT JOIN agent ON agent.id = name_change.agent_id
      LEFT JOIN tombstone ON tombstone.kind = 'agent'
                         AND tombstone.object_id = name_change.agent_id
     WHERE target.org_id = $1
       AND target.id = $2
       AND probe.target_id = target.id
       AND name_change.probe_id = probe.id
       AND coalesce(agent.name, tombstone.name) IS NOT NULL
     ORDER BY name_change.at DESC, name_change.id DESC
     LIMIT $3";

pub(crate) async fn write(
    tx: &mut Tx,
    changes: &[(OrgId, &NameChange)],
    position: LogPosition,
) -> Result<(), StoreError> {
    NAME_CHANGE_ADD
        .run(tx, changes, |(org, change), row| {
            row.add(org.0)
                .add(change.probe.0)
                .add(change.agent.0)
                .add(change.at.0)
                .add(change.name.as_str().to_owned())
                .add(change.from.to_string())
                .add(change.to.to_string())
                .add(big(position.0));
        })
        .await?;
    Ok(())
}

/// Lists the changes of a target's name, newest first.
pub(crate) async fn changes_of(
    tx: &mut Tx,
    scope: &Scope,
    target: TargetId,
    limit: u32,
) -> Result<Vec<ChangeRow>, StoreError> {
    let rows =
        sql(NAME_CHANGES_OF).bind(scope.org.0).bind(target.0).bind(limit).fetch_all(tx).await?;
    rows.iter().map(change_of).collect()
}

fn change_of(row: &DbRow) -> Result<ChangeRow, StoreError> {
    let Address::Name(name) = row.address("name")? else {
        return Err(damaged("name_change.name"));
    };
    let ip = |column| row.parsed(column, |text: &str| text.parse::<IpAddr>().ok());
    let (from, to) = (ip("before")?, ip("after")?);
    let why = format!("{} stands for {to} (was {from})", name.as_str());
    Ok(ChangeRow {
        at: row.at("at")?,
        target: Some(Ref {
            id: TargetId(row.number("target_id")?),
            name: row.name("target_name")?,
        }),
        agent: Some(Ref { id: AgentId(row.number("agent_id")?), name: row.name("agent_name")? }),
        kind: ChangeKind::Name { name, from, to },
        why,
    })
}
