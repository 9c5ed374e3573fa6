//! Many targets at once: created or updated by name, all in one transaction, one report a row.

use std::collections::{BTreeMap, BTreeSet};

use model::{InventoryChange, Name, ProbeId, TargetId, TierId, UtcMicros};
use serde_json::json;

use crate::{
    AuditEntry, Changed, IMPORT_ROWS_MAX, ImportAction, ImportResult, ImportRow, Scope, Store,
    StoreError, audit,
    db::{Conn, Text, Tx},
    inventory,
    targets::{self, Draft, Placed},
    tiers,
};

/// Names looked up by one statement.
const LOOKUP_NAMES: usize = 256;

const FOUND_HEAD: &str = "
    SELECT target.id, target.name, target.address, target.tier_id, target.note,
           target.is_paused, probe.id AS probe_id,
           (SELECT string_agg(tag, ',' ORDER BY tag)
              FROM target_tag
             WHERE target_tag.target_id = target.id) AS tags
      FROM target
      JOIN probe ON probe.target_id = target.id
     WHERE target.org_id = ";

/// What an import comes to, before anything is written.
#[derive(Default)]
struct Plan {
    results: Vec<ImportResult>,
    creates: Vec<Draft>,
    updates: Vec<(Placed, Placed)>,
}

impl Store {
    /// Creates or updates targets by name. Rows that cannot be taken are reported and left out.
    ///
    /// With `dry_run` nothing is written and the report is the same.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] over [`IMPORT_ROWS_MAX`] rows.
    pub async fn targets_import(
        &self,
        scope: &Scope,
        rows: &[ImportRow],
        dry_run: bool,
        now: UtcMicros,
    ) -> Result<Changed<Vec<ImportResult>>, StoreError> {
        if IMPORT_ROWS_MAX < rows.len() {
            return Err(StoreError::TooMany { what: "rows of an import", max: IMPORT_ROWS_MAX });
        }
        let mut tx =
            if dry_run { self.read(scope.org).await? } else { self.write(scope.org).await? };
        let plan = plan(&mut tx, scope, rows).await?;
        let version = inventory::head(&mut tx).await?;
        if dry_run || (plan.creates.is_empty() && plan.updates.is_empty()) {
            return Ok(Changed { row: plan.results, version, changes: Vec::new() });
        }
        let results = plan.results.clone();
        let (version, changes) = carry_out(&mut tx, scope, plan, now).await?;
        tx.commit().await?;
        Ok(Changed { row: results, version, changes })
    }
}

async fn plan(tx: &mut Tx, scope: &Scope, rows: &[ImportRow]) -> Result<Plan, StoreError> {
    let tiers: BTreeMap<Name, TierId> =
        tiers::list(tx, scope).await?.into_iter().map(|row| (row.tier.name, row.tier.id)).collect();
    let tier_default = targets::tier_oldest(tx, scope).await?;
    let found = find(tx, scope, rows).await?;
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    for row in rows {
        let before = found.get(&row.name);
        let fallback = before.map_or(tier_default, |target| target.draft.tier);
        let drafted = draft(row, before.map(|t| &t.draft), (&tiers, fallback));
        let result = match drafted {
            Err(failure) => failure,
            Ok(_) if !seen.insert(&row.name) => {
                fail("name", format!("`{}` stands in an earlier row too", row.name))
            }
            Ok(draft) => match before {
                None => {
                    plan.creates.push(draft);
                    done(ImportAction::Create)
                }
                Some(before) if before.draft == draft => done(ImportAction::Unchanged),
                Some(before) => {
                    let after = Placed { draft, ..before.clone() };
                    plan.updates.push((before.clone(), after));
                    done(ImportAction::Update)
                }
            },
        };
        plan.results.push(result);
    }
    Ok(plan)
}

/// What a row makes of a target; what it does not name is kept.
fn draft(
    row: &ImportRow,
    before: Option<&Draft>,
    (tiers, fallback): (&BTreeMap<Name, TierId>, TierId),
) -> Result<Draft, ImportResult> {
    let tier = match &row.tier {
        None => fallback,
        Some(name) => {
            *tiers.get(name).ok_or_else(|| fail("tier", format!("there is no tier `{name}`")))?
        }
    };
    let tags = match &row.tags {
        None => before.map(|b| b.tags.clone()).unwrap_or_default(),
        Some(tags) => targets::tags_of(tags).map_err(|error| fail("tags", error.to_string()))?,
    };
    let note = row.note.clone().or_else(|| before.map(|b| b.note.clone()));
    let is_paused = row.is_paused.or_else(|| before.map(|b| b.is_paused));
    Ok(Draft {
        name: row.name.clone(),
        address: row.address.clone(),
        tier,
        tags,
        note: note.unwrap_or_default(),
        is_paused: is_paused.unwrap_or(false),
    })
}

fn done(action: ImportAction) -> ImportResult {
    ImportResult { action, field: "", reason: String::new() }
}

fn fail(field: &'static str, reason: String) -> ImportResult {
    ImportResult { action: ImportAction::Fail, field, reason }
}

/// Finds the targets that rows name.
async fn find(
    connection: &mut Conn,
    scope: &Scope,
    rows: &[ImportRow],
) -> Result<BTreeMap<Name, Placed>, StoreError> {
    let mut found = BTreeMap::new();
    for chunk in rows.chunks(LOOKUP_NAMES) {
        let mut text = Text::new(FOUND_HEAD);
        text.value(scope.org.0).push(" AND target.name IN (");
        for (index, row) in chunk.iter().enumerate() {
            if 0 < index {
                text.push(", ");
            }
            text.value(row.name.as_str().to_owned());
        }
        text.push(") LIMIT ").value(LOOKUP_NAMES as i64);
        for row in text.fetch_all(connection).await? {
            let target = Placed {
                id: TargetId(row.number("id")?),
                probe: ProbeId(row.number("probe_id")?),
                draft: Draft {
                    name: row.name("name")?,
                    address: row.address("address")?,
                    tier: TierId(row.number("tier_id")?),
                    tags: targets::tags(&row)?,
                    note: row.value("note")?,
                    is_paused: row.is("is_paused")?,
                },
            };
            found.insert(target.draft.name.clone(), target);
        }
    }
    Ok(found)
}

async fn carry_out(
    tx: &mut Tx,
    scope: &Scope,
    plan: Plan,
    now: UtcMicros,
) -> Result<(u64, Vec<InventoryChange>), StoreError> {
    let counts = (plan.creates.len(), plan.updates.len());
    let created = targets::insert(tx, scope, plan.creates, now).await?;
    for (before, after) in &plan.updates {
        targets::update(tx, scope, (before, after), now).await?;
    }
    let updated = plan.updates.iter().map(|(_, after)| after);
    let all: Vec<&Placed> = created.iter().chain(updated).collect();
    let version = targets::log(tx, scope, &all, now).await?;
    let entry = AuditEntry {
        action: "target.import",
        object_kind: "target",
        object_id: None,
        object_name: "",
        before: None,
        // What became of each target is in the change log under these versions.
        after: Some(json!({
            "created": counts.0,
            "updated": counts.1,
            "inventory_version_last": version,
        })),
    };
    audit::record(tx, scope, &entry, now).await?;
    let sets = created.iter().map(|target| InventoryChange::ProbeSet(targets::spec(scope, target)));
    let changes =
        plan.updates.iter().filter_map(|(before, after)| targets::change_of(scope, before, after));
    Ok((version, sets.chain(changes).collect()))
}
