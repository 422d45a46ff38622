//! Chunk series as bytes. A chunk takes two to three bytes instead of the twenty-five of its JSON.
//!
//! Gaps of a stream lie around a usual one and sizes are small, so each is written as a Rice code (Robert F.
//! Rice, "Some practical universal noiseless coding techniques", 1979): the low `k` bits as they are, what
//! is above them as so many ones and a zero. Layout: two bytes that no earlier layout begins with; the
//! number of chunks as a LEB128 varint; then bits: whether times are whole microseconds (else nanoseconds),
//! `k` of the gaps and of the sizes, the usual gap, for each chunk its gap's distance from that, and each
//! size. The layout before it is still read: varints of each gap in nanoseconds and each size.

use std::io;
use std::time::Duration;

use bitstream_io::{BigEndian, BitRead, BitReader, BitWrite, BitWriter};

use crate::record::Chunks;

/// A number of chunks is never written so: it would be one byte.
const MARK: [u8; 2] = [0x80, 0x00];
/// More ones than this are not written: the whole value follows them instead.
const MOST_ONES: u32 = 24;

/// Packs a series.
pub fn pack(chunks: &Chunks) -> Vec<u8> {
    let times: Vec<i64> = chunks.offsets.iter().map(|it| nanoseconds(*it)).collect();
    let in_microseconds = times.iter().all(|time| time % 1000 == 0);
    let unit = if in_microseconds { 1000 } else { 1 };
    let mut before = 0;
    let gap = |time: &i64| (time / unit).wrapping_sub(std::mem::replace(&mut before, time / unit));
    let gaps: Vec<i64> = times.iter().map(gap).collect();
    let usual = median(&gaps);
    let distances = gaps.iter().map(|gap| zigzag(gap.wrapping_sub(usual)));
    let distances: Vec<u64> = distances.collect();
    let sizes: Vec<u64> = chunks.sizes.iter().map(|size| u64::from(*size)).collect();
    let mut bytes = MARK.to_vec();
    put(&mut bytes, distances.len() as u64);
    // Into memory, which takes everything.
    let _ = write_bits(&mut bytes, in_microseconds, usual, &distances, &sizes);
    bytes
}

fn write_bits(
    bytes: &mut Vec<u8>,
    in_microseconds: bool,
    usual: i64,
    distances: &[u64],
    sizes: &[u64],
) -> io::Result<()> {
    let mut bits = BitWriter::endian(bytes, BigEndian);
    let low_bits = [low_bits(distances), low_bits(sizes)];
    bits.write_bit(in_microseconds)?;
    for count in low_bits {
        bits.write_var(6, count)?;
    }
    bits.write_var(64, usual.cast_unsigned())?;
    for (values, count) in [distances, sizes].into_iter().zip(low_bits) {
        for value in values {
            write_code(&mut bits, *value, count)?;
        }
    }
    bits.byte_align()
}

fn write_code(bits: &mut impl BitWrite, value: u64, low_bits: u32) -> io::Result<()> {
    let ones = value >> low_bits;
    if ones >= u64::from(MOST_ONES) {
        for _ in 0..MOST_ONES {
            bits.write_bit(true)?;
        }
        return bits.write_var(64, value);
    }
    for _ in 0..ones {
        bits.write_bit(true)?;
    }
    bits.write_bit(false)?;
    bits.write_var(low_bits, value & ((1 << low_bits) - 1))
}

/// How many low bits make the codes of these values shortest together.
fn low_bits(values: &[u64]) -> u32 {
    let length = |low_bits: u32| -> u64 {
        let codes = values.iter().map(|value| match value >> low_bits {
            ones if ones >= u64::from(MOST_ONES) => u64::from(MOST_ONES) + 64,
            ones => ones + 1 + u64::from(low_bits),
        });
        codes.sum()
    };
    (0..=48).min_by_key(|count| length(*count)).unwrap_or(0)
}

fn median(gaps: &[i64]) -> i64 {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Reads what [`pack`] wrote; `None` where the bytes are something else.
pub fn unpack(bytes: &[u8]) -> Option<Chunks> {
    let Some(mut rest) = bytes.strip_prefix(&MARK) else {
        return unpack_varints(bytes);
    };
    let count = usize::try_from(take(&mut rest)?).ok()?;
    // Each chunk takes two bits at least: a damaged count must not allocate the world.
    if count / 4 > rest.len() {
        return None;
    }
    read_bits(rest, count).ok()
}

fn read_bits(bytes: &[u8], count: usize) -> io::Result<Chunks> {
    let mut bits = BitReader::endian(bytes, BigEndian);
    let unit = if bits.read_bit()? { 1000 } else { 1 };
    let low_bits: [u32; 2] = [bits.read_var(6)?, bits.read_var(6)?];
    let usual = bits.read_var::<u64>(64)?.cast_signed();
    let mut chunks = Chunks {
        offsets: Vec::with_capacity(count),
        sizes: Vec::with_capacity(count),
    };
    let mut at = 0_i64;
    for _ in 0..count {
        let distance = unzigzag(read_code(&mut bits, low_bits[0])?);
        at = at.wrapping_add(usual.wrapping_add(distance));
        chunks.offsets.push(seconds(at.wrapping_mul(unit)));
    }
    for _ in 0..count {
        let size = read_code(&mut bits, low_bits[1])?;
        chunks
            .sizes
            .push(u32::try_from(size).map_err(io::Error::other)?);
    }
    Ok(chunks)
}

fn read_code(bits: &mut impl BitRead, low_bits: u32) -> io::Result<u64> {
    let mut ones = 0_u64;
    while bits.read_bit()? {
        ones += 1;
        if ones == u64::from(MOST_ONES) {
            return bits.read_var(64);
        }
    }
    Ok((ones << low_bits) | bits.read_var::<u64>(low_bits)?)
}

/// Reads the layout before: each gap and then each size as a varint.
fn unpack_varints(bytes: &[u8]) -> Option<Chunks> {
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
        assert_eq!(unpack(&MARK), None);
        let packed = pack(&steady(9, 1000));
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
    }

    /// A stream whose gaps are all different.
    fn steady(count: u64, unit: u64) -> Chunks {
        let at = |i| Duration::from_nanos((20_000_000 * i + i * i * 7_919 % 300_000) / unit * unit);
        Chunks {
            offsets: (1..=count).map(|i| at(i).as_secs_f64()).collect(),
            sizes: (1..=count)
                .map(|i| u32::try_from(i * 7 % 9 + 1).unwrap())
                .collect(),
        }
    }

    #[test]
    fn a_chunk_takes_less_than_three_bytes() {
        for (unit, most) in [(1000, 2 * 500), (1, 3 * 500 + 100)] {
            let chunks = steady(500, unit);
            let packed = pack(&chunks);
            assert!(packed.len() < most, "{}", packed.len());
            assert_eq!(unpack(&packed), Some(chunks));
        }
        let empty = Chunks::default();
        assert_eq!(unpack(&pack(&empty)), Some(empty));
    }

    #[test]
    fn what_an_earlier_version_packed_is_read() {
        let chunks = unpack(&[2, 0x80, 0xa8, 0xd6, 0xb9, 0x07, 0x04, 3, 4]).unwrap();
        assert_eq!(chunks.offsets, [1.0, 1.000_000_002]);
        assert_eq!(chunks.sizes, [3, 4]);
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
            let _ = unpack(&[&MARK[..], &bytes].concat());
        }
    }
}
