//! Why the store could not do what it was asked: one variant per decision of the caller.

use std::{fmt, io, path::PathBuf};

use model::{KeptError, TierError};
use sqlx::postgres::PgDatabaseError;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing in this organisation.
    #[error("there is no such {what}")]
    NotFound { what: &'static str },
    /// Names are unique per organisation.
    #[error("this {field} is already taken")]
    NameTaken { field: &'static str },
    /// It is no longer what the change was made on.
    #[error("the {what} was changed meanwhile")]
    Stale { what: &'static str },
    /// A person cannot do that to an incident as it stands.
    #[error("the incident cannot be changed so")]
    ActRefused {
        #[source]
        source: crate::ActRefused,
    },
    /// A key that makes a request one that is done once came with another request before.
    #[error("this key came with another request before: give each request its own")]
    KeyReused,
    /// It cannot go while others refer to it.
    #[error("the {what} is still used by {count} others")]
    InUse { what: &'static str, count: u64 },
    /// What was switched off does nothing.
    #[error("the {what} is switched off")]
    Off { what: &'static str },
    /// Somebody must be able to manage the installation.
    #[error("the last active administrator cannot be deleted, demoted or deactivated")]
    LastAdmin,
    /// Only a token that was made after the revocation lets an agent back.
    #[error("the agent was revoked and has redeemed no new token")]
    AgentRevoked,
    /// A new target needs a tier.
    #[error("the last tier cannot be deleted")]
    LastTier,
    /// A tier outside its ranges.
    #[error("the tier's {} is out of range", source.field)]
    Tier {
        #[source]
        source: TierError,
    },
    /// A tier that keeps a level of the history for no time that there is.
    #[error("the time for which the tier keeps {} is out of range", source.level)]
    TierKept {
        #[source]
        source: KeptError,
    },
    /// A page cursor that was not made by this list in this order.
    #[error("the cursor does not belong to this list and order")]
    CursorInvalid,
    /// More than one call may carry or one organisation may have.
    #[error("at most {max} {what} are allowed")]
    TooMany { what: &'static str, max: usize },
    /// The database was locked for longer than the configured wait. A later attempt may succeed.
    #[error("the database was busy for too long; try again")]
    Busy,
    /// There is no room left for what was to be written; nothing of it was. A later attempt may
    /// succeed.
    #[error("no room left on the disk of the database: free space there")]
    Full {
        #[source]
        source: Said,
    },
    /// Its disk fails or may not be written. A later attempt may succeed.
    #[error(
        "the database cannot be written: look at its disk, and whether it is mounted read-only"
    )]
    Unwritable {
        #[source]
        source: Said,
    },
    /// PostgreSQL does not answer. A later attempt may succeed.
    #[error(
        "the database server does not answer: look whether it runs, and whether this machine \
         reaches it"
    )]
    Unreachable {
        #[source]
        source: Said,
    },
    /// PostgreSQL knows the role or the database not, or lets it not in, or not do this.
    #[error(
        "the database server refuses: look at user, password and database in DATABASE_URL, and at \
         the server's pg_hba.conf"
    )]
    Denied {
        #[source]
        source: Said,
    },
    /// PostgreSQL offers no TLS, or a certificate that is not trusted.
    #[error("no TLS with the database server: look at sslmode and sslrootcert in DATABASE_URL")]
    Tls {
        #[source]
        source: Said,
    },
    /// Another server writes to this PostgreSQL database. If that one stops, a later attempt may
    /// succeed.
    #[error("another Faultline server is using this database: stop it, or give this one its own")]
    Taken,
    /// This PostgreSQL database cannot be ours.
    #[error("this database cannot be used: {reason}")]
    Unsuitable { reason: String },
    /// What is written now would be lost with this process. If the file comes back, so does the
    /// store.
    #[error(
        "the database is no longer at `{}`: put it or its mount back, or stop the server and \
         restore a backup",
        path.display()
    )]
    Gone { path: PathBuf },
    /// The database was written by a newer version of the software.
    #[error(
        "the database has schema {found} and this version knows schemas up to {known}; \
         start the newer version, or restore a backup made before the upgrade"
    )]
    SchemaTooNew { found: u32, known: u32 },
    /// A migration that was applied is not the one this version carries.
    #[error("schema step {version} was applied with another text than this version carries")]
    SchemaChanged { version: u32 },
    /// The database does not keep what it acknowledges, or not in the form it must have.
    #[error("the database refuses the setting {setting}: it is {found}")]
    Setting { setting: &'static str, found: String },
    /// A stored value that no version of the software writes.
    #[error("the database holds an impossible value in {column}")]
    Damaged { column: String },
    /// Rows of an archive that do not go into this database.
    #[error("the archive's table `{table}` cannot be read: {reason}")]
    Archive { table: String, reason: String },
    /// Records could not be made a chunk. They stay where they are.
    #[error("history cannot be compacted: {reason}")]
    Chunk { reason: String },
    /// Anything else the database said.
    #[error("the database failed")]
    Database {
        #[source]
        source: Said,
    },
}

/// What the database said, or the driver of it: once, though both have it, and without the line of
/// the database's own source code.
#[derive(Debug)]
pub struct Said(pub(crate) sqlx::Error);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(said) = self.0.as_database_error() else {
            return write!(f, "{}", self.0);
        };
        f.write_str(said.message())?;
        match said.code() {
            Some(code) => write!(f, " (code {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Said {}

/// SQLite's primary result codes for a lock held elsewhere.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
/// And those for a disk that is full, read-only, failing or gone.
const SQLITE_FULL: i32 = 13;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CANTOPEN: i32 = 14;

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> StoreError {
        let said = source.as_database_error();
        if let Some(said) = said.and_then(|said| said.try_downcast_ref::<PgDatabaseError>()) {
            return of_postgres(said.code())(Said(source));
        }
        let code = said.and_then(|said| said.code()).and_then(|code| code.parse::<i32>().ok());
        if matches!(source, sqlx::Error::PoolTimedOut) {
            return StoreError::Busy;
        }
        // SQLite is reached through no socket.
        let is_of_way = matches!(source, sqlx::Error::Io(_) | sqlx::Error::Protocol(_));
        let is_of_tls = matches!(source, sqlx::Error::Tls(_))
            || matches!(&source, sqlx::Error::Io(error)
                if error.kind() == io::ErrorKind::InvalidData);
        let source = Said(source);
        if is_of_tls {
            return StoreError::Tls { source };
        }
        if is_of_way {
            return StoreError::Unreachable { source };
        }
        // The low byte is the primary code, the rest says more of it.
        match code.map(|c| c & 0xff) {
            Some(SQLITE_BUSY | SQLITE_LOCKED) => StoreError::Busy,
            Some(SQLITE_FULL) => StoreError::Full { source },
            Some(SQLITE_READONLY | SQLITE_IOERR | SQLITE_CANTOPEN) => {
                StoreError::Unwritable { source }
            }
            Some(_) | None => StoreError::Database { source },
        }
    }
}

/// What an SQLSTATE of PostgreSQL is for a caller: some alone, some by their class.
fn of_postgres(code: &str) -> fn(Said) -> StoreError {
    match (code, code.get(..2)) {
        // No lock in time, a statement or a transaction ended for another, too many connections.
        ("55P03" | "57014" | "40001" | "40P01" | "53300" | "53200", _) => |_| StoreError::Busy,
        ("53100", _) => |source| StoreError::Full { source },
        // A standby, or a database that is set to be read; its disk fails.
        ("25006" | "58030", _) => |source| StoreError::Unwritable { source },
        // It stops, starts, or ended the connection.
        ("57P01" | "57P02" | "57P03" | "57P05" | "25P03", _) | (_, Some("08")) => {
            |source| StoreError::Unreachable { source }
        }
        // The role, the database, or a right is not there.
        ("3D000" | "42501", _) | (_, Some("28")) => |source| StoreError::Denied { source },
        (_, _) => |source| StoreError::Database { source },
    }
}

impl StoreError {
    /// Whether the place where the database is kept is to blame: its disk is full, failing,
    /// read-only or gone, or its server.
    pub fn is_of_place(&self) -> bool {
        matches!(
            self,
            StoreError::Full { .. }
                | StoreError::Unwritable { .. }
                | StoreError::Gone { .. }
                | StoreError::Unreachable { .. }
        )
    }
}

/// Turns a broken uniqueness into [`StoreError::NameTaken`].
pub(crate) fn name_taken(field: &'static str) -> impl Fn(StoreError) -> StoreError {
    move |error| {
        let StoreError::Database { source } = &error else { return error };
        let is_taken = source
            .0
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_unique_violation);
        if is_taken { StoreError::NameTaken { field } } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL says, and whether a caller may try again.
    #[track_caller]
    fn check(code: &str, expected: &str, is_of_place: bool) {
        let error = of_postgres(code)(Said(sqlx::Error::WorkerCrashed));
        let kind = format!("{error:?}");
        let kind = kind.split([' ', '{']).next().unwrap();
        assert_eq!((kind, error.is_of_place()), (expected, is_of_place), "{code}");
    }

    #[test]
    fn each_state_of_postgres_is_what_a_caller_can_do_about_it() {
        check("53100", "Full", true);
        check("58030", "Unwritable", true);
        check("25006", "Unwritable", true);
        check("08006", "Unreachable", true);
        check("57P01", "Unreachable", true);
        check("57P03", "Unreachable", true);
        check("28P01", "Denied", false);
        check("28000", "Denied", false);
        check("3D000", "Denied", false);
        check("42501", "Denied", false);
        check("53300", "Busy", false);
        check("55P03", "Busy", false);
        check("40P01", "Busy", false);
        check("23505", "Database", false);
        check("42601", "Database", false);
    }
}
