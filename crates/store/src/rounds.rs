//! Rounds as rows: what each agent asked and heard, for the page behind a minute.
//!
//! Rounds of gateways and witnesses are nobody's target and are not kept.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use model::{
    AgentId, Confirm, IcmpError, OrgId, Outcome, ProbeId, Round, RoundBatch, RoundFlags, Rtt,
    Subject, UtcMicros,
};
use sqlx::sqlite::SqliteRow;

use crate::{
    MINUTES_MAX, PAGE_ROWS_MAX, Ref, RoundCursor, RoundPage, RoundQuery, RoundRow, Scope, Store,
    StoreError, code,
    db::{Bulk, Columns, Tx, damaged},
};

/// More agents than may exist: organisations times their limit, far from here.
const AGENT_ORGS_MAX: u32 = 100_000;

const AGENT_ORGS: &str = "SELECT id, org_id FROM agent ORDER BY id LIMIT $1";
const ROUND_ADD: Bulk = Bulk {
    head: "INSERT INTO probe_round (
               org_id, minute, probe_id, agent_id, at, sent, received,
               confirm_sent, confirm_received, rtt_us_min, rtt_us_mean, rtt_us_max,
               flags, not_asked, icmp_kind, icmp_code, icmp_source
           ) VALUES",
    columns: 17,
    tail: "ON CONFLICT (org_id, minute, probe_id, agent_id, at) DO NOTHING",
};
const FRESHNESS_SET: &str = "
    INSERT INTO freshness (org_id, newest_round_at) VALUES ($1, $2)
    ON CONFLICT (org_id) DO UPDATE SET newest_round_at = excluded.newest_round_at
     WHERE freshness.newest_round_at < excluded.newest_round_at";

// The minutes are counted out and each is searched for: the table is clustered by minute.
// CROSS JOIN keeps SQLite's planner to this order; elsewhere it means nothing.
const ROUNDS: &str = "
    WITH RECURSIVE wanted (minute) AS (
        SELECT CAST($3 AS BIGINT)
         UNION ALL
        SELECT minute + 1 FROM wanted WHERE minute < $4
    )
    SELECT agent_id, coalesce(agent.name, tombstone.name) AS agent_name, at, sent, received,
           confirm_sent, confirm_received, rtt_us_min, rtt_us_mean, rtt_us_max,
           flags, not_asked, icmp_kind, icmp_code, icmp_source
      FROM wanted
      CROSS JOIN probe_round
      LEFT JOIN agent ON agent.id = probe_round.agent_id
      LEFT JOIN tombstone ON tombstone.kind = 'agent'
                         AND tombstone.object_id = probe_round.agent_id
     WHERE probe_round.org_id = $1
       AND probe_round.minute = wanted.minute
       AND probe_round.probe_id = $2
       AND probe_round.at >= $5
       AND probe_round.at < $6
       AND (probe_round.at, probe_round.agent_id) > ($7, $8)
       AND ($9 = 0 OR probe_round.agent_id = $9)
     ORDER BY probe_round.at, probe_round.agent_id
     LIMIT $10";

impl Store {
    /// Lists the rounds of a probe, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] if the range is longer than [`MINUTES_MAX`] minutes.
    pub async fn rounds(&self, scope: &Scope, query: &RoundQuery) -> Result<RoundPage, StoreError> {
        let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
        let (first, last) = (query.from.minute(), query.to.minute());
        if i64::from(MINUTES_MAX) < last.0.saturating_sub(first.0) {
            return Err(StoreError::TooMany { what: "minutes", max: MINUTES_MAX as usize });
        }
        let after =
            query.after.unwrap_or(RoundCursor { at: UtcMicros(i64::MIN), agent: AgentId(0) });
        let first = first.max(after.at.minute());
        let found = sqlx::query(ROUNDS)
            .bind(scope.org.0)
            .bind(query.probe.0)
            .bind(first.0)
            .bind(last.0)
            .bind(query.from.0)
            .bind(query.to.0)
            .bind(after.at.0)
            .bind(after.agent.0)
            .bind(query.agent.map_or(0, |agent| agent.0))
            .bind(limit.saturating_add(1))
            .fetch_all(self.readers())
            .await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            rows.push(round_row(query.probe, row)?);
        }
        let has_next = limit < u32::try_from(rows.len()).unwrap_or(u32::MAX);
        rows.truncate(limit as usize);
        let next = rows
            .last()
            .filter(|_| has_next)
            .map(|row| RoundCursor { at: row.round.at, agent: row.agent.id });
        Ok(RoundPage { rows, next })
    }
}

impl RoundCursor {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<RoundCursor> {
        let (at, agent) = text.split_once('.')?;
        Some(RoundCursor { at: UtcMicros(at.parse().ok()?), agent: agent.parse().ok()? })
    }
}

impl fmt::Display for RoundCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.0, self.agent)
    }
}

/// A round of a probe, with whose it is.
struct Placed<'a> {
    org: OrgId,
    agent: AgentId,
    probe: ProbeId,
    round: &'a Round,
}

pub(crate) async fn write(tx: &mut Tx, batches: &[RoundBatch]) -> Result<(), StoreError> {
    if batches.is_empty() {
        return Ok(());
    }
    let mut orgs = BTreeMap::new();
    let rows = sqlx::query(AGENT_ORGS).bind(AGENT_ORGS_MAX).fetch_all(&mut **tx).await?;
    for row in &rows {
        orgs.insert(AgentId(row.number("id")?), OrgId(row.number("org_id")?));
    }
    let mut placed = Vec::new();
    for batch in batches {
        // An agent that was deleted meanwhile leaves nothing behind.
        let Some(org) = orgs.get(&batch.agent) else {
            continue;
        };
        placed.extend(batch.rounds.iter().filter_map(|round| match round.subject {
            Subject::Probe(probe) => Some(Placed { org: *org, agent: batch.agent, probe, round }),
            Subject::Gateway | Subject::Witness(_) => None,
        }));
    }
    // In the order of the key, so that pages are filled one after the other.
    placed.sort_by_key(|p| (p.org, p.round.at.minute(), p.probe, p.agent, p.round.at));
    ROUND_ADD.run(tx, &placed, bind).await?;
    let mut newest: BTreeMap<OrgId, UtcMicros> = BTreeMap::new();
    for round in &placed {
        let at = newest.entry(round.org).or_insert(round.round.at);
        *at = round.round.at.max(*at);
    }
    for (org, at) in newest {
        sqlx::query(FRESHNESS_SET).bind(org.0).bind(at.0).execute(&mut **tx).await?;
    }
    Ok(())
}

fn bind(placed: &Placed<'_>, row: &mut crate::db::Binder) {
    let round = placed.round;
    let (sent, received, rtt, confirm, not_asked) = match round.outcome {
        Outcome::Asked { sent, received, rtt, confirm } => (sent, received, rtt, confirm, None),
        Outcome::NotAsked(reason) => {
            let number = code::of_not_asked(reason);
            (0, 0, None, Confirm::default(), Some(number))
        }
    };
    row.add(placed.org.0)
        .add(round.at.minute().0)
        .add(placed.probe.0)
        .add(placed.agent.0)
        .add(round.at.0)
        .add(sent)
        .add(received)
        .add(confirm.sent)
        .add(confirm.received)
        .add(rtt.map(|r| r.us_min))
        .add(rtt.map(|r| r.us_mean))
        .add(rtt.map(|r| r.us_max))
        .add(round.flags.0)
        .add(not_asked)
        .add(round.icmp_error.map(|e| e.kind))
        .add(round.icmp_error.map(|e| e.code))
        .add(round.icmp_error.map(|e| e.source.to_string()));
}

fn round_row(probe: ProbeId, row: &SqliteRow) -> Result<RoundRow, StoreError> {
    let rtt = match row.number_opt("rtt_us_min")? {
        None => None,
        Some(us_min) => Some(Rtt {
            us_min,
            us_mean: row.number("rtt_us_mean")?,
            us_max: row.number("rtt_us_max")?,
        }),
    };
    let outcome = match row.number_opt("not_asked")? {
        Some(number) => Outcome::NotAsked(
            code::not_asked(number).ok_or_else(|| damaged("probe_round.not_asked"))?,
        ),
        None => Outcome::Asked {
            sent: row.number("sent")?,
            received: row.number("received")?,
            rtt,
            confirm: Confirm {
                sent: row.number("confirm_sent")?,
                received: row.number("confirm_received")?,
            },
        },
    };
    let icmp_error = match row.number_opt("icmp_kind")? {
        None => None,
        Some(kind) => Some(IcmpError {
            kind,
            code: row.number("icmp_code")?,
            source: row.text::<IpAddr>("icmp_source")?,
        }),
    };
    Ok(RoundRow {
        agent: Ref { id: AgentId(row.number("agent_id")?), name: row.name("agent_name")? },
        round: Round {
            subject: Subject::Probe(probe),
            at: row.at("at")?,
            outcome,
            flags: RoundFlags(row.number("flags")?),
            icmp_error,
        },
    })
}
