//! Maintenance windows as they are kept. When one is open, `model` says; what follows from it is
//! decided elsewhere.

use model::{
    Amended, Cover, CoverKind, Day, MaintenanceId, Name, Occurrence, Rule, UtcMicros, Window, Zone,
};
use serde_json::{Value, json};

use crate::{
    AuditEntry, IMPORT_ROWS_MAX, PAGE_ROWS_MAX, Scope, Store, StoreError, audit,
    db::{Conn, DbRow, Text, Tx, damaged, sql},
};

/// Windows of an organisation that are not over: each judgement looks whether one is open.
pub const MAINTENANCE_MAX: usize = 500;
/// Windows that are over: at ten a day three years. Beyond, the oldest go.
const MAINTENANCE_KEPT_MAX: u32 = 10_000;
/// Bytes of a title: a line.
pub const MAINTENANCE_TITLE_BYTES_MAX: usize = 120;
/// Letters of a note: a few screens.
pub const MAINTENANCE_NOTE_CHARS_MAX: usize = 4_000;

/// What a person says of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceDraft {
    pub title: String,
    pub note: String,
    pub covers: Vec<Cover>,
    pub window: Window,
}

/// A window that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceRow {
    pub id: MaintenanceId,
    pub draft: MaintenanceDraft,
    pub created_at: UtcMicros,
    /// Empty for the software itself.
    pub created_by: String,
    pub updated_at: UtcMicros,
}

const COLUMNS: &str = "
           id, title, note, covers_json, start_at, end_at, zone, rule, except_json, amended_json,
           cancelled_at, created_at, created_by, updated_at";
const ADD: &str = "
    INSERT INTO maintenance (
        org_id, title, note, covers_json, start_at, end_at, zone, rule, except_json, amended_json,
        ends_at, cancelled_at, created_at, created_by, updated_at
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $13)
    RETURNING id";
const SET: &str = "
    UPDATE maintenance
       SET title = $3, note = $4, covers_json = $5, start_at = $6, end_at = $7, zone = $8,
           rule = $9, except_json = $10, amended_json = $11, ends_at = $12, cancelled_at = $13,
           updated_at = $14
     WHERE org_id = $1
       AND id = $2
       AND updated_at = $15";
const LIVE_COUNT: &str = "
    SELECT count(*)
      FROM maintenance
     WHERE org_id = $1
       AND (ends_at IS NULL OR ends_at > $2)";
const OVER: &str = "
    DELETE FROM maintenance
     WHERE org_id = $1
       AND id IN (
               SELECT id
                 FROM maintenance
                WHERE org_id = $1
                  AND ends_at <= $2
                ORDER BY ends_at DESC, id DESC
                LIMIT 100
               OFFSET $3)";

impl Store {
    /// Keeps a new window; of those that are over the oldest go beyond a limit.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] windows that are not over.
    pub async fn maintenance_create(
        &self,
        scope: &Scope,
        new: &MaintenanceDraft,
        now: UtcMicros,
    ) -> Result<MaintenanceRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let count: i64 = sql(LIVE_COUNT).bind(scope.org.0).bind(now.0).scalar(&mut tx).await?;
        if usize::try_from(count).is_ok_and(|count| MAINTENANCE_MAX <= count) {
            let what = "maintenance windows that are not over";
            return Err(StoreError::TooMany { what, max: MAINTENANCE_MAX });
        }
        let texts = Texts::of(new);
        let id: u32 = sql(ADD)
            .bind(scope.org.0)
            .bind(&new.title)
            .bind(&new.note)
            .bind(&texts.covers)
            .bind(new.window.start().0)
            .bind(new.window.end().0)
            .bind(new.window.zone().as_str())
            .bind(&texts.rule)
            .bind(&texts.except)
            .bind(&texts.amended)
            .bind(new.window.ends().map(|at| at.0))
            .bind(new.window.cancelled_at().map(|at| at.0))
            .bind(now.0)
            .bind(scope.actor.name())
            .scalar(&mut tx)
            .await?;
        let row = get(&mut tx, scope, MaintenanceId(id)).await?;
        record(&mut tx, scope, "maintenance.create", (None, &row), now).await?;
        sql(OVER).bind(scope.org.0).bind(now.0).bind(MAINTENANCE_KEPT_MAX).execute(&mut tx).await?;
        tx.commit().await?;
        Ok(row)
    }

    pub async fn maintenance_get(
        &self,
        scope: &Scope,
        id: MaintenanceId,
    ) -> Result<MaintenanceRow, StoreError> {
        get(&mut *self.read(scope.org).await?, scope, id).await
    }

    /// Windows of which an occurrence may touch that time: they began before its end and were not
    /// over at its beginning. By their start.
    pub async fn maintenance_within(
        &self,
        scope: &Scope,
        time: Occurrence,
    ) -> Result<Vec<MaintenanceRow>, StoreError> {
        let mut text = select(scope);
        text.push(" AND start_at < ").value(time.end.0);
        text.push(" AND (ends_at IS NULL OR ends_at > ").value(time.start.0);
        text.push(") ORDER BY start_at, id LIMIT ").value(MAINTENANCE_KEPT_MAX);
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        rows.iter().map(maintenance_row).collect()
    }

    /// Windows that are over, the newest first, those before `before`.
    pub async fn maintenance_past(
        &self,
        scope: &Scope,
        now: UtcMicros,
        (before, limit): (Option<u64>, u32),
    ) -> Result<Vec<MaintenanceRow>, StoreError> {
        let mut text = select(scope);
        text.push(" AND ends_at <= ").value(now.0);
        text.push(" AND id < ").value(before.map_or(i64::MAX, crate::db::big));
        text.push(" ORDER BY id DESC LIMIT ").value(limit.min(PAGE_ROWS_MAX + 1));
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        rows.iter().map(maintenance_row).collect()
    }

    /// Makes a window what `draft` says, if it is still as `before` was; `action` is what the
    /// audit calls it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stale`] if somebody changed it meanwhile.
    pub async fn maintenance_set(
        &self,
        scope: &Scope,
        before: &MaintenanceRow,
        draft: &MaintenanceDraft,
        (action, now): (&str, UtcMicros),
    ) -> Result<MaintenanceRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let texts = Texts::of(draft);
        // Two changes of one microsecond must differ too.
        let updated_at = now.0.max(before.updated_at.0.saturating_add(1));
        let changed = sql(SET)
            .bind(scope.org.0)
            .bind(before.id.0)
            .bind(&draft.title)
            .bind(&draft.note)
            .bind(&texts.covers)
            .bind(draft.window.start().0)
            .bind(draft.window.end().0)
            .bind(draft.window.zone().as_str())
            .bind(&texts.rule)
            .bind(&texts.except)
            .bind(&texts.amended)
            .bind(draft.window.ends().map(|at| at.0))
            .bind(draft.window.cancelled_at().map(|at| at.0))
            .bind(updated_at)
            .bind(before.updated_at.0)
            .execute(&mut tx)
            .await?;
        let after = get(&mut tx, scope, before.id).await?;
        if changed == 0 {
            return Err(StoreError::Stale { what: "maintenance window" });
        }
        record(&mut tx, scope, action, (Some(before), &after), now).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Names of the targets that have one of these tags, sorted, each once.
    pub async fn target_names_tagged(
        &self,
        scope: &Scope,
        tags: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let Some((first, rest)) = tags.split_first() else { return Ok(Vec::new()) };
        let mut text = Text::new("SELECT DISTINCT target.name FROM target_tag ");
        text.push("JOIN target ON target.id = target_tag.target_id WHERE target_tag.org_id = ");
        text.value(scope.org.0).push(" AND target_tag.tag IN (").value(first.clone());
        for tag in rest.iter().take(model::maintenance::COVERS_MAX) {
            text.push(", ").value(tag.clone());
        }
        text.push(") ORDER BY target.name LIMIT ").value(IMPORT_ROWS_MAX as u32);
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        let name = |row: &DbRow| row.name("name").map(|name: Name| name.to_string());
        rows.iter().map(name).collect()
    }
}

fn select(scope: &Scope) -> Text {
    let mut text = Text::new("SELECT ");
    text.push(COLUMNS).push(" FROM maintenance WHERE org_id = ").value(scope.org.0);
    text
}

async fn get(
    conn: &mut Conn,
    scope: &Scope,
    id: MaintenanceId,
) -> Result<MaintenanceRow, StoreError> {
    let mut text = select(scope);
    text.push(" AND id = ").value(id.0);
    let rows = text.fetch_all(conn).await?;
    maintenance_row(rows.first().ok_or(StoreError::NotFound { what: "maintenance window" })?)
}

/// What is written as text.
struct Texts {
    covers: String,
    rule: String,
    except: String,
    amended: String,
}

impl Texts {
    fn of(draft: &MaintenanceDraft) -> Texts {
        let cover = |cover: &Cover| json!([cover.kind().as_str(), cover.name()]);
        let covers: Vec<Value> = draft.covers.iter().map(cover).collect();
        let window = &draft.window;
        let except: Vec<String> = window.except().iter().map(Day::to_string).collect();
        let amended: Vec<[i64; 2]> =
            window.amendments().iter().map(|one| [one.start.0, one.end.0]).collect();
        Texts {
            covers: Value::Array(covers).to_string(),
            rule: window.rule().map(Rule::to_string).unwrap_or_default(),
            except: json!(except).to_string(),
            amended: json!(amended).to_string(),
        }
    }
}

fn maintenance_row(row: &DbRow) -> Result<MaintenanceRow, StoreError> {
    let json = |column| -> Result<&str, StoreError> { row.value(column) };
    let covers: Vec<(String, String)> =
        serde_json::from_str(json("covers_json")?).map_err(|_| damaged("covers_json"))?;
    let cover = |(kind, name): &(String, String)| Cover::parse(CoverKind::parse(kind)?, name).ok();
    let covers = covers.iter().map(cover).collect::<Option<_>>();
    let except: Vec<String> =
        serde_json::from_str(json("except_json")?).map_err(|_| damaged("except_json"))?;
    let except = except.iter().map(|day| Day::parse(day)).collect::<Option<_>>();
    let amended: Vec<[i64; 2]> =
        serde_json::from_str(json("amended_json")?).map_err(|_| damaged("amended_json"))?;
    let amend = |[start, end]: [i64; 2]| Amended { start: UtcMicros(start), end: UtcMicros(end) };
    let rule: &str = row.value("rule")?;
    let rule = Some(rule).filter(|rule| !rule.is_empty()).map(Rule::parse).transpose();
    let window = Window::stored(
        (row.at("start_at")?, row.at("end_at")?),
        row.parsed("zone", Zone::parse)?,
        rule.map_err(|_| damaged("rule"))?,
        except.ok_or_else(|| damaged("except_json"))?,
    );
    let amended = amended.into_iter().map(amend).collect();
    Ok(MaintenanceRow {
        id: MaintenanceId(row.number("id")?),
        draft: MaintenanceDraft {
            title: row.value("title")?,
            note: row.value("note")?,
            covers: covers.ok_or_else(|| damaged("covers_json"))?,
            window: window.amended(amended, row.at_opt("cancelled_at")?),
        },
        created_at: row.at("created_at")?,
        created_by: row.value("created_by")?,
        updated_at: row.at("updated_at")?,
    })
}

async fn record(
    tx: &mut Tx,
    scope: &Scope,
    action: &str,
    (before, after): (Option<&MaintenanceRow>, &MaintenanceRow),
    now: UtcMicros,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        action,
        object_kind: "maintenance",
        object_id: Some(after.id.0),
        object_name: &after.draft.title,
        before: before.map(told),
        after: Some(told(after)),
    };
    audit::record(tx, scope, &entry, now).await
}

fn told(row: &MaintenanceRow) -> Value {
    let MaintenanceDraft { title, note, covers, window } = &row.draft;
    let amended = window
        .amendments()
        .iter()
        .map(|one| json!({"start": one.start.to_string(), "end": one.end.to_string()}));
    json!({
        "title": title,
        "note": note,
        "covers": covers.iter().map(Cover::to_string).collect::<Vec<_>>(),
        "start": window.start().to_string(),
        "end": window.end().to_string(),
        "zone": window.zone().as_str(),
        "rule": window.rule().map(Rule::to_string),
        "except": window.except().iter().map(Day::to_string).collect::<Vec<_>>(),
        "amended": amended.collect::<Vec<_>>(),
        "cancelled_at": window.cancelled_at().map(|at| at.to_string()),
    })
}
