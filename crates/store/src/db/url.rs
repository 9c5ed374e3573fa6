//! Where a database is.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use sqlx::postgres::PgConnectOptions;

/// What a URL may say besides who, where and which: anything else is a misspelling, and what it
/// was meant to say may be a secret, so it is named without its value.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
/// A URL is one line.
const URL_BYTES_MAX: usize = 4_096;
const EXAMPLE: &str = "such as `postgresql://faultline:password@db.example.net/faultline`";

/// Which database a store is over.
#[derive(Clone, Debug)]
pub enum Database {
    /// The file of SQLite.
    Sqlite(PathBuf),
    Postgres(DatabaseUrl),
}

/// Says where it is, without what opens it.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::Sqlite(path) => write!(f, "{}", path.display()),
            Database::Postgres(url) => write!(f, "{url}"),
        }
    }
}

impl From<&Path> for Database {
    fn from(path: &Path) -> Database {
        Database::Sqlite(path.to_owned())
    }
}

/// A PostgreSQL database with the role and the password that open it. It shows neither password
/// nor anything else that a URL may carry but host and database.
#[derive(Clone)]
pub struct DatabaseUrl {
    options: Box<PgConnectOptions>,
    shown: String,
}

/// Why a text is no [`DatabaseUrl`]; it repeats nothing of the text that could be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UrlError {
    pub reason: String,
}

impl DatabaseUrl {
    /// Reads `postgresql://user:password@host:port/database?sslmode=verify-full`. What it leaves
    /// out comes from the variables that every program of PostgreSQL reads (`PGPASSWORD`,
    /// `~/.pgpass`), but for the name of the database, which it must give.
    ///
    /// # Errors
    ///
    /// [`UrlError`] with the reason.
    pub fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
        let refused = |reason: &str| UrlError { reason: format!("{reason}, {EXAMPLE}") };
        if URL_BYTES_MAX < text.len() {
            return Err(refused("is longer than 4096 bytes"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refused("is not a URL"));
        };
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(refused("begins with something else than `postgresql://`"));
        }
        for pair in rest.split_once('?').map_or("", |(_, query)| query).split('&') {
            let key = pair.split('=').next().unwrap_or_default();
            let is_option = key.starts_with("options[") || key.starts_with("options%5B");
            if !(pair.is_empty() || is_option || PARAMETERS.contains(&key)) {
                return Err(refused("has a parameter that nobody knows"));
            }
        }
        let unreadable =
            "cannot be read: is `@`, `/` or `#` in the password written as `%40`, `%2F`, `%23`?";
        let options = PgConnectOptions::from_str(text).map_err(|_| refused(unreadable))?;
        let is_named = rest
            .split('?')
            .next()
            .and_then(|address| address.split_once('/'))
            .is_some_and(|(_, name)| !name.is_empty());
        let Some(name) = options.get_database().filter(|_| is_named || rest.contains("dbname="))
        else {
            return Err(refused("names no database"));
        };
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let shown = format!("PostgreSQL {host}/{name}");
        Ok(DatabaseUrl { options: Box::new(options), shown })
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::clone(&self.options)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_never_how() {
        for (text, shown) in [
            ("postgres://a:s3cret@db.example.net/faultline", "db.example.net:5432/faultline"),
            ("postgresql://a:s3cret@[::1]:5433/f?sslmode=require", "[::1]:5433/f"),
            ("postgresql://a@%2Frun%2Fpostgresql/f?password=s3cret", "/run/postgresql/f"),
            ("postgresql:///f?host=/tmp&user=a&password=s3cret", "/tmp/f"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), format!("PostgreSQL {shown}"));
            let database = Database::Postgres(url);
            assert!(!format!("{database:?} {database}").contains("s3cret"));
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for (text, reason) in [
            ("mysql://a:s3cret@host/f", "something else than"),
            ("faultline.db", "is not a URL"),
            ("postgresql://a:s3cret@host", "names no database"),
            ("postgresql://a:s3cret@host/", "names no database"),
            ("postgresql://a:s3cret@host/f?passwort=s3cret", "nobody knows"),
            ("postgresql://a:s3/cret@host/f", "cannot be read"),
            ("postgresql://a:s3cret@host/f?sslmode=s3cret", "cannot be read"),
        ] {
            let error = DatabaseUrl::parse(text).unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {error}");
            assert!(!error.reason.contains("s3"), "{error}");
        }
    }
}
