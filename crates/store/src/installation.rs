//! Which installation a database is of: what keeps a data directory with its own.

use crate::{
    Store, StoreError,
    db::{Conn, sql},
};

// Above organisations: an installation has them.
const NAME: &str = "SELECT name FROM installation WHERE id = 1";
// Above organisations: an installation has them.
const CLAIM: &str = "
    INSERT INTO installation (id, name) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

impl Store {
    /// The name of the installation; `None` if the database is nobody's yet.
    pub async fn installation(&self) -> Result<Option<String>, StoreError> {
        name(&mut *self.read_above().await?).await
    }

    /// Gives the database a name, unless it has one, and returns the one that it has.
    pub async fn installation_claim(&self, ours: &str) -> Result<String, StoreError> {
        let mut tx = self.write_above().await?;
        let has = claim(&mut tx, ours).await?;
        tx.commit().await?;
        Ok(has)
    }
}

async fn name(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    sql(NAME).scalar_optional(conn).await
}

/// Gives the database a name, unless it has one, and returns the one that it has.
pub(crate) async fn claim(conn: &mut Conn, ours: &str) -> Result<String, StoreError> {
    sql(CLAIM).bind(ours).execute(conn).await?;
    sql(NAME).scalar(conn).await
}
