//! The only crate with SQL: inventory, people, verdicts, history; migrations.
//!
//! Every statement is bounded by a [`Scope`]; the few that are not either find the scope out
//! (a session, a key, a certificate) or belong to the whole installation (the engine's state).
//! The store decides nothing about networks and reads no clock: the time is passed in, but for the
//! first migration, which dates what a new database holds by the database's own.
//!
//! The database is SQLite. Statements keep to what PostgreSQL understands too, and say of whom
//! they are: `read(org)` and `write(org)` begin a transaction of one organisation, `read_above()`
//! and `write_above()` one of all. What only one database understands is in `db`, `migrate`,
//! `archive`, `tables` and the migration files.

mod agents;
mod archive;
mod audit;
mod chunks;
mod code;
mod commit;
mod compact;
mod damage;
mod db;
mod enrolment;
mod error;
mod facts;
mod forget;
pub mod fuzz;
mod history;
mod import;
mod incidents;
mod installation;
mod inventory;
mod maintenance;
mod map;
mod metrics;
mod migrate;
mod names;
mod outbox;
mod past;
mod paths;
mod repair;
mod retention;
mod roll;
mod roll_metrics;
mod rounds;
mod rows;
mod scope;
mod series;
mod sessions;
mod streams;
mod tables;
mod target_list;
mod targets;
mod tiers;
mod topology;
mod traces;
mod users;
mod webhooks;

pub use archive::{
    ColumnKind, ColumnShape, Dump, Inspection, Load, RowPart, Rows, SEQUENCE_TABLE, SchemaMark,
    TableShape, check_rows, inspect,
};
pub use db::{Database, DatabaseUrl, Store, UrlError};
pub use error::{Said, StoreError};
pub use facts::{
    FACT_REQUESTS_KEPT_MAX, FACTS_KEPT_MAX, FACTS_LIVE_MAX, FACTS_PER_REQUEST_MAX, FactQuery,
    FactRequest, FactRow, FactsLive, FactsTaken, NewFact, NewFacts, REQUEST_KEY_BYTES_MAX,
};
pub use incidents::*;
pub use maintenance::{
    MAINTENANCE_MAX, MAINTENANCE_NOTE_CHARS_MAX, MAINTENANCE_TITLE_BYTES_MAX, MaintenanceDraft,
    MaintenanceRow,
};
pub use map::{MAP_INCIDENTS_MAX, MapHeld, MapIncident, MapSpan, MapTarget};
pub use outbox::{
    DELIVERIES_DUE_MAX, DeliveryCount, DeliveryNext, DeliveryRow, DeliveryState, DeliveryTry,
    DueDelivery, NewMessage,
};
pub use past::{Past, minute_decided};
pub use paths::{NewPath, PATHS_KEPT_MAX, PathHops, PathQuery, PathRow, PathSeen};
pub use rows::*;
pub use scope::{Actor, ORG_DEFAULT, Scope};
pub use tables::{RollupDetail, RollupTables};
pub use target_list::TargetsOut;
pub use traces::{NewTrace, TRACES_KEPT_MAX, TargetAt, TraceDone, TraceQuery, TraceRow};
pub use webhooks::{WEBHOOKS_MAX, WebhookDraft, WebhookRow};

/// Rows of one page of a list, whatever is asked for: bounds memory and time of a request.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Rounds of one page for whoever reads many: some 2 MB of them.
pub const ROUNDS_MAX: u32 = 10_000;
/// Users, keys, tiers and agents of an organisation: lists without pages stay readable.
pub const LIST_ROWS_MAX: u32 = 1_000;
/// Tags of one target.
pub const TARGET_TAGS_MAX: usize = 32;
/// Rows of one import: as many as the largest installation has targets, some seconds of work.
pub const IMPORT_ROWS_MAX: usize = 100_000;
/// Elements and targets of one topology: the largest network we aim at, with each of its targets.
pub const TOPOLOGY_PARTS_MAX: usize = 200_000;
/// Series of metrics of an organisation: some thousand devices with all their interfaces. Each
/// costs a row here and a page in every chunk.
pub const METRIC_SERIES_MAX: usize = 200_000;
/// Series of metrics of one thing: far above what an agent or an interface says of itself.
pub const SUBJECT_SERIES_MAX: usize = 256;
/// Minutes of one history request: a day.
pub const MINUTES_MAX: u32 = 1_440;
