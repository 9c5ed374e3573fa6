//! New inputs from old ones, by the dice.

/// No input grows beyond this: longer ones find nothing that shorter ones do not.
pub const INPUT_BYTES_MAX: usize = 8 * 1024;
/// Changes to one input.
const CHANGES_MAX: u64 = 6;
/// Where code has its edges.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    u64::MAX,
];
/// Pieces of the texts that are read here.
const PIECES: [&[u8]; 16] = [
    b"\"",
    b"\0",
    b"\n",
    b"\r\n",
    b",",
    b"{",
    b"[",
    b"\xff",
    b"\xc3\xa9",
    b"-1",
    b"1e999",
    b"null",
    b"=",
    b"::",
    b"\xef\xbb\xbf",
    b"%",
];

/// A small generator with a seed: splitmix64.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly among the numbers below `limit`; 0 if there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// Changes one of `corpus` a few times.
pub fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=dice.next() % CHANGES_MAX {
        change(&mut bytes, corpus, dice);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let length = dice.below(16).min(bytes.len() - at);
    match dice.below(9) {
        0 => flip(bytes, at, 1 << dice.below(8)),
        1 => flip(bytes, at, u8::try_from(dice.below(256)).unwrap_or(1)),
        2 => {
            let edge = dice.pick(&EDGES).copied().unwrap_or(0);
            overwrite(bytes, at, edge, 1 << dice.below(4), dice.below(2) == 0);
        }
        3 => bytes.truncate(at),
        4 => {
            bytes.drain(at..at + length);
        }
        5 => {
            let copy: Vec<u8> = bytes.iter().skip(at).take(length).copied().collect();
            insert(bytes, dice, &copy);
        }
        6 => {
            let piece = dice.pick(&PIECES).copied().unwrap_or_default();
            insert(bytes, dice, piece);
        }
        7 => {
            let noise: Vec<u8> =
                (0..=length).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect();
            insert(bytes, dice, &noise);
        }
        // The head of this one and the tail of another.
        _ => {
            if let Some(other) = dice.pick(corpus) {
                let from = dice.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(other.iter().skip(from));
            }
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, mask: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
}

fn overwrite(bytes: &mut [u8], at: usize, value: u64, width: usize, is_big: bool) {
    let little = value.to_le_bytes();
    let big = value.to_be_bytes();
    let from = if is_big { big.get(8 - width..) } else { little.get(..width) };
    for (to, from) in bytes.iter_mut().skip(at).zip(from.unwrap_or_default()) {
        *to = *from;
    }
}

fn insert(bytes: &mut Vec<u8>, dice: &mut Dice, piece: &[u8]) {
    let at = dice.below(bytes.len() + 1);
    bytes.splice(at..at, piece.iter().copied());
}
