//! The log: everything the engine hears, in one ordered durable sequence.
//!
//! An entry carries the time it was appended at and enough to replay it to the same decisions: a
//! batch keeps its bytes as they arrived, with the offset that placed them on the server's clock.
//! One thread ([`writer`]) appends and syncs for everybody. The log knows no engine and no store.

mod marks;
mod metrics;
mod record;
mod writer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use model::{
    AgentEvent, AgentId, Gap, InventoryChange, LogPosition, MetricBatch, MonitorEvent, RoundBatch,
    UtcMicros,
};
use tokio::sync::oneshot;

use crate::budget::Permit;

pub(crate) use marks::Highwaters;
pub(crate) use record::{decode, encode};
pub(crate) use writer::{LogHandle, LogHold, LogStart, options, start};

/// No entry is longer: a batch has at most 512 KiB, an inventory entry 5,000 changes of at most
/// about 1 KiB.
pub(crate) const ENTRY_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// One thing the engine hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Batch(BatchBody),
    Agent {
        agent: AgentId,
        event: AgentEvent,
    },
    Inventory {
        /// `None` while more entries of the same version follow.
        version: Option<u64>,
        changes: Vec<InventoryChange>,
    },
    Monitor(MonitorEvent),
    /// What something says of itself in numbers: kept, and heard by nobody yet.
    Metrics(MetricBatch),
    /// Time passed and the engine had something due.
    Tick,
}

/// A batch as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchBody {
    pub(crate) agent: AgentId,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    /// Added to a tick of the agent it gives the server's time.
    pub(crate) offset_us: i64,
    pub(crate) payload_zstd: Bytes,
    /// What the agent lost before it, placed on the server's time.
    pub(crate) gaps: Vec<Gap>,
}

/// An entry as replay reads it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogEntry {
    pub(crate) now: UtcMicros,
    pub(crate) body: Body,
}

/// A durable entry on its way to the engine.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) position: LogPosition,
    pub(crate) now: UtcMicros,
    pub(crate) body: Body,
    /// What the payload of a batch says, opened before it was appended.
    pub(crate) rounds: Option<RoundBatch>,
    /// Returned when the entry is applied: bounds what is in memory.
    pub(crate) permit: Option<Permit>,
}

/// An entry on its way into the log.
#[derive(Debug)]
pub(crate) struct Submission {
    body: Body,
    rounds: Option<RoundBatch>,
    permit: Option<Permit>,
    lane: Lane,
    done: oneshot::Sender<Result<Appended, LogUnavailable>>,
}

/// Marks what one sender has queued: once one of them fails, all behind it must.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane(Arc<AtomicBool>);

impl Lane {
    fn is_broken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set_broken(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Submission {
    pub(crate) fn of(
        body: Body,
    ) -> (Submission, oneshot::Receiver<Result<Appended, LogUnavailable>>) {
        let (done, is_done) = oneshot::channel();
        let lane = Lane::default();
        (Submission { body, rounds: None, permit: None, lane, done }, is_done)
    }

    /// A batch of one sender, with what its payload says.
    pub(crate) fn of_batch(
        batch: BatchBody,
        rounds: RoundBatch,
        permit: Permit,
        lane: Lane,
    ) -> (Submission, oneshot::Receiver<Result<Appended, LogUnavailable>>) {
        let (submission, is_done) = Submission::of(Body::Batch(batch));
        (Submission { rounds: Some(rounds), permit: Some(permit), lane, ..submission }, is_done)
    }
}

/// A part of the log, to be read by somebody else.
#[derive(Debug)]
pub(crate) struct LogTail {
    pub(crate) reader: journal::Reader,
    /// What comes behind is none of theirs.
    pub(crate) through: LogPosition,
    /// Keeps what is to be read; a log that nobody writes needs none.
    pub(crate) _hold: Option<LogHold>,
}

/// What became of a submission. Either way everything of it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    New(LogPosition),
    /// It was in the log already; with the last position there is.
    Duplicate(LogPosition),
}

/// The log takes nothing right now; nothing of the submission is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log takes nothing: {reason}")]
pub struct LogUnavailable {
    pub reason: String,
}

/// The log, as it measures itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogVitals {
    /// The last durable position, and when it was appended.
    pub(crate) last: LogPosition,
    pub(crate) last_at: UtcMicros,
    pub(crate) bytes: u64,
    pub(crate) segments: u64,
    pub(crate) sync_us: u64,
    /// How often it was opened anew since the start: what was appended before may be gone.
    pub(crate) reopens: u64,
    /// Why it takes nothing, with the remedy.
    pub(crate) impediment: Option<String>,
}
