//! What agents and servers send each other.

use prost::Message;
use wire::{
    BatchHead, limits,
    rounds::{decode_rounds, encode_rounds},
    v1::{self, payload::Kind},
};

/// A payload as it travels, compressed.
pub(crate) fn sealed(bytes: &[u8]) -> bool {
    let Ok(payload) = wire::open(bytes) else { return false };
    check(&payload);
    true
}

/// A payload before compression: mutations of compressed bytes rarely get past their checksum.
pub(crate) fn payload(bytes: &[u8]) -> bool {
    let Ok(sealed) = zstd::bulk::compress(bytes, 1) else { return false };
    self::sealed(&sealed)
}

/// A payload that was opened can be sealed, and is the same again.
fn check(payload: &v1::Payload) {
    if let Some(Kind::Rounds(rounds)) = &payload.kind {
        check_rounds(rounds);
    }
    if let Ok(sealed) = wire::seal(payload) {
        let again = wire::open(&sealed).expect("opens what it sealed");
        assert_eq!(again.encode_to_vec(), payload.encode_to_vec(), "sealed and opened");
    }
}

/// The columns of a batch.
pub(crate) fn rounds(bytes: &[u8]) -> bool {
    let Ok(rounds) = v1::Rounds::decode(bytes) else { return false };
    check_rounds(&rounds)
}

/// Rows that were accepted become columns that are accepted, and are the same rows.
fn check_rounds(rounds: &v1::Rounds) -> bool {
    let Ok(rows) = decode_rounds(rounds) else { return false };
    assert!(rows.len() <= limits::ROUNDS_MAX.max(rounds.subject.len()), "more rows than columns");
    let again = decode_rounds(&encode_rounds(&rows));
    assert_eq!(again.as_ref(), Ok(&rows), "encoded and decoded");
    true
}

/// A batch with its head, as the spool keeps it.
pub(crate) fn batch(bytes: &[u8]) -> bool {
    let Ok(batch) = v1::Batch::decode(bytes) else { return false };
    let Ok(head) = BatchHead::of(&batch) else { return false };
    assert_eq!(v1::Batch::decode(batch.encode_to_vec().as_slice()), Ok(batch), "encoded again");
    assert!(head.epoch != 0 && head.seq != 0, "a name that is none");
    true
}

pub(crate) fn agent_frame(bytes: &[u8]) -> bool {
    same_again::<v1::AgentFrame>(bytes)
}

pub(crate) fn server_frame(bytes: &[u8]) -> bool {
    same_again::<v1::ServerFrame>(bytes)
}

/// What was decoded is decoded again from what it encodes to. By bytes: a float may be none.
fn same_again<M: Message + Default>(bytes: &[u8]) -> bool {
    let Ok(message) = M::decode(bytes) else { return false };
    let encoded = message.encode_to_vec();
    let again = M::decode(encoded.as_slice()).expect("decodes what it encoded");
    assert_eq!(again.encode_to_vec(), encoded, "encoded again");
    true
}
