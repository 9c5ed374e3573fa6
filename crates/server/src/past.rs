//! The past of a demo: agents and targets as if they had been there for two weeks, with what was
//! seen of them, written into a data directory before its server starts for the first time.
//!
//! What is on the map in detail (routers, what is beyond the upstreams) has all of it; the lines of
//! customers have as much as is written in a moment. The rest of a server's records is not made up.

use engine::assign::agents_for;
use model::{
    Address, AgentId, Cause, Confirm, Decision, Entity, InventoryChange, Minute, MinuteCounts,
    Name, Outcome, ProbeId, Round, RoundBatch, RoundFlags, Rtt, Strategy, Subject, UtcMicros,
    Verdict,
};
use store::{ImportRow, NewAgent, ORG_DEFAULT, Past, Scope, Store, StoreError, minute_decided};

use crate::{
    config::Config,
    first::{self, FirstError},
};

/// Minutes of one commit: what a block holds when it is sealed.
const COMMIT_MINUTES: i64 = 60;
const DAY_MINUTES: i64 = 1_440;
/// Of what is seen in detail, each agent's rounds and minutes.
const ROUNDS_MINUTES: i64 = DAY_MINUTES;
/// A round of each agent so often, in the rounds that are written.
const ROUND_US: i64 = 30_000_000;
const ROUNDS_PER_MINUTE: i64 = 2;
/// Packets of a round.
const PACKETS: u8 = 5;

/// What was there.
#[derive(Clone, Debug, Default)]
pub struct PastPlan {
    pub agents: Vec<String>,
    pub targets: Vec<PastTarget>,
    /// Agents that ask each target.
    pub agents_per_target: u8,
    /// How far back what is seen in detail goes: minutes, and what they are rolled up to.
    pub days: u16,
    /// How far back the lines of customers go, in minutes.
    pub lines_minutes: i64,
}

/// One target of the past.
#[derive(Clone, Debug)]
pub struct PastTarget {
    pub name: String,
    pub address: Address,
    pub is_detailed: bool,
    /// Round trips from each agent of the plan, in microseconds; `None` where there is no way.
    pub rtts_us: Vec<Option<u32>>,
}

/// What chance and the hour did to a target's packets.
pub trait PastWeather: Send {
    /// What queues added to a round trip in that minute, in microseconds.
    fn queue_us(&mut self, target: usize, minute: Minute) -> u32;

    /// Whether it was out in that minute.
    fn is_out(&self, target: usize, minute: Minute) -> bool;
}

/// Why no past was written.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    First(#[from] FirstError),
    #[error("cannot write the past")]
    Store(#[from] StoreError),
    #[error("the past has a name that is none: {reason}")]
    Name { reason: String },
}

/// One target with what the inventory calls it.
struct Row {
    probe: ProbeId,
    /// Agents that ask it, with what a round trip takes.
    asked_by: Vec<(AgentId, u32)>,
    is_detailed: bool,
}

/// Writes a past that ends with the minute before `now`.
///
/// # Errors
///
/// [`PastError`]; the data directory is then to be thrown away.
pub async fn write_past(
    config: &Config,
    plan: &PastPlan,
    weather: &mut dyn PastWeather,
    now: UtcMicros,
) -> Result<(), PastError> {
    let _lock = first::settle(config)?;
    let store = Store::open_at(&config.database()).await?;
    let scope = Scope::system(ORG_DEFAULT);
    let end = now.minute();
    let begin = Minute(end.0 - i64::from(plan.days) * DAY_MINUTES);
    let mut agents = Vec::new();
    for agent in &plan.agents {
        let new = NewAgent { name: name(agent)?, witnesses: Vec::new() };
        agents.push(store.agent_create(&scope, &new, begin.start()).await?.row.id);
    }
    let rows = inventory(&store, &scope, plan, &agents, begin.start()).await?;
    let mut past = Past::new(store);
    let mut at = begin;
    while at < end {
        let until = Minute((at.0 + COMMIT_MINUTES).min(end.0));
        let (decisions, batches) = span(plan, &rows, &agents, (at, until, end), weather);
        past.commit(&decisions, &batches, until.start()).await?;
        // Once a day is soon enough: what is merged more often is written more often.
        if (until.0 - begin.0) % DAY_MINUTES < COMMIT_MINUTES {
            past.compact(until.start()).await?;
        }
        at = until;
    }
    past.compact(end.start()).await?;
    past.store.close().await;
    Ok(())
}

fn name(text: &str) -> Result<Name, PastError> {
    Name::parse(text).map_err(|error| PastError::Name { reason: error.to_string() })
}

async fn inventory(
    store: &Store,
    scope: &Scope,
    plan: &PastPlan,
    agents: &[AgentId],
    at: UtcMicros,
) -> Result<Vec<Row>, PastError> {
    let mut import = Vec::new();
    for target in &plan.targets {
        import.push(ImportRow {
            name: name(&target.name)?,
            address: target.address.clone(),
            tier: None,
            tags: None,
            note: None,
            is_paused: None,
        });
    }
    store.targets_import(scope, &import, false, at).await?;
    let (_, changes) = store.inventory_snapshot().await?;
    let probes: std::collections::BTreeMap<String, ProbeId> = changes
        .into_iter()
        .filter_map(|change| match change {
            InventoryChange::ProbeSet(spec) => Some((spec.target_name.to_string(), spec.id)),
            InventoryChange::TierSet(_)
            | InventoryChange::TierRemoved(_)
            | InventoryChange::ProbeRemoved(_)
            | InventoryChange::AgentSet(_)
            | InventoryChange::AgentRemoved(_) => None,
        })
        .collect();
    let strategy = Strategy::Count(plan.agents_per_target);
    let rows = plan.targets.iter().filter_map(|target| {
        let probe = *probes.get(&target.name)?;
        let asked_by = agents_for(probe, strategy, agents).into_iter().filter_map(|agent| {
            let at = agents.iter().position(|known| *known == agent)?;
            Some((agent, target.rtts_us.get(at).copied().flatten()?))
        });
        let asked_by = asked_by.collect();
        Some(Row { probe, asked_by, is_detailed: target.is_detailed })
    });
    Ok(rows.collect())
}

/// What is decided and heard of some minutes.
fn span(
    plan: &PastPlan,
    rows: &[Row],
    agents: &[AgentId],
    (from, until, end): (Minute, Minute, Minute),
    weather: &mut dyn PastWeather,
) -> (Vec<Decision>, Vec<RoundBatch>) {
    let mut decisions = Vec::new();
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); agents.len()];
    for minute in (from.0..until.0).map(Minute) {
        let ago = end.0 - minute.0;
        for (target, row) in rows.iter().enumerate() {
            if !row.is_detailed && plan.lines_minutes < ago {
                continue;
            }
            let is_out = weather.is_out(target, minute);
            let has_rounds = row.is_detailed && ago <= ROUNDS_MINUTES;
            let mut all = MinuteCounts::default();
            for (agent, base_us) in &row.asked_by {
                let mut counts = MinuteCounts::default();
                for nth in 0..ROUNDS_PER_MINUTE {
                    let queue_us = weather.queue_us(target, minute);
                    let outcome = outcome(is_out, *base_us, queue_us);
                    counts.count(&outcome);
                    let place = agents.iter().position(|known| known == agent);
                    let list = place.and_then(|place| rounds.get_mut(place));
                    if let (true, Some(list)) = (has_rounds, list) {
                        // Spread over the interval, as agents do.
                        let phase_us = i64::from(row.probe.0) * 6_700_417 % ROUND_US;
                        list.push(Round {
                            subject: Subject::Probe(row.probe),
                            at: UtcMicros(minute.start().0 + nth * ROUND_US + phase_us),
                            outcome,
                            flags: RoundFlags::default(),
                            icmp_error: None,
                        });
                    }
                }
                all.add(&counts);
                if has_rounds {
                    let entity = Entity::Pair { probe: row.probe, agent: *agent };
                    decisions.push(decided(entity, minute, counts));
                }
            }
            decisions.push(decided(Entity::Consensus { probe: row.probe }, minute, all));
        }
    }
    let batches = agents.iter().zip(rounds).filter(|(_, rounds)| !rounds.is_empty());
    let batches = batches.map(|(agent, mut rounds)| {
        rounds.sort_by_key(|round| round.at);
        RoundBatch::new(*agent, rounds)
    });
    (decisions, batches.collect())
}

fn outcome(is_out: bool, base_us: u32, queue_us: u32) -> Outcome {
    let confirm = Confirm::default();
    if is_out {
        return Outcome::Asked { sent: PACKETS, received: 0, rtt: None, confirm };
    }
    let us_mean = base_us + queue_us;
    let rtt = Rtt { us_min: base_us + queue_us / 3, us_mean, us_max: us_mean + queue_us };
    Outcome::Asked { sent: PACKETS, received: PACKETS, rtt: Some(rtt), confirm }
}

fn decided(entity: Entity, minute: Minute, counts: MinuteCounts) -> Decision {
    let said = match (counts.sent, counts.received) {
        (0, _) => (Verdict::Unknown, Cause::NotYet),
        (_, 0) => (Verdict::Down, Cause::NoAnswer),
        (_, _) => (Verdict::Up, Cause::Answering),
    };
    minute_decided(ORG_DEFAULT, entity, minute, said, counts)
}

/// How far back a demo's lines of customers go when there are so many: as much as is written in a
/// moment.
pub fn lines_minutes(lines: usize) -> i64 {
    const RECORDS_MAX: usize = 900_000;
    let minutes = i64::try_from(RECORDS_MAX / lines.max(1)).unwrap_or(DAY_MINUTES);
    minutes.clamp(60, DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use store::Who;

    use super::*;
    use crate::config::Overrides;

    /// Targets of odd numbers were out for the hour that ended an hour ago.
    struct Storm(Minute);

    impl PastWeather for Storm {
        fn queue_us(&mut self, _: usize, _: Minute) -> u32 {
            90
        }

        fn is_out(&self, target: usize, minute: Minute) -> bool {
            target % 2 == 1 && (self.0.0 - 120..self.0.0 - 60).contains(&minute.0)
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_as_if_it_had_been_watched() {
        let dir = tempfile::tempdir().unwrap();
        let overrides = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
        let config = Config::resolve("", &|_| None, &overrides).unwrap();
        let now = UtcMicros(1_795_240_440_000_000);
        let target = |nth: u8, is_detailed| PastTarget {
            name: format!("r{nth}"),
            address: Address::parse(&format!("192.0.2.{nth}")).unwrap(),
            is_detailed,
            rtts_us: vec![Some(1_000), Some(2_000)],
        };
        let plan = PastPlan {
            agents: vec!["a".to_owned(), "b".to_owned()],
            targets: vec![target(0, true), target(1, true), target(2, false)],
            agents_per_target: 2,
            days: 1,
            lines_minutes: 180,
        };
        write_past(&config, &plan, &mut Storm(now.minute()), now).await.unwrap();
        let store = Store::open_at(&config.database()).await.unwrap();
        let scope = Scope::system(ORG_DEFAULT);
        let end = now.minute();
        let mut told = String::new();
        for probe in 1..=3 {
            let from = Minute(end.0 - DAY_MINUTES);
            let series = store.minutes(&scope, ProbeId(probe), Who::Each, from, end).await.unwrap();
            for series in series {
                let down = series.minutes.iter().filter(|it| it.verdict == Verdict::Down);
                let (down, all) = (down.count(), series.minutes.len());
                told += &format!(
                    "{probe} {:?}: {down} of {all}\n",
                    series.agent.as_ref().map(|agent| agent.id)
                );
            }
        }
        expect_test::expect![[r#"
            1 None: 0 of 1440
            1 Some(AgentId(1)): 0 of 1440
            1 Some(AgentId(2)): 0 of 1440
            2 None: 60 of 1440
            2 Some(AgentId(1)): 60 of 1440
            2 Some(AgentId(2)): 60 of 1440
            3 None: 0 of 180
        "#]]
        .assert_eq(&told);
    }
}
