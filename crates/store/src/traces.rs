//! Traces: who asked an agent for the way to what, and what was found.
//!
//! One that is under way is changed in memory; what is written is that it was asked, and its end.

use std::{net::IpAddr, time::Duration};

use model::{
    Address, AgentId, HopAnswer, HopEnding, HopNote, IncidentId, Name, TargetId, TraceEnd,
    TraceHop, TraceId, TraceOptions, TraceProtocol, TraceState, TraceWhy, UtcMicros,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    AuditEntry, PAGE_ROWS_MAX, Scope, Store, StoreError, audit,
    db::{DbRow, Text, big, damaged, sql},
    targets::address_key,
};

/// Traces of an organisation, some 100 MB with thirty hops each; over it the oldest go, however
/// young they are.
pub const TRACES_KEPT_MAX: u32 = 50_000;
/// Addresses looked up at once: those of all hops of a trace.
const ADDRESSES_MAX: usize = 1_024;

/// A trace that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrace {
    pub agent: AgentId,
    pub agent_name: Name,
    pub target: TargetId,
    pub target_name: Name,
    pub address: Address,
    pub options: TraceOptions,
    pub why: TraceWhy,
    /// The same in a sentence, of what the software asked for by itself; empty else.
    pub why_note: String,
}

/// What became of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceDone {
    pub state: TraceState,
    pub reason: String,
    pub end: Option<TraceEnd>,
    pub resolved: Option<IpAddr>,
    /// By flow and hop count.
    pub hops: Vec<TraceHop>,
}

/// A trace that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRow {
    pub id: TraceId,
    pub new: NewTrace,
    pub done: TraceDone,
    pub asker_kind: String,
    /// Empty for the software itself.
    pub asker_name: String,
    pub created_at: UtcMicros,
    pub ended_at: Option<UtcMicros>,
    /// The incident whose timeline it stands in.
    pub incident: Option<IncidentId>,
}

/// Which traces are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceQuery {
    pub target: Option<TargetId>,
    pub agent: Option<AgentId>,
    /// Those that the software asked for by itself, or those that people did.
    pub is_automatic: Option<bool>,
    /// Those that stand in the timeline of this incident.
    pub incident: Option<IncidentId>,
    pub before: Option<TraceId>,
    pub limit: u32,
}

/// A target with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAt {
    pub address: Address,
    pub target: TargetId,
    pub name: Name,
}

#[derive(Serialize, Deserialize)]
struct OptionsJson {
    protocol: TraceProtocol,
    flows: u8,
    hops_max: u8,
    rounds: u8,
    timeout_ms: u64,
    interval_ms: u64,
    silent_max: u8,
}

#[derive(Serialize, Deserialize)]
struct HopJson {
    flow: u8,
    ttl: u8,
    sent: u16,
    lost: u16,
    answers: Vec<AnswerJson>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_target: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<u8>,
    note: HopNote,
}

#[derive(Serialize, Deserialize)]
struct AnswerJson {
    from: IpAddr,
    received: u16,
    rtt_us: [u32; 3],
}

const ADD: &str = "
    INSERT INTO trace (
        org_id, agent_id, agent_name, target_id, target_name, address, options_json, state, reason,
        ending, resolved, hops_json, asker_kind, asker_name, created_at, why, why_note
    ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', '', '', '[]', $9, $10, $11, $12, $13)
    RETURNING id";
const END: &str = "
    UPDATE trace
       SET state = $3, reason = $4, ending = $5, resolved = $6, hops_json = $7, ended_at = $8
     WHERE org_id = $1
       AND id = $2
       AND ended_at IS NULL";
// Above organisations: those of all of them were under way in the process that has ended.
const INTERRUPT: &str = "
    UPDATE trace
       SET state = $1, reason = $2, ended_at = $3
     WHERE ended_at IS NULL";
const GET: &str = "
    SELECT id, agent_id, agent_name, target_id, target_name, address, options_json, state, reason,
           ending, resolved, hops_json, asker_kind, asker_name, created_at, ended_at,
           why, why_note, incident_number
      FROM trace
     WHERE org_id = $1
       AND id = $2";
const LIST: &str = "
    SELECT id, agent_id, agent_name, target_id, target_name, address, options_json, state, reason,
           ending, resolved, '[]' AS hops_json, asker_kind, asker_name, created_at, ended_at,
           why, why_note, incident_number
      FROM trace
     WHERE org_id = ";
const WHO: &str = "
    SELECT id, name, address
      FROM target
     WHERE org_id = ";
pub(crate) const SWEEP: &str = "
    DELETE FROM trace
     WHERE id IN (
               SELECT id
                 FROM trace
                WHERE org_id = $1
                  AND created_at < $2
                  AND ended_at IS NOT NULL
                ORDER BY created_at, id
                LIMIT $3)";
pub(crate) const OVER: &str = "
    DELETE FROM trace
     WHERE id IN (
               SELECT id
                 FROM trace
                WHERE org_id = $1
                  AND ended_at IS NOT NULL
                  AND id <= (
                          SELECT id
                            FROM trace
                           WHERE org_id = $1
                           ORDER BY id DESC
                           LIMIT 1 OFFSET $2)
                ORDER BY id
                LIMIT $3)";

impl Store {
    /// Writes that a trace is asked for, and by whom.
    pub async fn trace_add(
        &self,
        scope: &Scope,
        new: &NewTrace,
        now: UtcMicros,
    ) -> Result<TraceRow, StoreError> {
        let mut tx = self.write(scope.org).await?;
        let id: u32 = sql(ADD)
            .bind(scope.org.0)
            .bind(new.agent.0)
            .bind(new.agent_name.as_str())
            .bind(new.target.0)
            .bind(new.target_name.as_str())
            .bind(new.address.to_string())
            .bind(options_json(&new.options)?)
            .bind(TraceState::Ordered.as_str())
            .bind(scope.actor.kind())
            .bind(scope.actor.name())
            .bind(now.0)
            .bind(new.why.as_str())
            .bind(new.why_note.as_str())
            .scalar(&mut tx)
            .await?;
        let entry = AuditEntry {
            action: "trace.run",
            object_kind: "trace",
            object_id: Some(id),
            object_name: new.target_name.as_str(),
            before: None,
            after: Some(json!({
                "agent": new.agent_name.as_str(),
                "address": new.address.to_string(),
                "protocol": new.options.protocol,
                "flows": new.options.flows,
                "rounds": new.options.rounds,
                "why": new.why,
            })),
        };
        audit::record(&mut tx, scope, &entry, now).await?;
        tx.commit().await?;
        Ok(TraceRow {
            id: TraceId(id),
            new: new.clone(),
            done: TraceDone {
                state: TraceState::Ordered,
                reason: String::new(),
                end: None,
                resolved: None,
                hops: Vec::new(),
            },
            asker_kind: scope.actor.kind().to_owned(),
            asker_name: scope.actor.name().to_owned(),
            created_at: now,
            ended_at: None,
            incident: None,
        })
    }

    /// Writes what became of a trace; one that has an end keeps it.
    pub async fn trace_end(
        &self,
        scope: &Scope,
        id: TraceId,
        done: &TraceDone,
        now: UtcMicros,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope.org).await?;
        sql(END)
            .bind(scope.org.0)
            .bind(id.0)
            .bind(done.state.as_str())
            .bind(done.reason.clone())
            .bind(done.end.map_or("", TraceEnd::as_str))
            .bind(done.resolved.map(|address| address.to_string()).unwrap_or_default())
            .bind(hops_json(&done.hops)?)
            .bind(now.0)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Ends what was under way when the process before this one ended; returns how many.
    pub async fn traces_interrupt(&self, reason: &str, now: UtcMicros) -> Result<u64, StoreError> {
        let mut tx = self.write_above().await?;
        let ended = sql(INTERRUPT)
            .bind(TraceState::Failed.as_str())
            .bind(reason.to_owned())
            .bind(now.0)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// A trace with its hops, as it is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if the organisation has none with this id.
    pub async fn trace_get(&self, scope: &Scope, id: TraceId) -> Result<TraceRow, StoreError> {
        let mut tx = self.read(scope.org).await?;
        let row = sql(GET).bind(scope.org.0).bind(id.0).fetch_optional(&mut tx).await?;
        trace_row(&row.ok_or(StoreError::NotFound { what: "trace" })?)
    }

    /// Lists the newest first, without their hops: a page, and one row more to know whether there
    /// is another.
    pub async fn trace_list(
        &self,
        scope: &Scope,
        query: &TraceQuery,
    ) -> Result<Vec<TraceRow>, StoreError> {
        let mut text = Text::new(LIST);
        text.value(scope.org.0);
        if let Some(target) = query.target {
            text.push(" AND target_id = ").value(target.0);
        }
        if let Some(agent) = query.agent {
            text.push(" AND agent_id = ").value(agent.0);
        }
        if let Some(is_automatic) = query.is_automatic {
            text.push(if is_automatic { " AND why <> " } else { " AND why = " });
            text.value(TraceWhy::Asked.as_str());
        }
        if let Some(incident) = query.incident {
            text.push(" AND incident_number = ").value(incident.0);
        }
        let before = query.before.map_or(i64::MAX, |id| big(id.0.into()));
        text.push(" AND id < ").value(before);
        text.push(" ORDER BY id DESC LIMIT ").value(query.limit.min(PAGE_ROWS_MAX + 1));
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        rows.iter().map(trace_row).collect()
    }

    /// The targets that have one of these addresses, the first of each.
    pub async fn targets_at(
        &self,
        scope: &Scope,
        addresses: &[Address],
    ) -> Result<Vec<TargetAt>, StoreError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let mut text = Text::new(WHO);
        text.value(scope.org.0);
        for (at, address) in addresses.iter().take(ADDRESSES_MAX).enumerate() {
            text.push(if at == 0 { " AND address_key IN (" } else { ", " });
            text.value(address_key(address));
        }
        text.push(") ORDER BY id LIMIT ").value(u32::try_from(ADDRESSES_MAX).unwrap_or(u32::MAX));
        let rows = text.fetch_all(&mut *self.read(scope.org).await?).await?;
        let mut found: Vec<TargetAt> = Vec::new();
        for row in &rows {
            let address = row.address("address")?;
            if found.iter().all(|known| known.address != address) {
                let (target, name) = (TargetId(row.value("id")?), row.name("name")?);
                found.push(TargetAt { address, target, name });
            }
        }
        Ok(found)
    }
}

fn options_json(options: &TraceOptions) -> Result<String, StoreError> {
    let in_ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let json = OptionsJson {
        protocol: options.protocol,
        flows: options.flows,
        hops_max: options.hops_max,
        rounds: options.rounds,
        timeout_ms: in_ms(options.timeout),
        interval_ms: in_ms(options.interval),
        silent_max: options.silent_max,
    };
    serde_json::to_string(&json).map_err(|_| damaged("options_json"))
}

fn options_of(text: &str) -> Result<TraceOptions, StoreError> {
    let json: OptionsJson = serde_json::from_str(text).map_err(|_| damaged("options_json"))?;
    Ok(TraceOptions {
        protocol: json.protocol,
        flows: json.flows,
        hops_max: json.hops_max,
        rounds: json.rounds,
        timeout: Duration::from_millis(json.timeout_ms),
        interval: Duration::from_millis(json.interval_ms),
        silent_max: json.silent_max,
    })
}

fn hops_json(hops: &[TraceHop]) -> Result<String, StoreError> {
    let hop = |hop: &TraceHop| HopJson {
        flow: hop.flow,
        ttl: hop.ttl,
        sent: hop.sent,
        lost: hop.lost,
        answers: hop
            .answers
            .iter()
            .map(|answer| AnswerJson {
                from: answer.from,
                received: answer.received,
                rtt_us: [answer.rtt_us_min, answer.rtt_us_mean, answer.rtt_us_max],
            })
            .collect(),
        is_target: hop.ending == Some(HopEnding::Reached),
        refused: match hop.ending {
            Some(HopEnding::Unreachable { code }) => Some(code),
            Some(HopEnding::Reached) | None => None,
        },
        note: hop.note,
    };
    let hops: Vec<HopJson> = hops.iter().map(hop).collect();
    serde_json::to_string(&hops).map_err(|_| damaged("hops_json"))
}

fn hops_of(text: &str) -> Result<Vec<TraceHop>, StoreError> {
    let hops: Vec<HopJson> = serde_json::from_str(text).map_err(|_| damaged("hops_json"))?;
    let answer = |answer: AnswerJson| {
        let [rtt_us_min, rtt_us_mean, rtt_us_max] = answer.rtt_us;
        let AnswerJson { from, received, .. } = answer;
        HopAnswer { from, received, rtt_us_min, rtt_us_mean, rtt_us_max }
    };
    let hop = |hop: HopJson| TraceHop {
        flow: hop.flow,
        ttl: hop.ttl,
        sent: hop.sent,
        lost: hop.lost,
        answers: hop.answers.into_iter().map(answer).collect(),
        ending: match (hop.is_target, hop.refused) {
            (true, _) => Some(HopEnding::Reached),
            (false, Some(code)) => Some(HopEnding::Unreachable { code }),
            (false, None) => None,
        },
        note: hop.note,
    };
    Ok(hops.into_iter().map(hop).collect())
}

fn trace_row(row: &DbRow) -> Result<TraceRow, StoreError> {
    let end: &str = row.value("ending")?;
    let resolved: &str = row.value("resolved")?;
    let resolved = match resolved {
        "" => None,
        text => Some(text.parse().map_err(|_| damaged("trace.resolved"))?),
    };
    Ok(TraceRow {
        id: TraceId(row.value("id")?),
        new: NewTrace {
            agent: AgentId(row.value("agent_id")?),
            agent_name: row.name("agent_name")?,
            target: TargetId(row.value("target_id")?),
            target_name: row.name("target_name")?,
            address: row.address("address")?,
            options: options_of(row.value("options_json")?)?,
            why: row.parsed("why", TraceWhy::parse)?,
            why_note: row.value("why_note")?,
        },
        done: TraceDone {
            state: row.parsed("state", TraceState::parse)?,
            reason: row.value("reason")?,
            end: match end {
                "" => None,
                text => Some(TraceEnd::parse(text).ok_or_else(|| damaged("trace.ending"))?),
            },
            resolved,
            hops: hops_of(row.value("hops_json")?)?,
        },
        asker_kind: row.value("asker_kind")?,
        asker_name: row.value("asker_name")?,
        created_at: row.at("created_at")?,
        ended_at: row.at_opt("ended_at")?,
        incident: row.number_opt("incident_number")?.map(IncidentId),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ORG_DEFAULT;

    #[tokio::test]
    async fn what_is_too_old_goes_and_over_the_limit_the_oldest_but_nothing_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("t.db")).await.unwrap();
        let scope = Scope::system(ORG_DEFAULT);
        let name = Name::parse("a").unwrap();
        let new = NewTrace {
            agent: AgentId(1),
            agent_name: name.clone(),
            target: TargetId(1),
            target_name: name,
            address: Address::parse("192.0.2.1").unwrap(),
            options: TraceOptions::default(),
            why: TraceWhy::Asked,
            why_note: String::new(),
        };
        let done = TraceDone {
            state: TraceState::Done,
            reason: String::new(),
            end: None,
            resolved: None,
            hops: Vec::new(),
        };
        // The first one is never ended.
        for at in 1..=5 {
            let id = store.trace_add(&scope, &new, UtcMicros(at)).await.unwrap().id;
            if 1 < at {
                store.trace_end(&scope, id, &done, UtcMicros(at)).await.unwrap();
            }
        }
        let kept = async || -> Vec<u32> {
            let query = TraceQuery { limit: 10, ..TraceQuery::default() };
            let rows = store.trace_list(&scope, &query).await.unwrap();
            rows.iter().map(|row| row.id.0).collect()
        };
        for (text, bound, left) in
            [(SWEEP, 3, vec![5, 4, 3, 1]), (OVER, 3, vec![5, 4, 3, 1]), (OVER, 2, vec![5, 4, 1])]
        {
            let mut tx = store.write(scope.org).await.unwrap();
            let sweep = sql(text).bind(scope.org.0).bind(bound).bind(100);
            sweep.execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(kept().await, left, "{bound}");
        }
    }
}
