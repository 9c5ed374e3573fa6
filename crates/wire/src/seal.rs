//! Payloads as they travel: encoded, compressed, and opened again without trust.

use std::collections::BTreeMap;

use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use crate::{WireError, limits, v1};

/// zstd's own default: rounds compress to a third, in a few microseconds.
const LEVEL: i32 = 3;

/// Encodes and compresses a payload.
///
/// # Errors
///
/// [`WireError::TooLarge`] if it breaks a limit: a sender cuts its batches before that.
pub fn seal(payload: &v1::Payload) -> Result<Vec<u8>, WireError> {
    let bytes = payload.encode_to_vec();
    check_size("the payload", bytes.len(), limits::PAYLOAD_BYTES_MAX)?;
    let sealed = zstd::bulk::compress(&bytes, LEVEL).map_err(|_| WireError::NotZstd)?;
    check_size("the compressed payload", sealed.len(), limits::SEALED_BYTES_MAX)?;
    Ok(sealed)
}

/// Inflates and decodes a payload.
///
/// Inflating stops at the limit, and the number of entries of every list is counted before any
/// of them is decoded: what a few bytes may claim is bounded twice.
///
/// # Errors
///
/// [`WireError`] says which limit is broken, or that it is no payload.
pub fn open(sealed: &[u8]) -> Result<v1::Payload, WireError> {
    check_size("the compressed payload", sealed.len(), limits::SEALED_BYTES_MAX)?;
    let bytes = inflate(sealed)?;
    check_counts(&bytes)?;
    let payload = v1::Payload::decode(bytes.as_slice()).map_err(|e| not_payload(&e))?;
    if payload.kind.is_none() {
        return Err(WireError::EmptyPayload);
    }
    Ok(payload)
}

fn check_size(what: &'static str, length_bytes: usize, max_bytes: usize) -> Result<(), WireError> {
    if max_bytes < length_bytes {
        return Err(WireError::TooLarge { what, length_bytes, max_bytes });
    }
    Ok(())
}

fn not_payload(error: &prost::DecodeError) -> WireError {
    WireError::NotPayload { reason: error.to_string() }
}

/// Decompresses into a buffer of the limit: whatever the frame claims, no more is written.
fn inflate(sealed: &[u8]) -> Result<Vec<u8>, WireError> {
    let max_bytes = limits::PAYLOAD_BYTES_MAX;
    let claimed = zstd::zstd_safe::get_frame_content_size(sealed);
    if let Some(size) = claimed.map_err(|_| WireError::NotZstd)?
        && (max_bytes as u64) < size
    {
        return Err(WireError::InflatesTooLarge { max_bytes });
    }
    zstd::bulk::decompress(sealed, max_bytes).map_err(|error| {
        if error.to_string().contains("too small") {
            WireError::InflatesTooLarge { max_bytes }
        } else {
            WireError::NotZstd
        }
    })
}

/// Counts the entries of every list in an encoded payload.
///
/// A message may come in several pieces that the decoder joins, so the counts run over all.
fn check_counts(mut payload: &[u8]) -> Result<(), WireError> {
    let mut counts = BTreeMap::new();
    while !payload.is_empty() {
        let (kind, wire_type) = key(&mut payload)?;
        if wire_type != WireType::LengthDelimited {
            skip(&mut payload, kind, wire_type)?;
            continue;
        }
        let mut body = delimited(&mut payload)?;
        while !body.is_empty() {
            let (tag, wire_type) = key(&mut body)?;
            let entries = if wire_type == WireType::LengthDelimited {
                entries_in(kind, tag, delimited(&mut body)?)
            } else {
                skip(&mut body, tag, wire_type)?;
                1
            };
            let count: &mut usize = counts.entry((kind, tag)).or_default();
            *count += entries;
            if limits::ROUNDS_MAX < *count {
                return Err(WireError::TooMany {
                    what: "a list of the payload",
                    count: *count,
                    max: limits::ROUNDS_MAX,
                });
            }
        }
    }
    Ok(())
}

/// How many entries a length-delimited field adds to its list.
fn entries_in(kind: u32, tag: u32, bytes: &[u8]) -> usize {
    match (kind, tag) {
        // Packed numbers: the last byte of each has its top bit clear.
        (1, 1..=8) | (3, 1..=2) => bytes.iter().filter(|b| **b < 0x80).count(),
        (3, 3) => bytes.len() / 8,
        _ => 1,
    }
}

fn key(bytes: &mut &[u8]) -> Result<(u32, WireType), WireError> {
    decode_key(bytes).map_err(|e| not_payload(&e))
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let length = decode_varint(bytes).map_err(|e| not_payload(&e))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let Some((body, rest)) = bytes.split_at_checked(length) else {
        return Err(WireError::NotPayload {
            reason: "a field is longer than the message".to_owned(),
        });
    };
    *bytes = rest;
    Ok(body)
}

fn skip(bytes: &mut &[u8], tag: u32, wire_type: WireType) -> Result<(), WireError> {
    skip_field(wire_type, tag, bytes, DecodeContext::default()).map_err(|e| not_payload(&e))
}
