//! What a store is filled with: rounds every 30 s of some targets, each asked by three agents, by
//! the generator of `ingest`, and the minutes that they make, committed, sealed, merged, rolled up
//! and forgotten as time passes.

use std::{ops::Range, path::Path};

use anyhow::Context as _;
use bench::fleet::Chance;
use model::{
    AgentId, Cause, Decision, Entity, Minute, MinuteCounts, Name, ProbeId, Round, RoundBatch,
    UtcMicros, Verdict,
};
use store::{NewAgent, ORG_DEFAULT, Past, Retention, Scope, Store, minute_decided};

use crate::account;

pub(crate) const AGENTS: u32 = 3;
pub(crate) const ROUNDS_PER_MINUTE: u64 = 2;
const ROUND_US: u64 = 30_000_000;
pub(crate) const DAY_MINUTES: i64 = 1_440;
/// A midnight, so that days are days.
pub(crate) const BEGIN: Minute = Minute(29_998_080);
/// Steps of one compaction or sweep: far more than there are.
const STEPS_MAX: u32 = 1_000_000;

/// What is written, minute by minute.
pub(crate) struct Play {
    pub(crate) past: Past,
    pub(crate) agents: Vec<AgentId>,
    pub(crate) probes: u32,
    pub(crate) chance: Chance,
    /// Of each probe and agent.
    bases_us: Vec<f64>,
    pub(crate) commit_cpu_s: f64,
    pub(crate) compact_cpu_s: f64,
}

impl Play {
    pub(crate) async fn new(path: &Path, probes: u32, seed: u64) -> anyhow::Result<Play> {
        let store = Store::open(path).await?;
        let scope = Scope::system(ORG_DEFAULT);
        let mut agents = Vec::new();
        for number in 1..=AGENTS {
            let name = Name::parse(&format!("agent{number}")).context("a name")?;
            let new = NewAgent { name, witnesses: Vec::new() };
            agents.push(store.agent_create(&scope, &new, BEGIN.start()).await?.row.id);
        }
        let mut chance = Chance(seed.max(1));
        let bases_us = (0..probes * AGENTS).map(|_| chance.base_rtt_us()).collect();
        let (commit_cpu_s, compact_cpu_s) = (0.0, 0.0);
        let past = Past::new(store);
        Ok(Play { past, agents, probes, chance, bases_us, commit_cpu_s, compact_cpu_s })
    }

    /// Commits what all agents asked in some minutes, and the truth of them, once they are over.
    pub(crate) async fn minutes(&mut self, minutes: Range<Minute>) -> anyhow::Result<()> {
        let mut rounds = vec![Vec::new(); self.agents.len()];
        let mut decisions = Vec::new();
        for minute in (minutes.start.0..minutes.end.0).map(Minute) {
            self.minute(minute, &mut rounds, &mut decisions)?;
        }
        let batches = self.agents.iter().zip(rounds).map(|(agent, mut rounds)| {
            rounds.sort_by_key(|round: &Round| round.at);
            RoundBatch::new(*agent, rounds)
        });
        let batches: Vec<RoundBatch> = batches.collect();
        let before = account::cpu_s(std::process::id())?;
        self.past.commit(&decisions, &batches, minutes.end.start()).await?;
        self.commit_cpu_s += account::cpu_s(std::process::id())? - before;
        self.compact(minutes.end.start()).await
    }

    fn minute(
        &mut self,
        minute: Minute,
        rounds: &mut [Vec<Round>],
        decisions: &mut Vec<Decision>,
    ) -> anyhow::Result<()> {
        let mut all = vec![MinuteCounts::default(); self.probes as usize];
        for (index, (agent, rounds)) in self.agents.clone().into_iter().zip(rounds).enumerate() {
            for (probe, all) in (1..=self.probes).zip(&mut all) {
                let base = index * self.probes as usize + probe as usize - 1;
                let base_us = self.bases_us.get(base).copied().unwrap_or_default();
                let mut counts = MinuteCounts::default();
                for round in 0..ROUNDS_PER_MINUTE {
                    // Spread over the interval, as agents do.
                    let phase_us = ROUND_US * u64::from(probe) / u64::from(self.probes + 1);
                    let due_us = i64::try_from(round * ROUND_US + phase_us)?;
                    let at = UtcMicros(minute.start().0 + due_us);
                    let row = self.chance.round(probe, 0, base_us);
                    counts.count(&row.outcome);
                    rounds.push(Round {
                        subject: row.subject,
                        at,
                        outcome: row.outcome,
                        flags: row.flags,
                        icmp_error: row.icmp_error,
                    });
                }
                all.add(&counts);
                let entity = Entity::Pair { probe: ProbeId(probe), agent };
                decisions.push(said(entity, minute, counts));
            }
        }
        for (probe, counts) in (1..=self.probes).zip(all) {
            decisions.push(said(Entity::Consensus { probe: ProbeId(probe) }, minute, counts));
        }
        Ok(())
    }

    /// Forgets what is too old, and gives its space back.
    pub(crate) async fn forget(&self, retention: &Retention) -> anyhow::Result<()> {
        for _ in 0..STEPS_MAX {
            if self.past.store.retain(retention).await?.is_done {
                break;
            }
        }
        while 0 < self.past.store.vacuum_step().await? {}
        Ok(())
    }

    /// Does all that is due by now.
    pub(crate) async fn compact(&mut self, at: UtcMicros) -> anyhow::Result<()> {
        let before = account::cpu_s(std::process::id())?;
        self.past.compact(at).await?;
        self.compact_cpu_s += account::cpu_s(std::process::id())? - before;
        Ok(())
    }
}

fn said(entity: Entity, minute: Minute, counts: MinuteCounts) -> Decision {
    minute_decided(ORG_DEFAULT, entity, minute, (Verdict::Up, Cause::Answering), counts)
}
