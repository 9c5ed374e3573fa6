//! What one entry of the log does to the engine, and what came of it.
//!
//! The same for the entry that just became durable and for the one that is replayed after a
//! restart; nothing here waits, reads a clock or stores.

use std::{collections::BTreeMap, mem, sync::Arc};

use engine::Engine;
use model::{
    AgentId, Decision, DecisionKind, LogPosition, MetricBatch, Minute, Round, RoundBatch, Subject,
    UtcMicros,
};
use store::{AgentGap, Highwater};

use super::{LiveEvent, mirror::Mirror};
use crate::{
    budget::Permit,
    log::{BatchBody, Body, Durable},
    metrics::Metrics,
    place,
};

/// Turns that the engine gets per entry for what is due: closing a minute of thousands of probes
/// takes several, and must not take as many entries.
const TIMEOUTS_PER_ENTRY_MAX: u32 = 16;

/// Rounds in one transaction: some hundred milliseconds of writing.
const TURN_ROUNDS_MAX: usize = 20_000;
/// Decisions in one transaction, likewise: a closed minute makes one for each agent and probe.
const TURN_DECISIONS_MAX: usize = 50_000;

/// The engine with what must keep step with it.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) engine: Engine,
    pub(super) mirror: Mirror,
    pub(super) inventory_version: u64,
    pub(super) metrics: Arc<Metrics>,
    assignment_version: u64,
    minute: Minute,
}

/// What came of some entries in a row; stored together.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) entries: u64,
    pub(super) position: LogPosition,
    pub(super) at: UtcMicros,
    pub(super) decisions: Vec<Decision>,
    pub(super) rounds: Vec<RoundBatch>,
    pub(super) rounds_total: usize,
    /// Rounds of gateways: heard, and not stored.
    pub(super) gateways: Vec<RoundBatch>,
    pub(super) highwaters: BTreeMap<(AgentId, u64), u64>,
    pub(super) gaps: Vec<AgentGap>,
    pub(super) metrics: Vec<MetricBatch>,
    pub(super) told: Vec<(LogPosition, Vec<LiveEvent>)>,
    pub(super) is_assignment_changed: bool,
    /// Somebody waits for what was decided, or for a change of the inventory to be known.
    pub(super) is_urgent: bool,
    permits: Vec<Permit>,
}

impl Turn {
    /// Whether it is to be stored before anything else is heard.
    pub(super) fn is_full(&self) -> bool {
        TURN_ROUNDS_MAX <= self.rounds_total || TURN_DECISIONS_MAX <= self.decisions.len()
    }

    pub(super) fn highwaters(&self) -> Vec<Highwater> {
        let marks = self.highwaters.iter();
        marks
            .map(|((agent, epoch), seq)| Highwater { agent: *agent, epoch: *epoch, seq: *seq })
            .collect()
    }
}

impl Judge {
    pub(super) fn new(
        engine: Engine,
        mirror: Mirror,
        inventory_version: u64,
        metrics: Arc<Metrics>,
    ) -> Judge {
        let assignment_version = engine.assignment_version();
        Judge {
            engine,
            mirror,
            inventory_version,
            metrics,
            assignment_version,
            minute: Minute::default(),
        }
    }

    /// Lets the engine hear one entry at the time it was appended, and takes what it decided.
    ///
    /// The engine's deadlines are looked at after every entry, not after every turn: replay has
    /// other turns and must come to the same decisions.
    pub(super) fn hear(&mut self, turn: &mut Turn, entry: Durable) {
        let Durable { position, now, body, rounds, permit } = entry;
        let mut events = Vec::new();
        match body {
            Body::Batch(batch) => self.hear_batch(turn, &batch, rounds, now),
            Body::Agent { agent, event } => self.engine.handle_agent(agent, event, now),
            Body::Inventory { version, changes } => {
                for change in &changes {
                    self.engine.handle_change(change, now);
                    self.mirror.change(change);
                }
                turn.is_assignment_changed = true;
                turn.is_urgent = true;
                if let Some(version) = version {
                    self.inventory_version = self.inventory_version.max(version);
                    events.push(LiveEvent::Inventory { position, version });
                }
            }
            Body::Monitor(event) => self.engine.handle_monitor(event, now),
            // Nothing is judged by them: they are kept.
            Body::Metrics(batch) => turn.metrics.push(batch),
            Body::Tick => (),
        }
        for _ in 0..TIMEOUTS_PER_ENTRY_MAX {
            self.engine.handle_timeout(now);
            if self.engine.poll_timeout().is_none_or(|wakeup| now < wakeup.at) {
                break;
            }
        }
        self.take_decisions(turn, position, events);
        turn.entries += 1;
        turn.position = position;
        turn.at = now;
        turn.permits.extend(permit);
    }

    fn hear_batch(
        &mut self,
        turn: &mut Turn,
        batch: &BatchBody,
        rounds: Option<RoundBatch>,
        now: UtcMicros,
    ) {
        let opened = rounds.map_or_else(
            || place::open_and_place(batch.agent, &batch.payload_zstd, batch.offset_us),
            Ok,
        );
        let mark = turn.highwaters.entry((batch.agent, batch.epoch)).or_default();
        *mark = batch.seq.max(*mark);
        let BatchBody { agent, epoch, seq, .. } = *batch;
        let gaps = (0..).zip(&batch.gaps);
        turn.gaps.extend(gaps.map(|(part, gap)| AgentGap { agent, epoch, seq, part, gap: *gap }));
        let mut rounds = match opened {
            Ok(rounds) => rounds,
            Err(error) => {
                // It was opened before it was logged: a newer version judges it otherwise.
                self.metrics.log_entries_unreadable.inc();
                tracing::warn!(%error, agent = %batch.agent, "a logged batch cannot be opened");
                return;
            }
        };
        self.engine.handle_batch(&rounds, now);
        let of_gateway = rounds.rounds.iter().filter(|round| round.subject == Subject::Gateway);
        let gateways: Vec<Round> = of_gateway.copied().collect();
        if !gateways.is_empty() {
            turn.gateways.push(RoundBatch::new(batch.agent, gateways));
        }
        self.mirror.retain_stored(batch.agent, &mut rounds.rounds);
        turn.rounds_total += rounds.rounds.len();
        turn.rounds.push(rounds);
    }

    fn take_decisions(
        &mut self,
        turn: &mut Turn,
        position: LogPosition,
        mut events: Vec<LiveEvent>,
    ) {
        let mut closed = None;
        while let Some(decision) = self.engine.poll_decision() {
            if let DecisionKind::Minute(truth) = &decision.kind
                && self.minute < truth.minute
            {
                closed = closed.max(Some(truth.minute));
            }
            turn.is_urgent |= !matches!(decision.kind, DecisionKind::Minute(_));
            let target_of = |probe| self.mirror.target(probe);
            events.extend(LiveEvent::of(position, &decision, target_of));
            turn.decisions.push(decision);
        }
        if let Some(minute) = closed {
            self.minute = minute;
            events.push(LiveEvent::Minute { position, minute });
        }
        if !events.is_empty() {
            turn.told.push((position, events));
        }
        let version = self.engine.assignment_version();
        if mem::replace(&mut self.assignment_version, version) != version {
            turn.is_assignment_changed = true;
            turn.is_urgent = true;
        }
    }
}
