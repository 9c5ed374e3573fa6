//! Reads Parquet as far as our tables use it, to compare what was written and what was sent.

use std::ops::Range;

/// A value of Thrift's compact protocol, read without knowing what it means.
#[derive(Debug)]
pub(crate) enum Any {
    Number(i64),
    Text,
    List(Vec<Any>),
    Struct(Vec<(u8, Any)>),
}

impl Any {
    pub(crate) fn field(&self, id: u8) -> &Any {
        let Any::Struct(fields) = self else { panic!("{self:?} is no struct") };
        &fields.iter().find(|(known, _)| *known == id).expect("the field").1
    }

    pub(crate) fn number(&self) -> i64 {
        let Any::Number(number) = self else { panic!("{self:?} is no number") };
        *number
    }

    fn at(&self) -> usize {
        usize::try_from(self.number()).expect("a place")
    }

    pub(crate) fn list(&self) -> &[Any] {
        let Any::List(items) = self else { panic!("{self:?} is no list") };
        items
    }
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

pub(crate) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn read_any(bytes: &mut &[u8], kind: u8) -> Any {
    match kind {
        1 => Any::Number(1),
        5 | 6 => {
            let zigzag = read_varint(bytes);
            Any::Number((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
        }
        8 => {
            let length = usize::try_from(read_varint(bytes)).expect("a length");
            take(bytes, length);
            Any::Text
        }
        9 => {
            let head = take(bytes, 1)[0];
            let count = if head >> 4 == 15 { read_varint(bytes) } else { u64::from(head >> 4) };
            Any::List((0..count).map(|_| read_any(bytes, head & 15)).collect())
        }
        12 => {
            let (mut fields, mut id) = (Vec::new(), 0);
            loop {
                let head = take(bytes, 1)[0];
                if head == 0 {
                    return Any::Struct(fields);
                }
                id += head >> 4;
                fields.push((id, read_any(bytes, head & 15)));
            }
        }
        _ => panic!("type {kind}"),
    }
}

pub(crate) fn notes_of(file: &[u8]) -> Any {
    assert_eq!((&file[..4], &file[file.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
    let end = file.len() - 8;
    let length = u32::from_le_bytes(file[end..end + 4].try_into().expect("four bytes"));
    read_any(&mut &file[end - length as usize..end], 12)
}

/// Which rows of a column are known, and its plain values.
pub(crate) fn page_of(file: &[u8], chunk: &Any) -> (Vec<bool>, Vec<u8>) {
    let about = chunk.field(3);
    let Range { start, end } = about.field(9).at()..about.field(9).at() + about.field(7).at();
    let mut bytes = &file[start..end];
    let header = read_any(&mut bytes, 12);
    assert_eq!(header.field(3).at(), bytes.len());
    let page = zstd::bulk::decompress(bytes, header.field(2).at()).expect("a page");
    let mut rest = &page[..];
    let length = u32::from_le_bytes(take(&mut rest, 4).try_into().expect("four bytes"));
    let mut levels = take(&mut rest, length as usize);
    let mut known = Vec::new();
    while !levels.is_empty() {
        let count = read_varint(&mut levels) >> 1;
        let is_known = take(&mut levels, 1)[0] == 1;
        known.extend((0..count).map(|_| is_known));
    }
    assert_eq!(known.len(), header.field(5).field(1).at());
    (known, rest.to_vec())
}
