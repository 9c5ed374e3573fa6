//! Reading records back, in order.

use std::{io, sync::Arc};

use crate::{
    FileLayer, JournalError, LayerFile, Position,
    segment::{RECORD_HEADER_BYTES, RecordHeader, Segment},
};

/// Bytes asked of the file at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Iterates over records in the order of their positions; ends after the first error.
#[derive(Debug)]
pub struct Reader {
    layer: Arc<dyn FileLayer>,
    /// The rest to read, the next segment last.
    segments: Vec<Segment>,
    current: Option<Current>,
    from: u64,
    record_bytes_max: u32,
}

#[derive(Debug)]
struct Current {
    segment: Segment,
    file: Box<dyn LayerFile>,
    /// Where the first byte of `buffer` lies in the file.
    offset: u64,
    buffer: Vec<u8>,
    /// How much of `buffer` was handed out.
    used: usize,
}

impl Reader {
    pub(crate) fn new(
        layer: Arc<dyn FileLayer>,
        mut segments: Vec<Segment>,
        from: Position,
        record_bytes_max: u32,
    ) -> Reader {
        segments.reverse();
        Reader { layer, segments, current: None, from: from.0, record_bytes_max }
    }

    fn read(&mut self) -> Result<Option<(Position, Vec<u8>)>, JournalError> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(segment) = self.segments.pop() else {
                    return Ok(None);
                };
                self.current = Some(Current::open(self.layer.as_ref(), segment, self.from)?);
                continue;
            };
            match current.read(self.record_bytes_max)? {
                Some((position, payload)) if self.from <= position.0 => {
                    return Ok(Some((position, payload)));
                }
                Some(_) => (),
                None => self.current = None,
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<(Position, Vec<u8>), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose();
        if matches!(item, Some(Err(_))) {
            self.current = None;
            self.segments.clear();
        }
        item
    }
}

impl Current {
    fn open(layer: &dyn FileLayer, segment: Segment, from: u64) -> Result<Current, JournalError> {
        let file = layer.open(&segment.path);
        Ok(Current {
            file: file.map_err(|e| JournalError::io("open", &segment.path, e))?,
            offset: segment.offset_near(from),
            buffer: Vec::new(),
            used: 0,
            segment,
        })
    }

    /// Reads the next record; `None` at the end of the segment.
    fn read(&mut self, bytes_max: u32) -> Result<Option<(Position, Vec<u8>)>, JournalError> {
        let at = self.offset + self.used as u64;
        if self.segment.end <= at {
            return Ok(None);
        }
        let damaged = JournalError::Damaged { path: self.segment.path.clone(), offset_bytes: at };
        let Some(header) = self.peek(RECORD_HEADER_BYTES)?.and_then(RecordHeader::parse) else {
            return Err(damaged);
        };
        if (bytes_max as usize) < header.payload_bytes() {
            return Err(damaged);
        }
        let length = RECORD_HEADER_BYTES + header.payload_bytes();
        let salt = self.segment.salt;
        let record = self.peek(length)?;
        let Some(payload) = record.and_then(|bytes| bytes.get(RECORD_HEADER_BYTES..)) else {
            return Err(damaged);
        };
        if !header.is_good(salt, payload) {
            return Err(damaged);
        }
        let payload = payload.to_vec();
        self.used += length;
        Ok(Some((Position(header.position), payload)))
    }

    /// The next `length` bytes, or `None` if the segment has not that many.
    fn peek(&mut self, length: usize) -> Result<Option<&[u8]>, JournalError> {
        if self.buffer.len() < self.used + length {
            self.buffer.drain(..self.used);
            self.offset += self.used as u64;
            self.used = 0;
            let filled = self.fill(length.max(CHUNK_BYTES));
            filled.map_err(|e| JournalError::io("read", &self.segment.path, e))?;
        }
        Ok(self.buffer.get(self.used..self.used + length))
    }

    fn fill(&mut self, target: usize) -> io::Result<()> {
        let left = self.segment.end.saturating_sub(self.offset);
        let target = target.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut length = self.buffer.len();
        self.buffer.resize(target.max(length), 0);
        while let Some(rest) = self.buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, self.offset + length as u64) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    self.buffer.truncate(length);
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(length);
        Ok(())
    }
}
