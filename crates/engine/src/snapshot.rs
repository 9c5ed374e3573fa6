//! Checkpoints: the whole state as bytes, and back.
//!
//! A checkpoint holds everything that decides anything; deadlines are rebuilt from it. It is read
//! by the same version of its form alone: an older one is replayed from the log instead.

use std::collections::{BTreeSet, VecDeque};

use model::{AgentId, ProbeId};
use siphasher::sip::SipHasher13;

use crate::{
    defect::Defects,
    engine::{Engine, State, Timer},
};

/// What a checkpoint starts with.
const MAGIC: [u8; 4] = *b"FLEN";
/// Counts the forms of [`State`].
const VERSION: u16 = 7;

/// Why bytes are no checkpoint that this engine can go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("these bytes are no engine checkpoint")]
    Foreign,
    /// Made by another version: replay the log from the start, or from an older checkpoint.
    #[error("the checkpoint has form {found}, this engine reads form {VERSION}: replay the log")]
    OtherVersion { found: u16 },
    #[error("the checkpoint is damaged: take an older one, or replay the log")]
    Damaged,
}

/// Against decay, not against malice: a state with one bit changed may still be one that can be
/// read, and then goes on to something that never was.
fn checksum(body: &[u8]) -> u64 {
    SipHasher13::new().hash(body)
}

impl Engine {
    /// Writes down everything that decides anything.
    ///
    /// Drain [`Engine::poll_decision`] before: what was decided and not taken is not part of it.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        let mut bytes = head.clone();
        bytes.extend_from_slice(&[0; size_of::<u64>()]);
        let begin = bytes.len();
        // Writing to memory fails for types that postcard cannot hold alone, and the state has
        // none; no body at all is refused on reading. The body of a large fleet is tens of
        // megabytes: it is written where it stays, and its sum afterwards.
        let mut bytes = postcard::to_extend(&self.state, bytes).unwrap_or_default();
        if let Some((before, body)) = bytes.split_at_mut_checked(begin) {
            head.extend_from_slice(&checksum(body).to_le_bytes());
            before.copy_from_slice(&head);
        }
        bytes
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`] says whether the bytes are foreign, of another version, or damaged.
    pub fn restore(checkpoint: &[u8]) -> Result<Engine, CheckpointError> {
        let (magic, rest) = checkpoint.split_first_chunk().ok_or(CheckpointError::Foreign)?;
        if *magic != MAGIC {
            return Err(CheckpointError::Foreign);
        }
        let (version, body) = rest.split_first_chunk().ok_or(CheckpointError::Damaged)?;
        let found = u16::from_le_bytes(*version);
        if found != VERSION {
            return Err(CheckpointError::OtherVersion { found });
        }
        let (sum, body) = body.split_first_chunk().ok_or(CheckpointError::Damaged)?;
        if u64::from_le_bytes(*sum) != checksum(body) {
            return Err(CheckpointError::Damaged);
        }
        match postcard::take_from_bytes::<State>(body) {
            Ok((state, [])) => Ok(Engine::from_state(state)),
            Ok(_) | Err(_) => Err(CheckpointError::Damaged),
        }
    }

    pub(crate) fn from_state(state: State) -> Engine {
        let mut timers = BTreeSet::new();
        let mut closings = BTreeSet::new();
        for (id, agent) in (0u32..).zip(&state.agents) {
            if let Some(at) = agent.as_ref().and_then(|agent| agent.armed) {
                timers.insert((at, Timer::Agent(AgentId(id))));
            }
        }
        for (id, probe) in (0u32..).zip(&state.probes) {
            let Some(probe) = probe else {
                continue;
            };
            if let Some(at) = probe.armed {
                timers.insert((at, Timer::Probe(ProbeId(id))));
            }
            if let Some(at) = probe.closing {
                closings.insert((at, ProbeId(id)));
            }
        }
        Engine { state, timers, closings, decisions: VecDeque::new(), defects: Defects::default() }
    }
}
