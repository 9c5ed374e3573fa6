//! The decoders of this crate as a fuzzer calls them: bytes in, and whether they were taken.
//! Nothing else calls them.
//!
//! Checksums are made to hold, or no change would get behind them.

use model::{NotAsked, Outcome, RoundFlags, UtcMicros};

use crate::chunks::{
    Head, Key, MinuteRecord, Packing, Record, RoundRecord, Tail, encode_chunk, encode_tail, sealed,
};

/// A chunk as the fuzzer has it: the length of the head in two bytes, the head, one page.
const LENGTH_BYTES: usize = 2;

/// A tail, as either kind.
pub fn history_tail(bytes: &[u8]) -> bool {
    let bytes = sealed(bytes);
    let rounds = Tail::parse::<RoundRecord>(&bytes).and_then(Tail::all::<RoundRecord>);
    let minutes = Tail::parse::<MinuteRecord>(&bytes).and_then(Tail::all::<MinuteRecord>);
    rounds.is_ok() || minutes.is_ok()
}

/// Tails as commits write them.
pub fn history_tail_seeds() -> Vec<Vec<u8>> {
    let tail = encode_tail(&rounds());
    // Without the checksum, which is put in front again.
    tail.get(4..).map(<[u8]>::to_vec).into_iter().collect()
}

/// The head of a chunk, and a page of it, as either kind.
pub fn history_chunk(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return false };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((head, page)) = rest.split_at_checked(length) else { return false };
    let head = sealed(head);
    is_read::<RoundRecord>(&head, page) || is_read::<MinuteRecord>(&head, page)
}

fn is_read<R: Record>(head: &[u8], page: &[u8]) -> bool {
    Head::parse::<R>(head).is_ok_and(|mut head| head.decode::<R>(page).is_ok())
}

/// Chunks of one series, plain and compressed.
pub fn history_chunk_seeds() -> Vec<Vec<u8>> {
    let packings = [Packing::Plain, Packing::Compressed];
    let chunks = packings.into_iter().filter_map(|packing| {
        let chunk = encode_chunk(&rounds(), 0, packing).ok()?;
        let (head, page) = (chunk.head.get(4..)?, chunk.parts.first()?);
        let length = u16::try_from(head.len()).ok()?;
        Some([length.to_le_bytes().as_slice(), head, page].concat())
    });
    chunks.collect()
}

fn rounds() -> Vec<(Key, Vec<RoundRecord>)> {
    let round = |n: i64| RoundRecord {
        at: UtcMicros(n * 30_000_000),
        outcome: Outcome::NotAsked(NotAsked::NoRoute),
        flags: RoundFlags(0),
        icmp_error: None,
    };
    vec![(Key { subject: 7, agent: 1 }, (0..40).map(round).collect())]
}
