//! Places an agent's ticks on the server's clock. Pure: time and readings are passed in.
//!
//! An agent's tick becomes the server's time by adding an offset. Each hello and heartbeat gives
//! one: the server's time at its arrival less the tick it carries. The way to the server only adds
//! to that, so the smallest of the last ten minutes is the best one. It changes slowly by design:
//! neither a heartbeat that waited in a queue nor a slewed clock makes a round jump.
//! Rounds of an earlier boot have no such offsets; they are placed by the agent's wall clock,
//! corrected by what is known of its error. Nothing here judges what a round says.

use std::{collections::VecDeque, time::Duration};

use model::{AgentId, Gap, NameSeen, Round, RoundBatch, Subject, Tick, UtcMicros};
use wire::{Anchor, BatchHead, BootId, Dropped, WireError, rounds::RoundRow, v1};

/// Ten minutes of heartbeats.
const OBSERVATIONS_MAX: usize = 120;
/// A round that starts later than this from now was not measured yet: the ticks are wrong.
pub(crate) const FUTURE_MAX: Duration = Duration::from_secs(5);
/// When the agent's own two clocks part by more than this, one of them jumped.
const JUMP_US_MIN: u64 = 1_000_000;

/// What is known of one agent's clocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placer {
    boot: BootId,
    /// Server time less tick, oldest first.
    offsets_us: VecDeque<i64>,
    /// The agent's wall time less its tick, at the last reading.
    wall_base_us: Option<i64>,
    /// The agent's wall time less the server's, by the last reading.
    wall_error_us: Option<i64>,
    clock_jumps: u32,
}

/// Why a batch cannot be opened or placed. The text goes back to the agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("this server takes rounds only: it is older than the agent")]
    NotRounds,
    #[error("its epoch was not granted yet")]
    Epoch,
    #[error(
        "its stream is so many streams of this agent ago that nobody knows what was taken of it"
    )]
    Forgotten,
    #[error("it is of an earlier boot and has no usable wall clock")]
    NoAnchor,
    #[error("a round starts {ahead_ms} ms in the future, also after its clock was corrected")]
    Future { ahead_ms: u64 },
    #[error("a tick lies outside of time")]
    Range,
}

impl Placer {
    /// Takes a reading of both clocks that arrived at `now`.
    ///
    /// 1 - Another boot, or the server's own time was moved (`clock_jumps`): what was observed
    ///     before says nothing about it.
    /// 2 - The agent's wall and tick parted and this offset is larger by as much: its tick stood
    ///     still (a suspended machine). A queue cannot part them. What was observed says nothing.
    /// 3 - Otherwise one more observation.
    ///
    /// Returns by how much the agent's wall clock was stepped since the reading before, in
    /// microseconds and negative if back: it parted from its tick, in the same boot, and the tick
    /// did not stand still. It moves no round of this boot.
    pub(crate) fn observe(
        &mut self,
        boot: BootId,
        reading: Anchor,
        now: UtcMicros,
        clock_jumps: u32,
    ) -> Option<i64> {
        let tick_us = i64::try_from(reading.tick.0).ok()?;
        let offset_us = now.0.saturating_sub(tick_us);
        let wall_base_us = reading.wall.0.saturating_sub(tick_us);
        let has_parted = self
            .wall_base_us
            .is_some_and(|base| base < wall_base_us && JUMP_US_MIN < wall_base_us.abs_diff(base));
        let is_later = self
            .best_us()
            .is_some_and(|best| best < offset_us && JUMP_US_MIN < offset_us.abs_diff(best));
        let is_same_boot = self.boot == boot;
        let parted_us = self.wall_base_us.map_or(0, |base| wall_base_us.saturating_sub(base));
        let has_slept = has_parted && is_later;
        if self.boot != boot || self.clock_jumps != clock_jumps || has_slept {
            self.offsets_us.clear();
            self.boot = boot;
            self.clock_jumps = clock_jumps;
        }
        if self.offsets_us.len() == OBSERVATIONS_MAX {
            self.offsets_us.pop_front();
        }
        self.offsets_us.push_back(offset_us);
        self.wall_base_us = Some(wall_base_us);
        self.wall_error_us = self.best_us().map(|best| wall_base_us.saturating_sub(best));
        let is_step = is_same_boot && !has_slept && JUMP_US_MIN < parted_us.unsigned_abs();
        is_step.then_some(parted_us)
    }

    fn best_us(&self) -> Option<i64> {
        self.offsets_us.iter().copied().min()
    }

    /// How far the agent's wall clock is ahead of the server's; `None` before the first reading.
    pub(crate) fn wall_error_us(&self) -> Option<i64> {
        self.wall_error_us
    }

    /// Returns what turns the ticks of this batch into the server's time.
    ///
    /// `None` if it is of an earlier boot and its wall clock is none of any real time.
    pub(crate) fn offset_us(&self, head: &BatchHead) -> Option<i64> {
        self.offset_of(head.boot, head.closed)
    }

    fn offset_of(&self, boot: BootId, near: Anchor) -> Option<i64> {
        if self.boot == boot
            && let Some(best) = self.best_us()
        {
            return Some(best);
        }
        let tick_us = i64::try_from(near.tick.0).ok()?;
        let error_us = self.wall_error_us.unwrap_or(0);
        near.wall.0.checked_sub(tick_us)?.checked_sub(error_us)
    }

    /// Places what an agent lost. What has no usable clock, or lies ahead, is placed at `now`: when
    /// it was told is all that is known.
    pub(crate) fn gap(&self, dropped: &Dropped, now: UtcMicros) -> Gap {
        let offset_us = self.offset_of(dropped.boot, dropped.near);
        let place = |tick| {
            let at = offset_us.and_then(|offset_us| place_tick(tick, offset_us).ok());
            at.map_or(now, |at| at.min(now))
        };
        let (from, to) = (place(dropped.from), place(dropped.to));
        Gap { from, to, rounds: dropped.rounds, cause: dropped.cause }
    }
}

/// Opens a payload and places its rounds. The same bytes and offset give the same rounds, so that
/// the log needs to keep only those.
///
/// # Errors
///
/// [`PlaceError`], naming what is wrong.
pub(crate) fn open_and_place(
    agent: AgentId,
    payload_zstd: &[u8],
    offset_us: i64,
) -> Result<RoundBatch, PlaceError> {
    match wire::open(payload_zstd)?.kind {
        Some(v1::payload::Kind::Rounds(rounds)) => {
            place(agent, &wire::rounds::decode_rounds(&rounds)?, offset_us)
        }
        Some(v1::payload::Kind::Facts(_) | v1::payload::Kind::Metrics(_)) | None => {
            Err(PlaceError::NotRounds)
        }
    }
}

/// Places rows; [`PlaceError::Range`] if a tick is none of any real clock.
fn place(agent: AgentId, rows: &[RoundRow], offset_us: i64) -> Result<RoundBatch, PlaceError> {
    let place = |row: &RoundRow| {
        Ok(Round {
            subject: row.subject,
            at: place_tick(row.due_tick, offset_us)?,
            outcome: row.outcome,
            flags: row.flags,
            icmp_error: row.icmp_error,
        })
    };
    let rounds: Vec<Round> = rows.iter().map(place).collect::<Result<_, PlaceError>>()?;
    let name = |(row, round): (&RoundRow, &Round)| match (row.address, round.subject) {
        (Some(answer), Subject::Probe(probe)) => Some(NameSeen { probe, at: round.at, answer }),
        (_, Subject::Gateway | Subject::Witness(_)) | (None, _) => None,
    };
    let names = rows.iter().zip(&rounds).filter_map(name).collect();
    Ok(RoundBatch { agent, rounds, names })
}

fn place_tick(tick: Tick, offset_us: i64) -> Result<UtcMicros, PlaceError> {
    let at_us = i64::try_from(tick.0).ok().and_then(|tick_us| tick_us.checked_add(offset_us));
    match at_us {
        Some(at_us @ 0..) => Ok(UtcMicros(at_us)),
        Some(_) | None => Err(PlaceError::Range),
    }
}

/// Refuses rounds that cannot have happened yet.
///
/// # Errors
///
/// [`PlaceError::Future`] naming the furthest one.
pub(crate) fn check_future(batch: &RoundBatch, now: UtcMicros) -> Result<(), PlaceError> {
    let latest = batch.rounds.iter().map(|round| round.at).max();
    let ahead = latest.map_or(Duration::ZERO, |at| at.since(now));
    if ahead <= FUTURE_MAX {
        return Ok(());
    }
    Err(PlaceError::Future { ahead_ms: u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX) })
}

#[cfg(test)]
mod tests {
    use model::{DropCause, NotAsked, Outcome, ProbeId, RoundFlags, Subject};

    use super::*;

    const SECOND_US: i64 = 1_000_000;
    const BOOT: BootId = [1; 16];
    /// Server time at tick 0 of the agent.
    const BIRTH_US: i64 = 1_795_240_473 * SECOND_US;

    /// A heartbeat sent at `tick_s`, by a wall clock that is wrong by `error_s`, after `delay_ms`;
    /// the step that it shows, in microseconds.
    fn heartbeat(placer: &mut Placer, tick_s: i64, error_s: i64, delay_ms: i64) -> Option<i64> {
        let tick_us = tick_s * SECOND_US;
        let wall = UtcMicros(BIRTH_US + tick_us + error_s * SECOND_US);
        let reading = Anchor { tick: Tick(tick_us.unsigned_abs()), wall };
        placer.observe(BOOT, reading, UtcMicros(BIRTH_US + tick_us + delay_ms * 1_000), 0)
    }

    fn head(boot: BootId, tick_s: u64, wall_s: i64) -> BatchHead {
        let wall = UtcMicros(wall_s * SECOND_US);
        let closed = Anchor { tick: Tick(tick_s * 1_000_000), wall };
        BatchHead { epoch: 1, seq: 1, boot, closed }
    }

    /// How far from the truth rounds of the present boot are placed, in milliseconds.
    fn placed_late_ms(placer: &Placer) -> i64 {
        (placer.offset_us(&head(BOOT, 0, 0)).unwrap() - BIRTH_US) / 1_000
    }

    #[test]
    fn the_fastest_heartbeat_places_and_a_slow_one_moves_nothing() {
        let mut placer = Placer::default();
        for (second, delay_ms, late_ms) in [(0, 80, 80), (5, 20, 20), (10, 9_000, 20), (15, 30, 20)]
        {
            heartbeat(&mut placer, second, 0, delay_ms);
            assert_eq!(placed_late_ms(&placer), late_ms);
        }
        for beat in 4..200 {
            heartbeat(&mut placer, beat * 5, 0, 50);
        }
        assert_eq!(placed_late_ms(&placer), 50);
    }

    #[test]
    fn a_wrong_wall_clock_is_known_and_places_nothing_of_this_boot() {
        let mut placer = Placer::default();
        assert_eq!(placer.wall_error_us(), None);
        heartbeat(&mut placer, 0, 3_600, 0);
        assert_eq!(placer.wall_error_us(), Some(3_600 * SECOND_US));
        heartbeat(&mut placer, 5, -3_600, 0);
        assert_eq!(placer.wall_error_us(), Some(-3_600 * SECOND_US));
        assert_eq!(placed_late_ms(&placer), 0);
    }

    #[test]
    fn an_earlier_boot_is_placed_by_the_corrected_wall_clock() {
        let mut placer = Placer::default();
        heartbeat(&mut placer, 0, 100, 0);
        let offset_us = placer.offset_us(&head([9; 16], 50, 1_150)).unwrap();
        assert_eq!(offset_us, 1_000 * SECOND_US);
    }

    #[test]
    fn what_was_lost_is_placed_like_a_batch_and_never_ahead() {
        let mut placer = Placer::default();
        heartbeat(&mut placer, 1_000, 100, 0);
        let now = UtcMicros(BIRTH_US + 1_000 * SECOND_US);
        let seconds = |boot, from_s: u64, to_s: u64, wall_s| {
            let near = head(boot, to_s, wall_s).closed;
            let (from, to) = (Tick(from_s * 1_000_000), Tick(to_s * 1_000_000));
            let cause = DropCause::Size;
            let gap = placer.gap(&Dropped { boot, near, from, to, rounds: 5, cause }, now);
            [gap.from, gap.to].map(|at| (at.0 - BIRTH_US) / SECOND_US)
        };
        assert_eq!(seconds(BOOT, 100, 200, 0), [100, 200]);
        // Of an earlier boot, by its wall clock less its known error.
        assert_eq!(seconds([9; 16], 40, 50, BIRTH_US / SECOND_US + 600), [490, 500]);
        assert_eq!(seconds(BOOT, 900, 5_000, 0), [900, 1_000]);
        assert_eq!(seconds([9; 16], 40, 50, i64::MIN / SECOND_US), [1_000, 1_000]);
    }

    #[test]
    fn a_tick_that_stood_still_is_noticed_at_once() {
        let mut placer = Placer::default();
        heartbeat(&mut placer, 0, 0, 0);
        let reading = Anchor { tick: Tick(5_000_000), wall: UtcMicros(BIRTH_US + 605 * SECOND_US) };
        placer.observe(BOOT, reading, UtcMicros(BIRTH_US + 605 * SECOND_US), 0);
        assert_eq!(placed_late_ms(&placer), 600_000);
    }

    #[test]
    fn a_step_of_an_agents_wall_clock_is_told_once_and_moves_no_round() {
        for step_s in [3_600, -3_600] {
            let mut placer = Placer::default();
            assert_eq!(heartbeat(&mut placer, 0, 0, 20), None);
            assert_eq!(heartbeat(&mut placer, 5, 0, 20), None);
            assert_eq!(heartbeat(&mut placer, 10, step_s, 20), Some(step_s * SECOND_US));
            assert_eq!(placed_late_ms(&placer), 20);
            assert_eq!(heartbeat(&mut placer, 15, step_s, 20), None);
            assert_eq!(heartbeat(&mut placer, 20, 0, 20), Some(-step_s * SECOND_US));
            assert_eq!(placed_late_ms(&placer), 20);
        }
    }

    #[test]
    fn an_agents_wall_clock_that_is_slewed_or_slept_through_is_not_stepped() {
        let mut placer = Placer::default();
        for beat in 0..1_000_i64 {
            let tick_us = beat * 5 * SECOND_US + if 500 <= beat { 600 * SECOND_US } else { 0 };
            let wall = UtcMicros(BIRTH_US + tick_us + beat * 5 * 500);
            let reading = Anchor { tick: Tick(tick_us.unsigned_abs()), wall };
            assert_eq!(placer.observe(BOOT, reading, UtcMicros(BIRTH_US + tick_us), 0), None);
            assert_eq!(placed_late_ms(&placer), 0);
        }
    }

    #[test]
    fn a_slewed_server_clock_moves_rounds_no_faster_than_it_is_slewed() {
        let mut placer = Placer::default();
        let mut last = 0;
        for beat in 0..1_000_i64 {
            let slewed_us = beat * 5 * 500;
            let tick_us = beat * 5 * SECOND_US;
            let wall = UtcMicros(BIRTH_US + tick_us);
            let reading = Anchor { tick: Tick(tick_us.unsigned_abs()), wall };
            placer.observe(BOOT, reading, UtcMicros(BIRTH_US + tick_us + slewed_us), 0);
            let late = placed_late_ms(&placer);
            assert!((0..=3).contains(&(late - last)), "{last} to {late}");
            last = late;
        }
    }

    #[test]
    fn the_future_is_refused_and_so_is_a_tick_outside_of_time() {
        let row = |tick: u64| RoundRow {
            subject: Subject::Probe(ProbeId(1)),
            due_tick: Tick(tick),
            outcome: Outcome::NotAsked(NotAsked::NoRoute),
            flags: RoundFlags::default(),
            icmp_error: None,
            address: None,
        };
        let batch = place(AgentId(1), &[row(3_000_000), row(9_000_000)], 0).unwrap();
        assert_eq!(check_future(&batch, UtcMicros(4_000_000)), Ok(()));
        let ahead = Err(PlaceError::Future { ahead_ms: 6_000 });
        assert_eq!(check_future(&batch, UtcMicros(3_000_000)), ahead);
        for (tick, offset_us) in [(u64::MAX, 0), (5, -6), (5, i64::MAX)] {
            assert_eq!(place(AgentId(1), &[row(tick)], offset_us), Err(PlaceError::Range));
        }
    }
}
