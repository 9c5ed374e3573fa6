//! Enrolment: one-time tokens (as hashes), and what became of every certificate ever issued.
//!
//! A serial that is not known here is nobody's: the answer is `Unknown`, never `Active`.

use model::{AgentId, OrgId, UtcMicros};
use serde_json::json;

use crate::{
    Actor, AgentRow, AuditEntry, CertificateStatus, Changed, NewCertificate, Scope, Store,
    StoreError, TokenHash, agents, audit,
    db::{Tx, sql},
};

const TOKENS_VOID: &str = "
    DELETE FROM enrolment_token
     WHERE org_id = $1
       AND agent_id = $2";
const TOKEN_ADD: &str = "
    INSERT INTO enrolment_token (secret_hash, org_id, agent_id, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5)";
const TOKEN_REDEEM: &str = "
    UPDATE enrolment_token
       SET redeemed_at = $2
     WHERE secret_hash = $1
       AND redeemed_at IS NULL
       AND expires_at > $2
    RETURNING org_id, agent_id";
// Revoking voids every token, redeemed or not: one that is there was made later.
const TOKEN_REDEEMED: &str = "
    SELECT count(*)
      FROM enrolment_token
     WHERE org_id = $1
       AND agent_id = $2
       AND redeemed_at IS NOT NULL";
const CERTIFICATE_ADD: &str = "
    INSERT INTO certificate (serial, org_id, agent_id, not_before, not_after)
    VALUES ($1, $2, $3, $4, $5)";
const CERTIFICATE_STATUS: &str = "
    SELECT org_id, agent_id, revoked_at FROM certificate WHERE serial = $1";
const CERTIFICATES_REVOKE: &str = "
    UPDATE certificate
       SET revoked_at = $3
     WHERE org_id = $1
       AND agent_id = $2
       AND revoked_at IS NULL
    RETURNING serial";
impl Store {
    /// Keeps the hash of a new token and voids the agent's earlier ones.
    pub async fn token_create(
        &self,
        scope: &Scope,
        agent: AgentId,
        token: &TokenHash,
        expires_at: UtcMicros,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        let row = agents::get(&mut tx, scope.org, agent).await?;
        sql(TOKENS_VOID).bind(scope.org.0).bind(agent.0).execute(&mut tx).await?;
        sql(TOKEN_ADD)
            .bind(token.as_slice())
            .bind(scope.org.0)
            .bind(agent.0)
            .bind(now.0)
            .bind(expires_at.0)
            .execute(&mut tx)
            .await?;
        let entry = AuditEntry {
            after: Some(json!({ "expires_at": expires_at.to_string() })),
            ..agents::entry("agent.create_token", &row)
        };
        audit::record(&mut tx, scope, &entry, now).await?;
        tx.commit().await
    }

    /// Takes a token for what it is worth, once; `None` if it is unknown, used or expired.
    pub async fn token_redeem(
        &self,
        token: &TokenHash,
        now: UtcMicros,
    ) -> Result<Option<(OrgId, AgentRow)>, StoreError> {
        let mut tx = self.write_above().await?;
        let redeemed =
            sql(TOKEN_REDEEM).bind(token.as_slice()).bind(now.0).fetch_optional(&mut tx).await?;
        let Some(redeemed) = redeemed else {
            return Ok(None);
        };
        let agent = AgentId(redeemed.number("agent_id")?);
        let scope = Scope { org: OrgId(redeemed.number("org_id")?), actor: Actor::Agent(agent) };
        let row = agents::get(&mut tx, scope.org, agent).await?;
        let entry = agents::entry("agent.redeem_token", &row);
        audit::record(&mut tx, &scope, &entry, now).await?;
        tx.commit().await?;
        Ok(Some((scope.org, row)))
    }

    /// Keeps a certificate that was issued. An agent that was revoked is trusted again, if it has
    /// redeemed a token since.
    ///
    /// # Errors
    ///
    /// [`StoreError::AgentRevoked`] if it has not: a renewal or enrolment that was under way when
    /// somebody revoked the agent must not undo it.
    pub async fn certificate_add(
        &self,
        scope: &Scope,
        new: &NewCertificate,
        now: UtcMicros,
    ) -> Result<Changed<AgentRow>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = agents::get(&mut tx, scope.org, new.agent).await?;
        if before.is_revoked {
            let redeemed: i64 =
                sql(TOKEN_REDEEMED).bind(scope.org.0).bind(new.agent.0).scalar(&mut tx).await?;
            if redeemed == 0 {
                return Err(StoreError::AgentRevoked);
            }
        }
        sql(CERTIFICATE_ADD)
            .bind(&new.serial)
            .bind(scope.org.0)
            .bind(new.agent.0)
            .bind(new.not_before.0)
            .bind(new.not_after.0)
            .execute(&mut tx)
            .await?;
        let entry = AuditEntry {
            after: Some(json!({
                "serial": new.serial,
                "not_after": new.not_after.to_string(),
            })),
            ..agents::entry("agent.add_certificate", &before)
        };
        audit::record(&mut tx, scope, &entry, now).await?;
        let after = AgentRow { is_revoked: false, ..before.clone() };
        let mut changed =
            agents::update(&mut tx, scope, "agent.restore", (&before, after), now).await?;
        changed.row = agents::get(&mut tx, scope.org, new.agent).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Says what is known of a serial.
    pub async fn certificate_status(&self, serial: &str) -> Result<CertificateStatus, StoreError> {
        let row = sql(CERTIFICATE_STATUS)
            .bind(serial)
            .fetch_optional(&mut *self.read_above().await?)
            .await?;
        let Some(row) = row else {
            return Ok(CertificateStatus::Unknown);
        };
        let org = OrgId(row.number("org_id")?);
        let agent = AgentId(row.number("agent_id")?);
        Ok(match row.at_opt("revoked_at")? {
            None => CertificateStatus::Active { org, agent },
            Some(_) => CertificateStatus::Revoked { org, agent },
        })
    }

    /// Revokes every certificate and token of an agent; gives the serials.
    pub async fn certificates_revoke(
        &self,
        scope: &Scope,
        agent: AgentId,
        now: UtcMicros,
    ) -> Result<Changed<Vec<String>>, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let before = agents::get(&mut tx, scope.org, agent).await?;
        let serials = revoke(&mut tx, scope, agent, now).await?;
        let after = AgentRow { is_revoked: true, ..before.clone() };
        let changed = agents::update(&mut tx, scope, "agent.revoke", (&before, after), now).await?;
        tx.commit().await?;
        Ok(Changed { row: serials, version: changed.version, changes: changed.changes })
    }
}

/// Revokes certificates and voids tokens; gives the serials.
pub(crate) async fn revoke(
    tx: &mut Tx,
    scope: &Scope,
    agent: AgentId,
    now: UtcMicros,
) -> Result<Vec<String>, StoreError> {
    sql(TOKENS_VOID).bind(scope.org.0).bind(agent.0).execute(tx).await?;
    sql(CERTIFICATES_REVOKE).bind(scope.org.0).bind(agent.0).bind(now.0).scalars(tx).await
}
