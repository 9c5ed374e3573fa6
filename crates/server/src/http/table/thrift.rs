//! Thrift's compact protocol, as far as the notes of a Parquet file need it. Pure.

/// Types as they are written.
pub(super) const I32: u8 = 5;
pub(super) const BINARY: u8 = 8;
pub(super) const STRUCT: u8 = 12;
const TRUE: u8 = 1;
const I64: u8 = 6;
const LIST: u8 = 9;
const STOP: u8 = 0;
/// A list of so many says its length by itself.
const LENGTH_LONG: usize = 15;

/// A struct that is being written. Fields come in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    pub(super) bytes: Vec<u8>,
    /// The last field of this struct, and of those that it is in.
    last: Vec<u8>,
    field: u8,
}

impl Thrift {
    fn header(&mut self, id: u8, kind: u8) {
        // No id is 16 or more above the one before it.
        let step = id.saturating_sub(self.field);
        self.bytes.push(step << 4 | kind);
        self.field = id;
    }

    pub(super) fn int(&mut self, id: u8, value: i32) {
        self.header(id, I32);
        self.number(i64::from(value));
    }

    pub(super) fn long(&mut self, id: u8, value: i64) {
        self.header(id, I64);
        self.number(value);
    }

    pub(super) fn yes(&mut self, id: u8) {
        self.header(id, TRUE);
    }

    pub(super) fn text(&mut self, id: u8, text: &str) {
        self.header(id, BINARY);
        self.item_text(text);
    }

    /// Begins a list; its items follow.
    pub(super) fn list(&mut self, id: u8, kind: u8, count: usize) {
        self.header(id, LIST);
        match u8::try_from(count) {
            Ok(short) if count < LENGTH_LONG => self.bytes.push(short << 4 | kind),
            Ok(_) | Err(_) => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, count as u64);
            }
        }
    }

    pub(super) fn item_int(&mut self, value: i32) {
        self.number(i64::from(value));
    }

    pub(super) fn item_text(&mut self, text: &str) {
        varint(&mut self.bytes, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Begins a struct that is a field, to be ended.
    pub(super) fn open(&mut self, id: u8) {
        self.header(id, STRUCT);
        self.item_open();
    }

    /// Begins a struct that is an item of a list, to be ended.
    pub(super) fn item_open(&mut self) {
        self.last.push(self.field);
        self.field = 0;
    }

    /// Ends the innermost struct; at last that which all is in.
    pub(super) fn close(&mut self) {
        self.bytes.push(STOP);
        self.field = self.last.pop().unwrap_or(0);
    }

    /// Small numbers are short, whatever their sign.
    fn number(&mut self, value: i64) {
        varint(&mut self.bytes, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while 0x7f < value {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
}
