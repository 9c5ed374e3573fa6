//! The keyed payload: what makes a reply ours.
//!
//! An identifier has 16 bits and a sequence too; both are guessed or shared soon enough. So each
//! request carries who asked (slot, round, packet) and when, under a SipHash-2-4 tag whose key is
//! made at every start. A reply without the right tag is a stranger's and never counts.

use siphasher::sip::SipHasher24;

/// Tag, slot, round, send tick, packet index and three spare bytes.
pub const STAMP_BYTES: usize = 24;

/// The key of one prober. Ask the operating system for its 16 bytes at every start.
#[derive(Clone)]
pub struct Key(SipHasher24);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What a request says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which probe of the prober.
    pub slot: u32,
    /// Which of all rounds of the prober, modulo 2^32: it tells a late reply from one in time.
    pub round: u32,
    /// When it was made: the low 32 bits of the tick in microseconds, which is 71 minutes.
    pub tick_us: u32,
    /// Which packet of the round.
    pub index: u8,
}

impl Key {
    pub fn new(bytes: [u8; 16]) -> Key {
        Key(SipHasher24::new_with_key(&bytes))
    }

    /// Writes a stamp and its tag, which also covers the sequence of the ICMP header.
    pub fn seal(&self, stamp: Stamp, sequence: u16) -> [u8; STAMP_BYTES] {
        let mut bytes = [0_u8; STAMP_BYTES];
        bytes[8..12].copy_from_slice(&stamp.slot.to_be_bytes());
        bytes[12..16].copy_from_slice(&stamp.round.to_be_bytes());
        bytes[16..20].copy_from_slice(&stamp.tick_us.to_be_bytes());
        bytes[20] = stamp.index;
        let tag = self.tag(&bytes, sequence);
        bytes[..8].copy_from_slice(&tag);
        bytes
    }

    /// Reads a stamp back. `None` if the payload is too short or was not made with this key.
    pub fn open(&self, payload: &[u8], sequence: u16) -> Option<Stamp> {
        let (bytes, _) = payload.split_first_chunk::<STAMP_BYTES>()?;
        let (tag, _) = bytes.split_first_chunk::<8>()?;
        if *tag != self.tag(bytes, sequence) {
            return None;
        }
        let word = |at: usize| -> Option<u32> {
            bytes.get(at..)?.first_chunk::<4>().map(|w| u32::from_be_bytes(*w))
        };
        Some(Stamp { slot: word(8)?, round: word(12)?, tick_us: word(16)?, index: bytes[20] })
    }

    fn tag(&self, bytes: &[u8; STAMP_BYTES], sequence: u16) -> [u8; 8] {
        let mut text = [0_u8; STAMP_BYTES - 6];
        text[..16].copy_from_slice(&bytes[8..]);
        text[16..].copy_from_slice(&sequence.to_be_bytes());
        self.0.hash(&text).to_be_bytes()
    }
}
