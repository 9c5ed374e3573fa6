//! What the spool remembers beside its records: a small file, written whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use super::{Key, losses::Losses};
use crate::files;

/// The state is a few numbers, [`MARKS_KEPT_MAX`] marks and [`SETTLED_MAX`] names.
const STATE_BYTES_MAX: u64 = 64 * 1024;
/// Marks remembered, of the newest epochs: one an epoch, and a stream has one. What an older one
/// says is only that batches need not be sent again.
const MARKS_KEPT_MAX: usize = 256;
/// Batches settled by themselves that are remembered, the newest: an agent with more than that has
/// other worries than to have some refused twice.
const SETTLED_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct State {
    pub(super) spool_id: String,
    /// The newest epoch granted; 0 if none.
    pub(super) epoch: u64,
    /// Records were lost since that epoch was granted: nothing more is put into it.
    pub(super) is_fenced: bool,
    /// Records below are delivered or dropped. A hint: they may be sent again without harm.
    pub(super) delivered_below: u64,
    /// Up to where each epoch is delivered: live batches are before older ones are.
    #[serde(default)]
    pub(super) marks: BTreeMap<u64, u64>,
    /// Batches that were refused or could not be read.
    #[serde(default)]
    pub(super) settled: BTreeSet<Key>,
    /// Records below bear names of a numbering that was given up.
    #[serde(default)]
    pub(super) names_from: u64,
    /// What was lost since the newest batch.
    #[serde(default)]
    pub(super) losses: Losses,
}

impl State {
    /// Of a spool that nothing was put into yet.
    pub(crate) fn new() -> State {
        State {
            spool_id: new_id(),
            epoch: 0,
            is_fenced: false,
            delivered_below: 0,
            marks: BTreeMap::new(),
            settled: BTreeSet::new(),
            names_from: 0,
            losses: Losses::default(),
        }
    }

    /// Reads it. One that is not there or not readable is a new one: the records speak for
    /// themselves, and without an epoch nothing is written.
    pub(super) fn read(path: &Path) -> io::Result<State> {
        if let Some(dir) = path.parent() {
            files::create_private_dir(dir)?;
        }
        match files::read_limited(path, STATE_BYTES_MAX) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "the spool's state is damaged");
                // Kept for inspection; if that fails, it is overwritten.
                fs::rename(path, path.with_extension("json.damaged")).ok();
                State::new()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::new()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::from)?;
        files::write_atomic(path, &bytes, files::SECRET)
    }

    /// Whether the batch is known to be delivered or given up.
    pub(super) fn is_done(&self, (epoch, seq): Key) -> bool {
        self.marks.get(&epoch).is_some_and(|mark| seq <= *mark)
            || self.settled.contains(&(epoch, seq))
    }

    pub(super) fn mark(&mut self, epoch: u64, seq: u64) {
        let mark = self.marks.entry(epoch).or_default();
        *mark = seq.max(*mark);
        while MARKS_KEPT_MAX < self.marks.len() {
            self.marks.pop_first();
        }
    }

    pub(super) fn settle(&mut self, key: Key) {
        self.settled.insert(key);
        while SETTLED_MAX < self.settled.len() {
            self.settled.pop_first();
        }
    }
}

pub(super) fn new_id() -> String {
    files::hex(&files::random::<16>())
}
