//! The head of a batch: its name, its boot, and the two clocks when it was closed.

use model::{DropCause, Tick, UtcMicros};

use crate::{WireError, limits, v1};

/// One start of an agent's operating system: ticks of different boots do not compare.
pub type BootId = [u8; 16];

/// An agent's two clocks, read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub tick: Tick,
    /// The agent's wall clock: it may be wrong by any amount.
    pub wall: UtcMicros,
}

/// Everything of a batch but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    pub epoch: u64,
    pub seq: u64,
    pub boot: BootId,
    pub closed: Anchor,
}

/// Results that an agent lost, on the agent's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub boot: BootId,
    /// Both clocks at a moment near the loss.
    pub near: Anchor,
    /// The time that the results were of.
    pub from: Tick,
    pub to: Tick,
    /// At least so many, where what is lost cannot be counted.
    pub rounds: u64,
    pub cause: DropCause,
}

impl Anchor {
    pub fn of(clock: v1::Clock) -> Anchor {
        Anchor { tick: Tick(clock.tick_us), wall: UtcMicros(clock.wall_us) }
    }

    pub fn to_clock(self) -> v1::Clock {
        v1::Clock { tick_us: self.tick.0, wall_us: self.wall.0 }
    }

    /// How long before the anchor `tick` was, in microseconds; negative if it came after.
    pub fn us_before(self, tick: Tick) -> i64 {
        let difference = i128::from(self.tick.0) - i128::from(tick.0);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

impl BatchHead {
    /// Reads the head of a batch, without touching its payload.
    ///
    /// # Errors
    ///
    /// [`WireError::Batch`] names the field; [`WireError::TooLarge`] if the payload is.
    pub fn of(batch: &v1::Batch) -> Result<BatchHead, WireError> {
        let broken = |field, must| WireError::Batch { field, must };
        if limits::SEALED_BYTES_MAX < batch.payload_zstd.len() {
            return Err(WireError::TooLarge {
                what: "the payload",
                length_bytes: batch.payload_zstd.len(),
                max_bytes: limits::SEALED_BYTES_MAX,
            });
        }
        if batch.epoch == 0 {
            return Err(broken("epoch", "must be one that was granted"));
        }
        if batch.seq == 0 {
            return Err(broken("seq", "counts from 1"));
        }
        Ok(BatchHead {
            epoch: batch.epoch,
            seq: batch.seq,
            boot: boot_id(&batch.boot_id)?,
            closed: batch.closed.map(Anchor::of).ok_or(broken("closed", "is missing"))?,
        })
    }
}

impl Dropped {
    /// Reads what a batch says its agent lost.
    ///
    /// # Errors
    ///
    /// [`WireError`] names what is wrong.
    pub fn all_of(batch: &v1::Batch) -> Result<Vec<Dropped>, WireError> {
        if limits::DROPS_MAX < batch.drops.len() {
            return Err(WireError::TooMany {
                what: "`drops`",
                count: batch.drops.len(),
                max: limits::DROPS_MAX,
            });
        }
        batch.drops.iter().map(Dropped::of).collect()
    }

    fn of(drop: &v1::Drop) -> Result<Dropped, WireError> {
        let broken = |must| WireError::Batch { field: "drops", must };
        let (from, to) = (Tick(drop.from_tick_us), Tick(drop.to_tick_us));
        if to < from {
            return Err(broken("must not end before they begin"));
        }
        Ok(Dropped {
            boot: boot_id(&drop.boot_id)?,
            near: drop.near.map(Anchor::of).ok_or(broken("must have a clock"))?,
            from,
            to,
            rounds: drop.rounds,
            cause: cause_of(drop.cause()).ok_or(broken("must have a known cause"))?,
        })
    }

    pub fn to_drop(&self) -> v1::Drop {
        v1::Drop {
            boot_id: self.boot.to_vec(),
            near: Some(self.near.to_clock()),
            from_tick_us: self.from.0,
            to_tick_us: self.to.0,
            rounds: self.rounds,
            cause: code_of(self.cause).into(),
        }
    }
}

fn cause_of(code: v1::DropCause) -> Option<DropCause> {
    DropCause::ALL.into_iter().find(|cause| code_of(*cause) == code)
}

fn code_of(cause: DropCause) -> v1::DropCause {
    match cause {
        DropCause::Size => v1::DropCause::Size,
        DropCause::Age => v1::DropCause::Age,
        DropCause::Unreadable => v1::DropCause::Unreadable,
        DropCause::Refused => v1::DropCause::Refused,
        DropCause::Unwritten => v1::DropCause::Unwritten,
        DropCause::Overrun => v1::DropCause::Overrun,
        DropCause::Renamed => v1::DropCause::Renamed,
    }
}

/// Reads a boot or spool id.
///
/// # Errors
///
/// [`WireError::Batch`] if it has not 16 bytes.
pub fn boot_id(bytes: &[u8]) -> Result<BootId, WireError> {
    bytes.try_into().map_err(|_| WireError::Batch { field: "boot_id", must: "must have 16 bytes" })
}
