//! Targets: what is watched. Each has exactly one probe today; everything else is keyed by probe.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{
    Address, InventoryChange, Name, ProbeId, ProbeSpec, TargetId, TierId, UtcMicros, Verdict,
};
use serde_json::{Value, json};

use crate::{
    AuditEntry, Changed, LIST_ROWS_MAX, NewTarget, Ref, Scope, Store, StoreError, TARGET_TAGS_MAX,
    TargetPatch, TargetRow, audit, code,
    db::{Bulk, Conn, DbRow, Text, Tx, damaged, sql},
    error::name_taken,
    inventory::{self, Buried, Kind, Logged},
    tiers, topology,
};

const TARGET_GET: &str = "
    SELECT target.id, target.name, target.address, target.tier_id, tier.name AS tier_name,
           tier.interval_us, target.note, target.is_paused, target.created_at, target.updated_at,
           probe.id AS probe_id, target.verdict_order, target.since_at,
           verdict_now.cause, verdict_now.why,
           (SELECT string_agg(tag, ',' ORDER BY tag)
              FROM target_tag
             WHERE target_tag.target_id = target.id) AS tags
      FROM target
      JOIN tier ON tier.id = target.tier_id
      JOIN probe ON probe.target_id = target.id
      LEFT JOIN verdict_now ON verdict_now.probe_id = probe.id
                           AND verdict_now.agent_id = 0
     WHERE target.org_id = $1
       AND target.id = $2";
const TARGET_NAMED: &str = "SELECT id FROM target WHERE org_id = $1 AND name = $2";
const TARGET_NAMES: &str =
    "SELECT name FROM target WHERE org_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const TIER_OLDEST: &str = "SELECT id FROM tier WHERE org_id = $1 ORDER BY id LIMIT 1";
const TARGET_ADD: Bulk = Bulk {
    head: "INSERT INTO target (
               org_id, name, address, address_key, tier_id, note, is_paused, search,
               verdict_order, since_at, created_at, updated_at
           ) VALUES",
    columns: 12,
    tail: "RETURNING id, name",
};
const PROBE_ADD: Bulk = Bulk {
    head: "INSERT INTO probe (org_id, target_id, kind) VALUES",
    columns: 3,
    tail: "RETURNING id, target_id",
};
const TAG_ADD: Bulk =
    Bulk { head: "INSERT INTO target_tag (org_id, tag, target_id) VALUES", columns: 3, tail: "" };
const TARGET_SET: &str = "
    UPDATE target
       SET name = $3, address = $4, address_key = $5, tier_id = $6, note = $7, is_paused = $8,
           search = $9, updated_at = $10
     WHERE org_id = $1
       AND id = $2";
const TAGS_CLEAR: &str = "DELETE FROM target_tag WHERE org_id = $1 AND target_id = $2";
const TARGET_DELETE: &str = "DELETE FROM target WHERE org_id = $1 AND id = $2";
const VERDICTS_FORGET: &str = "DELETE FROM verdict_now WHERE org_id = $1 AND probe_id = $2";
const SPANS_END: &str = "
    UPDATE verdict_span SET to_at = $3 WHERE org_id = $1 AND probe_id = $2 AND to_at IS NULL";

/// Names read at a time: bounds the memory of one statement.
const NAMES_PAGE_ROWS: u32 = 10_000;

/// The only way of asking there is.
const PROBE_KIND: &str = "icmp";

/// What people decide about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) name: Name,
    pub(crate) address: Address,
    pub(crate) tier: TierId,
    /// Sorted, each once.
    pub(crate) tags: Vec<Name>,
    pub(crate) note: String,
    pub(crate) is_paused: bool,
}

/// A draft with its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) id: TargetId,
    pub(crate) probe: ProbeId,
    pub(crate) draft: Draft,
}

impl Store {
    /// Creates a target and its probe.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if the tier is not there; [`StoreError::TooMany`] tags.
    pub async fn target_create(
        &self,
        scope: &Scope,
        new: &NewTarget,
        now: UtcMicros,
    ) -> Result<Changed<TargetRow>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let tier = match new.tier {
            Some(id) => tiers::get(&mut tx, scope, id).await?.tier.id,
            None => tier_oldest(&mut tx, scope).await?,
        };
        let draft = Draft {
            name: new.name.clone(),
            address: new.address.clone(),
            tier,
            tags: tags_of(&new.tags)?,
            note: new.note.clone(),
            is_paused: new.is_paused,
        };
        let taken = sql(TARGET_NAMED)
            .bind(scope.org.0)
            .bind(new.name.as_str())
            .fetch_optional(&mut tx)
            .await?;
        if taken.is_some() {
            return Err(StoreError::NameTaken { field: "name" });
        }
        let placed = insert(&mut tx, scope, vec![draft], now).await?;
        let Some(target) = placed.first() else {
            return Err(damaged("target.id"));
        };
        record(&mut tx, scope, "target.create", (None, Some(target)), now).await?;
        let version = log(&mut tx, scope, &[target], now).await?;
        let row = get(&mut tx, scope, target.id).await?;
        tx.commit().await?;
        Ok(Changed { row, version, changes: vec![InventoryChange::ProbeSet(spec(scope, target))] })
    }

    pub async fn target_get(&self, scope: &Scope, id: TargetId) -> Result<TargetRow, StoreError> {
        get(&mut *self.read(scope.org).await?, scope, id).await
    }

    /// Finds targets by their names, at most [`LIST_ROWS_MAX`] of them; who is not there is left
    /// out.
    pub async fn targets_by_name(
        &self,
        scope: &Scope,
        names: &[String],
    ) -> Result<Vec<Ref<TargetId>>, StoreError> {
        let Some((first, rest)) = names.split_first() else { return Ok(Vec::new()) };
        let mut text = Text::new("SELECT id, name FROM target WHERE org_id = ");
        text.value(scope.org.0).push(" AND name IN (").value(first.clone());
        for name in rest.iter().take(LIST_ROWS_MAX as usize) {
            text.push(", ").value(name.clone());
        }
        text.push(") ORDER BY name LIMIT ").value(LIST_ROWS_MAX);
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        let target =
            |row: &DbRow| Ok(Ref { id: TargetId(row.number("id")?), name: row.name("name")? });
        rows.iter().map(target).collect()
    }

    /// The names of all targets, in their order.
    pub async fn target_names(&self, scope: &Scope) -> Result<Vec<String>, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let page = sql(TARGET_NAMES).bind(scope.org.0).bind(after).bind(NAMES_PAGE_ROWS);
            let rows = page.fetch_all(&mut tx).await?;
            for row in &rows {
                names.push(row.value("name")?);
            }
            if rows.len() < NAMES_PAGE_ROWS as usize {
                return Ok(names);
            }
        }
    }

    /// Changes what `patch` names.
    pub async fn target_update(
        &self,
        scope: &Scope,
        id: TargetId,
        patch: &TargetPatch,
        now: UtcMicros,
    ) -> Result<Changed<TargetRow>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let row = get(&mut tx, scope, id).await?;
        let before = placed(&row);
        let mut after = before.clone();
        if let Some(tier) = patch.tier {
            after.draft.tier = tiers::get(&mut tx, scope, tier).await?.tier.id;
        }
        if let Some(tags) = &patch.tags {
            after.draft.tags = tags_of(tags)?;
        }
        set(&mut after.draft.name, patch.name.as_ref());
        set(&mut after.draft.address, patch.address.as_ref());
        set(&mut after.draft.note, patch.note.as_ref());
        set(&mut after.draft.is_paused, patch.is_paused.as_ref());
        if before == after {
            let version = inventory::head(&mut tx).await?;
            return Ok(Changed { row, version, changes: Vec::new() });
        }
        update(&mut tx, scope, (&before, &after), now).await?;
        let change = (Some(&before), Some(&after));
        record(&mut tx, scope, "target.update", change, now).await?;
        let mut version = log(&mut tx, scope, &[&after], now).await?;
        if let Some(edit) = &patch.topology {
            version = version
                .max(topology::apply(&mut tx, scope, (edit, topology::Said::of(edit)), now).await?);
        }
        let row = get(&mut tx, scope, id).await?;
        tx.commit().await?;
        Ok(Changed {
            row,
            version,
            changes: change_of(scope, &before, &after).into_iter().collect(),
        })
    }

    /// Deletes a target with its probe. Its history stays until it is swept.
    pub async fn target_delete(
        &self,
        scope: &Scope,
        id: TargetId,
        now: UtcMicros,
    ) -> Result<Changed<()>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = placed(&get(&mut tx, scope, id).await?);
        sql(TARGET_DELETE).bind(scope.org.0).bind(id.0).execute(&mut tx).await?;
        sql(VERDICTS_FORGET).bind(scope.org.0).bind(before.probe.0).execute(&mut tx).await?;
        sql(SPANS_END).bind(scope.org.0).bind(before.probe.0).bind(now.0).execute(&mut tx).await?;
        record(&mut tx, scope, "target.delete", (Some(&before), None), now).await?;
        let buried = Buried {
            kind: Kind::Target,
            object_id: id.0,
            probe: Some(before.probe),
            name: &before.draft.name,
        };
        let version = inventory::bury(&mut tx, scope, &buried, &target_json(&before), now).await?;
        tx.commit().await?;
        Ok(Changed { row: (), version, changes: vec![InventoryChange::ProbeRemoved(before.probe)] })
    }
}

/// Replaces what a patch names.
pub(crate) fn set<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

/// Sorts tags, each once.
pub(crate) fn tags_of(tags: &[Name]) -> Result<Vec<Name>, StoreError> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags.dedup();
    if TARGET_TAGS_MAX < tags.len() {
        return Err(StoreError::TooMany { what: "tags", max: TARGET_TAGS_MAX });
    }
    Ok(tags)
}

/// The tier of a target that names none.
pub(crate) async fn tier_oldest(
    connection: &mut Conn,
    scope: &Scope,
) -> Result<TierId, StoreError> {
    let row = sql(TIER_OLDEST).bind(scope.org.0).fetch_optional(connection).await?;
    let row = row.ok_or(StoreError::NotFound { what: "tier" })?;
    Ok(TierId(row.number("id")?))
}

async fn get(connection: &mut Conn, scope: &Scope, id: TargetId) -> Result<TargetRow, StoreError> {
    let row = sql(TARGET_GET).bind(scope.org.0).bind(id.0).fetch_optional(connection).await?;
    target_row(&row.ok_or(StoreError::NotFound { what: "target" })?)
}

/// Adds targets with their probes and tags; gives them in the same order. Names must be free.
pub(crate) async fn insert(
    connection: &mut Conn,
    scope: &Scope,
    drafts: Vec<Draft>,
    now: UtcMicros,
) -> Result<Vec<Placed>, StoreError> {
    let added = TARGET_ADD
        .run(connection, &drafts, |draft, row| {
            row.add(scope.org.0)
                .add(draft.name.as_str().to_owned())
                .add(draft.address.to_string())
                .add(address_key(&draft.address))
                .add(draft.tier.0)
                .add(draft.note.clone())
                .add(draft.is_paused)
                .add(search_text(draft))
                .add(code::of_verdict(Verdict::Unknown))
                .add(now.0)
                .add(now.0)
                .add(now.0);
        })
        .await?;
    // RETURNING promises no order.
    let mut ids = BTreeMap::new();
    for row in &added {
        ids.insert(row.name("name")?, TargetId(row.number("id")?));
    }
    let ordered: Vec<TargetId> =
        drafts.iter().filter_map(|draft| ids.get(&draft.name).copied()).collect();
    let added = PROBE_ADD
        .run(connection, &ordered, |id, row| {
            row.add(scope.org.0).add(id.0).add(PROBE_KIND);
        })
        .await?;
    let mut probes = BTreeMap::new();
    for row in &added {
        probes.insert(TargetId(row.number("target_id")?), ProbeId(row.number("id")?));
    }
    let mut placed = Vec::with_capacity(drafts.len());
    for (draft, id) in drafts.into_iter().zip(ordered) {
        let probe = *probes.get(&id).ok_or_else(|| damaged("probe.target_id"))?;
        placed.push(Placed { id, probe, draft });
    }
    add_tags(connection, scope, &placed.iter().collect::<Vec<_>>()).await?;
    Ok(placed)
}

async fn add_tags(
    connection: &mut Conn,
    scope: &Scope,
    targets: &[&Placed],
) -> Result<(), StoreError> {
    let tags: Vec<(&Name, TargetId)> = targets
        .iter()
        .flat_map(|target| target.draft.tags.iter().map(|tag| (tag, target.id)))
        .collect();
    TAG_ADD
        .run(connection, &tags, |(tag, id), row| {
            row.add(scope.org.0).add(tag.as_str().to_owned()).add(id.0);
        })
        .await?;
    Ok(())
}

pub(crate) async fn update(
    connection: &mut Conn,
    scope: &Scope,
    (before, after): (&Placed, &Placed),
    now: UtcMicros,
) -> Result<(), StoreError> {
    sql(TARGET_SET)
        .bind(scope.org.0)
        .bind(after.id.0)
        .bind(after.draft.name.as_str())
        .bind(after.draft.address.to_string())
        .bind(address_key(&after.draft.address))
        .bind(after.draft.tier.0)
        .bind(&after.draft.note)
        .bind(after.draft.is_paused)
        .bind(search_text(&after.draft))
        .bind(now.0)
        .execute(&mut *connection)
        .await
        .map_err(name_taken("name"))?;
    if before.draft.tags != after.draft.tags {
        sql(TAGS_CLEAR).bind(scope.org.0).bind(after.id.0).execute(&mut *connection).await?;
        add_tags(connection, scope, &[after]).await?;
    }
    Ok(())
}

/// Writes the change log; gives the last version.
pub(crate) async fn log(
    connection: &mut Conn,
    scope: &Scope,
    targets: &[&Placed],
    now: UtcMicros,
) -> Result<u64, StoreError> {
    let bodies: Vec<String> =
        targets.iter().map(|target| target_json(target).to_string()).collect();
    let logged: Vec<Logged<'_>> = targets
        .iter()
        .zip(&bodies)
        .map(|(target, body)| Logged {
            kind: Kind::Target,
            object_id: target.id.0,
            is_removed: false,
            body,
        })
        .collect();
    inventory::log(connection, scope, &logged, now).await
}

async fn record(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, after): (Option<&Placed>, Option<&Placed>),
    now: UtcMicros,
) -> Result<(), StoreError> {
    let Some(target) = after.or(before) else {
        return Ok(());
    };
    let entry = AuditEntry {
        action,
        object_kind: "target",
        object_id: Some(target.id.0),
        object_name: target.draft.name.as_str(),
        before: before.map(target_json),
        after: after.map(target_json),
    };
    audit::record(tx, scope, &entry, now).await
}

fn target_json(target: &Placed) -> Value {
    let draft = &target.draft;
    json!({
        "name": draft.name.as_str(),
        "address": draft.address.to_string(),
        "tier_id": draft.tier.0,
        "tags": draft.tags.iter().map(Name::as_str).collect::<Vec<_>>(),
        "note": draft.note,
        "is_paused": draft.is_paused,
        "probe_id": target.probe.0,
    })
}

pub(crate) fn spec(scope: &Scope, target: &Placed) -> ProbeSpec {
    ProbeSpec {
        id: target.probe,
        org: scope.org,
        target: target.id,
        target_name: target.draft.name.clone(),
        address: target.draft.address.clone(),
        tier: target.draft.tier,
        paused: target.draft.is_paused,
    }
}

/// What the engine must hear; nothing if only tags or the note changed.
pub(crate) fn change_of(scope: &Scope, before: &Placed, after: &Placed) -> Option<InventoryChange> {
    let after = spec(scope, after);
    (spec(scope, before) != after).then_some(InventoryChange::ProbeSet(after))
}

/// The address as bytes that sort: IPv4 by number, then IPv6, then DNS names.
pub(crate) fn address_key(address: &Address) -> Vec<u8> {
    let (family, bytes): (u8, &[u8]) = match address {
        Address::Ip(IpAddr::V4(v4)) => (4, &v4.octets()),
        Address::Ip(IpAddr::V6(v6)) => (6, &v6.octets()),
        Address::Name(name) => (9, name.as_str().as_bytes()),
    };
    let mut key = vec![family];
    key.extend_from_slice(bytes);
    key
}

/// What a search looks in. Lower case here, so that no database's idea of case matters.
fn search_text(draft: &Draft) -> String {
    format!("{}\n{}\n{}", draft.name, draft.address, draft.note).to_lowercase()
}

fn placed(row: &TargetRow) -> Placed {
    Placed {
        id: row.id,
        probe: row.probe,
        draft: Draft {
            name: row.name.clone(),
            address: row.address.clone(),
            tier: row.tier.id,
            tags: row.tags.clone(),
            note: row.note.clone(),
            is_paused: row.is_paused,
        },
    }
}

pub(crate) fn tags(row: &DbRow) -> Result<Vec<Name>, StoreError> {
    let Some(text) = row.value::<Option<&str>>("tags")? else {
        return Ok(Vec::new());
    };
    text.split(',').map(|tag| Name::parse(tag).map_err(|_| damaged("target_tag.tag"))).collect()
}

pub(crate) fn target_row(row: &DbRow) -> Result<TargetRow, StoreError> {
    let cause = match row.value::<Option<i16>>("cause")? {
        None => model::Cause::NotYet,
        Some(number) => code::cause(number).ok_or_else(|| damaged("verdict_now.cause"))?,
    };
    Ok(TargetRow {
        id: TargetId(row.number("id")?),
        name: row.name("name")?,
        address: row.address("address")?,
        tier: Ref { id: TierId(row.number("tier_id")?), name: row.name("tier_name")? },
        interval: Duration::from_micros(row.number("interval_us")?),
        tags: tags(row)?,
        note: row.value("note")?,
        is_paused: row.is("is_paused")?,
        probe: ProbeId(row.number("probe_id")?),
        verdict: row.verdict("verdict_order")?,
        cause,
        why: row.value::<Option<String>>("why")?.unwrap_or_default(),
        since: row.at("since_at")?,
        created_at: row.at("created_at")?,
        updated_at: row.at("updated_at")?,
    })
}
