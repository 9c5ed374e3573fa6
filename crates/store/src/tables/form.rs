//! What the tables are like: their columns, how they are cut by time, and what names them.
//!
//! Everything that TimescaleDB understands and PostgreSQL alone does not stands in this file.

use std::fmt::Write as _;

use model::Span;

use crate::{
    StoreError,
    db::{Conn, Tx, sql},
};

/// Raised whenever the text of a table or of a view changes: then they are made anew.
const VERSION: u32 = 1;
/// A batch may come a week late, and changes its roll-ups: what is older is compressed.
const COMPRESS_AFTER_DAYS: u32 = 8;
/// The licence of TimescaleDB under which it compresses and forgets by itself.
const LICENCE_FULL: &str = "timescale";

// Above organisations: what the database itself is.
const TIMESCALE: &str = "
    SELECT CAST(nspname AS TEXT) AS schema, current_setting('timescaledb.license', TRUE) AS licence
      FROM pg_catalog.pg_extension
      JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace
     WHERE extname = 'timescaledb'";

const COLUMNS: &str = "
    bucket           TIMESTAMPTZ NOT NULL,
    org_id           INTEGER     NOT NULL,
    probe_id         INTEGER     NOT NULL,
    agent_id         INTEGER     NOT NULL,
    minutes_up       SMALLINT    NOT NULL,
    minutes_degraded SMALLINT    NOT NULL,
    minutes_down     SMALLINT    NOT NULL,
    minutes_unknown  SMALLINT    NOT NULL,
    rounds           INTEGER     NOT NULL,
    rounds_not_asked INTEGER     NOT NULL,
    packets_sent     INTEGER     NOT NULL,
    packets_lost     INTEGER     NOT NULL,
    rtt_us_min       INTEGER,
    rtt_us_mean      INTEGER,
    rtt_us_max       INTEGER,
    rtt_us_p50       INTEGER,
    rtt_us_p95       INTEGER,
    rtt_us_p99       INTEGER,
    worst            TEXT COLLATE \"C\",
    worst_cause      TEXT COLLATE \"C\",
    PRIMARY KEY (org_id, probe_id, agent_id, bucket)";

/// The condition of row security, and that of the views.
const OF_ORGANISATION: &str = "current_setting('faultline.org_id', TRUE) IN ('all', org_id::TEXT)";

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) span: Span,
    pub(super) name: &'static str,
    /// How much time one partition has: some dozens of them are kept.
    pub(super) part_minutes: i64,
}

pub(super) const TABLES: [Table; 3] = [
    Table { span: Span::FiveMinutes, name: "rollup_5m", part_minutes: 24 * 60 },
    Table { span: Span::Hour, name: "rollup_1h", part_minutes: 30 * 24 * 60 },
    Table { span: Span::Day, name: "rollup_1d", part_minutes: 360 * 24 * 60 },
];

/// How tables are cut by time, so that what is old goes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// By partitions, which the server makes and drops.
    Partitions,
    /// By TimescaleDB, whose functions are in this schema: it compresses and drops by itself.
    Hypertables { schema: String },
}

impl Layout {
    /// Takes TimescaleDB where it is and may do what it is wanted for: under its other licence it
    /// neither compresses nor forgets.
    fn of(extension: Option<(String, Option<String>)>) -> Layout {
        match extension {
            Some((schema, Some(licence))) if licence == LICENCE_FULL => {
                Layout::Hypertables { schema }
            }
            Some(_) | None => Layout::Partitions,
        }
    }

    pub(super) async fn find(conn: &mut Conn) -> Result<Layout, StoreError> {
        let Some(row) = sql(TIMESCALE).fetch_optional(conn).await? else {
            return Ok(Layout::of(None));
        };
        Ok(Layout::of(Some((row.value("schema")?, row.value("licence")?))))
    }

    /// Names it, with the version of what is made.
    pub(super) fn name(&self) -> String {
        match self {
            Layout::Partitions => format!("{VERSION} partitions"),
            Layout::Hypertables { .. } => format!("{VERSION} hypertables"),
        }
    }
}

/// Drops the tables, with everything in them.
pub(super) async fn drop_all(tx: &mut Tx) -> Result<(), StoreError> {
    for Table { name, .. } in TABLES {
        let text = format!("DROP VIEW IF EXISTS {name}_named; DROP TABLE IF EXISTS {name}");
        tx.raw(&text).await?;
    }
    Ok(())
}

/// Makes them, empty.
pub(super) async fn create(tx: &mut Tx, layout: &Layout) -> Result<(), StoreError> {
    for table in &TABLES {
        let name = table.name;
        match layout {
            Layout::Partitions => {
                let text = format!(
                    "CREATE TABLE {name} ({COLUMNS}) PARTITION BY RANGE (bucket);
                     CREATE INDEX {name}_by_time ON {name} USING brin (bucket);"
                );
                tx.raw(&(text + &policy(name))).await?;
            }
            Layout::Hypertables { schema } => {
                tx.raw(&format!("CREATE TABLE {name} ({COLUMNS})")).await?;
                tx.raw(&hypertable(table, &quoted(schema))).await?;
            }
        }
        tx.raw(&view(name)).await?;
    }
    Ok(())
}

/// Holds a table to the organisation that a session names.
fn policy(name: &str) -> String {
    format!(
        "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE {name} FORCE ROW LEVEL SECURITY;
         CREATE POLICY of_organisation ON {name} USING ({OF_ORGANISATION});"
    )
}

/// Hands a table to TimescaleDB, which compresses none that has row security: there it is the
/// views that hold to the organisation.
fn hypertable(table: &Table, schema: &str) -> String {
    let Table { name, part_minutes, .. } = table;
    format!(
        "SELECT {schema}.create_hypertable(
             '{name}', 'bucket', chunk_time_interval => INTERVAL '{part_minutes} minutes',
             create_default_indexes => FALSE);
         ALTER TABLE {name} SET (
             timescaledb.compress, timescaledb.compress_orderby = 'bucket',
             timescaledb.compress_segmentby = 'org_id, probe_id, agent_id');
         SELECT {schema}.add_compression_policy('{name}', INTERVAL '{COMPRESS_AFTER_DAYS} days');"
    )
}

/// Tells TimescaleDB for how many days to keep each table.
pub(super) fn keep(schema: &str, days: [u64; 3]) -> String {
    let schema = quoted(schema);
    let mut text = String::new();
    for (Table { name, .. }, days) in TABLES.iter().zip(days) {
        // Writing to a String does not fail.
        write!(
            text,
            "SELECT {schema}.remove_retention_policy('{name}', if_exists => TRUE);
             SELECT {schema}.add_retention_policy('{name}', INTERVAL '{days} days');"
        )
        .unwrap_or(());
    }
    text
}

/// What may be done in a transaction that changes what was compressed: as much as it takes.
pub(super) const UNPACK_ALL: &str =
    "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0";

/// The table with the names of targets and agents, also of those that were deleted.
fn view(name: &str) -> String {
    format!(
        "CREATE VIEW {name}_named WITH (security_barrier = TRUE) AS
         SELECT told.bucket, told.org_id,
                coalesce(probe.target_id, gone.object_id) AS target_id,
                coalesce(target.name, gone.name) AS target,
                nullif(told.agent_id, 0) AS agent_id,
                coalesce(agent.name, gone_agent.name) AS agent,
                told.minutes_up, told.minutes_degraded, told.minutes_down, told.minutes_unknown,
                told.rounds, told.rounds_not_asked, told.packets_sent, told.packets_lost,
                told.rtt_us_min, told.rtt_us_mean, told.rtt_us_max,
                told.rtt_us_p50, told.rtt_us_p95, told.rtt_us_p99,
                told.worst, told.worst_cause
           FROM {name} AS told
           LEFT JOIN probe ON probe.id = told.probe_id
           LEFT JOIN target ON target.id = probe.target_id
           LEFT JOIN tombstone AS gone
                  ON gone.kind = 'target' AND gone.probe_id = told.probe_id
           LEFT JOIN agent ON agent.id = told.agent_id
           LEFT JOIN tombstone AS gone_agent
                  ON gone_agent.kind = 'agent' AND gone_agent.object_id = told.agent_id
          WHERE current_setting('faultline.org_id', TRUE) IN ('all', told.org_id::TEXT);
         COMMENT ON VIEW {name}_named IS
             'Roll-ups with names. agent_id and agent are NULL for all agents together.';
         COMMENT ON COLUMN {name}_named.bucket IS 'When the span begins.';
         COMMENT ON COLUMN {name}_named.rounds_not_asked IS 'Rounds that the agent could not ask.';
         COMMENT ON COLUMN {name}_named.rtt_us_mean IS
             'Microseconds, of answered packets; NULL without any.';
         COMMENT ON COLUMN {name}_named.rtt_us_p95 IS 'Of the means of rounds, within 3.2 %.';
         COMMENT ON COLUMN {name}_named.worst IS
             'The worst minute: down before degraded before unknown before up; NULL if none was
              recorded.';"
    )
}

/// Makes a partition of the time from `start`, a minute, and holds it to its organisation, too.
pub(super) fn partition(table: &Table, part: &str, start: i64) -> String {
    let name = table.name;
    let end = start.saturating_add(table.part_minutes);
    // Attached, and not made in its place: so nobody who reads the table is waited for.
    let mut text = format!("CREATE TABLE {part} (LIKE {name} INCLUDING ALL);");
    text.push_str(&policy(part));
    text + &format!(
        "ALTER TABLE {name} ATTACH PARTITION {part}
            FOR VALUES FROM (TIMESTAMPTZ 'epoch' + {start} * INTERVAL '1 minute')
                         TO (TIMESTAMPTZ 'epoch' + {end} * INTERVAL '1 minute');"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timescaledb_is_taken_where_it_compresses_and_partitions_elsewhere() {
        let schema = || "public".to_owned();
        let hypertables = Layout::Hypertables { schema: schema() };
        let licence = |text: &str| Some((schema(), Some(text.to_owned())));
        assert_eq!(Layout::of(licence("timescale")), hypertables);
        // The free part of it alone; a library that the server has not loaded; none.
        assert_eq!(Layout::of(licence("apache")), Layout::Partitions);
        assert_eq!(Layout::of(Some((schema(), None))), Layout::Partitions);
        assert_eq!(Layout::of(None), Layout::Partitions);
    }
}
