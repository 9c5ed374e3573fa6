//! What the history of the present inventory takes: now, and once it is kept for its full time.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::{
    Plan, Strategy, UtcMicros,
    plan::{Growing, Question, full_after},
};
use store::{AgentRow, HistorySize, Scope, StoreError, TierRow};

use super::{App, AppError};
use crate::{
    config::RetentionConfig,
    space::{Disk, size},
};

/// Measuring looks at every chunk: some seconds in the largest installation.
const MEASURE_EVERY: Duration = Duration::from_secs(3_600);
/// A disk that is full within this is for an operator to know.
const FULL_SOON: Duration = Duration::from_secs(30 * 86_400);
/// What is in the database besides: not merged yet, free, the inventory and what changed.
const REST: &str = "rest";
const LOG: &str = "log";

/// What was measured last.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    last: Mutex<Option<Sizes>>,
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    at: UtcMicros,
    history: HistorySize,
    database_bytes: u64,
}

/// A part of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// A level of the history, `rest` or `log`.
    pub(crate) name: &'static str,
    pub(crate) growing: Growing,
}

/// When the disk is full, if everything goes on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Never,
    After(Duration),
    /// The database is on a disk of its own.
    Unknown,
}

/// What is planned, and what is used.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) measured_at: UtcMicros,
    pub(crate) parts: Vec<Part>,
    pub(crate) full: Full,
}

impl Storage {
    pub(crate) fn planned_bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.growing.planned_bytes))
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.growing.used_bytes))
    }

    /// Whether somebody has to know.
    pub(crate) fn is_full_soon(&self) -> bool {
        matches!(self.full, Full::After(after) if after <= FULL_SOON)
    }

    pub(crate) fn words(&self) -> String {
        let (used, planned) = (size(self.used_bytes()), size(self.planned_bytes()));
        let sizes = format!("{used} of the {planned} that the present inventory takes in the end");
        match self.full {
            Full::Never => format!("{sizes}; all of it fits on the disk"),
            Full::Unknown => sizes,
            Full::After(after) => {
                format!("{sizes}; the disk is full in {} days", after.as_secs() / 86_400)
            }
        }
    }
}

impl App {
    /// Measures what is kept, unless it was not long ago.
    pub(crate) async fn storage_measure(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let last = *self.measured.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|sizes| now.since(sizes.at) < MEASURE_EVERY) {
            return Ok(());
        }
        let history = self.store.history_size().await?;
        let sizes = Sizes { at: now, history, database_bytes: self.store.size_bytes().await? };
        *self.measured.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(sizes);
        Ok(())
    }

    /// Compares it with the plan of the present inventory; `None` until it was measured.
    pub(crate) async fn storage(
        &self,
        scope: &Scope,
        agents: &[AgentRow],
        disk: Option<Disk>,
    ) -> Result<Option<Storage>, AppError> {
        let last = *self.measured.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sizes) = last else { return Ok(None) };
        let tiers = self.store.tier_list(scope).await?;
        let asking = agents.iter().filter(|agent| !agent.is_paused && !agent.is_revoked).count();
        let questions = questions(&tiers, asking, &self.config.retention);
        let parts = parts(&sizes, self.conductor.vitals().log_bytes, &Plan::of_all(&questions));
        let growing: Vec<Growing> = parts.iter().map(|part| part.growing).collect();
        let full = match disk {
            Some(disk) if self.store.engine_name() == "sqlite" => {
                full_after(&growing, disk.room_bytes()).map_or(Full::Never, Full::After)
            }
            Some(_) | None => Full::Unknown,
        };
        Ok(Some(Storage { measured_at: sizes.at, parts, full }))
    }
}

/// What each tier with targets asks of this server. Paused targets are reckoned with.
fn questions(tiers: &[TierRow], agents: usize, retention: &RetentionConfig) -> Vec<Question> {
    let agents = u64::try_from(agents).unwrap_or(u64::MAX);
    let question = |row: &TierRow| Question {
        targets: row.targets_total,
        agents: match row.tier.strategy {
            Strategy::All => agents,
            Strategy::Count(count) => agents.min(count.into()),
        },
        interval: row.tier.interval,
        packets: row.tier.packets,
        payload_bytes: row.tier.payload_bytes,
        kept: row.kept.or(&retention.kept()),
    };
    tiers.iter().filter(|row| row.targets_total != 0).map(question).collect()
}

/// Puts what is used beside what is planned.
fn parts(sizes: &Sizes, log_bytes: u64, plan: &Plan) -> Vec<Part> {
    let used = |name: &str| {
        let history = &sizes.history;
        Some(match name {
            "rounds" => history.rounds.bytes,
            "minutes" => history.minutes.bytes,
            "agent_5m" => history.pair_fives.bytes,
            "agent_1h" => history.pair_hours.bytes,
            "agent_1d" => history.pair_days.bytes,
            "target_5m" => history.all_fives.bytes,
            "target_1h" => history.all_hours.bytes,
            "target_1d" => history.all_days.bytes,
            LOG => log_bytes,
            _ => return None,
        })
    };
    let nothing = Growing { used_bytes: 0, planned_bytes: 0, bytes_per_day: 0 };
    let (mut rest, mut parts, mut known) = (nothing, Vec::new(), 0_u64);
    for level in &plan.levels {
        let (planned_bytes, bytes_per_day) = (level.bytes, level.bytes_per_day);
        match used(level.name) {
            Some(used_bytes) => {
                known = known.saturating_add(if level.name == LOG { 0 } else { used_bytes });
                let growing = Growing { used_bytes, planned_bytes, bytes_per_day };
                parts.push(Part { name: level.name, growing });
            }
            None => {
                rest.planned_bytes = rest.planned_bytes.saturating_add(planned_bytes);
                rest.bytes_per_day = rest.bytes_per_day.saturating_add(bytes_per_day);
            }
        }
    }
    rest.used_bytes = sizes.database_bytes.saturating_sub(known);
    // Before the log, which is no part of the database.
    parts.insert(parts.len().saturating_sub(1), Part { name: REST, growing: rest });
    parts
}

#[cfg(test)]
mod tests {
    use model::{KeptDays, Name, Tier, TierId};
    use store::Kept;

    use super::*;

    fn row(targets_total: u64, strategy: Strategy, kept: KeptDays) -> TierRow {
        let name = Name::parse("gold").expect("a name");
        let tier = Tier { strategy, ..Tier::standard(TierId(1), name) };
        let at = UtcMicros(0);
        TierRow { tier, kept, targets_total, created_at: at, updated_at: at }
    }

    #[test]
    fn each_tier_is_planned_with_its_targets_agents_and_times() {
        let own = KeptDays { rounds: Some(3), ..KeptDays::default() };
        let rows = [
            row(7, Strategy::All, own),
            row(0, Strategy::All, own),
            row(9, Strategy::Count(5), KeptDays::default()),
        ];
        let asked = questions(&rows, 4, &RetentionConfig::default());
        let asked: Vec<_> =
            asked.iter().map(|q| (q.targets, q.agents, q.kept.rounds.as_secs() / 86_400)).collect();
        assert_eq!(asked, [(7, 4, 3), (9, 4, 14)]);
    }

    #[test]
    fn what_no_level_holds_of_the_database_is_the_rest() {
        let kept = |bytes| Kept { bytes, ..Kept::default() };
        let history = HistorySize { rounds: kept(600), all_days: kept(50), ..Default::default() };
        let sizes = Sizes { at: UtcMicros(0), history, database_bytes: 1_000 };
        let rows = [row(10, Strategy::All, KeptDays::default())];
        let plan = Plan::of_all(&questions(&rows, 3, &RetentionConfig::default()));
        let parts = parts(&sizes, 70, &plan);
        let used: Vec<_> = parts.iter().map(|part| (part.name, part.growing.used_bytes)).collect();
        assert_eq!((used[0], used[7]), (("rounds", 600), ("target_1d", 50)));
        assert_eq!(used[8..], [("rest", 350), ("log", 70)]);
        let storage = Storage { measured_at: UtcMicros(0), parts, full: Full::Never };
        assert_eq!(storage.planned_bytes(), plan.disk_bytes());
        assert_eq!(storage.used_bytes(), 1_070);
    }
}
