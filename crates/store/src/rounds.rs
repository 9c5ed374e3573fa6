//! Rounds: what each agent asked and heard, for the page behind a minute.
//!
//! Rounds of gateways and witnesses are nobody's target and are not kept.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    ops::Range,
};

use model::{AgentId, OrgId, ProbeId, RoundBatch, Subject, Times, UtcMicros};

use crate::{
    AgentRef, MINUTES_MAX, ROUNDS_MAX, RoundCursor, RoundPage, RoundQuery, RoundRow, Scope, Store,
    StoreError,
    chunks::{Key, RoundRecord},
    db::{Tx, sql},
    history,
    series::{self, Wanted},
};

/// How far apart rounds mostly are. A page is looked for in the time in which so many of one agent
/// lie, and, if they are fewer, in further ones, each longer than the one before.
const ROUND_SPACING_US: i64 = 30_000_000;
/// Rounds that are looked for beyond those that are wanted: the one that the cursor stands on, and
/// those that the edges cut off. For one that is missing the whole search would be done once more.
const ROUNDS_BEYOND: usize = 8;
const STRETCH_GROWTH: i64 = 4;

/// Rounds that are held at once while times are added up: some 4 MB.
const TIMES_STEP: usize = 50_000;

/// More agents than may exist: organisations times their limit, far from here.
const AGENT_ORGS_MAX: u32 = 100_000;

const AGENT_ORGS: &str = "SELECT id, org_id FROM agent ORDER BY id LIMIT $1";
const FRESHNESS_SET: &str = "
    INSERT INTO freshness (org_id, newest_round_at) VALUES ($1, $2)
    ON CONFLICT (org_id) DO UPDATE SET newest_round_at = excluded.newest_round_at
     WHERE freshness.newest_round_at < excluded.newest_round_at";

impl Store {
    /// Lists the rounds of a probe, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] if the range is longer than [`MINUTES_MAX`] minutes.
    pub async fn rounds(&self, scope: &Scope, query: &RoundQuery) -> Result<RoundPage, StoreError> {
        let limit = query.limit.clamp(1, ROUNDS_MAX);
        let (first, last) = (query.from.minute(), query.to.minute());
        if i64::from(MINUTES_MAX) < last.0.saturating_sub(first.0) {
            return Err(StoreError::TooMany { what: "minutes", max: MINUTES_MAX as usize });
        }
        let after =
            query.after.unwrap_or(RoundCursor { at: UtcMicros(i64::MIN), agent: AgentId(0) });
        let wanted = Wanted {
            org: scope.org,
            subject: query.probe.0,
            agent: query.agent.map(|agent| agent.0),
            from: query.from.max(after.at),
            to: query.to,
        };
        let mut tx = self.read(scope.org).await?;
        let limit = limit as usize;
        let (mut found, decoded) = self.rounds_from(&mut tx, wanted, after, limit + 1).await?;
        let has_next = limit < found.len();
        found.truncate(limit);
        let next = found.last().filter(|_| has_next).map(|(cursor, _)| *cursor);
        let mut agents: BTreeMap<AgentId, AgentRef> = BTreeMap::new();
        for (cursor, _) in &found {
            if let Entry::Vacant(unnamed) = agents.entry(cursor.agent) {
                unnamed.insert(history::agent_name(&mut tx, scope, cursor.agent).await?);
            }
        }
        let row = |(cursor, round): (RoundCursor, RoundRecord)| {
            let agent = agents.get(&cursor.agent)?.clone();
            Some(RoundRow { agent, round: round.round(query.probe) })
        };
        Ok(RoundPage { rows: found.into_iter().filter_map(row).collect(), next, decoded })
    }

    /// Reads at least `count` rounds behind a cursor, oldest first, or all that there are; and says
    /// how many were decoded for that.
    async fn rounds_from(
        &self,
        tx: &mut Tx,
        wanted: Wanted,
        after: RoundCursor,
        count: usize,
    ) -> Result<(Vec<(RoundCursor, RoundRecord)>, usize), StoreError> {
        let (mut found, mut decoded, mut from) = (Vec::new(), 0_usize, wanted.from);
        let spacings = i64::try_from(count.saturating_add(ROUNDS_BEYOND)).unwrap_or(i64::MAX);
        let (mut stretch, mut growth) = (ROUND_SPACING_US.saturating_mul(spacings), 1_usize);
        while from < wanted.to && found.len() < count {
            let to = wanted.to.min(UtcMicros(from.0.saturating_add(stretch)));
            let part = Wanted { from, to, ..wanted };
            let missing = (count - found.len()).saturating_add(ROUNDS_BEYOND);
            let missing = missing.saturating_mul(growth);
            let part = series::read_beginning(tx, &part, missing, self.damage()).await?;
            decoded = decoded.saturating_add(part.decoded);
            for (agent, rounds) in part.series {
                let agent = AgentId(agent);
                let placed = |round: RoundRecord| (RoundCursor { at: round.at, agent }, round);
                let placed = rounds.into_iter().map(placed);
                found.extend(placed.filter(|(cursor, _)| after < *cursor));
            }
            from = part.to;
            // Where rounds lie less evenly than was reckoned, or are none: few reads in all.
            stretch = stretch.saturating_mul(STRETCH_GROWTH);
            growth = growth.saturating_mul(2);
        }
        found.sort_by_key(|(cursor, _)| *cursor);
        Ok((found, decoded))
    }
}

impl Store {
    /// Adds up the times of the rounds of a probe from `from` to before `to`: of each agent, and of
    /// all together as agent 0.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooMany`] if there are more than `rounds_max`; at most some minutes of more
    /// than that are read.
    pub async fn times(
        &self,
        scope: &Scope,
        probe: ProbeId,
        Range { start: mut from, end: to }: Range<UtcMicros>,
        rounds_max: usize,
    ) -> Result<BTreeMap<AgentId, Times>, StoreError> {
        let (mut times, mut count) = (BTreeMap::<AgentId, Times>::new(), 0_usize);
        let mut tx = self.read(scope.org).await?;
        while from < to {
            let rest = Wanted { org: scope.org, subject: probe.0, agent: None, from, to };
            let part =
                series::read_beginning::<RoundRecord>(&mut tx, &rest, TIMES_STEP, self.damage());
            let part = part.await?;
            count = count.saturating_add(part.series.values().map(Vec::len).sum());
            if rounds_max < count {
                return Err(StoreError::TooMany { what: "rounds", max: rounds_max });
            }
            for (agent, rounds) in part.series {
                for agent in [AgentId(0), AgentId(agent)] {
                    let times = times.entry(agent).or_default();
                    rounds.iter().for_each(|round| times.add(&round.outcome));
                }
            }
            from = part.to;
        }
        Ok(times)
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

/// Adds the rounds of a commit.
pub(crate) async fn write(
    tx: &mut Tx,
    batches: &[RoundBatch],
    now: UtcMicros,
) -> Result<(), StoreError> {
    if batches.is_empty() {
        return Ok(());
    }
    let mut orgs = BTreeMap::new();
    let rows = sql(AGENT_ORGS).bind(AGENT_ORGS_MAX).fetch_all(tx).await?;
    for row in &rows {
        orgs.insert(AgentId(row.number("id")?), OrgId(row.number("org_id")?));
    }
    let mut heard: BTreeMap<OrgId, Vec<(Key, RoundRecord)>> = BTreeMap::new();
    for batch in batches {
        // An agent that was deleted meanwhile leaves nothing behind.
        let Some(org) = orgs.get(&batch.agent) else {
            continue;
        };
        let placed = batch.rounds.iter().filter_map(|round| match round.subject {
            Subject::Probe(probe) => {
                Some((Key { subject: probe.0, agent: batch.agent.0 }, RoundRecord::of(round)))
            }
            Subject::Gateway | Subject::Witness(_) => None,
        });
        heard.entry(*org).or_default().extend(placed);
    }
    for (org, rounds) in heard {
        let Some(newest) = rounds.iter().map(|(_, round)| round.at).max() else {
            continue;
        };
        series::add(tx, org, rounds, now).await?;
        sql(FRESHNESS_SET).bind(org.0).bind(newest.0).execute(tx).await?;
    }
    Ok(())
}
