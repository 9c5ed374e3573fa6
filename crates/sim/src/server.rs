//! The simulated server: the real engine behind a log that a crash can shorten.
//!
//! It keeps the order that the real one keeps: append, sync, acknowledge, judge, store. What it
//! stores survives a crash; what it had not synced does not.

use std::collections::{BTreeMap, BTreeSet};

use engine::Engine;
use model::{
    AgentEvent, AgentId, Decision, InventoryChange, MonitorEvent, Round, RoundBatch, UtcMicros,
};

use crate::{
    Defect,
    diagnosis::Book,
    uplink::{Frame, SpooledBatch},
};

/// A batch is judged and answered at most this long after it came: a slow disk, so that crashes
/// fall between.
const COMMIT_US: u64 = 100_000;
const CHECKPOINT_US: u64 = 30_000_000;

/// Everything the engine hears, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Inventory(InventoryChange),
    Agent(AgentId, AgentEvent),
    Monitor(MonitorEvent),
    Batch { batch: RoundBatch, epoch: u64, seq: u64 },
    Timeout,
}

/// One entry of the log: what, and the `now` it was heard at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub now: UtcMicros,
    pub heard: Heard,
}

/// What the disk holds.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub log: Vec<Entry>,
    /// How many entries each stored decision came after, and the decision.
    pub decisions: Vec<(usize, Decision)>,
    /// Position and bytes of the newest checkpoint.
    pub checkpoint: Option<(usize, Vec<u8>)>,
    pub book: Book,
    epochs: BTreeMap<AgentId, u64>,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub engine: Engine,
    pending: Vec<Entry>,
    commit_at_us: Option<u64>,
    checkpoint_at_us: u64,
    highwater: BTreeMap<(AgentId, u64), u64>,
    places: BTreeMap<AgentId, Place>,
}

/// Where one boot of an agent lies on the server's time: the smallest difference seen, since the
/// way only adds to it.
#[derive(Clone, Copy, Debug)]
struct Place {
    boot: u32,
    offset_us: i64,
    wall_error_us: i64,
}

/// An answer to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Welcome { epoch: u64 },
    Ack { epoch: u64, seq: u64 },
}

/// What one commit brought.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub batches: Vec<RoundBatch>,
    pub decisions: Vec<Decision>,
    pub answers: Vec<(AgentId, Answer)>,
}

#[derive(Debug)]
pub(crate) struct SimServer {
    pub disk: Disk,
    pub running: Option<Running>,
    /// Agents of whose past nobody can know the time: a batch of an earlier boot, whose wall clock
    /// was wrong by another amount than it is now.
    pub unplaceable: BTreeSet<AgentId>,
    defect: Option<Defect>,
}

/// Feeds one entry to an engine, and lets time pass to it.
pub(crate) fn hear(engine: &mut Engine, entry: &Entry) {
    let now = entry.now;
    match &entry.heard {
        Heard::Inventory(change) => engine.handle_change(change, now),
        Heard::Agent(agent, event) => engine.handle_agent(*agent, *event, now),
        Heard::Monitor(event) => engine.handle_monitor(*event, now),
        Heard::Batch { batch, .. } => engine.handle_batch(batch, now),
        Heard::Timeout => (),
    }
    engine.handle_timeout(now);
}

pub(crate) fn decisions(engine: &mut Engine) -> impl Iterator<Item = Decision> {
    std::iter::from_fn(|| engine.poll_decision())
}

impl SimServer {
    pub(crate) fn new(defect: Option<Defect>) -> SimServer {
        SimServer { disk: Disk::default(), running: None, unplaceable: BTreeSet::new(), defect }
    }

    fn new_engine(&self, now: UtcMicros) -> Engine {
        crate::adapt::with_defect(Engine::new(now), self.defect)
    }

    /// Starts the process: the checkpoint, then the log after it. Returns what is wrong with what
    /// the replay decided, if anything.
    pub(crate) fn start(&mut self, now: UtcMicros) -> Option<String> {
        let first_start = self.disk.log.is_empty();
        let (mut engine, from) = match &self.disk.checkpoint {
            None => {
                let at = self.disk.log.first().map_or(now, |entry| entry.now);
                (self.new_engine(at), 0)
            }
            Some((position, bytes)) => match Engine::restore(bytes) {
                Ok(engine) => (crate::adapt::with_defect(engine, self.defect), *position),
                Err(error) => return Some(format!("its own checkpoint is refused: {error}")),
            },
        };
        let mut complaint = None;
        for (index, entry) in self.disk.log.iter().enumerate().skip(from) {
            hear(&mut engine, entry);
            let said: Vec<Decision> = decisions(&mut engine).collect();
            let stored = self.disk.decisions.iter().filter(|(at, _)| *at == index + 1);
            if !said.iter().eq(stored.map(|(_, decision)| decision)) && complaint.is_none() {
                complaint = Some(format!("replaying entry {index} decides otherwise: {said:?}"));
            }
        }
        let mut highwater = BTreeMap::new();
        for entry in &self.disk.log {
            if let Heard::Batch { batch, epoch, seq } = &entry.heard {
                let mark = highwater.entry((batch.agent, *epoch)).or_insert(0);
                *mark = (*mark).max(*seq);
            }
        }
        self.running = Some(Running {
            engine,
            pending: Vec::new(),
            commit_at_us: None,
            checkpoint_at_us: 0,
            highwater,
            places: BTreeMap::new(),
        });
        let down_since = self.disk.log.last().map(|entry| entry.now);
        let event = MonitorEvent::Started { down_since };
        self.append(Entry { now, heard: Heard::Monitor(event) }, 0);
        if !first_start && self.defect == Some(Defect::StartForgotten) {
            self.running.as_mut()?.pending.clear();
        }
        complaint
    }

    /// Kills the process. What was not synced is gone.
    pub(crate) fn crash(&mut self) {
        self.running = None;
    }

    pub(crate) fn append(&mut self, entry: Entry, now_us: u64) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.pending.push(entry);
        running.commit_at_us.get_or_insert(now_us + COMMIT_US);
    }

    pub(crate) fn poll_timeout(&self, now_us_of: impl Fn(UtcMicros) -> u64) -> Option<u64> {
        let running = self.running.as_ref()?;
        let wake = running.engine.poll_timeout().map(|wakeup| now_us_of(wakeup.at));
        [wake, running.commit_at_us].into_iter().flatten().min()
    }

    /// Takes a frame of an agent. Answers that need not wait for the disk come back at once.
    pub(crate) fn handle_frame(
        &mut self,
        agent: AgentId,
        frame: Frame,
        now: UtcMicros,
        now_us: u64,
    ) -> Option<Answer> {
        let running = self.running.as_mut()?;
        match frame {
            Frame::Hello { boot, tick_us, wall_us, capabilities } => {
                running.observe(agent, boot, tick_us, wall_us, now);
                let epoch = self.disk.epochs.entry(agent).or_insert(0);
                *epoch += 1;
                let answer = Answer::Welcome { epoch: *epoch };
                let heard = Heard::Agent(agent, AgentEvent::Hello(capabilities));
                self.append(Entry { now, heard }, now_us);
                Some(answer)
            }
            Frame::Heartbeat { boot, tick_us, wall_us } => {
                running.observe(agent, boot, tick_us, wall_us, now);
                let heard = Heard::Agent(agent, AgentEvent::Heartbeat);
                self.append(Entry { now, heard }, now_us);
                None
            }
            Frame::Batch(batch) => self.handle_batch(agent, &batch, now, now_us),
        }
    }

    fn handle_batch(
        &mut self,
        agent: AgentId,
        spooled: &SpooledBatch,
        now: UtcMicros,
        now_us: u64,
    ) -> Option<Answer> {
        let (epoch, seq) = (spooled.epoch, spooled.seq);
        let running = self.running.as_mut()?;
        let mark = running.highwater.entry((agent, epoch)).or_insert(0);
        if seq <= *mark && self.defect != Some(Defect::DedupeLost) {
            // Seen: it may be pending still, so the answer waits for the next commit as well.
            let is_pending = running.pending.iter().any(|entry| {
                matches!(&entry.heard, Heard::Batch { batch, epoch: e, seq: s }
                    if batch.agent == agent && (*e, *s) == (epoch, seq))
            });
            return (!is_pending).then_some(Answer::Ack { epoch, seq });
        }
        *mark = seq;
        let (offset_us, is_known) = running.offset(agent, spooled, now);
        if !is_known {
            self.unplaceable.insert(agent);
        }
        let rounds: Vec<Round> = crate::adapt::open(&spooled.payload_zstd, offset_us);
        let batch = RoundBatch::new(agent, rounds);
        self.append(Entry { now, heard: Heard::Batch { batch, epoch, seq } }, now_us);
        let acks_early = self.defect == Some(Defect::AckBeforeDurable);
        acks_early.then_some(Answer::Ack { epoch, seq })
    }

    /// Syncs what is pending, lets the engine hear it, stores what it decided. Returns what is
    /// stored now and the acknowledgements that may go out.
    pub(crate) fn commit(&mut self, now: UtcMicros, now_us: u64) -> Committed {
        let mut committed = Committed::default();
        let Some(running) = &mut self.running else {
            return committed;
        };
        let is_due = running.engine.poll_timeout().is_some_and(|wakeup| wakeup.at <= now);
        if running.commit_at_us.is_none_or(|at| now_us < at) && !is_due {
            return committed;
        }
        running.commit_at_us = None;
        let mut entries = std::mem::take(&mut running.pending);
        if is_due {
            entries.push(Entry { now, heard: Heard::Timeout });
        }
        for entry in entries {
            hear(&mut running.engine, &entry);
            if let Heard::Batch { batch, epoch, seq } = &entry.heard {
                committed.answers.push((batch.agent, Answer::Ack { epoch: *epoch, seq: *seq }));
            }
            if let Heard::Batch { batch, .. } = &entry.heard {
                committed.batches.push(batch.clone());
            }
            self.disk.log.push(entry);
            let position = self.disk.log.len();
            for decision in decisions(&mut running.engine) {
                self.disk.decisions.push((position, decision.clone()));
                committed.decisions.push(decision);
            }
        }
        if running.checkpoint_at_us <= now_us {
            running.checkpoint_at_us = now_us + CHECKPOINT_US;
            self.disk.checkpoint = Some((self.disk.log.len(), running.engine.checkpoint()));
        }
        committed
    }
}

impl Running {
    fn observe(&mut self, agent: AgentId, boot: u32, tick_us: u64, wall_us: i64, now: UtcMicros) {
        let seen_us = now.0 - i64::try_from(tick_us).unwrap_or(i64::MAX);
        let wall_error_us = wall_us - now.0;
        let place =
            self.places.entry(agent).or_insert(Place { boot, offset_us: seen_us, wall_error_us });
        let is_new = place.boot != boot;
        let offset_us = if is_new { seen_us } else { place.offset_us.min(seen_us) };
        *place = Place { boot, offset_us, wall_error_us };
    }

    /// What to add to a tick of this batch, and whether that is right. Of another boot only its
    /// wall clock tells, less what that clock is known to be wrong by.
    fn offset(&self, agent: AgentId, batch: &SpooledBatch, now: UtcMicros) -> (i64, bool) {
        let tick_us = i64::try_from(batch.closed_tick_us).unwrap_or(i64::MAX);
        match self.places.get(&agent) {
            Some(place) if place.boot == batch.boot => (place.offset_us, true),
            Some(place) => {
                let offset_us = batch.closed_wall_us - place.wall_error_us - tick_us;
                // The error includes the way of the reading, which is short against an hour.
                let drift_us = place.wall_error_us.abs_diff(batch.wall_error_us);
                (offset_us, drift_us < 60_000_000)
            }
            None => (now.0 - tick_us, true),
        }
    }
}
