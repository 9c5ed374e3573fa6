//! Agents: created by a person, enrolled with a one-time token, cut off at once.

use engine::graph::Draft;
use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{AgentId, AgentState, UtcMicros};
use store::{AgentPatch, AgentRow, NewAgent, Scope};

use super::{App, AppError, keys::Secret, live::AgentVitals};
use crate::authority::token_hash;

/// Long enough to walk to the host, short enough that a forgotten token is worthless.
pub(crate) const TOKEN_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Starts every enrolment token; the digit is the version of its form.
const TOKEN_PREFIX: &str = "flt1.";

/// A one-time token and the command that uses it. It never shows itself in a log.
pub(crate) struct Enrolment {
    pub(crate) token: String,
    pub(crate) command: String,
    pub(crate) expires_at: UtcMicros,
    /// Why it may not do what it is for, with the remedy.
    pub(crate) warning: Option<String>,
}

/// What to know before a token is taken to another host: that it leads nowhere from there.
fn warning(addresses: &[String]) -> Option<String> {
    let is_loopback = |address: &String| {
        let ip = address.parse::<SocketAddr>().map(|address| address.ip().is_loopback());
        ip.unwrap_or(address.starts_with("localhost:"))
    };
    let first = addresses.first().filter(|_| addresses.iter().all(is_loopback))?;
    Some(format!(
        "with this token only an agent on the server's own machine reaches it, at {first}. For one \
         elsewhere start the server with --agent-listen 0.0.0.0:7481 (FAULTLINE_AGENT_LISTEN), or \
         say at which address it is reached by `agents.advertise` (FAULTLINE_AGENT_ADVERTISE), and \
         make a new token"
    ))
}

/// What a token carries: where the server is, how to recognise it, and the secret.
#[derive(serde::Serialize)]
struct TokenBody<'a> {
    a: &'a [String],
    f: &'a str,
    s: &'a str,
}

impl App {
    pub(crate) async fn agents(&self, scope: &Scope) -> Result<Vec<AgentRow>, AppError> {
        Ok(self.store.agent_list(scope).await?)
    }

    pub(crate) async fn agent_get(&self, scope: &Scope, id: AgentId) -> Result<AgentRow, AppError> {
        Ok(self.store.agent_get(scope, id).await?)
    }

    /// An agent as it was last heard; nothing of it if it was not since the server started.
    pub(crate) fn agent_vitals(&self, id: AgentId) -> AgentVitals {
        self.conductor.agent_vitals(id).unwrap_or_default()
    }

    /// Since when an agent is waited for that was heard before the server started and not since:
    /// what is held of it was true then. `None` for every other.
    pub(crate) fn awaited_since(&self, agent: &AgentRow) -> Option<UtcMicros> {
        let was_heard = match agent.state {
            AgentState::Online | AgentState::Blind => true,
            AgentState::NeverSeen | AgentState::Offline => false,
        };
        let is_heard = self.agent_vitals(agent.id).last_heartbeat_at.is_some();
        (was_heard && !is_heard).then(|| self.conductor.vitals().started_at)
    }

    pub(crate) async fn agent_create(
        &self,
        scope: &Scope,
        new: NewAgent,
    ) -> Result<(AgentRow, Enrolment), AppError> {
        let (store, by, now) = (self.store.clone(), scope.clone(), self.clock.now());
        let row = self.change(async move { store.agent_create(&by, &new, now).await }).await?;
        let enrolment = self.agent_token(scope, row.id).await?;
        Ok((row, enrolment))
    }

    pub(crate) async fn agent_update(
        &self,
        scope: &Scope,
        id: AgentId,
        mut patch: AgentPatch,
    ) -> Result<AgentRow, AppError> {
        let mut renaming = None;
        if let Some(to) = patch.name.clone() {
            let turn = self.topology_turn().await;
            let from = self.agent_get(scope, id).await?.name;
            if from != to {
                let rename =
                    move |draft: &mut Draft| Ok(draft.rename_agent(from.as_str(), to.as_str()));
                patch.topology = self.topology_rename(scope, &turn, rename).await?;
            }
            renaming = Some(turn);
        }
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        let has_witnesses = patch.witnesses.is_some();
        let row = self.change(async move { store.agent_update(&scope, id, &patch, now).await });
        let row = row.await?;
        drop(renaming);
        if has_witnesses {
            // The engine knows no witnesses, so it does not say that the agent has others to ask.
            self.conductor.renew_assignments();
        }
        Ok(row)
    }

    pub(crate) async fn agent_delete(&self, scope: &Scope, id: AgentId) -> Result<(), AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        let commit = async move { store.agent_delete(&scope, id, now).await };
        self.change_and(commit, move |conductor| conductor.disconnect(id)).await
    }

    /// Makes a new token; the agent's earlier ones are void.
    pub(crate) async fn agent_token(
        &self,
        scope: &Scope,
        id: AgentId,
    ) -> Result<Enrolment, AppError> {
        let secret = Secret::generate("").map_err(AppError::internal)?;
        let now = self.clock.now();
        let expires_at = now + TOKEN_AGE_MAX;
        let hash = token_hash(&secret.text);
        self.store.token_create(scope, id, &hash, expires_at, now).await?;
        let body = TokenBody {
            a: &self.config.agents.advertise,
            f: &self.authority.fingerprint(),
            s: &secret.text,
        };
        let body = serde_json::to_vec(&body).map_err(AppError::internal)?;
        let token = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(body));
        let command = format!("faultline-agent enroll {token} && faultline-agent run");
        let warning = warning(&self.config.agents.advertise);
        Ok(Enrolment { token, command, expires_at, warning })
    }

    /// Revokes the agent's certificates and ends its stream.
    pub(crate) async fn agent_revoke(&self, scope: &Scope, id: AgentId) -> Result<(), AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        let commit = async move { store.certificates_revoke(&scope, id, now).await };
        self.change_and(commit, move |conductor| conductor.disconnect(id)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_leads_nowhere_from_another_host_is_warned_of() {
        let warned = |addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|a| (*a).to_owned()).collect();
            warning(&addresses)
        };
        let told = warned(&["127.0.0.1:7481", "[::1]:7481", "localhost:7481"]).unwrap();
        for part in ["127.0.0.1:7481", "--agent-listen", "agents.advertise"] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(warned(&["127.0.0.1:7481", "192.0.2.1:7481"]), None);
        assert_eq!(warned(&["monitor.example:7481"]), None);
    }
}
