//! What lies on disk, and certificates.

use std::time::Duration;

use engine::Engine;
use journal::{Journal, Options, Position};
use model::{AgentId, ProbeId, UtcMicros};
use server::secrets::{MasterKey, Secrets};

use crate::memory::Memory;

/// Where the only segment of a journal is.
pub(crate) const SEGMENT: &str = "/j/00000000000000000001.seg";
/// Turns that a restored engine is driven for.
const TURNS: i64 = 4;

/// A segment file: opening repairs it once, keeps what it could read, and takes new records.
pub(crate) fn journal(bytes: &[u8]) -> bool {
    let memory = Memory::default();
    memory.put(SEGMENT, bytes);
    let options = Options { segment_bytes_max: 1 << 20, ..Options::default() };
    let open = || Journal::open("/j", options, memory.clone()).expect("damage is no error");
    let read = |journal: &Journal| -> Vec<(Position, Vec<u8>)> {
        let records = journal.read_from(Position(0));
        records.map(|record| record.expect("what recovery kept can be read")).collect()
    };
    let (mut journal, recovery) = open();
    let mut kept = read(&journal);
    assert_eq!(kept.len() as u64, recovery.records, "counted and read");
    assert!(kept.is_sorted_by(|a, b| a.0 < b.0), "positions ascend");
    let is_taken = !kept.is_empty();
    let position = journal.append(b"new").expect("takes records");
    journal.sync().expect("syncs");
    kept.push((position, b"new".to_vec()));
    drop(journal);
    let (journal, recovery) = open();
    assert_eq!(recovery.segments_damaged, 0, "repaired once");
    assert_eq!(read(&journal), kept, "opened again");
    is_taken
}

pub(crate) fn log_entry(bytes: &[u8]) -> bool {
    server::fuzz::log_entry(bytes)
}

pub(crate) fn history_chunk(bytes: &[u8]) -> bool {
    store::fuzz::history_chunk(bytes)
}

pub(crate) fn history_tail(bytes: &[u8]) -> bool {
    store::fuzz::history_tail(bytes)
}

/// A checkpoint that is taken is written as it was read, and the engine goes on from it.
pub(crate) fn checkpoint(bytes: &[u8]) -> bool {
    let Ok(mut engine) = Engine::restore(bytes) else { return false };
    let written = engine.checkpoint();
    let again = Engine::restore(&written).expect("reads what it wrote");
    assert!(again.checkpoint() == written, "written again");
    let mut now = UtcMicros(1_800_000_000_000_000);
    for _ in 0..TURNS {
        now = now + Duration::from_secs(61);
        engine.handle_timeout(now);
        while engine.poll_decision().is_some() {}
        engine.poll_timeout();
        engine.probe_status(ProbeId(1));
        engine.assignment(AgentId(1));
    }
    true
}

pub(crate) fn spool_state(bytes: &[u8]) -> bool {
    agent::fuzz::spool_state(bytes)
}

pub(crate) fn assignment(bytes: &[u8]) -> bool {
    agent::fuzz::assignment(bytes)
}

/// The key under which the seeds were sealed.
pub(crate) fn secrets() -> Secrets {
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    Secrets::new(&MasterKey::parse(text, "here").expect("a key"))
}

/// Nothing opens but what was sealed.
pub(crate) fn sealed_secret(bytes: &[u8]) -> bool {
    let Ok(plain) = secrets().open("fuzz", bytes) else { return false };
    assert_eq!(plain, b"plain", "opened what nobody sealed");
    true
}

/// A client certificate, after its signature was verified.
pub(crate) fn certificate(bytes: &[u8]) -> bool {
    server::authority::identity_of(bytes).is_ok()
}

pub(crate) fn certificate_request(bytes: &[u8]) -> bool {
    server::fuzz::certificate_request(bytes)
}
