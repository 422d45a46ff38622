//! Chunk series as bytes. A chunk takes about four bytes instead of the thirty of its JSON.
//!
//! Layout: the number of chunks, then for each the time since the chunk before it (whole
//! nanoseconds, which is what the clock counts), then each size. Every number is a LEB128 varint;
//! times are zigzag-coded, so that a series out of order is kept as it is.

use std::time::Duration;

use crate::record::Chunks;

/// Packs a series.
pub fn pack(chunks: &Chunks) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + chunks.offsets.len() * 6);
    put(&mut bytes, chunks.offsets.len() as u64);
    let mut before = 0i64;
    for offset in &chunks.offsets {
        let at = nanoseconds(*offset);
        put(&mut bytes, zigzag(at.wrapping_sub(before)));
        before = at;
    }
    for size in &chunks.sizes {
        put(&mut bytes, u64::from(*size));
    }
    bytes
}

/// Reads what [`pack`] wrote; `None` where the bytes are something else.
pub fn unpack(bytes: &[u8]) -> Option<Chunks> {
    let mut rest = bytes;
    let count = usize::try_from(take(&mut rest)?).ok()?;
    // Each chunk takes two bytes at least: a damaged count must not allocate the world.
    if count > rest.len() {
        return None;
    }
    let mut chunks = Chunks::default();
    let mut at = 0i64;
    for _ in 0..count {
        at = at.wrapping_add(unzigzag(take(&mut rest)?));
        chunks.offsets.push(seconds(at));
    }
    while !rest.is_empty() {
        chunks.sizes.push(u32::try_from(take(&mut rest)?).ok()?);
    }
    (chunks.sizes.len() == count).then_some(chunks)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a stream of centuries does not come"
)]
fn nanoseconds(offset: f64) -> i64 {
    (offset * 1e9).round() as i64
}

/// The same arithmetic as where the offset came from: the very same number comes back.
fn seconds(nanoseconds: i64) -> f64 {
    let size = Duration::from_nanos(nanoseconds.unsigned_abs()).as_secs_f64();
    if nanoseconds < 0 { -size } else { size }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_of_something_else_are_refused() {
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&[0xff; 20]), None);
        assert_eq!(unpack(&[200, 1, 2]), None);
        assert_eq!(unpack(&[2, 2, 2, 1]), None);
    }

    proptest! {
        #[test]
        fn every_series_comes_back_as_it_was(items in prop::collection::vec((0u64..1 << 50, any::<u32>()), 0..200)) {
            let chunks = Chunks {
                offsets: items.iter().map(|(at, _)| Duration::from_nanos(*at).as_secs_f64()).collect(),
                sizes: items.iter().map(|(_, size)| *size).collect(),
            };
            prop_assert_eq!(unpack(&pack(&chunks)), Some(chunks));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
        }
    }
}
